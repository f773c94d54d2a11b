//! The watch at the engine's edge: it sees every input and every action, keeps its own account of each
//! call, and says what is wrong.
//!
//! Its account is made from messages and times alone, by RFC 3261, the contract and the rules; what the engine
//! thinks is only compared with it. Inputs are in [`inputs`], actions in [`actions`], what
//! must hold between them in [`always`], changes of the session in [`change`] and [`session`], the end in [`verdict`].

mod actions;
mod always;
mod change;
mod inputs;
mod script;
mod session;
mod tell;
mod verdict;

use crate::says::Described;
use change::{Ask, Ours};
use qingjiang::base::ids::CallKey;
use qingjiang::base::time::Instant;
use qingjiang::config::{Config, Hotline};
use qingjiang::hotline::figures::TargetGauge;
use qingjiang::hotline::record::{AttemptOutcome, EndedBy, EndedCall};
use script::Script;
use session::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// An INVITE from a peer, by its source and branch.
struct Asked {
    at: Instant,
    final_status: Option<u16>,
    final_bytes: Vec<u8>,
    call: Option<usize>,
}

/// One offered call.
pub struct Seen {
    pub call_id: String,
    from_tag: String,
    branch: String,
    pub offered_at: Instant,
    hotline: usize,
    trunk: String,
    hops: u8,
    key: Option<CallKey>,
    /// The public id, from the first INVITE to a target.
    id: Option<String>,
    our_tag: Option<String>,
    cseq_high: u32,
    caller_port: u16,
    agent_port: u16,
    attempts: Vec<Attempt>,
    first_ring: Option<Instant>,
    pub final_status: Option<(u16, Instant)>,
    /// The SDP that the caller was told.
    told: Option<Vec<u8>>,
    acked: Option<Instant>,
    /// What a peer did that ends the call: when, and who.
    ended: Option<(Instant, EndedBy)>,
    /// When its audio was closed: it is over for the figures. The record follows the media thread's last word.
    over: Option<Instant>,
    /// Whether no target was left to be tried then.
    rest_is_down: bool,
    pub record: Option<EndedCall>,
    listening: bool,
    script: Option<Script>,
    /// Onset of the caller's first speech that was told.
    first_speech: Option<Instant>,
    caller_bye_in: bool,
    caller_bye_out: Option<Instant>,
    closed: bool,
    /// The caller's session and the agent's.
    legs: [Session; 2],
    held: bool,
    holds_in_script: u32,
    /// A hold came while a prompt was outstanding.
    stop_owed: bool,
    prompts_held: u32,
    asked_after_hold: bool,
}

/// One INVITE of ours to a target.
struct Attempt {
    /// Its place among the hotline's targets.
    target: usize,
    call_id: String,
    from_tag: String,
    name: String,
    is_person: bool,
    ringing_183: bool,
    /// Formats of our offer.
    offered: Vec<String>,
    invited_at: Instant,
    provisional: bool,
    early_sdp: bool,
    rang_at: Option<Instant>,
    cancelled_at: Option<Instant>,
    /// How it ended for the call.
    end: Option<(Instant, AttemptOutcome)>,
    /// What the caller is told if it was the last one.
    status_for_caller: u16,
    first_2xx: Option<Instant>,
    refused: bool,
    /// The transaction ended without any answer.
    dead: bool,
    forks: BTreeMap<String, Fork>,
    winner: Option<String>,
    cseq_high: u32,
}

/// A dialog at a target, by its tag.
#[derive(Default)]
struct Fork {
    /// 200s that came while the transaction lived.
    oks: u32,
    acks: u32,
    bye_out: Option<Instant>,
    bye_in: bool,
}

pub struct Watch {
    config: Config,
    pub faults: Vec<String>,
    asked: BTreeMap<(SocketAddr, String), Asked>,
    pub calls: Vec<Seen>,
    /// Calls by Call-ID of the caller's leg.
    by_caller: BTreeMap<String, usize>,
    /// Attempts by branch and by Call-ID.
    by_branch: BTreeMap<String, (usize, usize)>,
    by_target: BTreeMap<String, (usize, usize)>,
    by_key: BTreeMap<CallKey, usize>,
    /// Changes that peers asked for, by source and branch, and our own re-INVITEs by branch.
    asks: BTreeMap<(SocketAddr, String), Ask>,
    ours: BTreeMap<String, Ours>,
    /// Calls that are closed by the actions that are looked at.
    closing: BTreeSet<CallKey>,
    /// The INVITE that is being handled: it may become a call.
    fresh: Option<Fresh>,
    lent: BTreeSet<u16>,
    pressed: bool,
    draining: bool,
    shutting_down: bool,
    seen: BTreeSet<(SocketAddr, String, String)>,
    sip_in: u64,
    sip_out: u64,
    pub ports_total: usize,
    /// Offered while the queue of records was full: they have none.
    unrecorded: u64,
    now: Instant,
    /// Targets that were said to be up before this input, and after it.
    up: [Vec<TargetGauge>; 2],
    pub passed_over: bool,
}

/// A new INVITE outside of a dialog.
struct Fresh {
    remote: SocketAddr,
    branch: String,
    call_id: String,
    from_tag: String,
    number: String,
    hops: u8,
    cseq: u32,
    offer: Option<Described>,
    record: bool,
}

impl Watch {
    pub fn new(config: Config) -> Watch {
        Watch {
            config,
            faults: Vec::new(),
            asked: BTreeMap::new(),
            calls: Vec::new(),
            by_caller: BTreeMap::new(),
            by_branch: BTreeMap::new(),
            by_target: BTreeMap::new(),
            by_key: BTreeMap::new(),
            asks: BTreeMap::new(),
            ours: BTreeMap::new(),
            closing: BTreeSet::new(),
            fresh: None,
            lent: BTreeSet::new(),
            pressed: false,
            draining: false,
            shutting_down: false,
            seen: BTreeSet::new(),
            sip_in: 0,
            sip_out: 0,
            ports_total: 0,
            unrecorded: 0,
            now: Instant::ZERO,
            up: [Vec::new(), Vec::new()],
            passed_over: false,
        }
    }

    fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    fn check(&mut self, holds: bool, fault: impl Into<String>) {
        if !holds {
            self.fault(fault);
        }
    }

    /// Whether a target was up before this input, and after it.
    fn was_up(&self, hotline: &Hotline, target: usize) -> [bool; 2] {
        let name = &hotline.targets[target].name;
        [0, 1].map(|when| {
            let mut gauges = self.up[when].iter();
            let found = gauges.find(|one| one.hotline == hotline.name && one.agent == *name);
            found.is_none_or(|one| one.up)
        })
    }

    /// Whether a target may be passed over: it is down, and not all of the hotline are.
    fn may_pass_over(&self, hotline: &Hotline, target: usize) -> bool {
        let all = 0..hotline.targets.len();
        [0, 1].into_iter().any(|when| {
            let is_up = |place: usize| self.was_up(hotline, place)[when];
            !is_up(target) && all.clone().any(is_up)
        })
    }

    /// Whether a target may be called: it is up, or all of the hotline are down.
    fn may_call(&self, hotline: &Hotline, target: usize) -> bool {
        let all = 0..hotline.targets.len();
        [0, 1].into_iter().any(|when| {
            let is_up = |place: usize| self.was_up(hotline, place)[when];
            is_up(target) || !all.clone().any(is_up)
        })
    }

    /// Calls whose talk or hunt is not over.
    pub fn live(&self) -> impl Iterator<Item = &Seen> {
        self.calls.iter().filter(|call| call.over.is_none())
    }

    /// Dialogs at targets whose 200 came in time, as (Call-ID, tag), and whether we sent them a BYE.
    pub fn taken_forks(&self) -> BTreeMap<(String, String), bool> {
        let mut taken = BTreeMap::new();
        for attempt in self.calls.iter().flat_map(|call| &call.attempts) {
            for (tag, fork) in &attempt.forks {
                let id = (attempt.call_id.clone(), tag.clone());
                taken.insert(id, fork.bye_out.is_some());
            }
        }
        taken
    }

    /// The call of this caller.
    pub fn call_of(&self, call_id: &str) -> Option<&Seen> {
        self.by_caller.get(call_id).map(|index| &self.calls[*index])
    }

    /// The final response that went out to an INVITE.
    pub fn final_of(&self, remote: SocketAddr, branch: &str) -> Option<u16> {
        let asked = self.asked.get(&(remote, branch.to_owned()))?;
        asked.final_status
    }
}

impl Seen {
    /// Whether we sent the caller a BYE.
    pub fn was_hung_up_on(&self) -> bool {
        self.caller_bye_out.is_some()
    }

    fn is_answered(&self) -> bool {
        matches!(self.final_status, Some((200, _)))
    }

    /// The attempt that is being tried, or was the last.
    fn last(&mut self) -> Option<&mut Attempt> {
        self.attempts.last_mut()
    }

    /// Call-IDs of its attempts.
    pub fn attempts(&self) -> impl Iterator<Item = &str> {
        self.attempts.iter().map(|attempt| attempt.call_id.as_str())
    }
}

impl Attempt {
    fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Whether its INVITE transaction still takes a 2xx (RFC 3261 §17.1.1, RFC 6026: timers B and M).
    fn takes_2xx(&self) -> bool {
        !self.refused && !self.dead
    }
}
