//! The torture messages, byte for byte, to the running service over UDP and over TCP.
//!
//! We listen where the answer is due: over UDP at the port of the sent-by or where we sent from, as `verdicts.toml` says, over
//! TCP on the connection. Silence on a message that is to be answered fails, and so does an answer to any other.

use crate::message::{header, status};
use crate::service::{Over, Service, Setup};
use crate::stage::Stage;
use crate::tcp_peer::{TcpPeer, bare};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The tester's own address, so that port 5060 is free there.
const TESTER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

/// One message, and what is to come of it over UDP.
struct Torture {
    name: String,
    bytes: Vec<u8>,
    answers: Vec<u16>,
    /// Where they go; 0 is where it came from.
    port: u16,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/torture")
}

fn all() -> Vec<Torture> {
    let text = std::fs::read_to_string(folder().join("verdicts.toml")).expect("verdicts");
    let sets: toml::Table = text.parse().expect("verdicts");
    let mut all = Vec::new();
    for (set, messages) in &sets {
        for (name, verdict) in messages.as_table().expect("a set") {
            let path = folder().join(set).join(format!("{name}.dat"));
            let statuses = verdict["answers"].as_array().expect("answers");
            let number = |value: &toml::Value| value.as_integer().expect("a number") as u16;
            all.push(Torture {
                name: format!("{set}/{name}"),
                bytes: std::fs::read(path).expect("a file"),
                answers: statuses.iter().map(number).collect(),
                port: verdict.get("port").map_or(0, number),
            });
        }
    }
    assert_eq!(all.len(), 61);
    all
}

/// Messages with the same branch would be repetitions to one service: each batch has each branch once.
fn batches() -> Vec<Vec<Torture>> {
    let mut batches: Vec<(BTreeSet<String>, Vec<Torture>)> = Vec::new();
    for torture in all() {
        let text = String::from_utf8_lossy(&torture.bytes).to_lowercase();
        let branch = text.split("branch").nth(1).unwrap_or_default();
        let branch = branch.lines().next().unwrap_or_default().to_owned();
        let place = batches
            .iter()
            .position(|(known, _)| !known.contains(&branch));
        let place = place.unwrap_or_else(|| {
            batches.push(Default::default());
            batches.len() - 1
        });
        batches[place].0.insert(branch);
        batches[place].1.push(torture);
    }
    batches.into_iter().map(|(_, batch)| batch).collect()
}

/// A service whose agent never answers.
fn service(stage: &Stage, agent: &UdpSocket) -> Service {
    let agent = agent.local_addr().expect("an address");
    Setup::new(&[])
        .targets(&[format!("sip:desk@{agent}")])
        .all_numbers()
        .calls(100)
        .ring_timeout("5m")
        .drain_timeout(Duration::from_secs(1))
        .over(Over::Tcp)
        .start(stage)
}

/// Ends it with its calls, which nobody answers.
fn stop(mut service: Service) {
    let bugs = service.metrics().sum("qingjiang_bugs_total", &[]);
    assert_eq!(bugs, 0.0, "qingjiang_bugs_total");
    service.terminate();
    service.must_end(Duration::from_secs(30));
}

/// Sockets at every port to which an answer may go.
struct Tester {
    source: UdpSocket,
    sockets: BTreeMap<u16, UdpSocket>,
    /// Answers so far: a repetition is none.
    seen: BTreeSet<Vec<u8>>,
    probes: u32,
}

impl Tester {
    fn new() -> Self {
        let bind = |port: u16| UdpSocket::bind((TESTER, port)).expect("a port of the tester's");
        let ports: BTreeSet<u16> = all().iter().map(|torture| torture.port).collect();
        let source = bind(0);
        let mut sockets: BTreeMap<u16, UdpSocket> = ports
            .into_iter()
            .filter(|port| *port != 0)
            .map(|port| (port, bind(port)))
            .collect();
        sockets.insert(0, source.try_clone().expect("a second handle"));
        for socket in sockets.values() {
            socket.set_nonblocking(true).expect("no waiting");
        }
        Self {
            source,
            sockets,
            seen: BTreeSet::new(),
            probes: 0,
        }
    }

    /// Sends, and gives what came before the answer to an OPTIONS that was sent next: port and status.
    fn ask(&mut self, service: SocketAddr, bytes: &[u8]) -> Vec<(u16, u16)> {
        self.source.send_to(bytes, service).expect("sent");
        self.probe(service);
        let mut answers = Vec::new();
        for (port, socket) in &self.sockets {
            let mut bytes = [0; 65_535];
            while let Ok(length) = socket.recv(&mut bytes) {
                let answer = bytes[..length].to_vec();
                let text = String::from_utf8_lossy(&answer).into_owned();
                if self.seen.insert(answer) {
                    answers.push((*port, status(&text).expect("an answer")));
                }
            }
        }
        answers
    }

    /// When this is answered, all that came before was.
    fn probe(&mut self, service: SocketAddr) {
        self.probes += 1;
        let socket = UdpSocket::bind((TESTER, 0)).expect("a port");
        let limit = Some(Duration::from_secs(10));
        socket.set_read_timeout(limit).expect("a read timeout");
        let from = socket.local_addr().expect("an address");
        let probe = bare("OPTIONS", service, from, &format!("probe{}", self.probes));
        let probe = probe.replace("SIP/2.0/TCP", "SIP/2.0/UDP");
        socket.send_to(probe.as_bytes(), service).expect("sent");
        let mut bytes = [0; 4096];
        socket.recv(&mut bytes).expect("an answer to OPTIONS");
    }
}

/// Goal: over UDP each gets the answers that it deserves, there where they are due.
#[test]
fn every_torture_message_over_udp_is_answered_where_it_is_due() {
    let stage = Stage::shared("torture-udp");
    for (n, batch) in batches().into_iter().enumerate() {
        std::fs::remove_dir_all(stage.path("store")).ok();
        let agent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let service = service(&stage, &agent);
        let mut tester = Tester::new();
        for torture in batch {
            let came = tester.ask(service.sip, &torture.bytes);
            let expected: Vec<(u16, u16)> = torture
                .answers
                .iter()
                .map(|status| (torture.port, *status))
                .collect();
            assert_eq!(came, expected, "{} in batch {n}", torture.name);
        }
        stop(service);
    }
}

/// What differs on a stream, where Content-Length decides: `None` is a message that never ends.
fn over_tcp(torture: &Torture) -> Option<Vec<u16>> {
    match torture.name.as_str() {
        // 9999 bytes are announced; there is no empty line behind the head.
        "rfc4475/clerr" | "rfc4475/baddn" => None,
        // There Content-Length is mandatory.
        "rfc4475/inv2543" => Some(vec![400]),
        // What is behind the REGISTER is a message of its own.
        "rfc4475/dblreq" => Some([torture.answers.clone(), vec![DBLREQ_INVITE]].concat()),
        _ => Some(torture.answers.clone()),
    }
}

/// The INVITE behind the REGISTER of `dblreq`: its SDP has a line `m =video`.
const DBLREQ_INVITE: u16 = 400;

/// Goal: over TCP each gets the same, on its own connection, whatever its Via says.
#[test]
fn every_torture_message_over_tcp_is_answered_on_its_connection() {
    let stage = Stage::shared("torture-tcp");
    for (n, batch) in batches().into_iter().enumerate() {
        std::fs::remove_dir_all(stage.path("store")).ok();
        let agent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let service = service(&stage, &agent);
        for torture in batch {
            let came = ask(service.sip, &torture);
            let expected = over_tcp(&torture).unwrap_or_default();
            assert_eq!(came, expected, "{} in batch {n}", torture.name);
        }
        stop(service);
    }
}

/// The statuses that come on a connection before the answer to an OPTIONS behind the message, or before its end.
fn ask(service: SocketAddr, torture: &Torture) -> Vec<u16> {
    let mut peer = TcpPeer::connect(service);
    peer.say(&torture.bytes);
    if over_tcp(torture).is_none() {
        peer.fall_silent();
    } else {
        peer.say(bare("OPTIONS", service, peer.address(), "probe"));
    }
    let mut came = Vec::new();
    while let Some(answer) = peer.hear() {
        if header(&answer, "Call-ID") == Some("probe") {
            break;
        }
        came.push(status(&answer).expect("an answer"));
    }
    came
}
