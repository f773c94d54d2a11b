//! A phone's audio: what it says, what it hears, as RTP of one call.
//!
//! Pure: packets and instants in, packets out. Sockets are the shell's.

mod loud;
mod sound;
mod stream;
mod tape;

pub use sound::{Sound, music, samples_of_wav};
pub use stream::{Heard, Origin, Stats, Stream};
pub use tape::Recording;

use std::time::Duration;

/// Samples a second, of all audio here.
pub const SAMPLE_RATE: u32 = 8_000;

/// The time of so many samples.
pub fn time_of(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 125)
}
