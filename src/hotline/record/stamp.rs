//! Wall-clock times, put on at the edge of the core.
//!
//! Reads no clock: the shell tells what both clocks showed at one moment.

use crate::base::time::Instant;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// The wall clock, as an offset from the boot clock: read once by the shell, told to the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    at_boot: Timestamp,
}

/// A wall-clock time in UTC, to the millisecond; text and JSON form are RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(Timestamp);

impl WallClock {
    /// The wall clock that showed `wall` when the boot clock showed `now`.
    pub fn new(now: Instant, wall: Timestamp) -> Self {
        WallClock {
            at_boot: timestamp(wall.as_nanosecond() - i128::from(now.as_nanos())),
        }
    }

    /// The wall-clock time of an instant, rounded down to the millisecond.
    pub fn stamp(self, at: Instant) -> Stamp {
        Stamp::from(timestamp(
            self.at_boot.as_nanosecond() + i128::from(at.as_nanos()),
        ))
    }
}

impl Stamp {
    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// The time, for a zone's own view of it.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl From<Timestamp> for Stamp {
    fn from(exact: Timestamp) -> Stamp {
        let millis = exact.as_nanosecond().div_euclid(1_000_000);
        Stamp(timestamp(millis * 1_000_000))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Stamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        let exact: Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(Stamp::from(exact))
    }
}

/// A time stamp from nanoseconds since 1970, held within the calendar's range (years ±9999).
fn timestamp(nanos: i128) -> Timestamp {
    let inside = nanos.clamp(
        Timestamp::MIN.as_nanosecond(),
        Timestamp::MAX.as_nanosecond(),
    );
    Timestamp::from_nanosecond(inside).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_rounded_down_and_read_back_as_it_was_written() {
        let clock = WallClock::new(
            Instant::from_millis(500),
            "2026-03-01T08:00:00.500+08:00".parse().unwrap(),
        );
        let stamp = clock.stamp(Instant::from_nanos(1_234_999_999));
        assert_eq!(stamp.to_string(), "2026-03-01T00:00:01.234Z");
        let json = serde_json::to_string(&stamp).unwrap();
        assert_eq!(serde_json::from_str::<Stamp>(&json).unwrap(), stamp);
        assert_eq!(stamp.as_millis(), 1_772_323_201_234);
    }

    #[test]
    fn times_beyond_the_calendar_are_held_at_its_ends() {
        let clock = WallClock::new(Instant::ZERO, Timestamp::MAX);
        clock.stamp(Instant::from_nanos(u64::MAX));
    }
}
