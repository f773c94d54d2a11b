//! The network: loss, bursts of loss, duplication, delay and with it reordering.
//!
//! It is fair: the same message is lost at most [`LOST_MAX`] times outside of bursts, and bursts are short, so that
//! whatever is repeated by RFC 3261's timers arrives in the end. What must never happen can so be asked without "almost".

use crate::chance::Chance;
use qingjiang::base::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often one message may be lost outside of bursts.
const LOST_MAX: u32 = 4;

/// What a world's network is like.
#[derive(Clone, Debug)]
pub struct Weather {
    pub loss_percent: u32,
    pub twin_percent: u32,
    pub delay_ms: (u32, u32),
    /// From, to: everything is lost.
    pub bursts: Vec<(Instant, Instant)>,
}

impl Weather {
    /// Delays stay below 450 ms: no copy outlives the 5 s for which RFC 3261 remembers (timer I).
    pub fn draw(chance: &mut Chance) -> Weather {
        let burst = |chance: &mut Chance| {
            let from = Instant::ZERO + chance.ms(1_000, 120_000);
            (from, from + chance.ms(200, 5_000))
        };
        let bursts = chance.pick(&[0, 0, 1, 2]);
        Weather {
            loss_percent: chance.pick(&[0, 0, 3, 10, 30]),
            twin_percent: chance.pick(&[0, 2, 20]),
            delay_ms: chance.pick(&[(1, 2), (5, 40), (1, 150), (1, 440)]),
            bursts: (0..bursts).map(|_| burst(chance)).collect(),
        }
    }
}

pub struct Net {
    weather: Weather,
    chance: Chance,
    lost: BTreeMap<Vec<u8>, u32>,
}

impl Net {
    pub fn new(weather: Weather, chance: Chance) -> Net {
        let lost = BTreeMap::new();
        Net {
            weather,
            chance,
            lost,
        }
    }

    /// When the copies of a datagram arrive; none if it is lost.
    pub fn carry(&mut self, now: Instant, bytes: &[u8]) -> Vec<Instant> {
        let is_burst = |(from, to): &(Instant, Instant)| (*from..*to).contains(&now);
        if self.weather.bursts.iter().any(is_burst) || self.loses(bytes) {
            return Vec::new();
        }
        let copies = 1 + usize::from(self.chance.percent(self.weather.twin_percent));
        let (low, high) = self.weather.delay_ms;
        (0..copies)
            .map(|_| now + self.chance.ms(low, high))
            .collect()
    }

    fn loses(&mut self, bytes: &[u8]) -> bool {
        if !self.chance.percent(self.weather.loss_percent) {
            return false;
        }
        let lost = self.lost.entry(without_via(bytes)).or_default();
        *lost += 1;
        *lost <= LOST_MAX
    }
}

/// What repetitions of a message share, also those with a branch of their own (an ACK of a repeated 200).
fn without_via(bytes: &[u8]) -> Vec<u8> {
    let is_via = |line: &&[u8]| line.starts_with(b"Via:");
    let lines = bytes.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !is_via(line))
        .flatten()
        .copied()
        .collect()
}

/// RFC 3261's repetition of a message over UDP, written again for the peers of these worlds.
#[derive(Clone, Debug)]
pub struct Repeat {
    pub bytes: Vec<u8>,
    interval: Duration,
    interval_max: Duration,
    until: Instant,
}

pub const T1: Duration = Duration::from_millis(500);
pub const T2: Duration = Duration::from_secs(4);
pub const GIVE_UP: Duration = Duration::from_secs(32);

impl Repeat {
    /// An INVITE: the intervals double without end (timers A and B).
    pub fn invite(now: Instant, bytes: Vec<u8>) -> Repeat {
        Repeat {
            interval_max: GIVE_UP,
            ..Repeat::other(now, bytes)
        }
    }

    /// Anything else: they double up to T2 (timers E and F, G and H, the 200's repetition).
    pub fn other(now: Instant, bytes: Vec<u8>) -> Repeat {
        Repeat {
            bytes,
            interval: T1,
            interval_max: T2,
            until: now + GIVE_UP,
        }
    }

    /// When it wants to be woken after it was sent at `now`.
    pub fn due(&self, now: Instant) -> Instant {
        (now + self.interval).min(self.until)
    }

    /// Woken: `false` if the time is over, else it is to be sent again.
    pub fn goes_on(&mut self, now: Instant) -> bool {
        self.interval = (self.interval * 2).min(self.interval_max);
        now < self.until
    }
}
