//! What all calls of a phone share: transactions, timers, dialogs, lent ports, the tray of actions.
//!
//! Decides nothing about a call. It is to a phone what `call::desk` is to the engine, without hotlines and figures.

use super::{Action, CallId, Event, Settings};
use crate::base::time::Instant;
use crate::base::timers::Timers;
use crate::call::desk::{ALLOW, PRODUCT};
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::offer_answer::LocalMedia;
use crate::sip::transaction::{Path, Transactions, TxId};
use crate::sip::wire::{Message, Method};
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

    /// Our Contact. It names no user: the dialog is found by its tags.
    pub fn contact(&self) -> String {
        format!("<sip:{}>", self.settings.sip)
    }

    /// Sends a request of ours in a transaction that belongs to `call`.
    pub fn request(
        &mut self,
        now: Instant,
        call: CallId,
        path: Path,
        mut request: Message,
    ) -> Option<TxId> {
        self.complete(&mut request);
        let tx = self.transactions.request(now, path, request)?;
        self.own(call, tx);
        Some(tx)
    }

    /// Adds what every request of ours has (RFC 3261 §8.1.1; `rport`: RFC 3581).
    fn complete(&mut self, request: &mut Message) {
        let (branch, sip) = (self.token(), self.settings.sip);
        let via = format!("SIP/2.0/UDP {sip};branch=z9hG4bK{branch};rport");
        request.headers.push_front("Via", &via);
        if request.method() == Some(&Method::Invite) {
            let contact = self.contact();
            request.headers.push("Contact", &contact);
            request.headers.push("Allow", ALLOW);
        }
        request.headers.push("User-Agent", PRODUCT);
    }

    /// Adds what every response of ours has, and sends it.
    pub fn respond(&mut self, now: Instant, tx: TxId, mut response: Message) {
        response.headers.push("Server", PRODUCT);
        self.transactions.respond(now, tx, &response);
    }

    /// Acknowledges a 2xx (RFC 3261 §13.2.2.4): a request without a transaction, kept for repeated 2xx.
    pub fn acknowledge(&mut self, dialog: &Dialog) -> Vec<u8> {
        let mut ack = dialog.ack();
        self.complete(&mut ack);
        let bytes = ack.to_bytes();
        self.transactions.send(dialog.path(), bytes.clone());
        bytes
    }

    /// Takes and ends a 2xx that no call waits for: a fork, or an answer to a call that is gone. Ringing for
    /// a call that is gone is cancelled.
    pub fn dismiss(&mut self, now: Instant, path: Path, tx: TxId, response: &Message) {
        let Some(invite) = self.transactions.request_of(tx).cloned() else {
            return;
        };
        let status = response.status().unwrap_or(0);
        if status < 200 {
            self.transactions.cancel(now, tx);
        }
        if !(200..300).contains(&status) || invite.method() != Some(&Method::Invite) {
            return;
        }
        if let Ok(mut dialog) = Dialog::as_uac(&invite, response, path) {
            self.acknowledge(&dialog);
            let mut bye = dialog.request(Method::Bye);
            self.complete(&mut bye);
            self.transactions.request(now, dialog.path(), bye);
        }
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
