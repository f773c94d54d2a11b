//! The clock: the only place that reads one.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::base::time::Instant;

/// Now, by `CLOCK_BOOTTIME`: it goes on while the machine sleeps, and no clock step bends it.
pub fn now() -> Instant {
    Instant::from_nanos(nanos(clock_gettime(ClockId::Boottime)))
}

fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_runs_back() {
        let first = now();
        assert!(first > Instant::ZERO);
        assert!(first <= now());
    }
}
