//! What of a world is worth counting.

use super::{Ask, Attempt, Ours, Seen, Watch};
use crate::tally::Tally;
use qingjiang::hotline::record::{AttemptOutcome, EndedBy, Outcome};
use qingjiang::hotline::treat::{PromptHow, TreatmentOutcome};

impl Watch {
    pub fn tell(&self, tally: &mut Tally) {
        tally.count("a call refused while records wait", self.unrecorded > 0);
        tally.count("a target that is down is passed over", self.passed_over);
        for asked in self.asked.values() {
            let status = asked.final_status;
            tally.count("an INVITE refused, no call", asked.call.is_none());
            tally.count("a merged INVITE", status == Some(482));
        }
        for ask in self.asks.values() {
            ask.tell(tally);
        }
        for ours in self.ours.values() {
            ours.tell(tally);
        }
        for call in &self.calls {
            call.tell(tally);
            for attempt in &call.attempts {
                attempt.tell(tally);
            }
        }
    }
}

impl Seen {
    fn tell(&self, tally: &mut Tally) {
        let Some(record) = &self.record else { return };
        for outcome in [
            Outcome::Answered,
            Outcome::Abandoned,
            Outcome::ShortAbandoned,
            Outcome::NoAnswer,
            Outcome::Busy,
            Outcome::Refused,
            Outcome::Failed,
        ] {
            tally.count(outcome.name(), record.outcome == outcome);
        }
        let answered = self.is_answered();
        let by = |who: EndedBy| answered && record.ended_by == who;
        tally.count("ended by the caller", by(EndedBy::Caller));
        tally.count("ended by the agent", by(EndedBy::Agent));
        tally.count("ended by us", by(EndedBy::Qingjiang));
        tally.count("ended, never acknowledged", by(EndedBy::Unknown));
        tally.count("BYE waits for the ACK", answered && self.acked.is_none());
        tally.count("turned away for want of room", self.key.is_none());
        tally.count("several targets", self.attempts.len() > 1);
        tally.count("a queue answered", answered && self.script.is_none());
        let early = !answered && self.caller_bye_in;
        tally.count("BYE on the early dialog", early);
        let prompts = || record.prompts.iter();
        let how = |how: PromptHow| prompts().any(|one| one.how == Some(how));
        tally.count("a prompt heard", how(PromptHow::Completed));
        tally.count("a prompt stopped by speech", how(PromptHow::Speech));
        let asked = self.script.as_ref().map_or(0, |script| script.asked);
        tally.count("a prompt refused", asked > record.prompts.len());
        let treated = |wanted: TreatmentOutcome| {
            let mut treatments = record.treatments.iter();
            treatments.any(|treatment| treatment.outcome == wanted)
        };
        tally.count("a script to its end", treated(TreatmentOutcome::HungUp));
        tally.count("a caller recovered", treated(TreatmentOutcome::Recovered));
        tally.count(
            "a caller left a script",
            treated(TreatmentOutcome::CallerLeft),
        );
        tally.count(
            "an agent left a script",
            treated(TreatmentOutcome::AgentLeft),
        );
        tally.count("a finding", !record.findings.is_empty());
        tally.count("a hold", self.legs.iter().any(|leg| leg.holds > 0));
        tally.count("a hold while a script runs", self.holds_in_script > 0);
        tally.count("a hold stops a prompt", self.prompts_held > 0);
        tally.count("a prompt after a hold", self.asked_after_hold);
    }
}

impl Attempt {
    fn tell(&self, tally: &mut Tally) {
        let lost = |outcome: AttemptOutcome| self.end.is_some_and(|(_, end)| end == outcome);
        let given_up = lost(AttemptOutcome::Cancelled) || lost(AttemptOutcome::NoAnswer);
        let crossed = given_up && self.cancelled_at.is_some() && self.first_2xx.is_some();
        let unusable = self.first_2xx.is_some() && lost(AttemptOutcome::Failed);
        let waited = match (self.end, self.cancelled_at) {
            (Some((end, _)), Some(cancel)) => cancel > end,
            _ => false,
        };
        tally.count("a 200 that crossed our CANCEL", crossed);
        tally.count("a CANCEL that waited for a 1xx", waited);
        tally.count("given up before any 1xx", given_up && !self.provisional);
        tally.count("an unusable answer", unusable);
        tally.count("two forks answered", self.forks.len() > 1);
        tally.count("a dead target", self.dead && self.first_2xx.is_none());
        let repeated = self.forks.values().any(|fork| fork.oks > 1);
        tally.count("a repeated 200 of a target", repeated);
        tally.count("rang", self.rang_at.is_some());
        tally.count("early media", self.early_sdp);
    }
}

impl Ask {
    fn tell(&self, tally: &mut Tally) {
        let got = |status: u16| self.final_status == Some(status);
        let passed = self.passed.is_some();
        let late = self.is_invite && self.offer.is_none();
        tally.count(
            "a re-INVITE passed on",
            passed && self.is_invite && got(200),
        );
        tally.count("an UPDATE passed on", passed && !self.is_invite && got(200));
        let refused = passed && self.final_status >= Some(300);
        tally.count("a change refused by the other end", refused);
        tally.count("glare", got(491));
        tally.count("a second change of one end", got(500) && !passed);
        tally.count("a change that the end of the call ended", got(487));
        tally.count("a change cancelled", self.is_cancelled());
        tally.count("a late offer passed on", late && got(200));
        tally.count("a late offer answered in the ACK", late && self.is_acked());
        tally.count(
            "a refresh answered by us",
            !passed && self.is_invite && got(200),
        );
        tally.count(
            "an UPDATE without SDP",
            !self.is_invite && self.offer.is_none(),
        );
        tally.count(
            "a lost ACK of a change",
            self.is_acked() && self.repeats > 0,
        );
        tally.count(
            "a change never acknowledged",
            self.awaits_ack() && self.repeats > 8,
        );
        tally.count("a change before the caller's ACK", self.waited);
    }
}

impl Ours {
    fn tell(&self, tally: &mut Tally) {
        tally.count("a repeated 200 to a change", self.oks() > 1);
        tally.count(
            "a CANCEL of a change that a 200 crossed",
            self.was_crossed(),
        );
        let gone = matches!(self.final_status, Some(408 | 481));
        tally.count("a change that finds the call gone", gone);
        tally.count("a change that is never answered", self.dead);
    }
}
