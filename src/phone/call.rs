//! One call of a phone, from the INVITE to the last answered BYE.
//!
//! Decides when it rings, answers, gives up and hangs up, as the phone's [`Behaviour`](super::behaviour::Behaviour) says, and tells
//! the shell: each call begins once and ends once. How it is done is in `outgoing`, `incoming` and `talk`.

use super::behaviour::{Reply, Ring, UNANSWERED_MAX};
use super::desk::{Desk, Timer};
use super::incoming::{Incoming, Refused};
use super::outgoing::{Outgoing, Verdict};
use super::talk::Talk;
use super::{CallId, Dial, EndedBy, Event, Media};
use crate::base::time::Instant;
use crate::sip::dialog::{Dialog, answer};
use crate::sip::transaction::{Path, TxId};
use crate::sip::wire::{Message, Method};

/// Refusal of a call that rings, on the command to hang up (RFC 3261 §21.4.18).
const UNAVAILABLE: u16 = 480;

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    id: CallId,
    stage: Stage,
    /// Whether the shell was told of the end.
    told: bool,
}

#[derive(Clone, Debug)]
enum Stage {
    Out(Box<Outgoing>),
    In(Box<Incoming>),
    Talk(Box<Talk>),
    Over,
}

impl Call {
    /// Calls. A call that cannot even begin has ended, and says so.
    pub fn dial(desk: &mut Desk, now: Instant, id: CallId, dial: &Dial) -> Call {
        let mut call = Call {
            id,
            stage: Stage::Over,
            told: false,
        };
        let started = desk.ports.pop_front().and_then(|port| {
            let caller = None;
            desk.tell(id, Event::Began { port, caller });
            Outgoing::start(desk, now, id, port, dial)
        });
        let Some(outgoing) = started else {
            call.end(desk, EndedBy::Nobody, 503);
            return call;
        };
        call.stage = Stage::Out(Box::new(outgoing));
        let patience = desk.settings.behaviour.outgoing.give_up_after;
        let patience = patience.unwrap_or(UNANSWERED_MAX).min(UNANSWERED_MAX);
        desk.timers.set((id, Timer::GiveUp), now + patience);
        call
    }

    /// Takes an INVITE, or says how it is refused.
    pub fn take(
        desk: &mut Desk,
        now: Instant,
        id: CallId,
        tx: TxId,
        path: Path,
        invite: &Message,
    ) -> Result<Call, Refused> {
        let (incoming, port) = Incoming::take(desk, id, tx, path, invite)?;
        let caller = invite.from().ok().and_then(|from| from.uri.number());
        desk.tell(id, Event::Began { port, caller });
        incoming.ring(desk, now, 100, false);
        let behaviour = &desk.settings.behaviour.incoming;
        let (ring, reply) = (behaviour.ring, behaviour.reply);
        if let Ring::After(wait) | Ring::EarlyMedia(wait) = ring {
            desk.timers.set((id, Timer::Ring), now + wait);
        }
        if let Reply::Answer(wait) | Reply::Refuse(wait, _) = reply {
            desk.timers.set((id, Timer::Reply), now + wait);
        }
        desk.timers.set((id, Timer::GiveUp), now + UNANSWERED_MAX);
        Ok(Call {
            id,
            stage: Stage::In(Box::new(incoming)),
            told: false,
        })
    }

    pub fn is_over(&self) -> bool {
        match &self.stage {
            Stage::Talk(talk) => talk.is_over(),
            Stage::Over => true,
            Stage::Out(_) | Stage::In(_) => false,
        }
    }

    pub fn on_timer(&mut self, desk: &mut Desk, now: Instant, timer: Timer) {
        match timer {
            Timer::Ring => self.ring(desk, now),
            Timer::Reply => self.reply(desk, now),
            Timer::GiveUp | Timer::HangUp => self.hang_up(desk, now),
            Timer::RepeatOk => {
                if let Stage::Talk(talk) = &mut self.stage
                    && !talk.on_repeat_due(desk, now)
                {
                    self.end(desk, EndedBy::Nobody, 408);
                }
            }
        }
    }

    fn ring(&mut self, desk: &mut Desk, now: Instant) {
        let Stage::In(incoming) = &self.stage else {
            return;
        };
        let early = matches!(desk.settings.behaviour.incoming.ring, Ring::EarlyMedia(_));
        incoming.ring(desk, now, if early { 183 } else { 180 }, early);
        match early {
            true => desk.tell(self.id, Event::EarlyMedia(incoming.media())),
            false => desk.tell(self.id, Event::Ringing),
        }
    }

    fn reply(&mut self, desk: &mut Desk, now: Instant) {
        match desk.settings.behaviour.incoming.reply {
            Reply::Answer(_) => self.accept(desk, now),
            Reply::Refuse(_, status) => self.refuse(desk, now, EndedBy::Us, status),
            Reply::Never => {}
        }
    }

    fn accept(&mut self, desk: &mut Desk, now: Instant) {
        if let Stage::In(incoming) = &self.stage {
            let (talk, media) = (incoming.accept(desk, now), incoming.media());
            let hang_up_after = desk.settings.behaviour.incoming.hang_up_after;
            self.begin_talk(desk, now, talk, media, hang_up_after);
        }
    }

    fn begin_talk(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        talk: Talk,
        media: Media,
        hang_up_after: Option<std::time::Duration>,
    ) {
        self.stage = Stage::Talk(Box::new(talk));
        desk.timers.cancel((self.id, Timer::GiveUp));
        if let Some(wait) = hang_up_after {
            desk.timers.set((self.id, Timer::HangUp), now + wait);
        }
        desk.tell(self.id, Event::Answered(media));
    }

    fn refuse(&mut self, desk: &mut Desk, now: Instant, by: EndedBy, status: u16) {
        if let Stage::In(incoming) = &self.stage {
            incoming.refuse(desk, now, status);
            self.stage = Stage::Over;
            self.end(desk, by, status);
        }
    }

    /// Ends the call, whatever it is doing.
    pub fn hang_up(&mut self, desk: &mut Desk, now: Instant) {
        match &mut self.stage {
            Stage::Out(outgoing) => outgoing.give_up(desk, now),
            Stage::In(_) => self.refuse(desk, now, EndedBy::Us, UNAVAILABLE),
            Stage::Talk(talk) => {
                talk.hang_up(desk, now);
                self.end(desk, EndedBy::Us, 200);
            }
            Stage::Over => {}
        }
    }

    /// The caller's CANCEL.
    pub fn on_cancelled(&mut self, desk: &mut Desk, now: Instant) {
        self.refuse(desk, now, EndedBy::Peer, 487);
    }

    pub fn on_ack(&mut self, desk: &mut Desk, now: Instant) {
        if let Stage::Talk(talk) = &mut self.stage {
            talk.on_ack(desk, now);
        }
    }

    /// A response to a request of ours.
    pub fn on_response(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        tx: TxId,
        path: Path,
        response: &Message,
    ) {
        let status = response.status().unwrap_or(0);
        match &mut self.stage {
            Stage::Out(outgoing) if !outgoing.is_about(tx) => {}
            Stage::Out(outgoing) if status < 200 => outgoing.on_provisional(desk, now, response),
            Stage::Out(outgoing) => {
                let verdict = outgoing.on_final(path, response);
                self.on_verdict(desk, now, verdict);
            }
            Stage::Talk(talk) => {
                let is_invite = response
                    .cseq()
                    .is_ok_and(|cseq| cseq.method == Method::Invite);
                if is_invite {
                    talk.on_success_again(desk, now, path, tx, response);
                } else if status >= 200 {
                    talk.on_request_ended(tx);
                }
            }
            Stage::In(_) | Stage::Over => {}
        }
    }

    fn on_verdict(&mut self, desk: &mut Desk, now: Instant, verdict: Verdict) {
        match verdict {
            Verdict::Answered(dialog, media) => {
                let talk = Talk::answered_by_peer(desk, self.id, *dialog);
                let hang_up_after = desk.settings.behaviour.outgoing.hang_up_after;
                self.begin_talk(desk, now, talk, media, hang_up_after);
            }
            Verdict::Unwanted(dialog, status) => self.take_and_end(desk, now, *dialog, status),
            Verdict::Refused(status) => {
                // 487 is the peer's word for our own CANCEL.
                let by = match (status, &self.stage) {
                    (487, Stage::Out(outgoing)) if outgoing.is_given_up() => EndedBy::Us,
                    _ => EndedBy::Peer,
                };
                self.stage = Stage::Over;
                self.end(desk, by, status);
            }
        }
    }

    /// An answer that is not wanted is acknowledged and ended with BYE, so that no ghost stays at the peer.
    fn take_and_end(&mut self, desk: &mut Desk, now: Instant, dialog: Dialog, status: u16) {
        let mut talk = Talk::answered_by_peer(desk, self.id, dialog);
        talk.hang_up(desk, now);
        self.stage = Stage::Talk(Box::new(talk));
        self.end(desk, EndedBy::Us, status);
    }

    /// A request of ours had no answer, or could not be sent.
    pub fn on_no_response(&mut self, desk: &mut Desk, tx: TxId, status: u16) {
        match &mut self.stage {
            Stage::Out(outgoing) if outgoing.is_about(tx) => {
                self.stage = Stage::Over;
                self.end(desk, EndedBy::Nobody, status);
            }
            Stage::Talk(talk) => talk.on_request_ended(tx),
            _ => {}
        }
    }

    /// A request in this call's dialog.
    pub fn on_request(&mut self, desk: &mut Desk, now: Instant, tx: TxId, request: &Message) {
        let is_bye = request.method() == Some(&Method::Bye);
        match &mut self.stage {
            Stage::Talk(talk) => {
                if talk.on_request(desk, now, tx, request) {
                    self.end(desk, EndedBy::Peer, 200);
                }
            }
            // The callee may hang up before its 200 has reached us, the caller before our answer (RFC 3261 §15).
            Stage::Out(outgoing) if is_bye => {
                outgoing.give_up(desk, now);
                desk.respond(now, tx, answer(request, 200, ""));
                self.stage = Stage::Over;
                self.end(desk, EndedBy::Peer, 200);
            }
            Stage::In(_) if is_bye => {
                desk.respond(now, tx, answer(request, 200, ""));
                self.refuse(desk, now, EndedBy::Peer, 487);
            }
            Stage::Out(_) | Stage::In(_) => desk.respond(now, tx, answer(request, 405, "")),
            Stage::Over => desk.respond(now, tx, answer(request, 481, "")),
        }
    }

    fn end(&mut self, desk: &mut Desk, by: EndedBy, status: u16) {
        if !self.told {
            self.told = true;
            desk.timers.cancel((self.id, Timer::HangUp));
            desk.tell(self.id, Event::Ended { by, status });
        }
    }
}
