//! Lines, folded headers, and where a message ends in a stream.
//!
//! Source: RFC 3261 §7.3.1 (folding), §7.5 (leading CRLF), §18.3 (framing). A bare LF is borne as a line end.

use super::fault::PeerFault;
use super::headers::Headers;
use super::scan::{digits, is_token};
use super::stream::is_sip;
use super::text;
use crate::base::limits::SIP_MESSAGE_BYTES_MAX;
use std::borrow::Cow;

/// The lines of a head; what is behind its empty line is the rest.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    /// Passes over the empty lines that may come first.
    pub fn new(bytes: &'a [u8]) -> Lines<'a> {
        let from = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
        Lines {
            rest: bytes.get(from.unwrap_or(bytes.len())..).unwrap_or_default(),
        }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next line without its end; `None` if it does not end.
    pub fn line(&mut self) -> Option<&'a [u8]> {
        let at = self.rest.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = (self.rest.get(..at)?, self.rest.get(at + 1..)?);
        self.rest = rest;
        Some(trim_end(line, b"\r"))
    }

    /// The next line with those folded behind it, each fold as one space.
    pub fn unfolded(&mut self) -> Option<Cow<'a, [u8]>> {
        let mut line = Cow::Borrowed(self.line()?);
        while !line.is_empty() && matches!(self.rest.first(), Some(b' ' | b'\t')) {
            let fold = trim_blanks(self.line()?);
            let whole = line.to_mut();
            whole.truncate(trim_end(whole, b" \t").len());
            if !fold.is_empty() {
                whole.push(b' ');
                whole.extend_from_slice(fold);
            }
        }
        Some(line)
    }
}

fn trim_end<'a>(bytes: &'a [u8], set: &[u8]) -> &'a [u8] {
    let kept = bytes
        .iter()
        .rposition(|byte| !set.contains(byte))
        .map_or(0, |last| last + 1);
    bytes.get(..kept).unwrap_or_default()
}

fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let bytes = trim_end(bytes, b" \t");
    let from = bytes.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    bytes.get(from.unwrap_or(bytes.len())..).unwrap_or_default()
}

/// The headers of a head.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub headers: Headers,
    /// How many lines there were, folded ones counted once.
    pub count: usize,
    /// The empty line was there.
    pub closed: bool,
    /// A line was no header; it was passed over.
    pub strange: bool,
}

/// Reads headers to the empty line.
pub(super) fn read_head(lines: &mut Lines<'_>) -> Head {
    let mut head = Head::default();
    while let Some(line) = lines.unfolded() {
        if line.is_empty() {
            head.closed = true;
            break;
        }
        head.count += 1;
        match field(&text::read(&line)) {
            Some((name, value)) => head.headers.push(name, value),
            None => head.strange = true,
        }
    }
    head
}

fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let name = name.trim_end_matches([' ', '\t']);
    is_token(name).then_some((name, value))
}

/// The Content-Length of a head, if it has one; the same twice is borne.
pub(super) fn content_length(headers: &Headers) -> Result<Option<usize>, PeerFault> {
    let mut length = None;
    for value in headers.all("Content-Length") {
        let own = digits(value).and_then(|own| usize::try_from(own).ok());
        if own.is_none() || (length.is_some() && own != length) {
            return Err(PeerFault::ContentLength);
        }
        length = own;
    }
    Ok(length)
}

/// The length of the first message in a stream, with the empty lines before it; `None`: more bytes are needed.
///
/// # Errors
/// The stream is no longer in step and is to be closed: rubbish, no usable Content-Length, or a message that is too long.
pub fn frame_stream(buffer: &[u8]) -> Result<Option<usize>, PeerFault> {
    let mut lines = Lines::new(buffer);
    let unfinished = match buffer.len() > SIP_MESSAGE_BYTES_MAX {
        true => Err(PeerFault::TooLong),
        false => Ok(None),
    };
    let Some(start) = lines.line() else {
        return unfinished;
    };
    if !is_sip(start) {
        return Err(PeerFault::NotSip);
    }
    let head = read_head(&mut lines);
    if !head.closed {
        return unfinished;
    }
    let length = stream_length(&head.headers, buffer.len() - lines.rest().len())?;
    Ok((length <= buffer.len()).then_some(length))
}

/// How long a message in a stream is, head and body: there Content-Length is mandatory (RFC 3261 §18.3).
pub(super) fn stream_length(headers: &Headers, head: usize) -> Result<usize, PeerFault> {
    let length = content_length(headers)?;
    let length = length.ok_or(PeerFault::MissingHeader("Content-Length"))?;
    match head.saturating_add(length) {
        whole if whole > SIP_MESSAGE_BYTES_MAX => Err(PeerFault::TooLong),
        whole => Ok(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "\r\n\r\nBYE sip:a@b SIP/2.0\r\nl : 3\r\n\r\nabcACK sip:a@b SIP/2.0\r\n";

    #[test]
    fn a_stream_is_cut_behind_the_body() {
        assert_eq!(frame_stream(TWO.as_bytes()), Ok(TWO.find("ACK")));
    }

    #[test]
    fn every_part_of_a_message_wants_more() {
        let whole = TWO.find("ACK").expect("a second message");
        for cut in 0..whole {
            assert_eq!(frame_stream(&TWO.as_bytes()[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn a_stream_out_of_step_is_closed() {
        let faults = [
            ("GET / HTTP/1.1\r\n\r\n", PeerFault::NotSip),
            (
                "BYE sip:a@b SIP/2.0\r\n\r\n",
                PeerFault::MissingHeader("Content-Length"),
            ),
            (
                "BYE sip:a@b SIP/2.0\r\nl: -1\r\n\r\n",
                PeerFault::ContentLength,
            ),
            (
                "BYE sip:a@b SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\n",
                PeerFault::ContentLength,
            ),
            (
                "BYE sip:a@b SIP/2.0\r\nl: 70000\r\n\r\n",
                PeerFault::TooLong,
            ),
        ];
        for (text, fault) in faults {
            assert_eq!(frame_stream(text.as_bytes()), Err(fault), "{text}");
        }
        assert_eq!(
            frame_stream(&vec![b'x'; SIP_MESSAGE_BYTES_MAX + 1]),
            Err(PeerFault::TooLong)
        );
    }

    #[test]
    fn folds_become_one_space() {
        let mut lines =
            Lines::new(b"\r\nTO :\r\n sip:a@b  \r\n\t ;\r\n   \r\n  tag=1\nv: x\r\n\r\nbody");
        let to = lines.unfolded().expect("a line").into_owned();
        assert_eq!(String::from_utf8_lossy(&to), "TO : sip:a@b ; tag=1");
        assert_eq!(lines.unfolded().as_deref(), Some(&b"v: x"[..]));
        assert_eq!(lines.unfolded().as_deref(), Some(&b""[..]));
        assert_eq!(lines.rest(), b"body");
    }

    #[test]
    fn a_line_that_is_no_header_is_noted() {
        let head = read_head(&mut Lines::new(b"no header\r\na b: c\r\nOwn: y\r\n\r\n"));
        assert!(head.strange && head.closed);
        assert_eq!((head.count, head.headers.first("own")), (3, Some("y")));
    }
}
