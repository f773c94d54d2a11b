//! Binding the RTP and RTCP sockets, as many as the range and the descriptors give.

use crate::call::doors::PortPair;
use crate::config::Media;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Expedited forwarding in the TOS byte.
const TOS_EF: u32 = 0xB8;

/// About a second of G.711; a stranger's flood on an idle port takes no more than this.
const RECEIVE_BUFFER_BYTES: usize = 64 << 10;

/// Descriptors for all that is not RTP: SIP, HTTP, SQLite, logs.
const DESCRIPTORS_KEPT: u64 = 256;

/// An RTP socket and its RTCP socket.
#[derive(Debug)]
pub(super) struct Pair {
    pub rtp: UdpSocket,
    pub rtcp: UdpSocket,
}

/// The pairs of one thread.
pub(super) type Ports = BTreeMap<PortPair, Pair>;

/// Binds the whole range, dealt out to the threads in turn. Ports that are taken are left out.
pub(super) fn bind_all(media: &Media, threads: u16) -> Vec<Ports> {
    let (first, last) = media.ports;
    let wanted = (u32::from(last) + 1 - u32::from(first)) / 2;
    let allowed = raise_descriptors().saturating_sub(DESCRIPTORS_KEPT) / 2;
    let wanted_now = u64::from(wanted).min(allowed);
    let mut ports: Vec<Ports> = (0..threads).map(|_| Ports::new()).collect();
    let mut taken = 0_u64;
    let mut bound = 0_u64;
    for rtp in (first..last).step_by(2) {
        if bound == wanted_now {
            break;
        }
        let thread = (bound % u64::from(threads)) as u16;
        match bind_pair(media.address, rtp) {
            Ok(pair) => {
                bound += 1;
                ports[usize::from(thread)].insert(PortPair { thread, rtp }, pair);
            }
            Err(_) => taken += 1,
        }
    }
    tracing::info!(
        pairs = bound,
        taken,
        calls = bound / 2,
        "RTP ports are bound"
    );
    if u64::from(wanted) > wanted_now {
        tracing::warn!(
            range = wanted,
            bound,
            "fewer descriptors (ulimit -n) than the port range wants: fewer calls at once"
        );
    }
    ports
}

fn bind_pair(address: IpAddr, rtp: u16) -> io::Result<Pair> {
    let rtcp = rtp + 1;
    Ok(Pair {
        rtp: bind(address, rtp)?,
        rtcp: bind(address, rtcp)?,
    })
}

fn bind(ip: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_tclass_v6(TOS_EF)?;
    } else {
        socket.set_tos_v4(TOS_EF)?;
    }
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Raises the soft limit of open descriptors to the hard one. Gives how many we may have.
fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum;
    let raised = Rlimit {
        current: hard,
        maximum: hard,
    };
    if limit.current != hard && setrlimit(Resource::Nofile, raised).is_ok() {
        return hard.unwrap_or(u64::MAX);
    }
    limit.current.unwrap_or(u64::MAX)
}
