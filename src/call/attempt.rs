//! One attempt to reach a target: our INVITE to it, until its last word.
//!
//! Decides how the leg is called, given up and ended by RFC 3261's rules for a user agent client; never whether.
//! A challenge (401, 407) to a request of ours is answered here, where the target has `auth`: to the call it is
//! one INVITE, whose ring clock runs on.
//! Source: RFC 3261 §9.1 (CANCEL waits for a provisional response), §13.2.2 (forks, ACK of each 2xx), §15.1, §22.

use super::desk::Desk;
use super::login::TargetAccount;
use crate::base::ids::{CallKey, Leg};
use crate::base::time::Instant;
use crate::config::Target;
use crate::hotline::record::AttemptOutcome;
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::inviting::Inviting;
use crate::sip::transaction::{Datagram, Path, TxId};
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
    /// Where the request that is under way was sent: one that repeats it goes there too.
    path: Path,
    /// Who we are for it, and how often the request that is under way was repeated for challenges.
    account: Option<TargetAccount>,
    repeats: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    /// No final response yet.
    Inviting(Inviting),
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
    /// Sent again with each repeated 2xx.
    ack: Datagram,
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
        (index, target): (usize, &Target),
        path: Path,
        mut invite: Message,
    ) -> Option<Attempt> {
        let account = TargetAccount::of(target);
        desk.logins.sign(account.as_ref(), &mut invite);
        let tx = desk.request(now, call, path, invite.clone())?;
        Some(Attempt {
            call,
            target: index,
            tx,
            invite,
            invited_at: now,
            rang_at: None,
            ended_at: None,
            outcome: None,
            state: State::Inviting(Inviting::Calling),
            path,
            account,
            repeats: 0,
        })
    }

    /// Whether it may still be answered.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Inviting(inviting) if !inviting.is_given_up())
    }

    /// Whether nothing at all came back yet.
    pub fn is_unheard(&self) -> bool {
        self.state == State::Inviting(Inviting::Calling)
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
        if let State::Inviting(inviting) = &mut self.state {
            inviting.give_up(&mut desk.transactions, now, self.tx);
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
            _ if self.is_open() && self.invite_again(desk, now, response) => News::Nothing,
            _ => self.on_failure(),
        }
    }

    fn on_provisional(&mut self, desk: &mut Desk, now: Instant, news: News) -> News {
        if let State::Inviting(inviting) = &mut self.state {
            inviting.on_provisional(&mut desk.transactions, now, self.tx);
        }
        if self.is_open() { news } else { News::Nothing }
    }

    fn on_success(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        path: Path,
        response: &Message,
    ) -> News {
        match &self.state {
            State::Inviting(_) => return self.on_first_success(desk, now, path, response),
            State::Up(up) if up.dialog.is_same_fork(response) => {
                desk.transactions.send(up.ack.clone());
            }
            // Another fork, or one that was ended before: taken and ended (RFC 3261 §13.2.2.4).
            State::Up(_) | State::ByeSent(_) | State::Over => {
                let mut user_agent = desk.user_agent(path.listener);
                user_agent.dismiss(now, path, self.tx, response);
            }
        }
        News::Nothing
    }

    fn on_first_success(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        path: Path,
        response: &Message,
    ) -> News {
        let wanted = self.is_open();
        let Ok(dialog) = Dialog::as_uac(&self.invite, response, path) else {
            self.state = State::Over;
            return if wanted {
                News::Unusable
            } else {
                News::Nothing
            };
        };
        let ack = desk.user_agent(path.listener).acknowledge(&dialog);
        let key = dialog.key();
        self.state = State::Up(Box::new(Up { dialog, ack }));
        if wanted {
            desk.dialogs.insert(key, (self.call, Leg::Agent));
            return News::Answered;
        }
        // The answer crossed our CANCEL.
        self.hang_up(desk, now);
        News::Nothing
    }

    /// Answers a challenge to the INVITE: the same with credentials, in a new transaction (RFC 3261 §22.2).
    fn invite_again(&mut self, desk: &mut Desk, now: Instant, response: &Message) -> bool {
        let Some(invite) = self.answer(desk, &self.invite.clone(), response) else {
            return false;
        };
        let Some(tx) = desk.request(now, self.call, self.path, invite.clone()) else {
            return false;
        };
        (self.tx, self.invite) = (tx, invite);
        self.state = State::Inviting(Inviting::Calling);
        true
    }

    /// The request that answers a challenge to one of ours, if there is one.
    fn answer(
        &mut self,
        desk: &mut Desk,
        refused: &Message,
        response: &Message,
    ) -> Option<Message> {
        let account = self.account.as_ref()?;
        let (logins, random) = (&mut desk.logins, &mut desk.random);
        let request = logins.answer(account, refused, response, self.repeats, random)?;
        self.repeats += 1;
        Some(request)
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
            let mut bye = up.dialog.request(Method::Bye);
            self.path = up.dialog.path();
            desk.logins.sign(self.account.as_ref(), &mut bye);
            self.repeats = 0;
            self.send_bye(desk, now, bye);
        }
    }

    fn send_bye(&mut self, desk: &mut Desk, now: Instant, bye: Message) {
        let bye = desk.request(now, self.call, self.path, bye);
        self.state = bye.map_or(State::Over, State::ByeSent);
    }

    /// The final response to our BYE: a challenge is answered, anything else ends the leg.
    pub fn on_bye_answered(&mut self, desk: &mut Desk, now: Instant, tx: TxId, response: &Message) {
        if self.state != State::ByeSent(tx) {
            return;
        }
        self.state = State::Over;
        let refused = desk.transactions.request_of(tx).cloned();
        if let Some(bye) = refused.and_then(|bye| self.answer(desk, &bye, response)) {
            self.send_bye(desk, now, bye);
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
