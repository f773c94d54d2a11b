//! Copies of all SIP messages to a collector (Homer, HEPIC), as HEP version 3 over UDP.
//!
//! A thread of its own sends from a bounded queue through a socket that never waits: a collector that is dead, slow or unknown
//! harms nothing, what could not be sent is counted. The correlation id is the call's id, so that both legs stand
//! together there; of a message without a call it is its Call-ID.
//! Source: HEP3 Network Protocol Specification, revision 37, sipcapture.org (header; generic chunks of vendor 0).

use super::clock;
use super::trace::{Counters, Inbox};
use crate::base::time::Instant;
use crate::base::transport::Transport;
use crate::call::desk::Listener;
use crate::call::tracer::Traced;
use crate::config::Hep;
use crate::engine::trace::mask::masked;
use crate::hotline::figures::Direction;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// IANA's number of a transport's protocol.
fn protocol_of(transport: Transport) -> u8 {
    match transport {
        Transport::Udp => 17,
        Transport::Tcp | Transport::Tls => 6,
    }
}

/// Generic chunk types.
mod chunk {
    pub const IP_FAMILY: u16 = 0x01;
    pub const IP_PROTOCOL: u16 = 0x02;
    pub const IPV4_SOURCE: u16 = 0x03;
    pub const IPV4_DESTINATION: u16 = 0x04;
    pub const IPV6_SOURCE: u16 = 0x05;
    pub const IPV6_DESTINATION: u16 = 0x06;
    pub const SOURCE_PORT: u16 = 0x07;
    pub const DESTINATION_PORT: u16 = 0x08;
    pub const SECONDS: u16 = 0x09;
    pub const MICROSECONDS: u16 = 0x0a;
    pub const PROTOCOL_TYPE: u16 = 0x0b;
    pub const CAPTURE_ID: u16 = 0x0c;
    pub const AUTHENTICATE_KEY: u16 = 0x0e;
    pub const PAYLOAD: u16 = 0x0f;
    pub const CORRELATION_ID: u16 = 0x11;
}

/// The protocol type of SIP.
const SIP: u8 = 1;

/// The IP families are those of AF_INET and AF_INET6 on Linux.
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;

/// How often it is said that nothing can be sent.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// One SIP message, as a collector is told of it.
#[derive(Clone, Copy, Debug)]
struct Packet<'a> {
    /// IANA's number of the transport.
    protocol: u8,
    source: SocketAddr,
    destination: SocketAddr,
    /// Microseconds since 1970.
    at_us: u64,
    capture_id: u32,
    password: Option<&'a str>,
    correlation_id: &'a str,
    payload: &'a [u8],
}

/// The datagram; `None` if it would be longer than its length field can say.
fn encode(packet: &Packet<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(packet.payload.len() + 192);
    out.extend_from_slice(b"HEP3\0\0");
    match (packet.source.ip(), packet.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            put(&mut out, chunk::IP_FAMILY, &[FAMILY_V4])?;
            put(&mut out, chunk::IP_PROTOCOL, &[packet.protocol])?;
            put(&mut out, chunk::IPV4_SOURCE, &source.octets())?;
            put(&mut out, chunk::IPV4_DESTINATION, &destination.octets())?;
        }
        (source, destination) => {
            put(&mut out, chunk::IP_FAMILY, &[FAMILY_V6])?;
            put(&mut out, chunk::IP_PROTOCOL, &[packet.protocol])?;
            put(&mut out, chunk::IPV6_SOURCE, &v6(source).octets())?;
            put(&mut out, chunk::IPV6_DESTINATION, &v6(destination).octets())?;
        }
    }
    let seconds = u32::try_from(packet.at_us / 1_000_000).unwrap_or(u32::MAX);
    let microseconds = (packet.at_us % 1_000_000) as u32;
    put(
        &mut out,
        chunk::SOURCE_PORT,
        &packet.source.port().to_be_bytes(),
    )?;
    put(
        &mut out,
        chunk::DESTINATION_PORT,
        &packet.destination.port().to_be_bytes(),
    )?;
    put(&mut out, chunk::SECONDS, &seconds.to_be_bytes())?;
    put(&mut out, chunk::MICROSECONDS, &microseconds.to_be_bytes())?;
    put(&mut out, chunk::PROTOCOL_TYPE, &[SIP])?;
    put(
        &mut out,
        chunk::CAPTURE_ID,
        &packet.capture_id.to_be_bytes(),
    )?;
    if let Some(password) = packet.password {
        put(&mut out, chunk::AUTHENTICATE_KEY, password.as_bytes())?;
    }
    if !packet.correlation_id.is_empty() {
        put(
            &mut out,
            chunk::CORRELATION_ID,
            packet.correlation_id.as_bytes(),
        )?;
    }
    put(&mut out, chunk::PAYLOAD, packet.payload)?;
    let length = u16::try_from(out.len()).ok()?;
    out[4..6].copy_from_slice(&length.to_be_bytes());
    Some(out)
}

/// Vendor 0, the type, the length with these six bytes, the content.
fn put(out: &mut Vec<u8>, kind: u16, content: &[u8]) -> Option<()> {
    let length = u16::try_from(content.len() + 6).ok()?;
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(content);
    Some(())
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Starts the thread that sends.
///
/// # Errors
/// The socket or the thread could not be had.
pub(super) fn start(
    collector: &Hep,
    listeners: &[Listener],
    inbox: Inbox,
    counters: Arc<Counters>,
) -> io::Result<()> {
    let any: IpAddr = match collector.to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    let mut sender = Sender {
        collector: collector.clone(),
        listeners: listeners.to_vec(),
        socket,
        counters,
        warn_at: Instant::ZERO,
    };
    let send = move || {
        inbox.for_each(|batch| {
            let boot_us = boot_us();
            for message in &batch {
                sender.send(message, boot_us);
            }
        });
    };
    std::thread::Builder::new().name("hep".into()).spawn(send)?;
    Ok(())
}

/// The wall clock's microseconds at boot.
fn boot_us() -> i64 {
    let wall = jiff::Timestamp::now().as_microsecond();
    wall - i64::try_from(clock::now().as_nanos() / 1_000).unwrap_or(0)
}

struct Sender {
    collector: Hep,
    listeners: Vec<Listener>,
    socket: UdpSocket,
    counters: Arc<Counters>,
    warn_at: Instant,
}

impl Sender {
    fn send(&mut self, message: &Traced, boot_us: i64) {
        let payload = masked_payload(message, self.collector.mask);
        let own = self.own_address(message);
        let (source, destination) = match message.direction {
            Direction::In => (message.path.remote, own),
            Direction::Out => (own, message.path.remote),
        };
        let since_boot = i64::try_from(message.at.as_nanos() / 1_000).unwrap_or(0);
        let packet = Packet {
            protocol: protocol_of(message.path.transport),
            source,
            destination,
            at_us: u64::try_from(boot_us + since_boot).unwrap_or(0),
            capture_id: self.collector.capture_id,
            password: self
                .collector
                .password
                .as_ref()
                .map(|password| password.reveal()),
            correlation_id: message
                .call
                .as_ref()
                .map_or(&message.call_id, |call| &*call.id),
            payload: &payload,
        };
        let sent = match encode(&packet) {
            Some(datagram) => self.socket.send_to(&datagram, self.collector.to),
            None => Err(io::ErrorKind::InvalidData.into()),
        };
        match sent {
            Ok(_) => self.counters.hep_sent.fetch_add(1, Relaxed),
            Err(error) => {
                self.warn(&error);
                self.counters.hep_dropped.fetch_add(1, Relaxed)
            }
        };
    }

    /// What our socket is bound to; where that is all addresses, what peers are told.
    fn own_address(&self, message: &Traced) -> SocketAddr {
        let listener = self.listeners.get(usize::from(message.path.listener));
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        listener.map_or(nowhere, |own| match own.bound.ip().is_unspecified() {
            true => own.advertised,
            false => own.bound,
        })
    }

    fn warn(&mut self, error: &io::Error) {
        let now = clock::now();
        if now >= self.warn_at {
            tracing::warn!(kind = ?error.kind(), "SIP messages cannot be sent to the HEP collector");
            self.warn_at = now + WARN_EVERY;
        }
    }
}

/// Credentials and keys are masked always; a message without any is sent as it is.
fn masked_payload(message: &Traced, people: bool) -> std::borrow::Cow<'_, [u8]> {
    let has_secret = || {
        let has = |name: &[u8]| {
            let mut windows = message.bytes.windows(name.len());
            windows.any(|window| window.eq_ignore_ascii_case(name))
        };
        [
            &b"authorization"[..],
            b"authentication-info",
            b"a=crypto:",
            b"\nk=",
        ]
        .into_iter()
        .any(has)
    };
    match people || has_secret() {
        true => masked(&message.bytes, people).into_bytes().into(),
        false => message.bytes.as_slice().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Packet<'static> {
        Packet {
            protocol: 17,
            source: "192.0.2.9:5060".parse().unwrap(),
            destination: "192.0.2.1:5062".parse().unwrap(),
            at_us: 1_772_323_201_000_042,
            capture_id: 2001,
            password: None,
            correlation_id: "ab",
            payload: b"SIP/2.0",
        }
    }

    /// Source: written by hand from the specification's tables.
    #[test]
    fn a_message_over_ipv4_is_these_bytes() {
        #[rustfmt::skip]
        let golden: &[u8] = &[
            b'H', b'E', b'P', b'3', 0, 114,
            0, 0, 0, 0x01, 0, 7, 2,
            0, 0, 0, 0x02, 0, 7, 17,
            0, 0, 0, 0x03, 0, 10, 192, 0, 2, 9,
            0, 0, 0, 0x04, 0, 10, 192, 0, 2, 1,
            0, 0, 0, 0x07, 0, 8, 0x13, 0xc4,
            0, 0, 0, 0x08, 0, 8, 0x13, 0xc6,
            0, 0, 0, 0x09, 0, 10, 0x69, 0xa3, 0x81, 0x81,
            0, 0, 0, 0x0a, 0, 10, 0, 0, 0, 42,
            0, 0, 0, 0x0b, 0, 7, 1,
            0, 0, 0, 0x0c, 0, 10, 0, 0, 0x07, 0xd1,
            0, 0, 0, 0x11, 0, 8, b'a', b'b',
            0, 0, 0, 0x0f, 0, 13, b'S', b'I', b'P', b'/', b'2', b'.', b'0',
        ];
        assert_eq!(encode(&packet()).unwrap(), golden);
    }

    #[test]
    fn ipv6_and_a_password_have_their_own_chunks() {
        let bytes = encode(&Packet {
            source: "[2001:db8::9]:5060".parse().unwrap(),
            destination: "[2001:db8::1]:5062".parse().unwrap(),
            password: Some("pw"),
            correlation_id: "",
            ..packet()
        })
        .unwrap();
        let has = |chunk: &[u8]| bytes.windows(chunk.len()).any(|window| window == chunk);
        assert!(has(&[0, 0, 0, 0x01, 0, 7, 10]));
        assert!(has(&[0, 0, 0, 0x05, 0, 22, 0x20, 0x01, 0x0d, 0xb8]));
        assert!(has(&[0, 0, 0, 0x06, 0, 22, 0x20, 0x01, 0x0d, 0xb8]));
        assert!(has(&[0, 0, 0, 0x0e, 0, 8, b'p', b'w']));
        assert!(!has(&[0, 0, 0, 0x03]) && !has(&[0, 0, 0, 0x11, 0]));
        assert_eq!(bytes[4..6], (bytes.len() as u16).to_be_bytes());
    }

    #[test]
    fn what_is_too_long_is_not_sent_in_part() {
        let payload = vec![b'x'; 65_500];
        let packet = Packet {
            payload: &payload,
            ..packet()
        };
        assert_eq!(encode(&packet), None);
    }
}
