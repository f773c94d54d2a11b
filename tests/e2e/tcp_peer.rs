//! A SIP peer over TCP of our own: it says what it is told, byte for byte, and takes messages apart.

use crate::message::header;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection.
pub struct TcpPeer {
    stream: TcpStream,
    /// What came and was not taken yet.
    read: Vec<u8>,
}

impl TcpPeer {
    /// Connects.
    pub fn connect(to: SocketAddr) -> Self {
        Self::on(TcpStream::connect(to).expect("a connection"))
    }

    /// A connection that is there.
    pub fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("no delay");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a read timeout");
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.stream.local_addr().expect("an address")
    }

    /// Says this.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("sent");
    }

    /// Says nothing more.
    pub fn fall_silent(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next message; `None` where the other side has closed.
    pub fn hear(&mut self) -> Option<String> {
        loop {
            if let Some(length) = whole(&self.read) {
                let rest = self.read.split_off(length);
                let message = std::mem::replace(&mut self.read, rest);
                return Some(String::from_utf8_lossy(&message).into_owned());
            }
            if !self.read_more() {
                let left = String::from_utf8_lossy(&self.read);
                assert!(left.is_empty(), "closed in the middle of {left}");
                return None;
            }
        }
    }

    /// The next message that is such a one; others are passed over.
    pub fn await_one(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        loop {
            let message = self.hear();
            let message = message.unwrap_or_else(|| panic!("closed before {what}"));
            if is_it(&message) {
                return message;
            }
        }
    }

    /// The answer to a keep-alive.
    pub fn hear_pong(&mut self) {
        while self.read.len() < 2 && self.read_more() {}
        assert_eq!(self.read, b"\r\n");
        self.read.clear();
    }

    /// `false` at the end of the stream.
    fn read_more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(length) => {
                self.read.extend_from_slice(&bytes[..length]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing within {PATIENCE:?}: {error}"),
        }
    }
}

/// The length of the first message, if it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let length = header(&head, "Content-Length").or(header(&head, "l"));
    let length: usize = length.expect("a Content-Length").parse().expect("a number");
    (bytes.len() >= end + length).then_some(end + length)
}

/// A request over TCP, with what each has; `more` are whole header lines.
pub fn request(method: &str, to: SocketAddr, from: SocketAddr, call: &str, more: &str) -> String {
    format!(
        "{method} sip:hotline@{to} SIP/2.0\r\nVia: SIP/2.0/TCP {from};branch=z9hG4bK{method}{call}\r\n\
         From: <sip:caller@{from}>;tag=caller\r\nTo: <sip:hotline@{to}>\r\nCall-ID: {call}\r\n\
         CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContact: <sip:caller@{from};transport=tcp>\r\n{more}"
    )
}

/// The same without a body.
pub fn bare(method: &str, to: SocketAddr, from: SocketAddr, call: &str) -> String {
    request(method, to, from, call, "Content-Length: 0\r\n\r\n")
}
