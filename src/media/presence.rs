//! Whether a leg's audio packets come: the first, the stop, the return.
//!
//! It runs from the clock, so that a leg which sends nothing is found too. It never looks at what
//! the packets hold: a peer that sends silence is present. A leg that never sent is not "stopped";
//! that it is missing is for those who know when the call was answered.

use crate::base::time::Instant;
use std::time::Duration;

/// No packet for so long, from a leg that had sent some, means that its RTP stopped
/// (`hotline-rules.md`, finding one_way stopped).
pub const STOPPED_AFTER: Duration = Duration::from_secs(3);

/// One leg's presence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presence {
    /// Whether a packet came since the SDP was renewed.
    heard: bool,
    /// The last audio packet of the whole call.
    last_audio: Option<Instant>,
    /// The silence is counted from here: the last packet, or what made us wait anew.
    waiting_since: Instant,
    /// Whether stops are told: the call was answered, and the peer may send.
    watched: bool,
    stopped: bool,
}

/// What an audio packet changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// It is the first one since the SDP.
    pub first: bool,
    /// It ends a stop.
    pub resumed: bool,
}

impl Presence {
    /// The peer's SDP is known anew.
    pub fn renew(&mut self, now: Instant) {
        self.heard = false;
        self.waiting_since = now;
    }

    /// Whether a stop counts from now on.
    pub fn watch(&mut self, now: Instant, watched: bool) {
        if watched && !self.watched {
            self.waiting_since = now;
        }
        self.watched = watched;
    }

    /// An audio packet came.
    pub fn on_audio(&mut self, now: Instant) -> Change {
        let change = Change {
            first: !self.heard,
            resumed: self.stopped,
        };
        self.heard = true;
        self.stopped = false;
        self.last_audio = Some(now);
        self.waiting_since = now;
        change
    }

    /// An event came: whoever holds down a key sends no audio, and yet is there.
    pub fn on_event(&mut self, now: Instant) {
        self.waiting_since = now;
    }

    /// Tells a stop once: the instant of the last audio packet.
    pub fn poll_stopped(&mut self, now: Instant) -> Option<Instant> {
        if self.next_deadline()? > now {
            return None;
        }
        self.stopped = true;
        self.last_audio
    }

    /// When the RTP will have stopped if nothing comes.
    pub fn next_deadline(&self) -> Option<Instant> {
        let due = self.watched && !self.stopped && self.last_audio.is_some();
        due.then(|| self.waiting_since + STOPPED_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_stop_is_told_once_and_ended_by_the_next_packet() {
        let mut presence = Presence::default();
        presence.watch(at(0), true);
        assert_eq!(presence.next_deadline(), None);
        assert!(presence.on_audio(at(100)).first);
        assert_eq!(presence.poll_stopped(at(3_099)), None);
        assert_eq!(presence.next_deadline(), Some(at(3_100)));
        assert_eq!(presence.poll_stopped(at(3_100)), Some(at(100)));
        assert_eq!(presence.poll_stopped(at(9_000)), None);
        let change = presence.on_audio(at(9_500));
        assert_eq!((change.first, change.resumed), (false, true));
        assert!(!presence.on_audio(at(9_520)).resumed);
    }

    #[test]
    fn a_new_sdp_an_answer_and_a_held_key_make_us_wait_anew() {
        let mut presence = Presence::default();
        presence.on_audio(at(0));
        assert_eq!(presence.poll_stopped(at(10_000)), None, "not answered yet");
        presence.watch(at(10_000), true);
        assert_eq!(presence.next_deadline(), Some(at(13_000)));
        presence.on_event(at(11_000));
        assert_eq!(presence.next_deadline(), Some(at(14_000)));
        presence.renew(at(12_000));
        assert_eq!(presence.poll_stopped(at(15_000)), Some(at(0)));
        let change = presence.on_audio(at(16_000));
        assert_eq!((change.first, change.resumed), (true, true));
        presence.watch(at(17_000), false);
        assert_eq!(presence.poll_stopped(at(60_000)), None, "on hold");
    }
}
