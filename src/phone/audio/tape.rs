//! What a phone heard, as samples on a grid of arrival time.
//!
//! Decides where a packet's samples belong: the first of a stream where it arrived, the next ones by their time stamps, so that
//! jitter does not tear them; where a stamp is further off than [`LATE_SAMPLES_MAX`] or [`EARLY_SAMPLES_MAX`], arrival wins. Gaps
//! are silence.
//! Source: RFC 3550 §5.1 (time stamps).

use super::{SAMPLE_RATE, time_of};
use crate::base::codec::Codec;
use crate::base::time::Instant;
use crate::media::codec::g711;

/// Longest recording of one call: half an hour. What comes later is not kept.
const SAMPLES_MAX: usize = SAMPLE_RATE as usize * 60 * 30;

/// How late a packet may be and still be put where its stamp says: 250 ms, a sender's thread that did not run.
const LATE_SAMPLES_MAX: i64 = 2_000;

/// How early it may be: 60 ms, the lateness of the packet that the others are measured by.
const EARLY_SAMPLES_MAX: i64 = 480;

/// What was heard in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The time of the first sample: the first media of the call, or its first packet.
    pub began_at: Instant,
    /// 8 kHz, 16 bit, mono; sample `n` was heard `n` × 125 µs after the first.
    pub samples: Vec<i16>,
}

/// A recording that goes on.
#[derive(Clone, Debug)]
pub(super) struct Tape {
    recording: Recording,
    anchor: Option<Anchor>,
}

/// A packet whose place is known.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    ssrc: u32,
    timestamp: u32,
    position: i64,
}

impl Tape {
    pub fn new(now: Instant) -> Tape {
        let samples = Vec::new();
        Tape {
            recording: Recording {
                began_at: now,
                samples,
            },
            anchor: None,
        }
    }

    /// Takes the audio of one packet.
    pub fn on_audio(
        &mut self,
        now: Instant,
        ssrc: u32,
        timestamp: u32,
        codec: Codec,
        payload: &[u8],
    ) {
        let arrival = self.position_at(now);
        let by_stamp = self
            .anchor
            .filter(|anchor| anchor.ssrc == ssrc)
            .map(|anchor| {
                let ahead = timestamp.wrapping_sub(anchor.timestamp) as i32;
                anchor.position + i64::from(ahead)
            });
        let bounds = arrival - LATE_SAMPLES_MAX..=arrival + EARLY_SAMPLES_MAX;
        let position = by_stamp.filter(|at| bounds.contains(at));
        let position = position.unwrap_or(arrival);
        self.anchor = Some(Anchor {
            ssrc,
            timestamp,
            position,
        });
        for (at, byte) in (position..).zip(payload) {
            self.put(at, g711::decode(codec, *byte));
        }
    }

    fn put(&mut self, at: i64, sample: i16) {
        let Some(at) = usize::try_from(at).ok().filter(|at| *at < SAMPLES_MAX) else {
            return;
        };
        let samples = &mut self.recording.samples;
        if at >= samples.len() {
            samples.resize(at + 1, 0);
        }
        if let Some(place) = samples.get_mut(at) {
            *place = sample;
        }
    }

    fn position_at(&self, now: Instant) -> i64 {
        (now.since(self.recording.began_at).as_micros() / 125) as i64
    }

    /// The recording up to now.
    pub fn finish(mut self, now: Instant) -> Recording {
        let until = self.position_at(now).clamp(0, SAMPLES_MAX as i64) as usize;
        let samples = &mut self.recording.samples;
        samples.resize(until.max(samples.len()), 0);
        self.recording
    }
}

impl Recording {
    /// The samples between two instants; silence where nothing was recorded.
    pub fn between(&self, from: Instant, to: Instant) -> &[i16] {
        let index = |at: Instant| {
            let index = (at.since(self.began_at).as_micros() / 125) as usize;
            index.min(self.samples.len())
        };
        self.samples.get(index(from)..index(to)).unwrap_or_default()
    }

    /// The instant of a sample.
    pub fn instant_of(&self, sample: usize) -> Instant {
        self.began_at + time_of(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: u8 = 0xaa;
    const SAMPLE: i16 = 32_256;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(10_000 + millis)
    }

    /// Frames that arrive at these milliseconds with these stamps, and where the tape is not silent.
    fn spans(frames: &[(u64, u32, u32)]) -> Vec<(usize, usize)> {
        let mut tape = Tape::new(at(0));
        for (millis, ssrc, timestamp) in frames {
            tape.on_audio(at(*millis), *ssrc, *timestamp, Codec::Pcma, &[LOUD; 160]);
        }
        let samples = tape.finish(at(1_000)).samples;
        assert_eq!(samples.len(), 8_000);
        let mut spans: Vec<(usize, usize)> = Vec::new();
        for (n, sample) in samples.into_iter().enumerate() {
            match spans.last_mut() {
                _ if sample != SAMPLE => {}
                Some((_, end)) if *end == n => *end += 1,
                _ => spans.push((n, n + 1)),
            }
        }
        spans
    }

    #[test]
    fn jitter_and_disorder_do_not_tear_a_stream() {
        let frames = [
            (100, 1, 1_000),
            (115, 1, 1_160),
            (161, 1, 1_480),
            (162, 1, 1_320),
        ];
        assert_eq!(spans(&frames), [(800, 1_440)]);
    }

    #[test]
    fn a_lost_packet_is_a_gap_and_a_double_one_is_nothing() {
        let frames = [(0, 1, 0), (40, 1, 320), (41, 1, 320)];
        assert_eq!(spans(&frames), [(0, 160), (320, 480)]);
    }

    #[test]
    fn a_pause_without_packets_is_as_long_as_it_was() {
        let frames = [(0, 1, u32::MAX - 159), (500, 1, 3_840)];
        assert_eq!(spans(&frames), [(0, 160), (4_000, 4_160)]);
    }

    #[test]
    fn another_source_or_a_jump_of_stamps_is_placed_by_its_arrival() {
        let frames = [
            (0, 1, 0),
            (200, 2, 77),
            (220, 2, 237),
            (400, 2, 4_000_000_000),
        ];
        assert_eq!(spans(&frames), [(0, 160), (1_600, 1_920), (3_200, 3_360)]);
    }

    #[test]
    fn a_late_burst_is_put_back_and_a_later_one_is_heard_when_it_came() {
        let burst = [(0, 1, 0), (240, 1, 160), (241, 1, 320), (242, 1, 480)];
        assert_eq!(spans(&burst), [(0, 640)]);
        let jump = [(0, 1, 0), (300, 1, 160), (301, 1, 320), (320, 1, 2_560)];
        assert_eq!(spans(&jump), [(0, 160), (2_400, 2_720)]);
    }

    #[test]
    fn a_piece_is_found_by_its_time() {
        let mut tape = Tape::new(at(0));
        tape.on_audio(at(100), 1, 0, Codec::Pcma, &[LOUD; 160]);
        let recording = tape.finish(at(200));
        assert_eq!(recording.between(at(100), at(120)), [SAMPLE; 160]);
        assert!(recording.between(at(300), at(400)).is_empty());
        assert_eq!(recording.instant_of(800), at(100));
    }
}
