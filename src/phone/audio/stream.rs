//! The RTP of one call: a packet every 20 ms out, whatever comes in counted and kept.
//!
//! Decides when the next packet is due and what is in it, and what to make of one that came. It sends to where the peer's SDP
//! says and takes packets from anywhere. It reads no RTCP and sends none. Source: RFC 3550 §5.1, RFC 3551 §4.5.14.

use super::loud::Loud;
use super::sound::Sound;
use super::tape::{Recording, Tape};
use crate::base::codec::Codec;
use crate::base::time::Instant;
use crate::media::codec::g711;
use crate::media::rtp::{self, Header, Kind};
use crate::media::{FRAME, FRAME_TICKS};
use crate::phone::Media;
use std::net::SocketAddr;
use std::time::Duration;

/// A sender that is later than this (a thread that did not run) skips frames, as a phone's clock would have.
const BEHIND_MAX: Duration = Duration::from_millis(200);

/// Sources of one call that are noted; a stranger's flood of others is only counted as packets.
const SSRCS_MAX: usize = 16;

/// Where a stream's numbers start (RFC 3550 §5.1: random).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Synchronisation source.
    pub ssrc: u32,
    /// First sequence number.
    pub sequence: u16,
    /// First time stamp.
    pub timestamp: u32,
}

/// What one call's audio was, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// RTP packets sent.
    pub sent: u64,
    /// RTP packets that came.
    pub received: u64,
    /// Of them, those that are neither PCMA nor PCMU: telephone events and the like.
    pub not_audio: u64,
    /// Datagrams that are no RTP: RTCP, rubbish.
    pub not_rtp: u64,
    /// The first packet sent.
    pub first_sent_at: Option<Instant>,
    /// The first packet that came.
    pub first_received_at: Option<Instant>,
    /// The last packet that came.
    pub last_received_at: Option<Instant>,
    /// The longest time between two packets that came one after the other.
    pub longest_gap: Duration,
    /// Sources in the order in which they came, at most 16.
    pub ssrcs: Vec<u32>,
}

/// What a packet or its absence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The first packet of the call.
    FirstRtp,
    /// Something louder than -45 dBov begins.
    SoundBegan,
    /// Nothing as loud came for 700 ms.
    SoundEnded,
}

/// One call's audio.
#[derive(Clone, Debug)]
pub struct Stream {
    sound: Sound,
    record: bool,
    tape: Option<Tape>,
    loud: Loud,
    origin: Origin,
    sending: Option<Sending>,
    stats: Stats,
}

#[derive(Clone, Copy, Debug)]
struct Sending {
    to: SocketAddr,
    codec: Codec,
    due: Instant,
    /// Frames since the beginning, those that were skipped too.
    frame: u64,
}

impl Stream {
    /// A stream that waits for its call to be answered.
    pub fn new(sound: Sound, record: bool, origin: Origin) -> Stream {
        Stream {
            sound,
            record,
            tape: None,
            loud: Loud::default(),
            origin,
            sending: None,
            stats: Stats::default(),
        }
    }

    /// Audio may come from now on: the recording begins.
    pub fn listen(&mut self, now: Instant) {
        if self.record {
            self.tape.get_or_insert_with(|| Tape::new(now));
        }
    }

    /// The call is answered: the sound begins, if the peer listens and there is one.
    pub fn answer(&mut self, now: Instant, media: &Media) {
        self.listen(now);
        let sounds = media.to_peer && self.sound != Sound::Nothing;
        self.sending = media.remote.filter(|_| sounds).map(|to| Sending {
            to,
            codec: media.codec,
            due: now,
            frame: 0,
        });
    }

    /// When [`Self::poll_packet`] or [`Self::poll_heard`] is wanted next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let due = self.sending.map(|sending| sending.due);
        due.into_iter().chain(self.loud.deadline()).min()
    }

    /// Builds the next packet that is due, and says where it goes and how long it is. Call until it gives `None`.
    pub fn poll_packet(&mut self, now: Instant, buffer: &mut [u8]) -> Option<(SocketAddr, usize)> {
        let sending = self.sending.as_mut().filter(|sending| sending.due <= now)?;
        while now - sending.due > BEHIND_MAX {
            sending.skip();
        }
        let frame = self.sound.frame(sending.frame * u64::from(FRAME_TICKS))?;
        let payload = frame.map(|sample| g711::encode(sending.codec, sample));
        let ticks = (sending.frame as u32).wrapping_mul(FRAME_TICKS);
        let header = Header {
            payload_type: sending.codec.payload_type(),
            marker: self.stats.sent == 0,
            sequence: self.origin.sequence.wrapping_add(self.stats.sent as u16),
            timestamp: self.origin.timestamp.wrapping_add(ticks),
            ssrc: self.origin.ssrc,
        };
        let length = rtp::build(buffer, &header, &payload)?;
        sending.skip();
        self.stats.sent += 1;
        self.stats.first_sent_at.get_or_insert(now);
        Some((sending.to, length))
    }

    /// Takes a datagram. The first packet is told before a sound that begins with it.
    pub fn on_datagram(&mut self, now: Instant, datagram: &[u8]) -> [Option<Heard>; 2] {
        let packet = match rtp::demultiplex(datagram) {
            Kind::Rtp => rtp::read(datagram).ok(),
            Kind::Rtcp => None,
        };
        let Some(packet) = packet else {
            self.stats.not_rtp += 1;
            return [None, None];
        };
        let is_first = self.stats.note(now, packet.header.ssrc);
        let first = is_first.then_some(Heard::FirstRtp);
        let Some(codec) = Codec::from_payload_type(packet.header.payload_type) else {
            self.stats.not_audio += 1;
            return [first, None];
        };
        let payload = datagram.get(packet.payload).unwrap_or_default();
        self.listen(now);
        if let Some(tape) = &mut self.tape {
            let header = packet.header;
            tape.on_audio(now, header.ssrc, header.timestamp, codec, payload);
        }
        let decoded = payload.iter().map(|byte| g711::decode(codec, *byte));
        let begins = self.loud.on_audio(now, decoded);
        [first, begins.then_some(Heard::SoundBegan)]
    }

    /// What the passing of time says.
    pub fn poll_heard(&mut self, now: Instant) -> Option<Heard> {
        self.loud.on_deadline(now).then_some(Heard::SoundEnded)
    }

    /// The numbers so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The numbers and what was heard.
    pub fn finish(self, now: Instant) -> (Stats, Option<Recording>) {
        (self.stats, self.tape.map(|tape| tape.finish(now)))
    }
}

impl Sending {
    /// From the last deadline, not from `now`: a late wake-up must not stretch the sound.
    fn skip(&mut self) {
        self.due = self.due + FRAME;
        self.frame += 1;
    }
}

impl Stats {
    /// Counts a packet; `true`: it is the first.
    fn note(&mut self, now: Instant, ssrc: u32) -> bool {
        self.received += 1;
        if let Some(last) = self.last_received_at {
            self.longest_gap = self.longest_gap.max(now - last);
        }
        self.last_received_at = Some(now);
        if !self.ssrcs.contains(&ssrc) && self.ssrcs.len() < SSRCS_MAX {
            self.ssrcs.push(ssrc);
        }
        let is_first = self.first_received_at.is_none();
        self.first_received_at.get_or_insert(now);
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin {
        ssrc: 7,
        sequence: 0xffff,
        timestamp: u32::MAX - 159,
    };

    fn at(millis: u64) -> Instant {
        Instant::from_millis(1_000 + millis)
    }

    fn media(to_peer: bool) -> Media {
        Media {
            remote: "192.0.2.1:4000".parse().ok(),
            codec: Codec::Pcma,
            event: None,
            to_peer,
            from_peer: true,
        }
    }

    fn sent(stream: &mut Stream, now: Instant) -> Vec<(u16, u32, bool)> {
        let mut buffer = [0; 256];
        let mut sent = Vec::new();
        while let Some((_, length)) = stream.poll_packet(now, &mut buffer) {
            let header = rtp::read(&buffer[..length]).expect("a packet").header;
            sent.push((header.sequence, header.timestamp, header.marker));
        }
        sent
    }

    #[test]
    fn a_packet_is_due_every_20_ms_from_the_answer_on() {
        let mut stream = Stream::new(Sound::Silence, false, ORIGIN);
        assert_eq!(stream.next_deadline(), None);
        stream.answer(at(0), &media(true));
        assert_eq!(sent(&mut stream, at(3)), [(0xffff, u32::MAX - 159, true)]);
        assert_eq!(
            stream.next_deadline(),
            Some(at(20)),
            "a late wake-up stretches nothing"
        );
        assert_eq!(sent(&mut stream, at(45)), [(0, 0, false), (1, 160, false)]);
        assert_eq!(stream.next_deadline(), Some(at(60)));
    }

    #[test]
    fn a_thread_that_did_not_run_leaves_a_gap_in_time_and_none_in_sequence() {
        let mut stream = Stream::new(Sound::Silence, false, ORIGIN);
        stream.answer(at(0), &media(true));
        sent(&mut stream, at(0));
        let late = sent(&mut stream, at(1_000));
        assert_eq!(late.len(), 11);
        assert_eq!(late[0], (0, 39 * 160, false));
    }

    #[test]
    fn nothing_is_sent_where_nothing_is_to_be_said_or_heard() {
        let mut mute = Stream::new(Sound::Nothing, false, ORIGIN);
        mute.answer(at(0), &media(true));
        let mut held = Stream::new(Sound::Silence, false, ORIGIN);
        held.answer(at(0), &media(false));
        for stream in [&mut mute, &mut held] {
            assert_eq!(stream.next_deadline(), None);
            assert_eq!(sent(stream, at(100)), []);
        }
    }

    #[test]
    fn what_one_stream_says_another_hears_and_counts() {
        let mut says = Stream::new(Sound::Tone(400), false, ORIGIN);
        let mut hears = Stream::new(Sound::Silence, true, ORIGIN);
        says.answer(at(0), &media(true));
        hears.listen(at(0));
        let (mut buffer, mut heard) = ([0; 256], Vec::new());
        for millis in 0..1_000 {
            while let Some((_, length)) = says.poll_packet(at(millis), &mut buffer) {
                heard.extend(hears.on_datagram(at(millis + 5), &buffer[..length]));
            }
        }
        let heard: Vec<Heard> = heard.into_iter().flatten().collect();
        assert_eq!(heard, [Heard::FirstRtp, Heard::SoundBegan]);
        assert_eq!(
            hears.next_deadline(),
            Some(at(985) + super::super::loud::HOLD)
        );
        assert_eq!(hears.poll_heard(at(1_684)), None);
        assert_eq!(hears.poll_heard(at(1_685)), Some(Heard::SoundEnded));
        let (stats, recording) = hears.finish(at(1_005));
        assert_eq!((stats.received, stats.ssrcs), (50, vec![7]));
        assert_eq!(stats.longest_gap, FRAME);
        assert_eq!(stats.first_received_at, Some(at(5)));
        let samples = recording.expect("a recording").samples;
        assert_eq!(samples.len(), 8_040);
        let said = Sound::Tone(400).frame(160).expect("a frame");
        let off = said
            .iter()
            .zip(&samples[200..])
            .map(|(a, b)| (a - b).abs())
            .max();
        assert!(off <= Some(512), "{off:?}");
    }

    #[test]
    fn events_rtcp_and_rubbish_are_counted_and_not_heard() {
        let mut stream = Stream::new(Sound::Silence, true, ORIGIN);
        let header = Header {
            payload_type: 101,
            marker: true,
            sequence: 1,
            timestamp: 1,
            ssrc: 1,
        };
        let mut event = [0; 16];
        rtp::build(&mut event, &header, &[1, 0, 0, 160]).expect("room");
        assert_eq!(
            stream.on_datagram(at(0), &event),
            [Some(Heard::FirstRtp), None]
        );
        stream.on_datagram(at(1), &[0x80, 200, 0, 6, 0, 0, 0, 1]);
        stream.on_datagram(at(2), b"hello");
        let (stats, recording) = stream.finish(at(3));
        assert_eq!((stats.received, stats.not_audio, stats.not_rtp), (1, 1, 2));
        assert_eq!(recording, None);
    }
}
