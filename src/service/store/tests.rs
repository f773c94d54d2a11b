//! Records on a real disk.

use super::*;
use crate::hotline::record::tests::{ended_call, wall_clock};
use jiff::Timestamp;
use rusqlite::Connection;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A record of an own id, offered so many minutes after the fixture's.
fn record(id: &str, minutes: u64) -> Box<CallRecord> {
    let mut call = ended_call();
    call.id = id.to_owned();
    call.offered_at = call.offered_at + Duration::from_secs(60 * minutes);
    Box::new(call.stamped(wall_clock()))
}

fn all() -> CallFilter {
    CallFilter {
        hotline: None,
        since: None,
        limit: u32::MAX,
    }
}

fn ids(folder: &TempDir, filter: &CallFilter) -> Vec<String> {
    let reader = Reader::open_read_only(folder.path()).unwrap();
    let calls = reader.calls(filter).unwrap();
    calls.into_iter().map(|record| record.id).collect()
}

fn put(store: &StoreHandle, record: Box<CallRecord>) {
    store.try_put(record).expect("room in the queue");
}

#[test]
fn a_record_is_read_back_as_it_was_put() {
    let folder = TempDir::new().unwrap();
    let store = StoreHandle::open(folder.path()).unwrap();
    put(&store, record("one", 0));
    store.close().unwrap();
    let reader = Reader::open_read_only(folder.path()).unwrap();
    assert_eq!(reader.call("one").unwrap(), Lookup::One(record("one", 0)));
}

#[test]
fn the_columns_hold_what_is_searched_by() {
    let folder = TempDir::new().unwrap();
    let store = StoreHandle::open(folder.path()).unwrap();
    put(&store, record("one", 0));
    store.close().unwrap();
    let file = Connection::open(schema::database_path(folder.path())).unwrap();
    let row: (String, String, i64, i64, String, i64, i64, i64, String, i64) = file
        .query_row(
            "SELECT hotline, agent, answered_at - offered_at, ended_at - offered_at, outcome,
             ring_ms, wait_ms, talk_ms, ended_by, final_status FROM call",
            [],
            |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                    row.get(6)?,
                    row.get(7)?,
                    row.get(8)?,
                    row.get(9)?,
                ))
            },
        )
        .unwrap();
    let expected = (
        "weather".into(),
        "desk-2".into(),
        6_250,
        16_250,
        "answered".into(),
        5_000,
        6_250,
        10_000,
        "caller".into(),
        200,
    );
    assert_eq!(row, expected);
}

#[test]
fn calls_come_newest_first_and_by_filter() {
    let folder = TempDir::new().unwrap();
    let store = StoreHandle::open(folder.path()).unwrap();
    for (id, minutes) in [("old", 0), ("new", 20), ("mid", 10)] {
        put(&store, record(id, minutes));
    }
    let mut other = record("other", 15);
    other.hotline = Some("sales".into());
    put(&store, other);
    store.close().unwrap();
    assert_eq!(ids(&folder, &all()), ["new", "other", "mid", "old"]);
    let weather = CallFilter {
        hotline: Some("weather".into()),
        ..all()
    };
    assert_eq!(ids(&folder, &weather), ["new", "mid", "old"]);
    let since = Some(record("", 10).offered_at.timestamp());
    assert_eq!(
        ids(&folder, &CallFilter { since, ..all() }),
        ["new", "other", "mid"]
    );
    assert_eq!(ids(&folder, &CallFilter { limit: 1, ..all() }), ["new"]);
    let never = Some(Timestamp::MAX);
    assert!(
        ids(
            &folder,
            &CallFilter {
                since: never,
                ..all()
            }
        )
        .is_empty()
    );
}

#[test]
fn the_beginning_of_an_id_is_enough_if_only_one_begins_so() {
    let folder = TempDir::new().unwrap();
    let store = StoreHandle::open(folder.path()).unwrap();
    for id in ["ab", "abc1", "abc2", "x_1"] {
        put(&store, record(id, 0));
    }
    store.close().unwrap();
    let reader = Reader::open_read_only(folder.path()).unwrap();
    let found = |id: &str| match reader.call(id).unwrap() {
        Lookup::One(record) => record.id,
        Lookup::Unknown => "unknown".into(),
        Lookup::Ambiguous => "ambiguous".into(),
    };
    assert_eq!(found("abc2"), "abc2");
    assert_eq!(found("x"), "x_1");
    assert_eq!(found("ab"), "ab", "the whole id goes before a beginning");
    assert_eq!(found("abc"), "ambiguous");
    for unknown in ["", "b", "abc11", "a%", "__1", "X"] {
        assert_eq!(found(unknown), "unknown", "{unknown}");
    }
}

#[test]
fn two_writers_of_the_same_id_give_one_row() {
    let folder = TempDir::new().unwrap();
    let stores = [0, 1].map(|_| StoreHandle::open(folder.path()).unwrap());
    for store in &stores {
        for minute in 0..50 {
            put(store, record(&format!("call-{minute}"), minute));
        }
    }
    for store in stores {
        store.close().unwrap();
    }
    assert_eq!(ids(&folder, &all()).len(), 50);
}

#[test]
fn a_full_queue_gives_the_record_back_and_a_lock_loses_none() {
    let folder = TempDir::new().unwrap();
    let writer = Writer::new(schema::open(folder.path()).unwrap());
    let lock = Connection::open(schema::database_path(folder.path())).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = StoreHandle::start(writer, 8).unwrap();
    let mut taken = 0;
    let refused = loop {
        match store.try_put(record(&format!("call-{taken}"), taken)) {
            Ok(()) => taken += 1,
            Err(back) => break back,
        }
    };
    assert_eq!(refused.id, format!("call-{taken}"));
    assert_eq!(store.stored(), 0);
    lock.execute_batch("ROLLBACK").unwrap();
    store.close().unwrap();
    assert_eq!(ids(&folder, &all()).len() as u64, taken);
}

#[test]
fn a_full_disk_is_tried_again_until_there_is_room() {
    let folder = TempDir::new().unwrap();
    let other = schema::open(folder.path()).unwrap();
    other
        .execute_batch("CREATE TABLE filler (x); INSERT INTO filler VALUES (zeroblob(1000000));")
        .unwrap();
    let connection = schema::open(folder.path()).unwrap();
    let pages: i64 = connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    connection
        .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
        .unwrap();
    let store = StoreHandle::start(Writer::new(connection), 64).unwrap();
    for minute in 0..64 {
        put(&store, record(&format!("call-{minute}"), minute));
    }
    while store.is_healthy() {
        std::thread::yield_now();
    }
    other.execute_batch("DROP TABLE filler").unwrap();
    store.close().unwrap();
    assert_eq!(ids(&folder, &all()).len(), 64);
}

#[test]
fn a_close_that_cannot_write_hands_every_record_back() {
    let folder = TempDir::new().unwrap();
    let writer = Writer::new(schema::open(folder.path()).unwrap());
    let lock = Connection::open(schema::database_path(folder.path())).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = StoreHandle::start(writer.with_patience(Duration::ZERO), 2_000).unwrap();
    for minute in 0..1_500 {
        put(&store, record(&format!("call-{minute}"), minute));
    }
    let Unsaved(records) = store.close().unwrap_err();
    assert_eq!(records.len(), 1_500);
}

#[test]
fn a_store_of_a_later_version_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let file = schema::open(folder.path()).unwrap();
    file.pragma_update(None, "user_version", schema::VERSION + 1)
        .unwrap();
    drop(file);
    let refused = StoreHandle::open(folder.path()).unwrap_err();
    assert!(
        refused.to_string().contains("use a newer qingjiang"),
        "{refused}"
    );
    assert!(matches!(
        Reader::open_read_only(folder.path()),
        Err(StoreError::Newer { .. })
    ));
}

#[test]
fn there_is_nothing_to_read_before_the_first_start() {
    let folder = TempDir::new().unwrap();
    let missing = Reader::open_read_only(folder.path()).unwrap_err();
    assert!(matches!(missing, StoreError::Missing(_)));
    assert!(
        !schema::database_path(folder.path()).exists(),
        "a reader makes no file"
    );
}

/// Goal: what was told to be stored survives `kill -9`. Method: this test runs itself again as a
/// child that says after each write how many records are on disk, and is killed in full flow.
#[test]
fn every_record_that_was_told_to_be_stored_survives_a_kill() {
    const FOLDER: &str = "QINGJIANG_TEST_STORE";
    const NAME: &str =
        "service::store::tests::every_record_that_was_told_to_be_stored_survives_a_kill";
    if let Some(folder) = std::env::var_os(FOLDER) {
        write_without_end(Path::new(&folder));
    }
    let folder = TempDir::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines
        .filter_map(|line| line.unwrap().strip_prefix("stored ")?.parse::<u64>().ok())
        .find(|stored| *stored >= 2_000)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let on_disk = ids(&folder, &all());
    for number in 0..told {
        assert!(
            on_disk.contains(&format!("call-{number}")),
            "call-{number} of {told}"
        );
    }
    StoreHandle::open(folder.path()).unwrap().close().unwrap();
}

/// The child's side: puts and tells until it is killed.
fn write_without_end(folder: &Path) -> ! {
    let store = StoreHandle::open(folder).unwrap();
    let mut number = 0;
    let mut told = 0;
    loop {
        if store
            .try_put(record(&format!("call-{number}"), number))
            .is_ok()
        {
            number += 1;
        }
        if store.stored() > told {
            told = store.stored();
            println!("stored {told}");
        }
    }
}
