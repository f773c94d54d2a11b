//! One step of one transaction, and the timers that make steps.
//!
//! Source: RFC 3261 §17.1.1.2 (timer A doubles), §17.1.2.2 (E doubles up to T2), §17.2.1 (G too).

use super::machine::{Event, Machine};
use super::store::Transactions;
use super::table::{Effect, Timer, client};
use super::{Arrival, T2, TxId};
use crate::base::time::Instant;

impl Transactions {
    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Runs what is due. Call until it gives `None`.
    pub fn on_deadline(&mut self, now: Instant) -> Option<Arrival> {
        while let Some((tx, timer)) = self.timers.pop_due(now) {
            if let Some(arrival) = self.on_timer(now, tx, timer) {
                return Some(arrival);
            }
        }
        None
    }

    fn on_timer(&mut self, now: Instant, tx: TxId, timer: Timer) -> Option<Arrival> {
        match self.step(now, tx, Event::Timer(timer))? {
            Effect::Resend => {
                self.resend(tx);
                self.rearm(now, tx, timer);
                None
            }
            Effect::TimedOut => Some(Arrival::TimedOut { tx }),
            Effect::Unreachable => Some(Arrival::Unreachable { tx }),
            _ => None,
        }
    }

    /// The next interval of A (doubles), E and G (double up to T2; E stays at T2 in Proceeding).
    fn rearm(&mut self, now: Instant, tx: TxId, timer: Timer) {
        let Some(transaction) = self.all.get_mut(&tx) else {
            return;
        };
        let doubled = transaction.interval * 2;
        transaction.interval = match (timer, transaction.machine) {
            (Timer::A, _) => doubled,
            (Timer::E, Machine::Client(client::State::Proceeding)) => T2,
            _ => doubled.min(T2),
        };
        self.timers.set((tx, timer), now + transaction.interval);
    }

    /// Lets something happen to a transaction: its state and its timers are the next ones, the effect is up to
    /// the caller. `None` where the table has no such cell, or the transaction is gone.
    pub(super) fn step(&mut self, now: Instant, tx: TxId, event: Event) -> Option<Effect> {
        let transaction = self.all.get_mut(&tx)?;
        let before = transaction.machine;
        let Ok((next, effect)) = before.step(event) else {
            self.unexpected += 1;
            return None;
        };
        transaction.machine = next;
        let reliable = transaction.path.transport.is_reliable();
        if next.is_terminated() {
            self.forget(tx);
        } else if next.waits(reliable) != before.waits(reliable) {
            for timer in next.timers() {
                self.timers.cancel((tx, *timer));
            }
            for (timer, wait) in next.waits(reliable) {
                self.timers.set((tx, *timer), now + *wait);
            }
        }
        Some(effect)
    }
}
