//! The caller's leg: the trunk's INVITE, which we answer.
//!
//! Decides how the leg is rung, answered, refused and ended by RFC 3261's rules for a user agent server; never
//! why. Source: RFC 3261 §12.1.1, §13.3.1 (responses), §13.3.1.1 (ringing for long), §13.3.1.4 (the 2xx until its ACK), §15.1 (BYE).

use super::desk::{CallTimer, Desk};
use crate::base::ids::{CallKey, Leg};
use crate::base::time::Instant;
use crate::sip::accepted::{Accepted, Due, Then};
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::transaction::{Datagram, Path, T1, TxId};
use crate::sip::user_agent::{answer_to_invite, signed};
use crate::sip::wire::{Message, Method, PeerFault};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often ringing is repeated, so that no proxy's timer C (RFC 3261 §16.6, over three minutes) ends the call, even
/// where one response is lost. Source: RFC 3261 §13.3.1.1.
const RING_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The caller's leg.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallerLeg {
    call: CallKey,
    /// Its INVITE.
    pub invite: Message,
    /// The INVITE's transaction.
    pub tx: TxId,
    /// Where the 2xx is repeated to.
    path: Path,
    local_tag: String,
    /// The dialog, which our first 18x or the answer makes.
    pub dialog: Dialog,
    state: State,
}

/// How far the leg is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    /// No final response yet; with the last provisional one, a 100 left out.
    Unanswered(Option<Box<Message>>),
    /// The 200 is repeated until its ACK.
    AwaitingAck(Accepted),
    /// Answered and acknowledged.
    Up,
    /// Our BYE is under way.
    ByeSent(TxId),
    /// Nothing more is owed either way.
    Over,
}

/// What became of a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// The 200 went out again, or nothing was to do.
    GoesOn,
    /// No ACK in 64 × T1: the call is to be ended (RFC 3261 §13.3.1.4).
    NeverAcknowledged,
}

impl CallerLeg {
    /// The leg of a new INVITE; its dialog is known to the desk from now on.
    ///
    /// # Errors
    /// The INVITE cannot make a dialog.
    pub fn new(
        desk: &mut Desk,
        call: CallKey,
        invite: Message,
        tx: TxId,
        path: Path,
    ) -> Result<CallerLeg, PeerFault> {
        let local_tag = desk.random.token();
        let dialog = Dialog::as_uas(&invite, &local_tag, path)?;
        desk.dialogs.insert(dialog.key(), (call, Leg::Caller));
        Ok(CallerLeg {
            call,
            invite,
            tx,
            path,
            local_tag,
            dialog,
            state: State::Unanswered(None),
        })
    }

    /// Whether no final response was sent yet.
    pub fn is_unanswered(&self) -> bool {
        matches!(self.state, State::Unanswered(_))
    }

    /// Whether our 200 has had its ACK, and no BYE has come.
    pub fn is_acknowledged(&self) -> bool {
        self.state == State::Up
    }

    /// Whether nothing more is owed either way.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Its dialog's name.
    pub fn key(&self) -> DialogKey {
        self.dialog.key()
    }

    /// Sends 100 or a provisional response, with early media where `sdp` is given.
    pub fn ring(&mut self, desk: &mut Desk, now: Instant, status: u16, sdp: Option<&[u8]>) {
        if self.is_unanswered() {
            let response = self.response(desk, status, sdp);
            if status > 100 {
                self.state = State::Unanswered(Some(Box::new(response.clone())));
            }
            self.send_ring(desk, now, response);
        }
    }

    /// A minute has passed since the last provisional response: it is sent again, SDP and all. Where there was
    /// only a 100, which no proxy counts, a 183 asks for more time; it says nothing of ringing.
    pub fn on_ring_again_due(&mut self, desk: &mut Desk, now: Instant) {
        match &self.state {
            State::Unanswered(Some(rung)) => self.send_ring(desk, now, (**rung).clone()),
            State::Unanswered(None) => self.ring(desk, now, 183, None),
            _ => {}
        }
    }

    fn send_ring(&self, desk: &mut Desk, now: Instant, response: Message) {
        desk.respond(now, self.tx, response);
        let next = now + RING_AGAIN_AFTER;
        desk.timers.set((self.call, CallTimer::RingAgain), next);
    }

    /// Sends 200 with our answer and goes on sending it until its ACK.
    pub fn accept(&mut self, desk: &mut Desk, now: Instant, sdp: &[u8]) {
        if !self.is_unanswered() {
            return;
        }
        let response = self.response(desk, 200, Some(sdp));
        let sent = Datagram::answering(&self.invite, self.path, &signed(response.clone()));
        self.send_final(desk, now, response);
        self.state = State::AwaitingAck(Accepted::new(now, sent));
        desk.timers.set((self.call, CallTimer::RepeatOk), now + T1);
    }

    /// Refuses the INVITE; the transaction repeats the refusal until its ACK.
    pub fn refuse(&mut self, desk: &mut Desk, now: Instant, status: u16) {
        if self.is_unanswered() {
            let response = self.response(desk, status, None);
            self.send_final(desk, now, response);
            self.state = State::Over;
        }
    }

    fn send_final(&self, desk: &mut Desk, now: Instant, response: Message) {
        desk.timers.cancel((self.call, CallTimer::RingAgain));
        desk.respond(now, self.tx, response);
    }

    /// Repeats the 200, at T1 doubling up to T2.
    pub fn on_repeat_due(&mut self, desk: &mut Desk, now: Instant) -> Repeat {
        let State::AwaitingAck(ok) = &mut self.state else {
            return Repeat::GoesOn;
        };
        match ok.on_due(now, &mut desk.transactions) {
            Due::Again(at) => desk.timers.set((self.call, CallTimer::RepeatOk), at),
            Due::NeverAcknowledged => {
                self.state = State::Up;
                return Repeat::NeverAcknowledged;
            }
            Due::Over => self.state = State::Over,
        }
        Repeat::GoesOn
    }

    /// Whether an ACK is the one of our 200 (RFC 3261 §13.2.2.4): of this dialog, with the INVITE's CSeq.
    pub fn is_acknowledged_by(&self, ack: &Message) -> bool {
        let number = |message: &Message| message.cseq().map(|cseq| cseq.number).ok();
        self.dialog.is_from_peer(ack) && number(ack) == number(&self.invite)
    }

    /// The ACK of our 200 came.
    pub fn on_ack(&mut self, desk: &mut Desk, now: Instant) {
        let State::AwaitingAck(ok) = &self.state else {
            return;
        };
        let then = ok.then();
        desk.timers.cancel((self.call, CallTimer::RepeatOk));
        self.state = match then {
            Then::StayUp | Then::SayBye => State::Up,
            Then::Nothing => State::Over,
        };
        if then == Then::SayBye {
            self.hang_up(desk, now);
        }
    }

    /// Ends an answered leg with BYE: at once, or after the ACK that is still awaited.
    pub fn hang_up(&mut self, desk: &mut Desk, now: Instant) {
        match &mut self.state {
            State::AwaitingAck(ok) => ok.hang_up(),
            State::Up => {
                let bye = self.dialog.request(Method::Bye);
                let path = self.dialog.path();
                self.state = match desk.request(now, self.call, path, bye) {
                    Some(tx) => State::ByeSent(tx),
                    None => State::Over,
                };
            }
            State::Unanswered(_) | State::ByeSent(_) | State::Over => {}
        }
    }

    /// The caller's own BYE, already answered: nothing more is owed, but that a 200 without its ACK is still
    /// repeated (RFC 3261 §15.1.2).
    pub fn on_bye(&mut self) {
        match &mut self.state {
            State::AwaitingAck(ok) => ok.on_bye(),
            _ => self.state = State::Over,
        }
    }

    /// A request of ours on this leg ended, with whatever answer.
    pub fn on_request_ended(&mut self, tx: TxId) {
        if self.state == State::ByeSent(tx) {
            self.state = State::Over;
        }
    }

    fn response(&self, desk: &Desk, status: u16, sdp: Option<&[u8]>) -> Message {
        let address = desk.advertised(self.path.listener);
        answer_to_invite(&self.invite, status, &self.local_tag, address, sdp)
    }
}
