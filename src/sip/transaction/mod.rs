//! All SIP transactions over UDP: matching, repetition, time-outs.
//!
//! The machines themselves are in [`table`]. This module keeps them, finds the one that a message belongs to,
//! runs their timers and carries out their effects as values in an outbox. It never reads a clock and
//! knows nothing of dialogs or calls: the transaction user gets [`Arrival`]s.
//!
//! Source: RFC 3261 §17 and §18.2, RFC 6026, RFC 3581.

pub mod key;
pub mod table;

use crate::base::limits::TRANSACTIONS_MAX;
use crate::base::time::Instant;
use crate::base::timers::Timers;
use crate::sip::wire::{Message, Method, PeerFault, Start, parse_datagram};
use key::{ClientKey, Origin, ServerKey};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use table::{Effect, Timer, Unexpected, client, invite_client, invite_server, server};

/// Estimate of the round trip (RFC 3261 §17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
/// Longest interval between repeated requests other than INVITE, and between repeated responses to INVITE.
pub const T2: Duration = Duration::from_secs(4);
/// Longest time that a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64 × T1: timers B, D (at least 32 s), F, H, J, L and M.
pub const TIMEOUT: Duration = Duration::from_secs(32);
/// Port of a sent-by without one (RFC 3261 §18.2.2, §19.1.2).
pub const SIP_PORT: u16 = 5060;

/// Names a transaction within this process life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TxId(u64);

/// Which of our sockets, and who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Path {
    /// Index of our listener.
    pub listener: u16,
    /// The peer.
    pub remote: SocketAddr,
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

/// The state of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Machine {
    InviteClient(invite_client::State),
    Client(client::State),
    InviteServer(invite_server::State),
    Server(server::State),
}

/// One transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Transaction {
    machine: Machine,
    path: Path,
    /// What is repeated: our request, or our last response.
    kept: Vec<u8>,
    /// The request that it is about; ours or the peer's.
    request: Message,
    /// The current interval of timer A, E or G.
    interval: Duration,
    server_key: Option<ServerKey>,
    client_key: Option<ClientKey>,
}

/// All transactions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Transactions {
    all: BTreeMap<TxId, Transaction>,
    servers: BTreeMap<ServerKey, TxId>,
    clients: BTreeMap<ClientKey, TxId>,
    /// INVITEs and others received, by what their copies share.
    origins: BTreeMap<Origin, TxId>,
    timers: Timers<(TxId, Timer)>,
    outbox: VecDeque<Datagram>,
    next: u64,
    /// Steps that no table knows; each is a bug of ours, none of them harms.
    unexpected: u64,
}

impl Transactions {
    /// Takes a message that was read from a socket. What is to be sent is in [`Self::poll_send`] afterwards.
    ///
    /// # Errors
    /// The fault of a request that cannot be matched; the caller answers it without a transaction.
    pub fn on_message(
        &mut self,
        now: Instant,
        path: Path,
        mut message: Message,
    ) -> Result<Option<Arrival>, Box<(PeerFault, Message)>> {
        if !message.is_request() {
            return Ok(self.on_response(now, path, message));
        }
        if let Err(fault) = note_source(&mut message, path.remote) {
            return Err(Box::new((fault, message)));
        }
        match self.on_request(now, path, message.clone()) {
            Ok(arrival) => Ok(arrival),
            Err(fault) => Err(Box::new((fault, message))),
        }
    }

    fn on_request(
        &mut self,
        now: Instant,
        path: Path,
        message: Message,
    ) -> Result<Option<Arrival>, PeerFault> {
        let key = ServerKey::of(&message)?;
        let is_ack = message.method() == Some(&Method::Ack);
        if let Some(&tx) = self.servers.get(&key) {
            return Ok(self.on_known_request(now, tx, is_ack, message));
        }
        if is_ack {
            return Ok(Some(Arrival::Ack { message }));
        }
        if message.method() == Some(&Method::Cancel) {
            return self.on_cancel(path, message).map(Some);
        }
        let origin = Origin::of(&message)?;
        let merged = message.to()?.tag().is_none() && self.origins.contains_key(&origin);
        let tx = self.open_server(path, message.clone(), key);
        if merged {
            return Ok(Some(Arrival::Merged { tx, message }));
        }
        self.origins.insert(origin, tx);
        Ok(Some(Arrival::Request { tx, path, message }))
    }

    fn on_known_request(
        &mut self,
        now: Instant,
        tx: TxId,
        is_ack: bool,
        message: Message,
    ) -> Option<Arrival> {
        let effect = match self.all.get(&tx)?.machine {
            Machine::InviteServer(_) if is_ack => {
                self.step_invite_server(now, tx, invite_server::Event::Ack)
            }
            Machine::InviteServer(_) => {
                self.step_invite_server(now, tx, invite_server::Event::InviteAgain)
            }
            _ => self.step_server(now, tx, server::Event::RequestAgain),
        };
        match effect {
            Some(Effect::Resend) => self.resend(tx),
            Some(Effect::Pass) => return Some(Arrival::Ack { message }),
            _ => {}
        }
        None
    }

    /// RFC 3261 §9.2: a CANCEL is about the INVITE of the same branch, or, when something on the way
    /// changed that, of the same Call-ID, From tag and CSeq.
    fn on_cancel(&mut self, path: Path, message: Message) -> Result<Arrival, PeerFault> {
        let by_branch = self
            .servers
            .get(&ServerKey::of_cancelled(&message)?)
            .copied();
        let origin = Origin::of(&message)?;
        let invite = by_branch
            .or_else(|| self.origins.get(&origin).copied())
            .filter(|tx| {
                self.all
                    .get(tx)
                    .is_some_and(|t| matches!(t.machine, Machine::InviteServer(_)))
            });
        let key = ServerKey::of(&message)?;
        let tx = self.open_server(path, message.clone(), key);
        Ok(Arrival::Cancel {
            tx,
            message,
            invite,
        })
    }

    fn on_response(&mut self, now: Instant, path: Path, message: Message) -> Option<Arrival> {
        let key = ClientKey::of(&message).ok()?;
        let &tx = self.clients.get(&key)?;
        let status = message.status()?;
        let effect = match self.all.get(&tx)?.machine {
            Machine::InviteClient(_) => {
                let event = match status {
                    100..=199 => invite_client::Event::Provisional,
                    200..=299 => invite_client::Event::Success,
                    _ => invite_client::Event::Failure,
                };
                self.step_invite_client(now, tx, event)
            }
            _ => {
                let event = match status {
                    100..=199 => client::Event::Provisional,
                    _ => client::Event::Final,
                };
                self.step_client(now, tx, event)
            }
        };
        match effect? {
            Effect::PassAndAck => {
                self.acknowledge_failure(tx, &message);
                Some(Arrival::Response { tx, path, message })
            }
            Effect::AckAgain => {
                self.acknowledge_failure(tx, &message);
                None
            }
            Effect::Pass => Some(Arrival::Response { tx, path, message }),
            _ => None,
        }
    }

    /// Sends a request of ours, with its own branch in the top Via, in a new client transaction.
    /// An ACK has none: see [`Self::send`].
    pub fn request(&mut self, now: Instant, path: Path, request: Message) -> Option<TxId> {
        let key = ClientKey::of(&request).ok()?;
        let tx = self.take_id();
        let invite = request.method() == Some(&Method::Invite);
        let kept = request.to_bytes();
        self.outbox.push_back(Datagram {
            path,
            bytes: kept.clone(),
        });
        let machine = if invite {
            Machine::InviteClient(invite_client::State::Calling)
        } else {
            Machine::Client(client::State::Trying)
        };
        let (again, give_up) = if invite {
            (Timer::A, Timer::B)
        } else {
            (Timer::E, Timer::F)
        };
        self.timers.set((tx, again), now + T1);
        self.timers.set((tx, give_up), now + TIMEOUT);
        self.clients.insert(key.clone(), tx);
        let (interval, client_key, server_key) = (T1, Some(key), None);
        self.all.insert(
            tx,
            Transaction {
                machine,
                path,
                kept,
                request,
                interval,
                server_key,
                client_key,
            },
        );
        Some(tx)
    }

    /// Sends a message outside of any transaction: the ACK of a 2xx, a repeated 2xx, a stateless answer.
    pub fn send(&mut self, datagram: Datagram) {
        self.outbox.push_back(datagram);
    }

    /// Sends a response in a server transaction.
    pub fn respond(&mut self, now: Instant, tx: TxId, response: &Message) {
        let Some(status) = response.status() else {
            return;
        };
        let Some(transaction) = self.all.get(&tx) else {
            return;
        };
        let effect = match (transaction.machine, status) {
            (Machine::InviteServer(_), 100..=199) => {
                self.step_invite_server(now, tx, invite_server::Event::Provisional)
            }
            (Machine::InviteServer(_), 200..=299) => {
                self.step_invite_server(now, tx, invite_server::Event::Success)
            }
            (Machine::InviteServer(_), _) => {
                self.step_invite_server(now, tx, invite_server::Event::Failure)
            }
            (_, 100..=199) => self.step_server(now, tx, server::Event::Provisional),
            _ => self.step_server(now, tx, server::Event::Final),
        };
        if effect == Some(Effect::Send)
            && let Some(transaction) = self.all.get_mut(&tx)
        {
            transaction.kept = response.to_bytes();
            let datagram = Datagram {
                path: transaction.path,
                bytes: transaction.kept.clone(),
            };
            self.outbox.push_back(datagram);
        }
    }

    /// Sends a CANCEL for an INVITE of ours that has had a provisional response (RFC 3261 §9.1), and
    /// gives the INVITE 64 × T1 to end.
    pub fn cancel(&mut self, now: Instant, invite: TxId) {
        let Some(transaction) = self.all.get(&invite) else {
            return;
        };
        if transaction.machine != Machine::InviteClient(invite_client::State::Proceeding) {
            return;
        }
        let path = transaction.path;
        let Ok(cancel) = hop_by_hop(&transaction.request, Method::Cancel) else {
            return;
        };
        let under_way = ClientKey::of(&cancel).is_ok_and(|key| self.clients.contains_key(&key));
        if under_way {
            return;
        }
        self.request(now, path, cancel);
        self.timers.set((invite, Timer::B), now + TIMEOUT);
    }

    /// Runs what is due. Call until it gives `None`.
    pub fn on_deadline(&mut self, now: Instant) -> Option<Arrival> {
        while let Some((tx, timer)) = self.timers.pop_due(now) {
            if let Some(arrival) = self.on_timer(now, tx, timer) {
                return Some(arrival);
            }
        }
        None
    }

    fn on_timer(&mut self, now: Instant, tx: TxId, timer: Timer) -> Option<Arrival> {
        let effect = match timer {
            Timer::A => self.step_invite_client(now, tx, invite_client::Event::TimerA),
            Timer::B => self.step_invite_client(now, tx, invite_client::Event::TimerB),
            Timer::D => self.step_invite_client(now, tx, invite_client::Event::TimerD),
            Timer::M => self.step_invite_client(now, tx, invite_client::Event::TimerM),
            Timer::E => self.step_client(now, tx, client::Event::TimerE),
            Timer::F => self.step_client(now, tx, client::Event::TimerF),
            Timer::K => self.step_client(now, tx, client::Event::TimerK),
            Timer::G => self.step_invite_server(now, tx, invite_server::Event::TimerG),
            Timer::H => self.step_invite_server(now, tx, invite_server::Event::TimerH),
            Timer::I => self.step_invite_server(now, tx, invite_server::Event::TimerI),
            Timer::L => self.step_invite_server(now, tx, invite_server::Event::TimerL),
            Timer::J => self.step_server(now, tx, server::Event::TimerJ),
        }?;
        match effect {
            Effect::Resend => {
                self.resend(tx);
                self.rearm(now, tx, timer);
                None
            }
            Effect::TimedOut => Some(Arrival::TimedOut { tx }),
            Effect::Unreachable => Some(Arrival::Unreachable { tx }),
            _ => None,
        }
    }

    /// The next interval of A (doubles), E and G (double up to T2; E stays at T2 in Proceeding).
    fn rearm(&mut self, now: Instant, tx: TxId, timer: Timer) {
        let Some(transaction) = self.all.get_mut(&tx) else {
            return;
        };
        let doubled = transaction.interval * 2;
        transaction.interval = match (timer, transaction.machine) {
            (Timer::A, _) => doubled,
            (Timer::E, Machine::Client(client::State::Proceeding)) => T2,
            _ => doubled.min(T2),
        };
        self.timers.set((tx, timer), now + transaction.interval);
    }

    /// A datagram of ours could not be sent. If it was a request, its transaction has failed; a response will be
    /// asked for again.
    pub fn on_unreachable(&mut self, now: Instant, unsent: &[u8]) -> Option<Arrival> {
        let unsent = parse_datagram(unsent).ok().filter(Message::is_request)?;
        let &tx = self.clients.get(&ClientKey::of(&unsent).ok()?)?;
        let effect = match self.all.get(&tx)?.machine {
            Machine::InviteClient(_) => {
                self.step_invite_client(now, tx, invite_client::Event::TransportError)
            }
            _ => self.step_client(now, tx, client::Event::TransportError),
        };
        (effect == Some(Effect::Unreachable)).then_some(Arrival::Unreachable { tx })
    }

    /// Whether a request belongs to a transaction that is there already.
    pub fn knows(&self, request: &Message) -> bool {
        ServerKey::of(request).is_ok_and(|key| self.servers.contains_key(&key))
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
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
        self.all
            .get(&tx)
            .is_some_and(|t| t.machine == Machine::InviteServer(invite_server::State::Proceeding))
    }

    /// The request of a transaction that is alive.
    pub fn request_of(&self, tx: TxId) -> Option<&Message> {
        self.all.get(&tx).map(|transaction| &transaction.request)
    }

    fn take_id(&mut self) -> TxId {
        self.next += 1;
        TxId(self.next)
    }

    fn open_server(&mut self, path: Path, request: Message, key: ServerKey) -> TxId {
        let tx = self.take_id();
        let machine = if request.method() == Some(&Method::Invite) {
            Machine::InviteServer(invite_server::State::Proceeding)
        } else {
            Machine::Server(server::State::Trying)
        };
        let path = response_path(&request, path);
        self.servers.insert(key.clone(), tx);
        let (kept, interval) = (Vec::new(), T1);
        let (server_key, client_key) = (Some(key), None);
        self.all.insert(
            tx,
            Transaction {
                machine,
                path,
                kept,
                request,
                interval,
                server_key,
                client_key,
            },
        );
        tx
    }

    fn resend(&mut self, tx: TxId) {
        if let Some(transaction) = self.all.get(&tx)
            && !transaction.kept.is_empty()
        {
            let datagram = Datagram {
                path: transaction.path,
                bytes: transaction.kept.clone(),
            };
            self.outbox.push_back(datagram);
        }
    }

    /// RFC 3261 §17.1.1.3: the ACK of a failure belongs to the INVITE's transaction.
    fn acknowledge_failure(&mut self, tx: TxId, response: &Message) {
        let Some(transaction) = self.all.get(&tx) else {
            return;
        };
        let Ok(mut ack) = hop_by_hop(&transaction.request, Method::Ack) else {
            return;
        };
        if let Some(to) = response.headers.first("To") {
            ack.headers.set("To", to);
        }
        let path = transaction.path;
        self.outbox.push_back(Datagram {
            path,
            bytes: ack.to_bytes(),
        });
    }

    fn step_invite_client(
        &mut self,
        now: Instant,
        tx: TxId,
        event: invite_client::Event,
    ) -> Option<Effect> {
        use invite_client::State::*;
        let Machine::InviteClient(state) = self.all.get(&tx)?.machine else {
            return None;
        };
        let (next, effect) = self.known(invite_client::step(state, event))?;
        if next != state {
            self.timers.cancel((tx, Timer::A));
            self.timers.cancel((tx, Timer::B));
            match next {
                Completed => self.timers.set((tx, Timer::D), now + TIMEOUT),
                Accepted => self.timers.set((tx, Timer::M), now + TIMEOUT),
                _ => {}
            }
        }
        self.enter(tx, Machine::InviteClient(next), next == Terminated);
        Some(effect)
    }

    fn step_client(&mut self, now: Instant, tx: TxId, event: client::Event) -> Option<Effect> {
        use client::State::*;
        let Machine::Client(state) = self.all.get(&tx)?.machine else {
            return None;
        };
        let (next, effect) = self.known(client::step(state, event))?;
        if next != state && next == Completed {
            self.timers.cancel((tx, Timer::E));
            self.timers.cancel((tx, Timer::F));
            self.timers.set((tx, Timer::K), now + T4);
        }
        self.enter(tx, Machine::Client(next), next == Terminated);
        Some(effect)
    }

    fn step_invite_server(
        &mut self,
        now: Instant,
        tx: TxId,
        event: invite_server::Event,
    ) -> Option<Effect> {
        use invite_server::State::*;
        let Machine::InviteServer(state) = self.all.get(&tx)?.machine else {
            return None;
        };
        let (next, effect) = self.known(invite_server::step(state, event))?;
        if next != state {
            match next {
                Completed => {
                    self.timers.set((tx, Timer::G), now + T1);
                    self.timers.set((tx, Timer::H), now + TIMEOUT);
                }
                Confirmed => {
                    self.timers.cancel((tx, Timer::G));
                    self.timers.cancel((tx, Timer::H));
                    self.timers.set((tx, Timer::I), now + T4);
                }
                Accepted => self.timers.set((tx, Timer::L), now + TIMEOUT),
                _ => {}
            }
        }
        self.enter(tx, Machine::InviteServer(next), next == Terminated);
        Some(effect)
    }

    fn step_server(&mut self, now: Instant, tx: TxId, event: server::Event) -> Option<Effect> {
        use server::State::*;
        let Machine::Server(state) = self.all.get(&tx)?.machine else {
            return None;
        };
        let (next, effect) = self.known(server::step(state, event))?;
        if next != state && next == Completed {
            self.timers.set((tx, Timer::J), now + TIMEOUT);
        }
        self.enter(tx, Machine::Server(next), next == Terminated);
        Some(effect)
    }

    fn known<T>(&mut self, step: Result<T, Unexpected>) -> Option<T> {
        if step.is_err() {
            self.unexpected += 1;
        }
        step.ok()
    }

    /// Enters a state; a terminated transaction is forgotten with its timers and keys.
    fn enter(&mut self, tx: TxId, machine: Machine, terminated: bool) {
        if !terminated {
            if let Some(transaction) = self.all.get_mut(&tx) {
                transaction.machine = machine;
            }
            return;
        }
        let Some(gone) = self.all.remove(&tx) else {
            return;
        };
        for timer in ALL_TIMERS {
            self.timers.cancel((tx, timer));
        }
        if let Some(key) = gone.client_key {
            self.clients.remove(&key);
        }
        if let Some(key) = gone.server_key {
            self.servers.remove(&key);
            if let Ok(origin) = Origin::of(&gone.request)
                && self.origins.get(&origin) == Some(&tx)
            {
                self.origins.remove(&origin);
            }
        }
    }
}

const ALL_TIMERS: [Timer; 12] = [
    Timer::A,
    Timer::B,
    Timer::D,
    Timer::E,
    Timer::F,
    Timer::G,
    Timer::H,
    Timer::I,
    Timer::J,
    Timer::K,
    Timer::L,
    Timer::M,
];

/// Writes into the top Via where the request really came from (RFC 3261 §18.2.1, RFC 3581 §4).
fn note_source(request: &mut Message, source: SocketAddr) -> Result<(), PeerFault> {
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

/// Where the response to a request goes (RFC 3261 §18.2.2, RFC 3581 §4): the source, at its port if it asked
/// for that with `rport`, else at the port of its sent-by.
pub fn response_path(request: &Message, source: Path) -> Path {
    let Ok(via) = request.top_via() else {
        return source;
    };
    // Nobody can be reached at port 0.
    if via.has_rport() || via.port == Some(0) {
        return source;
    }
    // What is not UDP in the Via came over UDP all the same: it is answered where it came from.
    if !via.transport.eq_ignore_ascii_case("UDP") {
        return source;
    }
    let port = via.port.unwrap_or(SIP_PORT);
    let remote = SocketAddr::new(source.remote.ip(), port);
    Path { remote, ..source }
}

/// A CANCEL or the ACK of a failure: the request's own Request-URI, top Via, Call-ID, From, To, CSeq number
/// and Route (RFC 3261 §9.1, §17.1.1.3).
fn hop_by_hop(request: &Message, method: Method) -> Result<Message, PeerFault> {
    let Start::Request { uri, .. } = &request.start else {
        return Err(PeerFault::NotSip);
    };
    let number = request.cseq()?.number;
    let mut message = Message::request(method.clone(), uri.clone());
    message.set_vias(&[request.top_via()?]);
    for name in ["Route", "From", "To", "Call-ID"] {
        for value in request.headers.all(name) {
            message.headers.push(name, value);
        }
    }
    message.headers.push("CSeq", &format!("{number} {method}"));
    message.headers.push("Max-Forwards", "70");
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> Path {
        let remote = "192.0.2.9:5060".parse().expect("an address");
        Path {
            listener: 0,
            remote,
        }
    }

    fn request(method: &str, branch: &str, sent_by: &str) -> Message {
        let text = format!(
            "{method} sip:1@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP {sent_by};branch=z9hG4bK{branch}\r\n\
             From: <sip:a@192.0.2.1>;tag=x\r\nTo: <sip:1@192.0.2.9>\r\nCall-ID: {branch}\r\n\
             CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        parse_datagram(text.as_bytes()).expect("a valid request")
    }

    #[test]
    fn a_datagram_that_cannot_be_sent_fails_its_own_transaction_and_no_other() {
        let mut all = Transactions::default();
        let now = Instant::from_millis(1);
        let (one, other) = (
            request("INVITE", "1", "192.0.2.1"),
            request("BYE", "2", "192.0.2.1"),
        );
        let failed = all
            .request(now, path(), one.clone())
            .expect("a transaction");
        all.request(now, path(), other.clone());
        let told = all.on_unreachable(now, &one.to_bytes());
        assert_eq!(told, Some(Arrival::Unreachable { tx: failed }));
        assert_eq!(all.len(), 1, "the BYE is repeated on");
        let response = other.reply(200, None).to_bytes();
        assert_eq!(all.on_unreachable(now, &response), None);
    }

    #[test]
    fn answers_go_to_the_sent_by_port_or_to_the_source_where_that_is_no_port() {
        let source = path();
        let to = |sent_by| {
            let request = request("OPTIONS", "1", sent_by);
            response_path(&request, source).remote.port()
        };
        assert_eq!(to("192.0.2.9:5070"), 5070);
        assert_eq!(to("192.0.2.9"), SIP_PORT);
        assert_eq!(to("192.0.2.9:0"), source.remote.port());
        assert_eq!(to("192.0.2.9:5070;rport"), source.remote.port());
    }

    #[test]
    fn a_request_that_came_before_is_known() {
        let mut all = Transactions::default();
        let invite = request("INVITE", "1", "192.0.2.9");
        assert!(!all.knows(&invite));
        let arrival = all.on_message(Instant::ZERO, path(), invite.clone());
        assert!(matches!(arrival, Ok(Some(Arrival::Request { .. }))));
        assert!(all.knows(&invite));
    }
}
