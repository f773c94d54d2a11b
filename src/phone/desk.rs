//! What all calls of a phone share: transactions, timers, dialogs, lent ports, the tray of actions.
//!
//! Decides nothing about a call. It is to a phone what `call::desk` is to the engine, without hotlines and figures.

use super::{Action, CallId, Event, Settings};
use crate::base::time::Instant;
use crate::base::timers::Timers;
use crate::sip::dialog::DialogKey;
use crate::sip::offer_answer::LocalMedia;
use crate::sip::transaction::{Path, Transactions, TxId};
use crate::sip::user_agent::{Advertised, UserAgent, signed};
use crate::sip::wire::Message;
use std::collections::{BTreeMap, VecDeque};

/// What a call wants to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Our 180 or 183.
    Ring,
    /// Our final response.
    Reply,
    /// The 200 again, until its ACK.
    RepeatOk,
    /// CANCEL for want of an answer.
    GiveUp,
    /// BYE.
    HangUp,
}

const TIMERS: [Timer; 5] = [
    Timer::Ring,
    Timer::Reply,
    Timer::RepeatOk,
    Timer::GiveUp,
    Timer::HangUp,
];

/// The shared things.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub settings: Settings,
    pub transactions: Transactions,
    pub timers: Timers<(CallId, Timer)>,
    /// Which call a dialog is.
    pub dialogs: BTreeMap<DialogKey, CallId>,
    /// Which call a transaction belongs to.
    pub owners: BTreeMap<TxId, CallId>,
    owned: BTreeMap<CallId, Vec<TxId>>,
    /// RTP ports that the shell lent and no call has.
    pub ports: VecDeque<u16>,
    pub actions: VecDeque<Action>,
}

impl Desk {
    pub fn new(settings: Settings) -> Desk {
        Desk {
            settings,
            transactions: Transactions::default(),
            timers: Timers::default(),
            dialogs: BTreeMap::new(),
            owners: BTreeMap::new(),
            owned: BTreeMap::new(),
            ports: VecDeque::new(),
            actions: VecDeque::new(),
        }
    }

    /// A fresh tag, branch or Call-ID.
    pub fn token(&mut self) -> String {
        self.settings.random.token()
    }

    /// Our end of a new stream.
    pub fn local_media(&mut self, port: u16) -> LocalMedia {
        LocalMedia {
            address: self.settings.media_address,
            port,
            session_id: u64::from(self.settings.random.bits32()),
            version: 1,
        }
    }

    /// Tells the shell.
    pub fn tell(&mut self, call: CallId, event: Event) {
        self.actions.push_back(Action::Tell { call, event });
    }

    /// Notes whose transaction this is.
    pub fn own(&mut self, call: CallId, tx: TxId) {
        self.owners.insert(tx, call);
        self.owned.entry(call).or_default().push(tx);
    }

    /// What requests are sent with.
    pub fn user_agent(&mut self) -> UserAgent<'_> {
        UserAgent {
            transactions: &mut self.transactions,
            random: &mut self.settings.random,
            address: Advertised::udp(self.settings.sip),
        }
    }

    /// Sends a request of ours in a transaction that belongs to `call`.
    pub fn request(
        &mut self,
        now: Instant,
        call: CallId,
        path: Path,
        request: Message,
    ) -> Option<TxId> {
        let tx = self.user_agent().request(now, path, request)?;
        self.own(call, tx);
        Some(tx)
    }

    /// Adds what every response of ours has, and sends it.
    pub fn respond(&mut self, now: Instant, tx: TxId, response: Message) {
        self.transactions.respond(now, tx, &signed(response));
    }

    /// Forgets all that is kept for a call.
    pub fn forget(&mut self, call: CallId) {
        for timer in TIMERS {
            self.timers.cancel((call, timer));
        }
        self.dialogs.retain(|_, owner| *owner != call);
        for tx in self.owned.remove(&call).unwrap_or_default() {
            self.owners.remove(&tx);
        }
    }
}
