//! Requests and responses of ours, first and again.
//!
//! Source: RFC 3261 §9.1 (CANCEL), §17.1 (client), §17.2 (server), §17.1.1.3 (the ACK of a failure).

use super::hop_by_hop::hop_by_hop;
use super::key::ClientKey;
use super::machine::{Event, Machine};
use super::store::{Key, Transactions};
use super::table::{Effect, Timer, invite_client};
use super::{Datagram, Path, TIMEOUT, TxId};
use crate::base::time::Instant;
use crate::sip::wire::{Message, Method};

impl Transactions {
    /// Sends a request of ours, with its own branch in the top Via, in a new client transaction.
    /// An ACK has none: see [`Self::send`].
    ///
    /// `None` if there is no room even for an end
    /// ([`TRANSACTIONS_HEADROOM_PERCENT`](crate::base::limits::TRANSACTIONS_HEADROOM_PERCENT)): an INVITE was not sent then,
    /// anything else once.
    pub fn request(&mut self, now: Instant, path: Path, request: Message) -> Option<TxId> {
        let key = Key::Client(ClientKey::of(&request).ok()?);
        let machine = Machine::of_ours(request.method());
        let kept = request.to_bytes();
        if self.is_beyond_headroom() {
            if !matches!(machine, Machine::InviteClient(_)) {
                self.send(Datagram { path, bytes: kept });
            }
            return None;
        }
        let tx = self.open(now, path, machine, request, kept, key);
        self.resend(tx);
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
        // A transaction that is gone needs no answer; a second final response is not sent.
        if self.step(now, tx, Event::Status(status)) == Some(Effect::Send) {
            self.keep(tx, response.to_bytes());
            self.resend(tx);
        }
    }

    /// Sends a CANCEL for an INVITE of ours that has had a provisional response (RFC 3261 §9.1), and
    /// gives the INVITE 64 × T1 to end. Does nothing while one is under way.
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
        if !under_way {
            self.request(now, path, cancel);
            self.timers.set((invite, Timer::B), now + TIMEOUT);
        }
    }

    /// Sends what is kept, if anything was sent before.
    pub(super) fn resend(&mut self, tx: TxId) {
        if let Some(transaction) = self.all.get(&tx)
            && !transaction.kept.is_empty()
        {
            let (path, bytes) = (transaction.path, transaction.kept.clone());
            self.send(Datagram { path, bytes });
        }
    }

    /// RFC 3261 §17.1.1.3: the ACK of a failure belongs to the INVITE's transaction.
    pub(super) fn acknowledge_failure(&mut self, tx: TxId, response: &Message) {
        let Some(transaction) = self.all.get(&tx) else {
            return;
        };
        let Ok(mut ack) = hop_by_hop(&transaction.request, Method::Ack) else {
            return;
        };
        if let Some(to) = response.headers.first("To") {
            ack.headers.set("To", to);
        }
        let (path, bytes) = (transaction.path, ack.to_bytes());
        self.send(Datagram { path, bytes });
    }
}
