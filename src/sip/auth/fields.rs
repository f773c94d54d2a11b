//! The syntax of challenges and credentials: a scheme, then `name=value` with commas between them.
//!
//! Source: RFC 3261 §20.7 and §25.1 (`auth-param`), RFC 7235 §2.1. Several challenges in one line, which RFC 3261 §7.3.1
//! forbids and some send, are read too.

use crate::sip::wire::scan::{is_token, split};
use crate::sip::wire::text::trim;

/// One challenge or one set of credentials, not yet understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    scheme: String,
    fields: Vec<(String, String)>,
}

impl Fields {
    /// All of one header line. What is malformed ends what it is in: a challenge that cannot be read is
    /// no challenge.
    pub fn read(line: &str) -> Vec<Fields> {
        let mut all: Vec<Option<Fields>> = Vec::new();
        for part in split(line, ',').into_iter().filter(|part| !part.is_empty()) {
            let (scheme, field) = scheme_of(part);
            if let Some(scheme) = scheme {
                all.push(Some(Fields {
                    scheme: scheme.to_owned(),
                    fields: Vec::new(),
                }));
            }
            if field.is_empty() && scheme.is_some() {
                continue;
            }
            let Some(last) = all.last_mut() else {
                return Vec::new();
            };
            match (read_field(field), last.as_mut()) {
                (Some(field), Some(fields)) => fields.fields.push(field),
                _ => *last = None,
            }
        }
        all.into_iter().flatten().collect()
    }

    /// Whether the scheme is Digest.
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    /// A value without the quotes around it. Of two with one name the first counts.
    pub fn value(&self, name: &str) -> Option<&str> {
        let named = |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        self.fields
            .iter()
            .find(named)
            .map(|(_, value)| value.as_str())
    }
}

/// `Digest realm="x"` begins a new one; `realm="x"` goes on.
fn scheme_of(part: &str) -> (Option<&str>, &str) {
    let Some((word, rest)) = part.split_once([' ', '\t']) else {
        return if is_token(part) {
            (Some(part), "")
        } else {
            (None, part)
        };
    };
    // Blanks may stand around the equal sign.
    if is_token(word) && !trim(rest).starts_with('=') {
        (Some(word), trim(rest))
    } else {
        (None, part)
    }
}

fn read_field(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (trim(name), trim(value));
    if !is_token(name) {
        return None;
    }
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').filter(|inner| closes(inner))?,
        None if value.contains('"') => return None,
        None => value,
    };
    Some((name.to_owned(), value.to_owned()))
}

/// Whether the quote behind this text is its end and not escaped, and none before it is the end.
fn closes(inner: &str) -> bool {
    let mut escaped = false;
    for character in inner.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return false,
            _ => {}
        }
    }
    !escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<Fields> {
        Fields::read(line)
    }

    #[test]
    fn commas_and_equal_signs_in_quotes_are_text() {
        let all = read(r#"Digest realm="a, b=\"c\"", qop="auth,auth-int" ,stale = TRUE,x="""#);
        let [one] = &all[..] else {
            panic!("one: {all:?}")
        };
        assert!(one.is_digest());
        assert_eq!(one.value("Realm"), Some(r#"a, b=\"c\""#));
        assert_eq!(one.value("qop"), Some("auth,auth-int"));
        assert_eq!(one.value("stale"), Some("TRUE"));
        assert_eq!((one.value("x"), one.value("y")), (Some(""), None));
    }

    #[test]
    fn several_challenges_of_one_line_are_told_apart() {
        let all = read(r#"Basic realm="a", NTLM, DIGEST realm="b", nonce=c"#);
        let digests: Vec<bool> = all.iter().map(Fields::is_digest).collect();
        assert_eq!(digests, [false, false, true]);
        assert_eq!(all[2].value("nonce"), Some("c"));
    }

    #[test]
    fn what_is_malformed_is_left_out_and_harms_no_other() {
        let all = read(r#"Digest realm="a" nonce="b", Digest realm="c""#);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].value("realm"), Some("c"));
        for line in [
            "",
            ",",
            "realm=\"a\"",
            "Digest =x",
            "Digest a=\"b",
            "Digest a=\"b\\\"",
        ] {
            assert_eq!(read(line), [], "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(line in "(Digest |[a-z]{1,3}=|\"|,|\\\\|[ -~é]){0,20}") {
            let _ = read(&line);
        }
    }
}
