//! `qingjiang calls`: the records, as a table, one by one, or as JSON.
//!
//! Reads the store, also while the service writes it, and changes nothing.

pub(super) mod layout;
mod list;
mod since;
mod story;

use crate::hotline::record::CallRecord;
use crate::service::store::{CallFilter, Lookup, Reader, StoreError};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use since::Since;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the store is if nobody says otherwise: the default of `store.path`.
const DEFAULT_STORE: &str = "qingjiang";

/// EX_CONFIG of sysexits(3): the configuration has faults.
const EXIT_CONFIG: u8 = 78;

/// Arguments of `qingjiang calls`.
#[derive(Clone, Debug, clap::Args)]
pub struct CallsArgs {
    /// One call: its id, or a beginning that no other id has
    pub id: Option<String>,
    /// Only calls to this hotline
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    pub hotline: Option<String>,
    /// Only calls since then: 2h, 3d, 2026-03-01, 2026-03-01T08:00, 2026-03-01T00:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "id")]
    pub since: Option<Since>,
    /// At most so many calls, the newest
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "id")]
    pub limit: u32,
    /// Print JSON: an array of records, one a line; with an id the record
    #[arg(long)]
    pub json: bool,
    /// Take the store's folder from this configuration
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    pub config: Option<PathBuf>,
    /// The store's folder [default: qingjiang]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum CallsError {
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("no call's id begins with {0:?}")]
    Unknown(String),
    #[error("more than one call's id begins with {0:?}: give more of it")]
    Ambiguous(String),
    #[error("--since lies outside the calendar")]
    Since,
    #[error("standard output: {0}")]
    Output(io::Error),
}

/// Shows what was asked for. `config_store_path` reads `store.path` out of a configuration file, or
/// says what is wrong with the file.
///
/// Exit status: 0; 1 if there is no such call or no store; 78 if the configuration has faults.
pub fn run(
    args: CallsArgs,
    config_store_path: impl Fn(&Path) -> Result<PathBuf, String>,
) -> ExitCode {
    let shown = folder(&args, config_store_path).and_then(|folder| {
        let text = answer(&args, &folder, Timestamp::now(), &TimeZone::system())?;
        print(&text)
    });
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qingjiang: {error}");
            error.exit_code()
        }
    }
}

impl CallsError {
    fn exit_code(&self) -> ExitCode {
        match self {
            CallsError::Config(_) => ExitCode::from(EXIT_CONFIG),
            _ => ExitCode::FAILURE,
        }
    }
}

fn folder(
    args: &CallsArgs,
    config_store_path: impl Fn(&Path) -> Result<PathBuf, String>,
) -> Result<PathBuf, CallsError> {
    match (&args.store, &args.config) {
        (Some(folder), _) => Ok(folder.clone()),
        (None, Some(file)) => config_store_path(file).map_err(CallsError::Config),
        (None, None) => Ok(PathBuf::from(DEFAULT_STORE)),
    }
}

/// The text to print, with its last line end.
fn answer(
    args: &CallsArgs,
    folder: &Path,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<String, CallsError> {
    let reader = Reader::open_read_only(folder)?;
    match &args.id {
        Some(id) => {
            let record = one(&reader, id)?;
            Ok(if args.json {
                object(&record)
            } else {
                story::story(&record, zone)
            })
        }
        None => {
            let records = several(&reader, args, now, zone)?;
            let is_cut = records.len() as u64 == u64::from(args.limit);
            Ok(if args.json {
                array(&records)
            } else {
                list::list(&records, is_cut, zone)
            })
        }
    }
}

fn one(reader: &Reader, id: &str) -> Result<CallRecord, CallsError> {
    match reader.call(id)? {
        Lookup::One(record) => Ok(*record),
        Lookup::Unknown => Err(CallsError::Unknown(id.to_owned())),
        Lookup::Ambiguous => Err(CallsError::Ambiguous(id.to_owned())),
    }
}

fn several(
    reader: &Reader,
    args: &CallsArgs,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Vec<CallRecord>, CallsError> {
    let since = match &args.since {
        Some(since) => Some(since.timestamp(now, zone).ok_or(CallsError::Since)?),
        None => None,
    };
    Ok(reader.calls(&CallFilter {
        hotline: args.hotline.clone(),
        since,
        limit: args.limit,
    })?)
}

fn object(record: &CallRecord) -> String {
    let json = serde_json::to_string_pretty(record).expect("a record was JSON before");
    json + "\n"
}

/// An array with a record a line: one JSON text for programs, lines for grep.
fn array(records: &[CallRecord]) -> String {
    let json = |record| serde_json::to_string(record).expect("a record was JSON before");
    let lines: Vec<String> = records.iter().map(json).collect();
    match lines.is_empty() {
        true => "[]\n".to_owned(),
        false => format!("[\n{}\n]\n", lines.join(",\n")),
    }
}

/// A reader that left, as `head` does, is no fault.
fn print(text: &str) -> Result<(), CallsError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CallsError::Output(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
