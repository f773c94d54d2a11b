//! One leg's listening.
//!
//! It runs from the clock as well as from packets: time without packets counts as frames that are
//! not speech, so a leg that sends nothing is silent. There is no jitter buffer: a frame ends when
//! its packet arrives.

use std::time::Duration;

use super::decision::{Decision, Voice};
use super::frames::{Reframer, level_dbov};
use super::vad::Vad;
use super::{FRAME, Frame};
use crate::base::time::Instant;

/// A frame that is not louder than this is not speech.
pub const SPEECH_LEVEL_MIN_DBOV: f32 = -45.0;

/// A gap between packets of at least this is absent audio; a shorter one may be jitter.
const ABSENT_AFTER: Duration = Duration::from_millis(60);

/// Duration of one sample at 8 kHz.
const SAMPLE: Duration = Duration::from_micros(125);

/// The listening to one leg.
#[derive(Debug)]
pub struct Ear<V> {
    vad: V,
    reframer: Reframer,
    decision: Decision,
    /// Until when audio was heard.
    heard_until: Option<Instant>,
    level_max_dbov: Option<f32>,
    /// At most one change a frame, and a packet may hold more frames than one.
    told: Told,
}

/// Changes that wait to be polled. Speech cannot begin and end again within one packet, so two fit.
#[derive(Debug, Default)]
struct Told([Option<Voice>; 2]);

impl<V: Vad> Ear<V> {
    /// An ear that has heard nothing.
    pub fn new(vad: V) -> Self {
        Ear {
            vad,
            reframer: Reframer::default(),
            decision: Decision::default(),
            heard_until: None,
            level_max_dbov: None,
            told: Told::default(),
        }
    }

    /// Forgets all: hearing starts cold.
    pub fn reset(&mut self) {
        self.vad.reset();
        self.reframer.clear();
        self.decision = Decision::default();
        self.heard_until = None;
        self.told = Told::default();
    }

    /// The samples of one packet, which arrived at `now`.
    pub fn on_audio(&mut self, now: Instant, samples: impl ExactSizeIterator<Item = i16>) {
        let mut left = samples.len() as u32;
        self.skip_to(now.before(SAMPLE * left));
        for sample in samples {
            left -= 1;
            if let Some(&frame) = self.reframer.push(sample) {
                self.judge(now.before(SAMPLE * left), &frame);
            }
        }
        self.heard_until = Some(now);
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Instant) {
        self.told.push(self.decision.tick(now));
    }

    /// The next change of voice. To be drained after each input.
    pub fn poll(&mut self) -> Option<Voice> {
        self.told.pop()
    }

    /// When [`Ear::on_tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.decision.next_deadline()
    }

    /// Whether there is speech now.
    pub fn speaking(&self) -> bool {
        self.decision.speaking()
    }

    /// Whether speech may have begun that is not found yet.
    pub fn is_in_doubt(&self) -> bool {
        self.decision.is_in_doubt()
    }

    /// The onset of the last speech, over or not.
    pub fn last_onset(&self) -> Option<Instant> {
        self.decision.last_onset()
    }

    /// The level of the loudest frame since it was last taken; `None` if there was no frame.
    pub fn take_level_max_dbov(&mut self) -> Option<f32> {
        self.level_max_dbov.take()
    }

    /// Puts absent frames where no audio came.
    fn skip_to(&mut self, begin: Instant) {
        let Some(until) = self.heard_until else {
            return;
        };
        let gap = begin - until;
        if gap >= ABSENT_AFTER {
            self.decision
                .absent((gap.as_nanos() / FRAME.as_nanos()) as usize);
            self.reframer.clear();
        }
        self.told.push(self.decision.tick(begin));
    }

    fn judge(&mut self, end: Instant, frame: &Frame) {
        let level = level_dbov(frame);
        // The detector is asked in any case: it learns the noise from quiet frames.
        let good = self.vad.is_speech(frame) && level > SPEECH_LEVEL_MIN_DBOV;
        self.level_max_dbov = Some(self.level_max_dbov.map_or(level, |max| max.max(level)));
        self.told.push(self.decision.frame(end, good));
    }
}

impl Told {
    fn push(&mut self, voice: Option<Voice>) {
        if voice.is_some() {
            let place = usize::from(self.0[0].is_some());
            debug_assert!(self.0[place].is_none(), "changes left from the last input");
            self.0[place] = voice;
        }
    }

    fn pop(&mut self) -> Option<Voice> {
        let first = self.0[0].take();
        self.0.swap(0, 1);
        first
    }
}

#[cfg(test)]
#[path = "ear_tests.rs"]
mod tests;
