//! What the peers saw, against the edge and the records.

use crate::caller::{self, Caller};
use crate::target::State;
use crate::world::World;
use qingjiang::engine::Input;

impl World {
    /// A call that nobody can end any more, because both its peers have vanished, is ended by us.
    pub(crate) fn on_latest(&mut self) {
        let mut faults = Vec::new();
        let mut left = 0;
        for call in self.watch.live() {
            left += 1;
            let caller = self.callers.iter().find(|one| one.call_id == call.call_id);
            let gone = caller.is_some_and(|one| one.state >= caller::State::Done);
            let deserted = call.attempts().any(|id| {
                let mut served = self.targets.iter().flat_map(|target| &target.served);
                served.any(|one| one.invite.call_id() == id && one.vanished)
            });
            if !gone || !deserted {
                faults.push(format!("the call {} is up for ever", call.call_id));
            }
        }
        self.watch.faults.extend(faults);
        if left > 0 {
            self.handle(Input::ShutDown);
        }
        // Else there would be something to wait for until the end of days.
        self.stop_asking_targets();
    }

    /// What the peers saw, against the edge and the records.
    pub(crate) fn judge_peers(&mut self) {
        let mut faults = Vec::new();
        if self.media.open() > 0 {
            faults.push("media sessions are left open".to_owned());
        }
        for caller in &self.callers {
            faults.extend(self.judge_caller(caller));
        }
        let taken = self.watch.taken_forks();
        for served in self.targets.iter().flat_map(|target| &target.served) {
            for fork in served.forks.values() {
                let id = (served.invite.call_id().to_owned(), fork.tag.clone());
                let ended = fork.state == State::Ended || served.vanished;
                let missed = fork.state == State::NeverAcknowledged && !taken.contains_key(&id);
                let unheard = taken.get(&id) == Some(&true) && !fork.got_bye && !served.vanished;
                if unheard {
                    faults.push(format!("a BYE never reached {id:?}"));
                }
                if !ended && !missed {
                    faults.push(format!("a ghost call: {id:?} is {:?}", fork.state));
                }
            }
        }
        self.watch.faults.extend(faults);
    }

    fn judge_caller(&self, caller: &Caller) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |holds: bool, fault: &str| {
            if !holds {
                faults.push(format!("{}: {fault}", caller.call_id));
            }
        };
        let final_status = self.watch.final_of(caller.plan.address, &caller.branch);
        if let Some(saw) = caller.final_status {
            check(final_status == Some(saw), "saw another final response");
        }
        let over = caller.state >= caller::State::Done;
        check(over, "the caller is left in its call");
        let call = self.watch.call_of(&caller.call_id);
        if let (Some(wanted), Some(got)) = (caller.plan.defect.status(), final_status) {
            check(got == wanted, "a defect got another status");
            check(call.is_none(), "a refused INVITE became a call");
        }
        let gone = caller.state == caller::State::Vanished;
        let by_us = call.is_some_and(|call| call.was_hung_up_on());
        check(gone || !by_us || caller.got_bye, "our BYE never reached it");
        if let Some(record) = call.and_then(|call| call.record.as_ref()) {
            let answered = record.answered.is_some();
            let saw = caller.final_status;
            check(
                saw != Some(200) || answered,
                "saw an answer, the record none",
            );
            let refused = saw.is_some_and(|status| status >= 300);
            check(!refused || !answered, "saw a refusal, the record an answer");
            let number = caller.call_id.split(['-', '@']).nth(1).unwrap_or_default();
            check(record.caller.ends_with(number), "the record's number");
        }
        faults
    }
}
