//! Quoted strings, angle brackets and separators (RFC 3261 §25.1).

use super::text::{self, escaped_byte, trim, with_syntax};

/// Parts between separators that are neither in a quoted string nor in angle brackets, without blanks around them.
/// An open quote or bracket runs to the end.
pub fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    for (at, character, syntax) in with_syntax(text) {
        if escaped || !syntax {
            escaped = false;
            continue;
        }
        match character {
            '\\' if quoted => escaped = true,
            '"' if !bracketed => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            _ if character == separator && !quoted && !bracketed => {
                parts.push(trim(text.get(from..at).unwrap_or_default()));
                from = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(trim(text.get(from..).unwrap_or_default()));
    parts
}

/// A text that starts with a quoted string: what the string says, and what is behind it. `None` if it does not end.
pub fn unquote(quoted: &str) -> Option<(String, &str)> {
    let inner = quoted.strip_prefix('"')?;
    let mut said = String::with_capacity(inner.len());
    let mut escaped = false;
    for (at, character, syntax) in with_syntax(inner) {
        match character {
            '\\' if syntax && !escaped => {
                escaped = true;
                continue;
            }
            // A backslash may have parted bytes that are one character of UTF-8.
            '"' if syntax && !escaped => {
                return Some((
                    text::read(&text::bytes(&said)).into_owned(),
                    inner.get(at + 1..)?,
                ));
            }
            _ => said.push(character),
        }
        escaped = false;
    }
    None
}

/// The quoted string that says this. Half a GBK character would take a backslash behind it along: behind one, a
/// control character is written bare and a quote behind a space.
pub fn quote(said: &str) -> String {
    let mut text = String::with_capacity(said.len() + 2);
    let mut half = false;
    text.push('"');
    for (_, character, syntax) in with_syntax(said) {
        if syntax && matches!(character, '"' | '\\') {
            text.push_str(if half { " \\" } else { "\\" });
        } else if syntax && character.is_ascii_control() && !half {
            text.push('\\');
        }
        half = syntax && escaped_byte(character).is_some();
        text.push(character);
    }
    text.push('"');
    text
}

/// Whether it is a `token` of the grammar.
pub fn is_token(text: &str) -> bool {
    let special = |byte: u8| b"-.!%*_+`'~".contains(&byte);
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || special(byte))
}

/// A number of digits only; `None` if it is none or does not fit.
pub fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_in_quotes_or_brackets_separates_nothing() {
        let text = r#""a, \"b," <sip:x,y@z> , <sip:c>"#;
        assert_eq!(split(text, ','), [r#""a, \"b," <sip:x,y@z>"#, "<sip:c>"]);
    }

    #[test]
    fn quoting_and_unquoting_are_each_others_reverse() {
        let said = "a \"b\" \\ \u{7} \u{0} 张";
        let quoted = format!("{} rest", quote(said));
        assert_eq!(unquote(&quoted), Some((said.to_owned(), " rest")));
    }

    #[test]
    fn a_quote_that_does_not_end_is_none() {
        assert_eq!(unquote("\"abc\\\""), None);
    }

    #[test]
    fn a_gbk_name_that_ends_in_a_backslash_byte_is_quoted_as_it_was() {
        let name = text::read(b"\"\xd5\x5c\" x").into_owned();
        let (said, rest) = unquote(&name).expect("a closed quote");
        assert_eq!((quote(&said) + rest).as_str(), name);
    }

    #[test]
    fn half_a_gbk_character_takes_no_escape_along() {
        let control = text::read(b"Zo\xeb\x07").into_owned();
        let quoted = quote(&control);
        assert_eq!(unquote(&quoted), Some((control, "")));
        let open = text::read(b"Zo\xeb\"").into_owned();
        let quoted = quote(&open);
        let (said, behind) = unquote(&quoted).expect("a closed quote");
        assert_eq!((said.replace(' ', ""), behind), (open, ""));
    }

    #[test]
    fn bytes_that_a_backslash_parted_are_one_text() {
        let parted = text::read(b"\"\x80\xd5\\\x80\"").into_owned();
        let joined = text::read(b"\x80\xd5\x80").into_owned();
        assert_eq!(unquote(&parted), Some((joined, "")));
    }

    #[test]
    fn a_number_has_digits_only() {
        assert_eq!(digits("0068"), Some(68));
        assert_eq!(
            [digits("+1"), digits(""), digits("99999999999999999999")],
            [None; 3]
        );
    }
}
