//! The HTTP listener: `/metrics`, `/healthz`, `/readyz`, and the SIP ladders of `/api/v1`.
//!
//! One thread with its own small runtime reads published snapshots and asks nobody. Everything that
//! a peer can use up is bounded: connections, time for a request's head, its size, a connection's
//! life. Faults are problem details (RFC 9457) that repeat nothing of the request.

mod routes;
mod traces;

use crate::service::telemetry::Published;
use crate::service::trace::Ladders;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections at once; above it new ones wait in the listen backlog.
pub const CONNECTIONS_MAX: usize = 128;

/// Time for a request's head, also on a connection that idles between requests.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Headers of a request; above it 431.
pub const HEADERS_MAX: usize = 64;

/// Bytes of a request's head; above it 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1_024;

/// A connection's life, so that a peer that reads nothing does not keep its place for good.
pub const CONNECTION_LIFE_MAX: Duration = Duration::from_secs(600);

/// How long a stop waits for answers that are under way.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Pause after an accept that failed, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running listener. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct WebServer {
    local_addr: SocketAddr,
    running: watch::Sender<()>,
    thread: JoinHandle<()>,
}

impl WebServer {
    /// Binds the address (port 0 takes a free one) and starts answering.
    ///
    /// # Errors
    /// The address cannot be bound, or the thread not be started.
    pub fn start(
        listen: SocketAddr,
        published: Arc<Published>,
        ladders: Option<Ladders>,
    ) -> io::Result<WebServer> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let local_addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let routes = routes::routes(published, ladders);
        let (running, stopped) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("web".into())
            .spawn(move || {
                if let Err(error) = runtime.block_on(serve(listener, routes, stopped)) {
                    tracing::error!(%error, "the HTTP listener ended");
                }
            })?;
        Ok(WebServer {
            local_addr,
            running,
            thread,
        })
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Takes no more connections, finishes the answers that are under way, and ends the thread.
    pub fn stop(self) {
        drop(self.running);
        if self.thread.join().is_err() {
            tracing::error!("the web thread panicked");
        }
    }
}

/// Accepts until `stopped` has no sender any more.
async fn serve(
    listener: TcpListener,
    routes: axum::Router,
    mut stopped: watch::Receiver<()>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let accepted = tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => continue,
            accepted = async { (place.await, listener.accept().await) } => accepted,
        };
        match accepted {
            (Ok(place), Ok((stream, _))) => {
                let answered = answer(stream, routes.clone(), stopped.clone());
                connections.spawn(async move {
                    answered.await;
                    drop(place);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            (Err(_), _) => break, // The semaphore is never closed.
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP_PATIENCE, finished).await;
    Ok(())
}

/// One connection, from its first request to its last.
async fn answer(stream: TcpStream, routes: axum::Router, mut stopped: watch::Receiver<()>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let life = async {
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            result = connection.as_mut() => result,
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    match tokio::time::timeout(CONNECTION_LIFE_MAX, life).await {
        Ok(Ok(())) => (),
        Ok(Err(error)) => tracing::debug!(%error, "an HTTP connection failed"),
        Err(_) => tracing::debug!("an HTTP connection was closed for its age"),
    }
}

#[cfg(test)]
mod tests;
