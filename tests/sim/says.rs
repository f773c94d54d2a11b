//! Messages as the peers of these worlds write them, and what peers have in common.

use crate::net::Repeat;
use crate::reinvite::Timer;
use qingjiang::base::time::Instant;
use qingjiang::sip::wire::{Message, Method, Start, Uri};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Where qingjiang listens.
pub const ENGINE: &str = "10.0.0.1:5060";

pub fn engine() -> SocketAddr {
    ENGINE.parse().expect("an address")
}

/// Where rubbish comes from.
pub fn rubbish() -> SocketAddr {
    SocketAddr::from(([10, 1, 0, 77], 5060))
}

/// What a peer does when it has its turn.
#[derive(Default)]
pub struct Turn {
    /// Datagrams to qingjiang.
    pub send: Vec<Vec<u8>>,
    /// When to be woken, and for what.
    pub wake: Vec<(Instant, Wake)>,
    /// What qingjiang did wrong in the eyes of this peer.
    pub faults: Vec<String>,
}

impl Turn {
    pub fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    pub fn check(&mut self, holds: bool, fault: impl Into<String>) {
        if !holds {
            self.fault(fault);
        }
    }
}

/// What a peer can be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    Start,
    /// A message that is repeated until it is answered.
    Repeat(u32),
    GiveUp,
    HangUp(usize, usize),
    Vanish(usize),
    Stray(usize),
    /// A step of a target's plan for one of its calls.
    Step(usize, usize),
    /// A change of the session, in a call and fork.
    Change(usize, usize, Timer),
}

/// All that a peer repeats at the moment.
#[derive(Default)]
pub struct Repeats {
    next: u32,
    all: BTreeMap<u32, Repeat>,
}

impl Repeats {
    /// Sends something, and goes on sending it until [`Self::stop`] or its time is over.
    pub fn start(&mut self, now: Instant, turn: &mut Turn, repeat: Repeat) -> u32 {
        self.next += 1;
        turn.send.push(repeat.bytes.clone());
        turn.wake.push((repeat.due(now), Wake::Repeat(self.next)));
        self.all.insert(self.next, repeat);
        self.next
    }

    pub fn stop(&mut self, id: u32) -> bool {
        self.all.remove(&id).is_some()
    }

    /// `true` if this one's time is over.
    pub fn on_wake(&mut self, now: Instant, turn: &mut Turn, id: u32) -> bool {
        let Some(repeat) = self.all.get_mut(&id) else {
            return false;
        };
        if !repeat.goes_on(now) {
            self.all.remove(&id);
            return true;
        }
        turn.send.push(repeat.bytes.clone());
        turn.wake.push((repeat.due(now), Wake::Repeat(id)));
        false
    }
}

/// The headers that every request has, in this order: Via, From, To, Call-ID, CSeq.
pub struct Head<'a> {
    pub method: &'a str,
    pub uri: &'a str,
    pub source: SocketAddr,
    pub branch: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub call_id: &'a str,
    pub cseq: u32,
}

pub fn request(head: &Head<'_>) -> Message {
    let uri = Uri::parse(head.uri).expect("a URI of our own");
    let mut message = Message::request(Method::from(head.method), uri);
    let via = format!("SIP/2.0/UDP {};branch={};rport", head.source, head.branch);
    let cseq = format!("{} {}", head.cseq, head.method);
    for (name, value) in [
        ("Via", via.as_str()),
        ("From", head.from),
        ("To", head.to),
        ("Call-ID", head.call_id),
        ("CSeq", &cseq),
    ] {
        message.headers.push(name, value);
    }
    message
}

/// The ACK of a refusal, or the CANCEL, of an INVITE: its own Via and Request-URI (RFC 3261 §9.1, §17.1.1.3).
pub fn hop(invite: &Message, method: &str, to: &str) -> Message {
    let Start::Request { uri, .. } = &invite.start else {
        unreachable!("an INVITE is a request");
    };
    let mut message = Message::request(Method::from(method), uri.clone());
    let number = invite.cseq().expect("our own CSeq").number;
    let cseq = format!("{number} {method}");
    for (name, value) in [
        ("Via", header(invite, "Via")),
        ("Max-Forwards", "70"),
        ("From", header(invite, "From")),
        ("To", to),
        ("Call-ID", header(invite, "Call-ID")),
        ("CSeq", &cseq),
    ] {
        message.headers.push(name, value);
    }
    message
}

pub fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    message.headers.first(name).unwrap_or_default()
}

pub fn tag_of(name_addr: &str) -> Option<&str> {
    name_addr.split(";tag=").nth(1)?.split(';').next()
}

pub fn branch_of(message: &Message) -> String {
    let via = message.top_via().ok();
    via.and_then(|via| via.branch().map(str::to_owned))
        .unwrap_or_default()
}

pub fn uri_in(name_addr: &str) -> &str {
    let inner = name_addr.split('<').nth(1).unwrap_or(name_addr);
    inner.split('>').next().unwrap_or_default()
}

pub fn cseq_of(message: &Message) -> (u32, Method) {
    let cseq = message.cseq();
    cseq.map(|cseq| (cseq.number, cseq.method))
        .unwrap_or((0, Method::Other(String::new())))
}

/// A session description with one audio line.
pub fn sdp(address: IpAddr, port: u16, formats: &str) -> Vec<u8> {
    description(address, 1, port, formats, "sendrecv")
}

pub fn description(
    address: IpAddr,
    version: u32,
    port: u16,
    formats: &str,
    direction: &str,
) -> Vec<u8> {
    format!(
        "v=0\r\no=peer 4711 {version} IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {formats}\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    )
    .into_bytes()
}

/// What a description says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Of the `o=` line: the session's name, and its version.
    pub session: String,
    pub version: u64,
    pub address: SocketAddr,
    pub formats: Vec<String>,
    pub direction: &'static str,
    /// All but the `o=` line.
    pub rest: String,
}

pub fn described(body: &[u8]) -> Option<Described> {
    let text = std::str::from_utf8(body).ok()?;
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let mut origin = line("o=")?.split(' ').skip(1);
    let session = origin.next()?.to_owned();
    let version = origin.next()?.parse().ok()?;
    let host = line("c=IN IP4 ")?.parse().ok()?;
    let (port, formats) = audio_of(body)?;
    let has = |word: &&&str| text.contains(&format!("a={word}\r\n"));
    let known = ["sendonly", "recvonly", "inactive"];
    let rest = text.lines().filter(|line| !line.starts_with("o="));
    Some(Described {
        session,
        version,
        address: SocketAddr::new(host, port),
        formats,
        direction: known.iter().find(has).copied().unwrap_or("sendrecv"),
        rest: rest.collect::<Vec<_>>().join("\n"),
    })
}

pub fn sends(direction: &str) -> bool {
    matches!(direction, "sendrecv" | "sendonly")
}

pub fn receives(direction: &str) -> bool {
    matches!(direction, "sendrecv" | "recvonly")
}

/// The direction as the other end sees it (RFC 3264 §6.1).
pub fn reversed(direction: &str) -> &'static str {
    match direction {
        "sendonly" => "recvonly",
        "recvonly" => "sendonly",
        "inactive" => "inactive",
        _ => "sendrecv",
    }
}

impl Described {
    /// Whether it may answer this offer (RFC 3264 §6.1): nothing that was not offered.
    pub fn answers(&self, formats: &str, direction: &str) -> bool {
        let offered = |format: &String| formats.split(' ').any(|one| one == format);
        let way = (!sends(self.direction) || receives(direction))
            && (!receives(self.direction) || sends(direction));
        way && self.address.port() > 0 && self.formats.iter().all(offered)
    }
}

pub fn with_sdp(mut message: Message, body: Vec<u8>) -> Message {
    message.headers.push("Content-Type", "application/sdp");
    message.body = body;
    message
}

/// The port and the formats of the first audio line.
pub fn audio_of(body: &[u8]) -> Option<(u16, Vec<String>)> {
    let text = std::str::from_utf8(body).ok()?;
    let line = text.lines().find(|line| line.starts_with("m=audio "))?;
    let mut words = line.split(' ').skip(1);
    let port = words.next()?.parse().ok()?;
    Some((port, words.skip(1).map(str::to_owned).collect()))
}

/// Whether a call can be made of this answer: a port, and one of the offer's laws of G.711.
pub fn is_usable(body: &[u8], offered: &[String]) -> bool {
    let is_common = |format: &String| (format == "0" || format == "8") && offered.contains(format);
    audio_of(body).is_some_and(|(port, formats)| port > 0 && formats.iter().any(is_common))
}

/// A request inside a dialog that qingjiang does not expect, or that is none of its dialogs'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    Options,
    /// BYE with a tag that is not ours.
    ForeignBye,
    /// BYE with a CSeq lower than the last.
    OldBye,
    Info,
    Unknown,
}

impl Stray {
    pub const ALL: [Stray; 5] = [
        Stray::Options,
        Stray::ForeignBye,
        Stray::OldBye,
        Stray::Info,
        Stray::Unknown,
    ];

    /// Whether this may be answered: the right status, or that the call is over or busy. An INFO that the other end
    /// never answers, or that the call's end overtakes, gets that word.
    pub fn may_get(self, status: u16) -> bool {
        let overtaken = self == Stray::Info && matches!(status, 408 | 487);
        [self.status(), 481, 500].contains(&status) || overtaken
    }

    pub fn method(self) -> &'static str {
        match self {
            Stray::Options => "OPTIONS",
            Stray::ForeignBye | Stray::OldBye => "BYE",
            Stray::Info => "INFO",
            Stray::Unknown => "JUMP",
        }
    }

    /// What may be answered while the call is up; after its end 481 too.
    pub fn status(self) -> u16 {
        match self {
            Stray::Options => 200,
            Stray::ForeignBye => 481,
            Stray::OldBye => 500,
            Stray::Info => 200,
            Stray::Unknown => 501,
        }
    }
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
