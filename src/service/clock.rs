//! The clock of the whole program.

use crate::base::time::Instant;
use rustix::time::{ClockId, clock_gettime};

/// The boot clock: never steps, and runs on while the machine sleeps.
pub fn now() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds * 1_000_000_000 + nanos)
}
