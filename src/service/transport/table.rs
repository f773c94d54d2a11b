//! Which connections there are: found by id or by peer, counted against the limits.
//!
//! The control thread and the connections' own thread both look into it, each for a moment.

use crate::base::limits::{
    SIP_CONNECT_TIME_MAX, SIP_CONNECTION_IDLE_MAX, SIP_CONNECTIONS_MAX,
    SIP_CONNECTIONS_PER_ADDRESS_MAX, SIP_STREAM_MESSAGE_TIME_MAX, SIP_STREAM_UNSENT_BYTES_MAX,
    SIP_STREAM_WRITE_TIME_MAX,
};
use crate::sip::transaction::{ConnectionId, Path};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What connections may take. The values and acts are those of [`crate::base::limits`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub connections: usize,
    pub per_address: usize,
    pub idle: Duration,
    pub message_time: Duration,
    pub connect_time: Duration,
    pub write_time: Duration,
    pub unsent_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: SIP_CONNECTIONS_MAX,
            per_address: SIP_CONNECTIONS_PER_ADDRESS_MAX,
            idle: SIP_CONNECTION_IDLE_MAX,
            message_time: SIP_STREAM_MESSAGE_TIME_MAX,
            connect_time: SIP_CONNECT_TIME_MAX,
            write_time: SIP_STREAM_WRITE_TIME_MAX,
            unsent_bytes: SIP_STREAM_UNSENT_BYTES_MAX,
        }
    }
}

/// What a connection itself has of its entry.
pub(super) struct Ends {
    /// Its way: the peer, and itself as the connection.
    pub path: Path,
    /// What is to be written.
    pub queue: Queue,
    /// Told when it is to end at once.
    pub cut: Arc<Notify>,
}

/// Messages that are to be written to one connection, as the connection has them.
pub(super) struct Queue {
    messages: UnboundedReceiver<Vec<u8>>,
    /// Bytes in it: the channel itself has no bound, [`Table::give`] has.
    waiting: Arc<AtomicUsize>,
}

impl Queue {
    /// The next one, as soon as there is one; `None` when nothing more comes.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        let message = self.messages.recv().await?;
        self.waiting.fetch_sub(message.len(), Ordering::Relaxed);
        Some(message)
    }

    /// What is left when nobody writes any more.
    pub fn rest(mut self) -> impl Iterator<Item = Vec<u8>> {
        self.messages.close();
        std::iter::from_fn(move || self.messages.try_recv().ok())
    }
}

/// The connections.
#[derive(Debug)]
pub(super) struct Table {
    limits: Limits,
    /// Those that messages can be given to.
    open: HashMap<ConnectionId, Entry>,
    /// The same by what they are connections of: our listener and the peer.
    by_remote: HashMap<(u16, SocketAddr), ConnectionId>,
    /// Those that run, by the peer's address; they may take no more messages.
    running: HashMap<IpAddr, usize>,
    next: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Entry {
    key: (u16, SocketAddr),
    to: UnboundedSender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    cut: Arc<Notify>,
}

/// Why a message was not taken; it comes back.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// No connection to this peer.
    NoConnection(Vec<u8>),
    /// The connection to it does not read: it is cut.
    Full,
}

impl Table {
    pub fn new(limits: Limits) -> Table {
        Table {
            limits,
            open: HashMap::new(),
            by_remote: HashMap::new(),
            running: HashMap::new(),
            next: 0,
            is_closed: false,
        }
    }

    /// Takes in a new connection, if there may be one more with its peer.
    pub fn open(&mut self, path: Path) -> Option<Ends> {
        let address = path.remote.ip();
        let with_it = self.running.get(&address).copied().unwrap_or(0);
        let is_full = self.running() >= self.limits.connections;
        if self.is_closed || is_full || with_it >= self.limits.per_address {
            return None;
        }
        self.next += 1;
        let id = ConnectionId(self.next);
        let (to, messages) = unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let cut = Arc::new(Notify::new());
        let key = (path.listener, path.remote);
        self.running.insert(address, with_it + 1);
        self.by_remote.insert(key, id);
        let entry = Entry {
            key,
            to,
            waiting: Arc::clone(&waiting),
            cut: Arc::clone(&cut),
        };
        self.open.insert(id, entry);
        let path = Path {
            connection: Some(id),
            ..path
        };
        let queue = Queue { messages, waiting };
        Some(Ends { path, queue, cut })
    }

    /// Connections that run.
    pub fn running(&self) -> usize {
        self.running.values().sum()
    }

    /// Gives a message to the connection of its path, or to one that goes to the same peer.
    pub fn give(&mut self, path: Path, message: Vec<u8>) -> Result<(), NotTaken> {
        let of_path = path.connection.filter(|id| self.open.contains_key(id));
        let of_peer = || self.by_remote.get(&(path.listener, path.remote)).copied();
        let Some(id) = of_path.or_else(of_peer) else {
            return Err(NotTaken::NoConnection(message));
        };
        let Some(entry) = self.open.get(&id) else {
            return Err(NotTaken::NoConnection(message));
        };
        let length = message.len();
        let before = entry.waiting.fetch_add(length, Ordering::Relaxed);
        if before + length > self.limits.unsent_bytes {
            entry.cut.notify_one();
            self.shut(id);
            return Err(NotTaken::Full);
        }
        entry.to.send(message).map_err(|unsent| {
            self.shut(id);
            NotTaken::NoConnection(unsent.0)
        })
    }

    /// No more messages go to this connection.
    pub fn shut(&mut self, id: ConnectionId) {
        let Some(entry) = self.open.remove(&id) else {
            return;
        };
        if self.by_remote.get(&entry.key) == Some(&id) {
            self.by_remote.remove(&entry.key);
        }
    }

    /// This connection has ended.
    pub fn end(&mut self, path: Path) {
        if let Some(id) = path.connection {
            self.shut(id);
        }
        let address = path.remote.ip();
        if let Some(count) = self.running.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&address);
            }
        }
    }

    /// No connection takes anything more, and none is opened: each writes what it has and ends.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.open.clear();
        self.by_remote.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::transport::Transport;

    fn path(remote: &str) -> Path {
        Path::new(1, Transport::Tcp, remote.parse().expect("an address"))
    }

    fn table() -> Table {
        Table::new(Limits {
            connections: 3,
            per_address: 2,
            unsent_bytes: 20,
            ..Limits::default()
        })
    }

    #[test]
    fn a_connection_is_found_by_its_name_and_by_its_peer() {
        let mut table = table();
        let mut ends = table.open(path("192.0.2.1:40000")).expect("a place");
        let elsewhere = Path {
            connection: ends.path.connection,
            ..path("192.0.2.1:5060")
        };
        assert!(table.give(elsewhere, b"by name".to_vec()).is_ok());
        assert_eq!(
            ends.queue.messages.try_recv().ok(),
            Some(b"by name".to_vec())
        );
        let by_peer = path("192.0.2.1:40000");
        assert!(table.give(by_peer, b"by peer".to_vec()).is_ok());
        assert_eq!(
            ends.queue.messages.try_recv().ok(),
            Some(b"by peer".to_vec())
        );
        table.end(ends.path);
        for path in [elsewhere, by_peer] {
            let given = table.give(path, Vec::new());
            assert!(matches!(given, Err(NotTaken::NoConnection(_))));
        }
    }

    #[test]
    fn there_are_so_many_of_an_address_and_so_many_in_all() {
        let mut table = table();
        let first = table.open(path("192.0.2.1:1")).expect("a place");
        assert!(table.open(path("192.0.2.1:2")).is_some());
        assert!(table.open(path("192.0.2.1:3")).is_none());
        assert!(table.open(path("192.0.2.2:1")).is_some());
        assert!(table.open(path("192.0.2.3:1")).is_none());
        if let Some(id) = first.path.connection {
            table.shut(id);
        }
        assert!(table.open(path("192.0.2.1:3")).is_none(), "it still runs");
        table.end(first.path);
        assert!(table.open(path("192.0.2.1:3")).is_some());
    }

    #[test]
    fn one_that_does_not_read_is_cut() {
        let mut table = table();
        let ends = table.open(path("192.0.2.1:1")).expect("a place");
        assert!(table.give(ends.path, vec![1; 9]).is_ok());
        assert!(matches!(
            table.give(ends.path, vec![2; 12]),
            Err(NotTaken::Full)
        ));
        let given = table.give(ends.path, vec![3]);
        assert!(matches!(given, Err(NotTaken::NoConnection(_))));
    }
}
