//! What is wrong gets its status or silence, and the next call works.

use crate::message::{header, status};
use crate::peer::Peer;
use crate::rtp_end::RtpEnd;
use crate::service::{QINGJIANG, Service, Setup, local};
use crate::sipp::{Plan, scenario};
use crate::stage::Stage;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// EX_CONFIG of sysexits.
const BAD_CONFIG: i32 = 78;
/// EX_UNAVAILABLE.
const UNAVAILABLE: i32 = 69;

/// Goal: all that is wrong with a file is said in one go, by `run` and by `check`.
#[test]
fn a_wrong_config_gets_every_problem_at_once() {
    let stage = Stage::shared("bad-config");
    let config = stage.path("bad.toml");
    std::fs::write(&config, WRONG).expect("a config file");
    for command in ["run", "check"] {
        let arguments = [command, "--config", &config.display().to_string()].map(str::to_owned);
        let mut peer = Peer::start(&stage, command, Path::new(QINGJIANG), &arguments);
        assert_eq!(
            peer.must_end(LIMIT),
            BAD_CONFIG,
            "{command}: {}",
            peer.output()
        );
        let said = peer.output();
        for key in WRONG_KEYS {
            assert!(
                said.contains(key),
                "{command} does not speak of {key}:\n{said}"
            );
        }
        assert!(
            said.contains("bad.toml:2"),
            "{command} does not name the line of sip.listen:\n{said}"
        );
    }
}

const WRONG: &str = r#"[sip]
listen = ["udp:127.0.0.1:port"]

[media]
address = "127.0.0.1"
ports = "30000-20000"

[web]
listen = "nowhere"

[[trunk]]
name = "carrier"
from = ["127.0.0.0/40"]

[[hotline]]
name = "weather"
numbers = ["hotline"]
targets = ["mailto:agent@127.0.0.1"]
profile = "no-such-profile"
ring_timeout = "30 apples"
colour = "blue"
"#;

const WRONG_KEYS: [&str; 8] = [
    "listen",
    "ports",
    "web.listen",
    "from",
    "targets",
    "no-such-profile",
    "ring_timeout",
    "colour",
];

/// Goal: a good file is called good.
#[test]
fn check_finds_nothing_wrong_with_a_good_config() {
    let stage = Stage::shared("good-config");
    let config = stage.path("good.toml");
    let toml = Setup::new(&[5090]).toml(local(5060), local(8080), &stage.path("store"));
    std::fs::write(&config, toml).expect("a config file");
    let arguments = ["check", "--config", &config.display().to_string()].map(str::to_owned);
    Peer::start(&stage, "check", Path::new(QINGJIANG), &arguments).must_succeed(LIMIT);
}

#[test]
fn a_sip_port_that_is_taken_ends_the_start() {
    let stage = Stage::shared("sip-taken");
    let taken = UdpSocket::bind(local(0)).expect("a socket");
    let sip = taken.local_addr().expect("an address");
    assert_unavailable(&stage, sip, local(crate::ports::one()));
}

#[test]
fn a_web_port_that_is_taken_ends_the_start() {
    let stage = Stage::shared("web-taken");
    let taken = TcpListener::bind(local(0)).expect("a listener");
    let web = taken.local_addr().expect("an address");
    assert_unavailable(&stage, local(crate::ports::one()), web);
}

fn assert_unavailable(stage: &Stage, sip: SocketAddr, web: SocketAddr) {
    let config = stage.path("taken.toml");
    let toml = Setup::new(&[5090]).toml(sip, web, &stage.path("store"));
    std::fs::write(&config, toml).expect("a config file");
    let arguments = ["run", "--config", &config.display().to_string()].map(str::to_owned);
    let mut peer = Peer::start(stage, "qingjiang", Path::new(QINGJIANG), &arguments);
    assert_eq!(peer.must_end(LIMIT), UNAVAILABLE, "{}", peer.output());
}

/// Goal: rubbish is met with silence, and costs nobody a call.
#[test]
fn rubbish_is_met_with_silence() {
    let stage = Stage::shared("rubbish");
    let desk = Desk::open(&stage);
    let hand = Hand::new(desk.service.sip);
    let invite = hand.invite("rubbish-1");
    let no_via: Vec<&str> = invite
        .split("\r\n")
        .filter(|line| !line.starts_with("Via"))
        .collect();
    let no_via = no_via.join("\r\n");
    let long = "A".repeat(60_000);
    let rubbish: [&[u8]; 8] = [
        b"",
        b"\0",
        b"\r\n\r\n",
        b"\xff\xfe\x80\x81 \xf0\x28\x8c\x28",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        no_via.as_bytes(),
        long.as_bytes(),
    ];
    for datagram in rubbish {
        hand.send(datagram);
    }
    assert_eq!(hand.statuses().next(), None, "nothing comes back");
    desk.next_call_works(&stage);
}

/// Goal: an INVITE that lacks something gets 400, whatever it lacks, as long as it can be answered.
#[test]
fn a_bad_invite_gets_400() {
    let stage = Stage::shared("bad-invite");
    let desk = Desk::open(&stage);
    for missing in ["Call-ID", "CSeq", "From", "To"] {
        let status = desk.ask(|invite| {
            let lines = invite
                .split("\r\n")
                .filter(|line| !line.starts_with(missing));
            lines.collect::<Vec<_>>().join("\r\n")
        });
        assert_eq!(status, Some(400), "without {missing}");
    }
    let status = desk.ask(|invite| invite.replace("Content-Length: ", "Content-Length: 9"));
    assert_eq!(status, Some(400), "a body shorter than Content-Length");
    desk.next_call_works(&stage);
}

/// Goal: a number that is nobody's, a method that nobody knows.
#[test]
fn an_unknown_number_gets_404_and_an_unknown_method_405() {
    let stage = Stage::shared("unknown");
    let desk = Desk::open(&stage);
    assert_eq!(
        desk.ask(|invite| invite.replace("sip:hotline@", "sip:nobody@")),
        Some(404)
    );
    let status = desk.ask(|invite| invite.replace("INVITE", "NEWMETHOD"));
    assert!(
        matches!(status, Some(405 | 501)),
        "an unknown method: {status:?}"
    );
    desk.next_call_works(&stage);
}

/// Goal: an offer that nobody can meet gets 488.
#[test]
fn no_common_codec_gets_488() {
    let stage = Stage::shared("no-codec");
    let desk = Desk::open(&stage);
    let of_opus = |invite: String| {
        // As many bytes as before: the length stays true.
        invite.replace(
            "AVP 8\r\na=rtpmap:8 PCMA/8000",
            "AVP 96\r\na=rtpmap:96 opus/480",
        )
    };
    assert_eq!(desk.ask(of_opus), Some(488));
    desk.next_call_works(&stage);
}

/// A service with an agent that will answer one call.
struct Desk {
    service: Service,
    agent_port: u16,
}

impl Desk {
    fn open(stage: &Stage) -> Self {
        let agent_port = crate::ports::one();
        Self {
            service: Setup::new(&[agent_port]).start(stage),
            agent_port,
        }
    }

    /// The final status for an INVITE after some change.
    fn ask(&self, change: impl Fn(String) -> String) -> Option<u16> {
        let hand = Hand::new(self.service.sip);
        hand.send(change(hand.invite("hand")).as_bytes());
        hand.statuses().find(|status| *status >= 200)
    }

    /// An ordinary call, after all that was sent by hand.
    fn next_call_works(self, stage: &Stage) {
        let media = RtpEnd::open();
        let file = scenario("basic_call_uas");
        let mut agent = Plan::agent(stage, "agent", &file, self.agent_port)
            .media(&media)
            .start(20);
        let file = scenario("own/caller_hangs_up_uac");
        let caller = Plan::caller(stage, "caller", &file, self.service.sip).media(&media);
        caller.talk_ms(300).start(15).must_succeed(LIMIT);
        agent.must_succeed(LIMIT);
        self.service.await_metric("qingjiang_calls_active", 0.0);
        self.service
            .await_metric("qingjiang_calls_answered_total", 1.0);
        self.service.stop();
    }
}

/// A caller who writes SIP by hand. Each has a socket of its own, since nobody sends an ACK here
/// and refusals are repeated.
pub struct Hand {
    socket: UdpSocket,
    to: SocketAddr,
}

impl Hand {
    /// One that writes to `to`.
    pub fn new(to: SocketAddr) -> Self {
        let socket = UdpSocket::bind(local(0)).expect("a socket");
        socket
            .set_read_timeout(Some(Duration::from_secs(1)))
            .expect("a read timeout");
        Self { socket, to }
    }

    /// A second one with the same socket.
    pub fn another(&self) -> Self {
        let socket = self.socket.try_clone().expect("a second handle");
        Self {
            socket,
            to: self.to,
        }
    }

    /// Sends a datagram.
    pub fn send(&self, bytes: &[u8]) {
        self.socket
            .send_to(bytes, self.to)
            .expect("a datagram sent");
    }

    /// An INVITE without a fault.
    pub fn invite(&self, id: &str) -> String {
        let (to, from) = (self.to, self.socket.local_addr().expect("an address"));
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 9 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n";
        format!(
            "INVITE sip:hotline@{to} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {from};branch=z9hG4bK-{port}-{id};rport\r\n\
             From: <sip:hand@{from}>;tag={id}\r\nTo: <sip:hotline@{to}>\r\n\
             Call-ID: {port}-{id}@hand\r\nCSeq: 1 INVITE\r\nContact: <sip:hand@{from}>\r\n\
             Max-Forwards: 70\r\nContent-Type: application/sdp\r\n\
             Content-Length: {length}\r\n\r\n{sdp}",
            port = from.port(),
            length = sdp.len()
        )
    }

    /// The ACK of a 200 to such an INVITE.
    pub fn ack(&self, ok: &str) -> String {
        let from = self.socket.local_addr().expect("an address");
        let copy = |name: &str| header(ok, name).unwrap_or_default();
        format!(
            "ACK sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-ack;rport\r\nFrom: {}\r\n\
             To: {}\r\nCall-ID: {}\r\nCSeq: 1 ACK\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            copy("From"),
            copy("To"),
            copy("Call-ID"),
            to = self.to,
        )
    }

    /// What comes back, until nothing comes for a second.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        let mut bytes = vec![0; 65_536];
        std::iter::from_fn(move || {
            let length = self.socket.recv(&mut bytes).ok()?;
            Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
        })
    }

    /// The statuses that come back, until nothing comes for a second.
    pub fn statuses(&self) -> impl Iterator<Item = u16> {
        self.texts().map(|text| status(&text).unwrap_or(0))
    }
}
