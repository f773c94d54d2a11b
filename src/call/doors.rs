//! The doors between the control thread and a media thread: commands one way, facts the other.
//!
//! Both are plain values. Packets never cross; only changes do, and counters once a second.

use crate::base::codec::Codec;
use crate::base::ids::{CallKey, Leg};
use crate::base::time::Instant;
use crate::config::PromptTo;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// An even RTP port with its RTCP port above it, bound by one media thread (RFC 3550 §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortPair {
    /// Index of the media thread that bound it.
    pub thread: u16,
    /// The even port.
    pub rtp: u16,
}

/// What one leg's SDP says of its audio stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// Where the peer's SDP wants RTP; `None` while it is not known.
    pub remote: Option<SocketAddr>,
    /// The codec that we send to this peer. It may send either law.
    pub codec: Codec,
    /// Payload type of telephone-event that this peer expects from us (RFC 4733); `None`: it takes none.
    pub event_to_peer: Option<u8>,
    /// Payload type of telephone-event that this peer sends, the one in our own SDP.
    pub event_from_peer: Option<u8>,
    /// Whether we may send to it (its direction is sendrecv or recvonly).
    pub to_peer: bool,
    /// Whether it sends to us (its direction is sendrecv or sendonly).
    pub from_peer: bool,
}

/// Index of a prompt in the library that was loaded at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PromptId(pub u16);

/// Names one playing of a prompt within its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlayId(pub u32);

/// What the control thread tells a media thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// A call has leased these two port pairs (caller, agent; both of this thread). Datagrams that
    /// lay in the sockets before are thrown away. RTP towards each leg starts at these numbers.
    Open {
        /// The call.
        call: CallKey,
        /// RTP ports of the caller's and the agent's leg.
        ports: [u16; 2],
        /// What we put in the RTP header towards each leg (RFC 3550 §5.1: random).
        origin: [RtpOrigin; 2],
    },
    /// A leg's SDP is known, or known anew: its source is learnt afresh.
    Update {
        /// The call.
        call: CallKey,
        /// The leg whose peer sent the SDP.
        leg: Leg,
        /// What the SDP said.
        stream: Stream,
    },
    /// The call was answered: hearing starts cold on both legs and facts are told from now on.
    Listen {
        /// The call.
        call: CallKey,
    },
    /// Plays a prompt, unless the caller is speaking or began to speak after `unless_speech_since`
    /// (then it is refused at once). The caller's speech stops it. A playing one is replaced.
    Play {
        /// The call.
        call: CallKey,
        /// Comes back in [`Fact::PromptEnded`].
        play: PlayId,
        /// Which prompt.
        prompt: PromptId,
        /// Who hears it.
        to: PromptTo,
        /// What the control thread knew of the caller's speech.
        unless_speech_since: Instant,
    },
    /// Ends a prompt that is playing; it is reported as [`PromptEnd::Stopped`].
    Stop {
        /// The call.
        call: CallKey,
    },
    /// Asks, before the caller is hung up on, whether they are silent still (R7): speech is found up to 300 ms
    /// after it began, and only where it is heard is known that some may be on its way. Answered by [`Fact::Silence`].
    ConfirmSilence {
        /// The call.
        call: CallKey,
        /// What the control thread knew of the caller's speech.
        unless_speech_since: Instant,
    },
    /// The call is over. A last [`Fact::Report`] for each leg and [`Fact::Closed`] come back, then nothing more.
    Close {
        /// The call.
        call: CallKey,
    },
}

/// First values of an outgoing RTP stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpOrigin {
    /// Synchronisation source.
    pub ssrc: u32,
    /// First sequence number.
    pub sequence: u16,
    /// First time stamp, in ticks of 8 kHz.
    pub timestamp: u32,
}

/// What a media thread tells the control thread. All but `Ports` are about one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    /// The first audio packet of this leg since the call was opened or its SDP renewed.
    FirstRtp {
        /// The leg that sent it.
        leg: Leg,
    },
    /// Speech was found. `at` is its onset, up to 300 ms before now.
    SpeechBegan {
        /// Who speaks.
        leg: Leg,
        /// The first frame of the speech.
        at: Instant,
    },
    /// 700 ms went by without speech. `at` is the end of the last speech frame.
    SpeechEnded {
        /// Who spoke.
        leg: Leg,
        /// When the speech ended.
        at: Instant,
    },
    /// No audio packet for 3 s from a leg that had sent some.
    RtpStopped {
        /// The leg that is not heard any more.
        leg: Leg,
        /// Its last audio packet.
        at: Instant,
    },
    /// Audio packets came again after [`Fact::RtpStopped`].
    RtpResumed {
        /// The leg that is heard again.
        leg: Leg,
    },
    /// A prompt's first frame left.
    PromptStarted {
        /// From the command.
        play: PlayId,
    },
    /// A prompt ended; `at` is the end of its last frame.
    PromptEnded {
        /// From the command.
        play: PlayId,
        /// Why.
        how: PromptEnd,
        /// End of the last frame that was sent.
        at: Instant,
    },
    /// The answer to [`Command::ConfirmSilence`]; up to 300 ms after it, where that is in doubt.
    Silence {
        /// Whether the caller has not spoken and does not begin to.
        lasts: bool,
    },
    /// Counters of one leg since the last report; each second while the call is open.
    Report {
        /// The leg whose peer sent.
        leg: Leg,
        /// The counters.
        counts: StreamCounts,
    },
    /// The last fact of a call: its ports are free again.
    Closed,
}

/// Why a prompt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptEnd {
    /// Its last frame was sent.
    Completed,
    /// The caller spoke.
    Speech,
    /// It never began: the caller had spoken meanwhile, or cannot be sent to.
    Refused,
    /// [`Command::Stop`] or another [`Command::Play`].
    Stopped,
}

/// Packet counters of one leg over one interval. They are added, never replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamCounts {
    /// RTP packets accepted from the peer (audio and events).
    pub received: u32,
    /// RTP packets sent to the peer, prompts included.
    pub sent: u32,
    /// Audio packets accepted from the peer.
    pub audio: u32,
    /// Packets that never came, by sequence number (RFC 3550 A.3); may be negative when late ones come.
    pub lost: i32,
    /// Dropped: not RTP, or an unknown payload type.
    pub dropped_malformed: u32,
    /// Dropped: not from the latched source.
    pub dropped_source: u32,
    /// Dropped: no place to send it (direction, or the other leg has no address yet).
    pub dropped_no_route: u32,
    /// Dropped: came after a splice and belongs before it, or came twice.
    pub dropped_late: u32,
    /// RTCP packets, all counted and dropped.
    pub rtcp: u32,
    /// Loudest 20 ms frame, in tenths of dBov (0 is full scale, so values are negative);
    /// `i16::MIN` if no frame was heard.
    pub level_max_dbov10: i16,
}

impl Command {
    /// The call that it is about.
    pub fn call(&self) -> CallKey {
        match self {
            Command::Open { call, .. }
            | Command::Update { call, .. }
            | Command::Listen { call }
            | Command::Play { call, .. }
            | Command::Stop { call }
            | Command::ConfirmSilence { call, .. }
            | Command::Close { call } => *call,
        }
    }
}

impl Default for StreamCounts {
    /// Nothing counted, nothing heard.
    fn default() -> Self {
        StreamCounts {
            received: 0,
            sent: 0,
            audio: 0,
            lost: 0,
            dropped_malformed: 0,
            dropped_source: 0,
            dropped_no_route: 0,
            dropped_late: 0,
            rtcp: 0,
            level_max_dbov10: i16::MIN,
        }
    }
}

impl StreamCounts {
    /// Adds the counters of another interval; the louder level counts. Nothing overflows.
    pub fn add(&mut self, other: &StreamCounts) {
        for (sum, more) in [
            (&mut self.received, other.received),
            (&mut self.sent, other.sent),
            (&mut self.audio, other.audio),
            (&mut self.dropped_malformed, other.dropped_malformed),
            (&mut self.dropped_source, other.dropped_source),
            (&mut self.dropped_no_route, other.dropped_no_route),
            (&mut self.dropped_late, other.dropped_late),
            (&mut self.rtcp, other.rtcp),
        ] {
            *sum = sum.saturating_add(more);
        }
        self.lost = self.lost.saturating_add(other.lost);
        self.level_max_dbov10 = self.level_max_dbov10.max(other.level_max_dbov10);
    }
}
