//! The clock: the only place that reads one.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::base::time::Instant;

/// Now, by `CLOCK_BOOTTIME`: it goes on while the machine sleeps, and no clock step bends it.
pub fn now() -> Instant {
    Instant::from_nanos(nanos(clock_gettime(ClockId::Boottime)))
}

/// The wall clock (UTC, since 1970) less the boot clock. Add it to an [`Instant`] for a stamp; read
/// it anew for each: the wall clock may be set.
pub fn wall_offset() -> Duration {
    let wall = nanos(clock_gettime(ClockId::Realtime));
    Duration::from_nanos(wall.saturating_sub(now().as_nanos()))
}

fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn the_wall_clock_is_the_boot_clock_and_the_offset() {
        let stamp = Duration::from_nanos(now().as_nanos()) + wall_offset();
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        assert!(wall.abs_diff(stamp) < Duration::from_secs(1));
        assert!(now() <= now());
    }
}
