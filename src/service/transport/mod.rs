//! Sockets that carry SIP: those of `sip.listen`, and connections to peers. They only carry; what a message means is
//! the engine's.
//!
//! | file | thread | carries |
//! |---|---|---|
//! | [`udp`] | control | datagrams |
//! | `streams` | its own, tokio | connections: accepted, made, closed |
//! | `connection` | the same | one connection: framed in, queued out |
//! | `table` | both | which connections there are, and how many there may be |
//! | [`tls`] | the same | certificates |
//!
//! Source: RFC 3261 §18, RFC 5923 (connections are used again), RFC 5626 §4.4.1 (keep-alive).

mod connection;
mod streams;
mod table;
pub mod tls;
pub mod udp;

use crate::base::transport::Transport;
use crate::call::desk::Listener;
use crate::config::{Config, Listen};
use crate::service::StartError;
use crate::sip::transaction::Path;
use rustix::fd::OwnedFd;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
pub use streams::{StreamEvent, Streams};
use table::Limits;

/// Connections that wait to be accepted; the kernel's own limit is usually lower.
const BACKLOG: i32 = 1_024;

/// All sockets of `sip.listen`, in its order.
pub struct SipSockets {
    bound: Vec<Bound>,
    /// What speaks TCP and TLS; `None` where nothing does.
    streams: Option<Streams>,
}

/// One of them.
struct Bound {
    transport: Transport,
    address: SocketAddr,
    /// `None` where it is not UDP: the streams have it.
    udp: Option<UdpSocket>,
}

impl SipSockets {
    /// Binds them, and begins to accept connections.
    ///
    /// # Errors
    /// The first that cannot be bound, or certificates that cannot be used.
    pub fn bind(config: &Config) -> Result<SipSockets, StartError> {
        let sip = &config.sip;
        let mut bound = Vec::new();
        let mut listeners = Vec::new();
        for (index, listen) in (0..).zip(&sip.listen) {
            let (socket, listener) = bind(listen, sip.dscp).map_err(|source| StartError::Port {
                what: "sip.listen",
                address: listen.address,
                source,
            })?;
            bound.push(socket);
            listeners.extend(listener.map(|listener| (index, listen.transport, listener)));
        }
        let streams = match listeners.is_empty() {
            true => None,
            false => Some(start_streams(config, listeners)?),
        };
        Ok(SipSockets { bound, streams })
    }

    /// What they are bound to.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.bound.iter().map(|socket| socket.address).collect()
    }

    /// The same as the engine wants it: with the address that peers are told.
    pub fn listeners(&self, advertise: Option<IpAddr>) -> Vec<Listener> {
        let told = |bound: SocketAddr| match advertise {
            Some(ip) if ip.is_ipv4() == bound.is_ipv4() => SocketAddr::new(ip, bound.port()),
            _ => bound,
        };
        let listener = |socket: &Bound| Listener {
            transport: socket.transport,
            bound: socket.address,
            advertised: told(socket.address),
        };
        self.bound.iter().map(listener).collect()
    }

    /// The UDP sockets with their index, for a poll.
    pub fn udp(&self) -> impl Iterator<Item = (u16, &UdpSocket)> {
        let sockets = (0..).zip(&self.bound);
        sockets.filter_map(|(index, socket)| Some((index, socket.udp.as_ref()?)))
    }

    /// Readable when [`SipSockets::receive_streamed`] has something.
    pub fn streams_fd(&self) -> Option<&OwnedFd> {
        self.streams.as_ref().map(Streams::fd)
    }

    /// Reads one datagram of a socket; `None` when there is none.
    pub fn receive<'a>(&self, listener: u16, buffer: &'a mut [u8]) -> Option<(Path, &'a [u8])> {
        let socket = self.bound.get(usize::from(listener))?.udp.as_ref()?;
        let (remote, length) = udp::receive(socket, buffer)?;
        Some((Path::udp(listener, remote), buffer.get(..length)?))
    }

    /// What came from the connections, at most `most` of it; the rest is told again at once.
    pub fn receive_streamed(&mut self, most: usize) -> Vec<StreamEvent> {
        let streams = self.streams.as_mut();
        streams.map_or(Vec::new(), |streams| streams.receive(most))
    }

    /// Sends one message, or hands it to a connection, which may tell later that it could not be sent.
    ///
    /// # Errors
    /// The peer cannot be reached from here.
    pub fn send(&self, path: Path, bytes: &[u8]) -> io::Result<()> {
        let socket = self.bound.get(usize::from(path.listener));
        let socket = socket.filter(|socket| socket.transport == path.transport);
        match (socket.and_then(|socket| socket.udp.as_ref()), &self.streams) {
            (Some(socket), _) => udp::send(socket, path.remote, bytes),
            (None, Some(streams)) if socket.is_some() => streams.send(path, bytes.to_vec()),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Takes the names of a renewed configuration's targets: what their certificates must say.
    pub fn renew(&self, config: &Config) {
        if let Some(streams) = &self.streams {
            streams.set_names(tls::names(config));
        }
    }

    /// Writes out what waits, for a moment, and closes all connections.
    pub fn close(&mut self) {
        if let Some(streams) = self.streams.take() {
            streams.close();
        }
    }
}

fn start_streams(
    config: &Config,
    listeners: Vec<(u16, Transport, TcpListener)>,
) -> Result<Streams, StartError> {
    let tls = match &config.sip.tls {
        Some(files) => {
            Some(tls::load(files).map_err(|faults| StartError::Tls(tls::told(&faults)))?)
        }
        None => None,
    };
    let setup = streams::Setup {
        tls,
        names: tls::names(config),
        dscp: config.sip.dscp,
        limits: Limits::default(),
    };
    Streams::start(listeners, setup).map_err(StartError::Streams)
}

/// Binds one. A stream's listener is given apart.
fn bind(listen: &Listen, dscp: u8) -> io::Result<(Bound, Option<TcpListener>)> {
    let is_stream = listen.transport.is_reliable();
    let (kind, protocol) = match is_stream {
        true => (Type::STREAM, Protocol::TCP),
        false => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(listen.address), kind, Some(protocol))?;
    if listen.address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    mark(&socket, listen.address, dscp)?;
    socket.set_nonblocking(true)?;
    if is_stream {
        // What is left of connections of the process before this one must not keep the port.
        socket.set_reuse_address(true)?;
        socket.bind(&listen.address.into())?;
        socket.listen(BACKLOG)?;
    } else {
        socket.set_recv_buffer_size(udp::RECEIVE_BUFFER_BYTES)?;
        socket.bind(&listen.address.into())?;
    }
    let address = socket.local_addr()?.as_socket().unwrap_or(listen.address);
    let (udp, listener) = match is_stream {
        true => (None, Some(socket.into())),
        false => (Some(socket.into()), None),
    };
    let bound = Bound {
        transport: listen.transport,
        address,
        udp,
    };
    Ok((bound, listener))
}

/// Marks what a socket sends (RFC 2474): the code point is the upper six bits of the byte.
fn mark(socket: &Socket, address: SocketAddr, dscp: u8) -> io::Result<()> {
    let byte = u32::from(dscp) << 2;
    match address {
        SocketAddr::V4(_) => socket.set_tos_v4(byte),
        SocketAddr::V6(_) => socket.set_tclass_v6(byte),
    }
}

/// Ports of `sip.listen` and what is spoken there.
impl std::fmt::Debug for SipSockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sockets = self.bound.iter();
        let shown = sockets.map(|socket| (socket.transport.name(), socket.address));
        f.debug_list().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests;
