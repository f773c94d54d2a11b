//! What must hold after every input: nothing that is owed stays owed.

use super::Watch;
use crate::net::{GIVE_UP, T1};
use qingjiang::engine::{Engine, Input};

impl Watch {
    /// What must hold after every input.
    pub(super) fn after(&mut self, input: &Input, engine: &Engine) {
        if let Some(fresh) = &self.fresh
            && !fresh.record
        {
            self.note_unrecorded();
        }
        for index in 0..self.calls.len() {
            self.check_call(index, input);
        }
        self.after_changes(input);
        self.after_sessions();
        let (free, total) = engine.ports();
        let lent = self.lent.len();
        self.check(free + lent == total, "ports that are neither free nor lent");
        self.check(total == self.ports_total, "ports appear or vanish");
        let bugs = engine.figures().bugs.clone();
        self.check(bugs.is_empty(), format!("counted as bugs: {bugs:?}"));
        if *input == Input::Deadline {
            let later = engine.next_deadline().is_none_or(|next| next > self.now);
            self.check(later, "a deadline that is due stays");
        }
        let live = self.live().count();
        let doing = engine.gauges(self.now).hotlines;
        let gauged = doing
            .iter()
            .map(|one| one.ringing + one.waiting + one.talking);
        let gauged = gauged.sum::<u32>() as usize;
        self.check(engine.live_calls() == live, "live calls without a record");
        self.check(gauged == live, "the gauges miss a call");
        if self.shutting_down {
            self.check(engine.live_calls() == 0, "calls live on after the end");
        }
    }

    /// A 503 while the queue of records is full leaves no record.
    fn note_unrecorded(&mut self) {
        let Some(fresh) = &self.fresh else { return };
        let asked = &self.asked[&(fresh.remote, fresh.branch.clone())];
        if asked.final_status == Some(503) {
            self.unrecorded += 1;
            let pressed = self.pressed;
            self.check(pressed, "a call that was offered has no record");
        }
    }

    fn check_call(&mut self, index: usize, input: &Input) {
        let now = self.now;
        let call = &self.calls[index];
        let mut faults = Vec::new();
        let ended_unrecorded = call.ended.is_some() && call.over.is_none();
        if ended_unrecorded {
            faults.push("a call that a peer ended goes on");
        }
        for attempt in &call.attempts {
            let given_up = attempt.end.is_some() && attempt.first_2xx.is_none() && !attempt.refused;
            let owes_cancel = given_up && attempt.provisional && !attempt.dead;
            if owes_cancel && attempt.cancelled_at.is_none() {
                faults.push("a target that is given up is not cancelled");
            }
            for (tag, fork) in &attempt.forks {
                if fork.acks < fork.oks {
                    faults.push("a 200 without its ACK");
                }
                let wanted = attempt.winner.as_ref() == Some(tag) && call.over.is_none();
                if !wanted && fork.bye_out.is_none() && !fork.bye_in {
                    faults.push("a target's dialog that nobody wants is not ended");
                }
            }
        }
        let over = call.over.is_some() && call.is_answered() && !call.caller_bye_in;
        let due = call.acked.is_some()
            || call
                .final_status
                .is_some_and(|(_, at)| now >= at + GIVE_UP + T1);
        if over && due && call.caller_bye_out.is_none() {
            faults.push("the caller's leg is not ended with the call");
        }
        let unacked = call.is_answered() && call.acked.is_none() && call.over.is_none();
        let late = call.final_status.is_some_and(|(_, at)| now >= at + GIVE_UP);
        if *input == Input::Deadline && unacked && late {
            faults.push("a call whose 200 was never acknowledged goes on");
        }
        if *input == Input::Deadline
            && let Some(script) = call.script.as_ref().filter(|_| call.over.is_none())
        {
            if script.due().is_some_and(|due| now >= due) {
                faults.push("a prompt that is due is not asked for");
            }
            if !script.confirming && script.confirm_due().is_some_and(|due| now >= due) {
                faults
                    .push("the script is over and nobody asks whether the caller is silent still");
            }
            if script.hang_up_due().is_some_and(|due| now >= due) {
                faults.push("the script is over and the call goes on");
            }
        }
        self.faults.extend(faults.into_iter().map(String::from));
    }
}
