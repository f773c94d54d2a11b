//! One media thread: wait, read all that is ready, send, tell.

use super::sockets::{Pair, Ports};
use crate::base::ids::{CallKey, Leg};
use crate::base::limits::RTP_PACKET_BYTES_MAX;
use crate::base::time::Instant;
use crate::call::anchor::Anchor;
use crate::call::doors::{Command, Fact, PortPair, RtpOrigin};
use crate::hearing::webrtc::WebRtcVad;
use crate::media::prompt::PromptLibrary;
use crate::service::clock;
use rustix::event::{Timespec, epoll};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError};
use std::time::Duration;

/// Wakes are at least this far apart, so that one turn serves many packets.
const TURN: Duration = Duration::from_millis(1);

/// Datagrams of one socket that are read before the others have their turn.
const BATCH: usize = 32;

/// Longest wait: commands ring a bell, so nothing depends on it.
const IDLE: Duration = Duration::from_secs(1);

const WAKE: u64 = u64::MAX;

/// The way to the control thread, shared by all media threads.
pub(super) struct FactsOut {
    out: SyncSender<(CallKey, Fact)>,
    bell: Arc<OwnedFd>,
    /// A fact that the ring had no room for.
    stuck: Option<(CallKey, Fact)>,
    rang: bool,
}

impl FactsOut {
    pub(super) fn new(out: SyncSender<(CallKey, Fact)>, bell: Arc<OwnedFd>) -> FactsOut {
        FactsOut {
            out,
            bell,
            stuck: None,
            rang: false,
        }
    }

    /// Whether there is room for one more.
    fn has_room(&mut self) -> bool {
        match self.stuck.take() {
            Some((call, fact)) => self.put(call, fact),
            None => true,
        }
    }

    fn put(&mut self, call: CallKey, fact: Fact) -> bool {
        match self.out.try_send((call, fact)) {
            Ok(()) => self.rang = true,
            Err(TrySendError::Full(fact)) => self.stuck = Some(fact),
            // Nobody is there to be told any more.
            Err(TrySendError::Disconnected(_)) => {}
        }
        self.stuck.is_none()
    }

    fn ring(&mut self) {
        if std::mem::take(&mut self.rang) {
            super::ring(&self.bell);
        }
    }
}

/// The poll of a media thread, with its bell.
pub(super) fn poll_with(bell: &OwnedFd) -> io::Result<OwnedFd> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let data = epoll::EventData::new_u64(WAKE);
    epoll::add(&poll, bell, data, epoll::EventFlags::IN)?;
    Ok(poll)
}

/// A call on this thread.
struct Slot {
    call: CallKey,
    pairs: [PortPair; 2],
    anchor: Anchor<WebRtcVad>,
    due: Option<Instant>,
}

/// The thread's belongings.
pub(super) struct MediaThread {
    index: u16,
    ports: Ports,
    inbox: Receiver<Command>,
    wake: Arc<OwnedFd>,
    out: FactsOut,
    prompts: Arc<PromptLibrary>,
    poll: OwnedFd,
    slots: Vec<Option<Box<Slot>>>,
    free: Vec<usize>,
    by_call: BTreeMap<CallKey, usize>,
    deadlines: BTreeSet<(Instant, usize)>,
    /// Slots whose facts wait for room.
    untold: VecDeque<usize>,
    buffer: Vec<u8>,
}

impl MediaThread {
    pub(super) fn new(
        index: u16,
        ports: Ports,
        inbox: Receiver<Command>,
        wake: Arc<OwnedFd>,
        out: FactsOut,
        prompts: Arc<PromptLibrary>,
        poll: OwnedFd,
    ) -> MediaThread {
        MediaThread {
            index,
            ports,
            inbox,
            wake,
            out,
            prompts,
            poll,
            slots: Vec::new(),
            free: Vec::new(),
            by_call: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            untold: VecDeque::new(),
            buffer: vec![0; RTP_PACKET_BYTES_MAX + 1],
        }
    }

    /// Runs until the control thread lets go of the ring.
    pub(super) fn run(&mut self) {
        let mut events = Vec::with_capacity(1024);
        let mut last = clock::now();
        loop {
            let early = TURN.saturating_sub(clock::now() - last);
            if !early.is_zero() {
                std::thread::sleep(early);
            }
            last = clock::now();
            events.clear();
            let timeout = self.wait_time(last);
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.poll, spare, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "a media thread cannot wait");
                    return;
                }
            }
            let mut stay = true;
            for event in &events {
                match event.data.u64() {
                    WAKE => stay = self.take_commands(),
                    token => self.read(token),
                }
            }
            self.keep_time();
            self.tell_waiting();
            self.out.ring();
            if !stay {
                return;
            }
        }
    }

    fn wait_time(&self, now: Instant) -> Timespec {
        let wait = match self.deadlines.first() {
            _ if !self.untold.is_empty() => TURN,
            Some((due, _)) => (*due - now).min(IDLE),
            None => IDLE,
        };
        let nanos = wait.subsec_nanos();
        Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(nanos),
        }
    }

    fn take_commands(&mut self) -> bool {
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        loop {
            match self.inbox.try_recv() {
                Ok(Command::Open {
                    call,
                    ports,
                    origin,
                }) => self.open(call, ports, origin),
                Ok(command) => self.command(&command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn open(&mut self, call: CallKey, ports: [u16; 2], origins: [RtpOrigin; 2]) {
        let pairs = ports.map(|rtp| PortPair {
            thread: self.index,
            rtp,
        });
        if !pairs.iter().all(|pair| self.ports.contains_key(pair)) {
            tracing::error!("a call was opened on ports that this thread has not bound");
            return;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        for leg in Leg::BOTH {
            if let Some(pair) = self.ports.get(&pairs[leg.index()]) {
                watch(&self.poll, pair, slot, leg);
            }
        }
        let vads = [WebRtcVad::new(), WebRtcVad::new()];
        let anchor = Anchor::new(clock::now(), origins, vads, Arc::clone(&self.prompts));
        self.by_call.insert(call, slot);
        self.slots[slot] = Some(Box::new(Slot {
            call,
            pairs,
            anchor,
            due: None,
        }));
        self.settle(slot);
    }

    fn command(&mut self, command: &Command) {
        let Some(&slot) = self.by_call.get(&command.call()) else {
            return;
        };
        if let Some(held) = &mut self.slots[slot] {
            held.anchor.on_command(clock::now(), command);
        }
        self.settle(slot);
    }

    /// Reads a socket that is ready, and sends on what its call lets through.
    fn read(&mut self, token: u64) {
        let (slot, leg, is_rtcp) = parts_of(token);
        let Some(Some(held)) = self.slots.get_mut(slot) else {
            return;
        };
        let Some(pair) = self.ports.get(&held.pairs[leg.index()]) else {
            return;
        };
        let socket = if is_rtcp { &pair.rtcp } else { &pair.rtp };
        for _ in 0..BATCH {
            let (length, from) = match socket.recv_from(&mut self.buffer) {
                Ok(received) => received,
                // An ICMP answer to something sent before; the next read goes on.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(_) => break,
            };
            let now = clock::now();
            let datagram = &mut self.buffer[..length];
            if let Some(forward) = held.anchor.on_packet(now, leg, is_rtcp, from, datagram)
                && let Some(out) = self.ports.get(&held.pairs[forward.leg.index()])
            {
                // A full socket buffer loses it, as a network would.
                let _ = out.rtp.send_to(datagram, forward.to);
            }
        }
        self.settle(slot);
    }

    fn keep_time(&mut self) {
        let now = clock::now();
        while let Some(&(due, slot)) = self.deadlines.first() {
            if due > now {
                return;
            }
            self.deadlines.pop_first();
            if let Some(held) = &mut self.slots[slot] {
                held.due = None;
                held.anchor.on_deadline(now);
            }
            self.settle(slot);
        }
    }

    /// After any input of a call: what it wants to send, to tell, and when it wants to be woken.
    fn settle(&mut self, slot: usize) {
        let Some(held) = &mut self.slots[slot] else {
            return;
        };
        let now = clock::now();
        while let Some(frame) = held.anchor.poll_transmit(now, &mut self.buffer) {
            if let Some(pair) = self.ports.get(&held.pairs[frame.leg.index()]) {
                let _ = pair.rtp.send_to(&self.buffer[..frame.length], frame.to);
            }
        }
        let due = held.anchor.next_deadline();
        if due != held.due {
            if let Some(old) = held.due {
                self.deadlines.remove(&(old, slot));
            }
            if let Some(new) = due {
                self.deadlines.insert((new, slot));
            }
            held.due = due;
        }
        if !self.tell(slot) {
            self.untold.push_back(slot);
        }
    }

    /// Tells a call's facts as far as there is room; a closed one that has told all is let go.
    fn tell(&mut self, slot: usize) -> bool {
        let Some(held) = &mut self.slots[slot] else {
            return true;
        };
        loop {
            if !self.out.has_room() {
                return false;
            }
            let Some(fact) = held.anchor.poll_fact() else {
                break;
            };
            self.out.put(held.call, fact);
        }
        if held.anchor.is_closed() {
            self.close(slot);
        }
        true
    }

    fn tell_waiting(&mut self) {
        for _ in 0..self.untold.len() {
            let Some(slot) = self.untold.pop_front() else {
                return;
            };
            if !self.tell(slot) {
                self.untold.push_back(slot);
                return;
            }
        }
    }

    fn close(&mut self, slot: usize) {
        let Some(held) = self.slots[slot].take() else {
            return;
        };
        if let Some(due) = held.due {
            self.deadlines.remove(&(due, slot));
        }
        for pair in held.pairs {
            if let Some(pair) = self.ports.get(&pair) {
                let _ = epoll::delete(&self.poll, &pair.rtp);
                let _ = epoll::delete(&self.poll, &pair.rtcp);
            }
        }
        self.by_call.remove(&held.call);
        self.free.push(slot);
    }
}

/// Watches a leg's two sockets from now on. What lay in them is thrown away: it is not this call's.
fn watch(poll: &OwnedFd, pair: &Pair, slot: usize, leg: Leg) {
    for (socket, is_rtcp) in [(&pair.rtp, false), (&pair.rtcp, true)] {
        let mut sink = [0; 16];
        while socket.recv_from(&mut sink).is_ok()
            || socket.take_error().is_ok_and(|error| error.is_some())
        {}
        let token = (slot as u64) << 2 | (leg.index() as u64) << 1 | u64::from(is_rtcp);
        let data = epoll::EventData::new_u64(token);
        if let Err(error) = epoll::add(poll, socket, data, epoll::EventFlags::IN) {
            tracing::error!(%error, "an RTP socket cannot be watched");
        }
    }
}

fn parts_of(token: u64) -> (usize, Leg, bool) {
    let leg = Leg::BOTH[(token >> 1 & 1) as usize];
    ((token >> 2) as usize, leg, token & 1 == 1)
}
