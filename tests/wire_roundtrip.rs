//! Goal: what is written is read as it was meant, and no bytes from the network break the parser or the engine.
//! Method: messages are built from odd parts and read back; random bytes and torture messages, spoilt at random,
//! go through the parser and through an engine that takes every number. What that sends to its target must be sound.

#[path = "torture/bench.rs"]
mod bench;
#[path = "common/machine.rs"]
mod machine;

use bench::{Bench, SOURCE, TARGET};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use qingjiang::sip::wire::stream::Piece;
use qingjiang::sip::wire::{
    Framer, Message, Method, NameAddr, Params, Start, Uri, Via, frame_stream, parse_datagram,
    parse_framed, text,
};
use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::LazyLock;

/// Any text a name may be: UTF-8, Latin-1 and GBK bytes, quotes, backslashes, control characters; no line ends.
fn odd_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        select(vec![
            "\"", "\\", "<", ">", ";", ",", "@", "%", "%41", "张", " ", "=", "a", "\u{0}", "\u{7}",
            "\u{7f}", ":", "?",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        // GBK's 诚 ends in a byte that is a backslash in ASCII; 0xEB is ë in Latin-1.
        select(vec![&b"\xd5\x5c"[..], b"\xd5\xc5", b"\xeb", b"\xff"]).prop_map(<[u8]>::to_vec),
        vec(
            any::<u8>().prop_filter("no line end", |byte| !matches!(byte, b'\r' | b'\n')),
            0..4
        ),
    ];
    vec(piece, 0..8).prop_map(|pieces| text::read(&pieces.concat()).into_owned())
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9.!%*_+`'~-]{1,12}"
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn params() -> impl Strategy<Value = Params> {
    let value = prop_oneof![
        token(),
        Just("\"a;b,\\\"<c>\"".to_owned()),
        Just("[2001:db8::1]".to_owned())
    ];
    vec((token(), value), 0..4).prop_map(|list| {
        let mut params = Params::default();
        for (name, value) in list {
            params.set(&name, &value);
        }
        params
    })
}

fn via() -> impl Strategy<Value = Via> {
    (token(), socket(), any::<bool>(), params()).prop_map(|(transport, place, has_port, params)| {
        Via {
            transport,
            host: qingjiang::sip::wire::Host::Ip(place.ip()),
            port: has_port.then_some(place.port()),
            params,
        }
    })
}

/// A user at an address, a display name and parameters.
#[derive(Clone, Debug)]
struct Party {
    display: String,
    user: String,
    place: SocketAddr,
    params: Params,
}

impl Party {
    fn address(&self) -> NameAddr {
        NameAddr {
            display: Some(self.display.clone()).filter(|display| !display.is_empty()),
            uri: Uri::sip(Some(&self.user), self.place),
            params: self.params.clone(),
        }
    }
}

fn party() -> impl Strategy<Value = Party> {
    let parts = (display(), odd_text(), socket(), params());
    parts.prop_map(|(display, user, place, params)| Party {
        display,
        user,
        place,
        params,
    })
}

/// A display name. Half a GBK character right before a quote cannot be written as it is.
fn display() -> impl Strategy<Value = String> {
    odd_text().prop_filter("half a character before a quote", |name| {
        let mut half = false;
        text::with_syntax(name).all(|(_, character, syntax)| {
            let fits = !(half && character == '"');
            half = syntax && text::escaped_byte(character).is_some();
            fits
        })
    })
}

#[derive(Clone, Debug)]
struct Built {
    method: Method,
    parties: [Party; 3],
    vias: Vec<Via>,
    own: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Built {
    fn message(&self) -> Message {
        let [from, to, contact] = &self.parties;
        let mut message = Message::request(self.method.clone(), to.address().uri);
        message.set_vias(&self.vias);
        for (name, party) in [("From", from), ("t", to), ("Contact", contact)] {
            message.headers.push(name, &party.address().to_string());
        }
        message.headers.push("Call-ID", "c@[2001:db8::1]");
        message
            .headers
            .push("CSeq", &format!("2147483647 {}", self.method));
        for (name, value) in &self.own {
            message.headers.push(&format!("X-Own-{name}"), value);
        }
        message.body = self.body.clone();
        message
    }
}

fn built() -> impl Strategy<Value = Built> {
    let method = prop_oneof![
        token().prop_map(|name| Method::from(name.as_str())),
        Just(Method::Invite)
    ];
    let own = vec((token(), odd_text()), 0..5);
    let body = prop_oneof![
        vec(any::<u8>(), 0..200),
        Just(b"\r\n\0\r\n\r\nINVITE ".to_vec())
    ];
    let parts = (
        method,
        [party(), party(), party()],
        vec(via(), 1..5),
        own,
        body,
    );
    parts.prop_map(|(method, parties, vias, own, body)| Built {
        method,
        parties,
        vias,
        own,
        body,
    })
}

static TORTURE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/torture");
    let mut paths = Vec::new();
    for set in ["rfc4475", "rfc5118"] {
        let files = fs::read_dir(folder.join(set)).expect("a folder");
        paths.extend(files.map(|file| file.expect("a file").path()));
    }
    // The order of a folder is not the same everywhere; a seed must find the same message again.
    paths.sort();
    let read = |path| fs::read(path).expect("a message");
    paths.into_iter().map(read).collect()
});

/// One thing done to a message.
#[derive(Clone, Debug)]
enum Harm {
    Flip(Index, u8),
    Cut(Index, Index),
    Double(Index, Index),
    Insert(Index, &'static [u8]),
    Splice(Index, Index, Index),
    End(Index),
    Swap(&'static str, &'static str),
}

fn harm() -> impl Strategy<Value = Harm> {
    const PIECES: [&[u8]; 22] = [
        b"\r\n",
        b"\r\n ",
        b"\n",
        b"\0",
        b"\"",
        b"\\",
        b"<",
        b">",
        b";",
        b",",
        b":",
        b"@",
        b"%",
        b"[",
        b"]",
        b"\xd5\x5c",
        b"\xff",
        b"\r\n\r\n",
        b"\r\nl: 3",
        b";tag=",
        b"\r\nTo: <sip:a@b>",
        b"*",
    ];
    const SWAPS: [(&str, &str); 12] = [
        ("OPTIONS", "INVITE"),
        ("REGISTER", "INVITE"),
        ("INVITE", "CANCEL"),
        ("INVITE", "ACK"),
        ("OPTIONS", "BYE"),
        (";tag=", ";x="),
        ("sip:", "tel:"),
        ("sip:", "sips:"),
        ("Contact", "Record-Route"),
        ("Max-Forwards: 70", "Max-Forwards: 0"),
        ("m=audio 49217", "m=audio 0"),
        ("IN IP4", "IN IP6"),
    ];
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, bits)| Harm::Flip(at, bits)),
        (at(), at()).prop_map(|(from, to)| Harm::Cut(from, to)),
        (at(), at()).prop_map(|(from, to)| Harm::Double(from, to)),
        (at(), select(PIECES.to_vec())).prop_map(|(at, piece)| Harm::Insert(at, piece)),
        (at(), at(), at()).prop_map(|(at, other, from)| Harm::Splice(at, other, from)),
        at().prop_map(Harm::End),
        select(SWAPS.to_vec()).prop_map(|(old, new)| Harm::Swap(old, new)),
    ]
}

impl Harm {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let size = bytes.len() + 1;
        match self {
            Harm::Flip(at, bits) => {
                if let Some(byte) = bytes.get_mut(at.index(size)) {
                    *byte ^= bits;
                }
            }
            Harm::Cut(from, to) => {
                let from = from.index(size);
                bytes.drain(from..(from + to.index(20)).min(size - 1));
            }
            Harm::Double(from, to) => {
                let from = from.index(size);
                let part = bytes[from..(from + to.index(400)).min(size - 1)].to_vec();
                bytes.splice(from..from, part);
            }
            Harm::Insert(at, piece) => {
                let at = at.index(size);
                bytes.splice(at..at, piece.iter().copied());
            }
            Harm::Splice(at, other, from) => {
                let other = other.get(&TORTURE);
                bytes.truncate(at.index(size));
                bytes.extend_from_slice(&other[from.index(other.len())..]);
            }
            Harm::End(at) => bytes.truncate(at.index(size)),
            Harm::Swap(old, new) => *bytes = swapped(bytes, old.as_bytes(), new.as_bytes()),
        }
    }
}

fn swapped(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((first, behind)) = rest.split_first() {
        match rest.strip_prefix(old) {
            Some(behind) => {
                out.extend_from_slice(new);
                rest = behind;
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

/// Bytes that a failure shows as text.
#[derive(Clone)]
struct Raw(Vec<u8>);

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

fn harmed(mut bytes: Vec<u8>, harms: &[Harm]) -> Raw {
    for harm in harms {
        harm.apply(&mut bytes);
    }
    Raw(bytes)
}

fn spoilt() -> impl Strategy<Value = Raw> {
    let parts = (any::<Index>(), vec(harm(), 0..5));
    parts.prop_map(|(which, harms)| harmed(which.get(&TORTURE).clone(), &harms))
}

/// Several messages, each a little spoilt, most of them copies of the first: repetitions, CANCEL, ACK.
fn spoilt_dialogue() -> impl Strategy<Value = Vec<Raw>> {
    let which = prop_oneof![2 => Just(None), 1 => any::<Index>().prop_map(Some)];
    let one = (which, vec(harm(), 0..3));
    (any::<Index>(), vec(one, 1..6)).prop_map(|(first, all)| {
        let base = |which: Option<Index>| which.unwrap_or(first);
        let made =
            |(which, harms): (_, Vec<Harm>)| harmed(base(which).get(&TORTURE).clone(), &harms);
        all.into_iter().map(made).collect()
    })
}

/// What a target says to our INVITE, with an answer in it.
fn answer_of_target(invite: &[u8], status: u16) -> Vec<u8> {
    let Ok(invite) = parse_datagram(invite) else {
        return Vec::new();
    };
    let mut answer = invite.reply(status, None);
    if let Ok(to) = invite.to() {
        answer.headers.set("To", &to.with_tag("desk").to_string());
    }
    answer
        .headers
        .push("Contact", "<sip:desk@203.0.113.9:5090>");
    answer.headers.push("Content-Type", "application/sdp");
    let sdp = "v=0\r\no=- 1 1 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0 8\r\n";
    answer.body = sdp.into();
    answer.to_bytes()
}

/// A stream in small pieces is cut where the whole would be: the first message ends at the same byte.
fn cut_alike(bytes: &[u8]) -> Result<(), TestCaseError> {
    let whole = frame_stream(bytes);
    let mut framer = Framer::default();
    for part in bytes.chunks(13) {
        framer.push(part);
        match framer.poll_piece() {
            Ok(Some(Piece::Ping)) => return Ok(()),
            Ok(Some(Piece::Message(message))) => {
                let Ok(Some(length)) = whole else {
                    prop_assert!(false, "{whole:?}");
                    return Ok(());
                };
                prop_assert!(message.len() <= length && bytes[..length].ends_with(&message));
                return Ok(());
            }
            Ok(None) => {}
            Err(_) => return Ok(()),
        }
    }
    prop_assert!(!matches!(whole, Ok(Some(_))));
    Ok(())
}

/// Reads everything that somebody may ask of a message; what was read must be written so that it reads the same.
fn read_all(bytes: &[u8]) -> Result<(), TestCaseError> {
    let _ = parse_framed(bytes);
    cut_alike(bytes)?;
    let message = match parse_datagram(bytes) {
        Ok(message) => message,
        Err(refused) => {
            let _ = refused.answer().map(|answer| answer.to_bytes());
            return Ok(());
        }
    };
    let _ = (message.content_type(), message.tokens("Supported"));
    for name in ["From", "To", "Contact", "Route", "Record-Route"] {
        for address in message.name_addrs(name).unwrap_or_default() {
            prop_assert_eq!(NameAddr::parse(&address.to_string()), Ok(address));
        }
    }
    for via in message.vias().unwrap_or_default() {
        prop_assert_eq!(Via::parse(&via.to_string()), Ok(via));
    }
    if let Start::Request { uri, .. } = &message.start {
        prop_assert_eq!(&Uri::parse(&uri.to_string()), &Ok(uri.clone()));
    }
    let _ = message.reply(200, None).to_bytes();
    prop_assert_eq!(parse_datagram(&message.to_bytes()), Ok(message));
    Ok(())
}

/// What goes to the target is ours: read by our own parser, with one Via and nothing of the caller's route.
fn is_sound(bytes: &[u8]) -> Result<(), TestCaseError> {
    let request = parse_datagram(bytes);
    prop_assert!(request.is_ok(), "{}", bytes.escape_ascii());
    let Ok(request) = request else {
        return Ok(());
    };
    prop_assert_eq!(request.vias().map(|vias| vias.len()), Ok(1));
    if let Start::Request { uri, .. } = &request.start
        && request.method() == Some(&Method::Invite)
    {
        prop_assert_eq!(uri.to_string(), "sip:desk@203.0.113.9:5090");
        prop_assert_eq!(request.headers.first("Route"), None);
    }
    Ok(())
}

/// A failure prints the smallest input that shows it; no file is kept.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn a_built_message_is_read_as_it_was_meant(built in built()) {
        let message = built.message();
        let read = parse_datagram(&message.to_bytes());
        prop_assert_eq!(&read, &Ok(message));
        let Ok(read) = read else { return Ok(()) };
        let [from, to, contact] = &built.parties;
        prop_assert_eq!(read.from(), Ok(from.address()));
        prop_assert_eq!(read.to(), Ok(to.address()));
        prop_assert_eq!(read.contact(), Ok(Some(contact.address())));
        let user = from.address().uri.user();
        prop_assert_eq!(user.unwrap_or_default(), from.user.clone());
        prop_assert_eq!(read.vias(), Ok(built.vias));
        prop_assert_eq!(read.body, built.body);
    }

    #[test]
    fn any_bytes_are_borne_by_the_parser(bytes in vec(any::<u8>(), 0..600)) {
        read_all(&bytes)?;
    }

    #[test]
    fn a_header_of_any_bytes_costs_no_other_header(value in vec(any::<u8>(), 0..60)) {
        let head = "OPTIONS sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP x\r\nf: <sip:a@b>\r\nt: <sip:c@d>\r\n\
            i: c\r\nCSeq: 1 OPTIONS\r\nX-Own: ";
        let clean: Vec<u8> = value.iter().map(|b| if *b == b'\n' { b' ' } else { *b }).collect();
        let message = parse_datagram(&[head.as_bytes(), &clean, b"\r\n\r\nbody"].concat());
        let kept = message.map(|message| (message.headers.iter().count(), message.body));
        prop_assert_eq!(kept, Ok((6, b"body".to_vec())));
    }
}

proptest! {
    #![proptest_config(cases(50_000))]

    #[test]
    fn a_spoilt_torture_message_is_borne_by_the_parser(bytes in spoilt()) {
        read_all(&bytes.0)?;
    }
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn spoilt_messages_are_borne_by_the_engine_and_leave_nothing_behind(
        messages in spoilt_dialogue(),
        rubbish in vec(any::<u8>(), 0..60).prop_map(Raw),
        status in select(vec![100, 180, 183, 200, 200, 302, 486, 503]),
        harms in vec(harm(), 0..3),
    ) {
        let mut bench = Bench::new();
        for bytes in messages.iter().chain([&rubbish]) {
            for (to, sent) in bench.receive(&bytes.0, SOURCE) {
                if to.to_string() == TARGET {
                    is_sound(&sent)?;
                    let answer = harmed(answer_of_target(&sent, status), &harms);
                    bench.receive(&answer.0, TARGET);
                }
            }
        }
        bench.run_out();
    }
}
