//! A phone line's sockets. They only carry.

use rustix::event::epoll;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

/// Room for a burst of a hundred calls.
const SIP_BUFFER_BYTES: usize = 1 << 20;

/// Tries for an even port among the free ones, of which every other is.
const TRIES: usize = 64;

/// The SIP socket.
pub(super) fn bind_sip(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = bind(address)?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(SIP_BUFFER_BYTES)?;
    Ok(socket)
}

/// An RTP socket at a free even port (RFC 3550 §11).
pub(super) fn bind_rtp(ip: IpAddr) -> io::Result<(u16, UdpSocket)> {
    for _ in 0..TRIES {
        let socket = bind(SocketAddr::new(ip, 0))?;
        let port = socket.local_addr()?.port();
        if port % 2 == 0 {
            return Ok((port, socket));
        }
    }
    Err(io::ErrorKind::AddrNotAvailable.into())
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Wakes the poll with this token when there is something to read.
pub(super) fn watch(poll: &OwnedFd, source: impl AsFd, token: u64) -> io::Result<()> {
    let data = epoll::EventData::new_u64(token);
    Ok(epoll::add(poll, source, data, epoll::EventFlags::IN)?)
}

/// Reads one datagram. An ICMP answer to something sent before is passed over.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(SocketAddr, usize)> {
    loop {
        match socket.recv_from(buffer) {
            Ok((length, remote)) => return Some((remote, length)),
            Err(error) if is_passing(&error) && error.kind() != io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

/// Whether the next datagram may go through all the same.
pub(super) fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionRefused)
}
