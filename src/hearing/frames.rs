//! Samples as they arrive → frames of 20 ms, and how loud they are.

use super::{FRAME_SAMPLES, Frame};

/// The level of digital silence (RFC 6464 §3: the scale ends at -127).
pub const LEVEL_MIN_DBOV: f32 = -127.0;

/// Cuts packets of any length into frames.
#[derive(Clone, Debug)]
pub struct Reframer {
    frame: Frame,
    filled: usize,
}

impl Default for Reframer {
    fn default() -> Self {
        Reframer {
            frame: [0; FRAME_SAMPLES],
            filled: 0,
        }
    }
}

impl Reframer {
    /// Adds a sample; the frame, if this was its last one.
    pub fn push(&mut self, sample: i16) -> Option<&Frame> {
        self.frame[self.filled] = sample;
        self.filled = (self.filled + 1) % FRAME_SAMPLES;
        (self.filled == 0).then_some(&self.frame)
    }

    /// Forgets a frame that was begun: what comes now does not continue it.
    pub fn clear(&mut self) {
        self.filled = 0;
    }
}

/// The level of a frame in dBov: 0 is a square wave of full scale, a sine of full scale is -3.01.
///
/// Source: RFC 6464 §3, ITU-T G.100.1.
pub fn level_dbov(frame: &Frame) -> f32 {
    let energy: u64 = frame
        .iter()
        .map(|sample| u64::from(sample.unsigned_abs()).pow(2))
        .sum();
    if energy == 0 {
        return LEVEL_MIN_DBOV;
    }
    let full_scale = FRAME_SAMPLES as f32 * 32_768.0 * 32_768.0;
    (10.0 * (energy as f32 / full_scale).log10()).max(LEVEL_MIN_DBOV)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_any_length_make_the_same_frames() {
        let samples: Vec<i16> = (0..2_400).collect();
        for length in [80, 160, 240, 320, 480] {
            let mut reframer = Reframer::default();
            let mut frames = Vec::new();
            for packet in samples.chunks(length) {
                for sample in packet {
                    frames.extend(reframer.push(*sample).copied());
                }
            }
            assert_eq!(frames.len(), 15);
            assert_eq!(frames.concat(), samples);
        }
    }

    #[test]
    fn a_frame_that_was_begun_can_be_forgotten() {
        let mut reframer = Reframer::default();
        (0..100).for_each(|_| assert!(reframer.push(1).is_none()));
        reframer.clear();
        let frames = (0..160).filter(|_| reframer.push(2) == Some(&[2; 160]));
        assert_eq!(frames.count(), 1);
    }

    #[test]
    fn levels_are_those_of_the_recommendation() {
        let sine = |amplitude: f32| {
            std::array::from_fn(|n| {
                (amplitude * (n as f32 * std::f32::consts::TAU / 16.0).sin()) as i16
            })
        };
        assert_eq!(level_dbov(&[i16::MIN; 160]), 0.0);
        assert!((level_dbov(&sine(32_767.0)) + 3.01).abs() < 0.02);
        assert!((level_dbov(&sine(3_276.7)) + 23.01).abs() < 0.02);
        assert_eq!(level_dbov(&[0; 160]), LEVEL_MIN_DBOV);
        assert!((level_dbov(&[8; 160]) + 72.25).abs() < 0.01);
    }
}
