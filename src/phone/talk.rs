//! An answered call, whoever called: the dialog, its ACK, and BYE both ways.
//!
//! Decides how an answered call is kept and ended by RFC 3261's rules; never when.
//! Source: RFC 3261 §12.2.2 (requests in a dialog), §13.2.2.4, §13.3.1.4, §14.2 (re-INVITE refused: the call goes on), §15.

use super::CallId;
use super::desk::{Desk, Timer};
use crate::base::time::Instant;
use crate::sip::accepted::{Accepted, Due, Then};
use crate::sip::dialog::{Dialog, answer};
use crate::sip::transaction::{Datagram, Path, T1, TxId};
use crate::sip::user_agent::ALLOW;
use crate::sip::wire::{Message, Method};

/// An answered call.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    id: CallId,
    dialog: Dialog,
    /// Our ACK, where we called: sent again with each repeated 2xx.
    ack: Option<Datagram>,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// We answered; the ACK is awaited.
    AwaitingAck(Accepted),
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
        let ack = Some(desk.user_agent().acknowledge(&dialog));
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
        ok: Datagram,
    ) -> Talk {
        desk.timers.set((id, Timer::RepeatOk), now + T1);
        Talk {
            id,
            dialog,
            ack: None,
            state: State::AwaitingAck(Accepted::new(now, ok)),
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
                desk.transactions.send(ack.clone());
            }
            _ => desk.user_agent().dismiss(now, path, tx, response),
        }
    }

    /// The ACK of our 2xx came.
    pub fn on_ack(&mut self, desk: &mut Desk, now: Instant) {
        let State::AwaitingAck(ok) = &self.state else {
            return;
        };
        let then = ok.then();
        desk.timers.cancel((self.id, Timer::RepeatOk));
        self.state = match then {
            Then::StayUp | Then::SayBye => State::Up,
            Then::Nothing => State::Over,
        };
        if then == Then::SayBye {
            self.hang_up(desk, now);
        }
    }

    /// Our 2xx is due again. `false`: it was never acknowledged, and BYE is on its way.
    pub fn on_repeat_due(&mut self, desk: &mut Desk, now: Instant) -> bool {
        let State::AwaitingAck(ok) = &mut self.state else {
            return true;
        };
        match ok.on_due(now, &mut desk.transactions) {
            Due::Again(at) => desk.timers.set((self.id, Timer::RepeatOk), at),
            Due::NeverAcknowledged => {
                self.state = State::Up;
                self.hang_up(desk, now);
                return false;
            }
            Due::Over => self.state = State::Over,
        }
        true
    }

    /// Ends it with BYE: at once, or after the ACK that is still awaited.
    pub fn hang_up(&mut self, desk: &mut Desk, now: Instant) {
        match &mut self.state {
            State::AwaitingAck(ok) => ok.hang_up(),
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
        if is_bye {
            self.on_bye();
        }
        is_bye
    }

    fn on_bye(&mut self) {
        match &mut self.state {
            // It may have crossed our 2xx, which still wants its ACK.
            State::AwaitingAck(ok) => ok.on_bye(),
            // Our own BYE is under way too: its answer is still awaited.
            State::ByeSent(_) => {}
            State::Up | State::Over => self.state = State::Over,
        }
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
