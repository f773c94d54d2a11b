//! A stream of bytes → whole messages, keep-alives, or the reason why it cannot be followed any more.
//!
//! Decides where a message ends and what may come between two. Looks at each byte of a head once, however small the
//! pieces are that it comes in. Never reads what a message says.
//! Source: RFC 3261 §7.5 and §18.3 (framing), RFC 5626 §3.5.1 and §4.4.1 (keep-alive).

use super::fault::PeerFault;
use super::frame::{Lines, read_head, stream_length};
use super::scan::is_token;
use crate::base::limits::{SIP_MESSAGE_BYTES_MAX, SIP_STREAM_HEAD_BYTES_MAX};

/// The answer to a keep-alive (RFC 5626 §4.4.1).
pub const PONG: &[u8] = b"\r\n";

/// What was found in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole message.
    Message(Vec<u8>),
    /// A keep-alive, to be answered with [`PONG`].
    Ping,
}

/// The stream is out of step: nothing behind this can be understood, and the connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfStep {
    /// Why.
    pub fault: PeerFault,
    /// The head of the message that cannot be followed, where it deserves an answer; else nothing.
    pub head: Vec<u8>,
}

/// Cuts one stream into pieces.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    /// What came and was not cut off yet; no empty lines before it.
    buffer: Vec<u8>,
    /// Where the first line begins whose end was not seen yet.
    line: usize,
    /// How far that line was looked through.
    seen: usize,
    /// How long the first message is, once its head is there.
    whole: Option<usize>,
    /// Line ends since the last message.
    empty_lines: usize,
}

impl Framer {
    /// Takes what was read. [`Framer::poll_piece`] is to be asked until it gives nothing.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a message has begun and not ended.
    pub fn is_within_message(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next piece; `None`: more bytes are needed.
    ///
    /// # Errors
    /// The stream is out of step.
    pub fn poll_piece(&mut self) -> Result<Option<Piece>, OutOfStep> {
        if self.line == 0 && self.whole.is_none() && self.pass_empty_lines() {
            return Ok(Some(Piece::Ping));
        }
        if self.whole.is_none() {
            self.whole = self.look_for_head()?;
        }
        let Some(whole) = self.whole.filter(|whole| *whole <= self.buffer.len()) else {
            return Ok(None);
        };
        let rest = self.buffer.split_off(whole);
        let message = std::mem::replace(&mut self.buffer, rest);
        (self.line, self.seen, self.whole) = (0, 0, None);
        Ok(Some(Piece::Message(message)))
    }

    /// Drops empty lines before a message; `true` at the second of two, which make a keep-alive.
    fn pass_empty_lines(&mut self) -> bool {
        let mut passed = 0;
        let mut is_ping = false;
        for byte in &self.buffer {
            match byte {
                b'\r' => {}
                b'\n' => self.empty_lines += 1,
                _ => {
                    self.empty_lines = 0;
                    break;
                }
            }
            passed += 1;
            is_ping = self.empty_lines == 2;
            if is_ping {
                self.empty_lines = 0;
                break;
            }
        }
        self.buffer.drain(..passed);
        self.seen = 0;
        is_ping
    }

    /// The length of the first message, if its head is whole.
    fn look_for_head(&mut self) -> Result<Option<usize>, OutOfStep> {
        while let Some(length) = self.line_length() {
            let line = self
                .buffer
                .get(self.line..self.line + length)
                .unwrap_or_default();
            let is_empty = line.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
            if self.line == 0 && !is_sip(line) {
                return Err(rubbish());
            }
            self.line += length;
            self.seen = self.line;
            if is_empty {
                return self.measure().map(Some);
            }
        }
        let first = self.buffer.first().map(|byte| [*byte]);
        let begins_like_sip =
            first.is_none_or(|first| std::str::from_utf8(&first).is_ok_and(is_token));
        if !begins_like_sip || self.buffer.len() > SIP_STREAM_HEAD_BYTES_MAX {
            return Err(rubbish());
        }
        Ok(None)
    }

    /// The length of the line that begins at `line`, its end included.
    fn line_length(&mut self) -> Option<usize> {
        let unseen = self.buffer.get(self.seen..)?;
        match unseen.iter().position(|byte| *byte == b'\n') {
            Some(at) => Some(self.seen + at + 1 - self.line),
            None => {
                self.seen = self.buffer.len();
                None
            }
        }
    }

    /// The head is `buffer[..line]`.
    fn measure(&self) -> Result<usize, OutOfStep> {
        let head = self.buffer.get(..self.line).unwrap_or_default();
        let out_of_step = |fault| OutOfStep {
            fault,
            head: head.to_vec(),
        };
        if head.len() > SIP_STREAM_HEAD_BYTES_MAX {
            return Err(out_of_step(PeerFault::TooLong));
        }
        let mut lines = Lines::new(head);
        lines.line();
        let headers = read_head(&mut lines).headers;
        stream_length(&headers, head.len()).map_err(out_of_step)
    }
}

const _: () = assert!(SIP_STREAM_HEAD_BYTES_MAX <= SIP_MESSAGE_BYTES_MAX);

/// Nothing that an answer could be made of.
fn rubbish() -> OutOfStep {
    OutOfStep {
        fault: PeerFault::NotSip,
        head: Vec::new(),
    }
}

/// Whether a first line names SIP at all.
pub(super) fn is_sip(line: &[u8]) -> bool {
    let mut words = line.windows(4);
    words.any(|word| word.eq_ignore_ascii_case(b"SIP/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYE: &str = "BYE sip:a@b SIP/2.0\r\nl : 3\r\nSubject: x\r\n y\r\n\r\nabc";
    const ACK: &str = "ACK sip:a@b SIP/2.0\nContent-Length: 0\n\n";

    /// All pieces of a stream that comes in parts of so many bytes.
    fn cut(stream: &[u8], part: usize) -> Result<Vec<Piece>, OutOfStep> {
        let mut framer = Framer::default();
        let mut pieces = Vec::new();
        for bytes in stream.chunks(part) {
            framer.push(bytes);
            while let Some(piece) = framer.poll_piece()? {
                pieces.push(piece);
            }
        }
        assert!(!framer.is_within_message(), "something is left");
        Ok(pieces)
    }

    fn message(text: &str) -> Piece {
        Piece::Message(text.as_bytes().to_vec())
    }

    #[test]
    fn messages_are_cut_wherever_the_stream_is() {
        let stream = format!("{BYE}{ACK}\r\n{BYE}");
        for part in 1..=stream.len() {
            let pieces = cut(stream.as_bytes(), part);
            let expected = vec![message(BYE), message(ACK), message(BYE)];
            assert_eq!(pieces, Ok(expected), "{part}");
        }
    }

    #[test]
    fn two_line_ends_ask_for_an_answer_and_one_does_not() {
        let stream = format!("\r\n\r\n{ACK}\r\n\r\n\r\n\r\n\r\n{ACK}\r\n");
        for part in 1..=stream.len() {
            let pieces = cut(stream.as_bytes(), part);
            let ping = || Piece::Ping;
            let expected = vec![ping(), message(ACK), ping(), ping(), message(ACK)];
            assert_eq!(pieces, Ok(expected), "{part}");
        }
    }

    fn fault(stream: &[u8]) -> Option<(PeerFault, usize)> {
        let fault = cut(stream, 7).err()?;
        Some((fault.fault, fault.head.len()))
    }

    #[test]
    fn what_cannot_be_followed_is_told_with_its_head_where_there_is_one() {
        let long = "BYE sip:a@b SIP/2.0\r\nl: 70000\r\n\r\n";
        assert_eq!(
            fault(long.as_bytes()),
            Some((PeerFault::TooLong, long.len()))
        );
        let bare = "BYE sip:a@b SIP/2.0\r\nTo: x\r\n\r\n";
        let missing = PeerFault::MissingHeader("Content-Length");
        assert_eq!(fault(bare.as_bytes()), Some((missing, bare.len())));
        for rubbish in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01", b" BYE"] {
            assert_eq!(fault(rubbish), Some((PeerFault::NotSip, 0)));
        }
        let endless = vec![b'x'; SIP_STREAM_HEAD_BYTES_MAX + 1];
        assert_eq!(fault(&endless), Some((PeerFault::NotSip, 0)));
    }

    #[test]
    fn a_message_is_within_from_its_first_byte_to_its_last() {
        let mut framer = Framer::default();
        framer.push(b"\r\n");
        assert_eq!(framer.poll_piece(), Ok(None));
        assert!(!framer.is_within_message(), "a line end is no message");
        framer.push(b"B");
        assert_eq!(framer.poll_piece(), Ok(None));
        assert!(framer.is_within_message());
    }
}
