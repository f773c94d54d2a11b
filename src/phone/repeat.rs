//! Our 2xx to an INVITE, repeated until its ACK.
//!
//! Decides when it is sent again and when to stop hoping. Source: RFC 3261 §13.3.1.4.

use crate::base::time::Instant;
use crate::sip::transaction::{Path, T1, T2, TIMEOUT};
use std::time::Duration;

/// A 2xx whose ACK is awaited.
#[derive(Clone, Debug)]
pub(super) struct RepeatedOk {
    /// Where it goes.
    pub path: Path,
    /// The response.
    pub bytes: Vec<u8>,
    interval: Duration,
    until: Instant,
}

/// What is to be done when the repetition is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Send it again, and come back then.
    Again(Instant),
    /// No ACK in 64 × T1: the session is to be ended with BYE.
    NeverAcknowledged,
}

impl RepeatedOk {
    /// It was sent for the first time now; the next time is `now + T1`.
    pub fn new(now: Instant, path: Path, bytes: Vec<u8>) -> RepeatedOk {
        let until = now + TIMEOUT;
        RepeatedOk {
            path,
            bytes,
            interval: T1,
            until,
        }
    }

    /// The time has come: the interval doubles up to T2.
    pub fn on_due(&mut self, now: Instant) -> Repeat {
        if now >= self.until {
            return Repeat::NeverAcknowledged;
        }
        self.interval = (self.interval * 2).min(T2);
        Repeat::Again((now + self.interval).min(self.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_2xx_is_repeated_at_t1_doubling_to_t2_for_64_t1() {
        let start = Instant::from_millis(1_000);
        let path = Path {
            listener: 0,
            remote: "192.0.2.1:5060".parse().expect("an address"),
        };
        let mut ok = RepeatedOk::new(start, path, Vec::new());
        let (mut at, mut waits) = (start + T1, vec![500]);
        while let Repeat::Again(next) = ok.on_due(at) {
            waits.push(next.millis_since(at));
            at = next;
        }
        assert_eq!(
            waits,
            [
                500, 1000, 2000, 4000, 4000, 4000, 4000, 4000, 4000, 4000, 500
            ]
        );
        assert_eq!(at, start + TIMEOUT);
    }
}
