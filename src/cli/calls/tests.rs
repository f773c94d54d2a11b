//! The command on a small store.

use super::*;
use crate::hotline::record::Outcome;
use crate::hotline::record::tests::{ended_call, wall_clock};
use crate::service::store::StoreHandle;
use clap::Parser;
use std::time::Duration;
use tempfile::TempDir;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: CallsArgs,
}

fn args(words: &str) -> CallsArgs {
    let words = ["calls"].into_iter().chain(words.split_whitespace());
    Cli::try_parse_from(words).map(|cli| cli.args).unwrap()
}

/// Three calls, at 01:00, 02:00 and 03:00 UTC, to weather, weather and sales.
fn store() -> TempDir {
    let folder = TempDir::new().unwrap();
    let store = StoreHandle::open(folder.path()).unwrap();
    for (hour, id) in ["aaaa01", "aaaa02", "bbbb03"].into_iter().enumerate() {
        let mut call = ended_call();
        call.id = id.to_owned();
        call.offered_at = call.offered_at + Duration::from_secs(3_600 * hour as u64);
        if hour == 2 {
            call.hotline = Some("售后".to_owned());
            call.caller = "136\u{1b}[2J".to_owned();
            call.answered = None;
            call.attempts.clear();
            call.findings.clear();
            call.prompts.clear();
            call.treatments.clear();
            call.outcome = Outcome::Abandoned;
        }
        store.try_put(Box::new(call.stamped(wall_clock()))).unwrap();
    }
    store.close().unwrap();
    folder
}

fn ask(folder: &TempDir, words: &str) -> Result<String, CallsError> {
    let now = "2026-03-01T03:30:00Z".parse().unwrap();
    answer(
        &args(words),
        folder.path(),
        now,
        &TimeZone::fixed(jiff::tz::offset(8)),
    )
}

#[test]
fn the_table_is_aligned_newest_first_and_in_local_time() {
    let table = ask(&store(), "--limit 2").unwrap();
    let expected = "\
TIME                 ID      HOTLINE  CALLER       AGENT   OUTCOME    RING  WAIT  TALK   ENDED BY  FOUND
2026-03-01 11:00:00  bbbb03  售后     136?[2J      -       abandoned  -     -     -      caller
2026-03-01 10:00:00  aaaa02  weather  13800138000  desk-2  answered   5.0s  0.0s  10.0s  caller    silent_caller
The newest 2; --limit shows more.
";
    assert_eq!(table, expected);
}

#[test]
fn filters_choose_by_hotline_and_time() {
    let folder = store();
    let ids = |words: &str| {
        let json = ask(&folder, &format!("--json {words}")).unwrap();
        let records: Vec<CallRecord> = serde_json::from_str(&json).unwrap();
        records
            .into_iter()
            .map(|record| record.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(""), ["bbbb03", "aaaa02", "aaaa01"]);
    assert_eq!(ids("--hotline weather"), ["aaaa02", "aaaa01"]);
    assert_eq!(ids("--since 2h"), ["bbbb03", "aaaa02"]);
    assert_eq!(ids("--since 2026-03-01T10:00"), ["bbbb03", "aaaa02"]);
    assert_eq!(ids("--hotline weather --since 2h --limit 5"), ["aaaa02"]);
    assert!(ids("--since 2026-03-02").is_empty());
    assert_eq!(ask(&folder, "--hotline none").unwrap(), "No calls.\n");
    assert_eq!(ask(&folder, "--hotline none --json").unwrap(), "[]\n");
}

#[test]
fn one_call_is_told_in_full() {
    let story = ask(&store(), "aaaa01").unwrap();
    let expected = "\
Call aaaa01
  hotline          weather
  trunk            carrier
  caller           13800138000
  agent            desk-2
  offered          2026-03-01 09:00:00.000 +08:00
  answered         2026-03-01 09:00:06.250 +08:00 (by signalling)
  ended            2026-03-01 09:00:16.250 +08:00 by caller
  outcome          answered
  final response   200
  post-dial delay  0.180s
  ringing          5.0s (2 rings)
  wait             6.2s
  talk             10.0s
  first speech     8.7s after the answer
  version          VERSION
Attempts
  desk-1  busy      did not ring
  desk-2  answered  rang 5.0s
Findings (from the INVITE)
  13.250s  silent_caller  caller  digital_silence  cleared at 15.000s
Prompts (from the INVITE)
  13.260s  silent-connected  ended at 15.040s  speech
Treatments
  silent_caller  digital_silence  recovered
Audio
  caller  495 packets received  5 lost (1.0 %)  500 sent
  agent   0 packets received    0 lost          0 sent
";
    assert_eq!(
        story,
        expected.replace("VERSION", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn one_call_as_json_is_its_record() {
    let json = ask(&store(), "bbbb --json").unwrap();
    let record: CallRecord = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (record.id.as_str(), record.outcome),
        ("bbbb03", Outcome::Abandoned)
    );
}

#[test]
fn what_cannot_be_shown_is_said_clearly() {
    let folder = store();
    let fault = |words: &str| ask(&folder, words).unwrap_err().to_string();
    assert_eq!(fault("cccc"), "no call's id begins with \"cccc\"");
    assert!(fault("aaaa").starts_with("more than one call's id begins with"));
    let empty = TempDir::new().unwrap();
    let missing = ask(&empty, "").unwrap_err().to_string();
    assert!(missing.starts_with("no records yet: "), "{missing}");
    for words in ["--since yesterday", "--limit -1", "ab --hotline weather"] {
        let words = ["calls"].into_iter().chain(words.split_whitespace());
        assert!(Cli::try_parse_from(words).is_err());
    }
}

#[test]
fn the_folder_comes_from_the_argument_or_the_configuration_or_the_default() {
    let of_config = |_: &Path| Ok(PathBuf::from("from-config"));
    let chosen = |words: &str| folder(&args(words), of_config).unwrap();
    assert_eq!(chosen("--store here"), PathBuf::from("here"));
    assert_eq!(chosen("--config file.toml"), PathBuf::from("from-config"));
    assert_eq!(chosen(""), PathBuf::from("qingjiang"));
    let faulty = folder(&args("--config file.toml"), |_| Err("line 3".to_owned()));
    assert!(matches!(faulty, Err(CallsError::Config(text)) if text == "line 3"));
}
