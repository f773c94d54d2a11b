//! What is measured of one call: times and counts as they happen, the record at the end.
//!
//! Every figure of a call is moved here and nowhere else, so that metrics and record cannot differ.
//! Source: definitions of the figures (`post_dial_delay`, `ring_time`, `wait_time`, `talk_time`), rule R19.

use super::attempt::Attempt;
use super::desk::Desk;
use super::doors::StreamCounts;
use super::ending::Ended;
use crate::base::ids::Leg;
use crate::base::time::Instant;
use crate::config::Hotline;
use crate::hotline::figures::{Abandon, Direction, DropReason, HotlineIndex, TrunkIndex};
use crate::hotline::finding::{Cause, Finding, FindingKind};
use crate::hotline::hunt::Defeat;
use crate::hotline::record::{
    Attempt as AttemptEntry, AttemptOutcome, EndedCall, Outcome, Source, StreamTotals,
};
use crate::hotline::treat::{PromptHow, PromptPlayed, Treatment, TreatmentOutcome};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Findings kept of one call; later ones are counted in the figures only.
const FINDINGS_MAX: usize = 64;

/// The account of one call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ledger {
    /// When the INVITE came.
    pub offered_at: Instant,
    /// Why the last target that was tried did not answer.
    pub last_defeat: Option<Defeat>,
    /// Whether any audio packet of the caller came since its description was known.
    pub heard_caller: bool,
    trunk: String,
    counted_trunk: TrunkIndex,
    hotline: Arc<Hotline>,
    counted_line: HotlineIndex,
    number: Option<String>,
    first_ring_at: Option<Instant>,
    connected: bool,
    answered_at: Option<Instant>,
    first_speech_at: Option<Instant>,
    outcome: Option<Outcome>,
    findings: Vec<Finding>,
    prompts: Vec<PromptPlayed>,
    treated: Option<(FindingKind, Cause)>,
    treatment: Option<TreatmentOutcome>,
    streams: [StreamTotals; 2],
}

impl Ledger {
    /// Opens the account of a call that passed admission.
    pub fn new(
        desk: &Desk,
        now: Instant,
        trunk: &str,
        hotline: Arc<Hotline>,
        number: Option<String>,
    ) -> Ledger {
        Ledger {
            offered_at: now,
            last_defeat: None,
            heard_caller: false,
            trunk: trunk.to_owned(),
            counted_trunk: desk.figures.trunk_index(trunk),
            counted_line: desk.figures.hotline_index(&hotline.name),
            hotline,
            number,
            first_ring_at: None,
            connected: false,
            answered_at: None,
            first_speech_at: None,
            outcome: None,
            findings: Vec::new(),
            prompts: Vec::new(),
            treated: None,
            treatment: None,
            streams: [StreamTotals::default(); 2],
        }
    }

    /// Where the hotline is counted.
    pub fn line(&self) -> HotlineIndex {
        self.counted_line
    }

    /// The call passed admission.
    pub fn on_offered(&self, desk: &mut Desk) {
        desk.figures.offered(self.line(), self.counted_trunk);
    }

    fn connect(&mut self, desk: &mut Desk) {
        if !self.connected {
            self.connected = true;
            desk.figures.connected(self.line());
        }
    }

    /// The first 18x went on to the caller.
    pub fn on_first_ring(&mut self, desk: &mut Desk, now: Instant) {
        self.connect(desk);
        self.on_response(desk, now);
    }

    /// An 18x or final response went to the caller: the first ends the post-dial delay (RFC 6076 §4.3).
    pub fn on_response(&mut self, desk: &mut Desk, now: Instant) {
        if self.first_ring_at.is_none() {
            self.first_ring_at = Some(now);
            desk.figures
                .post_dial_delay(self.line(), now - self.offered_at);
        }
    }

    /// An attempt was answered, refused or given up.
    pub fn on_attempt_settled(&mut self, desk: &mut Desk, attempt: &Attempt) {
        let (Some(rang), Some(ended)) = (attempt.rang_at, attempt.ended_at) else {
            return;
        };
        let Some(outcome) = attempt.outcome else {
            return;
        };
        let agent = &self.hotline.targets[attempt.target].name;
        desk.figures.ring(self.line(), agent, outcome, ended - rang);
    }

    /// A target answered.
    pub fn on_answered(&mut self, desk: &mut Desk, now: Instant) {
        self.on_response(desk, now);
        self.connect(desk);
        self.answered_at = Some(now);
        self.outcome = Some(Outcome::Answered);
        desk.figures.answered(self.line());
        desk.figures.wait(self.line(), now - self.offered_at);
    }

    /// The caller gave up before an answer.
    pub fn on_abandoned(&mut self, desk: &mut Desk, now: Instant) {
        self.on_response(desk, now);
        let short = now - self.offered_at < self.hotline.short_abandon;
        let (outcome, kind) = match short {
            true => (Outcome::ShortAbandoned, Abandon::Short),
            false => (Outcome::Abandoned, Abandon::Normal),
        };
        self.outcome = Some(outcome);
        desk.figures.abandoned(self.line(), kind);
    }

    /// The caller was refused: by the last target, or for want of capacity.
    pub fn on_refused(&mut self, desk: &mut Desk, now: Instant) {
        self.on_response(desk, now);
        self.outcome = Some(match self.last_defeat.map(Defeat::outcome) {
            Some(AttemptOutcome::Busy) => Outcome::Busy,
            Some(AttemptOutcome::NoAnswer) => Outcome::NoAnswer,
            Some(AttemptOutcome::Failed) => Outcome::Failed,
            _ => Outcome::Refused,
        });
    }

    /// An answered call ended.
    pub fn on_hung_up(&mut self, desk: &mut Desk, now: Instant) {
        if let Some(answered_at) = self.answered_at {
            desk.figures.talk(self.line(), now - answered_at);
        }
    }

    /// The caller's speech: the first since the answer is kept, and clears what was found of silence.
    pub fn on_caller_speech(&mut self, now: Instant, at: Instant) {
        let Some(answered_at) = self.answered_at else {
            return;
        };
        self.first_speech_at.get_or_insert(at.max(answered_at));
        self.clear(now, |finding| finding.leg == Leg::Caller);
    }

    /// Notes a finding; one that holds already is not noted again.
    pub fn find(
        &mut self,
        desk: &mut Desk,
        at: Instant,
        kind: FindingKind,
        leg: Leg,
        cause: Cause,
    ) {
        let holds = |f: &Finding| f.kind == kind && f.leg == leg && f.cleared_at.is_none();
        if self.findings.iter().any(holds) {
            return;
        }
        desk.figures.finding(self.line(), kind, leg, cause);
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding {
                kind,
                leg,
                cause,
                at,
                cleared_at: None,
            });
        }
    }

    /// Audio of this leg came again.
    pub fn clear_one_way(&mut self, now: Instant, leg: Leg) {
        self.clear(now, |f| f.leg == leg && f.kind == FindingKind::OneWay);
    }

    fn clear(&mut self, now: Instant, which: impl Fn(&Finding) -> bool) {
        for finding in &mut self.findings {
            if finding.cleared_at.is_none() && which(finding) {
                finding.cleared_at = Some(now);
            }
        }
    }

    /// A script began for this reason.
    pub fn on_treatment_began(&mut self, kind: FindingKind, cause: Cause) {
        self.treated.get_or_insert((kind, cause));
    }

    /// A script has its outcome.
    pub fn on_treated(&mut self, desk: &mut Desk, outcome: TreatmentOutcome) {
        if let Some((kind, _)) = self.treated
            && self.treatment.is_none()
        {
            self.treatment = Some(outcome);
            desk.figures.treatment(self.line(), kind, outcome);
        }
    }

    /// Takes note of the prompts that were heard up to now; each counts once, when it has begun.
    pub fn on_prompts(&mut self, desk: &mut Desk, heard: &[PromptPlayed]) {
        for new in heard.iter().skip(self.prompts.len()) {
            desk.figures.prompt(self.line(), &new.prompt);
            desk.figures.treatment_delay(new.started_at - new.due);
        }
        self.prompts = heard.to_vec();
    }

    /// A prompt was cut off by the end of the call.
    pub fn on_prompt_cut_off(&mut self, how: PromptHow, at: Instant) {
        if let Some(prompt) = self
            .prompts
            .last_mut()
            .filter(|prompt| prompt.how.is_none())
        {
            prompt.how = Some(how);
            prompt.ended_at = Some(at);
        }
    }

    /// Adds a leg's packet counters.
    pub fn count(&mut self, desk: &mut Desk, leg: Leg, counts: &StreamCounts) {
        self.streams[leg.index()].add(counts.received, counts.sent, counts.lost);
        let figures = &mut desk.figures;
        figures.rtp_packets(Direction::In, u64::from(counts.received));
        figures.rtp_packets(Direction::Out, u64::from(counts.sent));
        for (reason, dropped) in [
            (DropReason::Malformed, counts.dropped_malformed),
            (DropReason::Source, counts.dropped_source),
            (DropReason::NoRoute, counts.dropped_no_route),
            (DropReason::Late, counts.dropped_late),
        ] {
            figures.rtp_dropped(reason, u64::from(dropped));
        }
    }

    /// The account as it stands when the call is over.
    pub fn close(&self, ended: Ended, id: &str, attempts: &[Attempt]) -> EndedCall {
        let hotline = &self.hotline;
        EndedCall {
            id: id.to_owned(),
            hotline: Some(hotline.name.clone()),
            trunk: Some(self.trunk.clone()),
            caller: self.number.clone().unwrap_or_default(),
            offered_at: self.offered_at,
            answered: self.answered_at.map(|at| (at, Source::Signalling)),
            ended_at: ended.at,
            post_dial_delay: self.first_ring_at.map(|at| at - self.offered_at),
            attempts: attempts.iter().map(|a| self.entry(a)).collect(),
            ring_cadence: hotline.ring_cadence,
            first_speech_at: self.first_speech_at,
            outcome: self.outcome.unwrap_or(Outcome::Failed),
            ended_by: ended.by,
            final_status: Some(ended.final_status),
            findings: self.findings.clone(),
            prompts: self.prompts.clone(),
            treatments: self.treatment_entry().into_iter().collect(),
            streams: self.streams,
            site: None,
        }
    }

    fn entry(&self, attempt: &Attempt) -> AttemptEntry {
        let ring = attempt
            .rang_at
            .zip(attempt.ended_at)
            .map(|(rang, ended)| ended - rang);
        AttemptEntry {
            target: self.hotline.targets[attempt.target].name.clone(),
            ring,
            outcome: attempt.outcome.unwrap_or(AttemptOutcome::Cancelled),
        }
    }

    fn treatment_entry(&self) -> Option<Treatment> {
        let (kind, cause) = self.treated?;
        let outcome = self.treatment?;
        Some(Treatment {
            kind,
            cause,
            prompts: self.prompts.clone(),
            outcome,
        })
    }
}
