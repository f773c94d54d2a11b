//! The file's form: a TOML document walked with its line numbers, so that every problem is found.
//!
//! serde's derive stops at the first wrong type and forgets where it was; this walk does neither. A section
//! asks for its keys one by one ([`Table::duration`], [`Table::required`] …); what it has not asked for when
//! it is finished is unknown. So the keys, their defaults and their limits stand in one place each.
//! It never decides what a value means: see `sections`, `routes`, `profiles` and `check`.

use super::problem::{Problem, Problems, Spot, nearest, shown};
use super::values::{duration, duration_text};
use super::{Config, World, check};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a key of a later version is told.
const LATER: &str = "not supported yet in this version";

/// Reads and checks a file's text. `name` is the file's name in messages.
///
/// # Errors
/// All problems of the file; with a TOML syntax error only those, because the rest cannot be trusted.
pub fn read(text: &str, name: &str, world: &dyn World) -> Result<Config, Problems> {
    let (config, walk) = walk(text, world);
    let problems = walk.problems.into_inner();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(Problems::new(name, problems)),
    }
}

/// Every key that a file may have, as paths without names and indices: `hotline.targets.uri`.
pub fn known_keys() -> BTreeSet<String> {
    /// Opens every section once; that it is full of problems does not matter here.
    const ALL_SECTIONS: &str = "[[trunk]]\n[[hotline]]\ntargets = [{}]\n[[registration]]\n[profile.one]\nbase = \"after-sales\"";
    let (_, walk) = walk(ALL_SECTIONS, &Nowhere);
    walk.asked.into_inner()
}

/// A world in which nothing is found.
struct Nowhere;

impl World for Nowhere {
    fn resolve(&self, _: &str) -> Vec<std::net::IpAddr> {
        Vec::new()
    }

    fn prompts(&self, _: Option<&std::path::Path>, _: &str) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn is_folder(&self, _: &std::path::Path) -> bool {
        false
    }

    fn cores(&self) -> u16 {
        1
    }
}

fn walk<'a>(text: &'a str, world: &dyn World) -> (Option<Config>, Walk<'a>) {
    let walk = Walk {
        text,
        problems: RefCell::default(),
        asked: RefCell::default(),
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let root = Table::new(&walk, Some(document.get_ref()), 0..0, "", "");
        let config = check::config(root, world);
        return (config, walk);
    }
    for error in errors {
        let says = format!("not TOML: {}", error.message().replace('\n', ", "));
        let spot = walk.spot(String::new(), error.span().unwrap_or(0..0), false);
        walk.complain(&spot, says);
    }
    (None, walk)
}

/// What one walk through a file gathers.
pub(super) struct Walk<'a> {
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
    asked: RefCell<BTreeSet<String>>,
}

impl Walk<'_> {
    pub fn complain(&self, spot: &Spot, says: impl Into<String>) {
        self.problems.borrow_mut().push(spot.problem(says));
    }

    fn spot(&self, key: String, span: Range<usize>, with_value: bool) -> Spot {
        let before = self.text.get(..span.start).unwrap_or_default();
        let value = self.text.get(span).filter(|_| with_value);
        Spot {
            line: before.matches('\n').count() + 1,
            key,
            value: value.and_then(shown),
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub it: T,
    pub spot: Spot,
}

/// One table of the file, or a missing one, whose keys all have their defaults.
pub(super) struct Table<'w> {
    pub walk: &'w Walk<'w>,
    entries: Option<&'w DeTable<'w>>,
    /// Where it begins, and its key path.
    pub spot: Spot,
    /// The path without names and indices.
    shape: String,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'w> Table<'w> {
    fn new(
        walk: &'w Walk<'w>,
        entries: Option<&'w DeTable<'w>>,
        span: Range<usize>,
        path: &str,
        shape: &str,
    ) -> Self {
        Table {
            walk,
            entries,
            spot: walk.spot(path.to_owned(), span, false),
            shape: shape.to_owned(),
            asked: RefCell::default(),
        }
    }

    /// Whether the file has this table.
    pub fn is_there(&self) -> bool {
        self.entries.is_some()
    }

    /// The value of a key, if the file has it. From here on the key is a known one.
    pub fn value(&self, key: &'static str) -> Option<Value<'w>> {
        self.asked.borrow_mut().insert(key);
        let shape = joined(&self.shape, key);
        self.walk.asked.borrow_mut().insert(shape.clone());
        let value = self.entries?.get(key)?;
        Some(Value::new(
            self.walk,
            value,
            joined(&self.spot.key, key),
            shape,
        ))
    }

    /// The value of a key that must be there; `what` says what it holds.
    pub fn required(&self, key: &'static str, what: &str) -> Option<Value<'w>> {
        let value = self.value(key);
        if value.is_none() && self.is_there() {
            let spot = Spot {
                key: joined(&self.spot.key, key),
                ..self.spot.clone()
            };
            self.walk.complain(&spot, format!("is missing: {what}"));
        }
        value
    }

    /// A sub-table; a missing one is a table without entries.
    pub fn table(&self, key: &'static str) -> Table<'w> {
        match self.value(key) {
            Some(value) => value.table(&format!("be a table, [{key}]")),
            None => Table::new(
                self.walk,
                None,
                0..0,
                &joined(&self.spot.key, key),
                &joined(&self.shape, key),
            ),
        }
    }

    /// The texts of a list that must be there and hold something, each through `read`.
    pub fn list<T>(
        &self,
        key: &'static str,
        what: &str,
        most: usize,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<At<T>> {
        let items = self.items(key, what, most);
        let must = "be text in quotes";
        items
            .iter()
            .filter_map(|item| item.read_at(must, &read))
            .collect()
    }

    /// The items of a list that must be there and hold something.
    pub fn items(&self, key: &'static str, what: &str, most: usize) -> Vec<Value<'w>> {
        let Some(value) = self.required(key, what) else {
            return Vec::new();
        };
        let items = value.items(&format!("be {what}")).unwrap_or_default();
        if value.value.is_array() && !(1..=most).contains(&items.len()) {
            value.complain(format!("must hold 1 to {most} items"));
        }
        items
    }

    /// The tables of `[[key]]`, each called by its `name`, or else by its place from 1.
    pub fn tables(&self, key: &'static str) -> Vec<Table<'w>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let must = format!("be written as [[{key}]]");
        let items = value.items(&must).unwrap_or_default();
        items
            .into_iter()
            .map(|item| item.named(&joined(&self.spot.key, key)).table(&must))
            .collect()
    }

    /// The entries of a table whose keys are names, such as `[profile.NAME]`.
    pub fn named_tables(&self) -> Vec<(At<String>, Table<'w>)> {
        let entries = self.entries.into_iter().flat_map(DeTable::iter);
        let table_of = |(key, value): (&Spanned<_>, &'w Spanned<DeValue<'w>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            let path = joined(&self.spot.key, name);
            let spot = self.walk.spot(path.clone(), key.span(), false);
            let value = Value::new(self.walk, value, path, self.shape.clone());
            (
                At {
                    it: name.to_string(),
                    spot,
                },
                value.table("be a table"),
            )
        };
        entries.map(table_of).collect()
    }

    /// A duration within limits, or its default.
    pub fn duration(
        &self,
        key: &'static str,
        default: Duration,
        allowed: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(value) = self.value(key) else {
            return default;
        };
        let limits = format!(
            "{} to {}",
            duration_text(*allowed.start()),
            duration_text(*allowed.end())
        );
        let read = |text: &str| match duration(text) {
            Some(duration) if allowed.contains(&duration) => Ok(duration),
            Some(_) => Err(format!("must be {limits}")),
            None => Err(format!(
                "must be {limits}, as a whole number with ms, s, m or h"
            )),
        };
        let must = format!("be a duration in quotes such as \"3s\", {limits}");
        value.read(&must, read).unwrap_or(default)
    }

    /// A whole number within limits; `None` if the file has none, or a wrong one.
    pub fn number(&self, key: &'static str, allowed: RangeInclusive<u32>) -> Option<At<u32>> {
        let value = self.value(key)?;
        let number = match value.value {
            DeValue::Integer(integer) => {
                u32::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            _ => None,
        };
        match number.filter(|number| allowed.contains(number)) {
            Some(it) => Some(At {
                it,
                spot: value.spot,
            }),
            None => {
                let (least, most) = (allowed.start(), allowed.end());
                value.complain(format!("must be a whole number from {least} to {most}"));
                None
            }
        }
    }

    /// `true` or `false`, or the default.
    pub fn flag(&self, key: &'static str, default: bool) -> bool {
        match self.value(key).map(|value| (value.value, value)) {
            None => default,
            Some((DeValue::Boolean(flag), _)) => *flag,
            Some((_, value)) => {
                value.complain("must be true or false, without quotes");
                default
            }
        }
    }

    /// One of a few words, or the default.
    pub fn word<T: Copy>(&self, key: &'static str, words: &[(&str, T)], default: T) -> T {
        let Some(value) = self.value(key) else {
            return default;
        };
        let all: Vec<String> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let must = format!("be {}", all.join(" or "));
        let read = |text: &str| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|&(_, meant)| meant).ok_or(format!("must {must}"))
        };
        value.read(&must, read).unwrap_or(default)
    }

    /// Complains of every key that nobody asked for. Keys of `later` versions are told so.
    pub fn finish(&self, later: &[&str]) {
        let asked = self.asked.borrow();
        for (key, _) in self.entries.into_iter().flat_map(DeTable::iter) {
            let name: &str = key.get_ref();
            if asked.contains(name) {
                continue;
            }
            let spot = self
                .walk
                .spot(joined(&self.spot.key, name), key.span(), false);
            let says = match nearest(name, asked.iter().copied()) {
                _ if later.contains(&name) => LATER.to_owned(),
                Some(meant) => format!("unknown key; is `{meant}` meant?"),
                None => {
                    let known: Vec<&str> = asked.iter().copied().collect();
                    format!("unknown key; known here: {}", known.join(", "))
                }
            };
            self.walk.complain(&spot, says);
        }
    }
}

/// One value of the file.
#[derive(Clone)]
pub(super) struct Value<'w> {
    walk: &'w Walk<'w>,
    value: &'w DeValue<'w>,
    span: Range<usize>,
    pub spot: Spot,
    shape: String,
}

impl<'w> Value<'w> {
    fn new(
        walk: &'w Walk<'w>,
        value: &'w Spanned<DeValue<'w>>,
        path: String,
        shape: String,
    ) -> Self {
        // A table or a list may hold a secret of a later version.
        let with_value = match value.get_ref() {
            DeValue::Table(_) => false,
            DeValue::Array(items) => items.is_empty(),
            _ => true,
        };
        Value {
            walk,
            value: value.get_ref(),
            span: value.span(),
            spot: walk.spot(path, value.span(), with_value),
            shape,
        }
    }

    pub fn complain(&self, says: impl Into<String>) {
        self.walk.complain(&self.spot, says);
    }

    /// No message repeats it: it is a secret, or may be one.
    pub fn hidden(mut self) -> Self {
        self.spot.value = None;
        self
    }

    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// The text, through `read`, which says what is wrong with it.
    pub fn read<T>(&self, must: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let Some(text) = self.value.as_str() else {
            self.complain(format!("must {must}"));
            return None;
        };
        read(text).map_err(|says| self.complain(says)).ok()
    }

    /// As [`Value::read`], with the place kept.
    pub fn read_at<T>(
        &self,
        must: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let it = self.read(must, read)?;
        Some(At {
            it,
            spot: self.spot.clone(),
        })
    }

    /// The items of a list, each called by its place from 1.
    pub fn items(&self, must: &str) -> Option<Vec<Value<'w>>> {
        let Some(list) = self.value.as_array() else {
            self.complain(format!("must {must}"));
            return None;
        };
        let item = |(index, value): (usize, &'w Spanned<DeValue<'w>>)| {
            let path = format!("{}[{}]", self.spot.key, index + 1);
            Value::new(self.walk, value, path, self.shape.clone())
        };
        Some(list.iter().enumerate().map(item).collect())
    }

    /// The value as a table; if it is none, it complains and goes on as if the table were missing.
    pub fn table(&self, must: &str) -> Table<'w> {
        let entries = self.value.as_table();
        if entries.is_none() {
            self.complain(format!("must {must}"));
        }
        Table::new(
            self.walk,
            entries,
            self.span.clone(),
            &self.spot.key,
            &self.shape,
        )
    }

    /// Called by the `name` in it, if there is one.
    fn named(mut self, path: &str) -> Self {
        let name = self.value.as_table().and_then(|table| table.get("name"));
        if let Some(name) = name.and_then(|name| name.get_ref().as_str())
            && super::values::name(name).is_ok()
        {
            self.spot.key = joined(path, name);
        }
        self
    }
}

fn joined(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}
