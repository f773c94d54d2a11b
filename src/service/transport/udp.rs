//! SIP over UDP: the listening sockets. They only carry; what a datagram means is the engine's.
//!
//! Source: RFC 3261 §18; DSCP CS3 for signalling: RFC 4594 §4.2.

use crate::call::desk::Listener;
use crate::config::Sip;
use crate::service::StartError;
use crate::sip::transaction::Path;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Class selector 3 in the TOS byte.
const TOS_CS3: u32 = 0x60;

/// Room for a burst of calls that arrives while the control thread is busy.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// All UDP sockets of `sip.listen`, in its order.
#[derive(Debug)]
pub struct SipSockets(Vec<UdpSocket>);

impl SipSockets {
    /// Binds them.
    ///
    /// # Errors
    /// The first that cannot be bound.
    pub fn bind(sip: &Sip) -> Result<SipSockets, StartError> {
        let bind = |address: &SocketAddr| {
            bind_udp(*address).map_err(|source| StartError::Port {
                what: "sip.listen",
                address: *address,
                source,
            })
        };
        sip.listen
            .iter()
            .map(bind)
            .collect::<Result<_, _>>()
            .map(SipSockets)
    }

    /// What they are bound to.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0
            .iter()
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    }

    /// The same as the engine wants it: with the address that peers are told.
    pub fn listeners(&self, advertise: Option<IpAddr>) -> Vec<Listener> {
        let told = |bound: SocketAddr| match advertise {
            Some(ip) if ip.is_ipv4() == bound.is_ipv4() => SocketAddr::new(ip, bound.port()),
            _ => bound,
        };
        let all = self.addresses().into_iter();
        all.map(|bound| Listener {
            bound,
            advertised: told(bound),
        })
        .collect()
    }

    /// The sockets, for a poll.
    pub fn iter(&self) -> impl Iterator<Item = &UdpSocket> {
        self.0.iter()
    }

    /// Reads one datagram of a socket; `None` when there is none.
    pub fn receive<'a>(&self, listener: u16, buffer: &'a mut [u8]) -> Option<(Path, &'a [u8])> {
        let socket = self.0.get(usize::from(listener))?;
        loop {
            match socket.recv_from(buffer) {
                Ok((length, remote)) => {
                    return Some((Path { listener, remote }, &buffer[..length]));
                }
                // An ICMP answer to something sent before; the next read goes on.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Sends one datagram. A full socket buffer loses it, as a network would: SIP repeats.
    ///
    /// # Errors
    /// The network cannot be reached from here.
    pub fn send(&self, path: Path, bytes: &[u8]) -> io::Result<()> {
        let socket = self
            .0
            .get(usize::from(path.listener))
            .ok_or(ErrorKind::NotFound)?;
        match socket.send_to(bytes, path.remote) {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether the same datagram may go through next time: SIP repeats it anyway.
fn is_passing(error: &io::Error) -> bool {
    let passing = [
        ErrorKind::WouldBlock,
        ErrorKind::Interrupted,
        ErrorKind::ConnectionRefused,
        ErrorKind::OutOfMemory,
        ErrorKind::PermissionDenied, // A full table of the kernel's connection tracking.
    ];
    let no_buffers = rustix::io::Errno::NOBUFS.raw_os_error();
    passing.contains(&error.kind()) || error.raw_os_error() == Some(no_buffers)
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_tclass_v6(TOS_CS3)?;
    } else {
        socket.set_tos_v4(TOS_CS3)?;
    }
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
