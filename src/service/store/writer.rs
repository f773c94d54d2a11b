//! The store's thread: takes what is there, writes it in one transaction, tries again until it is
//! written.

use crate::hotline::record::{CallRecord, Stamp};
use rusqlite::{Connection, params};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Rows in one transaction: enough to outrun any load (122,000 rows/s in hundreds), few enough to
/// stay below 200 ms.
const BATCH_ROWS_MAX: usize = 500;

/// First and longest pause between two attempts to write.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How long [`super::StoreHandle::close`] waits for a disk that takes nothing.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// A row that is there already stays as it is: a call has one record, however often it is offered.
const INSERT: &str = "INSERT INTO call (id, hotline, trunk, caller, agent, offered_at, answered_at,
    ended_at, outcome, ring_ms, wait_ms, talk_ms, ended_by, final_status, record)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
    ON CONFLICT (id) DO NOTHING";

/// What the thread and its handle tell one another.
#[derive(Debug)]
pub(super) struct Progress {
    stored: AtomicU64,
    healthy: AtomicBool,
    closing: AtomicBool,
}

impl Progress {
    pub(super) fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }
}

/// The thread's own side.
pub(super) struct Writer {
    connection: Connection,
    progress: Arc<Progress>,
    patience: Duration,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Writer {
        let progress = Progress {
            stored: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            closing: AtomicBool::new(false),
        };
        Writer {
            connection,
            progress: Arc::new(progress),
            patience: CLOSE_PATIENCE,
        }
    }

    /// The same, less patient at its close.
    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Duration) -> Writer {
        Writer { patience, ..self }
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Writes until the last sender is gone. Returns what could not be written.
    pub(super) fn run(mut self, records: &Receiver<Box<CallRecord>>) -> Vec<CallRecord> {
        let mut unsaved = Vec::new();
        while let Ok(first) = records.recv() {
            let rest = records.try_iter().take(BATCH_ROWS_MAX - 1);
            let batch: Vec<CallRecord> = [first].into_iter().chain(rest).map(|one| *one).collect();
            // After one failure at the close the rest is not tried: it would cost the patience anew.
            if !unsaved.is_empty() || !self.write_in_the_end(&batch) {
                unsaved.extend(batch);
            }
        }
        unsaved
    }

    /// Tries until it is done; false if the store is being closed and patience ran out.
    fn write_in_the_end(&mut self, batch: &[CallRecord]) -> bool {
        let (mut pause, pause_max) = RETRY_AFTER;
        let mut give_up_at = None;
        while let Err(error) = self.write(batch) {
            self.progress.healthy.store(false, Ordering::Release);
            tracing::error!(rows = batch.len(), %error, "the store cannot write; trying again");
            let now = Instant::now();
            if self.progress.closing.load(Ordering::Acquire)
                && *give_up_at.get_or_insert(now + self.patience) <= now
            {
                return false;
            }
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(pause_max);
        }
        self.progress.healthy.store(true, Ordering::Release);
        self.progress
            .stored
            .fetch_add(batch.len() as u64, Ordering::Release);
        true
    }

    /// All rows or none.
    fn write(&mut self, batch: &[CallRecord]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(INSERT)?;
            for record in batch {
                insert_one(&mut insert, record)?;
            }
        }
        transaction.commit()
    }
}

fn insert_one(
    insert: &mut rusqlite::CachedStatement<'_>,
    record: &CallRecord,
) -> rusqlite::Result<()> {
    let json = serde_json::to_string(record)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    insert.execute(params![
        record.id,
        record.hotline,
        record.trunk,
        record.caller,
        record.agent,
        record.offered_at.as_millis(),
        record.answered_at.map(Stamp::as_millis),
        record.ended_at.as_millis(),
        record.outcome.name(),
        record.ring_ms.map(whole),
        record.wait_ms.map(whole),
        record.talk_ms.map(whole),
        record.ended_by.name(),
        record.final_status,
        json,
    ])?;
    Ok(())
}

/// SQLite's integers are signed.
fn whole(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}
