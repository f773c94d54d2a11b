//! The store of records: one SQLite file, written by one thread, read by anybody.
//!
//! A record that was taken is never dropped: while the disk is full or the file is locked the
//! thread tries again, the queue fills, and [`StoreHandle::try_put`] gives the record back so that
//! the engine keeps it and refuses new calls. A record whose id is there already is not written
//! twice. Decides nothing about calls. Rule R19; the file's form is in `schema`.

mod reader;
mod schema;
mod writer;

pub use reader::{CallFilter, Lookup, Reader};
pub use schema::DATABASE_FILE;

use crate::base::limits::STORE_QUEUE_MAX;
use crate::hotline::record::CallRecord;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use writer::{Progress, Writer};

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder could not be made.
    #[error("cannot make the store's folder {0}: {1}")]
    Folder(PathBuf, io::Error),
    /// There is no store to read.
    #[error("no records yet: {0} does not exist")]
    Missing(PathBuf),
    /// The file was written by a later version of this program.
    #[error(
        "the store has form {found}, and this version knows forms up to {known}: use a newer qingjiang"
    )]
    Newer {
        /// In the file.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// The file has an older form, and a reader changes nothing.
    #[error(
        "the store has the older form {found}: start the service once, which brings it to form {known}"
    )]
    Older {
        /// In the file.
        found: u32,
        /// The one that this program reads.
        known: u32,
    },
    /// A record that is no JSON of ours.
    #[error("the record {0} cannot be read: {1}")]
    Record(String, serde_json::Error),
    /// SQLite's own errors.
    #[error("the store's file: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The thread could not be started.
    #[error("the store's thread: {0}")]
    Thread(io::Error),
}

/// Records that could not be written before the end.
#[derive(Debug, thiserror::Error)]
#[error("{} records could not be stored", .0.len())]
pub struct Unsaved(pub Vec<CallRecord>);

/// The way to the store's thread. Dropping it without [`StoreHandle::close`] lets the thread write
/// what it holds, without waiting for it.
#[derive(Debug)]
pub struct StoreHandle {
    queue: SyncSender<Box<CallRecord>>,
    progress: Arc<Progress>,
    thread: JoinHandle<Vec<CallRecord>>,
}

impl StoreHandle {
    /// Opens or makes the store in this folder, brings it to the newest form, and starts its thread.
    ///
    /// # Errors
    /// The folder or the file cannot be made or opened, or is of a later version.
    pub fn open(folder: &Path) -> Result<StoreHandle, StoreError> {
        let connection = schema::open(folder)?;
        Self::start(Writer::new(connection), STORE_QUEUE_MAX)
    }

    /// Starts the thread with a queue of this length.
    fn start(writer: Writer, queue_max: usize) -> Result<StoreHandle, StoreError> {
        let (queue, records) = sync_channel(queue_max);
        let progress = writer.progress();
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run(&records))
            .map_err(StoreError::Thread)?;
        Ok(StoreHandle {
            queue,
            progress,
            thread,
        })
    }

    /// Hands a record over. It is on disk within about 200 ms if the disk can take it.
    ///
    /// # Errors
    /// The queue is full: the record comes back, to be kept and offered again. No new call may be
    /// admitted until then.
    pub fn try_put(&self, record: Box<CallRecord>) -> Result<(), Box<CallRecord>> {
        use std::sync::mpsc::TrySendError::{Disconnected, Full};
        self.queue.try_send(record).map_err(|back| match back {
            Full(record) | Disconnected(record) => record,
        })
    }

    /// Records that are on disk for certain, since the start.
    pub fn stored(&self) -> u64 {
        self.progress.stored()
    }

    /// Whether the last attempt to write went well.
    pub fn is_healthy(&self) -> bool {
        self.progress.is_healthy() && !self.thread.is_finished()
    }

    /// Writes what is left and ends the thread. Gives up if the disk takes nothing for 5 s.
    ///
    /// # Errors
    /// The records that could not be written.
    pub fn close(self) -> Result<(), Unsaved> {
        let StoreHandle {
            queue,
            progress,
            thread,
        } = self;
        progress.close();
        drop(queue);
        thread.thread().unpark();
        let unsaved = thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if unsaved.is_empty() {
            Ok(())
        } else {
            Err(Unsaved(unsaved))
        }
    }
}

#[cfg(test)]
mod tests;
