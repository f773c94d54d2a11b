//! The torture messages at the engine's door: what is answered, and what starts a call.

use super::bench::{Bench, SOURCE, TARGET};
use super::fixtures::{Expect, Torture, all, bytes};
use super::{find, request_uri};
use qingjiang::sip::wire::{Message, NameAddr, parse_datagram};
use std::net::SocketAddr;

/// What an engine sends upon one datagram.
struct Sent {
    /// To anybody but the target.
    answers: Vec<(SocketAddr, Message)>,
    /// To the target.
    calls: Vec<Message>,
}

fn receive(bench: &mut Bench, datagram: &[u8]) -> Sent {
    let mut sent = Sent {
        answers: Vec::new(),
        calls: Vec::new(),
    };
    for (to, bytes) in bench.receive(datagram, SOURCE) {
        match to == address(TARGET) {
            true => sent.calls.push(parse_datagram(&bytes).expect("a request")),
            false => sent.answers.push((to, read_answer(&bytes))),
        }
    }
    sent
}

/// An answer to a broken request repeats what is broken, so its head is mended before it is read.
fn read_answer(bytes: &[u8]) -> Message {
    let line = find(bytes, b"\r\n").expect("a status line") + 2;
    let mut mended = bytes[..line].to_vec();
    mended.extend_from_slice(
        b"v: SIP/2.0/UDP x\r\nf: <sip:a>\r\nt: <sip:b>\r\ni: c\r\nCSeq: 1 OPTIONS\r\n",
    );
    let broken = bytes[line..].split_inclusive(|byte| *byte == b'\n');
    for (at, part) in broken.enumerate() {
        let own = format!("X-{at}-");
        let is_end = part == b"\r\n" || part.starts_with(b"Content-Length");
        mended.extend_from_slice(if is_end { b"" } else { own.as_bytes() });
        mended.extend_from_slice(part);
    }
    parse_datagram(&mended).unwrap_or_else(|refused| panic!("an answer: {}", refused.fault))
}

/// The values of a header of an answer that was mended.
fn answered<'a>(answer: &'a Message, name: &str) -> Vec<&'a str> {
    let ending = format!("-{name}");
    let lines = answer.headers.iter().filter(|(own, _)| {
        own.strip_suffix(ending.as_str())
            .is_some_and(|mark| mark.starts_with("X-"))
    });
    lines.map(|(_, value)| value).collect()
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn the_engine_answers_as_the_verdict_says() {
    for torture in all() {
        let Sent { answers, calls } = receive(&mut Bench::new(), &torture.bytes);
        let (name, expected) = (&torture.name, &torture.expected);
        let statuses: Vec<u16> = answers.iter().filter_map(|(_, one)| one.status()).collect();
        assert_eq!(statuses, expected.answers, "{name}");
        assert_eq!(calls.len(), usize::from(expected.call), "{name}");
        let mut place = address(SOURCE);
        if let Some(port) = expected.port.filter(|port| *port != 0) {
            place.set_port(port);
        }
        assert!(answers.iter().all(|(to, _)| *to == place), "{name}");
        assert_eq!(expected.port.is_none(), answers.is_empty(), "{name}");
    }
}

#[test]
fn the_engine_does_what_the_rfcs_allow() {
    for Torture {
        name,
        index,
        expected,
        ..
    } in all()
    {
        let has_code = |status: &u16| index.codes.contains(status);
        let answers = &expected.answers;
        let allowed = match index.expect {
            Expect::Accept => !answers.is_empty() && !answers.contains(&400),
            Expect::Reject => answers.iter().all(has_code) && !expected.call,
            Expect::Ignore => answers.is_empty() && !expected.call,
            Expect::Either => true,
        };
        assert!(allowed, "{name}: {answers:?}");
    }
}

#[test]
fn a_good_invite_is_taken_after_all_of_them_and_all_ports_come_back() {
    let mut bench = Bench::new();
    for torture in all() {
        let sent = receive(&mut bench, &torture.bytes);
        let calls = usize::from(torture.expected.call);
        // Some have the branch of one before: those are repetitions of it.
        assert!(sent.calls.len() <= calls, "{}", torture.name);
    }
    let good = receive(&mut bench, &good_invite());
    assert_eq!(good.answers[0].1.status(), Some(100));
    assert_eq!(good.calls.len(), 1);
    bench.run_out();
}

/// `wsinv` without its To tag, which makes it a request inside a dialog, and with a Call-ID of its own.
fn good_invite() -> Vec<u8> {
    let text = String::from_utf8(bytes("rfc4475/wsinv")).expect("UTF-8");
    let outside = text.replace(" ;   tag    = 1918181833n", "");
    let own = outside.replace("wsinv.ndaksdj", "another");
    assert!(text != outside && outside != own);
    own.into_bytes()
}

#[test]
fn nobody_but_the_trunk_gets_more_than_a_refusal() {
    for torture in all() {
        let sent = Bench::new().receive(&torture.bytes, "192.0.2.99:5060");
        for (to, bytes) in sent {
            assert_ne!(to, address(TARGET), "{}", torture.name);
            assert!(bytes.starts_with(b"SIP/2.0 4") || bytes.starts_with(b"SIP/2.0 5"));
        }
    }
}

#[test]
fn every_final_answer_has_a_tag_in_its_to() {
    for torture in all() {
        let sent = receive(&mut Bench::new(), &torture.bytes);
        let finals = sent.answers.iter().map(|(_, answer)| answer);
        for answer in finals.filter(|answer| answer.status() != Some(100)) {
            let tos = answered(answer, "To");
            // What cannot be read comes back as it came: no To at all, two, or one with an open quote.
            if let [to] = tos[..]
                && let Ok(to) = NameAddr::parse(to)
            {
                assert!(to.tag().is_some(), "{}", torture.name);
            }
        }
    }
}

#[test]
fn a_request_without_a_via_is_not_answered() {
    let text = String::from_utf8(bytes("rfc4475/insuf")).expect("UTF-8");
    let bare = text.replace("Via: ", "Own: ");
    assert!(Bench::new().receive(bare.as_bytes(), SOURCE).is_empty());
}

#[test]
fn longreq_gets_all_its_vias_back() {
    let sent = receive(&mut Bench::new(), &bytes("rfc4475/longreq"));
    let (_, trying) = &sent.answers[0];
    let vias = answered(trying, "Via");
    assert_eq!(vias.len(), 34);
    assert_eq!(
        vias[0],
        "SIP/2.0/TCP sip33.example.com;received=198.51.100.7"
    );
    assert!(vias[33].starts_with("SIP/2.0/TCP host.example.com;received=192.0.2.5;branch="));
}

#[test]
fn a_refusal_names_what_would_be_welcome() {
    let header = |message: &str, name: &str| {
        let sent = receive(&mut Bench::new(), &bytes(message));
        answered(&sent.answers[0].1, name).join(", ")
    };
    assert_eq!(
        header("rfc4475/bext01", "Unsupported"),
        "nothingSupportsThis, nothingSupportsThisEither"
    );
    assert_eq!(header("rfc4475/invut", "Accept"), "application/sdp");
    assert!(header("rfc4475/escnull", "Allow").contains("INVITE"));
}

#[test]
fn what_a_caller_puts_into_its_uri_or_route_never_reaches_the_target() {
    for name in ["rfc4475/escruri", "rfc4475/esc01", "rfc4475/longreq"] {
        let sent = receive(&mut Bench::new(), &bytes(name));
        let call = &sent.calls[0];
        assert_eq!(request_uri(call).to_string(), "sip:desk@203.0.113.9:5090");
        assert_eq!(call.headers.first("Route"), None, "{name}");
        assert_eq!(call.vias().expect("Vias").len(), 1, "{name}");
    }
    let sent = receive(&mut Bench::new(), &good_invite());
    let names: Vec<&str> = sent.calls[0].headers.iter().map(|(name, _)| name).collect();
    for name in ["Route", "NewFangledHeader", "Subject"] {
        assert!(!names.contains(&name), "{name}");
    }
}

#[test]
fn two_requests_with_the_bare_cookie_for_a_branch_are_two_transactions() {
    let mut bench = Bench::new();
    let first = String::from_utf8(bytes("rfc4475/badbranch")).expect("UTF-8");
    let other = first.replace("sadonfo23i420jv0as0derf3j3n", "another");
    for text in [&first, &other] {
        let sent = receive(&mut bench, text.as_bytes());
        assert_eq!(sent.answers[0].1.status(), Some(200));
        let call_id = answered(&sent.answers[0].1, "Call-ID").join("");
        assert!(text.contains(&call_id));
    }
}
