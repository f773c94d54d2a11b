//! Our own phone: one SIP user agent at one address, with any number of calls, as caller and as callee.
//!
//! It is the demo's callers and agents, and the far end of test calls and load. It stands on the SIP
//! core that the engine stands on, so it would share its bugs: other people's phones test those. Pure as the engine
//! is: [`Phone::handle`] takes one input, [`Phone::poll_action`] gives what is to be done, [`Phone::next_deadline`] when to come
//! back. It carries no audio: RTP ports are lent to it ([`Input::Ports`]), its [`Event`]s say where audio goes, and [`audio`] makes it.
//!
//! Not done, on purpose: registration, authentication, re-INVITE (refused with 488, the call goes on), delayed offers (488), PRACK.
//! Source: RFC 3261 §8 (user agents), §9, §11.2, §13, §15; RFC 3264.

pub mod audio;
pub mod behaviour;
mod call;
mod desk;
mod incoming;
mod outgoing;
mod talk;

use crate::base::codec::Codec;
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::sip::dialog::{DialogKey, answer_with};
use crate::sip::stateless::Stateless;
use crate::sip::transaction::{Arrival, Datagram, Path, TxId};
use crate::sip::user_agent::ALLOW;
use crate::sip::wire::{self, Message, Method, PeerFault, Uri};
use behaviour::Behaviour;
use call::Call;
use desk::Desk;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A call of a phone. Those that were dialled are named by whoever dials, those that came in by the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallId {
    /// Dialled.
    Out(u32),
    /// Came in.
    In(u32),
}

/// What a phone knows from the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What Via and Contact say: where the phone's SIP socket is reached.
    pub sip: SocketAddr,
    /// The address that SDP names.
    pub media_address: IpAddr,
    /// Codecs that are taken in offers.
    pub codecs: Vec<Codec>,
    /// What it does by itself.
    pub behaviour: Behaviour,
    /// Tags, branches, Call-IDs.
    pub random: Random,
}

/// Whom to call, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Request-URI and To.
    pub to: Uri,
    /// Where the INVITE is sent.
    pub address: SocketAddr,
    /// The caller's number, in From.
    pub number: String,
    /// The caller's name, in From.
    pub display: Option<String>,
    /// Codecs to offer, in order of preference.
    pub codecs: Vec<Codec>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A datagram came in.
    Sip {
        /// From whom.
        remote: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// A datagram could not be sent.
    Unreachable {
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// RTP ports that the shell has bound. Each is used by one call; [`Event::Began`] says by which. Without
    /// one, a call to us is refused with 486 and a call of ours ends with 503 before it began.
    Ports(Vec<u16>),
    /// Call. The number in `call` must be new.
    Dial {
        /// [`CallId::Out`] of this.
        call: u32,
        /// Whom.
        dial: Box<Dial>,
    },
    /// End a call: CANCEL, 480 or BYE, as it is.
    HangUp(CallId),
    /// End all calls.
    HangUpAll,
    /// The time has come.
    Deadline,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a datagram from the phone's SIP socket.
    SendSip {
        /// To whom.
        to: SocketAddr,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Something happened to a call.
    Tell {
        /// Which.
        call: CallId,
        /// What.
        event: Event,
    },
}

/// What happens to a call. `Began` comes first, `Ended` last, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The call has this RTP port.
    Began {
        /// Lent before; not used again unless it is lent again.
        port: u16,
        /// The caller's number, of a call to us.
        caller: Option<String>,
    },
    /// The first 180, which came or was sent.
    Ringing,
    /// Audio before the answer may flow.
    EarlyMedia(Media),
    /// 200, which came or was sent.
    Answered(Media),
    /// It is over for whoever uses the phone; the last messages may still be under way.
    Ended {
        /// Who ended it.
        by: EndedBy,
        /// 200 after BYE, else the final status, which is 408 where none came and 503 where nothing could be sent.
        status: u16,
    },
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndedBy {
    /// We hung up, refused or gave up.
    Us,
    /// The peer did.
    Peer,
    /// Nobody answered or acknowledged.
    Nobody,
}

/// What offer and answer made out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    /// Where the peer wants RTP; `None`: it has not said.
    pub remote: Option<SocketAddr>,
    /// What we send.
    pub codec: Codec,
    /// The peer's payload type of telephone-event.
    pub event: Option<u8>,
    /// Whether the peer listens.
    pub to_peer: bool,
    /// Whether the peer sends.
    pub from_peer: bool,
}

/// The phone.
#[derive(Clone, Debug)]
pub struct Phone {
    calls: BTreeMap<CallId, Call>,
    desk: Desk,
    stateless: Stateless,
    received: u32,
}

impl Phone {
    /// A phone without calls and ports.
    pub fn new(mut settings: Settings) -> Phone {
        Phone {
            calls: BTreeMap::new(),
            stateless: Stateless::new(&mut settings.random),
            desk: Desk::new(settings),
            received: 0,
        }
    }

    /// Applies one input. Touches no socket, clock, thread or global random source.
    ///
    /// The caller drains [`Phone::poll_action`] to `None` before the next input.
    pub fn handle(&mut self, now: Instant, input: Input) {
        debug_assert!(
            self.desk.actions.is_empty(),
            "actions left from the last input"
        );
        match input {
            Input::Sip { remote, bytes } => self.on_datagram(now, remote, &bytes),
            Input::Unreachable { bytes } => {
                if let Some(arrival) = self.desk.transactions.on_unreachable(now, &bytes) {
                    self.on_arrival(now, arrival);
                }
            }
            Input::Ports(ports) => self.desk.ports.extend(ports),
            Input::Dial { call, dial } => self.dial(now, CallId::Out(call), &dial),
            Input::HangUp(call) => self.with_call(call, |call, desk| call.hang_up(desk, now)),
            Input::HangUpAll => {
                let all: Vec<CallId> = self.calls.keys().copied().collect();
                for id in all {
                    self.with_call(id, |call, desk| call.hang_up(desk, now));
                }
            }
            Input::Deadline => self.on_deadline(now),
        }
        while let Some(datagram) = self.desk.transactions.poll_send() {
            let (to, bytes) = (datagram.path.remote, datagram.bytes);
            self.desk.actions.push_back(Action::SendSip { to, bytes });
        }
    }

    /// Takes the next thing that is to be done.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.desk.actions.pop_front()
    }

    /// When [`Input::Deadline`] is wanted next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let calls = self.desk.timers.next_deadline();
        calls
            .into_iter()
            .chain(self.desk.transactions.next_deadline())
            .min()
    }

    /// Calls that are kept, those whose last messages are under way too.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Whether there is no call and no transaction left.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.desk.transactions.is_empty()
    }

    fn dial(&mut self, now: Instant, id: CallId, dial: &Dial) {
        debug_assert!(
            !self.calls.contains_key(&id),
            "a call's number is used once"
        );
        let call = Call::dial(&mut self.desk, now, id, dial);
        if call.is_over() {
            self.desk.forget(id);
        } else {
            self.calls.insert(id, call);
        }
    }

    fn on_datagram(&mut self, now: Instant, remote: SocketAddr, bytes: &[u8]) {
        let message = match wire::parse_datagram(bytes) {
            Ok(message) => message,
            Err(refused) => {
                if let Some(request) = refused.message {
                    self.refuse_unmatched(remote, &request, refused.fault);
                }
                return;
            }
        };
        // Full: what comes anew is not heard; the peer repeats it.
        let transactions = &self.desk.transactions;
        let is_invite = message.method() == Some(&Method::Invite);
        if is_invite && transactions.is_full() && !transactions.knows(&message) {
            return;
        }
        match self
            .desk
            .transactions
            .on_message(now, path(remote), message)
        {
            Ok(Some(arrival)) => self.on_arrival(now, arrival),
            Ok(None) => {}
            Err(refused) => self.refuse_unmatched(remote, &refused.1, refused.0),
        }
    }

    /// A request that is too broken for a transaction is answered without one, if it says to whom.
    fn refuse_unmatched(&mut self, remote: SocketAddr, request: &Message, fault: PeerFault) {
        if let Some(response) = self.stateless.refusal(request, fault) {
            let refusal = Datagram::answering(request, path(remote), &response);
            self.desk.transactions.send(refusal);
        }
    }

    fn on_arrival(&mut self, now: Instant, arrival: Arrival) {
        match arrival {
            Arrival::Request { tx, path, message } => self.on_request(now, tx, path, &message),
            Arrival::Cancel {
                tx,
                message,
                invite,
            } => self.on_cancel(now, tx, &message, invite),
            Arrival::Merged { tx, message } => self.reply(now, tx, &message, 482, &[]),
            Arrival::Ack { message } => {
                if let Some(call) = self.call_of(&message) {
                    self.with_call(call, |call, desk| call.on_ack(desk, now));
                }
            }
            Arrival::Response { tx, path, message } => {
                let owned = self.with_owner(tx, |call, desk| {
                    call.on_response(desk, now, tx, path, &message);
                });
                if !owned {
                    self.desk.user_agent().dismiss(now, path, tx, &message);
                }
            }
            Arrival::TimedOut { tx } => {
                self.with_owner(tx, |call, desk| call.on_no_response(desk, tx, 408));
            }
            Arrival::Unreachable { tx } => {
                self.with_owner(tx, |call, desk| call.on_no_response(desk, tx, 503));
            }
        }
    }

    /// RFC 3261 §9.2: 200 if there is such an INVITE; whether it still can be cancelled is its call's affair.
    fn on_cancel(&mut self, now: Instant, tx: TxId, cancel: &Message, invite: Option<TxId>) {
        let status = if invite.is_some() { 200 } else { 481 };
        self.reply(now, tx, cancel, status, &[]);
        if let Some(invite) = invite.filter(|invite| self.desk.transactions.awaits_final(*invite)) {
            self.with_owner(invite, |call, desk| call.on_cancelled(desk, now));
        }
    }

    fn on_deadline(&mut self, now: Instant) {
        while let Some(arrival) = self.desk.transactions.on_deadline(now) {
            self.on_arrival(now, arrival);
        }
        while let Some((call, timer)) = self.desk.timers.pop_due(now) {
            self.with_call(call, |call, desk| call.on_timer(desk, now, timer));
        }
    }

    fn on_request(&mut self, now: Instant, tx: TxId, path: Path, request: &Message) {
        let in_dialog = DialogKey::of_request(request).is_some();
        match (self.call_of(request), request.method()) {
            (Some(call), _) => {
                self.with_call(call, |call, desk| call.on_request(desk, now, tx, request));
            }
            (None, _) if in_dialog => self.reply(now, tx, request, 481, &[]),
            (None, Some(Method::Invite)) => self.on_invite(now, tx, path, request),
            (None, Some(Method::Options)) => {
                let can = [("Allow", ALLOW), ("Accept", "application/sdp")];
                self.reply(now, tx, request, 200, &can);
            }
            (None, Some(Method::Bye | Method::Prack | Method::Notify)) => {
                self.reply(now, tx, request, 481, &[]);
            }
            (None, Some(Method::Other(_))) => {
                self.reply(now, tx, request, 501, &[("Allow", ALLOW)])
            }
            _ => self.reply(now, tx, request, 405, &[("Allow", ALLOW)]),
        }
    }

    fn on_invite(&mut self, now: Instant, tx: TxId, path: Path, invite: &Message) {
        let id = CallId::In(self.received);
        match Call::take(&mut self.desk, now, id, tx, path, invite) {
            Ok(call) => {
                self.received = self.received.wrapping_add(1);
                self.calls.insert(id, call);
            }
            Err(refused) => {
                let header = refused
                    .1
                    .as_ref()
                    .map(|(name, value)| (*name, value.as_str()));
                self.reply(now, tx, invite, refused.0, header.as_slice());
            }
        }
    }

    fn reply(
        &mut self,
        now: Instant,
        tx: TxId,
        request: &Message,
        status: u16,
        headers: &[(&str, &str)],
    ) {
        let response = answer_with(request, status, &self.desk.token(), headers);
        self.desk.respond(now, tx, response);
    }

    fn call_of(&self, request: &Message) -> Option<CallId> {
        self.desk
            .dialogs
            .get(&DialogKey::of_request(request)?)
            .copied()
    }

    fn with_owner(&mut self, tx: TxId, then: impl FnOnce(&mut Call, &mut Desk)) -> bool {
        let Some(&owner) = self.desk.owners.get(&tx) else {
            return false;
        };
        self.with_call(owner, then);
        true
    }

    /// Lets a call have its turn; one that is over is forgotten.
    fn with_call(&mut self, id: CallId, then: impl FnOnce(&mut Call, &mut Desk)) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        then(call, &mut self.desk);
        if call.is_over() {
            self.calls.remove(&id);
            self.desk.forget(id);
        }
    }
}

/// The phone has one socket.
fn path(remote: SocketAddr) -> Path {
    Path::udp(0, remote)
}

#[cfg(test)]
mod tests;
