//! Those who watch the SIP messages: the ladders of the newest calls, and a HEP collector.
//!
//! The control thread hands copies on in batches, once a turn, through bounded queues, and waits for nobody: what a queue has no room
//! for is left out and counted. Each watcher has a queue and a thread of its own, so that one that is slow harms neither calls
//! nor the other. Readers (the web) look into the ladders beside the thread that keeps them.

pub mod view;

use super::hep;
use crate::base::limits::TRACE_QUEUE_BYTES_MAX;
use crate::call::desk::Listener;
use crate::call::tracer::Traced;
use crate::config::Config;
use crate::engine::trace::{Found, Ladder, Limits, Ring};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Batches on the way to one watcher. The bytes in them have a limit of their own.
const BATCHES_MAX: usize = 1_024;

/// What a turn of the control thread saw.
pub(super) type Batch = Vec<Arc<Traced>>;

/// How much was watched, for the figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Messages that are in no ladder because their thread was behind.
    pub trace_dropped: u64,
    /// Messages that were sent to the collector.
    pub hep_sent: u64,
    /// Messages that were not: its thread was behind, or they could not be sent.
    pub hep_dropped: u64,
}

/// Counters that the threads move.
#[derive(Debug, Default)]
pub(super) struct Counters {
    trace_dropped: AtomicU64,
    pub hep_sent: AtomicU64,
    pub hep_dropped: AtomicU64,
}

/// The control thread's end.
#[derive(Debug)]
pub struct Watchers {
    queues: Vec<Queue>,
    seen: Batch,
    counters: Arc<Counters>,
}

/// The way to one watcher.
#[derive(Debug)]
struct Queue {
    batches: SyncSender<Batch>,
    /// Bytes that are on the way.
    waiting: Arc<AtomicUsize>,
    /// Moves the watcher's own counter of what was left out.
    dropped: fn(&Counters) -> &AtomicU64,
}

/// A watcher's end: gives the batches one by one.
#[derive(Debug)]
pub(super) struct Inbox {
    batches: Receiver<Batch>,
    waiting: Arc<AtomicUsize>,
}

/// The ladders, for readers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ladders {
    ring: Arc<Mutex<Ring>>,
    /// What our sockets are bound to.
    listeners: Arc<[SocketAddr]>,
    /// Whether people are masked where messages are shown.
    mask: bool,
}

/// What a reader looked for.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// This one.
    One(Ladder),
    /// None is kept.
    Unknown,
    /// More than one.
    Ambiguous,
}

/// Starts the watchers that the configuration wants. Gives the control thread's end, and the ladders if any are kept.
///
/// # Errors
/// A thread or the collector's socket could not be had.
pub fn start(config: &Config, listeners: &[Listener]) -> io::Result<(Watchers, Option<Ladders>)> {
    let mut watchers = Watchers {
        queues: Vec::new(),
        seen: Vec::new(),
        counters: Arc::default(),
    };
    let mut ladders = None;
    if config.trace.calls > 0 {
        let ring = Ring::new(Limits::ladders(config.trace.calls as usize));
        let ring = Arc::new(Mutex::new(ring));
        let inbox = watchers.open_queue(|counters| &counters.trace_dropped);
        let keeper = Arc::clone(&ring);
        let keep = move || inbox.for_each(|batch| keep(&keeper, batch));
        std::thread::Builder::new()
            .name("trace".into())
            .spawn(keep)?;
        ladders = Some(Ladders {
            ring,
            listeners: listeners.iter().map(|listener| listener.bound).collect(),
            mask: config.trace.mask,
        });
    }
    if let Some(collector) = &config.hep {
        let inbox = watchers.open_queue(|counters| &counters.hep_dropped);
        let counters = Arc::clone(&watchers.counters);
        hep::start(collector, listeners, inbox, counters)?;
    }
    Ok((watchers, ladders))
}

fn keep(ring: &Mutex<Ring>, batch: Batch) {
    let mut ring = lock(ring);
    for message in batch {
        ring.keep(message);
    }
}

fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watchers {
    fn open_queue(&mut self, dropped: fn(&Counters) -> &AtomicU64) -> Inbox {
        let (sender, batches) = sync_channel(BATCHES_MAX);
        let waiting = Arc::new(AtomicUsize::new(0));
        self.queues.push(Queue {
            batches: sender,
            waiting: Arc::clone(&waiting),
            dropped,
        });
        Inbox { batches, waiting }
    }

    /// Takes a message, to be handed on with the others of this turn.
    pub fn see(&mut self, message: Traced) {
        if !self.queues.is_empty() {
            self.seen.push(Arc::new(message));
        }
    }

    /// Hands on what this turn saw, as far as there is room.
    pub fn hand_on(&mut self) {
        if self.seen.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.seen);
        for queue in &self.queues {
            let dropped = queue.offer(&batch);
            (queue.dropped)(&self.counters).fetch_add(dropped, Relaxed);
        }
    }

    /// How much was watched so far.
    pub fn watched(&self) -> Watched {
        let counters = &self.counters;
        Watched {
            trace_dropped: counters.trace_dropped.load(Relaxed),
            hep_sent: counters.hep_sent.load(Relaxed),
            hep_dropped: counters.hep_dropped.load(Relaxed),
        }
    }
}

impl Queue {
    /// Gives how many messages there was no room for.
    fn offer(&self, batch: &Batch) -> u64 {
        let bytes = bytes_of(batch);
        let all = batch.len() as u64;
        if self.waiting.fetch_add(bytes, Relaxed) + bytes > TRACE_QUEUE_BYTES_MAX {
            self.waiting.fetch_sub(bytes, Relaxed);
            return all;
        }
        match self.batches.try_send(batch.clone()) {
            Ok(()) => 0,
            Err(_) => {
                self.waiting.fetch_sub(bytes, Relaxed);
                all
            }
        }
    }
}

impl Inbox {
    /// Every batch until the control thread has ended.
    pub(super) fn for_each(self, mut then: impl FnMut(Batch)) {
        while let Ok(batch) = self.batches.recv() {
            let bytes = bytes_of(&batch);
            then(batch);
            self.waiting.fetch_sub(bytes, Relaxed);
        }
    }
}

fn bytes_of(batch: &Batch) -> usize {
    batch.iter().map(|message| message.bytes.len()).sum()
}

impl Ladders {
    /// A copy of the one that this names; it shares the messages.
    pub fn find(&self, name: &str) -> Lookup {
        match lock(&self.ring).find(name) {
            Found::One(ladder) => Lookup::One(ladder.clone()),
            Found::Unknown => Lookup::Unknown,
            Found::Ambiguous => Lookup::Ambiguous,
        }
    }

    /// Copies of the newest.
    pub fn newest(&self, most: usize) -> Vec<Ladder> {
        lock(&self.ring).newest().take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Instant;
    use crate::hotline::figures::Direction;
    use crate::sip::transaction::Path;

    fn message(bytes: usize) -> Traced {
        Traced {
            at: Instant::ZERO,
            direction: Direction::In,
            path: Path::udp(0, "192.0.2.9:5060".parse().unwrap()),
            call_id: String::new(),
            call: None,
            bytes: vec![0; bytes],
        }
    }

    /// Two watchers of which nobody takes anything.
    fn idle() -> (Watchers, Vec<Inbox>) {
        let mut watchers = Watchers {
            queues: Vec::new(),
            seen: Vec::new(),
            counters: Arc::default(),
        };
        let inboxes = vec![
            watchers.open_queue(|counters| &counters.trace_dropped),
            watchers.open_queue(|counters| &counters.hep_dropped),
        ];
        (watchers, inboxes)
    }

    #[test]
    fn a_watcher_that_takes_nothing_costs_no_more_than_its_queue() {
        let (mut watchers, inboxes) = idle();
        let turns = TRACE_QUEUE_BYTES_MAX / 60_000 + 10;
        for _ in 0..turns {
            watchers.see(message(60_000));
            watchers.hand_on();
        }
        let watched = watchers.watched();
        assert_eq!((watched.trace_dropped, watched.hep_dropped), (10, 10));
        assert!(inboxes[0].waiting.load(Relaxed) <= TRACE_QUEUE_BYTES_MAX);
        let (mut watchers, _inboxes) = idle();
        for _ in 0..BATCHES_MAX + 3 {
            watchers.see(message(1));
            watchers.hand_on();
        }
        assert_eq!(watchers.watched().trace_dropped, 3);
    }

    #[test]
    fn one_that_takes_its_messages_gets_all_whatever_the_other_does() {
        let (mut watchers, mut inboxes) = idle();
        let inbox = inboxes.remove(0);
        let taker = std::thread::spawn(move || {
            let mut taken = 0;
            inbox.for_each(|batch| taken += batch.len());
            taken
        });
        let mut sent = 0;
        while watchers.watched().hep_dropped == 0 {
            // No faster than the taker, so that only the other queue fills.
            while watchers.queues[0].waiting.load(Relaxed) > 0 {
                std::thread::yield_now();
            }
            watchers.see(message(60_000));
            watchers.hand_on();
            sent += 1;
        }
        assert_eq!(watchers.watched().trace_dropped, 0);
        drop(watchers);
        assert_eq!(taker.join().unwrap(), sent);
    }
}
