//! A change of the session in mid-call: re-INVITE and UPDATE of one leg, passed on to the other.
//!
//! One change at a time: what else is asked for meanwhile gets 491 or 500 and comes again. Decides when a
//! change may be passed on, what each leg is told of it, and that a refused one leaves the session as it was.
//! Source: RFC 3261 §14 (re-INVITE), RFC 3311 (UPDATE), RFC 3264 §8, RFC 6337 §3 (late offers), RFC 5407 §3 (races).

use super::desk::{CallTimer, Desk};
use super::{Call, Phase};
use crate::base::ids::Leg;
use crate::base::time::Instant;
use crate::hotline::record::EndedBy;
use crate::sip::accepted::{Accepted, Due};
use crate::sip::dialog::Dialog;
use crate::sip::inviting::Inviting;
use crate::sip::offer_answer::{self, AudioAnswer, AudioOffer};
use crate::sip::transaction::{Datagram, Path, T1, TxId};
use crate::sip::user_agent::{answer_to_invite, signed};
use crate::sip::wire::{Message, Method};
use serde::{Deserialize, Serialize};

/// ACKs that are kept for repeated 2xx: a peer repeats one for 32 s, and changes are few.
const ACKS_MAX: usize = 8;

const SDP: &str = "application/sdp";

/// A change under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Change {
    asked: Asked,
    /// The asker's offer; `None` where it wants one of us (a late offer).
    offer: Option<AudioOffer>,
    stage: Stage,
}

/// A request for a change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    /// Who asks.
    pub leg: Leg,
    /// The request's transaction.
    pub tx: TxId,
    /// Where it came from.
    pub path: Path,
    /// The re-INVITE or UPDATE.
    pub request: Message,
}

impl Asked {
    fn is_invite(&self) -> bool {
        self.request.method() == Some(&Method::Invite)
    }
}

/// How far it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Stage {
    /// The other leg's own INVITE still lacks its ACK: no other may be sent there (RFC 3261 §14.1).
    Held,
    /// Our request to the other leg is under way.
    Passed { tx: TxId, inviting: Inviting },
    /// Late: the other leg's offer went to the asker, whose answer comes with its ACK.
    Offered {
        ok: Accepted,
        theirs: Box<AudioOffer>,
        passed: TxId,
    },
    /// Our 200 to the asker is repeated until its ACK.
    Answered(Accepted),
}

impl Stage {
    fn accepted(&mut self) -> Option<&mut Accepted> {
        match self {
            Stage::Offered { ok, .. } | Stage::Answered(ok) => Some(ok),
            Stage::Held | Stage::Passed { .. } => None,
        }
    }
}

/// What a request for a change gets at once.
enum Verdict {
    /// A refusal; 491 and 500 say that it may come again.
    Refused(u16),
    /// Nothing changes: our last description stands, if the request had an offer.
    Unchanged(Option<Vec<u8>>),
    /// It is to be passed on.
    Passed(Option<AudioOffer>),
}

impl Call {
    /// A re-INVITE or UPDATE, in order and of this dialog.
    pub(super) fn on_change_request(&mut self, desk: &mut Desk, now: Instant, asked: Asked) {
        desk.own(self.key, asked.tx);
        match self.judge_change(desk, asked.leg, &asked.request) {
            Verdict::Refused(status) => {
                self.answer_change(desk, now, &asked, status, None);
            }
            Verdict::Unchanged(body) => self.grant_change(desk, now, asked, body.as_deref()),
            Verdict::Passed(offer) => {
                if asked.is_invite() {
                    self.answer_change(desk, now, &asked, 100, None);
                }
                let stage = Stage::Held;
                self.change = Some(Change {
                    asked,
                    offer,
                    stage,
                });
                self.pass_change(desk, now);
            }
        }
    }

    fn judge_change(&mut self, desk: &Desk, leg: Leg, request: &Message) -> Verdict {
        let is_invite = request.method() == Some(&Method::Invite);
        let has_body = !request.body.is_empty();
        if has_body && request.content_type().is_none_or(|found| found != SDP) {
            return Verdict::Refused(415);
        }
        if !is_invite && !has_body {
            return Verdict::Unchanged(None);
        }
        if !matches!(self.phase, Phase::Talking(_)) {
            // The first INVITE's offer is not answered yet (RFC 3261 §14.2, RFC 3311 §5.2).
            return Verdict::Refused(500);
        }
        match &self.change {
            // Two at once from one peer are its fault; from two they are glare (RFC 3261 §14.2).
            Some(change)
                if change.asked.leg == leg
                    && matches!(change.stage, Stage::Held | Stage::Passed { .. }) =>
            {
                return Verdict::Refused(500);
            }
            Some(_) => return Verdict::Refused(491),
            None => {}
        }
        if !has_body {
            return Verdict::Passed(None);
        }
        match offer_answer::offer(&request.body) {
            Err(fault) => Verdict::Refused(fault.status()),
            Ok(offer) if !offer.reachable_from(desk.media_address) => Verdict::Refused(488),
            Ok(offer) => match self.audio.refreshed(desk, leg, &offer) {
                Some(body) => Verdict::Unchanged(Some(body)),
                None => Verdict::Passed(Some(offer)),
            },
        }
    }

    /// Answers a request for a change; gives the response as it was sent.
    fn answer_change(
        &self,
        desk: &mut Desk,
        now: Instant,
        asked: &Asked,
        status: u16,
        body: Option<&[u8]>,
    ) -> Datagram {
        let (request, path) = (&asked.request, asked.path);
        let address = desk.advertised(path.listener);
        let local_tag = self.local_tag_of(asked.leg);
        let mut response = answer_to_invite(request, status, &local_tag, address, body);
        match status {
            // Any time up to ten seconds (RFC 3261 §14.2): drawn, so that two peers do not meet again.
            500 => {
                let wait = desk.random.bits32() % 11;
                response.headers.push("Retry-After", &wait.to_string());
            }
            415 => response.headers.push("Accept", SDP),
            _ => {}
        }
        let sent = Datagram::answering(request, path, &signed(response.clone()));
        desk.respond(now, asked.tx, response);
        sent
    }

    /// 200 to the asker, which to a re-INVITE is repeated until its ACK (RFC 3261 §14.2).
    fn grant_change(&mut self, desk: &mut Desk, now: Instant, asked: Asked, body: Option<&[u8]>) {
        if let Some(dialog) = self.dialog_of(asked.leg) {
            dialog.refresh_target(&asked.request);
        }
        let ok = self.answer_change(desk, now, &asked, 200, body);
        if asked.is_invite() {
            let (offer, stage) = (None, Stage::Answered(Accepted::new(now, ok)));
            self.change = Some(Change {
                asked,
                offer,
                stage,
            });
            desk.timers
                .set((self.key, CallTimer::RepeatChange), now + T1);
        }
    }

    /// Passes a change on to the other leg as soon as that is free.
    pub(super) fn pass_change(&mut self, desk: &mut Desk, now: Instant) {
        let Some(change) = &self.change else { return };
        let (asker, offer) = (change.asked.leg, change.offer.clone());
        let other = asker.other();
        if !matches!(change.stage, Stage::Held) || !self.is_free(other) {
            return;
        }
        let body = offer.map(|offer| self.audio.offer_to(desk, other, &offer));
        let Some(dialog) = self.dialog_of(other) else {
            return self.refuse_change(desk, now, 500);
        };
        let mut request = dialog.request(Method::Invite);
        let (path, dialog) = (dialog.path(), dialog.clone());
        if let Some(body) = body {
            request.headers.push("Content-Type", SDP);
            request.body = body;
        }
        let Some(tx) = desk.request(now, self.key, path, request) else {
            return self.refuse_change(desk, now, 500);
        };
        // Should the call end before the answer comes: a 2xx wants its ACK all the same.
        let ack = desk.user_agent(path.listener).ack_of(&dialog);
        self.keep_ack(tx, ack);
        if let Some(change) = &mut self.change {
            let inviting = Inviting::Calling;
            change.stage = Stage::Passed { tx, inviting };
        }
    }

    /// Whether requests of ours may be sent on this leg: the caller may not even have got our 200 before its ACK.
    pub(super) fn is_free(&self, leg: Leg) -> bool {
        leg == Leg::Agent || self.caller.is_acknowledged()
    }

    fn keep_ack(&mut self, tx: TxId, ack: Datagram) {
        self.acks.retain(|(known, _)| *known != tx);
        if self.acks.len() >= ACKS_MAX {
            self.acks.remove(0);
        }
        self.acks.push((tx, ack));
    }

    /// The other leg answers our re-INVITE.
    pub(super) fn on_change_response(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        tx: TxId,
        response: &Message,
    ) {
        let status = response.status().unwrap_or(0);
        let Some(inviting) = self.passed(tx) else {
            // A repeated 2xx, or one to a change that the call's end overtook.
            if let Some((_, ack)) = self.acks.iter().find(|(known, _)| *known == tx)
                && (200..300).contains(&status)
                && !self.is_offered(tx)
            {
                desk.transactions.send(ack.clone());
            }
            return;
        };
        match status {
            0..=199 => inviting.on_provisional(&mut desk.transactions, now, tx),
            200..=299 => self.on_change_accepted(desk, now, tx, response),
            // The other end knows nothing of the call any more, or has gone (RFC 3261 §12.2.1.2).
            408 | 481 => self.on_change_lost(desk, now),
            status => self.refuse_change(desk, now, refusal_of(status)),
        }
    }

    /// The INVITE that is passed on, if this transaction is it.
    fn passed(&mut self, of: TxId) -> Option<&mut Inviting> {
        match &mut self.change.as_mut()?.stage {
            Stage::Passed { tx, inviting } if *tx == of => Some(inviting),
            _ => None,
        }
    }

    /// Whether this 2xx may not be acknowledged yet: its ACK will hold the answer.
    fn is_offered(&self, tx: TxId) -> bool {
        let change = self.change.as_ref();
        change.is_some_and(
            |change| matches!(&change.stage, Stage::Offered { passed, .. } if *passed == tx),
        )
    }

    fn on_change_accepted(&mut self, desk: &mut Desk, now: Instant, tx: TxId, response: &Message) {
        let Some(change) = self.change.clone() else {
            return;
        };
        if let Some(dialog) = self.dialog_of(change.asked.leg.other()) {
            dialog.refresh_target(response);
        }
        match &change.offer {
            Some(offer) => {
                self.acknowledge_change(desk, tx, change.asked.leg.other(), None);
                self.on_answer_passed(desk, now, &change, offer, response);
            }
            None => self.on_late_offer(desk, now, tx, &change, response),
        }
    }

    /// The other leg's answer goes back to the asker.
    fn on_answer_passed(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        change: &Change,
        offer: &AudioOffer,
        response: &Message,
    ) {
        let answer = offer_answer::read_answer(&response.body, offer).ok();
        let Some(answer) = answer.filter(|answer| self.audio.can_reach(desk, answer)) else {
            return self.refuse_change(desk, now, 488);
        };
        let body = self.audio.change(desk, change.asked.leg, offer, &answer);
        self.accept_change(desk, now, &body);
        self.on_direction(desk, now);
    }

    fn accept_change(&mut self, desk: &mut Desk, now: Instant, body: &[u8]) {
        if let Some(change) = self.change.take() {
            self.grant_change(desk, now, change.asked, Some(body));
        }
    }

    /// The other leg made the offer that the asker wanted.
    fn on_late_offer(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        tx: TxId,
        change: &Change,
        response: &Message,
    ) {
        let theirs = offer_answer::offer(&response.body).ok();
        let Some(theirs) = theirs.filter(|offer| offer.reachable_from(desk.media_address)) else {
            self.acknowledge_change(desk, tx, change.asked.leg.other(), None);
            return self.refuse_change(desk, now, 488);
        };
        let body = self.audio.offer_to(desk, change.asked.leg, &theirs);
        self.accept_change(desk, now, &body);
        if let Some(Change { stage, .. }) = &mut self.change
            && let Stage::Answered(ok) = stage
        {
            *stage = Stage::Offered {
                ok: ok.clone(),
                theirs: Box::new(theirs),
                passed: tx,
            };
        }
    }

    /// ACK of the other leg's 2xx, with our answer where it made the offer.
    fn acknowledge_change(&mut self, desk: &mut Desk, tx: TxId, leg: Leg, body: Option<Vec<u8>>) {
        let Some(dialog) = self.dialog_of(leg).map(|dialog| dialog.clone()) else {
            return;
        };
        let ack = desk
            .user_agent(dialog.path().listener)
            .acknowledge_with(&dialog, body);
        self.keep_ack(tx, ack);
    }

    /// The asker's ACK of a re-INVITE: `true` if it was one.
    pub(super) fn on_change_ack(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        leg: Leg,
        ack: &Message,
    ) -> bool {
        let number = |message: &Message| message.cseq().map(|cseq| cseq.number).ok();
        let Some(change) = &self.change else {
            return false;
        };
        let is_its_own = change.asked.leg == leg && number(ack) == number(&change.asked.request);
        if !is_its_own {
            return false;
        }
        match &change.stage {
            Stage::Held | Stage::Passed { .. } => return false,
            Stage::Answered(_) => {}
            Stage::Offered { theirs, passed, .. } => {
                let (theirs, passed) = (theirs.clone(), *passed);
                self.on_late_answer(desk, passed, leg, &theirs, &ack.body);
                self.on_direction(desk, now);
            }
        }
        self.forget_change(desk);
        true
    }

    /// The asker's answer to the other leg's offer, or none: then all stays as it was.
    fn on_late_answer(
        &mut self,
        desk: &mut Desk,
        passed: TxId,
        asker: Leg,
        theirs: &AudioOffer,
        body: &[u8],
    ) {
        let answer = offer_answer::read_answer(body, theirs).ok();
        let answer: Option<AudioAnswer> =
            answer.filter(|answer| self.audio.can_reach(desk, answer));
        let answer = answer.unwrap_or_else(|| self.audio.stay(asker.other(), theirs));
        let body = self.audio.change(desk, asker.other(), theirs, &answer);
        self.acknowledge_change(desk, passed, asker.other(), Some(body));
    }

    /// The asker is refused; the session stays as it was (RFC 3261 §14.1).
    fn refuse_change(&mut self, desk: &mut Desk, now: Instant, status: u16) {
        if let Some(change) = self.change.take() {
            self.answer_change(desk, now, &change.asked, status, None);
        }
    }

    /// Our re-INVITE had no answer, or one that says that the dialog is gone.
    fn on_change_lost(&mut self, desk: &mut Desk, now: Instant) {
        self.refuse_change(desk, now, 487);
        self.hang_up(desk, now, EndedBy::Unknown);
    }

    /// A transaction of ours ended without an answer: `true` if it was a change passed on.
    pub(super) fn on_change_no_response(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        tx: TxId,
    ) -> bool {
        let is_ours = self.passed(tx).is_some();
        if is_ours {
            self.on_change_lost(desk, now);
        }
        is_ours
    }

    /// CANCEL of a re-INVITE: the other leg decides; its 487 goes back, and so does a 200 that crossed it.
    pub(super) fn on_change_cancelled(&mut self, desk: &mut Desk, now: Instant, invite: TxId) {
        let Some(change) = self
            .change
            .as_mut()
            .filter(|change| change.asked.tx == invite)
        else {
            return;
        };
        match &mut change.stage {
            Stage::Held => self.refuse_change(desk, now, 487),
            Stage::Passed { tx, inviting } => inviting.give_up(&mut desk.transactions, now, *tx),
            Stage::Offered { .. } | Stage::Answered(_) => {}
        }
    }

    /// Our 200 to the asker is due again.
    pub(super) fn on_repeat_change_due(&mut self, desk: &mut Desk, now: Instant) {
        let Some(ok) = self
            .change
            .as_mut()
            .and_then(|change| change.stage.accepted())
        else {
            return;
        };
        match ok.on_due(now, &mut desk.transactions) {
            Due::Again(at) => desk.timers.set((self.key, CallTimer::RepeatChange), at),
            Due::NeverAcknowledged | Due::Over => self.hang_up(desk, now, EndedBy::Unknown),
        }
    }

    /// The call ends: what is owed for a change is paid first (RFC 3261 §15.1.2).
    pub(super) fn end_change(&mut self, desk: &mut Desk, now: Instant) {
        match self.change.as_ref().map(|change| &change.stage) {
            Some(Stage::Held | Stage::Passed { .. }) => self.refuse_change(desk, now, 487),
            Some(Stage::Offered { theirs, passed, .. }) => {
                let (theirs, passed) = (theirs.clone(), *passed);
                let asker = self
                    .change
                    .as_ref()
                    .map_or(Leg::Caller, |change| change.asked.leg);
                self.on_late_answer(desk, passed, asker, &theirs, &[]);
            }
            Some(Stage::Answered(_)) | None => {}
        }
        self.forget_change(desk);
    }

    fn forget_change(&mut self, desk: &mut Desk) {
        self.change = None;
        desk.timers.cancel((self.key, CallTimer::RepeatChange));
    }

    /// The dialog of a leg that is up.
    pub(super) fn dialog_of(&mut self, leg: Leg) -> Option<&mut Dialog> {
        match leg {
            Leg::Caller => Some(&mut self.caller.dialog),
            Leg::Agent => self.current().and_then(|attempt| attempt.dialog()),
        }
    }

    fn local_tag_of(&self, leg: Leg) -> String {
        let agent = || self.attempts.last().and_then(|attempt| attempt.key());
        match leg {
            Leg::Caller => self.caller.key().local_tag,
            Leg::Agent => agent().map(|key| key.local_tag).unwrap_or_default(),
        }
    }
}

/// What the asker gets where the other leg refused: its own words, but for those that are about that leg alone.
fn refusal_of(status: u16) -> u16 {
    match status {
        // A challenge or redirection of one dialog is none of the other's.
        300..=399 | 401 | 407 | 420 | 421 => 488,
        503 => 500,
        status => status,
    }
}
