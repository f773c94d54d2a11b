//! Which RTP ports are free. The media threads bound them; the engine lends them, two pairs a call.
//!
//! A pair that comes back waits at the end of the line, so that a late packet of the old call finds no new one.

use super::doors::PortPair;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Free port pairs by media thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPool {
    free: Vec<VecDeque<PortPair>>,
    total: usize,
}

impl PortPool {
    /// Takes on pairs that a media thread has bound.
    pub fn add(&mut self, pairs: impl IntoIterator<Item = PortPair>) {
        for pair in pairs {
            self.total += 1;
            self.give_back(pair);
        }
    }

    /// Lends two pairs of one thread, the one with the most free pairs. `None`: 503.
    pub fn lease(&mut self) -> Option<[PortPair; 2]> {
        // The first of several equal ones: the order is the same in every run.
        let line = self.free.iter_mut().rev().max_by_key(|line| line.len())?;
        if line.len() < 2 {
            return None;
        }
        Some([line.pop_front()?, line.pop_front()?])
    }

    /// Takes a pair back.
    pub fn give_back(&mut self, pair: PortPair) {
        let thread = usize::from(pair.thread);
        if self.free.len() <= thread {
            self.free.resize(thread + 1, VecDeque::new());
        }
        self.free[thread].push_back(pair);
    }

    /// Pairs that are free now.
    pub fn free(&self) -> usize {
        self.free.iter().map(VecDeque::len).sum()
    }

    /// Pairs there are.
    pub fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(thread: u16, rtp: u16) -> PortPair {
        PortPair { thread, rtp }
    }

    #[test]
    fn both_pairs_of_a_call_are_of_one_thread_and_the_emptier_thread_is_taken() {
        let mut pool = PortPool::default();
        pool.add([
            pair(0, 10),
            pair(0, 12),
            pair(1, 20),
            pair(1, 22),
            pair(1, 24),
        ]);
        assert_eq!(pool.lease(), Some([pair(1, 20), pair(1, 22)]));
        assert_eq!(pool.lease(), Some([pair(0, 10), pair(0, 12)]));
        assert_eq!(pool.lease(), None, "one pair is no call");
        pool.give_back(pair(1, 20));
        assert_eq!(
            pool.lease(),
            Some([pair(1, 24), pair(1, 20)]),
            "the last one back waits longest"
        );
        assert_eq!((pool.free(), pool.total()), (0, 5));
    }
}
