//! One media thread's loop.
//!
//! A turn: wait for sockets, commands or a deadline; take in all of them; tell the control thread.
//! Turns are at least a millisecond apart, so that a thousand streams do not mean a thousand
//! wake-ups. A socket is in epoll only while its call is open.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::bind::Pair;
use super::wake::Wake;
use crate::base::ids::{CallKey, Leg};
use crate::base::limits::{MEDIA_COMMANDS_MAX, RTP_PACKET_BYTES_MAX};
use crate::base::time::Instant;
use crate::base::timers::Timers;
use crate::call::anchor::Anchor;
use crate::call::doors::{Command, Fact, RtpOrigin};
use crate::hearing::webrtc::WebRtcVad;
use crate::media::prompt::PromptLibrary;
use crate::service::clock;

/// Turns are no closer than this.
const TURN_MIN: Duration = Duration::from_millis(1);

/// Facts that found no room are offered again after this, if nothing else wakes us.
const OFFER_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Sockets that one epoll call names.
const EVENTS_MAX: usize = 1_024;

/// How often one turn asks epoll for more before commands and deadlines have their turn.
const ROUNDS_MAX: usize = 16;

/// Datagrams of before that are thrown away when a call opens, a socket. More than fit.
const STALE_DATAGRAMS_MAX: usize = 4_096;

/// Epoll's name of the eventfd; sockets are named by pair and port.
const WAKE: u64 = u64::MAX;

/// What connects the thread with the control thread.
pub(super) struct Rings {
    pub commands: Receiver<Command>,
    pub wake: Arc<Wake>,
    pub facts: SyncSender<(CallKey, Fact)>,
    pub facts_wake: Arc<Wake>,
    pub stop: Arc<AtomicBool>,
}

/// Makes the epoll that the thread will sleep in.
pub(super) fn epoll_with(wake: &Wake) -> io::Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let data = epoll::EventData::new_u64(WAKE);
    epoll::add(&epoll, wake, data, epoll::EventFlags::IN)?;
    Ok(epoll)
}

/// A media thread's own things.
pub(super) struct MediaThread {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    pairs: Vec<Pair>,
    by_port: BTreeMap<u16, usize>,
    /// For each pair the call that leases it: its index, and the leg.
    lessee: Vec<Option<(usize, Leg)>>,
    /// A call sits at the index of its caller's pair.
    calls: Vec<Option<Call>>,
    by_key: BTreeMap<CallKey, usize>,
    timers: Timers<usize>,
    rings: Rings,
    /// Facts that found no room in the ring. While there are any, calls keep theirs.
    held: VecDeque<(CallKey, Fact)>,
    /// Calls that keep facts.
    keeping: BTreeSet<usize>,
    told: bool,
    prompts: Arc<PromptLibrary>,
    buffer: [u8; RTP_PACKET_BYTES_MAX + 1],
}

struct Call {
    key: CallKey,
    anchor: Anchor<WebRtcVad>,
    pairs: [usize; 2],
    /// The deadline that is set. It may be earlier than the true one, never later: so a packet that
    /// only puts a deadline off costs nothing.
    armed: Option<Instant>,
}

impl MediaThread {
    pub fn new(
        epoll: OwnedFd,
        pairs: Vec<Pair>,
        rings: Rings,
        prompts: Arc<PromptLibrary>,
    ) -> Self {
        let ports = pairs.iter().enumerate().map(|(n, pair)| (pair.port, n));
        MediaThread {
            epoll,
            events: Vec::with_capacity(EVENTS_MAX),
            by_port: ports.collect(),
            lessee: vec![None; pairs.len()],
            calls: pairs.iter().map(|_| None).collect(),
            pairs,
            by_key: BTreeMap::new(),
            timers: Timers::default(),
            rings,
            held: VecDeque::new(),
            keeping: BTreeSet::new(),
            told: false,
            prompts,
            buffer: [0; RTP_PACKET_BYTES_MAX + 1],
        }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) {
        loop {
            let timeout = self.timeout(clock::now());
            self.wait(timeout);
            if self.rings.stop.load(Ordering::Acquire) {
                return;
            }
            let began = clock::now();
            self.take_commands();
            self.take_packets();
            self.meet_deadlines();
            self.tell();
            let rest = TURN_MIN.saturating_sub(clock::now() - began);
            if !rest.is_zero() {
                std::thread::sleep(rest);
            }
        }
    }

    /// How long to sleep; `None` until something comes.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let due = self.timers.next_deadline().map(|due| due - now);
        let again = (!self.held.is_empty()).then_some(OFFER_AGAIN_AFTER);
        due.into_iter().chain(again).min()
    }

    /// Fills `events`; none if a signal came between.
    fn wait(&mut self, timeout: Option<Duration>) {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        self.events.clear();
        let _ = epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            timeout.as_ref(),
        );
    }

    fn take_commands(&mut self) {
        self.rings.wake.clear();
        for _ in 0..MEDIA_COMMANDS_MAX {
            let Ok(command) = self.rings.commands.try_recv() else {
                return;
            };
            self.on_command(clock::now(), &command);
        }
        // There may be more: look again at once.
        self.rings.wake.wake();
    }

    fn on_command(&mut self, now: Instant, command: &Command) {
        if let Command::Open {
            call,
            ports,
            origin,
        } = command
        {
            self.open(now, *call, *ports, *origin);
            return;
        }
        let Some(&index) = self.by_key.get(&command.call()) else {
            tracing::debug!("a command for a call that is over");
            return;
        };
        if let Some(call) = &mut self.calls[index] {
            call.anchor.on_command(now, command);
            if call.anchor.is_closed() {
                self.release(index);
            }
            self.settle(now, index);
        }
    }

    fn open(&mut self, now: Instant, key: CallKey, ports: [u16; 2], origins: [RtpOrigin; 2]) {
        let Some(pairs) = self.free_pairs(key, ports) else {
            tracing::error!(
                ?ports,
                "ports are not ours or are in use: the call has no media"
            );
            self.held.push_back((key, Fact::Closed));
            return;
        };
        let vads = [WebRtcVad::new(), WebRtcVad::new()];
        self.calls[pairs[0]] = Some(Call {
            key,
            anchor: Anchor::new(now, origins, vads, self.prompts.clone()),
            pairs,
            armed: None,
        });
        self.by_key.insert(key, pairs[0]);
        for (leg, pair) in Leg::BOTH.into_iter().zip(pairs) {
            self.lessee[pair] = Some((pairs[0], leg));
            self.listen(pair);
        }
        self.settle(now, pairs[0]);
    }

    fn free_pairs(&self, key: CallKey, ports: [u16; 2]) -> Option<[usize; 2]> {
        let caller = *self.by_port.get(&ports[0])?;
        let agent = *self.by_port.get(&ports[1])?;
        let free = |pair: usize| self.lessee[pair].is_none() && self.calls[pair].is_none();
        let distinct = caller != agent && !self.by_key.contains_key(&key);
        (distinct && free(caller) && free(agent)).then_some([caller, agent])
    }

    /// Throws away what lay in a pair's sockets, and has epoll watch them.
    fn listen(&mut self, pair: usize) {
        let sockets = &self.pairs[pair];
        for (n, socket) in [&sockets.rtp, &sockets.rtcp].into_iter().enumerate() {
            for _ in 0..STALE_DATAGRAMS_MAX {
                // What went wrong with an earlier packet is an error too: there may be more behind it.
                if let Err(error) = socket.recv_from(&mut self.buffer)
                    && error.kind() == io::ErrorKind::WouldBlock
                {
                    break;
                }
            }
            let data = epoll::EventData::new_u64((2 * pair + n) as u64);
            if let Err(error) = epoll::add(&self.epoll, socket, data, epoll::EventFlags::IN) {
                tracing::error!(%error, "a media socket cannot be watched");
            }
        }
    }

    /// The ports of a call that was closed are heard no more.
    fn release(&mut self, index: usize) {
        let Some(call) = &self.calls[index] else {
            return;
        };
        for pair in call.pairs {
            self.lessee[pair] = None;
            let sockets = &self.pairs[pair];
            for socket in [&sockets.rtp, &sockets.rtcp] {
                let _ = epoll::delete(&self.epoll, socket);
            }
        }
        self.timers.cancel(index);
    }

    /// One datagram a ready socket and round: a second read would nearly always find nothing, while
    /// asking epoll again costs one call for all.
    fn take_packets(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let events = std::mem::take(&mut self.events);
            let mut packets = 0;
            for event in &events {
                let name = event.data.u64();
                if name != WAKE {
                    packets += 1;
                    self.take_packet((name / 2) as usize, name % 2 == 1);
                }
            }
            self.events = events;
            if packets == 0 {
                return;
            }
            self.wait(Some(Duration::ZERO));
        }
    }

    fn take_packet(&mut self, pair: usize, rtcp_port: bool) {
        // The call may have ended in this very turn.
        let Some((index, leg)) = self.lessee.get(pair).copied().flatten() else {
            return;
        };
        let sockets = &self.pairs[pair];
        let socket = if rtcp_port {
            &sockets.rtcp
        } else {
            &sockets.rtp
        };
        let (Ok((length, from)), Some(call)) =
            (socket.recv_from(&mut self.buffer), &mut self.calls[index])
        else {
            return;
        };
        let now = clock::now();
        let datagram = &mut self.buffer[..length];
        if let Some(forward) = call.anchor.on_packet(now, leg, rtcp_port, from, datagram) {
            let pair = call.pairs[forward.leg.index()];
            send(&self.pairs[pair].rtp, datagram, forward.to);
        }
        self.settle(now, index);
    }

    fn meet_deadlines(&mut self) {
        let now = clock::now();
        while let Some(index) = self.timers.pop_due(now) {
            if let Some(call) = &mut self.calls[index] {
                call.armed = None;
                call.anchor.on_deadline(now);
                self.settle(now, index);
            }
        }
    }

    /// After any input to a call: what it sends, what it tells, when it wants to be woken.
    fn settle(&mut self, now: Instant, index: usize) {
        let Some(call) = &mut self.calls[index] else {
            return;
        };
        while let Some(sent) = call.anchor.poll_transmit(now, &mut self.buffer) {
            let pair = call.pairs[sent.leg.index()];
            send(&self.pairs[pair].rtp, &self.buffer[..sent.length], sent.to);
        }
        if let Some(due) = call.anchor.next_deadline()
            && call.armed.is_none_or(|armed| due < armed)
        {
            call.armed = Some(due);
            self.timers.set(index, due);
        }
        self.offer(index);
    }

    /// Tells a call's facts as long as there is room; a closed call that has told all is forgotten.
    fn offer(&mut self, index: usize) {
        let Some(call) = &mut self.calls[index] else {
            return;
        };
        while self.held.is_empty() {
            let Some(fact) = call.anchor.poll_fact() else {
                self.keeping.remove(&index);
                if call.anchor.is_closed() {
                    self.by_key.remove(&call.key);
                    self.calls[index] = None;
                }
                return;
            };
            self.told = true;
            if let Err(TrySendError::Full(fact)) = self.rings.facts.try_send((call.key, fact)) {
                self.held.push_back(fact);
            }
        }
        self.keeping.insert(index);
    }

    /// Offers again what found no room, and wakes the control thread if there is news.
    fn tell(&mut self) {
        while let Some(fact) = self.held.pop_front() {
            self.told = true;
            if let Err(TrySendError::Full(fact)) = self.rings.facts.try_send(fact) {
                self.held.push_front(fact);
                break;
            }
        }
        while self.held.is_empty()
            && let Some(index) = self.keeping.pop_first()
        {
            self.offer(index);
        }
        if std::mem::take(&mut self.told) {
            self.rings.facts_wake.wake();
        }
    }
}

/// What cannot be sent at once is lost, as on any network.
fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) {
    let _ = socket.send_to(datagram, to);
}
