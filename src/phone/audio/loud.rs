//! Whether something is to be heard at all: a level with a hold time.
//!
//! It tells the demo when a prompt begins at the caller's ear. Blind spot, on purpose: it does not know speech from noise; that is `hearing`.

use crate::base::time::Instant;
use std::time::Duration;

/// Mean square of -45 dBov: (32,768 · 10^(-45/20))².
const LOUD: i64 = 33_954;

/// Pauses up to this length are within a sound.
pub(super) const HOLD: Duration = Duration::from_millis(700);

/// The level, frame by frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Loud {
    /// The last loud frame, while it is loud.
    last: Option<Instant>,
}

impl Loud {
    /// Takes what was decoded. `true`: a sound begins with it.
    pub fn on_audio(&mut self, now: Instant, samples: impl Iterator<Item = i16>) -> bool {
        let (sum, count) = samples.fold((0_i64, 0_i64), |(sum, count), sample| {
            (sum + i64::from(sample) * i64::from(sample), count + 1)
        });
        if count == 0 || sum / count < LOUD {
            return false;
        }
        self.last.replace(now).is_none()
    }

    /// When it would be over.
    pub fn deadline(&self) -> Option<Instant> {
        self.last.map(|last| last + HOLD)
    }

    /// `true`: the sound is over since [`HOLD`].
    pub fn on_deadline(&mut self, now: Instant) -> bool {
        let over = self.deadline().is_some_and(|at| at <= now);
        if over {
            self.last = None;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_begins_once_and_ends_after_the_hold_time() {
        let at = Instant::from_millis;
        let mut loud = Loud::default();
        assert!(
            !loud.on_audio(at(0), [180, -180].into_iter()),
            "below -45 dBov"
        );
        assert!(loud.on_audio(at(20), [190, -190].into_iter()));
        assert!(!loud.on_audio(at(600), [190, -190].into_iter()));
        assert!(!loud.on_audio(at(620), [0, 0].into_iter()));
        assert!(!loud.on_deadline(at(1_299)));
        assert!(loud.on_deadline(at(1_300)));
        assert_eq!(loud.deadline(), None);
    }
}
