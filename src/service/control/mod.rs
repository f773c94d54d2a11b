//! The control thread: SIP sockets in, the engine, actions out.
//!
//! One thread owns the engine. It reads the clock, feeds inputs one by one and carries out the actions of each before
//! the next. What it cannot hand on at once (a full ring to a media thread, a full store) waits here in
//! order, and the engine is told to let no new calls in meanwhile: nothing is dropped.

mod turn;

use crate::config::Config;
use crate::engine::Engine;
use crate::service::media::MediaThreads;
use crate::service::store::StoreHandle;
use crate::service::telemetry::Published;
use crate::service::trace::Watchers;
use crate::service::transport::SipSockets;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use turn::Loop;

/// Orders that may lie in the queue; they come from signals, so a handful is plenty.
const ORDERS_MAX: usize = 16;

/// What the control thread can be told from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// No new calls; end when the running ones have ended.
    Drain,
    /// End all calls, then end.
    ShutDown,
    /// Take new calls by this configuration.
    Renew(Box<Config>),
}

/// The running control thread.
pub struct Control {
    orders: SyncSender<Order>,
    wake: Arc<OwnedFd>,
    thread: JoinHandle<Result<(), String>>,
}

impl Control {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread or descriptor could be had.
    pub fn start(
        engine: Engine,
        sockets: SipSockets,
        media: MediaThreads,
        store: StoreHandle,
        published: Arc<Published>,
        watchers: Watchers,
        drain_timeout: Duration,
    ) -> io::Result<Control> {
        let (orders, inbox) = sync_channel(ORDERS_MAX);
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let mut turn = Loop::new(
            engine,
            sockets,
            media,
            store,
            published,
            watchers,
            inbox,
            Arc::clone(&wake),
            drain_timeout,
        )?;
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                let ran = turn.run();
                // Whatever went wrong: the records are kept.
                ran.and(turn.close())
            })?;
        Ok(Control {
            orders,
            wake,
            thread,
        })
    }

    /// Gives an order; waits while the queue is full, which the thread empties each turn.
    pub fn order(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub fn join(self) -> Result<(), String> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err("the control thread panicked".to_owned()))
    }
}
