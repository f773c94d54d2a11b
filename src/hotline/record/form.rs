//! A call's record as it is stored and shown: JSON, milliseconds as integers, RFC 3339 times.
//!
//! Only a form: [`EndedCall::stamped`] fills it. Source: the contract's list of fields; a field that
//! has no source yet is null.

#[cfg(doc)]
use super::{Attempt, EndedCall};
use super::{AttemptOutcome, EndedBy, Outcome, Source, Stamp};
use crate::base::ids::Leg;
use crate::hotline::finding::{Cause, FindingKind};
use crate::hotline::treat::{PromptHow, TreatmentOutcome};
#[cfg(doc)]
use crate::hotline::{
    finding::Finding,
    treat::{PromptPlayed, Treatment},
};
use serde::{Deserialize, Serialize};

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
