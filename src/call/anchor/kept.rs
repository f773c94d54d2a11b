//! Facts that wait to be polled, and what becomes of them when nobody polls.

use std::collections::VecDeque;

use crate::base::ids::Leg;
use crate::base::limits::MEDIA_FACTS_KEPT_MAX;
use crate::call::doors::{Fact, StreamCounts};

/// The queue of one call's facts. Counters of the same leg are merged.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept(VecDeque<Fact>);

impl Kept {
    pub fn push(&mut self, fact: Fact) {
        if let Fact::Report { leg, counts } = fact
            && self.merge(leg, &counts)
        {
            return;
        }
        let must_stay = matches!(
            fact,
            Fact::Report { .. } | Fact::PromptEnded { .. } | Fact::Closed
        );
        if must_stay || self.0.len() < MEDIA_FACTS_KEPT_MAX {
            self.0.push_back(fact);
        }
    }

    pub fn pop(&mut self) -> Option<Fact> {
        self.0.pop_front()
    }

    /// Adds counters to a report that still waits.
    fn merge(&mut self, of: Leg, more: &StreamCounts) -> bool {
        for fact in &mut self.0 {
            if let Fact::Report { leg, counts } = fact
                && *leg == of
            {
                counts.add(more);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Instant;

    #[test]
    fn reports_are_merged_and_the_end_is_never_lost() {
        let mut kept = Kept::default();
        let counts = StreamCounts {
            received: 50,
            lost: -1,
            level_max_dbov10: -300,
            ..StreamCounts::default()
        };
        for leg in [Leg::Caller, Leg::Agent, Leg::Caller] {
            kept.push(Fact::Report { leg, counts });
        }
        for n in 0..2 * MEDIA_FACTS_KEPT_MAX as u64 {
            let at = Instant::from_millis(n);
            kept.push(Fact::SpeechBegan {
                leg: Leg::Caller,
                at,
            });
        }
        kept.push(Fact::Closed);
        let all: Vec<Fact> = std::iter::from_fn(|| kept.pop()).collect();
        assert_eq!(all.len(), MEDIA_FACTS_KEPT_MAX + 1);
        assert_eq!(all.last(), Some(&Fact::Closed));
        let Fact::Report { leg, counts } = all[0] else {
            panic!("{:?}", all[0]);
        };
        assert_eq!((leg, counts.received, counts.lost), (Leg::Caller, 100, -2));
        assert_eq!(counts.level_max_dbov10, -300);
    }
}
