//! One call: two legs, one life.
//!
//! [`Call`] is the back-to-back user agent (RFC 7092: a media plane B2BUA). It hunts over the hotline's targets,
//! joins the two legs, passes facts between the rooms below, and ends both. It decides with them and
//! performs nothing: all that it wants goes through the [`desk`].
//!
//! | file | what of a call |
//! |---|---|
//! | [`caller`] | the trunk's leg, which we answer |
//! | [`attempt`] | a target's leg, which we call |
//! | [`audio`] | ports, offers and answers |
//! | [`hunting`] | until somebody answers |
//! | [`login`] | what targets' challenges are answered with, for all calls |
//! | [`talking`] | from the answer on: requests inside the legs, listening, the script |
//! | `change` | re-INVITE and UPDATE, passed from one leg to the other |
//! | `pass` | INFO, answered by the other leg |
//! | [`ending`] | who hung up, the record |
//! | [`ledger`] | the times that the record and the figures are made of |
//! | [`tracer`] | which call a message belongs to, for those who watch |
//! | [`anchor`] | the media thread's side of it: relay, ears, prompts |

pub mod anchor;
pub mod attempt;
pub mod audio;
pub mod caller;
mod change;
pub mod desk;
pub mod doors;
pub mod ending;
pub mod hunting;
pub mod ledger;
pub mod login;
mod pass;
pub mod ports;
pub mod prompts;
pub mod talking;
pub mod tracer;

use crate::base::ids::{CallKey, Leg};
use crate::base::time::Instant;
use crate::config::Hotline;
use crate::hotline::figures::HotlineIndex;
use crate::sip::dialog::DialogKey;
use crate::sip::transaction::{Datagram, TxId};
use attempt::Attempt;
use audio::CallAudio;
use caller::CallerLeg;
use change::Change;
use desk::{CallTimer, Desk};
use doors::Fact;
use ending::Ended;
use ledger::Ledger;
use pass::Passing;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use talking::Talk;

/// One call. Plain data: a restart could read it back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    key: CallKey,
    /// Its public name, in records and in `X-Qingjiang-Call`.
    id: String,
    /// Its hotline as it was when the call came: a renewed configuration is for new calls.
    hotline: Arc<Hotline>,
    caller: CallerLeg,
    attempts: Vec<Attempt>,
    audio: CallAudio,
    /// A change of the session that is under way.
    change: Option<Change>,
    /// The ACKs of our re-INVITEs, for repeated 2xx.
    acks: Vec<(TxId, Datagram)>,
    /// Requests of one leg that the other is to answer.
    passing: Vec<Passing>,
    phase: Phase,
    ledger: Ledger,
    /// Hops that the INVITE may still make, ours already taken off (RFC 3261 §8.1.1.6).
    max_forwards: u8,
    media_closed: bool,
    /// Set at the end, taken when the record is written.
    ended: Option<Ended>,
}

/// Where the call is in its life.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Phase {
    /// Targets are tried, the last attempt is the current one.
    Hunting,
    /// Two legs are joined.
    Talking(Box<Talk>),
    /// Over for the figures; the legs' last messages are under way.
    Ending,
}

/// What a call is doing, for the gauges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// A target is being called.
    Ringing,
    /// A queue has taken it; nobody is known to have been connected.
    Waiting,
    /// A person was connected.
    Talking,
    /// Over.
    Ending,
}

impl Call {
    /// Its public name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its hotline is counted.
    pub fn line(&self) -> HotlineIndex {
        self.ledger.line()
    }

    /// When its INVITE came.
    pub fn offered_at(&self) -> Instant {
        self.ledger.offered_at
    }

    /// What it is doing.
    pub fn doing(&self) -> Doing {
        match &self.phase {
            Phase::Hunting => Doing::Ringing,
            Phase::Talking(talk) if talk.is_with_person() => Doing::Talking,
            Phase::Talking(_) => Doing::Waiting,
            Phase::Ending => Doing::Ending,
        }
    }

    /// Whether nothing is owed any more: it can be forgotten.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ending)
            && self.media_closed
            && self.caller.is_over()
            && self.attempts.iter().all(Attempt::is_over)
    }

    /// The names of its dialogs.
    pub fn dialogs(&self) -> impl Iterator<Item = DialogKey> {
        let legs = self.attempts.iter().filter_map(Attempt::key);
        std::iter::once(self.caller.key()).chain(legs)
    }

    /// A deadline of this call has come.
    pub fn on_timer(&mut self, desk: &mut Desk, now: Instant, timer: CallTimer) {
        match timer {
            CallTimer::Ring => self.on_ring_timeout(desk, now),
            CallTimer::RingAgain => {
                self.caller.on_ring_again_due(desk, now);
                self.ledger.on_response(desk, now);
            }
            CallTimer::RepeatOk => self.on_repeat_due(desk, now),
            CallTimer::RepeatChange => self.on_repeat_change_due(desk, now),
            CallTimer::Script => self.on_script_due(desk, now),
            CallTimer::NeverSent => self.on_never_sent(desk, now),
            CallTimer::Ending => self.write_record(desk),
            CallTimer::Gone => self.on_gone_due(desk, now),
        }
    }

    /// The media thread tells something.
    pub fn on_fact(&mut self, desk: &mut Desk, now: Instant, fact: Fact) {
        match fact {
            Fact::Report { leg, counts } => {
                self.ledger.count(desk, leg, &counts);
                self.on_audio(now, counts.received);
                self.on_level(leg, counts.level_max_dbov10);
            }
            Fact::Closed => {
                self.media_closed = true;
                self.write_record(desk);
            }
            fact => self.on_heard(desk, now, fact),
        }
    }

    /// A request of ours ended without an answer of its own kind: time-out or unreachable.
    pub fn on_no_response(&mut self, desk: &mut Desk, now: Instant, tx: TxId) {
        if self.on_change_no_response(desk, now, tx) {
            return;
        }
        self.on_passed_answer(desk, now, tx, 408);
        self.on_request_ended(tx);
        if let Some(index) = self.attempt_of(tx)
            && self.attempts[index].on_no_response()
        {
            self.on_defeat(desk, now, index, crate::hotline::hunt::Defeat::Dead);
        }
    }

    /// A BYE of ours ended, with whatever answer.
    pub fn on_request_ended(&mut self, tx: TxId) {
        self.caller.on_request_ended(tx);
        for attempt in &mut self.attempts {
            attempt.on_request_ended(tx);
        }
    }

    fn attempt_of(&self, tx: TxId) -> Option<usize> {
        self.attempts.iter().position(|attempt| attempt.tx == tx)
    }

    /// The attempt whose leg is joined to the caller's, or is being called.
    fn current(&mut self) -> Option<&mut Attempt> {
        self.attempts.last_mut()
    }

    fn is_leg_of_current(&self, leg: Leg, key: &DialogKey) -> bool {
        leg == Leg::Caller || self.attempts.last().and_then(Attempt::key).as_ref() == Some(key)
    }
}
