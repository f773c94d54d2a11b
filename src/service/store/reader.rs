//! Reading records, also while the service writes.

use super::{StoreError, schema};
use crate::hotline::record::CallRecord;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use std::path::Path;

/// A store that is only read.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

/// Which calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFilter {
    /// Only of this hotline.
    pub hotline: Option<String>,
    /// Only calls offered then or later.
    pub since: Option<Timestamp>,
    /// At most so many, the newest.
    pub limit: u32,
}

/// What an id, or the beginning of one, led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// The one record.
    One(Box<CallRecord>),
    /// No record's id begins like this.
    Unknown,
    /// More than one does.
    Ambiguous,
}

impl Reader {
    /// Opens the store in this folder.
    ///
    /// # Errors
    /// There is none, or it has another form than this program reads.
    pub fn open_read_only(folder: &Path) -> Result<Reader, StoreError> {
        let connection = schema::open_read_only(folder)?;
        Ok(Reader { connection })
    }

    /// Records, the newest first.
    ///
    /// # Errors
    /// The file cannot be read, or a record in it.
    pub fn calls(&self, filter: &CallFilter) -> Result<Vec<CallRecord>, StoreError> {
        let since = filter.since.map_or(i64::MIN, Timestamp::as_millisecond);
        self.select(
            "SELECT id, record FROM call WHERE (?1 IS NULL OR hotline = ?1) AND offered_at >= ?2
             ORDER BY offered_at DESC, id LIMIT ?3",
            params![filter.hotline, since, filter.limit],
        )
    }

    /// The record with this id, or the only one whose id begins with it.
    ///
    /// # Errors
    /// The file cannot be read, or a record in it.
    pub fn call(&self, id: &str) -> Result<Lookup, StoreError> {
        if id.is_empty() {
            return Ok(Lookup::Unknown);
        }
        // Byte by byte, so that no character of the id is a wildcard. The exact one comes first.
        let mut found = self.select(
            "SELECT id, record FROM call WHERE substr(id, 1, length(?1)) = ?1
             ORDER BY id LIMIT 2",
            params![id],
        )?;
        if found.first().is_some_and(|record| record.id == id) {
            found.truncate(1);
        }
        Ok(match (found.pop(), found.is_empty()) {
            (None, _) => Lookup::Unknown,
            (Some(record), true) => Lookup::One(Box::new(record)),
            (Some(_), false) => Lookup::Ambiguous,
        })
    }

    fn select(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<CallRecord>, StoreError> {
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map(values, |row: &Row<'_>| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        rows.map(|row| {
            let (id, json) = row?;
            serde_json::from_str(&json).map_err(|error| StoreError::Record(id, error))
        })
        .collect()
    }
}
