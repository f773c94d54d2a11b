//! The table of calls.

use super::layout::{aligned, duration, local, printable};
use crate::hotline::record::CallRecord;
use jiff::tz::TimeZone;

/// The table, newest first as the records are; says so if there may be more.
pub(super) fn list(records: &[CallRecord], is_cut: bool, zone: &TimeZone) -> String {
    if records.is_empty() {
        return "No calls.\n".to_owned();
    }
    let head = [
        "TIME", "ID", "HOTLINE", "CALLER", "AGENT", "OUTCOME", "RING", "WAIT", "TALK", "ENDED BY",
        "FOUND",
    ];
    let rows = records.iter().map(|record| row(record, zone));
    let table: Vec<[String; 11]> = [head.map(str::to_owned)].into_iter().chain(rows).collect();
    let mut text = aligned(&table);
    if is_cut {
        text += &format!("The newest {}; --limit shows more.\n", records.len());
    }
    text
}

fn row(record: &CallRecord, zone: &TimeZone) -> [String; 11] {
    let name = |name: &Option<String>| name.as_deref().map_or("-".to_owned(), printable);
    let time = |millis: Option<u64>| millis.map_or("-".to_owned(), duration);
    [
        local(record.offered_at, zone),
        printable(&record.id),
        name(&record.hotline),
        printable(&record.caller),
        name(&record.agent),
        record.outcome.name().to_owned(),
        time(record.ring_ms),
        time(record.wait_ms),
        time(record.talk_ms),
        record.ended_by.name().to_owned(),
        found(record),
    ]
}

/// Kinds of findings, each once, in the order in which they came.
fn found(record: &CallRecord) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for finding in &record.findings {
        if !kinds.contains(&finding.kind.name()) {
            kinds.push(finding.kind.name());
        }
    }
    kinds.join(",")
}
