//! Good frames → speech: when it begins, and when it has ended.
//!
//! Speech begins when 10 of the last 15 frames are good; its onset is the first good one of them.
//! It has ended when 700 ms passed by the clock without a good frame, whether other frames came or
//! none. What makes a frame good is not decided here.
//!
//! Source: `hotline-rules.md`, when the clock starts.

use std::time::Duration;

use super::FRAME;
use crate::base::time::Instant;

/// Frames that are looked back upon: 300 ms.
const WINDOW_FRAMES: usize = 15;

/// Of those, so many must be good for speech to begin.
const GOOD_FRAMES_MIN: usize = 10;

/// With so many good frames speech may have begun that is not found yet.
const DOUBT_FRAMES_MIN: usize = 3;

/// Speech is found no later than this after its onset, or it is none.
pub const FOUND_WITHIN: Duration = FRAME.saturating_mul(WINDOW_FRAMES as u32);

/// Without a good frame for so long, speech has ended.
pub const SPEECH_ENDS_AFTER: Duration = Duration::from_millis(700);

/// A change of voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Speech was found; `at` is the beginning of its first frame.
    Began {
        /// Up to 300 ms before now.
        at: Instant,
    },
    /// Speech has ended; `at` is the end of its last good frame.
    Ended {
        /// 700 ms before now.
        at: Instant,
    },
}

/// The decision over one leg.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// The last frames, a ring: when a good one began.
    window: [Option<Instant>; WINDOW_FRAMES],
    next: usize,
    last_good_end: Instant,
    /// The onset of speech that goes on.
    speaking_since: Option<Instant>,
    last_onset: Option<Instant>,
}

impl Decision {
    /// A frame that ended at `end`.
    pub fn frame(&mut self, end: Instant, good: bool) -> Option<Voice> {
        self.push(good.then(|| end.before(FRAME)));
        if !good {
            return self.tick(end);
        }
        self.last_good_end = end;
        if self.speaking_since.is_some() {
            return None;
        }
        let at = self.onset()?;
        self.speaking_since = Some(at);
        self.last_onset = Some(at);
        Some(Voice::Began { at })
    }

    /// Frames that never came: they are not speech.
    pub fn absent(&mut self, frames: usize) {
        for _ in 0..frames.min(WINDOW_FRAMES) {
            self.push(None);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) -> Option<Voice> {
        if self.next_deadline()? > now {
            return None;
        }
        self.speaking_since = None;
        self.window = Default::default();
        Some(Voice::Ended {
            at: self.last_good_end,
        })
    }

    /// When speech will have ended if no good frame comes.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.speaking_since
            .map(|_| self.last_good_end + SPEECH_ENDS_AFTER)
    }

    /// Whether speech goes on.
    pub fn speaking(&self) -> bool {
        self.speaking_since.is_some()
    }

    /// Whether speech may have begun that is not found yet.
    pub fn is_in_doubt(&self) -> bool {
        !self.speaking() && self.window.iter().flatten().count() >= DOUBT_FRAMES_MIN
    }

    /// The onset of the last speech, over or not.
    pub fn last_onset(&self) -> Option<Instant> {
        self.last_onset
    }

    fn push(&mut self, good_since: Option<Instant>) {
        self.window[self.next] = good_since;
        self.next = (self.next + 1) % WINDOW_FRAMES;
    }

    /// The first good frame, if enough are good.
    fn onset(&self) -> Option<Instant> {
        let good = self.window.iter().flatten();
        if good.clone().count() < GOOD_FRAMES_MIN {
            return None;
        }
        good.min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// Feeds a frame each 20 ms from `from`; the changes with the time at which they were told.
    fn feed(decision: &mut Decision, from: u64, frames: &str) -> Vec<(u64, Voice)> {
        let mut told = Vec::new();
        for (n, frame) in frames.chars().enumerate() {
            let end = from + 20 * (n as u64 + 1);
            let voice = decision.frame(at(end), frame == '#');
            told.extend(voice.map(|voice| (end, voice)));
        }
        told
    }

    #[test]
    fn ten_good_frames_of_fifteen_are_speech_from_the_first_of_them() {
        let mut decision = Decision::default();
        let told = feed(&mut decision, 1_000, "..##.##.##.##.##.....");
        assert_eq!(told, [(1_320, Voice::Began { at: at(1_040) })]);
        assert_eq!(decision.last_onset(), Some(at(1_040)));
    }

    #[test]
    fn nine_of_fifteen_are_not() {
        let mut decision = Decision::default();
        assert!(feed(&mut decision, 0, &"###..".repeat(40)).is_empty());
        assert!(!decision.speaking());
    }

    #[test]
    fn speech_ends_700_ms_after_its_last_good_frame() {
        let mut decision = Decision::default();
        feed(&mut decision, 0, "##########");
        assert!(decision.speaking());
        // A single good frame goes on with it.
        feed(&mut decision, 200, &".".repeat(34));
        assert!(feed(&mut decision, 880, "#").is_empty());
        let told = feed(&mut decision, 900, &".".repeat(40));
        assert_eq!(told, [(1_600, Voice::Ended { at: at(900) })]);
        assert_eq!(decision.next_deadline(), None);
    }

    #[test]
    fn speech_ends_by_the_clock_when_no_frames_come() {
        let mut decision = Decision::default();
        feed(&mut decision, 0, "##########");
        assert_eq!(decision.next_deadline(), Some(at(900)));
        assert_eq!(decision.tick(at(899)), None);
        assert_eq!(decision.tick(at(900)), Some(Voice::Ended { at: at(200) }));
        assert_eq!(decision.tick(at(999)), None);
    }

    #[test]
    fn some_good_frames_leave_it_in_doubt_until_they_are_out_of_sight() {
        let mut decision = Decision::default();
        feed(&mut decision, 0, "#.#");
        assert!(!decision.is_in_doubt(), "two may be a click");
        feed(&mut decision, 60, "#");
        assert!(decision.is_in_doubt());
        feed(&mut decision, 80, &".".repeat(11));
        assert!(decision.is_in_doubt());
        feed(&mut decision, 300, ".");
        assert!(!decision.is_in_doubt());
        feed(&mut decision, 400, "##########");
        assert!(!decision.is_in_doubt(), "found");
    }

    #[test]
    fn absent_frames_are_not_speech() {
        let mut decision = Decision::default();
        feed(&mut decision, 0, "#########");
        decision.absent(1_000_000);
        assert!(feed(&mut decision, 5_000, "#########").is_empty());
    }
}
