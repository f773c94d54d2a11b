//! The form of the store's file, and how it came to be: one statement list a version.
//!
//! `PRAGMA user_version` counts the lists that were applied. A list that was released is never
//! changed; a new form is a new list.

use super::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Name of the file in the store's folder.
pub const DATABASE_FILE: &str = "qingjiang.sqlite3";

/// How long one statement waits for another process's lock before it is an error.
const BUSY_TIMEOUT: Duration = Duration::from_millis(200);

/// What to search and to figure by has a column; the rest is in the record's JSON.
const MIGRATIONS: &[&str] = &[
    // 1: one row a call. Times are milliseconds since 1970, UTC.
    "CREATE TABLE call (
        id           TEXT PRIMARY KEY NOT NULL,
        hotline      TEXT,
        trunk        TEXT,
        caller       TEXT NOT NULL,
        agent        TEXT,
        offered_at   INTEGER NOT NULL,
        answered_at  INTEGER,
        ended_at     INTEGER NOT NULL,
        outcome      TEXT NOT NULL,
        ring_ms      INTEGER,
        wait_ms      INTEGER,
        talk_ms      INTEGER,
        ended_by     TEXT NOT NULL,
        final_status INTEGER,
        record       TEXT NOT NULL
    ) STRICT;
    CREATE INDEX call_by_time ON call (offered_at);
    CREATE INDEX call_by_hotline ON call (hotline, offered_at);
    CREATE INDEX call_by_caller ON call (caller, offered_at);",
];

/// The newest form.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Where the file of a store is.
pub(super) fn database_path(folder: &Path) -> PathBuf {
    folder.join(DATABASE_FILE)
}

/// Opens the file for writing; makes folder and file if they are missing. Records hold callers'
/// numbers, so a new folder is the owner's alone.
pub(super) fn open(folder: &Path) -> Result<Connection, StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| StoreError::Folder(folder.to_owned(), error))?;
    let mut connection = Connection::open(database_path(folder))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    refuse_newer(version(&connection)?)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit that returned outlives a power cut too. One sync a batch.
    connection.pragma_update(None, "synchronous", "FULL")?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Opens an existing file of the newest form, for reading only.
pub(super) fn open_read_only(folder: &Path) -> Result<Connection, StoreError> {
    let path = database_path(folder);
    if !path.exists() {
        return Err(StoreError::Missing(path));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    match version(&connection)? {
        0 => Err(StoreError::Missing(path)), // Made, and nothing was put in yet.
        found if found < VERSION => Err(StoreError::Older {
            found,
            known: VERSION,
        }),
        found => refuse_newer(found).map(|()| connection),
    }
}

/// Applies the lists that the file has not seen, all or none. Another process may be at it too, so
/// the version is read again under the lock.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    use rusqlite::TransactionBehavior::Immediate;
    let transaction = connection.transaction_with_behavior(Immediate)?;
    let found = version(&transaction)?;
    refuse_newer(found)?;
    for list in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(list)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn refuse_newer(found: u32) -> Result<(), StoreError> {
    if found > VERSION {
        return Err(StoreError::Newer {
            found,
            known: VERSION,
        });
    }
    Ok(())
}
