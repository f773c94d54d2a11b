//! An answered call, whoever called: the dialog, its ACK, and BYE both ways.
//!
//! Decides how an answered call is kept and ended by RFC 3261's rules; never when.
//! Source: RFC 3261 §12.2.2 (requests in a dialog), §13.2.2.4, §13.3.1.4, §14.2 (re-INVITE refused: the call goes on), §15.

use super::CallId;
use super::desk::{Desk, Timer};
use super::repeat::{Repeat, RepeatedOk};
use crate::base::time::Instant;
use crate::call::desk::ALLOW;
use crate::sip::dialog::{Dialog, answer};
use crate::sip::transaction::{Path, T1, TxId};
use crate::sip::wire::{Message, Method};

/// An answered call.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    id: CallId,
    dialog: Dialog,
    /// Our ACK, where we called: sent again with each repeated 2xx.
    ack: Option<Vec<u8>>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// We answered; the ACK is awaited. A BYE of ours may only follow it (RFC 3261 §15).
    AwaitingAck { ok: RepeatedOk, then_bye: bool },
    /// Answered and acknowledged.
    Up,
    /// Our BYE is under way.
    ByeSent(TxId),
    /// Nothing more is owed either way.
    Over,
}

impl Talk {
    /// The peer answered our call: acknowledged at once.
    pub fn answered_by_peer(desk: &mut Desk, id: CallId, dialog: Dialog) -> Talk {
        let ack = Some(desk.acknowledge(&dialog));
        let state = State::Up;
        Talk {
            id,
            dialog,
            ack,
            state,
        }
    }

    /// We answered with this 2xx, which was sent once.
    pub fn answered_by_us(
        desk: &mut Desk,
        now: Instant,
        id: CallId,
        dialog: Dialog,
        ok: RepeatedOk,
    ) -> Talk {
        desk.timers.set((id, Timer::RepeatOk), now + T1);
        let then_bye = false;
        Talk {
            id,
            dialog,
            ack: None,
            state: State::AwaitingAck { ok, then_bye },
        }
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// A 2xx to our INVITE once more: our ACK was lost, or it is another fork, which is ended.
    pub fn on_success_again(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        path: Path,
        tx: TxId,
        response: &Message,
    ) {
        match &self.ack {
            Some(ack) if self.dialog.is_same_fork(response) => {
                desk.transactions.send(self.dialog.path(), ack.clone());
            }
            _ => desk.dismiss(now, path, tx, response),
        }
    }

    /// The ACK of our 2xx came.
    pub fn on_ack(&mut self, desk: &mut Desk, now: Instant) {
        let State::AwaitingAck { then_bye, .. } = self.state else {
            return;
        };
        desk.timers.cancel((self.id, Timer::RepeatOk));
        self.state = State::Up;
        if then_bye {
            self.hang_up(desk, now);
        }
    }

    /// Our 2xx is due again. `false`: it was never acknowledged, and BYE is on its way.
    pub fn on_repeat_due(&mut self, desk: &mut Desk, now: Instant) -> bool {
        let State::AwaitingAck { ok, .. } = &mut self.state else {
            return true;
        };
        match ok.on_due(now) {
            Repeat::Again(next) => {
                desk.transactions.send(ok.path, ok.bytes.clone());
                desk.timers.set((self.id, Timer::RepeatOk), next);
                true
            }
            Repeat::NeverAcknowledged => {
                self.state = State::Up;
                self.hang_up(desk, now);
                false
            }
        }
    }

    /// Ends it with BYE: at once, or after the ACK that is still awaited.
    pub fn hang_up(&mut self, desk: &mut Desk, now: Instant) {
        match &mut self.state {
            State::AwaitingAck { then_bye, .. } => *then_bye = true,
            State::Up => {
                let (bye, path) = (self.dialog.request(Method::Bye), self.dialog.path());
                let tx = desk.request(now, self.id, path, bye);
                self.state = tx.map_or(State::Over, State::ByeSent);
            }
            State::ByeSent(_) | State::Over => {}
        }
    }

    /// A request in this dialog is answered. `true`: it was the peer's BYE.
    pub fn on_request(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        tx: TxId,
        request: &Message,
    ) -> bool {
        let status = self.status_for(request);
        let mut response = answer(request, status, "");
        if status != 481 {
            response.headers.push("Allow", ALLOW);
        }
        desk.respond(now, tx, response);
        let is_bye = request.method() == Some(&Method::Bye) && status == 200;
        // Where our own BYE is under way too, its answer is still awaited.
        if is_bye && !matches!(self.state, State::ByeSent(_)) {
            desk.timers.cancel((self.id, Timer::RepeatOk));
            self.state = State::Over;
        }
        is_bye
    }

    fn status_for(&mut self, request: &Message) -> u16 {
        if !self.dialog.is_from_peer(request) {
            return 481;
        }
        match request.cseq() {
            Err(_) => return 400,
            Ok(cseq) if !self.dialog.accepts_cseq(cseq.number) => return 500,
            Ok(_) => {}
        }
        match request.method() {
            Some(Method::Bye | Method::Options) => 200,
            Some(Method::Invite) => 488,
            Some(Method::Other(_)) => 501,
            _ => 405,
        }
    }

    /// A request of ours ended, with whatever answer or none.
    pub fn on_request_ended(&mut self, tx: TxId) {
        if matches!(self.state, State::ByeSent(bye) if bye == tx) {
            self.state = State::Over;
        }
    }
}
