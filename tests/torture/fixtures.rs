//! The torture messages, what the RFCs ask for (`index.json`), and what we make of them (`verdicts.toml`).

use qingjiang::sip::wire::{Message, Start, parse_datagram};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One message with all that is known of it.
pub struct Torture {
    pub name: String,
    pub bytes: Vec<u8>,
    pub index: Index,
    pub expected: Expected,
}

/// A line of `index.json`.
#[derive(Clone, Deserialize)]
pub struct Index {
    pub set: String,
    pub name: String,
    pub validity: String,
    pub expect: Expect,
    pub codes: Vec<u16>,
    pub bytes: usize,
    pub sha256: String,
}

/// What the RFC asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    Accept,
    Reject,
    Ignore,
    Either,
}

/// A table of `verdicts.toml`.
#[derive(Clone, Deserialize)]
pub struct Expected {
    #[serde(flatten)]
    pub verdict: Verdict,
    pub answers: Vec<u16>,
    /// Where the answers go; 0 is the port that the message came from.
    pub port: Option<u16>,
    #[serde(default)]
    pub call: bool,
}

/// What the parser makes of a message.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    Accepted(Facts),
    Refused { status: u16, fault: String },
    Dropped { fault: String },
}

/// What was understood of an accepted message.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Facts {
    pub method: Option<String>,
    pub status: Option<u16>,
    pub reason: Option<String>,
    pub user: Option<String>,
    pub to: Option<String>,
    pub vias: usize,
    pub call_id: String,
    pub body: usize,
    pub headers: usize,
}

impl Verdict {
    pub fn of(bytes: &[u8]) -> Verdict {
        match parse_datagram(bytes) {
            Ok(message) => Verdict::Accepted(Facts::of(&message)),
            Err(refused) => {
                let fault = format!("{:?}", refused.fault);
                match refused.answer().and_then(|answer| answer.status()) {
                    Some(status) => Verdict::Refused { status, fault },
                    None => Verdict::Dropped { fault },
                }
            }
        }
    }
}

impl Facts {
    fn of(message: &Message) -> Facts {
        let (user, reason) = match &message.start {
            Start::Request { uri, .. } => (uri.user(), None),
            Start::Response { reason, .. } => (None, Some(reason.clone())),
        };
        Facts {
            method: message.method().map(ToString::to_string),
            status: message.status(),
            reason,
            user,
            to: message.to().expect("a To").uri.user(),
            vias: message.vias().expect("Vias").len(),
            call_id: message.call_id().to_owned(),
            body: message.body.len(),
            headers: message.headers.iter().count(),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/torture")
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The messages that lie in the two folders, as `set/name`.
pub fn files() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for set in ["rfc4475", "rfc5118"] {
        for file in fs::read_dir(folder().join(set)).expect("a folder") {
            let path = file.expect("a file").path();
            assert_eq!(path.extension().and_then(|end| end.to_str()), Some("dat"));
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            names.insert(format!("{set}/{}", stem.expect("a name")));
        }
    }
    names
}

/// The index by `set/name`, without the message that no section names.
pub fn index() -> BTreeMap<String, Index> {
    let lines: Vec<Index> = serde_json::from_str(&text("index.json")).expect("an index");
    let named = lines.into_iter().filter(|line| line.validity != "extra");
    named
        .map(|line| (format!("{}/{}", line.set, line.name), line))
        .collect()
}

/// The verdicts by `set/name`.
pub fn verdicts() -> BTreeMap<String, Expected> {
    type Tables = BTreeMap<String, BTreeMap<String, Expected>>;
    let tables: Tables = toml::from_str(&text("verdicts.toml")).expect("verdicts");
    let flat = tables.into_iter().flat_map(|(set, table)| {
        table
            .into_iter()
            .map(move |(name, expected)| (format!("{set}/{name}"), expected))
    });
    flat.collect()
}

/// All of them.
pub fn all() -> Vec<Torture> {
    let (mut index, mut verdicts) = (index(), verdicts());
    let with = |path: String| Torture {
        bytes: fs::read(folder().join(format!("{path}.dat"))).expect("a file"),
        index: index.remove(&path).expect("a line in the index"),
        expected: verdicts.remove(&path).expect("a verdict"),
        name: path,
    };
    files().into_iter().map(with).collect()
}

/// One message's bytes.
pub fn bytes(path: &str) -> Vec<u8> {
    fs::read(folder().join(format!("{path}.dat"))).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// One message, which the parser accepts.
pub fn message(path: &str) -> Message {
    parse_datagram(&bytes(path)).unwrap_or_else(|refused| panic!("{path}: {}", refused.fault))
}
