//! A datagram, or a message out of a stream → a [`Message`], or the reason why not.
//!
//! Reading goes on behind a fault as far as it can, so that a refused request can be answered; of several
//! faults the first counts. Source: RFC 3261 §7.1, §7.2, §18.3; RFC 4475.

use super::check::check;
use super::fault::{PeerFault, Refused};
use super::frame::{Lines, content_length, read_head, stream_length};
use super::message::{Message, Start};
use super::method::Method;
use super::scan::digits;
use super::text;
use super::uri::Uri;
use crate::base::limits::{SIP_HEADERS_MAX, SIP_MESSAGE_BYTES_MAX};

/// Reads one datagram. Bytes behind Content-Length are dropped; without Content-Length the body is the rest.
///
/// # Errors
/// What is wrong with it, and the request as far as it could be read.
pub fn parse_datagram(bytes: &[u8]) -> Result<Message, Refused> {
    judged(bytes, read(bytes))
}

/// Reads one message that came in a stream, as [`super::Framer`] cut it: Content-Length is mandatory, and says no
/// more than a message may have (RFC 3261 §18.3).
///
/// # Errors
/// As [`parse_datagram`].
pub fn parse_framed(bytes: &[u8]) -> Result<Message, Refused> {
    let mut lines = Lines::new(bytes);
    lines.line();
    let head = read_head(&mut lines);
    let length = stream_length(&head.headers, bytes.len() - lines.rest().len());
    let reading = read(bytes).map(|reading| Reading {
        fault: length.err().filter(|_| head.closed).or(reading.fault),
        ..reading
    });
    judged(bytes, reading)
}

fn judged(bytes: &[u8], reading: Result<Reading, PeerFault>) -> Result<Message, Refused> {
    let Reading { message, fault } = reading.map_err(|fault| Refused {
        fault,
        message: None,
    })?;
    let too_long = (bytes.len() > SIP_MESSAGE_BYTES_MAX).then_some(PeerFault::TooLong);
    match too_long.or(fault).or_else(|| check(&message).err()) {
        None => Ok(message),
        Some(_) if !message.is_request() => Err(Refused {
            fault: PeerFault::BadResponse,
            message: None,
        }),
        // Nobody answers an ACK (RFC 3261 §17.1.1.3).
        Some(fault) if message.method() == Some(&Method::Ack) => Err(Refused {
            fault,
            message: None,
        }),
        Some(fault) => Err(Refused {
            fault,
            message: Some(Box::new(message)),
        }),
    }
}

/// A message as far as it could be read, and the first thing that was wrong.
pub(super) struct Reading {
    pub message: Message,
    pub fault: Option<PeerFault>,
}

/// Reads what can be read. What a message must have is not asked for: a stored one may lack it.
pub(super) fn read(bytes: &[u8]) -> Result<Reading, PeerFault> {
    let mut lines = Lines::new(bytes);
    let (start, start_fault) = start_line(&text::read(lines.line().ok_or(PeerFault::NotSip)?))?;
    let mut head = read_head(&mut lines);
    let length = content_length(&head.headers);
    head.headers.remove("Content-Length");
    let head_fault = [
        (head.strange, PeerFault::HeaderLine),
        (head.count > SIP_HEADERS_MAX, PeerFault::TooManyHeaders),
        (!head.closed, PeerFault::Truncated),
    ];
    let head_fault = head_fault
        .into_iter()
        .find(|(is_so, _)| *is_so)
        .map(|(_, fault)| fault);
    let (body, body_fault) = body(lines.rest(), length);
    let message = Message {
        start,
        headers: head.headers,
        body: body.to_vec(),
    };
    Ok(Reading {
        message,
        fault: start_fault.or(head_fault).or(body_fault),
    })
}

fn body(rest: &[u8], length: Result<Option<usize>, PeerFault>) -> (&[u8], Option<PeerFault>) {
    match length {
        Err(fault) => (rest, Some(fault)),
        Ok(None) => (rest, None),
        Ok(Some(length)) => match rest.get(..length) {
            Some(body) => (body, None),
            None => (rest, Some(PeerFault::Truncated)),
        },
    }
}

fn start_line(line: &str) -> Result<(Start, Option<PeerFault>), PeerFault> {
    if is_version(line) {
        let start = status_line(line).ok_or(PeerFault::BadResponse)?;
        return Ok((start, None));
    }
    request_line(line)
}

fn is_version(text: &str) -> bool {
    text.get(..4)
        .is_some_and(|name| name.eq_ignore_ascii_case("SIP/"))
}

fn status_line(line: &str) -> Option<Start> {
    let (version, rest) = line.split_once(' ')?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let status = digits(code).filter(|status| (100..700).contains(status) && code.len() == 3)?;
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return None;
    }
    Some(Start::Response {
        status: u16::try_from(status).ok()?,
        reason: text::clean(reason),
    })
}

/// Reads a request line. What does not end in a version is no SIP at all.
fn request_line(line: &str) -> Result<(Start, Option<PeerFault>), PeerFault> {
    let words: Vec<&str> = line.split(' ').collect();
    let (method, rest) = text::trim(line).split_once(' ').ok_or(PeerFault::NotSip)?;
    let (uri, version) = rest.rsplit_once(' ').unwrap_or(("", rest));
    let method = Method::parse(method).ok_or(PeerFault::NotSip)?;
    if !is_version(version) {
        return Err(PeerFault::NotSip);
    }
    let uri = text::trim(uri);
    let parsed = Uri::parse(uri);
    let fault = if !version.eq_ignore_ascii_case("SIP/2.0") {
        Some(PeerFault::Version)
    } else if words.len() != 3 {
        Some(PeerFault::StartLine)
    } else {
        parsed.is_err().then_some(PeerFault::RequestUri)
    };
    let uri = parsed.unwrap_or_else(|_| Uri::unreadable(uri));
    Ok((Start::Request { method, uri }, fault))
}

#[cfg(test)]
mod tests;
