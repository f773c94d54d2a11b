//! The one RTP stream towards a leg, whatever it is made of: relayed packets, prompts, and after
//! each splice the next source.
//!
//! It decides sequence number, time stamp and marker of every packet that leaves:
//! - one SSRC; a gap of the source stays a gap, all else goes on by one, over splices too;
//! - packets that were overtaken keep their relative number; one from before a splice is refused;
//! - a time stamp is elapsed media time: at a splice by the clock, from then on by the source's own
//!   steps (jitter is no reason to change them), unless it has begun to count anew.
//!
//! It never sees a payload. Source: RFC 3550 §5.1, RFC 3551 §4.1 (marker), RFC 4733 §2.2 (an
//! event's time stamp is its beginning).

use crate::base::time::Instant;
use crate::media::rtp::Header;
use crate::media::stats::REORDER_WINDOW;
use crate::media::{FRAME_TICKS, ticks};
use std::time::Duration;

/// How far from the clock a source's own time stamps are still believed: 2 s. A packet that the network held up
/// for less was sampled when its stamp says, and a receiver's jitter buffer counts on that; a
/// source that is farther off has begun to count anew.
const BELIEVED_TICKS: i32 = 16_000;

/// How far ahead of the clock a new segment may begin: a quarter of a frame. More of it would lose less
/// behind a prompt; the rest of the 20 ms that a receiver may see is for the jitter of its first packet.
const SPLICE_AHEAD_MAX_TICKS: i32 = FRAME_TICKS as i32 / 4;

/// First values of the stream (RFC 3550 §5.1: random).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Synchronisation source.
    pub ssrc: u32,
    /// First sequence number.
    pub sequence: u16,
    /// First time stamp.
    pub timestamp: u32,
}

/// A packet of the source that is to be relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its extended sequence number.
    pub sequence: u32,
    /// Whether it was overtaken.
    pub late: bool,
    /// Its time stamp.
    pub timestamp: u32,
    /// Its marker.
    pub marker: bool,
    /// Whether it is a telephone-event.
    pub event: bool,
    /// Its audio in ticks; one frame for an event.
    pub length: u32,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It goes out with these numbers.
    Send(Slot),
    /// It is from before the last splice.
    Late,
    /// What went before it, of another origin, is not over yet: it makes room.
    Withheld,
}

/// The numbers of a packet that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Sequence number.
    pub sequence: u16,
    /// Time stamp.
    pub timestamp: u32,
    /// Marker.
    pub marker: bool,
}

/// The stream towards one leg.
#[derive(Clone, Debug)]
pub struct Outgoing {
    origin: Origin,
    sent: Option<Sent>,
    /// `None` after a splice: the next packet of the source begins a new segment.
    segment: Option<Segment>,
    /// Ours less the source's time stamps, where the source was only interrupted.
    resume: Option<u32>,
}

/// What has left already.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// When the first packet left.
    first_at: Instant,
    /// The number after the highest one.
    next_sequence: u16,
    /// The latest time stamp.
    timestamp: u32,
    /// Where that packet's audio ends.
    end: u32,
}

/// Packets of one source between two splices.
#[derive(Clone, Copy, Debug)]
struct Segment {
    first: u32,
    highest: u32,
    /// Ours less the source's.
    sequence_offset: u16,
    /// Bit n: `highest - n` was left out by us and its number given to the next one.
    left_out: u64,
    /// Ours less the source's.
    timestamp_offset: u32,
    /// Whether audio set that. An event may have begun long before the segment.
    audio_seen: bool,
    /// The source's number since which that holds, and what held before.
    anchored: (u32, u32),
    /// The running event's time stamp: the source's and ours.
    event: Option<(u32, u32)>,
}

impl Outgoing {
    /// A stream of which nothing has left.
    pub fn new(origin: Origin) -> Self {
        Outgoing {
            origin,
            sent: None,
            segment: None,
            resume: None,
        }
    }

    /// The header of a packet in this stream.
    pub fn header(&self, slot: Slot, payload_type: u8) -> Header {
        Header {
            payload_type,
            marker: slot.marker,
            sequence: slot.sequence,
            timestamp: slot.timestamp,
            ssrc: self.origin.ssrc,
        }
    }

    /// What comes next does not continue what went before: the source is another.
    pub fn splice(&mut self) {
        self.segment = None;
        self.resume = None;
    }

    /// The source is not relayed for a while: a prompt has the stream, or it has no way. When it is
    /// back its stamps mean the same times as before, however late its first packet comes.
    pub fn interrupt(&mut self) {
        if let Some(segment) = self.segment.take() {
            self.resume = Some(segment.timestamp_offset);
        }
    }

    /// The source's packet goes no further, though those around it do.
    pub fn leave_out(&mut self, sequence: u32, late: bool) {
        if let Some(segment) = &mut self.segment
            && !late
        {
            segment.advance(sequence);
            segment.left_out |= 1;
            segment.sequence_offset = segment.sequence_offset.wrapping_sub(1);
        }
    }

    /// Finds the place of a packet of the source.
    pub fn relay(&mut self, now: Instant, packet: &Upstream) -> Placement {
        let Some(mut segment) = self.segment else {
            return self.begin_segment(now, packet);
        };
        if packet.late {
            return match segment.late_slot(packet) {
                Some(slot) => {
                    self.note(now, slot, packet.length);
                    Placement::Send(slot)
                }
                None => Placement::Late,
            };
        }
        segment.advance(packet.sequence);
        let timestamp = if packet.event {
            self.event_timestamp(now, &mut segment, packet)
        } else {
            self.audio_timestamp(now, &mut segment, packet)
        };
        self.segment = Some(segment);
        let slot = Slot {
            sequence: (packet.sequence as u16).wrapping_add(segment.sequence_offset),
            timestamp,
            marker: packet.marker,
        };
        self.note(now, slot, packet.length);
        Placement::Send(slot)
    }

    /// The numbers of a prompt's frame that is due at `due`; `begins` for its first one.
    pub fn prompt(&mut self, due: Instant, begins: bool) -> Slot {
        self.interrupt();
        let slot = self.next_slot(due, begins);
        self.note(due, slot, FRAME_TICKS);
        slot
    }

    /// From when on the next frame does not run ahead of the clock.
    pub fn free_at(&self, now: Instant) -> Instant {
        let Some(sent) = self.sent else {
            return now;
        };
        let busy = ahead(sent.end, self.clock(now)).max(0);
        now + Duration::from_micros(busy as u64 * 125)
    }

    fn begin_segment(&mut self, now: Instant, packet: &Upstream) -> Placement {
        if packet.late {
            return Placement::Late;
        }
        let mut slot = self.next_slot(now, packet.marker || self.sent.is_some());
        match self.resumed(now, packet) {
            // Its time was filled by what went before.
            Some(mapped) if self.sent.is_some_and(|sent| ahead(sent.end, mapped) > 0) => {
                return Placement::Withheld;
            }
            Some(mapped) => slot.timestamp = mapped,
            None if ahead(slot.timestamp, self.clock(now)) > SPLICE_AHEAD_MAX_TICKS => {
                return Placement::Withheld;
            }
            None => {}
        }
        let timestamp_offset = slot.timestamp.wrapping_sub(packet.timestamp);
        self.segment = Some(Segment {
            first: packet.sequence,
            highest: packet.sequence,
            sequence_offset: slot.sequence.wrapping_sub(packet.sequence as u16),
            left_out: 0,
            timestamp_offset,
            audio_seen: !packet.event,
            anchored: (packet.sequence, timestamp_offset),
            event: packet.event.then_some((packet.timestamp, slot.timestamp)),
        });
        self.note(now, slot, packet.length);
        Placement::Send(slot)
    }

    /// The time stamp of a source that was only interrupted, if it is still believed.
    fn resumed(&self, now: Instant, packet: &Upstream) -> Option<u32> {
        let mapped = packet.timestamp.wrapping_add(self.resume?);
        let drift = ahead(mapped, self.clock(now));
        (!packet.event && drift.abs() <= BELIEVED_TICKS).then_some(mapped)
    }

    /// The slot after all that was sent, on the clock if that is later.
    fn next_slot(&self, now: Instant, marker: bool) -> Slot {
        Slot {
            sequence: self
                .sent
                .map_or(self.origin.sequence, |sent| sent.next_sequence),
            timestamp: self.anchor(now),
            marker,
        }
    }

    fn audio_timestamp(&self, now: Instant, segment: &mut Segment, packet: &Upstream) -> u32 {
        let mapped = packet.timestamp.wrapping_add(segment.timestamp_offset);
        let drift = ahead(mapped, self.clock(now));
        let later = self
            .sent
            .is_none_or(|sent| ahead(mapped, sent.timestamp) > 0);
        if segment.audio_seen && later && drift.abs() <= BELIEVED_TICKS {
            return mapped;
        }
        segment.audio_seen = true;
        let timestamp = self.anchor(now);
        segment.anchored = (packet.sequence, segment.timestamp_offset);
        segment.timestamp_offset = timestamp.wrapping_sub(packet.timestamp);
        timestamp
    }

    /// All packets of an event carry its beginning, so the clock is asked at the first one only.
    /// The mapping of the audio around it stays.
    fn event_timestamp(&self, now: Instant, segment: &mut Segment, packet: &Upstream) -> u32 {
        if let Some((theirs, ours)) = segment.event
            && theirs == packet.timestamp
        {
            return ours;
        }
        let mapped = packet.timestamp.wrapping_add(segment.timestamp_offset);
        let drift = ahead(mapped, self.clock(now));
        let ours = if segment.audio_seen && drift.abs() <= BELIEVED_TICKS {
            mapped
        } else {
            self.anchor(now)
        };
        segment.event = Some((packet.timestamp, ours));
        ours
    }

    /// Media time by the clock: the first time stamp and what has passed since.
    fn clock(&self, now: Instant) -> u32 {
        let elapsed = self.sent.map_or(0, |sent| ticks(now - sent.first_at));
        self.origin.timestamp.wrapping_add(elapsed)
    }

    /// The clock, but not before the end of what was sent.
    fn anchor(&self, now: Instant) -> u32 {
        let clock = self.clock(now);
        match self.sent {
            Some(sent) if ahead(sent.end, clock) > 0 => sent.end,
            _ => clock,
        }
    }

    fn note(&mut self, now: Instant, slot: Slot, length: u32) {
        let next_sequence = slot.sequence.wrapping_add(1);
        let end = slot.timestamp.wrapping_add(length);
        let sent = self.sent.get_or_insert(Sent {
            first_at: now,
            next_sequence,
            timestamp: slot.timestamp,
            end,
        });
        if next_sequence.wrapping_sub(sent.next_sequence) as i16 > 0 {
            sent.next_sequence = next_sequence;
        }
        if ahead(slot.timestamp, sent.timestamp) > 0 {
            sent.timestamp = slot.timestamp;
        }
        if ahead(end, sent.end) > 0 {
            sent.end = end;
        }
    }
}

impl Segment {
    fn advance(&mut self, sequence: u32) {
        let by = sequence.wrapping_sub(self.highest);
        self.left_out = self.left_out.checked_shl(by).unwrap_or(0);
        self.highest = sequence;
    }

    /// The numbers an overtaken packet would have had in time; `None` from before the segment.
    fn late_slot(&self, packet: &Upstream) -> Option<Slot> {
        let behind = self.highest.wrapping_sub(packet.sequence);
        if packet.sequence < self.first || behind >= REORDER_WINDOW {
            return None;
        }
        let left_out_after = (self.left_out & ((1 << behind) - 1)).count_ones() as u16;
        let timestamp = match self.event {
            Some((theirs, ours)) if packet.event && theirs == packet.timestamp => ours,
            _ => packet
                .timestamp
                .wrapping_add(self.late_offset(packet.sequence)),
        };
        Some(Slot {
            sequence: (packet.sequence as u16)
                .wrapping_add(self.sequence_offset)
                .wrapping_add(left_out_after),
            timestamp,
            marker: packet.marker,
        })
    }

    /// What held when the packet's turn was. Where the stamps were set back since, what holds now:
    /// otherwise it would be later than those which overtook it.
    fn late_offset(&self, sequence: u32) -> u32 {
        let (since, before) = self.anchored;
        if sequence < since && ahead(before, self.timestamp_offset) < 0 {
            before
        } else {
            self.timestamp_offset
        }
    }
}

/// How far `a` is ahead of `b`; negative if it is behind (RFC 1982).
fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin {
        ssrc: 1,
        sequence: 65_534,
        timestamp: u32::MAX - 100,
    };

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn audio(sequence: u32, timestamp: u32) -> Upstream {
        Upstream {
            sequence,
            late: false,
            timestamp,
            marker: false,
            event: false,
            length: 160,
        }
    }

    fn sent(placement: Placement) -> Slot {
        match placement {
            Placement::Send(slot) => slot,
            other => panic!("{other:?}"),
        }
    }

    /// Ticks since the origin's time stamp.
    fn media(slot: Slot) -> u32 {
        slot.timestamp.wrapping_sub(ORIGIN.timestamp)
    }

    #[test]
    fn gaps_stay_and_left_out_packets_leave_none() {
        let mut out = Outgoing::new(ORIGIN);
        let first = sent(out.relay(at(0), &audio(100, 0)));
        assert_eq!(
            (first.sequence, first.timestamp),
            (65_534, ORIGIN.timestamp)
        );
        assert_eq!(sent(out.relay(at(60), &audio(103, 480))).sequence, 1);
        out.leave_out(104, false);
        assert_eq!(sent(out.relay(at(100), &audio(105, 800))).sequence, 2);
        // 102 was overtaken: it keeps the number that it would have had.
        let late = Upstream {
            late: true,
            ..audio(102, 320)
        };
        let slot = sent(out.relay(at(101), &late));
        assert_eq!((slot.sequence, media(slot)), (0, 320));
    }

    #[test]
    fn a_late_packet_whose_successors_stayed_behind_is_the_last_one() {
        let mut out = Outgoing::new(ORIGIN);
        out.relay(at(0), &audio(100, 0));
        out.leave_out(102, false);
        let late = Upstream {
            late: true,
            ..audio(101, 160)
        };
        assert_eq!(sent(out.relay(at(45), &late)).sequence, 65_535);
        assert_eq!(out.prompt(at(60), true).sequence, 0);
    }

    #[test]
    fn over_a_splice_the_number_goes_on_with_the_marker() {
        let mut out = Outgoing::new(ORIGIN);
        out.relay(at(0), &audio(100, 0));
        out.splice();
        let slot = sent(out.relay(at(20), &audio(7_000, 99_999)));
        assert_eq!(
            (slot.sequence, slot.marker, media(slot)),
            (65_535, true, 160)
        );
        let late = Upstream {
            late: true,
            ..audio(6_999, 99_839)
        };
        assert_eq!(out.relay(at(21), &late), Placement::Late);
    }

    #[test]
    fn a_new_segment_makes_room_for_what_is_still_being_heard() {
        let mut out = Outgoing::new(ORIGIN);
        out.relay(at(0), &audio(1, 0));
        out.relay(at(10), &audio(2, 160));
        out.splice();
        assert_eq!(out.relay(at(11), &audio(3, 320)), Placement::Withheld);
        assert_eq!(out.free_at(at(11)), at(40));
        assert_eq!(out.relay(at(34), &audio(4, 480)), Placement::Withheld);
        let slot = sent(out.relay(at(35), &audio(5, 640)));
        assert_eq!((slot.sequence, media(slot)), (0, 320));
    }

    #[test]
    fn a_source_that_comes_back_late_keeps_its_time() {
        let mut out = Outgoing::new(ORIGIN);
        out.relay(at(0), &audio(1, 0));
        for n in 1..=5 {
            out.prompt(at(20 * n), n == 1);
        }
        // Packets 2 to 9 were held up and come at once: those of the prompt's time are left out.
        for n in 1..=5 {
            let packet = audio(1 + n, 160 * n);
            assert_eq!(out.relay(at(160), &packet), Placement::Withheld, "{n}");
        }
        let slot = sent(out.relay(at(160), &audio(7, 960)));
        assert_eq!((slot.sequence, media(slot), slot.marker), (4, 960, true));
        assert_eq!(media(sent(out.relay(at(160), &audio(8, 1_120)))), 1_120);
    }

    #[test]
    fn time_stamps_follow_the_source_until_it_counts_anew() {
        let mut out = Outgoing::new(ORIGIN);
        out.relay(at(0), &audio(1, 0));
        // Held up by 75 ms, and then all at once: the stamps say when it was sampled.
        for (sequence, timestamp) in [(2, 160), (3, 320), (4, 480), (5, 640)] {
            let slot = sent(out.relay(at(95), &audio(sequence, timestamp)));
            assert_eq!(media(slot), timestamp);
        }
        assert_eq!(media(sent(out.relay(at(100), &audio(6, 800)))), 800);
        // It counts anew: the clock decides, and its steps go on from there.
        assert_eq!(media(sent(out.relay(at(120), &audio(7, 900_000)))), 960);
        assert_eq!(media(sent(out.relay(at(140), &audio(8, 900_160)))), 1_120);
        // A source whose stamps stand still moves on by frames.
        assert_eq!(media(sent(out.relay(at(145), &audio(9, 900_160)))), 1_280);
    }

    #[test]
    fn an_event_keeps_its_beginning_and_the_audio_its_mapping() {
        let mut out = Outgoing::new(ORIGIN);
        out.relay(at(0), &audio(1, 0));
        for n in 0..10 {
            let packet = Upstream {
                event: true,
                marker: n == 0,
                ..audio(2 + n, 160)
            };
            let slot = sent(out.relay(at(20 + 20 * u64::from(n)), &packet));
            assert_eq!((media(slot), slot.marker), (160, n == 0));
        }
        assert_eq!(media(sent(out.relay(at(220), &audio(12, 1_760)))), 1_760);
    }

    /// Found by `wire_rules` over 150 seeds: a prompt ended in the midst of one event, and the next
    /// one was stamped ahead of the clock by what the first had lasted.
    #[test]
    fn an_event_that_a_splice_cut_off_does_not_date_the_next_one() {
        let mut out = Outgoing::new(ORIGIN);
        out.prompt(at(0), true);
        let event = |sequence, timestamp| Upstream {
            event: true,
            ..audio(sequence, timestamp)
        };
        // It began 100 ms before.
        assert_eq!(media(sent(out.relay(at(20), &event(6, 0)))), 160);
        assert_eq!(media(sent(out.relay(at(40), &event(7, 1_000)))), 320);
    }

    #[test]
    fn prompt_frames_follow_the_clock_of_their_deadlines() {
        let mut out = Outgoing::new(ORIGIN);
        out.relay(at(0), &audio(1, 0));
        out.relay(at(20), &audio(2, 160));
        let first = out.free_at(at(25));
        assert_eq!(first, at(40));
        let slot = out.prompt(first, true);
        assert_eq!((slot.sequence, slot.marker, media(slot)), (0, true, 320));
        let slot = out.prompt(at(60), false);
        assert_eq!((slot.sequence, slot.marker, media(slot)), (1, false, 480));
        let slot = sent(out.relay(at(83), &audio(6, 800)));
        assert_eq!((slot.sequence, slot.marker, media(slot)), (2, true, 800));
    }
}
