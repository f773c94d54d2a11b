//! The library of prompts: 20 ms frames of 16-bit samples, ready to be encoded.
//!
//! It decides whether a WAV file can be a prompt. It never opens a file: it is given bytes. What
//! is said and when is the hotline's matter.

use std::collections::BTreeMap;
use std::io::Cursor;

use crate::media::{FRAME_TICKS, Frame};

/// Longest prompt: two minutes. A longer file is refused at start.
pub const PROMPT_FRAMES_MAX: usize = 2 * 60 * 50;

/// Most prompts in a library: an index has 16 bits.
pub const PROMPTS_MAX: usize = u16::MAX as usize;

/// Why a file is no prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPrompt {
    /// It is no WAV file, or a broken one.
    #[error("not a readable WAV file")]
    Unreadable,
    /// Another rate, width or number of channels.
    #[error("must be 8000 Hz, mono, 16 bit PCM")]
    Format,
    /// No samples.
    #[error("holds no sound")]
    Empty,
    /// Longer than [`PROMPT_FRAMES_MAX`].
    #[error("is longer than two minutes")]
    TooLong,
    /// More than [`PROMPTS_MAX`].
    #[error("is one too many")]
    TooMany,
}

/// All prompts of all voices, fixed when the service starts.
#[derive(Clone, Debug, Default)]
pub struct PromptLibrary {
    prompts: Vec<Box<[Frame]>>,
    by_name: BTreeMap<(String, String), u16>,
}

impl PromptLibrary {
    /// Adds a prompt from the bytes of a WAV file; one of the same voice and id is replaced.
    /// Returns its index.
    pub fn add(&mut self, voice: &str, id: &str, wav: &[u8]) -> Result<u16, NotAPrompt> {
        let frames = frames_of(wav)?;
        let name = (voice.to_owned(), id.to_owned());
        if let Some(&index) = self.by_name.get(&name) {
            self.prompts[index as usize] = frames;
            return Ok(index);
        }
        if self.prompts.len() >= PROMPTS_MAX {
            return Err(NotAPrompt::TooMany);
        }
        let index = self.prompts.len() as u16;
        self.prompts.push(frames);
        self.by_name.insert(name, index);
        Ok(index)
    }

    /// The index of a voice's prompt.
    pub fn find(&self, voice: &str, id: &str) -> Option<u16> {
        let name = (voice.to_owned(), id.to_owned());
        self.by_name.get(&name).copied()
    }

    /// The frames of a prompt; none for an index that is not in the library.
    pub fn frames(&self, index: u16) -> &[Frame] {
        self.prompts
            .get(index as usize)
            .map_or(&[], |frames| frames)
    }

    /// Voice and id of all prompts, in order.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_name
            .keys()
            .map(|(voice, id)| (voice.as_str(), id.as_str()))
    }
}

/// Cuts a WAV file into frames; the last one is filled up with zeros.
fn frames_of(wav: &[u8]) -> Result<Box<[Frame]>, NotAPrompt> {
    let reader = hound::WavReader::new(Cursor::new(wav)).map_err(|_| NotAPrompt::Unreadable)?;
    let spec = reader.spec();
    let pcm = (spec.channels, spec.sample_rate, spec.bits_per_sample) == (1, 8_000, 16)
        && spec.sample_format == hound::SampleFormat::Int;
    if !pcm {
        return Err(NotAPrompt::Format);
    }
    if reader.len() as usize > PROMPT_FRAMES_MAX * FRAME_TICKS as usize {
        return Err(NotAPrompt::TooLong);
    }
    let samples: Vec<i16> = reader
        .into_samples()
        .collect::<Result<_, _>>()
        .map_err(|_| NotAPrompt::Unreadable)?;
    if samples.is_empty() {
        return Err(NotAPrompt::Empty);
    }
    Ok(samples
        .chunks(FRAME_TICKS as usize)
        .map(|chunk| {
            let mut frame = [0; FRAME_TICKS as usize];
            frame[..chunk.len()].copy_from_slice(chunk);
            frame
        })
        .collect())
}

/// A WAV file of these samples, for tests of other rooms too.
#[cfg(test)]
pub(crate) fn wav_of(rate: u32, samples: &[i16]) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    for sample in samples {
        writer.write_sample(*sample).unwrap();
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_frame_is_filled_up_with_zeros() {
        let mut library = PromptLibrary::default();
        let index = library.add("v", "id", &wav_of(8_000, &[7; 200])).unwrap();
        let frames = library.frames(index);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0], [7; 160]);
        assert_eq!((frames[1][39], frames[1][40], frames[1][159]), (7, 0, 0));
        assert!(library.frames(index + 1).is_empty());
    }

    #[test]
    fn a_later_file_of_the_same_name_replaces_the_earlier() {
        let mut library = PromptLibrary::default();
        let first = library.add("v", "id", &wav_of(8_000, &[1; 160])).unwrap();
        let again = library.add("v", "id", &wav_of(8_000, &[2; 160])).unwrap();
        library.add("w", "id", &wav_of(8_000, &[3; 160])).unwrap();
        assert_eq!(first, again);
        assert_eq!(library.frames(first), [[2; 160]]);
        assert_eq!(library.find("v", "id"), Some(first));
        assert_eq!(library.find("v", "other"), None);
        assert_eq!(library.names().count(), 2);
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        let mut library = PromptLibrary::default();
        let mut add = |bytes: &[u8]| library.add("v", "id", bytes);
        assert_eq!(add(b"RIFF"), Err(NotAPrompt::Unreadable));
        assert_eq!(add(&wav_of(16_000, &[0; 10])), Err(NotAPrompt::Format));
        assert_eq!(add(&wav_of(8_000, &[])), Err(NotAPrompt::Empty));
        let long = vec![0; PROMPT_FRAMES_MAX * 160 + 1];
        assert_eq!(add(&wav_of(8_000, &long)), Err(NotAPrompt::TooLong));
        let mut cut = wav_of(8_000, &[5; 400]);
        cut.truncate(cut.len() - 9);
        assert_eq!(add(&cut), Err(NotAPrompt::Unreadable));
    }
}
