//! What is alive: the transactions, the ways to find them, how many there may be.

use super::key::{ClientKey, Origin, ServerKey};
use super::machine::Machine;
use super::table::{Timer, invite_server};
use super::{Datagram, Path, T1, TxId};
use crate::base::limits::TRANSACTIONS_MAX;
use crate::base::time::Instant;
use crate::base::timers::Timers;
use crate::sip::wire::Message;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// All transactions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Transactions {
    pub(super) all: BTreeMap<TxId, Transaction>,
    pub(super) servers: BTreeMap<ServerKey, TxId>,
    pub(super) clients: BTreeMap<ClientKey, TxId>,
    /// INVITEs and others received, by what their copies share.
    pub(super) origins: BTreeMap<Origin, TxId>,
    pub(super) timers: Timers<(TxId, Timer)>,
    pub(super) outbox: VecDeque<Datagram>,
    next: u64,
    /// Steps that no table knows; each is a bug of ours, none of them harms.
    pub(super) unexpected: u64,
}

/// One transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Transaction {
    pub machine: Machine,
    pub path: Path,
    /// What is repeated: our request, or our last response; empty before that.
    pub kept: Vec<u8>,
    /// The request that it is about; ours or the peer's.
    pub request: Message,
    /// The current interval of timer A, E or G.
    pub interval: Duration,
    key: Key,
}

/// How messages find it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Key {
    Client(ClientKey),
    Server(ServerKey),
}

impl Transactions {
    /// Whether a request belongs to a transaction that is there already.
    pub fn knows(&self, request: &Message) -> bool {
        ServerKey::of(request).is_ok_and(|key| self.servers.contains_key(&key))
    }

    /// Takes one datagram that is to be sent.
    pub fn poll_send(&mut self) -> Option<Datagram> {
        self.outbox.pop_front()
    }

    /// Whether another request can be taken on ([`TRANSACTIONS_MAX`]).
    pub fn is_full(&self) -> bool {
        self.all.len() >= TRANSACTIONS_MAX
    }

    /// Transactions alive.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether none is alive.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Steps so far that no table knows: bugs of ours.
    pub fn unexpected(&self) -> u64 {
        self.unexpected
    }

    /// Whether this INVITE of a peer still lacks its final response.
    pub fn awaits_final(&self, tx: TxId) -> bool {
        let awaiting = Machine::InviteServer(invite_server::State::Proceeding);
        self.all.get(&tx).is_some_and(|t| t.machine == awaiting)
    }

    /// The request of a transaction that is alive.
    pub fn request_of(&self, tx: TxId) -> Option<&Message> {
        self.all.get(&tx).map(|transaction| &transaction.request)
    }

    /// Takes a new transaction in, and starts its timers.
    pub(super) fn open(
        &mut self,
        now: Instant,
        path: Path,
        machine: Machine,
        request: Message,
        kept: Vec<u8>,
        key: Key,
    ) -> TxId {
        self.next += 1;
        let tx = TxId(self.next);
        match &key {
            Key::Client(key) => self.clients.insert(key.clone(), tx),
            Key::Server(key) => self.servers.insert(key.clone(), tx),
        };
        for (timer, wait) in machine.waits() {
            self.timers.set((tx, *timer), now + *wait);
        }
        let transaction = Transaction {
            machine,
            path,
            kept,
            request,
            interval: T1,
            key,
        };
        self.all.insert(tx, transaction);
        tx
    }

    /// Forgets a transaction with its timers and keys.
    pub(super) fn forget(&mut self, tx: TxId) {
        let Some(gone) = self.all.remove(&tx) else {
            return;
        };
        for timer in gone.machine.timers() {
            self.timers.cancel((tx, *timer));
        }
        match gone.key {
            Key::Client(key) => {
                self.clients.remove(&key);
            }
            Key::Server(key) => {
                self.servers.remove(&key);
                if let Ok(origin) = Origin::of(&gone.request)
                    && self.origins.get(&origin) == Some(&tx)
                {
                    self.origins.remove(&origin);
                }
            }
        }
    }
}
