//! All SIP transactions: matching, repetition over UDP, time-outs.
//!
//! It keeps the machines, finds the one that a message belongs to, runs their timers and carries out their effects
//! as values in an outbox. It never reads a clock and knows nothing of dialogs or calls: the transaction user
//! gets [`Arrival`]s.
//!
//! | file | what of it |
//! |---|---|
//! | [`table`] | the four machines: state × event → state × effect |
//! | `machine` | any of the four as one: its events, its timers |
//! | [`key`] | which transaction a message belongs to |
//! | `store` | what is alive, and how much of it there may be |
//! | `incoming` | messages that were read, and datagrams that could not be sent |
//! | `outgoing` | requests and responses of ours |
//! | `steps` | one step of one machine, timers |
//! | `address` | where a request came from, and where its answer goes |
//! | `hop_by_hop` | CANCEL, and the ACK of a failure |
//!
//! Source: RFC 3261 §17 and §18.2, RFC 6026, RFC 3581.

mod address;
mod hop_by_hop;
mod incoming;
pub mod key;
mod machine;
mod outgoing;
mod steps;
mod store;
pub mod table;

pub use address::response_path;
pub use store::{Limits, Transactions};

use crate::base::transport::Transport;
use crate::sip::wire::Message;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// Estimate of the round trip (RFC 3261 §17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
/// Longest interval between repeated requests other than INVITE, and between repeated responses to INVITE.
pub const T2: Duration = Duration::from_secs(4);
/// Longest time that a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64 × T1: timers B, D (at least 32 s), F, H, J, L and M.
pub const TIMEOUT: Duration = Duration::from_secs(32);
/// Names a transaction within this process life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TxId(u64);

/// Names a connection of a stream transport; never used again in this process life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(pub u64);

/// Which of our sockets, and who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Path {
    /// Index of our listener.
    pub listener: u16,
    /// What the listener speaks.
    pub transport: Transport,
    /// The peer.
    pub remote: SocketAddr,
    /// The connection that is used as long as it is there; then, and where there is none, one that goes to
    /// `remote` is, an old one or a new one. Always `None` over UDP.
    pub connection: Option<ConnectionId>,
}

impl Path {
    /// The way from a UDP socket of ours.
    pub const fn udp(listener: u16, remote: SocketAddr) -> Path {
        Path::new(listener, Transport::Udp, remote)
    }

    /// The way from a listener, over no connection in particular.
    pub const fn new(listener: u16, transport: Transport, remote: SocketAddr) -> Path {
        Path {
            listener,
            transport,
            remote,
            connection: None,
        }
    }
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datagram {
    /// From where, to whom.
    pub path: Path,
    /// The message.
    pub bytes: Vec<u8>,
}

impl Datagram {
    /// A response to a request that came over `path`, addressed as RFC 3261 §18.2.2 says.
    pub fn answering(request: &Message, path: Path, response: &Message) -> Datagram {
        Datagram {
            path: response_path(request, path),
            bytes: response.to_bytes(),
        }
    }
}

/// What the transaction user is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrival {
    /// A new request, to be answered with [`Transactions::respond`]. Its top Via has `received` and `rport`.
    Request {
        /// The new server transaction.
        tx: TxId,
        /// Where it came from.
        path: Path,
        /// The request.
        message: Message,
    },
    /// A CANCEL, to be answered: 200 if it found its INVITE, else 481 (RFC 3261 §9.2).
    Cancel {
        /// The CANCEL's transaction.
        tx: TxId,
        /// The CANCEL.
        message: Message,
        /// The INVITE that it is about; it may have had its final response.
        invite: Option<TxId>,
    },
    /// A request that came before over another way, to be answered 482 (RFC 3261 §8.2.2.2).
    Merged {
        /// The new server transaction.
        tx: TxId,
        /// The request.
        message: Message,
    },
    /// An ACK that belongs to no transaction: the one of a 2xx.
    Ack {
        /// The ACK.
        message: Message,
    },
    /// A response to a request of ours.
    Response {
        /// The client transaction.
        tx: TxId,
        /// Where it came from.
        path: Path,
        /// The response.
        message: Message,
    },
    /// The peer did not answer (408 for the transaction user, RFC 3261 §8.1.3.1), or never acknowledged our failure.
    TimedOut {
        /// The transaction, which is over.
        tx: TxId,
    },
    /// The request could not be sent (503 for the transaction user).
    Unreachable {
        /// The transaction, which is over.
        tx: TxId,
    },
}

#[cfg(test)]
mod tests;
