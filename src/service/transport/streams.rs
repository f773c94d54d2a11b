//! Connections of SIP over TCP and TLS, on a thread of their own: accepted, made, and closed.
//!
//! The control thread gives messages to [`Streams::send`], which never waits, and takes what came from
//! [`Streams::receive`]. Source: RFC 3261 §18.1.1, §18.2.2, RFC 5923 §4.

use super::connection;
use super::mark;
use super::table::{Ends, Limits, NotTaken, Table};
use super::tls::TlsSetup;
use crate::base::limits::SIP_STREAM_QUEUE_MAX;
use crate::base::transport::Transport;
use crate::sip::transaction::Path;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// Pause after an accept that failed, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long an end waits for what is still to be written.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Silence after which the kernel asks whether the peer is still there.
const PROBE_AFTER: Duration = Duration::from_secs(60);

/// Names of targets, as their certificates must have them.
pub(super) type Names = BTreeMap<SocketAddr, String>;

/// What the control thread is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// A message came, or the head of one that ends its connection.
    Message {
        /// Over which connection.
        path: Path,
        /// The message.
        bytes: Vec<u8>,
    },
    /// A message could not be sent.
    Unsent {
        /// The message.
        bytes: Vec<u8>,
    },
}

/// What they are made with.
pub(super) struct Setup {
    pub tls: Option<TlsSetup>,
    pub names: Names,
    pub dscp: u8,
    pub limits: Limits,
}

/// The connections, as the control thread has them.
pub struct Streams {
    shared: Arc<Shared>,
    events: mpsc::Receiver<StreamEvent>,
    runtime: Handle,
    running: watch::Sender<()>,
    thread: JoinHandle<()>,
}

/// What all connections share.
pub(super) struct Shared {
    table: Mutex<Table>,
    names: Mutex<Names>,
    events: mpsc::Sender<StreamEvent>,
    wake: OwnedFd,
    tls: Option<TlsSetup>,
    dscp: u8,
    /// The address that connections of ours come from, by listener.
    from: BTreeMap<u16, IpAddr>,
    pub limits: Limits,
}

impl Streams {
    /// Begins to accept on these listeners, each with its index in `sip.listen`.
    ///
    /// # Errors
    /// No thread or descriptor could be had.
    pub(super) fn start(
        listeners: Vec<(u16, Transport, TcpListener)>,
        setup: Setup,
    ) -> io::Result<Streams> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (events, inbox) = mpsc::channel(SIP_STREAM_QUEUE_MAX);
        let mut from = BTreeMap::new();
        for (index, _, listener) in &listeners {
            from.insert(*index, listener.local_addr()?.ip());
        }
        let shared = Arc::new(Shared {
            table: Mutex::new(Table::new(setup.limits)),
            names: Mutex::new(setup.names),
            events,
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            tls: setup.tls,
            dscp: setup.dscp,
            from,
            limits: setup.limits,
        });
        let (running, stopped) = watch::channel(());
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new()
            .name("sip-streams".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || runtime.block_on(serve(listeners, shared, stopped))
            })?;
        Ok(Streams {
            shared,
            events: inbox,
            runtime: handle,
            running,
            thread,
        })
    }

    /// Readable when [`Streams::receive`] has something.
    pub fn fd(&self) -> &OwnedFd {
        &self.shared.wake
    }

    /// What came, at most `most` of it; if there is more, the descriptor stays readable.
    pub fn receive(&mut self, most: usize) -> Vec<StreamEvent> {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.shared.wake, &mut count);
        let came: Vec<_> = std::iter::from_fn(|| self.events.try_recv().ok())
            .take(most)
            .collect();
        if came.len() == most {
            self.shared.wake();
        }
        came
    }

    /// Gives a message to a connection, an old one or a new one. That it could not be sent may be told later.
    ///
    /// # Errors
    /// The peer reads nothing, or there may be no more connections.
    pub fn send(&self, path: Path, bytes: Vec<u8>) -> io::Result<()> {
        let mut table = self.shared.table();
        let bytes = match table.give(path, bytes) {
            Ok(()) => return Ok(()),
            Err(NotTaken::Full) => return Err(ErrorKind::WouldBlock.into()),
            Err(NotTaken::NoConnection(bytes)) => bytes,
        };
        let ends = table.open(path).ok_or(ErrorKind::QuotaExceeded)?;
        let given = table.give(ends.path, bytes);
        drop(table);
        self.runtime.spawn(connect(Arc::clone(&self.shared), ends));
        given.map_err(|_| ErrorKind::NotConnected.into())
    }

    /// What the certificates of targets must say from now on.
    pub(super) fn set_names(&self, names: Names) {
        *self
            .shared
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// Writes out what waits, for a moment, and ends the thread.
    pub fn close(self) {
        let Streams {
            shared,
            events,
            running,
            thread,
            ..
        } = self;
        drop(events);
        shared.table().close();
        drop(running);
        if thread.join().is_err() {
            tracing::error!("the thread of SIP connections panicked");
        }
    }
}

impl Shared {
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the control thread, as soon as there is room.
    pub(super) async fn tell(&self, event: StreamEvent) {
        if self.events.send(event).await.is_ok() {
            self.wake();
        }
    }

    fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// What the certificate of a peer must say: its name in the configuration, else its address.
    fn name_of(&self, remote: SocketAddr) -> ServerName<'static> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = names.get(&remote).cloned();
        name.and_then(|name| ServerName::try_from(name).ok())
            .unwrap_or_else(|| ServerName::from(remote.ip()))
    }
}

/// Accepts until `stopped` has no sender any more, then waits a moment for the connections' last words.
async fn serve(
    listeners: Vec<(u16, Transport, TcpListener)>,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<()>,
) {
    let mut accepting = tokio::task::JoinSet::new();
    for (index, transport, listener) in listeners {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                accepting.spawn(accept(listener, index, transport, Arc::clone(&shared)));
            }
            Err(error) => tracing::error!(%error, "a SIP listener cannot be used"),
        }
    }
    let _ = stopped.changed().await;
    accepting.abort_all();
    let ended = async {
        while shared.table().running() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = timeout(CLOSE_PATIENCE, ended).await;
}

async fn accept(
    listener: tokio::net::TcpListener,
    index: u16,
    transport: Transport,
    shared: Arc<Shared>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let path = Path::new(index, transport, remote);
                let Some(ends) = shared.table().open(path) else {
                    tracing::debug!(%remote, "one SIP connection too many: closed");
                    continue;
                };
                tokio::spawn(accepted(Arc::clone(&shared), ends, stream));
            }
            Err(error) => {
                tracing::warn!(%error, "a SIP connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection that a peer has made.
async fn accepted(shared: Arc<Shared>, ends: Ends, stream: TcpStream) {
    if let Err(error) = prepare(&stream, ends.path.remote, shared.dscp) {
        tracing::debug!(%error, "a SIP connection cannot be used");
        return connection::give_up(&shared, ends).await;
    }
    match (ends.path.transport, &shared.tls) {
        (Transport::Tls, Some(tls)) => {
            match in_time(shared.limits.connect_time, tls.acceptor.accept(stream)).await {
                Ok(stream) => connection::run(&shared, ends, stream).await,
                Err(error) => {
                    tracing::debug!(remote = %ends.path.remote, %error, "no TLS with a SIP peer");
                    connection::give_up(&shared, ends).await;
                }
            }
        }
        (Transport::Tls, None) => connection::give_up(&shared, ends).await,
        _ => connection::run(&shared, ends, stream).await,
    }
}

/// A connection of ours.
async fn connect(shared: Arc<Shared>, ends: Ends) {
    let (path, limit) = (ends.path, shared.limits.connect_time);
    let failed = if path.transport == Transport::Tls {
        match in_time(limit, reach_over_tls(&shared, path)).await {
            Ok(stream) => return connection::run(&shared, ends, stream).await,
            Err(error) => error,
        }
    } else {
        match in_time(limit, reach(&shared, path)).await {
            Ok(stream) => return connection::run(&shared, ends, stream).await,
            Err(error) => error,
        }
    };
    tracing::debug!(remote = %path.remote, error = %failed, "no SIP connection to a peer");
    connection::give_up(&shared, ends).await;
}

/// What comes of it, or that it took too long.
async fn in_time<T>(limit: Duration, it: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, it).await.map_err(io::Error::from)?
}

async fn reach_over_tls(shared: &Shared, path: Path) -> io::Result<TlsStream<TcpStream>> {
    let connector = shared.tls.as_ref().and_then(|tls| tls.connector.as_ref());
    // Without authorities that are believed nobody can be.
    let connector = connector.ok_or(ErrorKind::Unsupported)?;
    let stream = reach(shared, path).await?;
    connector.connect(shared.name_of(path.remote), stream).await
}

/// Connects from the listener's own address: a peer may know us by it.
async fn reach(shared: &Shared, path: Path) -> io::Result<TcpStream> {
    let socket = match path.remote {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    let from = shared.from.get(&path.listener).copied();
    if let Some(from) = from.filter(|from| !from.is_unspecified()) {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    mark(&SockRef::from(&socket), path.remote, shared.dscp)?;
    let stream = socket.connect(path.remote).await?;
    prepare(&stream, path.remote, shared.dscp)?;
    Ok(stream)
}

/// A message leaves at once, marked; the kernel finds out where a peer has vanished.
fn prepare(stream: &TcpStream, remote: SocketAddr, dscp: u8) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    mark(&socket, remote, dscp)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER))
}
