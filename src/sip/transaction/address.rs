//! Where a request really came from, and where its answer goes.
//!
//! Source: RFC 3261 §18.2.1 and §18.2.2, RFC 3581 §4.

use super::Path;
use crate::base::transport::Transport;
use crate::sip::wire::{Message, PeerFault};
use std::net::SocketAddr;

/// Writes into the top Via where the request really came from (RFC 3261 §18.2.1, RFC 3581 §4).
pub(super) fn note_source(request: &mut Message, source: SocketAddr) -> Result<(), PeerFault> {
    let mut vias = request.vias()?;
    let Some(top) = vias.first_mut() else {
        return Err(PeerFault::MissingHeader("Via"));
    };
    let source = SocketAddr::new(source.ip().to_canonical(), source.port());
    let wants_port = top.has_rport();
    if wants_port || top.host.ip() != Some(source.ip()) {
        top.set_received(source.ip());
    }
    if wants_port {
        top.set_rport(source.port());
    }
    request.set_vias(&vias);
    Ok(())
}

/// Where the response to a request goes (RFC 3261 §18.2.2, RFC 3581 §4). Over UDP: the source, at its port if it asked
/// for that with `rport`, else at the port of its sent-by. Over a stream: the connection that it came on; where that is
/// gone, the source at the port of its sent-by.
pub fn response_path(request: &Message, source: Path) -> Path {
    let Ok(via) = request.top_via() else {
        return source;
    };
    // Nobody can be reached at port 0.
    if via.port == Some(0) {
        return source;
    }
    // What names another transport in the Via came over this one all the same: it is answered where it came from.
    if Transport::of_name(&via.transport) != Some(source.transport) {
        return source;
    }
    if via.has_rport() && source.transport == Transport::Udp {
        return source;
    }
    let port = via.port.unwrap_or(source.transport.default_port());
    let remote = SocketAddr::new(source.remote.ip(), port);
    Path { remote, ..source }
}
