//! The pool of ports: RTP on the even one, RTCP on the odd one above (RFC 3550 §11).

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Media;

/// Expedited forwarding, the class of voice (RFC 3246, RFC 4594 §4.1), where DSCP sits in the byte.
const DSCP_EF: u32 = 46 << 2;

/// Descriptors that are left to the rest of the process: SIP, web, store, logs.
const DESCRIPTORS_FOR_OTHERS: u64 = 512;

/// Two bound sockets.
#[derive(Debug)]
pub(super) struct Pair {
    /// The even port.
    pub port: u16,
    pub rtp: UdpSocket,
    pub rtcp: UdpSocket,
}

/// Raises the limit of descriptors to the hard one; how many port pairs fit below it.
pub(super) fn pairs_allowed() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let descriptors = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let free = descriptors
        .unwrap_or(u64::MAX)
        .saturating_sub(DESCRIPTORS_FOR_OTHERS);
    usize::try_from(free / 2).unwrap_or(usize::MAX)
}

/// Binds all pairs of the range in one go, but no more than `allowed`. Pairs of which a port is in use are skipped;
/// that none is free is an error.
pub(super) fn bind_range(settings: &Media, allowed: usize) -> io::Result<Vec<Pair>> {
    let (first, last) = settings.ports;
    let wanted = (first.next_multiple_of(2)..last).step_by(2);
    let mut pairs = Vec::new();
    let mut in_use = 0;
    for port in wanted.clone() {
        if pairs.len() >= allowed {
            break;
        }
        match bind_pair(settings.address, port) {
            Ok(pair) => pairs.push(pair),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => in_use += 1,
            Err(error) if is_out_of_descriptors(&error) => break,
            Err(error) => return Err(error),
        }
    }
    if pairs.is_empty() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    tracing::info!(
        bound = pairs.len(),
        wanted = wanted.count(),
        in_use,
        allowed_by_descriptors = allowed,
        "RTP port pairs; a call takes two"
    );
    Ok(pairs)
}

fn bind_pair(address: IpAddr, port: u16) -> io::Result<Pair> {
    Ok(Pair {
        port,
        rtp: bind(SocketAddr::new(address, port))?,
        rtcp: bind(SocketAddr::new(address, port + 1))?,
    })
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_tclass_v6(DSCP_EF)?;
    } else {
        socket.set_tos_v4(DSCP_EF)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    errno == Some(Errno::MFILE) || errno == Some(Errno::NFILE)
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;
    use socket2::SockRef;

    #[test]
    fn pairs_are_even_and_odd_marked_and_no_more_than_allowed() {
        let mut settings = settings(1);
        settings.ports.0 += 1;
        let (first, last) = settings.ports;
        let pairs = bind_range(&settings, 3).unwrap();
        assert_eq!(pairs.len(), 3);
        for pair in &pairs {
            assert_eq!(pair.port % 2, 0);
            assert_eq!(pair.rtp.local_addr().unwrap().port(), pair.port);
            assert_eq!(pair.rtcp.local_addr().unwrap().port(), pair.port + 1);
            assert!(pair.port > first && pair.port < last);
            assert_eq!(SockRef::from(&pair.rtp).tos_v4().unwrap(), DSCP_EF);
        }
        assert!(pairs_allowed() > 100);
    }

    #[test]
    fn an_address_that_is_not_ours_is_an_error() {
        let settings = Media {
            address: IpAddr::from([192, 0, 2, 1]),
            ..settings(1)
        };
        let error = bind_range(&settings, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
