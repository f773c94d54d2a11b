//! Parameters of a URI or header: `;name` and `;name=value`, in order, values as they were written.

use super::scan::{is_token, split};
use super::text::trim;
use std::fmt;

/// A list of parameters. Names are compared without regard to case; of two with one name the first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// Reads what stands behind the first `;`. Empty parameters are passed over where `lenient`.
    pub(super) fn parse(text: &str, lenient: bool) -> Option<Params> {
        Self::of(split(text, ';'), lenient)
    }

    /// As [`Self::parse`], without quoted strings and brackets: the grammar of URIs has none.
    pub(super) fn parse_uri(text: &str) -> Option<Params> {
        Self::of(text.split(';').collect(), true)
    }

    fn of(parts: Vec<&str>, lenient: bool) -> Option<Params> {
        let mut params = Vec::with_capacity(parts.len());
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (trim(name), Some(trim(value))),
                None => (part, None),
            };
            if part.is_empty() && lenient {
                continue;
            }
            if !is_name(name) {
                return None;
            }
            params.push((name.to_owned(), value.map(str::to_owned)));
        }
        Some(Params(params))
    }

    /// Whether there is such a parameter, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The value as it was written, quotes and escapes included; `None` without one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.find(name)?.1.as_deref()
    }

    fn find(&self, name: &str) -> Option<&(String, Option<String>)> {
        self.0
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    /// All in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// Gives the first parameter of this name a value, at its place; adds it if there is none.
    pub fn set(&mut self, name: &str, value: &str) {
        let value = Some(value.to_owned());
        match self
            .0
            .iter_mut()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
        {
            Some(param) => param.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

/// A token, or with the further characters that URIs allow in a name (RFC 3261 §25.1, `paramchar`).
fn is_name(name: &str) -> bool {
    is_token(&name.replace(['[', ']', '/', ':', '&', '+', '$', '(', ')'], "-"))
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            write!(f, ";{name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_the_equal_sign_and_a_quoted_semicolon() {
        let params = Params::parse("branch = z9hG4bK=abc== ; x=\"a;b\";lr", false).expect("params");
        assert_eq!(params.value("Branch"), Some("z9hG4bK=abc=="));
        assert_eq!(params.value("x"), Some("\"a;b\""));
        assert!(params.has("LR") && params.value("lr").is_none());
        assert_eq!(params.to_string(), ";branch=z9hG4bK=abc==;x=\"a;b\";lr");
    }

    #[test]
    fn an_empty_parameter_is_a_fault_unless_lenient() {
        assert_eq!(Params::parse("a;;b", false), None);
        assert_eq!(
            Params::parse("a;;b", true).expect("params").iter().count(),
            2
        );
    }
}
