//! A phone line's thread, one turn after the other: wait, read, act, send what is due.

use super::settings::{CallAudio, Calling, LineEvent, Recordings, What};
use super::sockets::{bind_rtp, is_passing, receive, watch};
use crate::base::limits::{RTP_PACKET_BYTES_MAX, SIP_MESSAGE_BYTES_MAX};
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::base::timers::Timers;
use crate::phone::audio::{Heard, Origin, Sound, Stream};
use crate::phone::{Action, CallId, Event, Input, Phone};
use crate::service::clock;
use rustix::event::{Timespec, epoll};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::Duration;

/// Sockets that are bound before a call needs them: as many calls may begin in one turn.
const SPARE_SOCKETS: usize = 4;

/// RTP datagrams of one call that are read before the others have their turn.
const BATCH: usize = 64;

/// SIP messages, and orders, that are taken before audio has its turn: each may cost most of a millisecond.
const SIP_BATCH: usize = 8;

/// How long the last answers of a stop may take.
const LAST_WORDS_MAX: Duration = Duration::from_secs(3);

/// Longest wait: orders ring a bell, so nothing depends on it.
const IDLE: Duration = Duration::from_secs(1);

/// Calls whose audio is kept after their end. Above it the oldest are forgotten.
const ENDED_MAX: usize = 100_000;

// RTP sockets have their port as token.
const SIP: u64 = 1 << 16;
const WAKE: u64 = 1 << 17;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    Dial { call: u32, calling: Box<Calling> },
    HangUp(CallId),
    Stop,
}

/// How calls sound.
pub(super) struct Audio {
    ip: IpAddr,
    sound: Sound,
    /// Of calls that were dialled with a sound of their own and have not begun.
    own_sounds: BTreeMap<u32, Sound>,
    record: bool,
    random: Random,
}

impl Audio {
    /// Its randomness is not the phone's: what is in a tag must not tell an SSRC.
    pub(super) fn new(ip: IpAddr, sound: Sound, record: bool, random: Random) -> Audio {
        Audio {
            ip,
            sound,
            own_sounds: BTreeMap::new(),
            record,
            random,
        }
    }

    fn stream(&mut self, call: CallId) -> Stream {
        let own = match call {
            CallId::Out(number) => self.own_sounds.remove(&number),
            CallId::In(_) => None,
        };
        let origin = Origin {
            ssrc: self.random.bits32(),
            sequence: self.random.bits32() as u16,
            timestamp: self.random.bits32(),
        };
        Stream::new(
            own.unwrap_or_else(|| self.sound.clone()),
            self.record,
            origin,
        )
    }
}

/// A call with its socket.
struct Leg {
    call: CallId,
    socket: UdpSocket,
    stream: Stream,
}

/// The thread's belongings.
pub(super) struct Loop {
    phone: Phone,
    sip: UdpSocket,
    audio: Audio,
    poll: OwnedFd,
    wake: OwnedFd,
    inbox: Receiver<Order>,
    outbox: SyncSender<LineEvent>,
    /// Sockets that are lent to the phone and have no call yet, by port.
    spare: BTreeMap<u16, UdpSocket>,
    /// Calls by port.
    legs: BTreeMap<u16, Leg>,
    ports: BTreeMap<CallId, u16>,
    due: Timers<u16>,
    unsent: Vec<Vec<u8>>,
    ended: Recordings,
    /// When the thread goes, whatever is left.
    leave_at: Option<Instant>,
}

impl Loop {
    pub(super) fn new(
        phone: Phone,
        sip: UdpSocket,
        audio: Audio,
        wake: OwnedFd,
        inbox: Receiver<Order>,
        outbox: SyncSender<LineEvent>,
    ) -> io::Result<Loop> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        watch(&poll, &sip, SIP)?;
        watch(&poll, &wake, WAKE)?;
        let mut turn = Loop {
            phone,
            sip,
            audio,
            poll,
            wake,
            inbox,
            outbox,
            spare: BTreeMap::new(),
            legs: BTreeMap::new(),
            ports: BTreeMap::new(),
            due: Timers::default(),
            unsent: Vec::new(),
            ended: Recordings::default(),
            leave_at: None,
        };
        turn.lend_ports();
        Ok(turn)
    }

    /// Runs until a stop is done.
    pub(super) fn run(mut self) -> Recordings {
        let mut buffer = vec![0; SIP_MESSAGE_BYTES_MAX];
        let mut events = Vec::with_capacity(256);
        while !self.is_done() {
            events.clear();
            let timeout = timespec(self.wait_time());
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.poll, spare, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "a phone line cannot wait");
                    break;
                }
            }
            for event in &events {
                match event.data.u64() {
                    WAKE => self.take_orders(),
                    SIP => self.take_sip(&mut buffer),
                    port => self.take_rtp(port as u16, &mut buffer),
                }
            }
            self.keep_time(&mut buffer[..RTP_PACKET_BYTES_MAX]);
        }
        self.close()
    }

    fn is_done(&self) -> bool {
        let Some(leave_at) = self.leave_at else {
            return false;
        };
        self.phone.calls() == 0 || clock::now() >= leave_at
    }

    fn wait_time(&self) -> Duration {
        let next = [
            self.phone.next_deadline(),
            self.due.next_deadline(),
            self.leave_at,
        ];
        let next = next.into_iter().flatten().min();
        next.map_or(IDLE, |at| (at - clock::now()).min(IDLE))
    }

    fn take_orders(&mut self) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        for _ in 0..SIP_BATCH {
            match self.inbox.try_recv() {
                Ok(Order::Dial { call, calling }) => self.dial(call, *calling),
                Ok(Order::HangUp(call)) => self.feed(Input::HangUp(call)),
                Ok(Order::Stop) => {
                    self.feed(Input::HangUpAll);
                    self.leave_at = Some(clock::now() + LAST_WORDS_MAX);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
        // There may be more of them.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn dial(&mut self, call: u32, calling: Calling) {
        if let Some(sound) = calling.sound {
            self.audio.own_sounds.insert(call, sound);
        }
        let dial = Box::new(calling.dial);
        self.feed(Input::Dial { call, dial });
        self.audio.own_sounds.remove(&call);
    }

    fn take_sip(&mut self, buffer: &mut [u8]) {
        for _ in 0..SIP_BATCH {
            let Some((remote, length)) = receive(&self.sip, buffer) else {
                return;
            };
            let bytes = buffer[..length].to_vec();
            self.feed(Input::Sip { remote, bytes });
        }
    }

    fn take_rtp(&mut self, port: u16, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            // It may have ended within this turn.
            let Some(leg) = self.legs.get_mut(&port) else {
                return;
            };
            let Some((_, length)) = receive(&leg.socket, buffer) else {
                break;
            };
            let now = clock::now();
            let (call, heard) = (leg.call, leg.stream.on_datagram(now, &buffer[..length]));
            for heard in heard.into_iter().flatten() {
                self.tell(now, call, What::Heard(heard));
            }
        }
        self.set_due(port);
    }

    /// Gives the phone one input and carries out what it wants.
    fn feed(&mut self, input: Input) {
        let now = clock::now();
        self.phone.handle(now, input);
        self.carry_out(now);
        while let Some(bytes) = self.unsent.pop() {
            self.phone.handle(now, Input::Unreachable { bytes });
            self.carry_out(now);
        }
        self.lend_ports();
    }

    fn carry_out(&mut self, now: Instant) {
        while let Some(action) = self.phone.poll_action() {
            match action {
                Action::SendSip { to, bytes } => self.send_sip(to, &bytes),
                Action::Tell { call, event } => {
                    self.on_event(now, call, &event);
                    self.tell(now, call, What::Call(event));
                }
            }
        }
    }

    /// A full socket buffer loses a message, as a network would: SIP repeats.
    fn send_sip(&mut self, to: SocketAddr, bytes: &[u8]) {
        if let Err(error) = self.sip.send_to(bytes, to)
            && !is_passing(&error)
        {
            self.unsent.push(bytes.to_vec());
        }
    }

    fn on_event(&mut self, now: Instant, call: CallId, event: &Event) {
        match event {
            Event::Began { port, .. } => self.open(call, *port),
            Event::EarlyMedia(_) => self.with_leg(call, |leg| leg.stream.listen(now)),
            Event::Answered(media) => self.with_leg(call, |leg| leg.stream.answer(now, media)),
            Event::Ended { .. } => self.close_leg(now, call),
            Event::Ringing => {}
        }
    }

    fn open(&mut self, call: CallId, port: u16) {
        let Some(socket) = self.spare.remove(&port) else {
            return;
        };
        if let Err(error) = watch(&self.poll, &socket, u64::from(port)) {
            tracing::error!(%error, "a phone line cannot hear a call");
        }
        let stream = self.audio.stream(call);
        let leg = Leg {
            call,
            socket,
            stream,
        };
        self.legs.insert(port, leg);
        self.ports.insert(call, port);
    }

    fn with_leg(&mut self, call: CallId, then: impl FnOnce(&mut Leg)) {
        if let Some(&port) = self.ports.get(&call)
            && let Some(leg) = self.legs.get_mut(&port)
        {
            then(leg);
            self.set_due(port);
        }
    }

    /// The socket is closed with its leg, and leaves the poll by that.
    fn close_leg(&mut self, now: Instant, call: CallId) {
        let Some(port) = self.ports.remove(&call) else {
            return;
        };
        self.due.cancel(port);
        let Some(leg) = self.legs.remove(&port) else {
            return;
        };
        let (stats, recording) = leg.stream.finish(now);
        if self.ended.calls.len() >= ENDED_MAX {
            self.ended.calls.drain(..ENDED_MAX / 10);
        }
        self.ended.calls.push(CallAudio {
            call,
            stats,
            recording,
        });
    }

    fn tell(&mut self, at: Instant, call: CallId, what: What) {
        if self.outbox.try_send(LineEvent { at, call, what }).is_err() {
            self.ended.events_lost += 1;
        }
    }

    /// Sends what is due, and lets the phone know the time.
    fn keep_time(&mut self, buffer: &mut [u8]) {
        let now = clock::now();
        if self.phone.next_deadline().is_some_and(|at| at <= now) {
            self.feed(Input::Deadline);
        }
        while let Some(port) = self.due.pop_due(now) {
            if let Some(leg) = self.legs.get_mut(&port) {
                let (call, heard) = (leg.call, leg.on_due(now, buffer));
                if let Some(heard) = heard {
                    self.tell(now, call, What::Heard(heard));
                }
                self.set_due(port);
            }
        }
    }

    fn set_due(&mut self, port: u16) {
        match self
            .legs
            .get(&port)
            .and_then(|leg| leg.stream.next_deadline())
        {
            Some(at) => self.due.set(port, at),
            None => self.due.cancel(port),
        }
    }

    /// Keeps some sockets ready. Where none can be had, the phone says busy.
    fn lend_ports(&mut self) {
        while self.spare.len() < SPARE_SOCKETS && self.leave_at.is_none() {
            let Ok((port, socket)) = bind_rtp(self.audio.ip) else {
                return;
            };
            self.spare.insert(port, socket);
            self.phone.handle(clock::now(), Input::Ports(vec![port]));
        }
    }

    /// Whatever call is left, was not ended by its peer in time.
    fn close(mut self) -> Recordings {
        let now = clock::now();
        let left: Vec<CallId> = self.ports.keys().copied().collect();
        for call in left {
            self.close_leg(now, call);
        }
        self.ended
    }
}

impl Leg {
    /// A packet that cannot be sent is lost, as on a network.
    fn on_due(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Heard> {
        while let Some((to, length)) = self.stream.poll_packet(now, buffer) {
            let _ = self.socket.send_to(&buffer[..length], to);
        }
        self.stream.poll_heard(now)
    }
}

fn timespec(wait: Duration) -> Timespec {
    Timespec {
        tv_sec: wait.as_secs() as i64,
        tv_nsec: wait.subsec_nanos().into(),
    }
}
