//! Which target is called next, and what the end of an attempt means: for its record, and for the caller if no other target is
//! left.
//!
//! Source: contract, "Refusals": targets are hunted in order and the last result decides.

use super::record::AttemptOutcome;
use serde::{Deserialize, Serialize};

/// How one attempt ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Defeat {
    /// A final response of 300 or above.
    Status(u16),
    /// `ring_timeout` ran out.
    RingTimeout,
    /// Not even a provisional response came within 64 × T1, or it could not be sent.
    Dead,
    /// It answered, but with nothing that a call can be made of (no usable SDP answer, no Contact).
    Unusable,
}

/// The place of the target to be called next: from `first` on, in the order of the configuration. One that is down is passed
/// over, unless all of the hotline are: then nothing is lost by trying.
pub fn next_target(up: &[bool], first: usize) -> Option<usize> {
    let all_are_down = !up.contains(&true);
    (first..up.len()).find(|place| all_are_down || up.get(*place) == Some(&true))
}

impl Defeat {
    /// The outcome that the attempt's record gets.
    pub fn outcome(self) -> AttemptOutcome {
        match self {
            Defeat::Status(486 | 600) => AttemptOutcome::Busy,
            Defeat::Status(408 | 480) | Defeat::RingTimeout => AttemptOutcome::NoAnswer,
            Defeat::Status(500..=599) | Defeat::Dead | Defeat::Unusable => AttemptOutcome::Failed,
            Defeat::Status(_) => AttemptOutcome::Refused,
        }
    }

    /// The status that the caller gets if this was the last target. A 503 is not passed on: the trunk
    /// would take it for ours (RFC 3261 §16.7, 6); a challenge or redirection is not for the caller either.
    pub fn status(self) -> u16 {
        match self {
            Defeat::Status(status @ (404 | 480 | 486 | 488 | 603)) => status,
            Defeat::Status(600) => 486,
            Defeat::Status(406 | 415 | 606) | Defeat::Unusable => 488,
            Defeat::Status(500..=599) => 500,
            Defeat::Status(_) | Defeat::RingTimeout | Defeat::Dead => 480,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_result_decides_as_the_contract_says() {
        for status in [404, 480, 486, 488, 603] {
            assert_eq!(Defeat::Status(status).status(), status);
        }
        assert_eq!(Defeat::Status(503).status(), 500);
        assert_eq!(Defeat::RingTimeout.status(), 480);
        assert_eq!(Defeat::Dead.status(), 480);
        assert_eq!(Defeat::Status(302).status(), 480);
        assert_eq!(Defeat::Status(407).status(), 480);
    }

    #[test]
    fn targets_that_are_down_are_passed_over_unless_all_are() {
        let hunted = |up: &[bool]| {
            let mut places = Vec::new();
            let mut first = 0;
            while let Some(place) = next_target(up, first) {
                places.push(place);
                first = place + 1;
            }
            places
        };
        assert_eq!(hunted(&[true, true, true]), [0, 1, 2]);
        assert_eq!(hunted(&[false, true, false, true]), [1, 3]);
        assert_eq!(hunted(&[false, false]), [0, 1]);
        assert_eq!(hunted(&[]), [0; 0]);
    }

    #[test]
    fn outcomes_tell_busy_from_no_answer_from_failure() {
        assert_eq!(Defeat::Status(486).outcome(), AttemptOutcome::Busy);
        assert_eq!(Defeat::RingTimeout.outcome(), AttemptOutcome::NoAnswer);
        assert_eq!(Defeat::Status(603).outcome(), AttemptOutcome::Refused);
        assert_eq!(Defeat::Dead.outcome(), AttemptOutcome::Failed);
    }
}
