//! The end of a call: who ended it, what each leg is told, the record.
//!
//! Source: RFC 3261 §9.2 (487), §15 (BYE); contract, "A call's record".

use super::desk::{CallTimer, Desk};
use super::{Call, Phase};
use crate::base::limits::ENDING_MAX;
use crate::base::time::Instant;
use crate::hotline::record::{AttemptOutcome, EndedBy};
use crate::sip::dialog::answer;
use crate::sip::transaction::TxId;
use crate::sip::wire::Message;
use serde::{Deserialize, Serialize};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The first BYE or CANCEL, or the refusal.
    pub at: Instant,
    /// Whose it was.
    pub by: EndedBy,
    /// What the caller's INVITE got.
    pub final_status: u16,
}

impl Call {
    /// The caller's CANCEL: answered with the tag of the INVITE's own answers (RFC 3261 §9.2). After a final
    /// response it changes nothing.
    pub fn on_cancel(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        (tx, cancel): (TxId, &Message),
        invite: TxId,
    ) {
        let response = answer(cancel, 200, &self.caller.key().local_tag);
        desk.respond(now, tx, response);
        if invite == self.caller.tx {
            self.abandon(desk, now);
        } else {
            self.on_change_cancelled(desk, now, invite);
        }
    }

    /// The caller gave up before an answer (CANCEL, or BYE on the early dialog): 487, and the target is cancelled.
    pub(super) fn abandon(&mut self, desk: &mut Desk, now: Instant) {
        if !matches!(self.phase, Phase::Hunting) {
            return;
        }
        self.caller.refuse(desk, now, 487);
        self.give_up_target(desk, now);
        self.ledger.on_abandoned(desk, now);
        self.close(desk, now, EndedBy::Caller, 487);
    }

    /// No target is left, or we may not go on: the caller is refused.
    pub(super) fn refuse(&mut self, desk: &mut Desk, now: Instant, status: u16) {
        self.caller.refuse(desk, now, status);
        self.ledger.on_refused(desk, now);
        self.close(desk, now, EndedBy::Qingjiang, status);
    }

    /// Ends an answered call: BYE to each leg that has not said its own.
    pub(super) fn hang_up(&mut self, desk: &mut Desk, now: Instant, by: EndedBy) {
        if !matches!(self.phase, Phase::Talking(_)) {
            return;
        }
        self.end_script(desk, by);
        self.end_change(desk, now);
        self.end_passing(desk, now);
        self.caller.hang_up(desk, now);
        for attempt in &mut self.attempts {
            attempt.hang_up(desk, now);
        }
        self.ledger.on_hung_up(desk, now);
        self.close(desk, now, by, 200);
    }

    /// The service stops: whatever the call is doing, it ends.
    pub fn shut_down(&mut self, desk: &mut Desk, now: Instant) {
        match self.phase {
            Phase::Hunting => {
                self.give_up_target(desk, now);
                self.refuse(desk, now, 503);
            }
            Phase::Talking(_) => self.hang_up(desk, now, EndedBy::Qingjiang),
            Phase::Ending => {}
        }
    }

    fn give_up_target(&mut self, desk: &mut Desk, now: Instant) {
        if let Some(attempt) = self.attempts.last_mut()
            && attempt.is_open()
        {
            attempt.give_up(desk, now);
            attempt.settle(now, AttemptOutcome::Cancelled);
            self.ledger.on_attempt_settled(desk, attempt);
        }
    }

    /// Over for the figures: audio stops, the last messages are given their time.
    fn close(&mut self, desk: &mut Desk, now: Instant, by: EndedBy, final_status: u16) {
        self.phase = Phase::Ending;
        for timer in [
            CallTimer::Ring,
            CallTimer::Script,
            CallTimer::NeverSent,
            CallTimer::Gone,
        ] {
            desk.timers.cancel((self.key, timer));
        }
        self.audio.close(desk);
        desk.timers
            .set((self.key, CallTimer::Ending), now + ENDING_MAX);
        self.ended = Some(Ended {
            at: now,
            by,
            final_status,
        });
    }

    /// The last facts of the media thread are in, or never will be: the record is written, once.
    pub(super) fn write_record(&mut self, desk: &mut Desk) {
        if let Some(ended) = self.ended.take() {
            let record = self.ledger.close(ended, &self.id, &self.attempts);
            desk.record(record);
        }
    }
}
