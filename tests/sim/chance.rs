//! Chance from a seed: the only source of it in a world.

use qingjiang::base::random::Random;
use std::time::Duration;

/// A stream of decisions; the same seed decides the same.
pub struct Chance(Random);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(Random::from_number(seed))
    }

    /// Another stream, independent of what this one decides later.
    pub fn branch_off(&mut self) -> Chance {
        Chance::new(self.0.bits64())
    }

    pub fn percent(&mut self, percent: u32) -> bool {
        self.0.below(100) < percent
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.0.below(high - low + 1)
    }

    /// A time from `low` to `high` milliseconds; its nanoseconds are random, so two hardly ever fall together.
    pub fn ms(&mut self, low: u32, high: u32) -> Duration {
        let nanos = self.0.below(1_000_000);
        Duration::from_millis(u64::from(self.between(low, high)))
            + Duration::from_nanos(u64::from(nanos))
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self
            .0
            .below(u32::try_from(from.len()).expect("a short list")) as usize]
            .clone()
    }

    pub fn token(&mut self) -> String {
        self.0.token()
    }

    pub fn bits64(&mut self) -> u64 {
        self.0.bits64()
    }
}
