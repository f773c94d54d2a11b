//! HEP: what a collector of others makes of our datagrams, and what becomes of calls when there is none.
//!
//! sngrep takes the datagrams and writes the messages that it finds in them into a capture; tshark reads it.

use crate::message::{Message, header};
use crate::peer::{Peer, find};
use crate::rtp_end::RtpEnd;
use crate::service::{Service, Setup};
use crate::sipp::{Plan, Sipp, scenario};
use crate::stage::{Stage, wait_for};
use rustix::process::Signal;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// A message as tshark tells it.
#[derive(Debug)]
struct Row {
    at_s: f64,
    source: String,
    destination: String,
    /// Method, or status.
    what: String,
    call_id: String,
}

fn rows(capture: &Path) -> Vec<Row> {
    let fields = [
        "frame.time_epoch",
        "ip.src",
        "udp.srcport",
        "ip.dst",
        "udp.dstport",
        "sip.Method",
        "sip.Status-Code",
        "sip.Call-ID",
    ];
    let output = Command::new(find("tshark"))
        .arg("-r")
        .arg(capture)
        .args(["-Y", "sip", "-T", "fields"])
        .args(fields.iter().flat_map(|field| ["-e", field]))
        .args(["-d", "udp.port==1-65535,sip"])
        .output()
        .expect("tshark");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        Row {
            at_s: cells[0].parse().expect("a time"),
            source: format!("{}:{}", cells[1], cells[2]),
            destination: format!("{}:{}", cells[3], cells[4]),
            what: format!("{}{}", cells[5], cells[6]),
            call_id: cells[7].to_owned(),
        }
    };
    text.lines().map(row).collect()
}

fn service(stage: &Stage, agent: u16, collector: u16) -> Service {
    let hep = format!(
        "[hep]\nto = \"udp:127.0.0.1:{collector}\"\ncapture_id = 77\npassword = \"sesame\"\n"
    );
    Setup::new(&[agent]).more(&hep).start(stage)
}

/// A call that goes as it should: both ends of it.
fn call(stage: &Stage, service: &Service, port: u16) -> [Sipp; 2] {
    let media = RtpEnd::open();
    let mut agent = Plan::agent(stage, "agent", &scenario("basic_call_uas"), port)
        .media(&media)
        .start(25);
    let file = scenario("own/caller_hangs_up_uac");
    let caller = Plan::caller(stage, "caller", &file, service.sip).media(&media);
    let mut caller = caller.talk_ms(500).start(25);
    caller.must_succeed(LIMIT);
    agent.must_succeed(LIMIT);
    [caller, agent]
}

/// Every message that this end sent or got is in the capture once, with its addresses and time.
fn assert_captured(rows: &[Row], peer: &Sipp, service: &Service) {
    let (own, other) = (format!("127.0.0.1:{}", peer.port), service.sip.to_string());
    let messages = peer.messages();
    assert!(messages.len() >= 6, "{} messages", messages.len());
    for message in &messages {
        let (source, destination) = if message.sent {
            (&own, &other)
        } else {
            (&other, &own)
        };
        let is_it = |row: &&Row| {
            row.source == *source
                && row.destination == *destination
                && row.what == what(message)
                && Some(row.call_id.as_str()) == header(&message.text, "Call-ID")
                && (row.at_s - message.at_s).abs() < 0.25
        };
        let found = rows.iter().filter(is_it).count();
        assert!(found >= 1, "{} {}\n{rows:#?}", message.at_s, message.text);
    }
}

fn what(message: &Message) -> String {
    let status = message.status().map(|status| status.to_string());
    status.unwrap_or_else(|| message.method().unwrap_or_default().to_owned())
}

#[test]
fn a_collector_of_others_gets_every_message_with_its_addresses_and_time() {
    let stage = Stage::shared("hep");
    let (port, collector) = (crate::ports::one(), crate::ports::one());
    let capture = stage.path("hep.pcap");
    let url = format!("udp:127.0.0.1:{collector}");
    let file = capture.display().to_string();
    let arguments = ["-N", "-q", "-F", "-L", &url, "-O", &file].map(str::to_owned);
    let mut sngrep = Peer::start(&stage, "sngrep", &find("sngrep"), &arguments);
    wait_for("the collector", LIMIT, || {
        crate::ports::is_bound(collector).then_some(())
    });
    let service = service(&stage, port, collector);
    let ends = call(&stage, &service, port);
    let messages: usize = ends.iter().map(|end| end.messages().len()).sum();
    wait_for("all to be sent", LIMIT, || {
        let sent = service.metrics().sum("qingjiang_hep_sent_total", &[]);
        (sent >= messages as f64).then_some(())
    });
    assert_eq!(
        service.metrics().sum("qingjiang_hep_dropped_total", &[]),
        0.0
    );
    sngrep.signal(Signal::TERM);
    let _ = sngrep.ended_within(LIMIT);
    let rows = rows(&capture);
    for end in &ends {
        assert_captured(&rows, end, &service);
    }
    service.stop();
}

/// The chunks of a datagram: type and content.
fn chunks(datagram: &[u8]) -> Vec<(u16, &[u8])> {
    let two = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
    assert_eq!(&datagram[..4], b"HEP3");
    assert_eq!(usize::from(two(4)), datagram.len());
    let (mut at, mut chunks) = (6, Vec::new());
    while at < datagram.len() {
        let end = at + usize::from(two(at + 4));
        assert_eq!(two(at), 0, "the vendor of a generic chunk");
        chunks.push((two(at + 2), &datagram[at + 6..end]));
        at = end;
    }
    chunks
}

#[test]
fn both_legs_have_the_calls_id_and_we_say_who_we_are() {
    let stage = Stage::shared("hep-id");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a collector's socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .expect("a time-out");
    let port = crate::ports::one();
    let collector = socket.local_addr().expect("an address").port();
    let service = service(&stage, port, collector);
    let _ends = call(&stage, &service, port);
    let id = service.record()["id"].as_str().expect("an id").to_owned();
    let mut bytes = [0; 65_536];
    let mut count = 0;
    while let Ok(length) = socket.recv(&mut bytes) {
        count += 1;
        let chunks = chunks(&bytes[..length]);
        let of = |kind: u16| {
            chunks
                .iter()
                .find(|(own, _)| *own == kind)
                .map(|(_, content)| *content)
        };
        assert_eq!(of(0x0c), Some(&77_u32.to_be_bytes()[..]));
        assert_eq!(of(0x0e), Some(&b"sesame"[..]));
        let payload = String::from_utf8_lossy(of(0x0f).expect("a message")).into_owned();
        assert_eq!(of(0x11), Some(id.as_bytes()), "{payload}");
    }
    assert!(count >= 12, "{count} messages");
    service.stop();
}

#[test]
fn a_collector_that_is_not_there_harms_no_call() {
    let stage = Stage::shared("hep-dead");
    let port = crate::ports::one();
    let service = service(&stage, port, crate::ports::one());
    let _ends = call(&stage, &service, port);
    assert_eq!(service.record()["outcome"], "answered");
    service.stop();
}
