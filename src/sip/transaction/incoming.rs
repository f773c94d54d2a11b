//! Messages that were read from a socket, and datagrams that could not be sent: each to its transaction.
//!
//! Source: RFC 3261 §9.2 (CANCEL), §8.2.2.2 (merged requests), §17.1.3 and §17.2.3 (matching), §17.1.4 (transport errors).

use super::address::{note_source, response_path};
use super::key::{ClientKey, Origin, ServerKey};
use super::machine::{Event, Machine};
use super::store::{Key, Transactions};
use super::table::Effect;
use super::{Arrival, Path, TxId};
use crate::base::time::Instant;
use crate::sip::wire::{Message, Method, PeerFault, parse_datagram};

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
        if let Some(&tx) = self.servers.get(&key) {
            return Ok(self.on_known_request(now, tx, message));
        }
        match message.method() {
            Some(Method::Ack) => return Ok(Some(Arrival::Ack { message })),
            // Dropped: who sent it sends it again, and until then there may be room.
            _ if self.is_beyond_headroom() => return Ok(None),
            Some(Method::Cancel) => return self.on_cancel(now, path, message, key).map(Some),
            _ => {}
        }
        let origin = Origin::of(&message)?;
        let merged = message.to()?.tag().is_none() && self.origins.contains_key(&origin);
        let tx = self.open_server(now, path, message.clone(), key);
        if merged {
            return Ok(Some(Arrival::Merged { tx, message }));
        }
        self.origins.insert(origin, tx);
        Ok(Some(Arrival::Request { tx, path, message }))
    }

    fn on_known_request(&mut self, now: Instant, tx: TxId, message: Message) -> Option<Arrival> {
        let event = match message.method() {
            Some(Method::Ack) => Event::Ack,
            _ => Event::RequestAgain,
        };
        match self.step(now, tx, event)? {
            Effect::Resend => self.resend(tx),
            Effect::Pass => return Some(Arrival::Ack { message }),
            _ => {}
        }
        None
    }

    /// RFC 3261 §9.2: a CANCEL is about the INVITE of the same branch, or, when something on the way
    /// changed that, of the same Call-ID, From tag and CSeq.
    fn on_cancel(
        &mut self,
        now: Instant,
        path: Path,
        message: Message,
        key: ServerKey,
    ) -> Result<Arrival, PeerFault> {
        let by_branch = self.servers.get(&ServerKey::of_cancelled(&message)?);
        let by_origin = self.origins.get(&Origin::of(&message)?);
        let invite = by_branch.or(by_origin).copied().filter(|tx| {
            let found = self.all.get(tx);
            found.is_some_and(|t| matches!(t.machine, Machine::InviteServer(_)))
        });
        let tx = self.open_server(now, path, message.clone(), key);
        Ok(Arrival::Cancel {
            tx,
            message,
            invite,
        })
    }

    fn open_server(&mut self, now: Instant, path: Path, request: Message, key: ServerKey) -> TxId {
        let machine = Machine::of_peers(request.method());
        let path = response_path(&request, path);
        let (nothing_sent, key) = (Vec::new(), Key::Server(key));
        self.open(now, path, machine, request, nothing_sent, key)
    }

    fn on_response(&mut self, now: Instant, path: Path, message: Message) -> Option<Arrival> {
        let &tx = self.clients.get(&ClientKey::of(&message).ok()?)?;
        let status = message.status()?;
        match self.step(now, tx, Event::Status(status))? {
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

    /// A datagram of ours could not be sent. If it was a request, its transaction has failed; a response will be
    /// asked for again.
    pub fn on_unreachable(&mut self, now: Instant, unsent: &[u8]) -> Option<Arrival> {
        let unsent = parse_datagram(unsent).ok().filter(Message::is_request)?;
        let &tx = self.clients.get(&ClientKey::of(&unsent).ok()?)?;
        let effect = self.step(now, tx, Event::TransportError)?;
        (effect == Effect::Unreachable).then_some(Arrival::Unreachable { tx })
    }
}
