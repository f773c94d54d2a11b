//! Sequence numbers as they come in: where a packet belongs, how many never came.
//!
//! It decides nothing about a packet's fate. Source: RFC 3550 appendices A.1 and A.3. Other than
//! A.1 it trusts the first packet: a call has no time for a probation.

/// A jump ahead of this many numbers or more is a restarted source, not loss (RFC 3550 A.1).
const DROPOUT_MAX: u16 = 3_000;

/// A packet this far behind or further is a restarted source, not a late one (RFC 3550 A.1).
const MISORDER_MAX: u16 = 100;

/// Duplicates are told from late packets within this many numbers; further back all count as too late.
pub const REORDER_WINDOW: u32 = 64;

/// Where a packet belongs in its source's sequence. Numbers are extended to 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Ahead of all before it.
    Next(u32),
    /// Overtaken by others, and not seen yet.
    Late(u32),
    /// Seen already, or too far behind to tell.
    Duplicate,
    /// A wild jump. If the next packet goes on from here, the source has restarted.
    Wild,
    /// The second packet after a wild jump: a new sequence begins.
    Restarted(u32),
}

/// The sequence of one source.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    /// The highest extended number: cycles in the upper half.
    highest: u32,
    /// The first number.
    base: u32,
    /// Packets that came, duplicates too.
    received: u32,
    /// Bit n: `highest - n` came.
    seen: u64,
    /// The number that would confirm a restart.
    wild_next: Option<u16>,
}

impl Sequence {
    /// Begins with a source's first packet.
    pub fn begin(first: u16) -> Self {
        // A cycle ahead, so that late packets of before have numbers too.
        let first = u32::from(first) + (1 << 16);
        Sequence {
            highest: first,
            base: first,
            received: 1,
            seen: 1,
            wild_next: None,
        }
    }

    /// The highest number so far, extended.
    pub fn highest(&self) -> u32 {
        self.highest
    }

    /// Finds the place of one more packet.
    pub fn place(&mut self, number: u16) -> Place {
        let ahead = number.wrapping_sub(self.highest as u16);
        let behind = ahead.wrapping_neg();
        if ahead > 0 && ahead < DROPOUT_MAX {
            self.advance(u32::from(ahead))
        } else if behind < MISORDER_MAX {
            self.fall_back(u32::from(behind))
        } else if self.wild_next == Some(number) {
            *self = Sequence::begin(number);
            Place::Restarted(self.highest)
        } else {
            self.wild_next = Some(number.wrapping_add(1));
            Place::Wild
        }
    }

    /// Packets that never came: expected less received. Negative when more came twice than none.
    pub fn lost(&self) -> i32 {
        let expected = self.highest.wrapping_sub(self.base).wrapping_add(1);
        expected.wrapping_sub(self.received) as i32
    }

    fn advance(&mut self, by: u32) -> Place {
        self.received = self.received.wrapping_add(1);
        self.wild_next = None;
        self.highest = self.highest.wrapping_add(by);
        self.seen = self.seen.checked_shl(by).unwrap_or(0) | 1;
        Place::Next(self.highest)
    }

    fn fall_back(&mut self, by: u32) -> Place {
        self.received = self.received.wrapping_add(1);
        let came = 1u64.checked_shl(by).unwrap_or(0);
        if by >= REORDER_WINDOW || self.seen & came != 0 {
            return Place::Duplicate;
        }
        self.seen |= came;
        Place::Late(self.highest.wrapping_sub(by))
    }
}

/// Packet counters of one leg since they were last taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// RTP packets accepted from the peer.
    pub received: u32,
    /// RTP packets sent to the peer, prompts included.
    pub sent: u32,
    /// Audio packets accepted from the peer.
    pub audio: u32,
    /// Packets that never came.
    pub lost: i32,
    /// Not RTP, or an unknown payload type.
    pub dropped_malformed: u32,
    /// Not from the latched source.
    pub dropped_source: u32,
    /// No place to send it.
    pub dropped_no_route: u32,
    /// From before a splice, or seen already.
    pub dropped_late: u32,
    /// RTCP packets.
    pub rtcp: u32,
}

/// Loss over the life of a leg, whose source may restart, told piece by piece.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loss {
    /// Of sources that ended.
    ended: i32,
    /// What was told already.
    told: i32,
}

impl Loss {
    /// Adds up a source that has ended.
    pub fn end(&mut self, lost: i32) {
        self.ended = self.ended.wrapping_add(lost);
    }

    /// Loss since it was last taken; `current` is the loss of the source that goes on.
    pub fn take(&mut self, current: i32) -> i32 {
        let total = self.ended.wrapping_add(current);
        let since = total.wrapping_sub(self.told);
        self.told = total;
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_counts_gaps_and_late_packets_take_it_back() {
        let mut sequence = Sequence::begin(65_534);
        for number in [65_535, 0, 3, 4] {
            assert!(matches!(sequence.place(number), Place::Next(_)));
        }
        assert_eq!(sequence.lost(), 2);
        assert_eq!(sequence.place(2), Place::Late((2 << 16) + 2));
        assert_eq!(sequence.lost(), 1);
        assert_eq!(sequence.place(2), Place::Duplicate);
        assert_eq!(sequence.lost(), 0);
    }

    #[test]
    fn a_wild_jump_is_believed_the_second_time() {
        let mut sequence = Sequence::begin(10);
        assert_eq!(sequence.place(30_000), Place::Wild);
        assert_eq!(sequence.place(11), Place::Next((1 << 16) + 11));
        assert_eq!(sequence.place(30_001), Place::Wild);
        assert_eq!(sequence.place(30_002), Place::Restarted((1 << 16) + 30_002));
        assert_eq!(sequence.lost(), 0);
    }

    #[test]
    fn what_is_too_late_to_tell_is_no_place_to_go() {
        let mut sequence = Sequence::begin(100);
        assert!(matches!(sequence.place(180), Place::Next(_)));
        assert_eq!(sequence.place(100), Place::Duplicate);
        assert!(matches!(sequence.place(117), Place::Late(_)));
        assert_eq!(sequence.place(116), Place::Duplicate);
    }

    #[test]
    fn loss_is_told_once() {
        let mut loss = Loss::default();
        assert_eq!(loss.take(3), 3);
        assert_eq!(loss.take(2), -1);
        loss.end(2);
        assert_eq!(loss.take(5), 5);
        assert_eq!(loss.take(5), 0);
    }
}
