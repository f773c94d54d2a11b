//! One turn of the control thread after the other: wait, read, decide, act, publish.

use super::Order;
use crate::base::limits::SIP_MESSAGE_BYTES_MAX;
use crate::base::time::Instant;
use crate::call::desk::Action;
use crate::call::doors::Command;
use crate::engine::{Engine, Input};
use crate::hotline::figures::TargetGauge;
use crate::hotline::record::{CallRecord, EndedCall, WallClock};
use crate::service::clock;
use crate::service::media::{Full, MediaThreads};
use crate::service::store::StoreHandle;
use crate::service::telemetry::{Published, Readiness, Snapshot};
use crate::service::trace::Watchers;
use crate::service::transport::{SipSockets, StreamEvent};
use crate::sip::transaction::Path;
use rustix::event::{Timespec, epoll};
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// How old the published figures may be.
const PUBLISH_EVERY: Duration = Duration::from_millis(200);

/// Datagrams of one socket, messages of all connections, and facts, that are taken before the others have their turn.
const BATCH: usize = 64;

/// How often it is said that messages cannot be sent: a peer must not fill the log.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// How long the last messages of a drain are waited for once no call is up any more (T4, RFC 3261
/// §17.1.2.2): a peer that is there has answered its BYE by then, a dead one never will.
const LAST_WORDS_MAX: Duration = Duration::from_secs(5);

const WAKE: u64 = u64::MAX;
const FACTS: u64 = u64::MAX - 1;
const STREAMS: u64 = u64::MAX - 2;

/// The control thread's belongings.
pub(super) struct Loop {
    engine: Engine,
    sockets: SipSockets,
    media: MediaThreads,
    store: Option<StoreHandle>,
    published: Arc<Published>,
    watchers: Watchers,
    inbox: Receiver<Order>,
    wake: Arc<OwnedFd>,
    poll: OwnedFd,
    buffer: Vec<u8>,
    /// Commands that a media thread's ring had no room for, in order.
    commands: VecDeque<(u16, Command)>,
    /// Records that the store had no room for, in order.
    records: VecDeque<Box<CallRecord>>,
    /// Messages that could not be sent; the engine is told of each after the input that made it.
    unsent: Vec<Vec<u8>>,
    /// How many there were since the last warning, and when the next one may be.
    unsent_count: u64,
    warn_at: Instant,
    pressed: bool,
    publish_at: Instant,
    /// Targets that are down, by hotline and name.
    down: BTreeSet<(String, String)>,
    drain_timeout: Duration,
    /// When a drain turns into hanging up.
    hang_up_at: Option<Instant>,
    /// When we go whatever is left; set once a drain has no call up any more.
    leave_at: Option<Instant>,
}

impl Loop {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of the shell meet here, once"
    )]
    pub(super) fn new(
        engine: Engine,
        sockets: SipSockets,
        media: MediaThreads,
        store: StoreHandle,
        published: Arc<Published>,
        watchers: Watchers,
        inbox: Receiver<Order>,
        wake: Arc<OwnedFd>,
        drain_timeout: Duration,
    ) -> io::Result<Loop> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, socket) in sockets.udp() {
            watch(&poll, socket, u64::from(index))?;
        }
        if let Some(streams) = sockets.streams_fd() {
            watch(&poll, streams, STREAMS)?;
        }
        watch(&poll, &*wake, WAKE)?;
        watch(&poll, media.facts_fd(), FACTS)?;
        Ok(Loop {
            engine,
            sockets,
            media,
            store: Some(store),
            published,
            watchers,
            inbox,
            wake,
            poll,
            buffer: vec![0; SIP_MESSAGE_BYTES_MAX],
            commands: VecDeque::new(),
            records: VecDeque::new(),
            unsent: Vec::new(),
            unsent_count: 0,
            warn_at: clock::now(),
            pressed: false,
            publish_at: clock::now(),
            down: BTreeSet::new(),
            drain_timeout,
            hang_up_at: None,
            leave_at: None,
        })
    }

    /// Runs until a drain or shut-down is done.
    pub(super) fn run(&mut self) -> Result<(), String> {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            let timeout = timespec(self.wait_time());
            match epoll::wait(
                &self.poll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&timeout),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(format!("the control thread cannot wait: {error}")),
            }
            for event in &events {
                match event.data.u64() {
                    WAKE => self.take_orders(),
                    FACTS => self.take_facts(),
                    STREAMS => self.take_streamed(),
                    listener => self.take_datagrams(listener as u16),
                }
            }
            let now = clock::now();
            self.keep_time(now);
            self.hand_on();
            self.watchers.hand_on();
            self.publish(now);
            if self.media.has_lost_a_thread() {
                // Its calls are mute and its ports gone: better to be started anew than to go on like that.
                return Err("a media thread has died".to_owned());
            }
            if self.is_done(now) {
                self.publish_now(now);
                return Ok(());
            }
        }
    }

    /// Ends the other threads; all records are on disk afterwards.
    pub(super) fn close(&mut self) -> Result<(), String> {
        self.take_facts();
        self.sockets.close();
        let Some(store) = self.store.take() else {
            return Ok(());
        };
        while let Some(record) = self.records.pop_front() {
            if let Err(record) = store.try_put(record) {
                self.records.push_front(record);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        store.close().map_err(|unsaved| unsaved.to_string())
    }

    fn wait_time(&self) -> Duration {
        let now = clock::now();
        let behind = !self.commands.is_empty() || !self.records.is_empty();
        let soon = if behind {
            Duration::from_millis(5)
        } else {
            PUBLISH_EVERY
        };
        let due = self.engine.next_deadline().map_or(soon, |at| at - now);
        due.min(soon)
    }

    fn take_orders(&mut self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        while let Ok(order) = self.inbox.try_recv() {
            let now = clock::now();
            match order {
                Order::Drain => {
                    tracing::info!(calls = self.engine.live_calls(), "draining: no new calls");
                    self.hang_up_at.get_or_insert(now + self.drain_timeout);
                    self.feed(Input::Drain);
                }
                Order::ShutDown => self.hang_up_all(),
                Order::Renew(config) => {
                    self.sockets.renew(&config);
                    self.feed(Input::Renew(config));
                }
            }
        }
    }

    fn hang_up_all(&mut self) {
        tracing::info!(calls = self.engine.live_calls(), "ending all calls");
        self.hang_up_at = None;
        self.feed(Input::ShutDown);
    }

    fn take_facts(&mut self) {
        let facts: Vec<_> = self.media.facts().collect();
        for (call, fact) in facts {
            self.feed(Input::Media { call, fact });
        }
    }

    fn take_datagrams(&mut self, listener: u16) {
        for _ in 0..BATCH {
            let Some((path, bytes)) = self.sockets.receive(listener, &mut self.buffer) else {
                return;
            };
            let input = Input::Sip {
                path,
                bytes: bytes.to_vec(),
            };
            self.feed(input);
        }
    }

    fn take_streamed(&mut self) {
        for event in self.sockets.receive_streamed(BATCH) {
            self.feed(match event {
                StreamEvent::Message { path, bytes } => Input::Sip { path, bytes },
                StreamEvent::Unsent { bytes } => Input::SipUnreachable { bytes },
            });
        }
    }

    fn keep_time(&mut self, now: Instant) {
        if self.engine.next_deadline().is_some_and(|at| at <= now) {
            self.feed(Input::Deadline);
        }
        if self.hang_up_at.is_some_and(|at| at <= now) {
            self.hang_up_all();
        }
    }

    /// One input, and what follows from it.
    fn feed(&mut self, input: Input) {
        self.engine.handle(clock::now(), input);
        self.act();
        for _ in 0..BATCH {
            let Some(bytes) = self.unsent.pop() else {
                return;
            };
            self.engine
                .handle(clock::now(), Input::SipUnreachable { bytes });
            self.act();
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::SendSip { path, bytes } => self.send(path, &bytes),
                Action::Media { thread, command } => self.commands.push_back((thread, command)),
                Action::Record(ended) => self.keep(&ended),
            }
        }
        while let Some(message) = self.engine.poll_traced() {
            self.watchers.see(message);
        }
        self.hand_on();
    }

    fn send(&mut self, path: Path, bytes: &[u8]) {
        let Err(error) = self.sockets.send(path, bytes) else {
            return;
        };
        tracing::debug!(remote = %path.remote, %error, "a SIP message cannot be sent");
        self.unsent_count += 1;
        let now = clock::now();
        if now >= self.warn_at {
            let count = std::mem::take(&mut self.unsent_count);
            tracing::warn!(count, kind = ?error.kind(), "SIP messages cannot be sent");
            self.warn_at = now + WARN_EVERY;
        }
        self.unsent.push(bytes.to_vec());
    }

    fn keep(&mut self, ended: &EndedCall) {
        let record = ended.stamped(WallClock::new(clock::now(), jiff::Timestamp::now()));
        tracing::info!(
            call = record.id,
            hotline = record.hotline,
            outcome = record.outcome.name(),
            ended_by = record.ended_by.name(),
            ring_ms = record.ring_ms,
            talk_ms = record.talk_ms,
            prompts = record.prompts.len(),
            "call ended"
        );
        self.records.push_back(Box::new(record));
    }

    /// Hands on what waits, in order, as far as there is room; the rest presses.
    fn hand_on(&mut self) {
        while let Some((thread, command)) = self.commands.pop_front() {
            if let Err(Full(command)) = self.media.send(thread, command) {
                self.commands.push_front((thread, command));
                break;
            }
        }
        if let Some(store) = &self.store {
            while let Some(record) = self.records.pop_front() {
                if let Err(record) = store.try_put(record) {
                    self.records.push_front(record);
                    break;
                }
            }
        }
        let pressed = !self.commands.is_empty() || !self.records.is_empty();
        if pressed != self.pressed {
            self.pressed = pressed;
            tracing::warn!(
                commands = self.commands.len(),
                records = self.records.len(),
                "{}",
                if pressed {
                    "falling behind: new calls are refused"
                } else {
                    "caught up"
                }
            );
            self.engine.handle(clock::now(), Input::Pressure(pressed));
        }
    }

    fn publish(&mut self, now: Instant) {
        if now >= self.publish_at {
            self.publish_now(now);
            self.publish_at = now + PUBLISH_EVERY;
        }
    }

    /// Says which targets went down or came up.
    fn tell_of_targets(&mut self, targets: &[TargetGauge]) {
        for target in targets {
            let (hotline, agent) = (&target.hotline, &target.agent);
            let key = (hotline.clone(), agent.clone());
            if target.up && self.down.remove(&key) {
                tracing::info!(hotline, agent, "target is up again");
            } else if !target.up && self.down.insert(key) {
                tracing::warn!(hotline, agent, "target is down: new calls pass it over");
            }
        }
    }

    fn publish_now(&mut self, now: Instant) {
        let readiness = match (self.engine.is_draining(), &self.store) {
            (true, _) => Readiness::Draining,
            (_, Some(store)) if !store.is_healthy() => Readiness::StoreFailing,
            _ if self.pressed => Readiness::Behind,
            _ => Readiness::Ready,
        };
        let gauges = self.engine.gauges(now);
        self.tell_of_targets(&gauges.targets);
        self.published.publish(Snapshot {
            figures: self.engine.figures().clone(),
            gauges,
            watched: self.watchers.watched(),
            readiness,
        });
    }

    fn is_done(&mut self, now: Instant) -> bool {
        if !self.engine.is_draining() {
            return false;
        }
        if self.engine.live_calls() == 0 {
            self.leave_at.get_or_insert(now + LAST_WORDS_MAX);
        }
        let over = self.leave_at.is_some_and(|at| at <= now);
        over || (self.engine.is_idle() && self.commands.is_empty())
    }
}

fn watch(poll: &OwnedFd, source: impl std::os::fd::AsFd, token: u64) -> io::Result<()> {
    let data = epoll::EventData::new_u64(token);
    Ok(epoll::add(poll, source, data, epoll::EventFlags::IN)?)
}

fn timespec(duration: Duration) -> Timespec {
    // Rounded up to the microsecond: a wait that ends too early would spin.
    let nanos = duration.as_nanos().div_ceil(1_000) * 1_000;
    Timespec {
        tv_sec: (nanos / 1_000_000_000) as i64,
        tv_nsec: (nanos % 1_000_000_000) as i64,
    }
}
