//! Until somebody answers: the hotline's targets one after the other.
//!
//! Source: contract, "Refusals"; RFC 3261 §13 (INVITE), RFC 3960 (early media); figures' `ring_time`.

use super::attempt::{Attempt, News};
use super::audio::CallAudio;
use super::caller::CallerLeg;
use super::desk::{CallTimer, Desk};
use super::doors::PortPair;
use super::ledger::Ledger;
use super::{Call, Phase};
use crate::base::ids::CallKey;
use crate::base::time::Instant;
use crate::config::{Hotline, Target};
use crate::hotline::health::Sign;
use crate::hotline::hunt::{self, Defeat};
use crate::hotline::record::AttemptOutcome;
use crate::sip::offer_answer::{self, AudioAnswer, AudioOffer};
use crate::sip::transaction::{Path, TxId};
use crate::sip::wire::{Message, Method, NameAddr, PeerFault, Uri};
use std::sync::Arc;

/// A call that was let in: what the engine found out on the way.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The INVITE.
    pub invite: Message,
    /// Its transaction.
    pub tx: TxId,
    /// Where it came from.
    pub path: Path,
    /// The caller's number, if it has one.
    pub caller: Option<String>,
    /// The trunk's name.
    pub trunk: String,
    /// The hotline, as it is now: the call keeps to it.
    pub hotline: Arc<Hotline>,
    /// The caller's offer; `None` where it wants ours (RFC 3261 §13.2.1).
    pub offer: Option<AudioOffer>,
    /// The caller's Max-Forwards.
    pub max_forwards: u8,
}

impl Call {
    /// Begins a call that was let in: 100, audio, the first target.
    ///
    /// # Errors
    /// The INVITE cannot make a dialog; nothing has happened.
    pub fn begin(
        desk: &mut Desk,
        now: Instant,
        key: CallKey,
        admitted: Admitted,
        ports: [PortPair; 2],
    ) -> Result<Call, PeerFault> {
        let Admitted {
            invite,
            tx,
            path,
            caller: number,
            trunk,
            hotline,
            offer,
            max_forwards,
        } = admitted;
        let caller = CallerLeg::new(desk, key, invite, tx, path)?;
        desk.own(key, tx);
        let id = desk.random.token();
        desk.tracer.begin_call(key, caller.invite.call_id(), &id);
        let audio = CallAudio::open(desk, key, ports, offer);
        let ledger = Ledger::new(desk, now, &trunk, Arc::clone(&hotline), number);
        ledger.on_offered(desk);
        let mut call = Call {
            key,
            id,
            hotline,
            caller,
            attempts: Vec::new(),
            audio,
            change: None,
            acks: Vec::new(),
            passing: Vec::new(),
            phase: Phase::Hunting,
            ledger,
            max_forwards: max_forwards.saturating_sub(1),
            media_closed: false,
            ended: None,
        };
        call.caller.ring(desk, now, 100, None);
        call.try_target(desk, now, 0);
        Ok(call)
    }

    /// Calls a target, or the next one that can be called at all; without one the caller is refused.
    fn try_target(&mut self, desk: &mut Desk, now: Instant, first: usize) {
        let is_up = |target: &Target| desk.health.is_up(now, &target.uri);
        let up: Vec<bool> = self.hotline.targets.iter().map(is_up).collect();
        let mut first = first;
        while let Some(target) = hunt::next_target(&up, first) {
            first = target + 1;
            if let Some(attempt) = self.call_target(desk, now, target) {
                self.attempts.push(attempt);
                let until = now + self.hotline.ring_timeout;
                desk.timers.set((self.key, CallTimer::Ring), until);
                return;
            }
        }
        let last = self.ledger.last_defeat.unwrap_or(Defeat::Dead);
        self.refuse(desk, now, last.status());
    }

    fn call_target(&mut self, desk: &mut Desk, now: Instant, target: usize) -> Option<Attempt> {
        let hotline = Arc::clone(&self.hotline);
        let chosen = hotline.targets.get(target)?;
        let (remote, uri) = (chosen.address, Uri::parse(&chosen.uri).ok()?);
        let path = desk.path_towards(remote, chosen.transport)?;
        let invite = self.invite_for(desk, path.listener, uri);
        Attempt::start(desk, now, self.key, (target, chosen), path, invite)
    }

    /// Our own INVITE: another dialog, the caller's identity, our address everywhere (RFC 7092 §3.1).
    fn invite_for(&mut self, desk: &mut Desk, listener: u16, uri: Uri) -> Message {
        let ours = desk.advertised(listener);
        let from = self.caller.invite.from().ok();
        let user = from
            .as_ref()
            .and_then(|f| f.uri.number())
            .unwrap_or_default();
        let user = if user.is_empty() {
            "anonymous".to_owned()
        } else {
            user
        };
        let identity = NameAddr {
            display: from.and_then(|f| f.display),
            ..NameAddr::new(Uri::sip(Some(&user), ours.address))
        };
        let identity = identity.with_tag(&desk.random.token());
        let call_id = format!("{}@{}", desk.random.token(), ours.ip());
        let to = format!("<{uri}>");
        let mut invite = Message::request(Method::Invite, uri);
        invite
            .headers
            .push("Max-Forwards", &self.max_forwards.to_string());
        invite.headers.push("From", &identity.to_string());
        invite.headers.push("To", &to);
        invite.headers.push("Call-ID", &call_id);
        invite.headers.push("CSeq", "1 INVITE");
        invite.headers.push("X-Qingjiang-Call", &self.id);
        invite.headers.push("Content-Type", "application/sdp");
        invite.body = self.audio.offer_for_agent(desk);
        invite
    }

    /// A response to an INVITE of ours.
    pub fn on_response(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        tx: TxId,
        path: Path,
        response: &Message,
    ) {
        let Some(index) = self.attempt_of(tx) else {
            if self.is_passing(response) {
                let status = response.status().unwrap_or(500);
                return self.on_passed_answer(desk, now, tx, status);
            }
            self.on_change_response(desk, now, tx, response);
            if response.status().is_some_and(|status| status >= 200) {
                for attempt in &mut self.attempts {
                    attempt.on_bye_answered(desk, now, tx, response);
                }
                self.on_request_ended(tx);
            }
            return;
        };
        let retry_after = response.headers.first("Retry-After");
        let sign = Sign::of(response.status().unwrap_or(0), retry_after);
        self.tell_health(desk, now, index, sign);
        match self.attempts[index].on_response(desk, now, path, response) {
            News::Nothing => {}
            News::Progress => self.on_progress(desk, now, index, response),
            News::Answered => self.on_answered(desk, now, index, response),
            News::Unusable => self.on_defeat(desk, now, index, Defeat::Unusable),
            News::Defeated => {
                let status = response.status().unwrap_or(500);
                self.on_defeat(desk, now, index, Defeat::Status(status));
            }
        }
    }

    /// 18x: the ring clock of this attempt, early media, and on to the caller.
    fn on_progress(&mut self, desk: &mut Desk, now: Instant, index: usize, response: &Message) {
        let status = response.status().unwrap_or(180);
        let attempt = &mut self.attempts[index];
        let target = &self.hotline.targets[attempt.target];
        let rings = status == 180 || (status == 183 && target.ringing_183);
        if rings && attempt.rang_at.is_none() {
            attempt.rang_at = Some(now);
        }
        let answer = self.answer_in(desk, response);
        let early = self.audio.may_be_early();
        let sdp = answer
            .map(|answer| self.audio.on_answer(desk, &answer))
            .filter(|_| early);
        if (180..=189).contains(&status) {
            self.ledger.on_first_ring(desk, now);
            self.caller.ring(desk, now, status, sdp.as_deref());
        }
    }

    /// The usable answer in a response's body, if there is one.
    fn answer_in(&self, desk: &Desk, response: &Message) -> Option<AudioAnswer> {
        let is_sdp = response
            .content_type()
            .is_some_and(|t| t == "application/sdp");
        if !is_sdp || response.body.is_empty() {
            return None;
        }
        let answer = offer_answer::read_answer(&response.body, &self.audio.offer).ok()?;
        self.audio.can_reach(desk, &answer).then_some(answer)
    }

    fn on_answered(&mut self, desk: &mut Desk, now: Instant, index: usize, response: &Message) {
        desk.timers.cancel((self.key, CallTimer::Ring));
        let answer = self.answer_in(desk, response);
        let sdp = match answer {
            Some(answer) => self.audio.on_answer(desk, &answer),
            // Without a body the 18x's answer stands, if there was one.
            None if response.body.is_empty() && self.audio.agent_is_known() => {
                self.audio.told().unwrap_or_default().to_vec()
            }
            None => {
                self.attempts[index].hang_up(desk, now);
                return self.on_defeat(desk, now, index, Defeat::Unusable);
            }
        };
        self.attempts[index].settle(now, AttemptOutcome::Answered);
        self.ledger.on_attempt_settled(desk, &self.attempts[index]);
        self.caller.accept(desk, now, &sdp);
        self.begin_talk(desk, now, index);
    }

    /// `ring_timeout` ran out: the attempt is given up, the next target is called at once.
    pub(super) fn on_ring_timeout(&mut self, desk: &mut Desk, now: Instant) {
        let Some(index) = self.attempts.len().checked_sub(1) else {
            return;
        };
        if self.attempts[index].is_open() {
            if self.attempts[index].is_unheard() {
                self.tell_health(desk, now, index, Sign::Silence);
            }
            self.attempts[index].give_up(desk, now);
            self.on_defeat(desk, now, index, Defeat::RingTimeout);
        }
    }

    /// What a target did with a call says whether it is there, too.
    fn tell_health(&self, desk: &mut Desk, now: Instant, index: usize, sign: Sign) {
        let target = self.attempts.get(index).map(|attempt| attempt.target);
        if let Some(target) = target.and_then(|place| self.hotline.targets.get(place)) {
            desk.health.on_call(now, &target.uri, sign);
        }
    }

    /// An attempt ended without an answer.
    pub(super) fn on_defeat(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        index: usize,
        defeat: Defeat,
    ) {
        if !self.attempts[index].settle(now, defeat.outcome()) {
            return;
        }
        if defeat == Defeat::Dead {
            self.tell_health(desk, now, index, Sign::Silence);
        }
        desk.timers.cancel((self.key, CallTimer::Ring));
        self.ledger.on_attempt_settled(desk, &self.attempts[index]);
        self.ledger.last_defeat = Some(defeat);
        if matches!(self.phase, Phase::Hunting) {
            self.audio.forget_agent(desk);
            let next = self.attempts[index].target + 1;
            self.try_target(desk, now, next);
        }
    }
}
