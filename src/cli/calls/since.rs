//! `--since`: a moment, a local date or time, or how long ago.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::str::FromStr;

/// From when on.
#[derive(Clone, Debug, PartialEq)]
pub enum Since {
    /// RFC 3339, with its zone.
    At(Timestamp),
    /// A date or time of the local zone.
    Local(DateTime),
    /// So long before now.
    Ago(SignedDuration),
}

impl Since {
    /// The moment; `None` outside the calendar.
    pub fn timestamp(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Since::At(moment) => Some(*moment),
            Since::Local(time) => Some(time.to_zoned(zone.clone()).ok()?.timestamp()),
            Since::Ago(span) => now.checked_sub(*span).ok(),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Since, String> {
        let ago = ago(text).map(Since::Ago);
        let moment = || text.parse().ok().map(Since::At);
        let local = || text.parse().ok().map(Since::Local);
        ago.or_else(moment).or_else(local).ok_or_else(|| {
            "give 30m, 2h, 3d or 1w, a date as 2026-03-01, or a time as 2026-03-01T08:00 or \
             2026-03-01T00:00:00Z"
                .to_owned()
        })
    }
}

/// A whole number and a unit; a day is 24 hours.
fn ago(text: &str) -> Option<SignedDuration> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    let number: i64 = number.parse().ok()?;
    Some(SignedDuration::from_secs(number.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Option<String> {
        let now = "2026-03-10T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let since: Since = text.parse().ok()?;
        since.timestamp(now, &zone).map(|moment| moment.to_string())
    }

    #[test]
    fn spans_count_back_from_now() {
        assert_eq!(moment("2h").unwrap(), "2026-03-10T10:00:00Z");
        assert_eq!(moment("90s").unwrap(), "2026-03-10T11:58:30Z");
        assert_eq!(moment("30m").unwrap(), "2026-03-10T11:30:00Z");
        assert_eq!(moment("3d").unwrap(), "2026-03-07T12:00:00Z");
        assert_eq!(moment("1w").unwrap(), "2026-03-03T12:00:00Z");
    }

    #[test]
    fn dates_and_times_without_a_zone_are_local() {
        assert_eq!(moment("2026-03-01").unwrap(), "2026-02-28T16:00:00Z");
        assert_eq!(moment("2026-03-01T08:30").unwrap(), "2026-03-01T00:30:00Z");
        assert_eq!(
            moment("2026-03-01T08:30:00+01:00").unwrap(),
            "2026-03-01T07:30:00Z"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "2",
            "h",
            "-2h",
            "2 h",
            "2y",
            "yesterday",
            "2026-13-01",
            "9223372036854775807w",
            "999999999999d",
            "١h",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
