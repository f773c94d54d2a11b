//! One attempt to reach a target: our INVITE to it, until its last word.
//!
//! Decides how the leg is called, given up and ended by RFC 3261's rules for a user agent client; never whether.
//! Source: RFC 3261 §9.1 (CANCEL waits for a provisional response), §13.2.2 (forks, ACK of each 2xx), §15.1.

use super::desk::Desk;
use crate::base::ids::{CallKey, Leg};
use crate::base::time::Instant;
use crate::hotline::record::AttemptOutcome;
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::transaction::{Path, TxId};
use crate::sip::wire::{Message, Method};
use serde::{Deserialize, Serialize};

/// One attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempt {
    call: CallKey,
    /// Index of the target in its hotline.
    pub target: usize,
    /// The INVITE's transaction.
    pub tx: TxId,
    /// Our INVITE.
    pub invite: Message,
    /// When it was sent; `ring_timeout` runs from here.
    pub invited_at: Instant,
    /// The first ringing of this attempt, of several forks the earliest.
    pub rang_at: Option<Instant>,
    /// When it was answered, refused or given up.
    pub ended_at: Option<Instant>,
    /// How it ended.
    pub outcome: Option<AttemptOutcome>,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    /// Nothing came back.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// Given up; the CANCEL waits for a provisional response.
    CancelWanted,
    /// Given up and cancelled; its final response is awaited.
    Cancelled,
    /// Answered.
    Up(Box<Up>),
    /// Our BYE is under way.
    ByeSent(TxId),
    /// Nothing more is owed either way.
    Over,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Up {
    dialog: Dialog,
    ack: Vec<u8>,
}

/// What a response to our INVITE means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing for the call: a repetition, a fork, the end of an attempt given up long ago.
    Nothing,
    /// 101 to 199.
    Progress,
    /// The first 2xx; it was acknowledged.
    Answered,
    /// A 2xx that cannot be used: no dialog can be made of it.
    Unusable,
    /// 300 and above.
    Defeated,
}

impl Attempt {
    /// Sends the INVITE, which lacks only Via, Contact and our name.
    pub fn start(
        desk: &mut Desk,
        now: Instant,
        call: CallKey,
        target: usize,
        path: Path,
        invite: Message,
    ) -> Option<Attempt> {
        let tx = desk.request(now, call, path, invite.clone())?;
        Some(Attempt {
            call,
            target,
            tx,
            invite,
            invited_at: now,
            rang_at: None,
            ended_at: None,
            outcome: None,
            state: State::Calling,
        })
    }

    /// Whether it may still be answered.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Calling | State::Proceeding)
    }

    /// Whether nothing more is owed either way.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The dialog of an answered attempt.
    pub fn dialog(&mut self) -> Option<&mut Dialog> {
        match &mut self.state {
            State::Up(up) => Some(&mut up.dialog),
            _ => None,
        }
    }

    /// Closes the attempt's account; `false` if that was done before.
    pub fn settle(&mut self, now: Instant, outcome: AttemptOutcome) -> bool {
        let open = self.outcome.is_none();
        if open {
            self.outcome = Some(outcome);
            self.ended_at = Some(now);
        }
        open
    }

    /// Gives up: CANCEL at once, or as soon as a provisional response allows it (RFC 3261 §9.1).
    pub fn give_up(&mut self, desk: &mut Desk, now: Instant) {
        match self.state {
            State::Calling => self.state = State::CancelWanted,
            State::Proceeding => {
                desk.transactions.cancel(now, self.tx);
                self.state = State::Cancelled;
            }
            _ => {}
        }
    }

    /// Takes a response to our INVITE.
    pub fn on_response(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        path: Path,
        response: &Message,
    ) -> News {
        match response.status().unwrap_or(0) {
            0..=100 => self.on_provisional(desk, now, News::Nothing),
            101..=199 => self.on_provisional(desk, now, News::Progress),
            200..=299 => self.on_success(desk, now, path, response),
            _ => self.on_failure(),
        }
    }

    fn on_provisional(&mut self, desk: &mut Desk, now: Instant, news: News) -> News {
        match self.state {
            State::Calling | State::Proceeding => {
                self.state = State::Proceeding;
                news
            }
            State::CancelWanted => {
                desk.transactions.cancel(now, self.tx);
                self.state = State::Cancelled;
                News::Nothing
            }
            _ => News::Nothing,
        }
    }

    fn on_success(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        path: Path,
        response: &Message,
    ) -> News {
        if let State::Up(up) = &self.state
            && up.dialog.is_same_fork(response)
        {
            let (to, ack) = (up.dialog.path(), up.ack.clone());
            desk.transactions.send(to, ack);
            return News::Nothing;
        }
        let wanted = self.is_open();
        let Ok(dialog) = Dialog::as_uac(&self.invite, response, path) else {
            if wanted {
                self.state = State::Over;
                return News::Unusable;
            }
            return News::Nothing;
        };
        let given_up = matches!(self.state, State::CancelWanted | State::Cancelled);
        let mut up = Up {
            ack: acknowledge(desk, &dialog),
            dialog,
        };
        if wanted {
            desk.dialogs
                .insert(up.dialog.key(), (self.call, Leg::Agent));
            self.state = State::Up(Box::new(up));
            return News::Answered;
        }
        // Another fork, or an answer that crossed our CANCEL: taken and ended (RFC 3261 §13.2.2.4).
        let bye = say_goodbye(desk, now, self.call, &mut up.dialog);
        if given_up {
            self.state = bye.map_or(State::Over, State::ByeSent);
        }
        News::Nothing
    }

    fn on_failure(&mut self) -> News {
        let wanted = self.is_open();
        if !matches!(self.state, State::Up(_) | State::ByeSent(_)) {
            self.state = State::Over;
        }
        if wanted {
            News::Defeated
        } else {
            News::Nothing
        }
    }

    /// The INVITE got no answer, or could not be sent. `true` if the attempt was still wanted.
    pub fn on_no_response(&mut self) -> bool {
        let wanted = self.is_open();
        self.state = State::Over;
        wanted
    }

    /// Ends an answered leg with BYE.
    pub fn hang_up(&mut self, desk: &mut Desk, now: Instant) {
        if let State::Up(up) = &mut self.state {
            let bye = say_goodbye(desk, now, self.call, &mut up.dialog);
            self.state = bye.map_or(State::Over, State::ByeSent);
        }
    }

    /// The target's own BYE, already answered.
    pub fn on_bye(&mut self) {
        if matches!(self.state, State::Up(_) | State::ByeSent(_)) {
            self.state = State::Over;
        }
    }

    /// A BYE of ours on this leg ended, with whatever answer.
    pub fn on_request_ended(&mut self, tx: TxId) {
        if self.state == State::ByeSent(tx) {
            self.state = State::Over;
        }
    }

    /// The name that its dialog has or would have.
    pub fn key(&self) -> Option<DialogKey> {
        let local_tag = self.invite.from().ok()?.tag()?.to_owned();
        Some(DialogKey {
            call_id: self.invite.call_id().to_owned(),
            local_tag,
        })
    }
}

/// Acknowledges a 2xx: its own transaction-less request, to the dialog's next hop (RFC 3261 §13.2.2.4).
fn acknowledge(desk: &mut Desk, dialog: &Dialog) -> Vec<u8> {
    let (mut ack, path) = (dialog.ack(), dialog.path());
    desk.complete(path, &mut ack);
    let bytes = ack.to_bytes();
    desk.transactions.send(path, bytes.clone());
    bytes
}

fn say_goodbye(desk: &mut Desk, now: Instant, call: CallKey, dialog: &mut Dialog) -> Option<TxId> {
    let (bye, path) = (dialog.request(Method::Bye), dialog.path());
    desk.request(now, call, path, bye)
}

/// Takes and ends a 2xx that no call waits for any more, so that no ghost call stays at the target.
pub fn dismiss(desk: &mut Desk, now: Instant, path: Path, invite: &Message, response: &Message) {
    if let Ok(mut dialog) = Dialog::as_uac(invite, response, path) {
        acknowledge(desk, &dialog);
        let (mut bye, path) = (dialog.request(Method::Bye), dialog.path());
        desk.complete(path, &mut bye);
        desk.transactions.request(now, path, bye);
    }
}
