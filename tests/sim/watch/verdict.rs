//! When all is over: records, figures and what is left.

use super::{Seen, Watch};
use crate::machine::PROMPTS;
use qingjiang::engine::Engine;
use qingjiang::hotline::figures::HotlineFigures;
use qingjiang::hotline::record::{AttemptOutcome, EndedCall, Outcome};
use std::time::Duration;

impl Watch {
    pub fn finish(&mut self, engine: &Engine) {
        let (free, total) = engine.ports();
        self.check(free == total, "ports did not come back");
        self.check(engine.calls() == 0, "calls are left");
        self.check(engine.next_deadline().is_none(), "timers are left");
        self.check(self.lent.is_empty(), "ports are lent still");
        let unanswered = self.asked.values().filter(|one| one.final_status.is_none());
        let since: Vec<_> = unanswered.map(|one| one.at).collect();
        self.check(
            since.is_empty(),
            format!("INVITEs without a final response, of {since:?}"),
        );
        let owed = self.asks.values().any(|ask| ask.final_status.is_none());
        self.check(!owed, "a change without a final response");
        for index in 0..self.calls.len() {
            self.judge(index);
        }
        self.judge_figures(engine);
    }

    fn judge(&mut self, index: usize) {
        let call = &self.calls[index];
        let Some(record) = call.record.clone() else {
            return self.fault("a call without a record");
        };
        let mut faults = call.against(&record, &self.config.hotlines[call.hotline].name);
        let short = self.config.hotlines[call.hotline].short_abandon;
        let expected = call.outcome(short);
        if record.outcome != expected {
            faults.push(format!("outcome {:?}, not {expected:?}", record.outcome));
        }
        if !call.closed {
            faults.push("its media session was never closed".to_owned());
        }
        if call.is_answered() && call.caller_bye_out.is_none() && !call.caller_bye_in {
            faults.push("the caller's leg was never ended".to_owned());
        }
        let id = call.call_id.clone();
        for fault in faults {
            self.fault(format!("{id}: {fault}"));
        }
    }

    fn judge_figures(&mut self, engine: &Engine) {
        let figures = engine.figures();
        let messages = |way: usize| figures.sip_messages[way].iter().sum::<u64>();
        let (sip_in, sip_out) = (messages(0), messages(1));
        self.check(sip_in == self.sip_in, "SIP messages in");
        self.check(sip_out == self.sip_out, "SIP messages out");
        let lines: Vec<HotlineFigures> = figures.hotlines.clone();
        let mut offered = 0;
        for line in &lines {
            let records: Vec<&EndedCall> = self
                .calls
                .iter()
                .filter_map(|call| call.record.as_ref())
                .filter(|record| record.hotline.as_ref() == Some(&line.name))
                .collect();
            let faults = against_figures(line, &records);
            offered += line.offered.iter().sum::<u64>();
            self.faults.extend(faults);
        }
        let expected = self.calls.len() as u64 + self.unrecorded;
        self.check(offered == expected, "calls offered are not the records");
    }
}

/// What the figures of a hotline should be, from its records.
fn against_figures(line: &HotlineFigures, records: &[&EndedCall]) -> Vec<String> {
    let count = |which: &dyn Fn(&EndedCall) -> bool| {
        records.iter().filter(|record| which(record)).count() as u64
    };
    let outcome = |wanted: Outcome| count(&|record| record.outcome == wanted);
    let answered = outcome(Outcome::Answered);
    let mut pairs = vec![
        ("answered", line.answered, answered),
        ("wait", line.wait.count(), answered),
        ("talk", line.talk.count(), answered),
        ("short", line.abandoned[0], outcome(Outcome::ShortAbandoned)),
        ("abandoned", line.abandoned[1], outcome(Outcome::Abandoned)),
    ];
    let rang: u64 = line
        .agents
        .iter()
        .flat_map(|agent| &agent.ring)
        .map(|histogram| histogram.count())
        .sum();
    let attempts = records.iter().flat_map(|record| &record.attempts);
    let rings = attempts.filter(|attempt| attempt.ring.is_some()).count() as u64;
    pairs.push(("rings", rang, rings));
    for name in PROMPTS {
        let told = line.prompts.iter().find(|(prompt, _)| prompt == name);
        let heard = records.iter().flat_map(|record| &record.prompts);
        let heard = heard.filter(|played| played.prompt == name).count() as u64;
        pairs.push((name, told.map_or(0, |(_, count)| *count), heard));
    }
    let treated: u64 = line.treatments().map(|(.., count)| count).sum();
    let treatments = records.iter().map(|record| record.treatments.len() as u64);
    pairs.push(("treatments", treated, treatments.sum()));
    let found: u64 = line.findings().map(|(.., count)| count).sum();
    let findings = records.iter().map(|record| record.findings.len() as u64);
    pairs.push(("findings", found, findings.sum()));
    let talked: Duration = records
        .iter()
        .filter_map(|record| Some(record.ended_at - record.answered?.0))
        .sum();
    let mut faults: Vec<String> = pairs
        .into_iter()
        .filter(|(_, told, is)| told != is)
        .map(|(what, told, is)| format!("figure {what} is {told}, the records say {is}"))
        .collect();
    if (line.talk.sum_seconds() - talked.as_secs_f64()).abs() > 0.001 {
        faults.push("the sum of talk is not the records'".to_owned());
    }
    faults
}

impl Seen {
    /// The record against our own account, to the nanosecond.
    fn against(&self, record: &EndedCall, hotline: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |what: &str, holds: bool| {
            if !holds {
                faults.push(format!("the record's {what} is wrong: {record:?}"));
            }
        };
        check(
            "id",
            self.id.is_none() || self.id.as_ref() == Some(&record.id),
        );
        check("hotline", record.hotline.as_deref() == Some(hotline));
        check("trunk", record.trunk.as_ref() == Some(&self.trunk));
        check("offered_at", record.offered_at == self.offered_at);
        let answered = self.final_status.filter(|(status, _)| *status == 200);
        let told = record.answered.map(|(at, _)| at);
        check("answered_at", told == answered.map(|(_, at)| at));
        let delay = self.first_ring.map(|at| at - self.offered_at);
        check("post_dial_delay", record.post_dial_delay == delay);
        let status = self.final_status.map(|(status, _)| status);
        check("final_status", record.final_status == status);
        check("attempts", record.attempts.len() == self.attempts.len());
        for (ours, theirs) in self.attempts.iter().zip(&record.attempts) {
            let (end, outcome) = ours
                .end
                .unwrap_or((self.offered_at, AttemptOutcome::Failed));
            check("target", ours.name == theirs.target);
            check("attempt's outcome", outcome == theirs.outcome);
            check("ring", ours.rang_at.map(|at| end - at) == theirs.ring);
        }
        let since = answered.map(|(_, at)| at);
        let spoke = self.first_speech.map(|at| at.max(since.unwrap_or(at)));
        check("first_speech_at", record.first_speech_at == spoke);
        let heard = self.script.as_ref().map_or(&[][..], |script| &script.heard);
        let told = record.prompts.iter().map(|one| (one.due, one.started_at));
        check("prompts", told.eq(heard.iter().copied()));
        faults
    }

    fn outcome(&self, short_abandon: Duration) -> Outcome {
        match self.final_status {
            Some((200, _)) => Outcome::Answered,
            Some((487, at)) if at - self.offered_at < short_abandon => Outcome::ShortAbandoned,
            Some((487, _)) => Outcome::Abandoned,
            _ => match self.defeat() {
                Some(AttemptOutcome::Busy) => Outcome::Busy,
                Some(AttemptOutcome::NoAnswer) => Outcome::NoAnswer,
                Some(AttemptOutcome::Failed) => Outcome::Failed,
                _ => Outcome::Refused,
            },
        }
    }

    /// How the last target that was tried to its end did not answer.
    fn defeat(&self) -> Option<AttemptOutcome> {
        let tried = self.attempts.iter().filter_map(|attempt| attempt.end);
        let mut lost = tried.map(|(_, outcome)| outcome);
        lost.rfind(|outcome| *outcome != AttemptOutcome::Cancelled)
    }
}
