//! What a phone says: nothing, silence, a tone, or samples.
//!
//! Decides the next 20 ms of a sound. It never encodes and never waits.

use super::SAMPLE_RATE;
use crate::media::prompt::NotAPrompt;
use crate::media::{FRAME_TICKS, Frame};
use std::f32::consts::TAU;
use std::io::Cursor;
use std::sync::Arc;

/// Half of full scale: -6 dBov at the peak.
const AMPLITUDE: f32 = 16_384.0;

/// What a phone says while its call is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sound {
    /// No RTP at all: the mute leg of one-way audio.
    Nothing,
    /// Packets full of digital silence.
    Silence,
    /// A sine of this frequency in Hz, at -9 dBov.
    Tone(u16),
    /// These samples (8 kHz, 16 bit), from the beginning of each call.
    Samples {
        /// The samples; shared by all calls.
        pcm: Arc<[i16]>,
        /// From the beginning again at the end; else silence.
        looped: bool,
    },
}

impl Sound {
    /// Samples said once, then silence.
    pub fn once(pcm: impl Into<Arc<[i16]>>) -> Sound {
        let (pcm, looped) = (pcm.into(), false);
        Sound::Samples { pcm, looped }
    }

    /// Samples said over and over.
    pub fn looped(pcm: impl Into<Arc<[i16]>>) -> Sound {
        let (pcm, looped) = (pcm.into(), true);
        Sound::Samples { pcm, looped }
    }

    /// The frame that begins at this sample; `None`: nothing is sent.
    pub(super) fn frame(&self, from: u64) -> Option<Frame> {
        let mut frame = [0; FRAME_TICKS as usize];
        match self {
            Sound::Nothing => return None,
            Sound::Silence => {}
            Sound::Tone(hz) => {
                for (at, sample) in (from..).zip(&mut frame) {
                    *sample = (sine(f32::from(*hz), at) * AMPLITUDE) as i16;
                }
            }
            Sound::Samples { pcm, looped } => {
                let length = pcm.len().max(1) as u64;
                for (at, sample) in (from..).zip(&mut frame) {
                    let at = if *looped { at % length } else { at };
                    *sample = usize::try_from(at)
                        .ok()
                        .and_then(|at| pcm.get(at).copied())
                        .unwrap_or(0);
                }
            }
        }
        Some(frame)
    }
}

/// A sine of full scale 1. It begins anew each second, where whole numbers of hertz meet zero: no rounding adds up.
fn sine(hz: f32, at: u64) -> f32 {
    let seconds = (at % u64::from(SAMPLE_RATE)) as f32 / SAMPLE_RATE as f32;
    (TAU * hz * seconds).sin()
}

/// Eight seconds of music to be looped: a bass and plucked broken chords. Hold music, for queues that are not real.
pub fn music() -> Vec<i16> {
    /// C, A minor, F, G: bass and three notes, in Hz.
    const CHORDS: [[f32; 4]; 4] = [
        [131.0, 262.0, 330.0, 392.0],
        [110.0, 220.0, 262.0, 330.0],
        [175.0, 262.0, 349.0, 440.0],
        [98.0, 247.0, 294.0, 392.0],
    ];
    let (chord_samples, note_samples) = (u64::from(SAMPLE_RATE) * 2, u64::from(SAMPLE_RATE) / 4);
    let sample = |at: u64| {
        let chord = CHORDS[(at / chord_samples) as usize % CHORDS.len()];
        let note = chord[1 + (at / note_samples) as usize % 3];
        let since_pluck = (at % note_samples) as f32 / note_samples as f32;
        let plucked = sine(note, at) * (-3.0 * since_pluck).exp();
        ((0.3 * sine(chord[0], at) + 0.5 * plucked) * AMPLITUDE) as i16
    };
    (0..4 * chord_samples).map(sample).collect()
}

/// The samples of a WAV file, which must be 8 kHz, mono, 16 bit PCM.
///
/// # Errors
/// As for a prompt, but that no file is too long.
pub fn samples_of_wav(wav: &[u8]) -> Result<Vec<i16>, NotAPrompt> {
    let reader = hound::WavReader::new(Cursor::new(wav)).map_err(|_| NotAPrompt::Unreadable)?;
    let spec = reader.spec();
    let format = (
        spec.channels,
        spec.sample_rate,
        spec.bits_per_sample,
        spec.sample_format,
    );
    if format != (1, SAMPLE_RATE, 16, hound::SampleFormat::Int) {
        return Err(NotAPrompt::Format);
    }
    let samples: Result<Vec<i16>, _> = reader.into_samples().collect();
    samples.map_err(|_| NotAPrompt::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::prompt::wav_of;

    #[test]
    fn samples_end_in_silence_or_begin_again() {
        let pcm: Vec<i16> = (1..=200).collect();
        let (once, looped) = (Sound::once(pcm.clone()), Sound::looped(pcm));
        let frame = |sound: &Sound, from| sound.frame(from).expect("a frame");
        assert_eq!(frame(&once, 160)[38..42], [199, 200, 0, 0]);
        assert_eq!(frame(&looped, 160)[38..42], [199, 200, 1, 2]);
        assert_eq!(frame(&once, 320), [0; 160]);
        assert_eq!(frame(&Sound::looped(Vec::new()), 0), [0; 160]);
    }

    #[test]
    fn nothing_is_less_than_silence() {
        assert_eq!(Sound::Nothing.frame(0), None);
        assert_eq!(Sound::Silence.frame(0), Some([0; 160]));
    }

    #[test]
    fn a_tone_has_its_pitch_and_no_seams() {
        let tone = Sound::Tone(441);
        let pcm: Vec<i16> = (0..100)
            .flat_map(|n| tone.frame(n * 160).expect("a frame"))
            .collect();
        let rises = pcm.windows(2).filter(|w| w[0] < 0 && w[1] >= 0).count();
        assert!((880..=882).contains(&rises), "{rises} in two seconds");
        let steepest = pcm
            .windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
            .max();
        assert!(steepest < Some(5_800), "{steepest:?}");
    }

    #[test]
    fn music_is_loud_enough_to_be_heard_and_never_clips() {
        let music = music();
        assert_eq!(music.len(), 64_000);
        let peak = music.iter().map(|s| s.unsigned_abs()).max();
        assert!(peak > Some(8_000) && peak < Some(20_000), "{peak:?}");
    }

    #[test]
    fn a_wav_file_of_another_rate_is_refused() {
        assert_eq!(
            samples_of_wav(&wav_of(8_000, &[1, 2, 3])),
            Ok(vec![1, 2, 3])
        );
        assert_eq!(
            samples_of_wav(&wav_of(16_000, &[1])),
            Err(NotAPrompt::Format)
        );
        assert_eq!(samples_of_wav(b"RIFF"), Err(NotAPrompt::Unreadable));
    }
}
