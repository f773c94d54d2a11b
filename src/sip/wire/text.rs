//! Bytes ↔ text without loss.
//!
//! A head of SIP should be UTF-8, but phones and gateways send display names in GBK and Latin-1. A byte that is
//! not part of valid UTF-8 is kept as one character of the last block of plane 16: U+10FF00 + byte. A character
//! of that block in the input is itself taken as four such bytes, so that reading and writing are
//! each other's reverse for every input.
//!
//! Source: RFC 3261 §7.3.1, §25.1 (UTF-8), the private use planes of Unicode.

use std::borrow::Cow;

/// The character for byte 0 of the block that holds bytes which are not UTF-8.
const ESCAPED: u32 = 0x10_FF00;

/// Text for any bytes.
pub fn read(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        // No character of plane 16 is written without this byte.
        Ok(text) if !bytes.contains(&0xF4) => Cow::Borrowed(text),
        _ => Cow::Owned(read_slowly(bytes)),
    }
}

fn read_slowly(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match escaped_byte(character) {
                None => text.push(character),
                Some(_) => {
                    let mut buffer = [0; 4];
                    text.extend(character.encode_utf8(&mut buffer).bytes().map(escape));
                }
            }
        }
        text.extend(chunk.invalid().iter().copied().map(escape));
    }
    text
}

fn escape(byte: u8) -> char {
    char::from_u32(ESCAPED + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that a character stands for, if it stands for one.
pub fn escaped_byte(character: char) -> Option<u8> {
    u8::try_from(u32::from(character).checked_sub(ESCAPED)?).ok()
}

/// The bytes of a text, the reverse of [`read`].
pub fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    write(text, &mut out);
    out
}

fn write(text: &str, out: &mut Vec<u8>) {
    // The UTF-8 of the block of escaped bytes has this first byte; no other byte of UTF-8 is equal to it.
    if !text.as_bytes().contains(&0xF4) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for character in text.chars() {
        match escaped_byte(character) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Writes one line's text. A CR or LF in it becomes a space: no value starts a new header.
pub fn write_line(text: &str, out: &mut Vec<u8>) {
    let from = out.len();
    write(text, out);
    for byte in out.iter_mut().skip(from) {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
}

/// A value as it is kept: without blanks around it, a CR or LF in it as a space.
pub fn clean(value: &str) -> String {
    let line_ends_too = [' ', '\t', '\r', '\n'];
    value.trim_matches(line_ends_too).replace(['\r', '\n'], " ")
}

/// Without SP and HT around it. Other white space, such as U+3000, is text.
pub fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The characters of a text with their places, and whether each may have a meaning in the syntax.
///
/// The second byte of a GBK character can be 0x5C, a backslash. Here each escaped byte takes
/// the character behind it along, so `誠` (D5 5C) at the end of a quoted string does not swallow the closing quote.
pub fn with_syntax(text: &str) -> impl Iterator<Item = (usize, char, bool)> {
    let mut half = false;
    text.char_indices().map(move |(at, character)| {
        let lead = escaped_byte(character).is_some();
        let trail = half && (lead || ('\u{40}'..='\u{7e}').contains(&character));
        half = lead && !trail;
        (at, character, !trail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gbk_name_passes_undamaged() {
        let gbk = b"\"\xd5\xc5\xc8\xfd\" <sip:a@b>";
        assert_eq!(bytes(&read(gbk)), gbk);
    }

    #[test]
    fn latin_1_and_utf_8_in_one_line_pass_undamaged() {
        let mixed = "Zoë ".bytes().chain([0xeb, 0, 0xff]).collect::<Vec<u8>>();
        assert_eq!(bytes(&read(&mixed)), mixed);
    }

    #[test]
    fn a_character_of_the_block_itself_is_taken_bytewise() {
        let own = "\u{10ff41}".as_bytes();
        assert_eq!(read(own).chars().count(), 4);
        assert_eq!(bytes(&read(own)), own);
    }

    #[test]
    fn a_line_holds_no_line_end() {
        let mut out = Vec::new();
        write_line("a\r\nVia: x\u{10ff0a}y", &mut out);
        assert_eq!(out, b"a  Via: x y");
    }

    #[test]
    fn a_kept_value_has_no_blank_at_its_ends() {
        assert_eq!(clean(" \t\r a\r\nb\n "), "a  b");
    }

    #[test]
    fn the_second_byte_of_a_gbk_character_is_no_backslash() {
        let name = read(b"\xd5\x5c\"");
        let meant: Vec<bool> = with_syntax(&name).map(|(_, _, syntax)| syntax).collect();
        assert_eq!(meant, [true, false, true]);
    }

    proptest! {
        #[test]
        fn reading_and_writing_are_each_others_reverse(input: Vec<u8>) {
            prop_assert_eq!(bytes(&read(&input)), input);
        }
    }
}
