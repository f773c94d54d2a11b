//! What the outside sees of the service: figures for Prometheus, readiness, the log.
//!
//! The control thread publishes a copy of its figures now and then; whoever asks reads the newest
//! copy and waits for nobody. Counts nothing itself.

mod exposition;
pub mod log;
mod process;

pub use exposition::{Format, render};

use super::trace::Watched;
use crate::hotline::figures::{Figures, Gauges};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// One moment of the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Counters and histograms.
    pub figures: Figures,
    /// What holds now.
    pub gauges: Gauges,
    /// How much was seen by those who watch the SIP messages.
    pub watched: Watched,
    /// Whether new calls are taken.
    pub readiness: Readiness,
}

/// Whether new calls are taken, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// They are.
    Ready,
    /// Not yet: ports are not bound, or the store is not open.
    Starting,
    /// Not any more: the service ends when the running calls have.
    Draining,
    /// Not now: records cannot be written.
    StoreFailing,
    /// Not now: a media thread or the store is behind.
    Behind,
}

impl Readiness {
    /// For people and logs.
    pub const fn reason(self) -> &'static str {
        match self {
            Readiness::Ready => "ready",
            Readiness::Starting => "starting: no port is bound or no store is open yet",
            Readiness::Draining => "draining: no new calls are taken",
            Readiness::StoreFailing => "the store cannot write records",
            Readiness::Behind => "falling behind: new calls are refused",
        }
    }
}

/// The newest snapshot. Readers never hold up the one who publishes.
#[derive(Debug)]
pub struct Published(ArcSwap<Snapshot>);

impl Published {
    /// Begins with this one.
    pub fn new(first: Snapshot) -> Self {
        Published(ArcSwap::from_pointee(first))
    }

    /// Puts a newer one in its place.
    pub fn publish(&self, newer: Snapshot) {
        self.0.store(Arc::new(newer));
    }

    /// The newest.
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }
}
