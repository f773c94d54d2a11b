//! SIP over UDP: one datagram in, one datagram out.
//!
//! A request of any length goes out over UDP where its target's URI does not say otherwise: RFC 3261 §18.1.1 asks for TCP
//! above 1300 bytes, but a trunk or phone that speaks UDP alone would never hear it, and IP carries fragments.
//!
//! Source: RFC 3261 §18.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};

/// Room for a burst of calls that arrives while the control thread is busy.
pub(super) const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Reads one datagram: who sent it, and how long it is; `None` when there is none.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(SocketAddr, usize)> {
    loop {
        match socket.recv_from(buffer) {
            Ok((length, remote)) => return Some((remote, length)),
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
pub(super) fn send(socket: &UdpSocket, remote: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    match socket.send_to(bytes, remote) {
        Err(error) if !is_passing(&error) => Err(error),
        _ => Ok(()),
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
