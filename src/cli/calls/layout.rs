//! Text for terminals: durations, local times, columns that align.

use crate::hotline::record::Stamp;
use jiff::tz::TimeZone;

/// A duration for people: `5.5s`, `2m05s`, `1h02m`.
pub(super) fn duration(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0..60 => format!("{seconds}.{}s", millis % 1_000 / 100),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// The wall clock of the local zone, to the second.
pub(in crate::cli) fn local(stamp: Stamp, zone: &TimeZone) -> String {
    let zoned = stamp.timestamp().to_zoned(zone.clone());
    zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The same with milliseconds and the zone's offset.
pub(super) fn local_exact(stamp: Stamp, zone: &TimeZone) -> String {
    let zoned = stamp.timestamp().to_zoned(zone.clone());
    zoned.strftime("%Y-%m-%d %H:%M:%S%.3f %:z").to_string()
}

/// A peer's text without what a terminal would obey.
pub(in crate::cli) fn printable(text: &str) -> String {
    let tame = |character: char| if is_tame(character) { character } else { '?' };
    text.chars().map(tame).collect()
}

/// Neither a control character nor one that turns the writing direction.
fn is_tame(character: char) -> bool {
    let turns = matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !character.is_control() && !turns
}

/// Rows with their cells aligned to the left, two blanks between columns.
pub(in crate::cli) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(cell).max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let padded: Vec<String> = cells
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width - columns(cell))))
            .collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Columns of a terminal that a text takes: two for an ideograph (Unicode UAX #11, in its ranges for
/// Chinese, Japanese and Korean).
fn columns(text: &str) -> usize {
    let wide = |character: char| {
        matches!(character, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}'
            | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}'
            | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{20000}'..='\u{3fffd}')
    };
    text.chars()
        .map(|character| if wide(character) { 2 } else { 1 })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_and_rounded_down() {
        let cases = [
            (0, "0.0s"),
            (5_599, "5.5s"),
            (59_999, "59.9s"),
            (125_000, "2m05s"),
            (3_720_000, "1h02m"),
        ];
        for (millis, text) in cases {
            assert_eq!(duration(millis), text);
        }
    }

    #[test]
    fn chinese_names_keep_the_columns_straight() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned);
        let table = aligned(&[row(["天气", "a"]), row(["abcde", "b"])]);
        assert_eq!(table, "天气   a\nabcde  b\n");
    }

    #[test]
    fn a_callers_name_cannot_command_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\u{202e}\r\nb天"), "a?[2J???b天");
    }
}
