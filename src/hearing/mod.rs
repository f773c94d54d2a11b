//! Audio frames → who speaks, and since when. Knows no packets and no calls.
//!
//! An [`ear::Ear`] is one leg's listening: [`frames`] cuts the samples that arrive into 20 ms
//! frames and measures their level, a [`vad::Vad`] has its opinion of each, [`decision`] makes speech
//! of them. A better decision takes the place of the last without the others knowing.

pub mod decision;
pub mod ear;
pub mod frames;
pub mod vad;
pub mod webrtc;

use std::time::Duration;

/// Samples in one frame: 20 ms at 8 kHz.
pub const FRAME_SAMPLES: usize = 160;

/// One frame.
pub const FRAME: Duration = Duration::from_millis(20);

/// One frame of audio, 16-bit samples.
pub type Frame = [i16; FRAME_SAMPLES];
