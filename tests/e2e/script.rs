//! A script of prompts as it should be heard, and finding it in what was heard.

use crate::audio::{FRAME, FRAME_S, from_alaw, is_loud, likeness, prompt, to_alaw};
use crate::rtp_end::{Packet, sound};

/// How exactly prompts are due, in seconds.
pub const DUE_TOLERANCE_S: f64 = 0.1;

/// The `after-sales` script of R1.
pub const AFTER_SALES: [&str; 3] = [
    "silent-connected",
    "silent-can-you-hear",
    "silent-redial-other-phone",
];

/// Seconds from the answer to prompt 1 if the agent never speaks: `agent_greeting_max` + `silence_after`.
pub const FIRST_DUE_S: f64 = 7.0;

/// Seconds from the end of a prompt to the next.
pub const GAP_S: f64 = 3.0;

/// Seconds from the end of the last prompt to our BYE.
pub const HANG_UP_S: f64 = 2.0;

/// A prompt as it was heard.
#[derive(Debug)]
pub struct Heard {
    /// Its first packet in the list of packets.
    pub first: usize,
    /// Packets that carried it.
    pub packets: usize,
    /// When its first packet came.
    pub start_s: f64,
    /// When its last packet came, plus the 20 ms that it lasts.
    pub end_s: f64,
}

/// A prompt as it should sound.
pub struct Prompt {
    /// Its id.
    pub id: &'static str,
    samples: Vec<i16>,
}

impl Prompt {
    /// The shipped one of the default voice, after A-law, the last frame padded.
    pub fn of(id: &'static str) -> Self {
        let mut samples: Vec<i16> = prompt("zh-female", id)
            .iter()
            .map(|sample| from_alaw(to_alaw(*sample)))
            .collect();
        samples.resize(samples.len().next_multiple_of(FRAME), from_alaw(0xD5));
        Self { id, samples }
    }

    /// Packets that carry it.
    pub fn packets(&self) -> usize {
        self.samples.len() / FRAME
    }

    /// Frames before the first that is loud.
    fn quiet_frames(&self) -> usize {
        self.samples
            .chunks(FRAME)
            .take_while(|frame| !is_loud(frame))
            .count()
    }

    /// Finds the whole prompt at or after packet `from`.
    pub fn find(&self, packets: &[Packet], from: usize) -> Heard {
        let begin = self.begin(packets, from);
        let end = begin + self.packets();
        assert!(
            end <= packets.len(),
            "{}: only {} of {} packets",
            self.id,
            packets.len() - begin,
            self.packets()
        );
        let same = likeness(&self.samples, &sound(&packets[begin..end]));
        assert!(
            same > 0.98,
            "{}: what is heard from packet {begin} on is like it by {same:.3}",
            self.id
        );
        Heard {
            first: begin,
            packets: self.packets(),
            start_s: packets[begin].at_s,
            end_s: packets[end - 1].at_s + FRAME_S,
        }
    }

    /// The packet with which it begins: as many before the first loud one as are quiet in the file.
    pub fn begin(&self, packets: &[Packet], from: usize) -> usize {
        let loud = packets[from..]
            .iter()
            .position(|packet| is_loud(&packet.samples()))
            .unwrap_or_else(|| panic!("{}: nothing is heard after packet {from}", self.id));
        let quiet = self.quiet_frames();
        assert!(
            from + loud >= quiet,
            "{}: its beginning is missing",
            self.id
        );
        from + loud - quiet
    }
}

/// Finds all prompts, one after the other, nothing loud between or after them.
pub fn find_all(ids: &[&'static str], packets: &[Packet]) -> Vec<Heard> {
    let mut from = 0;
    let mut all = Vec::new();
    for id in ids {
        let heard = Prompt::of(id).find(packets, from);
        from = heard.first + heard.packets;
        all.push(heard);
    }
    let more = packets[from..]
        .iter()
        .position(|packet| is_loud(&packet.samples()));
    assert_eq!(more, None, "something loud after the last prompt");
    all
}

/// Each prompt at its time: the first at `first_s`, the others a gap after the end of the one before.
pub fn assert_due(heard: &[Heard], first_s: f64, gap_s: f64) {
    let mut due_s = first_s;
    for (n, prompt) in heard.iter().enumerate() {
        let late_s = prompt.start_s - due_s;
        assert!(
            late_s.abs() <= DUE_TOLERANCE_S,
            "prompt {}: {late_s:+.3} s from its time",
            n + 1
        );
        due_s = prompt.end_s + gap_s;
    }
}
