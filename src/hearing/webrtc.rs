//! The voice activity detector of WebRTC. The only file that names `webrtc-vad`.
//!
//! Blind spot, on purpose: it calls tones, music and street noise speech. Telling those apart is
//! the decision's matter.

use super::Frame;
use super::vad::Vad;
use webrtc_vad::{SampleRate, VadMode};

/// Not `Send`: it wraps a C pointer, so a media thread keeps it to itself. About 740 bytes.
pub struct WebRtcVad {
    vad: webrtc_vad::Vad,
}

impl WebRtcVad {
    /// A detector at 8 kHz in mode 3, the one that says speech least often.
    pub fn new() -> Self {
        WebRtcVad {
            vad: webrtc_vad::Vad::new_with_rate_and_mode(
                SampleRate::Rate8kHz,
                VadMode::VeryAggressive,
            ),
        }
    }
}

impl Default for WebRtcVad {
    fn default() -> Self {
        WebRtcVad::new()
    }
}

impl Vad for WebRtcVad {
    fn is_speech(&mut self, frame: &Frame) -> bool {
        self.vad
            .is_voice_segment(frame)
            .expect("160 samples are 20 ms at 8 kHz")
    }

    fn reset(&mut self) {
        // The library's reset falls back to mode 0.
        self.vad.reset();
        self.vad.set_mode(VadMode::VeryAggressive);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn a_reset_detector_judges_like_a_new_one() {
        let mut random = Random::from_number(1);
        let noise: Vec<Frame> = (0..200)
            .map(|_| std::array::from_fn(|_| (random.bits32() as i16) / 16))
            .collect();
        let judge = |vad: &mut WebRtcVad| -> Vec<bool> {
            noise.iter().map(|frame| vad.is_speech(frame)).collect()
        };
        let mut vad = WebRtcVad::new();
        let first = judge(&mut vad);
        assert!(first.contains(&true), "noise tells nothing of the state");
        vad.reset();
        assert_eq!(judge(&mut vad), first);
    }
}
