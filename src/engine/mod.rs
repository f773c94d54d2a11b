//! All calls in one place: the pure core that the control thread drives.
//!
//! [`Engine::handle`] takes one input, [`Engine::poll_action`] gives what is to be done, [`Engine::next_deadline`]
//! when to come back. Inputs and the whole state are plain data (serde): the same state with the same inputs gives
//! the same actions, so a journal can be put between decision and action, and a seed replays any failure.
//! What a call does is decided in [`crate::call`]; here messages find their call, and new ones are let in.

mod admission;
mod gate;
mod health;
mod register;
mod requests;
pub mod trace;

use crate::base::ids::CallKey;
use crate::base::limits::RETRY_AFTER_SECONDS;
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::call::desk::{Action, CallTimer, Desk, Listener};
use crate::call::doors::{Fact, PortPair};
use crate::call::prompts::PromptNames;
use crate::call::tracer::Traced;
use crate::call::{Call, Doing};
use crate::config::Config;
use crate::hotline::figures::{Direction, Figures, Gauges, HotlineGauges, Refusal, SipKind};
use crate::hotline::health::Question;
use crate::sip::auth::Guard;
use crate::sip::dialog::DialogKey;
use crate::sip::stateless::Stateless;
use crate::sip::transaction::{Arrival, Datagram, Path, TxId};
use crate::sip::wire::{self, Message, Method, PeerFault, Start};
use register::Registrations;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// One thing that happened. Owned and serialisable: this is what a journal would keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// A datagram came in on a SIP socket, or a message on a connection: as much as its Content-Length says, or its
    /// head alone where the stream cannot be followed any more.
    Sip {
        /// Which socket, and who sent it.
        path: Path,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// A message could not be sent, and it would be no use to try again.
    SipUnreachable {
        /// The message.
        bytes: Vec<u8>,
    },
    /// A media thread told something of a call.
    Media {
        /// The call.
        call: CallKey,
        /// What.
        fact: Fact,
    },
    /// A media thread has bound ports.
    Ports(Vec<PortPair>),
    /// The time has come.
    Deadline,
    /// A queue behind the engine is full, or has room again: new calls are refused meanwhile.
    Pressure(bool),
    /// SIGTERM: no new calls, the running ones go on.
    Drain,
    /// The drain took too long: all calls are ended.
    ShutDown,
    /// A renewed configuration ([`crate::config::renew`]). Running calls keep to what they began with.
    Renew(Box<Config>),
}

/// What is known from outside at the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// Our SIP sockets, bound.
    pub listeners: Vec<Listener>,
    /// The address that SDP names.
    pub media_address: IpAddr,
    /// The prompts that are loaded.
    pub prompts: PromptNames,
    /// Randomness.
    pub random: Random,
}

/// All calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Engine {
    calls: BTreeMap<CallKey, Call>,
    /// Ports that are lent, by call, until the media thread has closed the session.
    lent: BTreeMap<CallKey, [PortPair; 2]>,
    desk: Desk,
    next_call: u64,
    draining: bool,
    pressed: bool,
    bugs_seen: u64,
    stateless: Stateless,
    guard: Guard,
    registrations: Registrations,
    /// Our OPTIONS to targets that are under way.
    checks: BTreeMap<TxId, Question>,
}

impl Engine {
    /// An engine without calls.
    pub fn new(settings: Settings) -> Engine {
        let Settings {
            config,
            listeners,
            media_address,
            prompts,
            mut random,
        } = settings;
        let stateless = Stateless::new(&mut random);
        let guard = Guard::new(&mut random);
        let registrations = Registrations::new(&config.registrations, &mut random);
        let figures = Figures::new(&config);
        let desk = Desk::new(config, listeners, media_address, prompts, random, figures);
        Engine {
            calls: BTreeMap::new(),
            lent: BTreeMap::new(),
            desk,
            next_call: 0,
            draining: false,
            pressed: false,
            bugs_seen: 0,
            stateless,
            guard,
            registrations,
            checks: BTreeMap::new(),
        }
    }

    /// Applies one input. Touches no socket, clock, thread or global random source.
    ///
    /// The caller drains [`Engine::poll_action`] to `None` before the next input.
    pub fn handle(&mut self, now: Instant, input: Input) {
        debug_assert!(
            self.desk.actions.is_empty(),
            "actions left from the last input"
        );
        self.desk.tracer.begin_turn(now);
        match input {
            Input::Sip { path, bytes } => self.on_datagram(now, path, bytes),
            Input::SipUnreachable { bytes } => {
                if let Some(arrival) = self.desk.transactions.on_unreachable(now, &bytes) {
                    self.on_arrival(now, arrival);
                }
            }
            Input::Media { call, fact } => self.on_fact(now, call, fact),
            Input::Ports(pairs) => self.desk.ports.add(pairs),
            Input::Deadline => self.on_deadline(now),
            Input::Pressure(pressed) => self.pressed = pressed,
            Input::Drain => self.drain(now),
            Input::ShutDown => self.shut_down(now),
            Input::Renew(config) => self.renew(now, *config),
        }
        self.hand_over_datagrams();
    }

    /// Takes the next thing that is to be done.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.desk.actions.pop_front()
    }

    /// Takes the next SIP message that the last input was or made, for those who watch. Those that nobody has taken
    /// are gone with the next input.
    pub fn poll_traced(&mut self) -> Option<Traced> {
        self.desk.tracer.poll()
    }

    /// When [`Input::Deadline`] is wanted next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let calls = self.desk.timers.next_deadline();
        let transactions = self.desk.transactions.next_deadline();
        let health = self.desk.health.next_deadline();
        let registrations = self.registrations.next_deadline();
        let all = [calls, transactions, health, registrations];
        all.into_iter().flatten().min()
    }

    /// Whether no call is left, not even one whose last messages are under way, and no registrar is being left.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty() && self.registrations.are_left()
    }

    /// Calls that are kept, those in their ending too.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Calls that are not over for the figures.
    pub fn live_calls(&self) -> usize {
        self.calls
            .values()
            .filter(|call| call.doing() != Doing::Ending)
            .count()
    }

    /// Port pairs that are free now, and all of them.
    pub fn ports(&self) -> (usize, usize) {
        (self.desk.ports.free(), self.desk.ports.total())
    }

    /// Whether new calls are refused because of a drain.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// The counters.
    pub fn figures(&self) -> &Figures {
        &self.desk.figures
    }

    /// What holds now, by hotline.
    pub fn gauges(&self, now: Instant) -> Gauges {
        let mut gauges = Gauges {
            hotlines: vec![HotlineGauges::default(); self.desk.figures.hotlines.len()],
            registrations: self.registrations.states(now),
            targets: self.target_gauges(now),
        };
        for call in self.calls.values() {
            let Some(line) = gauges.hotlines.get_mut(usize::from(call.line().0)) else {
                continue;
            };
            match call.doing() {
                Doing::Ringing => line.ringing += 1,
                Doing::Waiting => line.waiting += 1,
                Doing::Talking => line.talking += 1,
                Doing::Ending => continue,
            }
            if call.doing() != Doing::Talking {
                line.longest_wait = line.longest_wait.max(now - call.offered_at());
            }
        }
        gauges
    }

    fn on_datagram(&mut self, now: Instant, path: Path, bytes: Vec<u8>) {
        let read = match path.transport.is_reliable() {
            true => wire::parse_framed(&bytes),
            false => wire::parse_datagram(&bytes),
        };
        let watched = self.desk.tracer.is_on().then(|| match &read {
            Ok(message) => (message.call_id().to_owned(), opens_call(message)),
            Err(refused) => match &refused.message {
                Some(request) => (request.call_id().to_owned(), opens_call(request)),
                None => (String::new(), false),
            },
        });
        match read {
            Ok(message) => self.on_message(now, path, message),
            Err(refused) => {
                self.desk.figures.sip_message(Direction::In, SipKind::Other);
                if let Some(request) = refused.message {
                    self.refuse_unmatched(path, &request, refused.fault);
                }
            }
        }
        // Only now is it known whose it is.
        if let Some((call_id, opens)) = watched {
            self.desk.tracer.came(path, call_id, opens, bytes);
        }
    }

    fn on_message(&mut self, now: Instant, path: Path, message: Message) {
        self.desk
            .figures
            .sip_message(Direction::In, kind_of(&message));
        if message.is_request() && !self.lets_in(now, path, &message) {
            return;
        }
        let transactions = &self.desk.transactions;
        if transactions.is_full() && opens_something(&message) && !transactions.knows(&message) {
            return self.refuse_for_room(path, &message);
        }
        match self.desk.transactions.on_message(now, path, message) {
            Ok(Some(arrival)) => self.on_arrival(now, arrival),
            Ok(None) => {}
            Err(refused) => self.refuse_unmatched(path, &refused.1, refused.0),
        }
    }

    /// 503 without a transaction, because there is room for no more of them.
    fn refuse_for_room(&mut self, path: Path, request: &Message) {
        if request.method() == Some(&Method::Invite) {
            self.desk.figures.refused(Refusal::Capacity);
        }
        let mut busy = self.stateless.answer(request, 503);
        busy.headers
            .push("Retry-After", &RETRY_AFTER_SECONDS.to_string());
        self.send_without_transaction(path, request, &busy);
    }

    /// A request that is too broken for a transaction is answered without one, if it says to whom.
    fn refuse_unmatched(&mut self, path: Path, request: &Message, fault: PeerFault) {
        let Some(response) = self.stateless.refusal(request, fault) else {
            return;
        };
        if request.method() == Some(&Method::Invite) {
            self.desk.figures.refused(Refusal::BadRequest);
        }
        self.send_without_transaction(path, request, &response);
    }

    fn send_without_transaction(&mut self, path: Path, request: &Message, response: &Message) {
        let answer = Datagram::answering(request, path, response);
        self.desk.transactions.send(answer);
    }

    fn on_arrival(&mut self, now: Instant, arrival: Arrival) {
        match arrival {
            Arrival::Request { tx, path, message } => self.on_request(now, tx, path, message),
            Arrival::Cancel {
                tx,
                message,
                invite,
            } => self.on_cancel(now, tx, &message, invite),
            Arrival::Merged { tx, message } => self.reply(now, tx, &message, 482, &[]),
            Arrival::Ack { message } => {
                if let Some(key) = DialogKey::of_request(&message)
                    && let Some(&(call, leg)) = self.desk.dialogs.get(&key)
                {
                    self.with_call(call, |call, desk| call.on_ack(desk, now, leg, &message));
                }
            }
            Arrival::Response { tx, message, .. } if self.registrations.owns(tx) => {
                let (registrations, desk) = (&mut self.registrations, &mut self.desk);
                registrations.on_response(desk, now, tx, Some(&message));
            }
            Arrival::Response { tx, path, message } => {
                let owned = self.with_owner(tx, |call, desk| {
                    call.on_response(desk, now, tx, path, &message)
                });
                if !owned && !self.on_check_answer(now, tx, &message) {
                    let mut user_agent = self.desk.user_agent(path.listener);
                    user_agent.dismiss(now, path, tx, &message);
                }
            }
            Arrival::TimedOut { tx } | Arrival::Unreachable { tx } => {
                let (registrations, desk) = (&mut self.registrations, &mut self.desk);
                registrations.on_response(desk, now, tx, None);
                let owned = self.with_owner(tx, |call, desk| call.on_no_response(desk, now, tx));
                if !owned {
                    self.on_check_silence(now, tx);
                }
            }
        }
    }

    fn on_fact(&mut self, now: Instant, key: CallKey, fact: Fact) {
        if fact == Fact::Closed
            && let Some(ports) = self.lent.remove(&key)
        {
            for pair in ports {
                self.desk.ports.give_back(pair);
            }
        }
        self.with_call(key, |call, desk| call.on_fact(desk, now, fact));
    }

    fn on_deadline(&mut self, now: Instant) {
        while let Some(arrival) = self.desk.transactions.on_deadline(now) {
            self.on_arrival(now, arrival);
        }
        while let Some((key, timer)) = self.desk.timers.pop_due(now) {
            self.with_call(key, |call, desk| call.on_timer(desk, now, timer));
            if timer == CallTimer::Ending {
                self.forget(key);
            }
        }
        self.registrations.on_deadline(&mut self.desk, now);
        self.check_targets(now);
        let bugs = self.desk.transactions.unexpected();
        for _ in self.bugs_seen..bugs {
            self.desk.figures.bug("transaction");
        }
        self.bugs_seen = bugs;
    }

    fn renew(&mut self, now: Instant, config: Config) {
        self.desk.renew(config);
        if !self.draining {
            let config = self.desk.config.registrations.clone();
            self.registrations.renew(&mut self.desk, now, &config);
        }
    }

    /// No new calls: registrars need not send us any.
    fn drain(&mut self, now: Instant) {
        self.draining = true;
        self.registrations.leave(&mut self.desk, now);
    }

    fn shut_down(&mut self, now: Instant) {
        self.drain(now);
        let keys: Vec<CallKey> = self.calls.keys().copied().collect();
        for key in keys {
            self.with_call(key, |call, desk| call.shut_down(desk, now));
        }
    }

    fn with_owner(&mut self, tx: TxId, then: impl FnOnce(&mut Call, &mut Desk)) -> bool {
        match self.desk.owners.get(&tx).copied() {
            Some(key) => self.with_call(key, then),
            None => false,
        }
    }

    /// Lets a call have its turn; one that is over is forgotten.
    fn with_call(&mut self, key: CallKey, then: impl FnOnce(&mut Call, &mut Desk)) -> bool {
        let Some(call) = self.calls.get_mut(&key) else {
            return false;
        };
        then(call, &mut self.desk);
        if call.is_over() {
            self.forget(key);
        }
        true
    }

    fn forget(&mut self, key: CallKey) {
        if let Some(call) = self.calls.remove(&key) {
            self.desk.forget(key, call.dialogs());
        }
    }

    fn hand_over_datagrams(&mut self) {
        while let Some(datagram) = self.desk.transactions.poll_send() {
            let kind = kind_of_bytes(&datagram.bytes);
            self.desk.figures.sip_message(Direction::Out, kind);
            let (path, bytes) = (datagram.path, datagram.bytes);
            self.desk.tracer.goes(path, &bytes);
            self.desk.act(Action::SendSip { path, bytes });
        }
    }
}

/// Whether a message would begin something new; ACK, BYE, CANCEL and responses end or go on with something.
fn opens_something(message: &Message) -> bool {
    !matches!(
        message.method(),
        None | Some(Method::Ack | Method::Bye | Method::Cancel)
    )
}

/// Whether it is an INVITE outside of any dialog.
fn opens_call(message: &Message) -> bool {
    message.method() == Some(&Method::Invite) && DialogKey::of_request(message).is_none()
}

fn kind_of(message: &Message) -> SipKind {
    match &message.start {
        Start::Request { method, .. } => SipKind::of_method(method.as_str()),
        Start::Response { status, .. } => SipKind::of_status(*status),
    }
}

/// The kind of a message of ours, by its first word.
fn kind_of_bytes(bytes: &[u8]) -> SipKind {
    let line = bytes
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let text = std::str::from_utf8(line).unwrap_or_default();
    let mut words = text.split(' ');
    match words.next() {
        Some("SIP/2.0") => {
            SipKind::of_status(words.next().and_then(|code| code.parse().ok()).unwrap_or(0))
        }
        Some(method) => SipKind::of_method(method),
        None => SipKind::Other,
    }
}

#[cfg(test)]
mod tests;
