//! Goal: what a peer sees on the wire is one RTP stream for the whole call, whatever the other peer
//! sends and whatever is played in between.
//!
//! Method: two peers send for minutes of virtual time with loss, reordering, duplicates, pauses,
//! events and new SSRCs, while prompts come and go. Each packet carries its own number as payload.
//! The checker knows only what went in and what came out; its rules are written from RFC 3550 and
//! from what the receiving peer needs, not from the code.

use std::collections::{BTreeMap, BTreeSet};

use super::tests::{AGENT, CALL, CALLER, Loud, ORIGINS, at, library, stream};
use super::*;
use crate::base::random::Random;
use crate::media::rtp::{self, Header};

const PACKETS: usize = 6_000;
const EVENT_IN: u8 = 96;
const EVENT_OUT: u8 = 101;

/// A packet as its sender sent it, and when it arrived.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: Instant,
    id: u32,
    /// Counts the SSRCs.
    epoch: u32,
    /// The sequence number, not wrapped.
    index: u64,
    timestamp: u32,
    marker: bool,
    event: bool,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Prompt,
    Relayed(u32),
}

/// A packet as the peer saw it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    content: Content,
    header: Header,
}

/// A sender's state while its packets are drawn.
struct Sender {
    random: Random,
    epoch: u32,
    index: u64,
    timestamp: u32,
    /// Packets that must arrive, in a talk spurt: one that they overtake is on its way.
    overtaking: u32,
    /// Packets of the event that goes on.
    event_left: u32,
    /// Packets since the SSRC changed.
    settled: u32,
    arrivals: Vec<Arrival>,
}

impl Sender {
    fn draw(seed: u64) -> Vec<Arrival> {
        let mut sender = Sender {
            random: Random::from_number(seed),
            epoch: 0,
            index: 65_000,
            timestamp: u32::MAX - 50_000,
            overtaking: 0,
            event_left: 0,
            settled: 0,
            arrivals: Vec::new(),
        };
        let mut tick = 0;
        for id in 0..PACKETS as u32 {
            tick += sender.step(id, at(50_000 + 20 * tick));
        }
        sender
            .arrivals
            .sort_by_key(|arrival| (arrival.at, arrival.id));
        sender.arrivals
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.random.below(one_in) == 0
    }

    /// Sends one packet; how many frames the next one is away.
    fn step(&mut self, id: u32, now: Instant) -> u64 {
        let mut marker = id == 0;
        self.settled += 1;
        if self.event_left == 0 && self.settled > 10 && self.chance(300) {
            self.settled = 0;
            self.epoch += 1;
            self.index = u64::from(self.random.bits32() as u16);
            self.timestamp = self.random.bits32();
        } else if self.event_left == 0 && self.chance(300) {
            self.event_left = 8;
            marker = true;
        }
        let event = self.event_left > 0;
        let jitter = Duration::from_micros(u64::from(self.random.below(6_000)));
        let arrival = Arrival {
            at: now + jitter,
            id,
            epoch: self.epoch,
            index: self.index,
            timestamp: self.timestamp,
            marker,
            event,
        };
        self.deliver(arrival);
        self.index += 1;
        self.advance(event)
    }

    fn deliver(&mut self, arrival: Arrival) {
        if self.overtaking > 0 {
            self.overtaking -= 1;
            self.arrivals.push(arrival);
        } else if self.chance(50) {
            // Lost.
        } else if self.chance(50) && arrival.id + 4 < PACKETS as u32 {
            // The last ones have nobody who overtakes them.
            self.overtaking = 1 + self.random.below(3);
            let late = Duration::from_millis(20 * u64::from(self.overtaking) + 8);
            let at = arrival.at + late;
            self.arrivals.push(Arrival { at, ..arrival });
        } else {
            self.arrivals.push(arrival);
            if self.chance(60) {
                let at = arrival.at + Duration::from_millis(u64::from(self.random.below(50)));
                self.arrivals.push(Arrival { at, ..arrival });
            }
        }
    }

    fn advance(&mut self, event: bool) -> u64 {
        if event {
            self.event_left -= 1;
            if self.event_left == 0 {
                self.timestamp = self.timestamp.wrapping_add(8 * 160);
            }
            return 1;
        }
        let pause = self.overtaking == 0 && self.chance(200);
        let frames = 1 + if pause { self.random.below(50) } else { 0 };
        self.timestamp = self.timestamp.wrapping_add(160 * frames);
        u64::from(frames)
    }
}

/// What went in and out for one leg that receives.
struct Log {
    origin: RtpOrigin,
    /// What the other leg sent, as it arrived.
    arrivals: Vec<Arrival>,
    seen: Vec<Seen>,
    /// When prompts were asked for.
    asked: Vec<Instant>,
    takes_events: bool,
    known: Known,
}

/// What can be said of the arrivals alone.
#[derive(Default)]
struct Known {
    by_id: BTreeMap<u32, Arrival>,
    /// Ids of packets that were overtaken by later ones.
    late: BTreeSet<u32>,
    /// Places, in the order of arrival, of packets that had come before.
    twice: BTreeSet<usize>,
    /// Epoch and number of the events whose turn came.
    events: BTreeSet<(u32, u64)>,
}

impl Known {
    fn of(arrivals: &[Arrival]) -> Known {
        let mut known = Known::default();
        let mut highest = BTreeMap::new();
        let mut newest = 0;
        for (n, arrival) in arrivals.iter().enumerate() {
            newest = newest.max(arrival.epoch);
            if known.by_id.contains_key(&arrival.id) {
                known.twice.insert(n);
                continue;
            }
            known.by_id.insert(arrival.id, *arrival);
            let highest = highest.entry(arrival.epoch).or_insert(arrival.index);
            if arrival.index < *highest || arrival.epoch < newest {
                known.late.insert(arrival.id);
            } else if arrival.event {
                known.events.insert((arrival.epoch, arrival.index));
            }
            *highest = arrival.index.max(*highest);
        }
        known
    }
}

fn datagram_of(leg: Leg, arrival: &Arrival) -> Vec<u8> {
    let header = Header {
        payload_type: if arrival.event { EVENT_IN } else { 8 },
        marker: arrival.marker,
        sequence: arrival.index as u16,
        timestamp: arrival.timestamp,
        ssrc: 1_000 * (1 + leg.index() as u32) + arrival.epoch,
    };
    let mut payload = vec![0xd5; 160];
    payload[..4].copy_from_slice(&arrival.id.to_be_bytes());
    let mut datagram = vec![0; 172];
    rtp::build(&mut datagram, &header, &payload).unwrap();
    datagram
}

fn seen(now: Instant, datagram: &[u8], prompt: bool) -> Seen {
    let packet = rtp::read(datagram).unwrap();
    let payload = &datagram[packet.payload];
    let id = u32::from_be_bytes(payload[..4].try_into().unwrap());
    if !prompt {
        assert!(
            payload[4..].iter().all(|byte| *byte == 0xd5),
            "payload untouched"
        );
    }
    Seen {
        at: now,
        content: if prompt {
            Content::Prompt
        } else {
            Content::Relayed(id)
        },
        header: packet.header,
    }
}

/// Runs a call; the logs of what the caller and the agent saw.
fn run(seed: u64, takes_events: bool) -> [Log; 2] {
    let start = at(49_990);
    let mut anchor = Anchor::new(start, ORIGINS, [Loud, Loud], library());
    let event_to_peer = takes_events.then_some(EVENT_OUT);
    for (leg, address) in [(Leg::Caller, CALLER), (Leg::Agent, AGENT)] {
        let stream = Stream {
            event_to_peer,
            ..stream(address)
        };
        anchor.on_command(
            start,
            &Command::Update {
                call: CALL,
                leg,
                stream,
            },
        );
    }
    let sent = [Sender::draw(seed), Sender::draw(seed + 1_000)];
    let mut logs = [(0, 1), (1, 0)].map(|(to, from)| Log {
        origin: ORIGINS[to],
        arrivals: sent[from].clone(),
        seen: Vec::new(),
        asked: Vec::new(),
        takes_events,
        known: Known::of(&sent[from]),
    });
    let mut inputs: Vec<(Instant, Leg, Arrival)> = Vec::new();
    for leg in Leg::BOTH {
        inputs.extend(
            sent[leg.index()]
                .iter()
                .map(|arrival| (arrival.at, leg, *arrival)),
        );
    }
    inputs.sort_by_key(|(at, leg, arrival)| (*at, *leg, arrival.id));
    let mut random = Random::from_number(seed + 2_000);
    let mut play_at = at(52_000);
    for (now, leg, arrival) in inputs {
        while let Some(due) = anchor.next_deadline().filter(|due| *due <= now) {
            // Woken up to 3 ms late.
            let late = Duration::from_micros(u64::from(random.below(3_000)));
            transmit(&mut anchor, (due + late).min(now), &mut logs);
        }
        if play_at <= now {
            // A prompt replaced before its first frame would be a splice that nobody sees.
            play_at = now + Duration::from_millis(u64::from(50 + random.below(9_000)));
            let to = if random.below(2) == 0 {
                PromptTo::Both
            } else {
                PromptTo::Caller
            };
            for leg in legs_of(to) {
                logs[leg.index()].asked.push(now);
            }
            let command = Command::Play {
                call: CALL,
                play: PlayId(0),
                prompt: PromptId(random.below(2) as u16),
                to,
                unless_speech_since: now,
            };
            anchor.on_command(now, &command);
            transmit(&mut anchor, now, &mut logs);
        }
        let mut datagram = datagram_of(leg, &arrival);
        let from = [CALLER, AGENT][leg.index()];
        if let Some(forward) = anchor.on_packet(now, leg, false, from, &mut datagram) {
            logs[forward.leg.index()]
                .seen
                .push(seen(now, &datagram, false));
        }
        while anchor.poll_fact().is_some() {}
    }
    logs
}

fn transmit(anchor: &mut Anchor<Loud>, now: Instant, logs: &mut [Log; 2]) {
    let mut buffer = [0; 200];
    anchor.on_deadline(now);
    while let Some(sent) = anchor.poll_transmit(now, &mut buffer) {
        let frame = seen(now, &buffer[..sent.length], true);
        logs[sent.leg.index()].seen.push(frame);
    }
}

/// Packets of one origin that follow each other: of one SSRC without a prompt in between, or of a
/// prompt.
struct Run {
    /// `None`: a prompt.
    epoch: Option<u32>,
    packets: Vec<Seen>,
}

impl Log {
    fn arrival(&self, id: u32) -> &Arrival {
        &self.known.by_id[&id]
    }

    fn epoch(&self, seen: &Seen) -> Option<u32> {
        match seen.content {
            Content::Prompt => None,
            Content::Relayed(id) => Some(self.arrival(id).epoch),
        }
    }

    /// A prompt that replaces a prompt continues its run but for the marker.
    fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for packet in &self.seen {
            let epoch = self.epoch(packet);
            match runs.last_mut() {
                Some(run) if run.epoch == epoch => run.packets.push(*packet),
                _ => runs.push(Run {
                    epoch,
                    packets: vec![*packet],
                }),
            }
        }
        runs
    }

    /// The number of the source less those events that we kept back when their turn came.
    fn expected_index(&self, arrival: &Arrival) -> u64 {
        if self.takes_events {
            return arrival.index;
        }
        let before = (arrival.epoch, 0)..(arrival.epoch, arrival.index);
        arrival.index - self.known.events.range(before).count() as u64
    }

    /// Sequence numbers, not wrapped: the first is 100,000 more than itself.
    fn unwrapped(&self) -> Vec<i64> {
        let mut highest = 100_000 + i64::from(self.origin.sequence);
        let mut numbers = Vec::new();
        for packet in &self.seen {
            let step = packet
                .header
                .sequence
                .wrapping_sub((highest - 100_000) as u16) as i16;
            numbers.push(highest + i64::from(step));
            highest = highest.max(highest + i64::from(step));
        }
        numbers
    }

    fn check(&self) {
        self.check_one_stream();
        self.check_sequence();
        self.check_clock();
        self.check_order_of_time();
        self.check_prompts();
        self.check_nothing_is_missing();
    }

    fn check_one_stream(&self) {
        let first = &self.seen[0].header;
        assert_eq!(first.sequence, self.origin.sequence);
        assert_eq!(first.timestamp, self.origin.timestamp);
        let mut known = BTreeSet::new();
        for packet in &self.seen {
            assert_eq!(packet.header.ssrc, self.origin.ssrc);
            let Content::Relayed(id) = packet.content else {
                assert_eq!(packet.header.payload_type, 8);
                continue;
            };
            assert!(known.insert(id), "{id} twice");
            let event = self.arrival(id).event;
            let payload_type = if event { EVENT_OUT } else { 8 };
            assert_eq!(packet.header.payload_type, payload_type);
            assert!(!event || self.takes_events);
        }
    }

    /// Within a run gaps are those of the source; a run begins with the next number and a marker,
    /// and holds nothing from before.
    fn check_sequence(&self) {
        let numbers = self.unwrapped();
        let unique: BTreeSet<i64> = numbers.iter().copied().collect();
        assert_eq!(unique.len(), numbers.len(), "a number twice");
        let (mut n, mut highest) = (0, 100_000 + i64::from(self.origin.sequence) - 1);
        for run in self.runs() {
            assert_eq!(numbers[n], highest + 1, "a run goes on by one");
            let begin = (numbers[n], self.relayed(&run.packets[0]));
            assert!(
                n == 0 || run.packets[0].header.marker,
                "a run begins with a marker"
            );
            if let Some(first) = begin.1 {
                let before = self
                    .arrivals
                    .iter()
                    .filter(|other| other.epoch == first.epoch && other.at < run.packets[0].at);
                let overtakes = before.map(|other| other.index).max();
                assert!(overtakes.is_none_or(|index| index < first.index));
            }
            for packet in &run.packets {
                if let (Some(arrival), Some(first)) = (self.relayed(packet), begin.1) {
                    let step =
                        self.expected_index(arrival) as i64 - self.expected_index(first) as i64;
                    assert!(arrival.index >= first.index, "from before the run");
                    assert_eq!(numbers[n] - begin.0, step, "{packet:?} {arrival:?}");
                    let begins = arrival.id == first.id && n > 0;
                    assert_eq!(packet.header.marker, arrival.marker || begins);
                } else {
                    assert!(numbers[n] == highest + 1 || numbers[n] == begin.0);
                }
                highest = highest.max(numbers[n]);
                n += 1;
            }
        }
    }

    fn relayed(&self, seen: &Seen) -> Option<&Arrival> {
        match seen.content {
            Content::Prompt => None,
            Content::Relayed(id) => Some(self.arrival(id)),
        }
    }

    /// A time stamp is what has passed since the first packet, give or take 20 ms.
    fn check_clock(&self) {
        let mut event = None;
        for packet in &self.seen {
            let arrival = self.relayed(packet);
            let overtaken = arrival.is_some_and(|arrival| self.known.late.contains(&arrival.id));
            let of_event = arrival.filter(|arrival| arrival.event);
            let of_event = of_event.map(|arrival| (arrival.epoch, arrival.timestamp));
            let continues = of_event.is_some() && of_event == event;
            event = of_event.or(event);
            if overtaken || continues {
                continue;
            }
            let media = packet.header.timestamp.wrapping_sub(self.origin.timestamp);
            let clock = (packet.at - self.seen[0].at).as_micros() as i64 / 125;
            let off = i64::from(media as i32) - clock;
            // The first packet of an event may be lost: the event began before the one that came.
            let lag = if of_event.is_some() { 10 * 160 } else { 160 };
            assert!((-lag..=161).contains(&off), "{off} ticks off: {packet:?}");
        }
    }

    /// In the order of the sequence, audio never overlaps and time never runs back.
    fn check_order_of_time(&self) {
        let mut ordered: Vec<(i64, &Seen)> = self.unwrapped().into_iter().zip(&self.seen).collect();
        ordered.sort_by_key(|(number, _)| *number);
        for pair in ordered.windows(2) {
            let (before, after) = (pair[0].1, pair[1].1);
            let step = after.header.timestamp.wrapping_sub(before.header.timestamp) as i32;
            let event = |seen: &Seen| self.relayed(seen).is_some_and(|arrival| arrival.event);
            let least = if event(before) || event(after) {
                0
            } else {
                160
            };
            assert!(step >= least, "{step} from {before:?} to {after:?}");
        }
    }

    /// A prompt's frames are 20 ms of media apart, and nobody talks into it.
    fn check_prompts(&self) {
        for run in self.runs().iter().filter(|run| run.epoch.is_none()) {
            for pair in run.packets.windows(2) {
                let step = pair[1]
                    .header
                    .timestamp
                    .wrapping_sub(pair[0].header.timestamp);
                assert!(step == 160 || pair[1].header.marker);
                let pace = (pair[1].at - pair[0].at).as_millis();
                assert!((16..=24).contains(&pace) || pair[1].header.marker);
            }
        }
    }

    /// What comes in its turn goes out, but for prompts and the moment after a splice; what was
    /// overtaken goes out too, if the run that it belongs to began before it and goes on.
    fn check_nothing_is_missing(&self) {
        let relayed = self.seen.iter().filter_map(|seen| self.relayed(seen));
        let sent: BTreeSet<u32> = relayed.map(|arrival| arrival.id).collect();
        let runs = self.runs();
        let prompts = self.prompt_times();
        let mut epoch_since = BTreeMap::new();
        let (mut overtaken_sent, mut newest) = (0, 0);
        for (n, arrival) in self.arrivals.iter().enumerate() {
            let since = *epoch_since.entry(arrival.epoch).or_insert(arrival.at);
            let moment = Duration::from_millis(35);
            let spliced = arrival.epoch > 0 && arrival.at - since < moment
                || prompts
                    .iter()
                    .any(|(from, to)| (*from..*to + moment).contains(&arrival.at));
            let kept_back = arrival.event && !self.takes_events;
            newest = newest.max(arrival.epoch);
            let succeeded = arrival.epoch < newest;
            if self.known.twice.contains(&n) || spliced || kept_back || succeeded {
                continue;
            }
            if self.known.late.contains(&arrival.id) {
                let first = self.first_of_run(&runs, arrival.at);
                if first
                    .is_none_or(|first| first.epoch != arrival.epoch || first.index > arrival.index)
                {
                    continue;
                }
                overtaken_sent += 1;
            }
            assert!(sent.contains(&arrival.id), "{arrival:?} is missing");
        }
        assert!(overtaken_sent > 20, "hardly any was overtaken");
    }

    /// The first packet of the run that goes on at this instant.
    fn first_of_run(&self, runs: &[Run], now: Instant) -> Option<&Arrival> {
        let run = runs.iter().rfind(|run| run.packets[0].at < now)?;
        self.relayed(&run.packets[0])
    }

    /// From the command to the end of the last frame.
    fn prompt_times(&self) -> Vec<(Instant, Instant)> {
        let runs = self.runs();
        let mut ends = runs.iter().filter(|run| run.epoch.is_none()).map(|run| {
            let last = run.packets.last().unwrap().at;
            (run.packets[0].at, last + Duration::from_millis(20))
        });
        let waits = |asked: &Instant| (*asked, *asked + PROMPT_WAITS_MAX);
        let mut times: Vec<(Instant, Instant)> = self.asked.iter().map(waits).collect();
        for (first, end) in &mut ends {
            let asked = self.asked.iter().filter(|asked| **asked <= first).max();
            times.push((*asked.unwrap(), end));
        }
        times
    }
}

#[test]
fn both_peers_see_one_stream_whatever_happens() {
    for seed in 0..12 {
        for takes_events in [true, false] {
            for log in run(seed, takes_events) {
                log.check();
            }
        }
    }
}

#[test]
fn the_worlds_hold_what_they_are_meant_to_hold() {
    let [log, _] = run(0, true);
    let twice = &log.known.twice;
    assert!(log.known.late.len() > 60 && twice.len() > 60);
    assert!(
        log.arrivals.len() < PACKETS + twice.len() - 60,
        "nothing is lost"
    );
    assert!(log.arrivals.last().unwrap().epoch > 8);
    let runs = log.runs();
    assert!(runs.iter().filter(|run| run.epoch.is_none()).count() > 10);
    assert!(log.arrivals.iter().filter(|arrival| arrival.event).count() > 60);
}
