//! One record a call, always: who, when, how long, how it ended, what was played, who hung up.
//!
//! [`EndedCall`] is the core's form, in boot-clock times; [`EndedCall::stamped`] makes the
//! [`CallRecord`] that is stored and shown. What is not known is null there, never 0: a 2xx without
//! 18x has no ring time. Decides nothing about the call. Source: rule R19; the formulas are those of
//! the figures (`ring_time`, `wait_time`, `talk_time`, `rings`).

use super::finding::{Cause, Finding, FindingKind};
use super::treat::{PromptHow, PromptPlayed, Treatment, TreatmentOutcome};
use super::words::closed_set;
use crate::base::ids::Leg;
use crate::base::time::Instant;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
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

/// The wall clock, as an offset from the boot clock: read once by the shell, told to the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    at_boot: Timestamp,
}

/// A wall-clock time in UTC, to the millisecond; text and JSON form are RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(Timestamp);

/// A call's record, as it is stored and as every reader gets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// See [`EndedCall::id`].
    pub id: String,
    /// See [`EndedCall::hotline`].
    pub hotline: Option<String>,
    /// See [`EndedCall::trunk`].
    pub trunk: Option<String>,
    /// See [`EndedCall::caller`].
    pub caller: String,
    /// The target that answered.
    pub agent: Option<String>,
    /// The INVITE.
    pub offered_at: Stamp,
    /// The answer.
    pub answered_at: Option<Stamp>,
    /// See [`EndedCall::ended_at`].
    pub ended_at: Stamp,
    /// What the answer was learnt from.
    pub answered_by: Option<Source>,
    /// See [`EndedCall::post_dial_delay`].
    pub post_dial_delay_ms: Option<u64>,
    /// Ringing of the last attempt.
    pub ring_ms: Option<u64>,
    /// What the ringing was learnt from.
    pub ring_source: Option<Source>,
    /// floor(`ring_ms` / cadence) + 1.
    pub rings: Option<u64>,
    /// INVITE → answer.
    pub wait_ms: Option<u64>,
    /// Joined a queue → answer.
    pub queue_wait_ms: Option<u64>,
    /// Answer → end, holds included.
    pub talk_ms: Option<u64>,
    /// Time on hold.
    pub hold_ms: Option<u64>,
    /// Answer → the caller's first speech.
    pub first_speech_ms: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// The final response that the caller's INVITE got.
    pub final_status: Option<u16>,
    /// Every target that was tried, in order.
    pub attempts: Vec<AttemptRecord>,
    /// What was found, in order.
    pub findings: Vec<FindingRecord>,
    /// What was played, in order.
    pub prompts: Vec<PromptRecord>,
    /// Scripts that were played.
    #[serde(default)]
    pub treatments: Vec<TreatmentRecord>,
    /// How often it was transferred.
    pub transfers: Option<u64>,
    /// The two audio streams.
    pub quality: Quality,
    /// See [`EndedCall::site`].
    pub site: Option<String>,
    /// The program's version.
    pub version: String,
}

/// See [`Attempt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The target's name.
    pub target: String,
    /// How long it rang.
    pub ring_ms: Option<u64>,
    /// What came of it.
    pub outcome: AttemptOutcome,
}

/// See [`Finding`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingRecord {
    /// What.
    pub kind: FindingKind,
    /// On whose leg.
    pub leg: Leg,
    /// Why.
    pub cause: Cause,
    /// When it was raised.
    pub at: Stamp,
    /// When it cleared.
    pub cleared_at: Option<Stamp>,
}

/// See [`PromptPlayed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptRecord {
    /// The prompt's name.
    pub id: String,
    /// Its first frame.
    pub at: Stamp,
    /// The end of its last frame.
    pub ended_at: Option<Stamp>,
    /// What became of it.
    pub how: Option<PromptHow>,
}

/// See [`Treatment`]; what it played is in the record's `prompts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreatmentRecord {
    /// Which script.
    pub kind: FindingKind,
    /// Why it was played.
    pub cause: Cause,
    /// How it ended.
    pub outcome: TreatmentOutcome,
}

/// Both streams of a call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// What the caller sent.
    pub caller: StreamQuality,
    /// What the agent sent.
    pub agent: StreamQuality,
}

/// One leg's stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamQuality {
    /// Packets from the peer.
    pub packets_received: u64,
    /// Packets to the peer.
    pub packets_sent: u64,
    /// Packets from the peer that never came; below 0 where some came twice.
    pub packets_lost: i64,
    /// Lost of those that should have come, in percent; null if none should have.
    pub loss_percent: Option<f64>,
    /// Interarrival jitter.
    pub jitter_ms: Option<f64>,
    /// Estimated opinion score, 1 to 5.
    pub mos: Option<f64>,
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

impl WallClock {
    /// The wall clock that showed `wall` when the boot clock showed `now`.
    pub fn new(now: Instant, wall: Timestamp) -> Self {
        WallClock {
            at_boot: timestamp(wall.as_nanosecond() - i128::from(now.as_nanos())),
        }
    }

    /// The wall-clock time of an instant, rounded down to the millisecond.
    pub fn stamp(self, at: Instant) -> Stamp {
        Stamp::from(timestamp(
            self.at_boot.as_nanosecond() + i128::from(at.as_nanos()),
        ))
    }
}

impl Stamp {
    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// The time, for a zone's own view of it.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl From<Timestamp> for Stamp {
    fn from(exact: Timestamp) -> Stamp {
        let millis = exact.as_nanosecond().div_euclid(1_000_000);
        Stamp(timestamp(millis * 1_000_000))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Stamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        let exact: Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(Stamp::from(exact))
    }
}

/// A time stamp from nanoseconds since 1970, held within the calendar's range (years ±9999).
fn timestamp(nanos: i128) -> Timestamp {
    let inside = nanos.clamp(
        Timestamp::MIN.as_nanosecond(),
        Timestamp::MAX.as_nanosecond(),
    );
    Timestamp::from_nanosecond(inside).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Whole milliseconds, rounded down.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// An answered call that was treated, offered one hour after boot.
    pub(crate) fn ended_call() -> EndedCall {
        let at = |millis: u64| Instant::from_millis(3_600_000 + millis);
        EndedCall {
            id: "c0ffee0011223344".into(),
            hotline: Some("weather".into()),
            trunk: Some("carrier".into()),
            caller: "13800138000".into(),
            offered_at: at(0),
            answered: Some((at(6_250), Source::Signalling)),
            ended_at: at(16_250),
            post_dial_delay: Some(Duration::from_micros(180_700)),
            attempts: vec![
                Attempt {
                    target: "desk-1".into(),
                    ring: None,
                    outcome: AttemptOutcome::Busy,
                },
                Attempt {
                    target: "desk-2".into(),
                    ring: Some(Duration::from_micros(5_000_900)),
                    outcome: AttemptOutcome::Answered,
                },
            ],
            ring_cadence: Duration::from_secs(5),
            first_speech_at: Some(at(15_000)),
            outcome: Outcome::Answered,
            ended_by: EndedBy::Caller,
            final_status: Some(200),
            findings: vec![Finding {
                kind: FindingKind::SilentCaller,
                leg: Leg::Caller,
                cause: Cause::DigitalSilence,
                at: at(13_250),
                cleared_at: Some(at(15_000)),
            }],
            prompts: vec![PromptPlayed {
                prompt: "silent-connected".into(),
                due: at(13_250),
                started_at: at(13_260),
                ended_at: Some(at(15_040)),
                how: Some(PromptHow::Speech),
            }],
            treatments: vec![Treatment {
                kind: FindingKind::SilentCaller,
                cause: Cause::DigitalSilence,
                prompts: Vec::new(),
                outcome: TreatmentOutcome::Recovered,
            }],
            streams: [
                StreamTotals {
                    received: 495,
                    sent: 500,
                    lost: 5,
                },
                StreamTotals::default(),
            ],
            site: None,
        }
    }

    /// The wall clock showed this at boot.
    pub(crate) fn wall_clock() -> WallClock {
        WallClock::new(
            Instant::from_millis(1_000),
            "2026-03-01T00:00:01.000900Z".parse().unwrap(),
        )
    }

    fn json_of(call: &EndedCall) -> Value {
        serde_json::to_value(call.stamped(wall_clock())).unwrap()
    }

    #[test]
    fn a_record_has_the_fields_of_the_contract_in_milliseconds_and_utc() {
        let json = json_of(&ended_call());
        let expected = json!({
            "id": "c0ffee0011223344", "hotline": "weather", "trunk": "carrier",
            "caller": "13800138000", "agent": "desk-2",
            "offered_at": "2026-03-01T01:00:00.000Z", "answered_at": "2026-03-01T01:00:06.250Z",
            "ended_at": "2026-03-01T01:00:16.250Z", "answered_by": "signalling",
            "post_dial_delay_ms": 180, "ring_ms": 5000, "rings": 2, "wait_ms": 6250,
            "talk_ms": 10000, "hold_ms": null, "first_speech_ms": 8750, "outcome": "answered",
            "ring_source": "signalling", "queue_wait_ms": null, "ended_by": "caller",
            "final_status": 200,
            "attempts": [
                {"target": "desk-1", "ring_ms": null, "outcome": "busy"},
                {"target": "desk-2", "ring_ms": 5000, "outcome": "answered"},
            ],
            "findings": [{"kind": "silent_caller", "leg": "caller", "cause": "digital_silence",
                "at": "2026-03-01T01:00:13.250Z", "cleared_at": "2026-03-01T01:00:15.000Z"}],
            "prompts": [{"id": "silent-connected", "at": "2026-03-01T01:00:13.260Z",
                "ended_at": "2026-03-01T01:00:15.040Z", "how": "speech"}],
            "treatments": [{"kind": "silent_caller", "cause": "digital_silence",
                "outcome": "recovered"}],
            "transfers": null,
            "quality": {
                "caller": {"packets_received": 495, "packets_sent": 500, "packets_lost": 5,
                    "loss_percent": 1.0, "jitter_ms": null, "mos": null},
                "agent": {"packets_received": 0, "packets_sent": 0, "packets_lost": 0,
                    "loss_percent": null, "jitter_ms": null, "mos": null},
            },
            "site": null, "version": env!("CARGO_PKG_VERSION"),
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn an_answer_without_ringing_has_no_ring_time_not_zero() {
        let mut call = ended_call();
        call.attempts[1].ring = None;
        let json = json_of(&call);
        for field in ["ring_ms", "rings", "ring_source"] {
            assert_eq!(json[field], Value::Null, "{field}");
        }
        assert_eq!(json["agent"], "desk-2");
    }

    #[test]
    fn a_call_that_nobody_answered_has_no_times_of_an_answer() {
        let mut call = ended_call();
        call.answered = None;
        call.first_speech_at = None;
        call.attempts[1].outcome = AttemptOutcome::NoAnswer;
        let json = json_of(&call);
        for field in [
            "agent",
            "answered_at",
            "answered_by",
            "wait_ms",
            "talk_ms",
            "first_speech_ms",
        ] {
            assert_eq!(json[field], Value::Null, "{field}");
        }
        assert_eq!(json["ring_ms"], 5_000, "it rang all the same");
    }

    #[test]
    fn a_ring_counts_from_its_beginning() {
        let of = |millis| rings(Duration::from_millis(millis), Duration::from_secs(5));
        assert_eq!(of(0), Some(1));
        assert_eq!(of(4_999), Some(1));
        assert_eq!(of(5_000), Some(2));
        assert_eq!(of(14_999), Some(3));
        assert_eq!(rings(Duration::from_secs(1), Duration::ZERO), None);
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let record = ended_call().stamped(wall_clock());
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<CallRecord>(&text).unwrap(), record);
    }

    #[test]
    fn duplicates_do_not_make_a_negative_loss() {
        let mut totals = StreamTotals::default();
        totals.add(100, 90, -3);
        assert_eq!(totals.loss_percent(), Some(0.0));
    }
}
