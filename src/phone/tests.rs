//! Phones against phones over a virtual link that delays, reorders, doubles and loses.

use super::behaviour::{Incoming, Outgoing, Reply, Ring};
use super::*;
use crate::base::random::Random;
use crate::sip::dialog::answer;
use std::time::Duration;

const CALLER: &str = "192.0.2.1:5060";
const CALLEE: &str = "192.0.2.2:5060";
const MS: fn(u64) -> Duration = Duration::from_millis;
const S: fn(u64) -> Duration = Duration::from_secs;

/// What each phone told, with its time.
type Told = Vec<(Instant, CallId, Event)>;

/// Two phones and the link between them.
struct World {
    now: Instant,
    phones: [Phone; 2],
    told: [Told; 2],
    wire: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sent: Vec<String>,
    random: Random,
    loss_percent: u32,
    /// Datagrams with this beginning never arrive.
    swallow: &'static str,
    count: u64,
}

impl World {
    fn new(seed: u64, outgoing: Outgoing, incoming: Incoming) -> World {
        let phone = |sip: &str, behaviour, seed| {
            let sip: SocketAddr = sip.parse().expect("an address");
            let mut phone = Phone::new(Settings {
                sip,
                media_address: sip.ip(),
                codecs: vec![Codec::Pcma, Codec::Pcmu],
                behaviour,
                random: Random::from_number(seed),
            });
            phone.handle(Instant::ZERO, Input::Ports(vec![4000, 4002]));
            phone
        };
        let behaviour = Behaviour { incoming, outgoing };
        World {
            now: Instant::from_millis(1_000),
            phones: [
                phone(CALLER, behaviour.clone(), 2 * seed),
                phone(CALLEE, behaviour, 2 * seed + 1),
            ],
            told: [Vec::new(), Vec::new()],
            wire: BTreeMap::new(),
            sent: Vec::new(),
            random: Random::from_number(seed),
            loss_percent: 0,
            swallow: "nothing",
            count: 0,
        }
    }

    fn losing(mut self, percent: u32) -> World {
        self.loss_percent = percent;
        self
    }

    fn input(&mut self, phone: usize, input: Input) {
        self.phones[phone].handle(self.now, input);
        while let Some(action) = self.phones[phone].poll_action() {
            match action {
                Action::SendSip { bytes, .. } => self.send(1 - phone, bytes),
                Action::Tell { call, event } => self.told[phone].push((self.now, call, event)),
            }
        }
    }

    fn send(&mut self, to: usize, bytes: Vec<u8>) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.sent
            .push(text.lines().next().unwrap_or_default().to_owned());
        if text.starts_with(self.swallow) {
            return;
        }
        let bad = self.loss_percent > 0;
        for _ in 0..=u32::from(bad && self.random.below(20) == 0) {
            let delay = MS(u64::from(5 + self.random.below(if bad { 60 } else { 1 })));
            if self.random.below(100) >= self.loss_percent {
                self.count += 1;
                self.wire
                    .insert((self.now + delay, self.count), (to, bytes.clone()));
            }
        }
    }

    fn dial(&mut self) {
        let dial = Dial {
            to: Uri::parse("sip:hotline@192.0.2.2").expect("a URI"),
            address: CALLEE.parse().expect("an address"),
            number: "13800000000".to_owned(),
            display: Some("诚".to_owned()),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
        };
        self.input(
            0,
            Input::Dial {
                call: 7,
                dial: Box::new(dial),
            },
        );
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let deadlines = self.phones.iter().filter_map(Phone::next_deadline);
            let Some(next) = deadlines.chain(arrival).min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, (to, bytes)) = self.wire.pop_first().expect("a datagram");
                let remote = [CALLER, CALLEE][1 - to].parse().expect("an address");
                self.input(to, Input::Sip { remote, bytes });
            } else {
                (0..2).for_each(|phone| self.input(phone, Input::Deadline));
            }
        }
    }

    fn events(&self, phone: usize) -> Vec<Event> {
        self.told[phone]
            .iter()
            .map(|(_, _, event)| event.clone())
            .collect()
    }

    fn at(&self, phone: usize, wanted: impl Fn(&Event) -> bool) -> u64 {
        let found = self.told[phone].iter().find(|(_, _, event)| wanted(event));
        found
            .expect("the event")
            .0
            .millis_since(Instant::from_millis(1_000))
    }

    fn end(&self, phone: usize) -> Option<Event> {
        self.events(phone).pop()
    }

    fn sent(&self, start: &str) -> usize {
        self.sent
            .iter()
            .filter(|line| line.starts_with(start))
            .count()
    }

    /// Each call began once and ended once, and nothing is left.
    fn assert_clean(&self, what: &str) {
        for (phone, told) in self.phones.iter().zip(&self.told) {
            assert!(
                phone.is_idle(),
                "{what}: {} calls left, {told:?}",
                phone.calls()
            );
            let began = told
                .iter()
                .filter(|t| matches!(t.2, Event::Began { .. }))
                .count();
            let ended = told
                .iter()
                .filter(|t| matches!(t.2, Event::Ended { .. }))
                .count();
            assert_eq!(began, ended, "{what}: {told:?}");
            assert!(began <= 1, "{what}: {told:?}");
            assert_eq!(phone.desk.transactions.unexpected(), 0, "{what}");
            assert!(
                phone.desk.owners.is_empty() && phone.desk.dialogs.is_empty(),
                "{what}"
            );
            assert!(phone.desk.timers.is_empty(), "{what}");
        }
    }
}

fn answering(ring: u64, answer: u64) -> Incoming {
    Incoming {
        ring: Ring::After(MS(ring)),
        reply: Reply::Answer(MS(answer)),
        hang_up_after: None,
    }
}

fn ended(by: EndedBy, status: u16) -> Option<Event> {
    Some(Event::Ended { by, status })
}

fn media(address: &str, codec: Codec) -> Media {
    Media {
        remote: Some(address.parse().expect("an address")),
        codec,
        event: Some(101),
        to_peer: true,
        from_peer: true,
    }
}

#[test]
fn a_call_rings_is_answered_and_ended_by_the_caller() {
    let outgoing = Outgoing {
        hang_up_after: Some(S(5)),
        ..Outgoing::default()
    };
    let mut world = World::new(1, outgoing, answering(200, 1_000));
    world.dial();
    world.run_for(S(60));
    let codec = Codec::Pcmu;
    let began = |port, caller: Option<&str>| Event::Began {
        port,
        caller: caller.map(str::to_owned),
    };
    let end = |by| Event::Ended { by, status: 200 };
    let heard = Event::Answered(media("192.0.2.2:4000", codec));
    assert_eq!(
        world.events(0),
        [began(4000, None), Event::Ringing, heard, end(EndedBy::Us)]
    );
    let heard = Event::Answered(media("192.0.2.1:4000", codec));
    let caller = Some("13800000000");
    assert_eq!(
        world.events(1),
        [
            began(4000, caller),
            Event::Ringing,
            heard,
            end(EndedBy::Peer)
        ]
    );
    assert_eq!(world.at(0, |e| *e == Event::Ringing), 210);
    assert_eq!(world.at(0, |e| matches!(e, Event::Answered(_))), 1_010);
    assert_eq!(world.at(0, |e| matches!(e, Event::Ended { .. })), 6_010);
    world.assert_clean("answered");
}

#[test]
fn the_callee_hangs_up_too() {
    let incoming = Incoming {
        hang_up_after: Some(S(3)),
        ..answering(0, 500)
    };
    let mut world = World::new(2, Outgoing::default(), incoming);
    world.dial();
    world.run_for(S(60));
    assert_eq!(world.end(0), ended(EndedBy::Peer, 200));
    assert_eq!(world.end(1), ended(EndedBy::Us, 200));
    assert_eq!(world.at(1, |e| matches!(e, Event::Ended { .. })), 3_505);
    world.assert_clean("the callee hung up");
}

#[test]
fn a_refusal_keeps_its_status() {
    let incoming = Incoming {
        reply: Reply::Refuse(MS(300), 603),
        ..answering(100, 0)
    };
    let mut world = World::new(3, Outgoing::default(), incoming);
    world.dial();
    world.run_for(S(60));
    assert_eq!(world.end(0), ended(EndedBy::Peer, 603));
    assert_eq!(world.end(1), ended(EndedBy::Us, 603));
    world.assert_clean("refused");
}

#[test]
fn an_unanswered_call_is_given_up_with_cancel() {
    let outgoing = Outgoing {
        give_up_after: Some(S(4)),
        ..Outgoing::default()
    };
    let incoming = Incoming {
        reply: Reply::Never,
        ..answering(100, 0)
    };
    let mut world = World::new(4, outgoing, incoming);
    world.dial();
    world.run_for(S(60));
    assert_eq!(world.sent("CANCEL"), 1);
    assert_eq!(world.end(0), ended(EndedBy::Us, 487));
    assert_eq!(world.end(1), ended(EndedBy::Peer, 487));
    world.assert_clean("given up");
}

/// RFC 3261 §9.1: a 200 that crossed the CANCEL is acknowledged, and the call is ended with BYE.
#[test]
fn an_answer_that_crosses_the_cancel_leaves_no_ghost() {
    for answer_ms in 995..=1_005 {
        let outgoing = Outgoing {
            give_up_after: Some(S(1)),
            ..Outgoing::default()
        };
        let mut world = World::new(5, outgoing, answering(0, answer_ms));
        world.dial();
        world.run_for(S(120));
        assert_eq!(
            world.end(0).map(|e| matches!(
                e,
                Event::Ended {
                    by: EndedBy::Us,
                    ..
                }
            )),
            Some(true)
        );
        assert_eq!(world.sent("BYE") > 0, world.sent("SIP/2.0 487") == 0);
        world.assert_clean(&format!("answered at {answer_ms} ms"));
    }
}

#[test]
fn a_command_hangs_up_in_every_stage() {
    for (at, caller, callee) in [
        (1, (EndedBy::Us, 487), (EndedBy::Peer, 487)),
        (300, (EndedBy::Us, 487), (EndedBy::Peer, 487)),
        (2_000, (EndedBy::Us, 200), (EndedBy::Peer, 200)),
    ] {
        let mut world = World::new(6, Outgoing::default(), answering(100, 1_000));
        world.dial();
        world.run_for(MS(at));
        world.input(0, Input::HangUp(CallId::Out(7)));
        world.run_for(S(60));
        assert_eq!(world.end(0), ended(caller.0, caller.1), "at {at} ms");
        assert_eq!(world.end(1), ended(callee.0, callee.1), "at {at} ms");
        world.assert_clean("hung up by command");
    }
    let mut world = World::new(6, Outgoing::default(), answering(100, 1_000));
    world.dial();
    world.run_for(MS(300));
    world.input(1, Input::HangUpAll);
    world.run_for(S(60));
    assert_eq!(world.end(0), ended(EndedBy::Peer, 480));
    world.assert_clean("refused by command");
}

#[test]
fn both_may_hang_up_at_once() {
    let mut world = World::new(7, Outgoing::default(), answering(0, 100));
    world.dial();
    world.run_for(S(1));
    world.input(0, Input::HangUpAll);
    world.input(1, Input::HangUpAll);
    world.run_for(S(60));
    assert_eq!(world.sent("BYE"), 2);
    assert_eq!(world.end(0), ended(EndedBy::Us, 200));
    assert_eq!(world.end(1), ended(EndedBy::Us, 200));
    world.assert_clean("both hung up");
}

/// A BYE may overtake the 180 and the 200 of its call: what rings late is cancelled, nothing is left.
#[test]
fn ringing_for_a_call_that_is_gone_is_cancelled() {
    let incoming = Incoming {
        hang_up_after: Some(MS(100)),
        ..answering(0, 100)
    };
    let mut world = World::new(15, Outgoing::default(), incoming);
    world.swallow = "SIP/2.0";
    world.dial();
    world.run_for(MS(90));
    let invite = world.phones[0].desk.owners.keys().next().copied();
    let invite = invite.and_then(|tx| world.phones[0].desk.transactions.request_of(tx).cloned());
    let invite = invite.expect("the INVITE");
    let tag = invite
        .from()
        .expect("From")
        .tag()
        .expect("a tag")
        .to_owned();
    let bye = request("BYE", &format!(";tag={tag}"), 1, "", "");
    let bye = bye.replace("by-hand", invite.call_id());
    let remote: SocketAddr = CALLEE.parse().expect("an address");
    let bytes = bye.into_bytes();
    world.input(0, Input::Sip { remote, bytes });
    assert_eq!(world.end(0), ended(EndedBy::Peer, 200));
    let bytes = answer(&invite, 180, "late").to_bytes();
    world.input(0, Input::Sip { remote, bytes });
    assert_eq!(world.sent("CANCEL"), 1);
    world.swallow = "nothing";
    world.run_for(S(120));
    world.assert_clean("overtaken");
}

#[test]
fn early_media_is_told_before_the_answer() {
    let incoming = Incoming {
        ring: Ring::EarlyMedia(MS(100)),
        hang_up_after: Some(S(1)),
        ..answering(0, 500)
    };
    let mut world = World::new(8, Outgoing::default(), incoming);
    world.dial();
    world.run_for(S(60));
    let early = Event::EarlyMedia(media("192.0.2.2:4000", Codec::Pcmu));
    assert_eq!(world.events(0)[1], early);
    assert_eq!(world.at(0, |e| *e == early), 110);
    world.assert_clean("early media");
}

#[test]
fn an_answer_without_its_ack_is_repeated_and_then_ended() {
    let mut world = World::new(9, Outgoing::default(), answering(0, 0));
    world.swallow = "ACK";
    world.dial();
    world.run_for(S(120));
    assert_eq!(
        world.sent("SIP/2.0 200"),
        11 + 1,
        "eleven to the INVITE, one to BYE"
    );
    assert_eq!(world.end(0), ended(EndedBy::Peer, 200));
    assert_eq!(world.end(1), ended(EndedBy::Nobody, 408));
    world.assert_clean("never acknowledged");
}

#[test]
fn a_bye_waits_for_the_ack_of_our_answer() {
    let mut world = World::new(10, Outgoing::default(), answering(0, 0));
    world.swallow = "ACK";
    world.dial();
    world.run_for(S(2));
    world.input(1, Input::HangUpAll);
    world.run_for(S(1));
    assert_eq!(world.sent("BYE"), 0);
    world.swallow = "nothing";
    world.run_for(S(60));
    assert_eq!(world.end(0), ended(EndedBy::Peer, 200));
    world.assert_clean("BYE after ACK");
}

#[test]
fn an_answer_whose_ack_was_lost_is_repeated_after_the_callers_bye() {
    let mut world = World::new(10, Outgoing::default(), answering(0, 0));
    world.swallow = "ACK";
    world.dial();
    world.run_for(MS(200));
    world.input(0, Input::HangUpAll);
    world.run_for(S(2));
    assert_eq!(world.end(1), ended(EndedBy::Peer, 200));
    assert_eq!(world.phones[1].calls(), 1, "the ACK is still awaited");
    world.swallow = "nothing";
    world.run_for(S(2));
    assert_eq!(world.phones[1].calls(), 0);
    world.run_for(S(60));
    assert_eq!(world.end(0), ended(EndedBy::Us, 200));
    world.assert_clean("BYE before ACK");
}

#[test]
fn a_peer_that_is_not_there_ends_the_call() {
    let mut world = World::new(11, Outgoing::default(), answering(0, 0));
    world.swallow = "INVITE";
    world.dial();
    world.run_for(S(60));
    assert_eq!(world.end(0), ended(EndedBy::Nobody, 408));
    let mut world = World::new(11, Outgoing::default(), answering(0, 0));
    world.swallow = "INVITE";
    world.dial();
    let desk = &world.phones[0].desk;
    let (tx, _) = desk.owners.first_key_value().expect("an INVITE");
    let bytes = desk.transactions.request_of(*tx).expect("alive").to_bytes();
    world.input(0, Input::Unreachable { bytes });
    assert_eq!(world.end(0), ended(EndedBy::Nobody, 503));
}

#[test]
fn without_a_port_a_call_is_busy_or_ends_at_once() {
    let mut world = World::new(12, Outgoing::default(), answering(0, 0));
    world.phones[1].desk.ports.clear();
    world.dial();
    world.run_for(S(60));
    assert_eq!(world.end(0), ended(EndedBy::Peer, 486));
    world.assert_clean("busy");
    let mut world = World::new(12, Outgoing::default(), answering(0, 0));
    world.phones[0].desk.ports.clear();
    world.dial();
    assert_eq!(
        world.events(0),
        [Event::Ended {
            by: EndedBy::Nobody,
            status: 503
        }]
    );
}

/// A request by hand, to the callee.
fn by_hand(world: &mut World, text: &str) -> String {
    let remote = CALLER.parse().expect("an address");
    let before = world.sent.len();
    world.input(
        1,
        Input::Sip {
            remote,
            bytes: text.as_bytes().to_vec(),
        },
    );
    world.sent.get(before).cloned().unwrap_or_default()
}

fn request(method: &str, to_tag: &str, cseq: u32, more: &str, body: &str) -> String {
    format!(
        "{method} sip:x@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{method}{cseq}\r\n\
         From: <sip:a@192.0.2.1>;tag=a\r\nTo: <sip:x@192.0.2.2>{to_tag}\r\nCall-ID: by-hand\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:a@192.0.2.1:5060>\r\nMax-Forwards: 70\r\n{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8\r\n";
const SDP_TYPE: &str = "Content-Type: application/sdp\r\n";

#[test]
fn requests_without_a_call_get_what_the_rfc_says() {
    let mut world = World::new(13, Outgoing::default(), answering(0, 0));
    for (method, to_tag, more, body, status) in [
        ("OPTIONS", "", "", "", "200"),
        ("BYE", ";tag=x", "", "", "481"),
        ("REGISTER", "", "", "", "405"),
        ("JUMP", "", "", "", "501"),
        ("INVITE", "", "", "", "488"),
        ("INVITE", "", "Require: 100rel\r\n", "", "420"),
        ("INVITE", "", "Content-Type: text/plain\r\n", "hello", "415"),
        (
            "INVITE",
            "",
            SDP_TYPE,
            "v=0\r\nm=video 4 RTP/AVP 31\r\n",
            "488",
        ),
    ] {
        let cseq = u32::try_from(world.sent.len()).expect("few") + 1;
        let answer = by_hand(&mut world, &request(method, to_tag, cseq, more, body));
        assert!(
            answer.starts_with(&format!("SIP/2.0 {status}")),
            "{method} {more}: {answer}"
        );
    }
    let rubbish = CALLER.parse().expect("an address");
    world.input(
        1,
        Input::Sip {
            remote: rubbish,
            bytes: b"\xff\x00hello".to_vec(),
        },
    );
    assert_eq!(world.told[1], []);
    assert_eq!(world.phones[1].calls(), 0);
}

#[test]
fn a_reinvite_is_refused_and_the_call_goes_on() {
    let mut world = World::new(14, Outgoing::default(), answering(0, 0));
    let remote: SocketAddr = CALLER.parse().expect("an address");
    let bytes = request("INVITE", "", 1, SDP_TYPE, SDP).into_bytes();
    world.phones[1].handle(world.now, Input::Sip { remote, bytes });
    world.phones[1].desk.actions.clear();
    let tag = world.phones[1]
        .desk
        .dialogs
        .keys()
        .next()
        .expect("a dialog")
        .local_tag
        .clone();
    let tag = format!(";tag={tag}");
    world.input(1, Input::Deadline);
    by_hand(&mut world, &request("ACK", &tag, 1, "", ""));
    let in_dialog = |world: &mut World, method, cseq, more, body| {
        by_hand(world, &request(method, &tag, cseq, more, body))
    };
    assert!(in_dialog(&mut world, "INVITE", 2, SDP_TYPE, SDP).starts_with("SIP/2.0 488"));
    assert!(in_dialog(&mut world, "OPTIONS", 3, "", "").starts_with("SIP/2.0 200"));
    assert!(
        in_dialog(&mut world, "INFO", 2, "", "").starts_with("SIP/2.0 500"),
        "an old CSeq"
    );
    assert!(in_dialog(&mut world, "INFO", 4, "", "").starts_with("SIP/2.0 405"));
    assert_eq!(world.phones[1].calls(), 1);
    let stranger = request("BYE", &tag, 5, "", "").replace("tag=a", "tag=b");
    assert!(by_hand(&mut world, &stranger).starts_with("SIP/2.0 481"));
    assert!(in_dialog(&mut world, "BYE", 6, "", "").starts_with("SIP/2.0 200"));
    assert_eq!(world.phones[1].calls(), 0);
}

/// Goal: every call ends at both ends and nothing is left, whatever the network does.
/// Method: 30 % loss with reordering and doubles, every behaviour, 400 seeds; the callee's own hanging up
/// stands for the session timer that a peer needs whose BYE was lost eleven times.
#[test]
fn on_a_bad_link_every_call_ends_and_no_ghost_stays() {
    let mut answered = 0;
    for seed in 0..400 {
        let outgoing = Outgoing {
            hang_up_after: (seed % 2 == 0).then_some(S(5)),
            give_up_after: (seed % 3 == 0).then_some(MS(700)),
        };
        let reply = match seed % 5 {
            0 => Reply::Refuse(MS(400), 486),
            1 => Reply::Never,
            _ => Reply::Answer(MS(700)),
        };
        let incoming = Incoming {
            ring: Ring::After(MS(100)),
            reply,
            hang_up_after: Some(S(40)),
        };
        let mut world = World::new(seed, outgoing, incoming).losing(30);
        world.dial();
        world.run_for(S(400));
        world.assert_clean(&format!("seed {seed}"));
        answered += u32::from(
            world
                .events(0)
                .iter()
                .any(|e| matches!(e, Event::Answered(_))),
        );
    }
    assert!(answered > 150, "{answered} calls were answered");
}
