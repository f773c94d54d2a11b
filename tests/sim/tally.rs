//! What happened in the worlds, counted: invariants that nothing ever touches prove nothing.

use std::collections::BTreeMap;

/// How often each thing happened.
#[derive(Default)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    pub fn count(&mut self, what: &'static str, holds: bool) {
        *self.0.entry(what).or_default() += u64::from(holds);
    }

    pub fn add(&mut self, other: &Tally) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    /// Things that happened less often than this.
    pub fn rarer_than(&self, times: u64) -> Vec<&'static str> {
        let rare = self.0.iter().filter(|(_, seen)| **seen < times);
        rare.map(|(what, _)| *what).collect()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (what, times) in &self.0 {
            writeln!(f, "{times:8}  {what}")?;
        }
        Ok(())
    }
}
