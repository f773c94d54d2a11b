//! What is alive: the transactions, the ways to find them, how many there may be.

use super::key::{ClientKey, Origin, ServerKey};
use super::machine::Machine;
use super::table::{Timer, invite_server};
use super::{Datagram, Path, T1, TxId};
use crate::base::limits::{TRANSACTION_BYTES_MAX, TRANSACTIONS_HEADROOM_PERCENT, TRANSACTIONS_MAX};
use crate::base::time::Instant;
use crate::base::timers::Timers;
use crate::sip::wire::{Message, Start};
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
    limits: Limits,
    /// What all of them keep.
    bytes: usize,
    next: u64,
    /// Steps that no table knows; each is a bug of ours, none of them harms.
    pub(super) unexpected: u64,
}

/// How many transactions may be alive, and how much they may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Transactions.
    pub count: usize,
    /// Bytes of requests, last responses and keys.
    pub bytes: usize,
}

impl Default for Limits {
    /// [`TRANSACTIONS_MAX`] and [`TRANSACTION_BYTES_MAX`].
    fn default() -> Limits {
        Limits {
            count: TRANSACTIONS_MAX,
            bytes: TRANSACTION_BYTES_MAX,
        }
    }
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
    /// What the request and the keys take.
    fixed_bytes: usize,
}

/// How messages find it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Key {
    Client(ClientKey),
    Server(ServerKey),
}

impl Transactions {
    /// None yet, with other limits than the usual ones.
    pub fn with_limits(limits: Limits) -> Transactions {
        Transactions {
            limits,
            ..Transactions::default()
        }
    }

    /// Whether a request belongs to a transaction that is there already.
    pub fn knows(&self, request: &Message) -> bool {
        ServerKey::of(request).is_ok_and(|key| self.servers.contains_key(&key))
    }

    /// Whether there is an INVITE that this CANCEL may be about.
    pub fn knows_cancelled(&self, cancel: &Message) -> bool {
        let by_branch = ServerKey::of_cancelled(cancel);
        let by_origin = Origin::of(cancel);
        by_branch.is_ok_and(|key| self.servers.contains_key(&key))
            || by_origin.is_ok_and(|origin| self.origins.contains_key(&origin))
    }

    /// Takes one datagram that is to be sent.
    pub fn poll_send(&mut self) -> Option<Datagram> {
        self.outbox.pop_front()
    }

    /// Whether something new is to be refused, by the number of transactions or by what they keep.
    pub fn is_full(&self) -> bool {
        self.reaches(100)
    }

    /// Whether not even an end can be taken on ([`TRANSACTIONS_HEADROOM_PERCENT`]).
    pub(super) fn is_beyond_headroom(&self) -> bool {
        self.reaches(100 + TRANSACTIONS_HEADROOM_PERCENT)
    }

    fn reaches(&self, percent: usize) -> bool {
        let part = |limit: usize| limit as u128 * percent as u128 / 100;
        self.all.len() as u128 >= part(self.limits.count)
            || self.bytes as u128 >= part(self.limits.bytes)
    }

    /// Bytes that the transactions keep.
    pub fn bytes(&self) -> usize {
        self.bytes
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
        for (timer, wait) in machine.waits(path.transport.is_reliable()) {
            self.timers.set((tx, *timer), now + *wait);
        }
        let fixed_bytes = bytes_of(&request) + key.bytes();
        self.bytes += fixed_bytes + kept.len();
        let transaction = Transaction {
            machine,
            path,
            kept,
            request,
            interval: T1,
            key,
            fixed_bytes,
        };
        self.all.insert(tx, transaction);
        tx
    }

    /// Keeps a response for repetition, in place of the last one.
    pub(super) fn keep(&mut self, tx: TxId, response: Vec<u8>) {
        if let Some(transaction) = self.all.get_mut(&tx) {
            self.bytes = self.bytes - transaction.kept.len() + response.len();
            transaction.kept = response;
        }
    }

    /// Forgets a transaction with its timers and keys.
    pub(super) fn forget(&mut self, tx: TxId) {
        let Some(gone) = self.all.remove(&tx) else {
            return;
        };
        self.bytes -= gone.fixed_bytes + gone.kept.len();
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

impl Key {
    /// What it takes, here and in the map.
    fn bytes(&self) -> usize {
        2 * match self {
            Key::Client(key) => key.bytes(),
            Key::Server(key) => key.bytes(),
        }
    }
}

/// What a header takes besides its text: a thousand short ones are no small message.
const HEADER_BYTES: usize = 64;

/// What a message takes in memory, roughly.
fn bytes_of(message: &Message) -> usize {
    let header = |(name, value): (&str, &str)| HEADER_BYTES + name.len() + value.len();
    let uri = match &message.start {
        Start::Request { uri, .. } => uri.to_string().len(),
        Start::Response { reason, .. } => reason.len(),
    };
    uri + message.headers.iter().map(header).sum::<usize>() + message.body.len()
}
