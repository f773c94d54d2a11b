//! One record a call, always: who, when, how long, how it ended, what was played, who hung up.
//!
//! [`EndedCall`] is the core's form, in boot-clock times; [`EndedCall::stamped`] makes the
//! [`CallRecord`] that is stored and shown. What is not known is null there, never 0: a 2xx without
//! 18x has no ring time. Decides nothing about the call. Source: rule R19; the formulas are those of
//! the figures (`ring_time`, `wait_time`, `talk_time`, `rings`).

mod form;
mod stamp;

pub use form::{
    AttemptRecord, CallRecord, FindingRecord, PromptRecord, Quality, StreamQuality, TreatmentRecord,
};
pub use stamp::{Stamp, WallClock};

use super::finding::Finding;
use super::treat::{PromptPlayed, Treatment};
use super::words::closed_set;
use crate::base::ids::Leg;
use crate::base::time::Instant;
use serde::{Deserialize, Serialize};
use std::time::Duration;

closed_set! {
    /// How a call ended, as the hotline counts it.
    pub enum Outcome {
        /// A person, or a queue's signalling, answered.
        Answered = "answered",
        /// The caller gave up before an answer.
        Abandoned = "abandoned",
        /// The caller gave up at once, below the short-abandon limit.
        ShortAbandoned = "short_abandoned",
        /// Nobody answered in time.
        NoAnswer = "no_answer",
        /// All targets were busy.
        Busy = "busy",
        /// Outside the hours.
        Closed = "closed",
        /// A blocked caller.
        Blocked = "blocked",
        /// The queue was full.
        Overflow = "overflow",
        /// Not admitted, or refused by the targets.
        Refused = "refused",
        /// A fault: of a peer, of the network, or ours.
        Failed = "failed",
    }
}

closed_set! {
    /// Who ended the call first (R7).
    pub enum EndedBy {
        /// The caller's leg.
        Caller = "caller",
        /// The agent's leg.
        Agent = "agent",
        /// We did: the script's end, a drain, a refusal.
        Qingjiang = "qingjiang",
        /// A peer was lost.
        Unknown = "unknown",
    }
}

closed_set! {
    /// What one attempt at a target came to.
    pub enum AttemptOutcome {
        /// It answered.
        Answered = "answered",
        /// It rang, and was given up.
        NoAnswer = "no_answer",
        /// 486 or 600.
        Busy = "busy",
        /// Another refusal of the target.
        Refused = "refused",
        /// No response, or a fault.
        Failed = "failed",
        /// The caller left meanwhile.
        Cancelled = "cancelled",
    }
}

closed_set! {
    /// Where a time was learnt from.
    pub enum Source {
        /// SIP responses.
        Signalling = "signalling",
        /// Events of the PBX.
        Pbx = "pbx",
    }
}

/// A call that is over, in the core's own times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedCall {
    /// Public id: random, also sent to the target as `X-Qingjiang-Call`.
    pub id: String,
    /// The hotline that was dialled; `None` for an unknown number.
    pub hotline: Option<String>,
    /// The trunk it came by; `None` for an unknown source.
    pub trunk: Option<String>,
    /// The caller's number, as the trunk gave it.
    pub caller: String,
    /// The INVITE.
    pub offered_at: Instant,
    /// The answer, and what it was learnt from.
    pub answered: Option<(Instant, Source)>,
    /// The first BYE or CANCEL, or the final response of a call that was never up.
    pub ended_at: Instant,
    /// INVITE → first 18x or, if none came, the final response (RFC 6076 SRD).
    pub post_dial_delay: Option<Duration>,
    /// Every target that was tried, in order; one that answered is the last.
    pub attempts: Vec<Attempt>,
    /// One ring of the country's cadence.
    pub ring_cadence: Duration,
    /// Onset of the caller's first speech after the answer.
    pub first_speech_at: Option<Instant>,
    /// How it ended.
    pub outcome: Outcome,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// The final response that the caller's INVITE got.
    pub final_status: Option<u16>,
    /// What was found, in order.
    pub findings: Vec<Finding>,
    /// What was heard of us, in order.
    pub prompts: Vec<PromptPlayed>,
    /// Scripts that were played.
    pub treatments: Vec<Treatment>,
    /// Packets of the caller's and the agent's stream (see [`Leg::index`]).
    pub streams: [StreamTotals; 2],
    /// Name of this site, where many report to one.
    pub site: Option<String>,
}

/// One target that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The target's name.
    pub target: String,
    /// First ringing response → 2xx, or the moment we gave up; `None` if it never rang.
    pub ring: Option<Duration>,
    /// What came of it.
    pub outcome: AttemptOutcome,
}

/// RTP packets of one leg over the whole call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamTotals {
    /// Accepted from the peer.
    pub received: u64,
    /// Sent to the peer, prompts included.
    pub sent: u64,
    /// Never came, by sequence number (RFC 3550 A.3); below 0 where packets came twice.
    pub lost: i64,
}

impl EndedCall {
    /// The record as it is stored, with wall-clock times.
    pub fn stamped(&self, clock: WallClock) -> CallRecord {
        let answered = self.answered.map(|(at, _)| at);
        let ring = self.attempts.last().and_then(|attempt| attempt.ring);
        CallRecord {
            id: self.id.clone(),
            hotline: self.hotline.clone(),
            trunk: self.trunk.clone(),
            caller: self.caller.clone(),
            agent: self.agent(),
            offered_at: clock.stamp(self.offered_at),
            answered_at: answered.map(|at| clock.stamp(at)),
            ended_at: clock.stamp(self.ended_at),
            answered_by: self.answered.map(|(_, source)| source),
            post_dial_delay_ms: self.post_dial_delay.map(millis),
            ring_ms: ring.map(millis),
            ring_source: ring.map(|_| Source::Signalling),
            rings: ring.and_then(|ring| rings(ring, self.ring_cadence)),
            wait_ms: answered.map(|at| at.millis_since(self.offered_at)),
            queue_wait_ms: None,
            talk_ms: answered.map(|at| self.ended_at.millis_since(at)),
            hold_ms: None,
            first_speech_ms: self.first_speech(answered).map(millis),
            outcome: self.outcome,
            ended_by: self.ended_by,
            final_status: self.final_status,
            attempts: self.attempts.iter().map(Attempt::record).collect(),
            findings: self
                .findings
                .iter()
                .map(|found| found.record(clock))
                .collect(),
            prompts: self
                .prompts
                .iter()
                .map(|heard| heard.record(clock))
                .collect(),
            treatments: self.treatments.iter().map(Treatment::record).collect(),
            transfers: None,
            quality: Quality {
                caller: self.streams[Leg::Caller.index()].quality(),
                agent: self.streams[Leg::Agent.index()].quality(),
            },
            site: self.site.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Name of the target that answered.
    fn agent(&self) -> Option<String> {
        let last = self.attempts.last()?;
        (last.outcome == AttemptOutcome::Answered).then(|| last.target.clone())
    }

    /// Answer → the caller's first speech.
    fn first_speech(&self, answered: Option<Instant>) -> Option<Duration> {
        Some(self.first_speech_at?.since(answered?))
    }
}

/// Rings that were heard: the first counts from its beginning. `None` without a cadence.
pub fn rings(ring: Duration, cadence: Duration) -> Option<u64> {
    let whole = ring.as_nanos().checked_div(cadence.as_nanos())?;
    u64::try_from(whole + 1).ok()
}

impl Attempt {
    fn record(&self) -> AttemptRecord {
        AttemptRecord {
            target: self.target.clone(),
            ring_ms: self.ring.map(millis),
            outcome: self.outcome,
        }
    }
}

impl Finding {
    fn record(&self, clock: WallClock) -> FindingRecord {
        FindingRecord {
            kind: self.kind,
            leg: self.leg,
            cause: self.cause,
            at: clock.stamp(self.at),
            cleared_at: self.cleared_at.map(|at| clock.stamp(at)),
        }
    }
}

impl PromptPlayed {
    fn record(&self, clock: WallClock) -> PromptRecord {
        PromptRecord {
            id: self.prompt.clone(),
            at: clock.stamp(self.started_at),
            ended_at: self.ended_at.map(|at| clock.stamp(at)),
            how: self.how,
        }
    }
}

impl Treatment {
    fn record(&self) -> TreatmentRecord {
        TreatmentRecord {
            kind: self.kind,
            cause: self.cause,
            outcome: self.outcome,
        }
    }
}

impl StreamTotals {
    /// Adds the counters of one interval.
    pub fn add(&mut self, received: u32, sent: u32, lost: i32) {
        self.received += u64::from(received);
        self.sent += u64::from(sent);
        self.lost += i64::from(lost);
    }

    fn quality(self) -> StreamQuality {
        StreamQuality {
            packets_received: self.received,
            packets_sent: self.sent,
            packets_lost: self.lost,
            loss_percent: self.loss_percent(),
            jitter_ms: None,
            mos: None,
        }
    }

    /// RFC 3550 §6.4.1: duplicates may make the loss negative; then nothing counts as lost.
    fn loss_percent(self) -> Option<f64> {
        let lost = u64::try_from(self.lost).unwrap_or(0);
        let expected = self.received + lost;
        (expected > 0).then(|| lost as f64 / expected as f64 * 100.0)
    }
}

/// Whole milliseconds, rounded down.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
