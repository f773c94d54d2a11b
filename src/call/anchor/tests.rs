//! One call between two peers on a virtual clock.

use super::*;
use crate::base::codec::Codec;
use crate::base::ids::CallKey;
use crate::media::prompt::wav_of;
use crate::media::rtp::{self, Header};

pub(super) const CALL: CallKey = CallKey(1);
pub(super) const CALLER: SocketAddr = address(1_000);
pub(super) const AGENT: SocketAddr = address(2_000);
const STRANGER: SocketAddr = address(3_000);

pub(super) const ORIGINS: [RtpOrigin; 2] = [
    RtpOrigin {
        ssrc: 0xca11,
        sequence: 65_530,
        timestamp: u32::MAX - 1_000,
    },
    RtpOrigin {
        ssrc: 0xa6e7,
        sequence: 7,
        timestamp: 70_000,
    },
];

const fn address(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// Speech is what begins loud.
pub(super) struct Loud;

impl Vad for Loud {
    fn is_speech(&mut self, frame: &Frame) -> bool {
        frame[0].unsigned_abs() > 1_000
    }

    fn reset(&mut self) {}
}

pub(super) fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(super) fn stream(remote: SocketAddr) -> Stream {
    Stream {
        remote: Some(remote),
        codec: Codec::Pcma,
        event_to_peer: Some(101),
        event_from_peer: Some(96),
        to_peer: true,
        from_peer: true,
    }
}

/// Two prompts: the first has three frames, the last of them half full; the second a hundred.
pub(super) fn library() -> Arc<PromptLibrary> {
    let mut library = PromptLibrary::default();
    for (id, length) in [("short", 400), ("long", 16_000)] {
        library
            .add("v", id, &wav_of(8_000, &vec![8_000; length]))
            .unwrap();
    }
    Arc::new(library)
}

/// A packet that left for a leg.
#[derive(Clone, Debug, PartialEq)]
struct Left {
    at: Instant,
    leg: Leg,
    to: SocketAddr,
    header: Header,
    payload: Vec<u8>,
}

/// A call, its clock, and all that came out of it.
struct World {
    now: Instant,
    anchor: Anchor<Loud>,
    left: Vec<Left>,
    facts: Vec<Fact>,
    reports: Vec<(Leg, StreamCounts)>,
    /// Sequence and time stamp of each peer's next packet.
    next: [(u16, u32); 2],
}

impl World {
    fn new() -> Self {
        let now = at(10_000);
        World {
            now,
            anchor: Anchor::new(now, ORIGINS, [Loud, Loud], library()),
            left: Vec::new(),
            facts: Vec::new(),
            reports: Vec::new(),
            next: [(100, 0), (200, 0)],
        }
    }

    /// Both SDPs known, answered.
    fn answered() -> Self {
        let mut world = World::new();
        world.update(Leg::Caller, stream(CALLER));
        world.update(Leg::Agent, stream(AGENT));
        world.command(Command::Listen { call: CALL });
        world
    }

    fn command(&mut self, command: Command) {
        self.anchor.on_command(self.now, &command);
        self.drain();
    }

    fn update(&mut self, leg: Leg, stream: Stream) {
        self.command(Command::Update {
            call: CALL,
            leg,
            stream,
        });
    }

    fn play(&mut self, prompt: u16, to: PromptTo, since: Instant) {
        self.command(Command::Play {
            call: CALL,
            play: PlayId(u32::from(prompt) + 10),
            prompt: PromptId(prompt),
            to,
            unless_speech_since: since,
        });
    }

    fn drain(&mut self) {
        let mut buffer = [0; 256];
        while let Some(sent) = self.anchor.poll_transmit(self.now, &mut buffer) {
            self.note(sent.leg, sent.to, &buffer[..sent.length]);
        }
        while let Some(fact) = self.anchor.poll_fact() {
            match fact {
                Fact::Report { leg, counts } => self.reports.push((leg, counts)),
                fact => self.facts.push(fact),
            }
        }
    }

    fn note(&mut self, leg: Leg, to: SocketAddr, datagram: &[u8]) {
        let packet = rtp::read(datagram).unwrap();
        self.left.push(Left {
            at: self.now,
            leg,
            to,
            header: packet.header,
            payload: datagram[packet.payload].to_vec(),
        });
    }

    fn datagram(&mut self, leg: Leg, from: SocketAddr, mut datagram: Vec<u8>, rtcp_port: bool) {
        let sent = self
            .anchor
            .on_packet(self.now, leg, rtcp_port, from, &mut datagram);
        if let Some(forward) = sent {
            self.note(forward.leg, forward.to, &datagram);
        }
        self.drain();
    }

    /// A packet of this payload type from a leg, its next one.
    fn packet(&mut self, leg: Leg, from: SocketAddr, payload_type: u8, payload: &[u8]) {
        let (sequence, timestamp) = self.next[leg.index()];
        self.next[leg.index()] = (sequence.wrapping_add(1), timestamp.wrapping_add(160));
        let header = Header {
            payload_type,
            marker: false,
            sequence,
            timestamp,
            ssrc: 5 + leg.index() as u32,
        };
        let mut buffer = vec![0; 12 + payload.len()];
        rtp::build(&mut buffer, &header, payload).unwrap();
        self.datagram(leg, from, buffer, false);
    }

    fn audio(&mut self, leg: Leg, loud: bool) {
        let from = [CALLER, AGENT][leg.index()];
        let sample = if loud { 5_000 } else { 0 };
        self.packet(leg, from, 8, &[g711::encode(Codec::Pcma, sample); 160]);
    }

    /// Lets time pass, waking at each deadline.
    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.anchor.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.anchor.on_deadline(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// A peer sends for so long, a packet each 20 ms.
    fn talk(&mut self, leg: Leg, millis: u64, loud: bool) {
        for _ in 0..millis / 20 {
            self.audio(leg, loud);
            self.pass(20);
        }
    }

    /// Facts but for reports since the last time.
    fn told(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    /// The sum of a leg's reports, one more included.
    fn counts(&mut self, leg: Leg) -> StreamCounts {
        self.pass(1_000);
        let mut sum = StreamCounts::default();
        let of_leg = self.reports.iter().filter(|(of, _)| *of == leg);
        of_leg.for_each(|(_, counts)| sum.add(counts));
        sum
    }

    fn to(&self, leg: Leg) -> Vec<&Left> {
        self.left.iter().filter(|left| left.leg == leg).collect()
    }
}

fn ended(play: u32, how: PromptEnd, at: Instant) -> Fact {
    Fact::PromptEnded {
        play: PlayId(play),
        how,
        at,
    }
}

#[test]
fn audio_goes_to_the_other_leg_in_its_codec() {
    let mut world = World::new();
    world.update(Leg::Caller, stream(CALLER));
    let agent = Stream {
        codec: Codec::Pcmu,
        ..stream(AGENT)
    };
    world.update(Leg::Agent, agent);
    world.audio(Leg::Caller, true);
    world.pass(20);
    world.packet(Leg::Agent, AGENT, 8, &[0x55; 160]);
    let to_agent = world.to(Leg::Agent)[0].clone();
    assert_eq!((to_agent.to, to_agent.header.payload_type), (AGENT, 0));
    assert_eq!(to_agent.header.ssrc, ORIGINS[1].ssrc);
    let loud = i32::from(g711::decode(Codec::Pcmu, to_agent.payload[0]));
    assert!((loud - 5_000).abs() < 200);
    // The agent sent A-law though it takes µ-law: to the caller it is left as it is.
    let to_caller = world.to(Leg::Caller)[0].clone();
    assert_eq!((to_caller.to, to_caller.header.payload_type), (CALLER, 8));
    assert_eq!(to_caller.payload, [0x55; 160]);
    let first = |leg| Fact::FirstRtp { leg };
    assert_eq!(world.told(), [first(Leg::Caller), first(Leg::Agent)]);
}

#[test]
fn events_change_their_payload_type_or_stay_behind() {
    let mut world = World::answered();
    world.audio(Leg::Caller, false);
    world.packet(Leg::Caller, CALLER, 96, &[1, 10, 0, 160]);
    assert_eq!(world.to(Leg::Agent)[1].header.payload_type, 101);
    world.update(
        Leg::Agent,
        Stream {
            event_to_peer: None,
            ..stream(AGENT)
        },
    );
    world.pass(20);
    world.packet(Leg::Caller, CALLER, 96, &[1, 10, 0, 160]);
    world.packet(Leg::Caller, CALLER, 13, &[60]);
    world.pass(20);
    world.audio(Leg::Caller, false);
    let numbers: Vec<u16> = world
        .to(Leg::Agent)
        .iter()
        .map(|left| left.header.sequence)
        .collect();
    assert_eq!(numbers, [7, 8, 9], "what stays behind leaves no gap");
    let counts = world.counts(Leg::Caller);
    assert_eq!((counts.received, counts.audio, counts.lost), (4, 2, 0));
    assert_eq!((counts.dropped_no_route, counts.dropped_malformed), (1, 1));
}

#[test]
fn packets_from_elsewhere_and_no_packets_are_counted_and_dropped() {
    let mut world = World::answered();
    world.audio(Leg::Caller, false);
    world.packet(Leg::Caller, STRANGER, 8, &[0; 160]);
    world.datagram(
        Leg::Caller,
        CALLER,
        vec![0x80, 200, 0, 6, 0, 0, 0, 0],
        false,
    );
    world.datagram(Leg::Caller, CALLER, vec![0x80, 201, 0, 1], true);
    world.datagram(Leg::Caller, CALLER, vec![1, 2, 3], false);
    world.datagram(Leg::Caller, CALLER, vec![], false);
    let mut long = vec![0x80, 8];
    long.resize(1_501, 0);
    world.datagram(Leg::Caller, CALLER, long, false);
    assert_eq!(world.left.len(), 1);
    let counts = world.counts(Leg::Caller);
    assert_eq!((counts.received, counts.dropped_source), (1, 1));
    assert_eq!((counts.rtcp, counts.dropped_malformed), (2, 3));
    assert_eq!(world.counts(Leg::Agent).sent, 1);
}

#[test]
fn packets_go_to_where_they_come_from_and_first_to_the_sdp() {
    let mut world = World::answered();
    world.audio(Leg::Agent, false);
    assert_eq!(world.left[0].to, CALLER);
    world.packet(Leg::Caller, STRANGER, 8, &[0; 160]);
    world.pass(20);
    world.audio(Leg::Agent, false);
    assert_eq!(world.left[2].to, STRANGER);
    world.audio(Leg::Caller, false);
    world.pass(20);
    world.audio(Leg::Agent, false);
    assert_eq!(world.left.last().unwrap().to, CALLER);
}

#[test]
fn directions_are_kept_and_a_hold_leaves_no_gap() {
    let mut world = World::answered();
    world.talk(Leg::Agent, 100, false);
    let held = Stream {
        to_peer: false,
        from_peer: false,
        ..stream(CALLER)
    };
    world.update(Leg::Caller, held);
    world.told();
    world.talk(Leg::Agent, 100, false);
    world.audio(Leg::Caller, true);
    world.play(0, PromptTo::Both, world.now);
    world.pass(200);
    assert_eq!(world.to(Leg::Caller).len(), 5);
    assert_eq!(
        world.to(Leg::Agent).len(),
        0,
        "nor is a prompt that the caller would not hear"
    );
    world.update(Leg::Caller, stream(CALLER));
    world.talk(Leg::Agent, 20, false);
    let last = world.to(Leg::Caller).last().copied().cloned().unwrap();
    assert_eq!(last.header.sequence, 65_535);
    assert!(last.header.marker);
    // No RTP while on hold is no stop.
    world.update(Leg::Caller, held);
    world.told();
    world.pass(10_000);
    assert!(!world.told().iter().any(|fact| matches!(
        fact,
        Fact::RtpStopped {
            leg: Leg::Caller,
            ..
        }
    )));
    assert_eq!(world.counts(Leg::Caller).dropped_no_route, 1);
    assert_eq!(world.counts(Leg::Agent).dropped_no_route, 5);
}

#[test]
fn a_prompt_plays_to_both_each_20_ms_the_agents_copy_lower() {
    let mut world = World::answered();
    world.talk(Leg::Agent, 100, false);
    let before = world.to(Leg::Caller).len();
    world.told();
    world.play(0, PromptTo::Both, at(0));
    world.talk(Leg::Agent, 60, false);
    world.pass(1);
    let begin = at(10_100);
    let frames: Vec<Left> = world.to(Leg::Caller)[before..]
        .iter()
        .map(|l| (*l).clone())
        .collect();
    let times: Vec<Instant> = frames.iter().map(|left| left.at).collect();
    assert_eq!(
        times,
        [
            begin,
            begin + Duration::from_millis(20),
            begin + Duration::from_millis(40)
        ]
    );
    let level = |left: &Left, n: usize| i32::from(g711::decode(Codec::Pcma, left.payload[n]));
    assert!((level(&frames[0], 0) - 8_000).abs() < 256);
    assert_eq!(level(&frames[2], 80).abs(), 8, "filled up with zeros");
    let lower = world.to(Leg::Agent)[0].clone();
    assert!((level(&lower, 0) - 4_000).abs() < 128);
    assert_eq!(
        world.told(),
        [
            Fact::PromptStarted { play: PlayId(10) },
            ended(10, PromptEnd::Completed, begin + Duration::from_millis(60)),
        ]
    );
    assert!(frames[0].header.marker && !frames[1].header.marker);
    // And the agent is heard again, in the same stream.
    world.talk(Leg::Agent, 40, false);
    let numbers: Vec<u16> = world
        .to(Leg::Caller)
        .iter()
        .map(|left| left.header.sequence)
        .collect();
    let expected: Vec<u16> = (0..numbers.len() as u16)
        .map(|n| n.wrapping_add(65_530))
        .collect();
    assert_eq!(numbers, expected);
}

/// Goal: little of what the agent says is lost behind a prompt, whenever its packets fall.
#[test]
fn the_agent_is_heard_again_within_35_ms_of_the_last_frame() {
    for phase in 0..20 {
        let mut world = World::answered();
        world.talk(Leg::Agent, 100, false);
        world.play(0, PromptTo::Caller, world.now);
        world.pass(phase);
        world.talk(Leg::Agent, 120, false);
        let to_caller = world.to(Leg::Caller);
        // Five of the agent, three of the prompt, and the agent again.
        let (last, next) = (to_caller[7], to_caller[8]);
        assert!(next.header.marker && !to_caller[9].header.marker);
        let step = next.header.timestamp.wrapping_sub(last.header.timestamp);
        assert!((160..=280).contains(&step), "phase {phase}: {step} ticks");
    }
}

#[test]
fn a_prompt_to_the_caller_leaves_the_agents_stream_alone() {
    let mut world = World::answered();
    world.talk(Leg::Caller, 100, false);
    world.play(1, PromptTo::Caller, at(0));
    world.talk(Leg::Caller, 100, false);
    assert_eq!(world.to(Leg::Agent).len(), 10);
    assert_eq!(world.to(Leg::Caller).len(), 6);
}

#[test]
fn the_callers_speech_stops_a_prompt_at_once() {
    let mut world = World::answered();
    world.talk(Leg::Caller, 100, false);
    world.told();
    world.play(1, PromptTo::Both, world.now);
    world.talk(Leg::Caller, 500, true);
    let onset = at(10_080);
    let found = at(10_280);
    let end = found + Duration::from_millis(40);
    assert_eq!(
        world.told(),
        [
            Fact::PromptStarted { play: PlayId(11) },
            Fact::SpeechBegan {
                leg: Leg::Caller,
                at: onset
            },
            ended(11, PromptEnd::Speech, end),
        ]
    );
    let last = world.to(Leg::Caller).last().copied().cloned().unwrap();
    assert!(last.at <= found + Duration::from_millis(20));
    let fade = |n: usize| g711::decode(Codec::Pcma, last.payload[n]);
    assert!(fade(0) > 7_000 && fade(80) > 3_000 && fade(159) == 8);
}

#[test]
fn the_agents_speech_does_not_stop_it() {
    let mut world = World::answered();
    world.play(1, PromptTo::Both, world.now);
    world.talk(Leg::Agent, 2_100, true);
    let told = world.told();
    assert!(
        told.contains(&ended(11, PromptEnd::Completed, at(12_000))),
        "{told:?}"
    );
}

#[test]
fn a_prompt_is_refused_while_or_after_the_caller_spoke() {
    let mut world = World::answered();
    let known = world.now;
    world.talk(Leg::Caller, 400, true);
    world.told();
    let refused = |world: &World| ended(10, PromptEnd::Refused, world.now);
    world.play(0, PromptTo::Both, at(60_000));
    assert_eq!(world.told(), [refused(&world)]);
    world.talk(Leg::Caller, 1_000, false);
    world.told();
    world.play(0, PromptTo::Both, known.before(Duration::from_secs(1)));
    assert_eq!(world.told(), [refused(&world)]);
    world.play(0, PromptTo::Both, known + Duration::from_millis(100));
    assert_eq!(world.told(), [Fact::PromptStarted { play: PlayId(10) }]);
}

#[test]
fn whether_the_caller_is_silent_still_is_told_as_soon_as_it_is_certain() {
    let ask = Command::ConfirmSilence {
        call: CALL,
        unless_speech_since: at(9_900),
    };
    let lasts = |lasts| Fact::Silence { lasts };

    let mut silent = World::answered();
    silent.pass(1_000);
    silent.told();
    silent.command(ask.clone());
    assert_eq!(silent.told(), [lasts(true)], "at once where nothing came");

    let mut noisy = World::answered();
    noisy.talk(Leg::Caller, 100, true);
    noisy.told();
    noisy.command(ask.clone());
    assert_eq!(
        noisy.told(),
        [],
        "five frames may be the beginning of speech"
    );
    noisy.talk(Leg::Caller, 300, false);
    assert_eq!(noisy.told(), [lasts(true)], "they were not");

    let mut gone = World::answered();
    gone.talk(Leg::Caller, 100, true);
    gone.told();
    gone.command(ask.clone());
    gone.pass(400);
    assert_eq!(
        gone.told(),
        [lasts(true)],
        "by the clock where no more comes"
    );

    let mut speaks = World::answered();
    speaks.talk(Leg::Caller, 100, true);
    speaks.told();
    speaks.command(ask.clone());
    speaks.talk(Leg::Caller, 300, true);
    let told = speaks.told();
    assert!(
        matches!(
            told[..],
            [Fact::SpeechBegan { .. }, Fact::Silence { lasts: false }]
        ),
        "{told:?}"
    );

    speaks.talk(Leg::Caller, 1_000, false);
    speaks.told();
    speaks.command(ask);
    assert_eq!(
        speaks.told(),
        [lasts(false)],
        "it was told, but may not have come yet"
    );
}

#[test]
fn an_unknown_prompt_is_refused() {
    let mut world = World::answered();
    world.play(99, PromptTo::Both, world.now);
    assert_eq!(world.told(), [ended(109, PromptEnd::Refused, world.now)]);
}

#[test]
fn a_prompt_is_stopped_and_replaced_on_command() {
    let mut world = World::answered();
    world.play(1, PromptTo::Both, world.now);
    world.pass(50);
    world.command(Command::Stop { call: CALL });
    world.pass(50);
    let stopped = ended(11, PromptEnd::Stopped, at(10_080));
    assert_eq!(
        world.told(),
        [Fact::PromptStarted { play: PlayId(11) }, stopped]
    );
    world.play(1, PromptTo::Both, world.now);
    world.pass(30);
    world.play(0, PromptTo::Caller, world.now);
    world.pass(100);
    assert_eq!(
        world.told(),
        [
            Fact::PromptStarted { play: PlayId(11) },
            ended(11, PromptEnd::Stopped, at(10_140)),
            Fact::PromptStarted { play: PlayId(10) },
            ended(10, PromptEnd::Completed, at(10_200)),
        ]
    );
}

#[test]
fn before_the_answer_only_the_first_packet_is_told() {
    let mut world = World::new();
    world.update(Leg::Caller, stream(CALLER));
    world.update(Leg::Agent, stream(AGENT));
    world.talk(Leg::Caller, 400, true);
    world.pass(5_000);
    assert_eq!(world.told(), [Fact::FirstRtp { leg: Leg::Caller }]);
    world.command(Command::Listen { call: CALL });
    let answer = world.now;
    world.pass(3_000);
    let stopped = Fact::RtpStopped {
        leg: Leg::Caller,
        at: at(10_380),
    };
    assert_eq!(
        (world.told(), world.now),
        (vec![stopped], answer + Duration::from_secs(3))
    );
    world.audio(Leg::Caller, false);
    assert_eq!(world.told(), [Fact::RtpResumed { leg: Leg::Caller }]);
}

#[test]
fn speech_under_way_at_the_answer_is_found_anew() {
    let mut world = World::new();
    world.update(Leg::Caller, stream(CALLER));
    world.talk(Leg::Caller, 400, true);
    world.command(Command::Listen { call: CALL });
    world.told();
    world.talk(Leg::Caller, 180, true);
    assert_eq!(world.told(), []);
    world.talk(Leg::Caller, 20, true);
    assert!(matches!(
        world.told()[..],
        [Fact::SpeechBegan {
            leg: Leg::Caller,
            ..
        }]
    ));
    world.pass(1_000);
    assert!(matches!(
        world.told()[..],
        [Fact::SpeechEnded {
            leg: Leg::Caller,
            ..
        }]
    ));
}

#[test]
fn counters_are_told_each_second_and_at_the_close() {
    let mut world = World::answered();
    world.talk(Leg::Caller, 2_500, true);
    assert_eq!(world.reports.len(), 4);
    world.play(1, PromptTo::Caller, world.now);
    world.command(Command::Close { call: CALL });
    assert_eq!(world.reports.len(), 6);
    assert_eq!(world.told().last(), Some(&Fact::Closed));
    assert!(world.anchor.is_closed() && world.anchor.next_deadline().is_none());
    let left = world.left.len();
    world.audio(Leg::Caller, true);
    world.command(Command::Listen { call: CALL });
    assert_eq!((world.left.len(), world.facts.len()), (left, 0));
}

#[test]
fn a_playing_prompt_is_told_before_the_call_is_over() {
    let mut world = World::answered();
    world.play(1, PromptTo::Caller, world.now);
    world.pass(30);
    world.command(Command::Close { call: CALL });
    let stopped = ended(11, PromptEnd::Stopped, at(10_040));
    assert_eq!(world.told()[1..], [stopped, Fact::Closed]);
}

#[test]
fn the_report_holds_the_loudest_level() {
    let mut world = World::answered();
    world.audio(Leg::Caller, true);
    let counts = world.counts(Leg::Caller);
    let expected = 200.0 * (5_000f32 / 32_768.0).log10();
    assert!((f32::from(counts.level_max_dbov10) - expected).abs() <= 3.0);
    assert_eq!(world.counts(Leg::Agent).level_max_dbov10, i16::MIN);
}
