//! One playing of a prompt: which frame is due, when, and how it ends.
//!
//! It decides the pace: a frame each 20 ms from the last deadline, whenever we wake up. It never
//! decides that a prompt should stop; it is told, and then fades one last frame to zero.

use crate::base::time::Instant;
use crate::media::{FRAME, Frame};
use std::time::Duration;

/// After a stall longer than this the prompt goes on from now: nobody wants to hear a burst.
const CATCH_UP_MAX: Duration = Duration::from_millis(200);

/// A prompt that is being played.
#[derive(Clone, Copy, Debug)]
pub struct Player {
    /// Index in the library.
    prompt: u16,
    /// The frame that is due next.
    next: usize,
    /// When; after the last frame, when it will have ended.
    due: Instant,
    /// Why the next frame is the last.
    stop: Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    /// One more frame, faded.
    Asked,
    /// It was sent.
    Done,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// This frame.
    Frame {
        /// Its number in the prompt.
        number: usize,
        /// Its deadline.
        at: Instant,
        /// Whether it is faded to zero.
        faded: bool,
    },
    /// The end of the last frame.
    End {
        /// When that was.
        at: Instant,
        /// Whether all frames were played as they are.
        complete: bool,
    },
}

impl Player {
    /// Begins a prompt: its first frame is due at `first`.
    pub fn new(prompt: u16, first: Instant) -> Self {
        Player {
            prompt,
            next: 0,
            due: first,
            stop: Stop::No,
        }
    }

    /// Index of the prompt in the library.
    pub fn prompt(&self) -> u16 {
        self.prompt
    }

    /// Whether a frame has been played.
    pub fn began(&self) -> bool {
        self.next > 0
    }

    /// Whether no frame of a prompt of `length` frames will follow.
    pub fn nothing_left(&self, length: usize) -> bool {
        self.next >= length || self.stop == Stop::Done
    }

    /// Whether a prompt of `length` frames was played to its end.
    pub fn all_played(&self, length: usize) -> bool {
        self.next >= length && self.stop != Stop::Done
    }

    /// The next deadline; it is also the end of what was played so far.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// One frame more, and no other. False if that was said before.
    pub fn fade(&mut self) -> bool {
        let first = self.stop == Stop::No;
        if first {
            self.stop = Stop::Asked;
        }
        first
    }

    /// What is due now; `length` is the number of the prompt's frames.
    pub fn poll(&mut self, now: Instant, length: usize) -> Due {
        if self.due > now {
            return Due::Nothing;
        }
        if self.nothing_left(length) {
            return Due::End {
                at: self.due,
                complete: self.all_played(length),
            };
        }
        if now - self.due > CATCH_UP_MAX {
            self.due = now;
        }
        Due::Frame {
            number: self.next,
            at: self.due,
            faded: self.stop == Stop::Asked,
        }
    }

    /// The frame that was due has left.
    pub fn advance(&mut self) {
        self.next += 1;
        // From the last deadline, not from now: a late wake-up must not stretch the prompt.
        self.due = self.due + FRAME;
        if self.stop == Stop::Asked {
            self.stop = Stop::Done;
        }
    }
}

/// Fades a frame to zero in a straight line.
pub fn faded(frame: &Frame) -> Frame {
    let mut faded = *frame;
    let length = faded.len() as i32;
    for (n, sample) in faded.iter_mut().enumerate() {
        *sample = (i32::from(*sample) * (length - 1 - n as i32) / length) as i16;
    }
    faded
}

/// A frame at half the amplitude, 6 dB lower: the agent's copy.
pub fn lowered(frame: &Frame) -> Frame {
    frame.map(|sample| sample / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn deadlines(player: &mut Player, now: Instant, length: usize) -> Vec<u64> {
        let mut times = Vec::new();
        while let Due::Frame { at, .. } = player.poll(now, length) {
            times.push(at.as_nanos() / 1_000_000);
            player.advance();
        }
        times
    }

    #[test]
    fn late_wake_ups_do_not_stretch_the_prompt() {
        let mut player = Player::new(0, at(10));
        assert_eq!(player.poll(at(9), 4), Due::Nothing);
        assert_eq!(deadlines(&mut player, at(11), 4), [10]);
        assert_eq!(deadlines(&mut player, at(57), 4), [30, 50]);
        assert_eq!(deadlines(&mut player, at(70), 4), [70]);
        let end = Due::End {
            at: at(90),
            complete: true,
        };
        assert_eq!(player.poll(at(89), 4), Due::Nothing);
        assert_eq!(player.poll(at(95), 4), end);
    }

    #[test]
    fn a_stopped_prompt_ends_with_one_faded_frame() {
        let mut player = Player::new(0, at(0));
        assert_eq!(deadlines(&mut player, at(0), 9), [0]);
        assert!(player.fade() && !player.fade());
        let frame = Due::Frame {
            number: 1,
            at: at(20),
            faded: true,
        };
        assert_eq!(player.poll(at(20), 9), frame);
        player.advance();
        let end = Due::End {
            at: at(40),
            complete: false,
        };
        assert_eq!(player.poll(at(40), 9), end);
    }

    #[test]
    fn after_a_long_stall_no_burst_leaves() {
        let mut player = Player::new(0, at(0));
        assert_eq!(deadlines(&mut player, at(5_000), 99), [5_000]);
        assert_eq!(player.due(), at(5_020));
    }

    #[test]
    fn fading_ends_at_zero_and_lowering_halves() {
        let frame = [i16::MIN; 160];
        let out = faded(&frame);
        assert!(out[0] < -32_000 && out[159] == 0);
        assert!(out.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(lowered(&frame)[5], -16_384);
    }
}
