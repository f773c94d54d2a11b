//! What is wrong with a configuration file, where, and what would be right.

use std::fmt;

/// Longest value that is repeated in a message, in characters.
const VALUE_CHARS_MAX: usize = 60;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line of the file, from 1.
    pub line: usize,
    /// Key path, such as `hotline.weather.targets[2]`; empty for a syntax error.
    pub key: String,
    /// The value as it stands in the file, where that helps. Never the value of an unknown key: it may be a secret.
    pub value: Option<String>,
    /// What is wrong or what is allowed.
    pub says: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if !self.key.is_empty() {
            f.write_str(": ")?;
        }
        f.write_str(&self.says)
    }
}

/// All problems of one file, by line; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file's name, as it was given.
    pub file: String,
    /// The problems.
    pub list: Vec<Problem>,
}

impl Problems {
    /// Sorted and without repetitions.
    pub(super) fn new(file: &str, mut list: Vec<Problem>) -> Self {
        list.sort();
        list.dedup();
        Problems {
            file: file.to_owned(),
            list,
        }
    }
}

/// One line a problem: `key = value: what is allowed   (file:line)`.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}   ({}:{})", self.file, problem.line)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A place in the file, kept beside a value for a check that comes later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub line: usize,
    pub key: String,
    pub value: Option<String>,
}

impl Spot {
    pub fn problem(&self, says: impl Into<String>) -> Problem {
        Problem {
            line: self.line,
            key: self.key.clone(),
            value: self.value.clone(),
            says: says.into(),
        }
    }
}

/// The value as a message shows it: on one line, not too long.
pub(super) fn shown(source: &str) -> Option<String> {
    let source = source.trim();
    if source.is_empty() || source.contains(['\n', '\r']) {
        return None;
    }
    if source.chars().count() <= VALUE_CHARS_MAX {
        return Some(source.to_owned());
    }
    let head: String = source.chars().take(VALUE_CHARS_MAX - 1).collect();
    Some(format!("{head}…"))
}

/// The known word that is nearest to a mistyped one, if it is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Two letters that changed places are two changes.
    let near_enough = (word.chars().count().div_ceil(3)).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|&(distance, _)| distance <= near_enough)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance; keys are short, so one row of the table will do.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (&b, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let changed = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = changed.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        row[0] = i + 1;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_right() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_word_is_named_only_if_it_is_near() {
        let known = ["silence_after", "repeat_after", "listen"];
        assert_eq!(nearest("silence_afer", known), Some("silence_after"));
        assert_eq!(nearest("listn", known), Some("listen"));
        assert_eq!(nearest("colour", known), None);
    }

    #[test]
    fn long_values_are_cut_and_many_lines_are_left_out() {
        assert_eq!(shown("5060"), Some("5060".into()));
        assert_eq!(shown("[\n1,\n2]"), None);
        assert_eq!(
            shown(&"请".repeat(61)).unwrap().chars().count(),
            VALUE_CHARS_MAX
        );
    }
}
