//! As much of HTTP as it takes to ask our own service: one GET a connection.
//!
//! HTTP/1.0 (RFC 1945), so that the body ends with the connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer that is read: a ladder of the longest messages, escaped.
const ANSWER_BYTES_MAX: u64 = 128 << 20;

/// Status and body.
pub(super) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Asks for a path, which is escaped already.
///
/// # Errors
/// Nobody answers, or not in HTTP.
pub(super) fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut words = head.strip_prefix("HTTP/")?.split(' ');
    Some(Answer {
        status: words.nth(1)?.parse().ok()?,
        body: answer[end + 4..].to_vec(),
    })
}

/// A segment of a path (RFC 3986 §3.3): all but the unreserved characters are escaped.
pub(super) fn escaped(segment: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let write = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    segment.bytes().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let answer = parse(b"HTTP/1.0 404 Not Found\r\na: b\r\n\r\n{}\r\n\r\n").unwrap();
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (404, &b"{}\r\n\r\n"[..])
        );
        assert!(parse(b"SSH-2.0-x\r\n\r\n").is_none());
        assert!(parse(b"HTTP/1.0").is_none());
    }

    #[test]
    fn a_call_id_is_one_segment_of_the_path() {
        assert_eq!(escaped("a/b@c d?~%"), "a%2Fb%40c%20d%3F~%25");
    }
}
