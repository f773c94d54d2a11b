//! One call's record, told for people.

use super::layout::{aligned, duration, local_exact, printable};
use crate::hotline::record::{CallRecord, Stamp, StreamQuality};
use jiff::tz::TimeZone;

/// All that the record knows; what is unknown is left out.
pub(super) fn story(record: &CallRecord, zone: &TimeZone) -> String {
    let sections = [
        ("", facts(record, zone)),
        ("Attempts", attempts(record)),
        ("Findings (from the INVITE)", findings(record)),
        ("Prompts (from the INVITE)", prompts(record)),
        ("Treatments", treatments(record)),
        ("Audio", audio(record)),
    ];
    let mut text = format!("Call {}\n", printable(&record.id));
    for (title, lines) in sections {
        if lines.is_empty() {
            continue;
        }
        if !title.is_empty() {
            text += &format!("{title}\n");
        }
        for line in lines.lines() {
            text += &format!("  {line}\n");
        }
    }
    text
}

fn facts(record: &CallRecord, zone: &TimeZone) -> String {
    let moment = |stamp: Stamp| local_exact(stamp, zone);
    let name = |name: &Option<String>| name.as_deref().map(printable);
    let rings = record
        .rings
        .map_or(String::new(), |rings| format!(" ({rings} rings)"));
    let by = record
        .answered_by
        .map_or(String::new(), |by| format!(" (by {})", by.name()));
    let response = record.final_status;
    let rows = [
        ("hotline", name(&record.hotline)),
        ("trunk", name(&record.trunk)),
        ("caller", Some(printable(&record.caller))),
        ("agent", name(&record.agent)),
        ("offered", Some(moment(record.offered_at))),
        ("answered", record.answered_at.map(|at| moment(at) + &by)),
        (
            "ended",
            Some(format!(
                "{} by {}",
                moment(record.ended_at),
                record.ended_by.name()
            )),
        ),
        ("outcome", Some(record.outcome.name().to_owned())),
        ("final response", response.map(|status| status.to_string())),
        (
            "post-dial delay",
            record.post_dial_delay_ms.map(milliseconds),
        ),
        (
            "ringing",
            record.ring_ms.map(|ring| duration(ring) + &rings),
        ),
        ("wait", record.wait_ms.map(duration)),
        ("talk", record.talk_ms.map(duration)),
        (
            "first speech",
            record
                .first_speech_ms
                .map(|at| format!("{} after the answer", duration(at))),
        ),
        ("site", name(&record.site)),
        ("version", Some(printable(&record.version))),
    ];
    let known = rows
        .into_iter()
        .filter_map(|(key, value)| Some([key.to_owned(), value?]));
    aligned(&known.collect::<Vec<_>>())
}

fn attempts(record: &CallRecord) -> String {
    let row = |attempt: &crate::hotline::record::AttemptRecord| {
        let rang = attempt.ring_ms.map_or("did not ring".to_owned(), |ring| {
            format!("rang {}", duration(ring))
        });
        [
            printable(&attempt.target),
            attempt.outcome.name().to_owned(),
            rang,
        ]
    };
    aligned(&record.attempts.iter().map(row).collect::<Vec<_>>())
}

fn findings(record: &CallRecord) -> String {
    let row = |found: &crate::hotline::record::FindingRecord| {
        let cleared = found.cleared_at.map_or(String::new(), |at| {
            format!("cleared at {}", offset(record, at))
        });
        [
            offset(record, found.at),
            found.kind.name().to_owned(),
            found.leg.name().to_owned(),
            found.cause.name().to_owned(),
            cleared,
        ]
    };
    aligned(&record.findings.iter().map(row).collect::<Vec<_>>())
}

fn prompts(record: &CallRecord) -> String {
    let row = |prompt: &crate::hotline::record::PromptRecord| {
        let ended = prompt.ended_at.map_or(String::new(), |at| {
            format!("ended at {}", offset(record, at))
        });
        let how = prompt.how.map_or("", |how| how.name());
        [
            offset(record, prompt.at),
            printable(&prompt.id),
            ended,
            how.to_owned(),
        ]
    };
    aligned(&record.prompts.iter().map(row).collect::<Vec<_>>())
}

fn treatments(record: &CallRecord) -> String {
    let row = |treated: &crate::hotline::record::TreatmentRecord| {
        [
            treated.kind.name(),
            treated.cause.name(),
            treated.outcome.name(),
        ]
        .map(str::to_owned)
    };
    aligned(&record.treatments.iter().map(row).collect::<Vec<_>>())
}

fn audio(record: &CallRecord) -> String {
    let row = |leg: &str, stream: StreamQuality| {
        let loss = stream
            .loss_percent
            .map_or(String::new(), |loss| format!(" ({loss:.1} %)"));
        [
            leg.to_owned(),
            format!("{} packets received", stream.packets_received),
            format!("{} lost{loss}", stream.packets_lost),
            format!("{} sent", stream.packets_sent),
        ]
    };
    aligned(&[
        row("caller", record.quality.caller),
        row("agent", record.quality.agent),
    ])
}

/// Time since the INVITE, to the millisecond.
fn offset(record: &CallRecord, at: Stamp) -> String {
    let millis = at.as_millis().saturating_sub(record.offered_at.as_millis());
    milliseconds(u64::try_from(millis).unwrap_or(0))
}

fn milliseconds(millis: u64) -> String {
    format!("{}.{:03}s", millis / 1_000, millis % 1_000)
}
