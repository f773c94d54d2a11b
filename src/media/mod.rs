//! RTP: packets, codecs, the relay between two legs, prompts. Knows no SIP and hears nothing.
//!
//! A datagram comes in with the instant and the address it came from; the same buffer goes out
//! with another header, at once: there is no jitter buffer in the relay path. Nothing here
//! allocates for a packet.

pub mod codec;
pub mod player;
pub mod presence;
pub mod prompt;
pub mod relay;
pub mod rtp;
pub mod session;
pub mod source_lock;
pub mod stats;

use std::time::Duration;

/// RTP clock ticks of G.711 in one 20 ms frame: 8,000 a second (RFC 3551 §4.5.14).
pub const FRAME_TICKS: u32 = 160;

/// One frame: the packet time of our prompts, and G.711's default (RFC 3551 §4.5.14).
pub const FRAME: Duration = Duration::from_millis(20);

/// One frame of audio: 16-bit samples at 8 kHz.
pub type Frame = [i16; FRAME_TICKS as usize];

/// A duration in RTP clock ticks, which wrap at 2^32 (RFC 3550 §5.1).
pub(crate) fn ticks(duration: Duration) -> u32 {
    (duration.as_nanos() / 125_000) as u32
}
