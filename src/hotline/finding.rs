//! What can be wrong with a call, and why: the closed vocabulary of findings.
//!
//! Source: the table of findings in the operators' rules; the words are fixed by the contract.

use super::words::closed_set;
use crate::base::ids::Leg;
use crate::base::time::Instant;
use serde::{Deserialize, Serialize};

closed_set! {
    /// What was found.
    pub enum FindingKind {
        /// The caller is not heard although the call is up, and R1's clock has run out.
        SilentCaller = "silent_caller",
        /// Audio does not arrive in one direction.
        OneWay = "one_way",
        /// The caller's speech drowns in noise.
        NoisyLine = "noisy_line",
        /// Losses or gaps in the caller's stream.
        WeakSignal = "weak_signal",
        /// The caller speaks too softly.
        QuietCaller = "quiet_caller",
        /// Nobody speaks although it is the agent's turn.
        AgentDeadAir = "agent_dead_air",
        /// Nobody speaks although it is the caller's turn.
        CallerUnresponsive = "caller_unresponsive",
        /// The agent has not spoken since the answer.
        AgentSilent = "agent_silent",
        /// Both speak at once.
        TalkOver = "talk_over",
    }
}

closed_set! {
    /// Why it was found. A leg on hold is no finding.
    pub enum Cause {
        /// No RTP since the answer.
        NeverSent = "never_sent",
        /// RTP came, then no more.
        Stopped = "stopped",
        /// Audio frames without any sound.
        DigitalSilence = "digital_silence",
        /// Only comfort noise (RFC 3389).
        ComfortNoiseOnly = "comfort_noise_only",
        /// Sound, but no speech in it.
        NoiseWithoutSpeech = "noise_without_speech",
        /// Payload that cannot be decoded.
        Undecodable = "undecodable",
        /// SRTP that cannot be decrypted.
        Undecryptable = "undecryptable",
        /// Packets from a source that is not the peer's.
        WrongSource = "wrong_source",
        /// Too little speech above the noise.
        LowSnr = "low_snr",
        /// Too many packets lost.
        PacketLoss = "packet_loss",
        /// Too low a speech level.
        LowLevel = "low_level",
        /// The peer's RTCP or ICMP says that nothing arrives there.
        PeerNotReceiving = "peer_not_receiving",
    }
}

/// One finding of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// On whose leg.
    pub leg: Leg,
    /// Why.
    pub cause: Cause,
    /// When it was raised.
    pub at: Instant,
    /// When it cleared, if it did.
    pub cleared_at: Option<Instant>,
}
