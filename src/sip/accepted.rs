//! Our 2xx to an INVITE, until its ACK.
//!
//! Decides when it is sent again, when to stop hoping, and what follows the ACK. Knows no clock and no session: its
//! owner keeps the timer and sends the BYE. Source: RFC 3261 §13.3.1.4 (repetition), §15 and §15.1.2 (BYE before the ACK).

use super::transaction::{Datagram, T1, T2, TIMEOUT, Transactions};
use crate::base::time::Instant;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A 2xx whose ACK is awaited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    ok: Datagram,
    interval: Duration,
    until: Instant,
    then: Then,
}

/// What follows the ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// The session.
    StayUp,
    /// Our BYE, which may only follow the ACK (RFC 3261 §15).
    SayBye,
    /// Nothing: the peer has said BYE.
    Nothing,
}

/// What is to be done when the repetition is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It went out again; come back then.
    Again(Instant),
    /// No ACK in 64 × T1: the session is to be ended with BYE (RFC 3261 §13.3.1.4).
    NeverAcknowledged,
    /// No ACK in 64 × T1, and none is missed: the peer has said BYE.
    Over,
}

impl Accepted {
    /// It was sent for the first time now; it is due again at `now + T1`.
    pub fn new(now: Instant, ok: Datagram) -> Accepted {
        Accepted {
            ok,
            interval: T1,
            until: now + TIMEOUT,
            then: Then::StayUp,
        }
    }

    /// The time has come: it is sent again, and the interval doubles up to T2.
    pub fn on_due(&mut self, now: Instant, transactions: &mut Transactions) -> Due {
        if now >= self.until {
            return match self.then {
                Then::Nothing => Due::Over,
                Then::StayUp | Then::SayBye => Due::NeverAcknowledged,
            };
        }
        transactions.send(self.ok.clone());
        self.interval = (self.interval * 2).min(T2);
        Due::Again((now + self.interval).min(self.until))
    }

    /// We want to end the session.
    pub fn hang_up(&mut self) {
        if self.then == Then::StayUp {
            self.then = Then::SayBye;
        }
    }

    /// The peer's BYE came first. It may have been sent on the early dialog and have crossed our 2xx; the
    /// INVITE still wants its answer (RFC 3261 §15.1.2), so the repetition goes on.
    pub fn on_bye(&mut self) {
        self.then = Then::Nothing;
    }

    /// What follows the ACK.
    pub fn then(&self) -> Then {
        self.then
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transaction::Path;

    const START: Instant = Instant::from_millis(1_000);

    fn accepted() -> Accepted {
        let path = Path::udp(0, "192.0.2.1:5060".parse().expect("an address"));
        let bytes = b"SIP/2.0 200 OK".to_vec();
        Accepted::new(START, Datagram { path, bytes })
    }

    /// The waits in milliseconds until it ends, how it ends, and how many datagrams went out.
    fn run(mut ok: Accepted) -> (Vec<u64>, Due, usize) {
        let mut transactions = Transactions::default();
        let (mut at, mut waits) = (START + T1, vec![500]);
        let end = loop {
            match ok.on_due(at, &mut transactions) {
                Due::Again(next) => {
                    waits.push(next.millis_since(at));
                    at = next;
                }
                end => break end,
            }
        };
        assert_eq!(at, START + TIMEOUT);
        let sent = std::iter::from_fn(|| transactions.poll_send()).count();
        (waits, end, sent)
    }

    #[test]
    fn a_2xx_is_repeated_at_t1_doubling_to_t2_for_64_t1() {
        let (waits, end, sent) = run(accepted());
        let expected = [
            500, 1000, 2000, 4000, 4000, 4000, 4000, 4000, 4000, 4000, 500,
        ];
        assert_eq!(waits, expected);
        assert_eq!((end, sent), (Due::NeverAcknowledged, 10));
    }

    #[test]
    fn our_bye_waits_for_the_ack_and_the_peers_makes_it_needless() {
        let mut ok = accepted();
        assert_eq!(ok.then(), Then::StayUp);
        ok.hang_up();
        assert_eq!(ok.then(), Then::SayBye);
        assert_eq!(run(ok.clone()).1, Due::NeverAcknowledged);
        ok.on_bye();
        ok.hang_up();
        assert_eq!(ok.then(), Then::Nothing);
        assert_eq!((run(ok.clone()).1, run(ok).2), (Due::Over, 10));
    }
}
