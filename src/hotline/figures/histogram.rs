//! Durations counted by size. The edges are inclusive, as Prometheus's `le` is.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which edges a histogram has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// Ringing and waiting: rings (5 s each) and the service levels lie on edges.
    Wait,
    /// Delays of signalling and of treatment.
    Delay,
    /// Conversations.
    Talk,
}

impl Scale {
    /// Upper edges in milliseconds; above the last there is one more bucket.
    pub const fn edges_ms(self) -> &'static [u32] {
        match self {
            Scale::Wait => &[
                1_000, 2_000, 3_000, 5_000, 6_000, 9_000, 10_000, 15_000, 20_000, 30_000, 45_000,
                60_000, 90_000, 120_000, 300_000,
            ],
            Scale::Delay => &[
                50, 100, 200, 300, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000,
            ],
            Scale::Talk => &[
                5_000, 10_000, 30_000, 60_000, 120_000, 180_000, 300_000, 600_000, 900_000,
                1_800_000, 3_600_000,
            ],
        }
    }
}

/// How many durations fell between which edges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    scale: Scale,
    counts: Vec<u64>,
    sum_nanos: u64,
}

impl Histogram {
    /// An empty one.
    pub fn new(scale: Scale) -> Self {
        Histogram {
            scale,
            counts: vec![0; scale.edges_ms().len() + 1],
            sum_nanos: 0,
        }
    }

    /// Counts one duration.
    pub fn observe(&mut self, duration: Duration) {
        let edges = self.scale.edges_ms();
        let bucket =
            edges.partition_point(|edge| Duration::from_millis(u64::from(*edge)) < duration);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
    }

    /// Each bucket's upper edge in seconds (the last is infinite) and its own count, not summed up.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let edges = self.scale.edges_ms().iter();
        let seconds = edges.map(|edge| f64::from(*edge) / 1_000.0);
        seconds
            .chain([f64::INFINITY])
            .zip(self.counts.iter().copied())
    }

    /// How many durations there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_nanos as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_on_an_edge_belongs_below_it() {
        let mut histogram = Histogram::new(Scale::Wait);
        histogram.observe(Duration::from_secs(10));
        histogram.observe(Duration::from_nanos(10_000_000_001));
        histogram.observe(Duration::from_secs(301));
        let filled: Vec<_> = histogram
            .buckets()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(filled, [(10.0, 1), (15.0, 1), (f64::INFINITY, 1)]);
        assert_eq!(histogram.count(), 3);
        assert!((histogram.sum_seconds() - 321.000_000_001).abs() < 1e-9);
    }

    #[test]
    fn edges_ascend() {
        for scale in [Scale::Wait, Scale::Delay, Scale::Talk] {
            assert!(scale.edges_ms().is_sorted_by(|a, b| a < b), "{scale:?}");
        }
    }
}
