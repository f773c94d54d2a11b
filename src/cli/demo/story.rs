//! The story: a line for each thing that happens, with its time.

use crate::base::time::Instant;
use crate::service::clock;

/// A story that is being told.
pub(super) struct Story {
    begun: Instant,
}

impl Story {
    /// From now on.
    pub(super) fn begin() -> Story {
        Story {
            begun: clock::now(),
        }
    }

    /// Tells that something happened to somebody at a time.
    pub(super) fn tell(&mut self, at: Instant, who: &str, what: &str) {
        let seconds = (at - self.begun).as_secs_f64();
        println!("{seconds:>6.1} s  {who:<6} {what}");
    }
}
