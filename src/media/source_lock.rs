//! Which address a leg's packets come from: the lock on the first one that fits.
//!
//! Behind NAT the SDP's address is often not the sender's, so the first valid packet decides, and
//! what comes from elsewhere is dropped. A stranger may be first; so the exact address of the SDP
//! takes the lock over for a while. It never decides what a valid packet is.
//!
//! Source: latching as in RFC 7362 §4 (its risks: §5), bounded as said here.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::time::Instant;

/// For so long after a stranger was latched the SDP's own address takes the lock over.
pub const TAKEOVER_WITHIN: Duration = Duration::from_secs(5);

/// One leg's lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceLock {
    announced: Option<SocketAddr>,
    latched: Option<Latch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Latch {
    source: SocketAddr,
    since: Instant,
}

/// What the lock says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is from the source.
    Admitted,
    /// Nothing is latched, and this packet may not latch.
    Unlatched,
    /// It is from elsewhere.
    Stranger,
}

impl SourceLock {
    /// Forgets the source and learns it afresh; `announced` is the address in the peer's SDP.
    pub fn learn(&mut self, announced: Option<SocketAddr>) {
        *self = SourceLock {
            announced,
            latched: None,
        };
    }

    /// Judges a packet. Only one with a known payload type (`valid`) can latch or take over.
    pub fn admit(&mut self, now: Instant, from: SocketAddr, valid: bool) -> Admission {
        match self.latched {
            Some(latch) if latch.source == from => Admission::Admitted,
            Some(latch) if !(valid && self.takes_over(now, from, latch)) => Admission::Stranger,
            None if !valid => Admission::Unlatched,
            _ => {
                self.latched = Some(Latch {
                    source: from,
                    since: now,
                });
                Admission::Admitted
            }
        }
    }

    /// Where packets for this peer go: the latched source, before that the SDP's address.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.latched.map(|latch| latch.source).or(self.announced)
    }

    fn takes_over(&self, now: Instant, from: SocketAddr, latch: Latch) -> bool {
        self.announced == Some(from) && now - latch.since <= TAKEOVER_WITHIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
    const NAT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2);
    const THIRD: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn lock() -> SourceLock {
        let mut lock = SourceLock::default();
        lock.learn(Some(SDP));
        lock
    }

    #[test]
    fn the_first_valid_packet_latches_and_others_are_strangers() {
        let mut lock = lock();
        assert_eq!(lock.destination(), Some(SDP));
        assert_eq!(lock.admit(at(0), THIRD, false), Admission::Unlatched);
        assert_eq!(lock.admit(at(1), NAT, true), Admission::Admitted);
        assert_eq!(lock.destination(), Some(NAT));
        assert_eq!(lock.admit(at(2), THIRD, true), Admission::Stranger);
        assert_eq!(lock.admit(at(3), NAT, false), Admission::Admitted);
    }

    #[test]
    fn the_address_of_the_sdp_takes_over_for_five_seconds() {
        let mut early = lock();
        early.admit(at(0), NAT, true);
        assert_eq!(early.admit(at(10), SDP, false), Admission::Stranger);
        assert_eq!(early.admit(at(5_000), SDP, true), Admission::Admitted);
        assert_eq!(early.admit(at(5_001), NAT, true), Admission::Stranger);
        let mut late = lock();
        late.admit(at(0), NAT, true);
        assert_eq!(late.admit(at(5_001), SDP, true), Admission::Stranger);
    }

    #[test]
    fn a_new_sdp_is_learnt_afresh() {
        let mut lock = lock();
        lock.admit(at(0), NAT, true);
        lock.learn(Some(THIRD));
        assert_eq!(lock.destination(), Some(THIRD));
        assert_eq!(lock.admit(at(9_000), SDP, true), Admission::Admitted);
    }
}
