//! What all calls share and one call may reach: transactions, ports, timers, figures, randomness, and the
//! tray of actions for the shell.
//!
//! Decides nothing about a call. Owned by the engine, lent to the call that has its turn.

use super::doors::{Command, PortPair, RtpOrigin};
use super::login::Logins;
use super::ports::PortPool;
use super::prompts::PromptNames;
use super::tracer::Tracer;
use crate::base::ids::{CallKey, Leg};
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::base::timers::Timers;
use crate::base::transport::Transport;
use crate::config::Config;
use crate::hotline::figures::Figures;
use crate::hotline::health::Health;
use crate::hotline::record::EndedCall;
use crate::sip::dialog::DialogKey;
use crate::sip::transaction::{Path, Transactions, TxId};
pub use crate::sip::user_agent::ALLOW_B2BUA as ALLOW;
use crate::sip::user_agent::{Advertised, UserAgent, signed};
use crate::sip::wire::Message;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// What the engine asks of the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send a message from one of our SIP sockets, over a connection where it is one of streams.
    SendSip {
        /// From where, to whom.
        path: Path,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Tell a media thread.
    Media {
        /// Its index.
        thread: u16,
        /// What.
        command: Command,
    },
    /// Keep this record; never drop it.
    Record(Box<EndedCall>),
}

/// What a call wants to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CallTimer {
    /// `ring_timeout` of the current attempt.
    Ring,
    /// Repetition of our ringing to the caller (RFC 3261 §13.3.1.1).
    RingAgain,
    /// Repetition of our 200 to the caller until its ACK (RFC 3261 §13.3.1.4).
    RepeatOk,
    /// Repetition of our 200 to a re-INVITE until its ACK.
    RepeatChange,
    /// The next moment of the silent caller's script.
    Script,
    /// No RTP from the caller since the answer: `one_way`, `never_sent`.
    NeverSent,
    /// Nothing was received from either end for a long time.
    Gone,
    /// The longest time that an ending may take.
    Ending,
}

/// A SIP socket of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// What it speaks.
    pub transport: Transport,
    /// What it is bound to.
    pub bound: SocketAddr,
    /// What Via and Contact say.
    pub advertised: SocketAddr,
}

/// The shared things.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Desk {
    /// The configuration.
    pub config: Config,
    /// Our SIP sockets.
    pub listeners: Vec<Listener>,
    /// The address that SDP names.
    pub media_address: IpAddr,
    /// SIP transactions.
    pub transactions: Transactions,
    /// RTP ports.
    pub ports: PortPool,
    /// The prompts that the media threads have loaded.
    pub prompts: PromptNames,
    /// Deadlines of calls.
    pub timers: Timers<(CallKey, CallTimer)>,
    /// Which call a dialog is a leg of.
    pub dialogs: BTreeMap<DialogKey, (CallKey, Leg)>,
    /// Which call a transaction belongs to.
    pub owners: BTreeMap<TxId, CallKey>,
    /// Which transactions a call has, so that they can be forgotten with it.
    owned: BTreeMap<CallKey, Vec<TxId>>,
    /// What targets' challenges said.
    pub logins: Logins,
    /// Counters.
    pub figures: Figures,
    /// Which targets are there.
    pub health: Health,
    /// Tags, branches, ids.
    pub random: Random,
    /// Tells those who watch whose a message is.
    pub tracer: Tracer,
    #[serde(skip)]
    pub(crate) actions: VecDeque<Action>,
}

impl Desk {
    /// A desk with nothing on it.
    pub fn new(
        config: Config,
        listeners: Vec<Listener>,
        media_address: IpAddr,
        prompts: PromptNames,
        mut random: Random,
        figures: Figures,
    ) -> Desk {
        let is_watched = config.trace.calls > 0 || config.hep.is_some();
        let tracer = Tracer::new(is_watched, random.bits64());
        let health = Health::new(&config);
        Desk {
            config,
            listeners,
            media_address,
            transactions: Transactions::default(),
            ports: PortPool::default(),
            prompts,
            timers: Timers::default(),
            dialogs: BTreeMap::new(),
            owners: BTreeMap::new(),
            owned: BTreeMap::new(),
            logins: Logins::default(),
            figures,
            health,
            random,
            tracer,
            actions: VecDeque::new(),
        }
    }

    /// Takes a renewed configuration; what was counted stays.
    pub fn renew(&mut self, config: Config) {
        self.figures.renew(&config);
        self.logins.clear();
        self.health.renew(&config);
        self.config = config;
    }

    /// Puts an action into the tray.
    pub fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Tells the media thread of these ports.
    pub fn tell_media(&mut self, ports: [PortPair; 2], command: Command) {
        self.act(Action::Media {
            thread: ports[0].thread,
            command,
        });
    }

    /// A fresh RTP origin (RFC 3550 §5.1: all three random).
    pub fn rtp_origin(&mut self) -> RtpOrigin {
        RtpOrigin {
            ssrc: self.random.bits32(),
            sequence: self.random.bits32() as u16,
            timestamp: self.random.bits32(),
        }
    }

    /// The first listener that speaks this transport and the peer's address family.
    pub fn listener_towards(&self, remote: SocketAddr, transport: Transport) -> Option<u16> {
        let speaks = |listener: &Listener| {
            listener.bound.is_ipv4() == remote.is_ipv4() && listener.transport == transport
        };
        let index = self.listeners.iter().position(speaks)?;
        u16::try_from(index).ok()
    }

    /// The way of a new request to a peer, from the first listener that can reach it.
    pub fn path_towards(&self, remote: SocketAddr, transport: Transport) -> Option<Path> {
        let listener = self.listener_towards(remote, transport)?;
        Some(Path::new(listener, transport, remote))
    }

    /// What Via and Contact name for a listener.
    pub fn advertised(&self, listener: u16) -> Advertised {
        let listener = self.listeners.get(usize::from(listener));
        listener.map_or(Advertised::udp(UNKNOWN), |listener| Advertised {
            transport: listener.transport,
            address: listener.advertised,
            allow: ALLOW,
        })
    }

    /// What requests are sent with, from one of our sockets.
    pub fn user_agent(&mut self, listener: u16) -> UserAgent<'_> {
        UserAgent {
            address: self.advertised(listener),
            transactions: &mut self.transactions,
            random: &mut self.random,
        }
    }

    /// Completes a request of ours and sends it in a transaction that belongs to `call`.
    pub fn request(
        &mut self,
        now: Instant,
        call: CallKey,
        path: Path,
        request: Message,
    ) -> Option<TxId> {
        self.tracer.join(call, request.call_id());
        let tx = self.user_agent(path.listener).request(now, path, request)?;
        self.own(call, tx);
        Some(tx)
    }

    /// Notes whose transaction this is.
    pub fn own(&mut self, call: CallKey, tx: TxId) {
        self.owners.insert(tx, call);
        self.owned.entry(call).or_default().push(tx);
    }

    /// Hands a record to the shell.
    pub fn record(&mut self, record: EndedCall) {
        self.act(Action::Record(Box::new(record)));
    }

    /// Adds what every response of ours has, and sends it.
    pub fn respond(&mut self, now: Instant, tx: TxId, response: Message) {
        self.transactions.respond(now, tx, &signed(response));
    }

    /// Forgets all that is kept for a call.
    pub fn forget(&mut self, call: CallKey, dialogs: impl Iterator<Item = DialogKey>) {
        for timer in [
            CallTimer::Ring,
            CallTimer::RingAgain,
            CallTimer::RepeatOk,
            CallTimer::RepeatChange,
            CallTimer::Script,
            CallTimer::NeverSent,
            CallTimer::Gone,
            CallTimer::Ending,
        ] {
            self.timers.cancel((call, timer));
        }
        for dialog in dialogs {
            self.dialogs.remove(&dialog);
        }
        for tx in self.owned.remove(&call).unwrap_or_default() {
            self.owners.remove(&tx);
        }
        self.tracer.part(call);
    }
}

const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
