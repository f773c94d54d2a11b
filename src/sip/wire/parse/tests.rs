//! Whole datagrams: what is accepted, what is refused, and how.

use super::*;
use crate::base::limits::SIP_VIAS_MAX;
use proptest::prelude::*;

const HEAD: &str = "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
    Call-ID: i\r\nCSeq: 1 OPTIONS\r\n";

fn options() -> String {
    format!("OPTIONS sip:c@d SIP/2.0\r\n{HEAD}\r\n")
}

fn fault(text: &str) -> Option<PeerFault> {
    parse_datagram(text.as_bytes())
        .err()
        .map(|refused| refused.fault)
}

#[test]
fn a_request_needs_no_more_than_the_mandatory_headers() {
    assert_eq!(fault(&options()), None);
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let text = options().replace(&format!("\r\n{name}: "), "\r\nX: ");
        assert_eq!(fault(&text), Some(PeerFault::MissingHeader(name)));
    }
}

#[test]
fn keep_alives_and_rubbish_are_dropped() {
    for text in [
        "",
        "\r\n\r\n",
        "\0\0\0\0",
        "hello\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "INVITE sip:a@b SIP/2.0",
        "SIP/2.0\r\n",
    ] {
        let refused = parse_datagram(text.as_bytes()).expect_err("no message");
        assert_eq!(
            (refused.fault.status(), refused.message),
            (None, None),
            "{text:?}"
        );
    }
}

#[test]
fn leading_line_ends_and_bare_line_feeds_are_borne() {
    let text = format!("\r\n\n{}", options().replace("\r\n", "\n"));
    assert_eq!(fault(&text), None);
}

#[test]
fn the_request_line_is_three_words_with_one_space_between() {
    let with = |line: &str| fault(&options().replace("OPTIONS sip:c@d SIP/2.0", line));
    assert_eq!(with("OPTIONS sip:c@d sip/2.0"), None);
    for line in [
        "OPTIONS  sip:c@d SIP/2.0",
        "OPTIONS sip:c@d SIP/2.0 ",
        "OPTIONS sip:c@d; lr SIP/2.0",
        " OPTIONS sip:c@d SIP/2.0",
    ] {
        assert_eq!(with(line), Some(PeerFault::StartLine), "{line}");
    }
    assert_eq!(
        with("OPTIONS <sip:c@d> SIP/2.0"),
        Some(PeerFault::RequestUri)
    );
    assert_eq!(
        with("OPTIONS sip:2001:db8::10 SIP/2.0"),
        Some(PeerFault::RequestUri)
    );
    assert_eq!(with("OPTIONS soap.beep://x SIP/2.0"), None);
    assert_eq!(with("OPTIONS sip:c@d SIP/7.0"), Some(PeerFault::Version));
    assert_eq!(
        with("options sip:c@d SIP/2.0"),
        Some(PeerFault::MethodMismatch)
    );
}

#[test]
fn content_length_is_applied() {
    let with = |length: &str| {
        let head = options().replace("\r\n\r\n", &format!("\r\n{length}\r\n\r\n"));
        parse_datagram(format!("{head}abcdef").as_bytes())
    };
    assert_eq!(with("X: y").expect("no length").body, b"abcdef");
    assert_eq!(with("l: 003").expect("a length").body, b"abc");
    assert_eq!(
        with("l: 2\r\nContent-Length: 2")
            .expect("the same twice")
            .body,
        b"ab"
    );
    let fault = |length: &str| with(length).expect_err("a fault").fault;
    assert_eq!(fault("l: 7"), PeerFault::Truncated);
    assert_eq!(fault("l: 99999999999999999999"), PeerFault::ContentLength);
    for length in ["l: -1", "l: 3 4", "l:", "l: 1\r\nl: 2", "l: x"] {
        assert_eq!(fault(length), PeerFault::ContentLength, "{length}");
    }
}

#[test]
fn a_head_without_its_empty_line_is_cut_short() {
    let text = options();
    assert_eq!(
        fault(text.trim_end_matches("\r\n")),
        Some(PeerFault::Truncated)
    );
}

#[test]
fn a_header_that_may_be_there_once_is_not_there_twice() {
    for (name, line) in [
        ("To", "t: <sip:x@y>"),
        ("CSeq", "cseq: 1 OPTIONS"),
        ("Call-ID", "i: i"),
        ("From", "f: <sip:a@b>;tag=1"),
    ] {
        let text = options().replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
        assert_eq!(fault(&text), Some(PeerFault::DoubledHeader(name)));
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let with = |line: &str| fault(&options().replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n")));
    assert_eq!(with("Max-Forwards: 0"), None);
    assert_eq!(with("Max-Forwards: 255"), None);
    assert_eq!(
        with("Max-Forwards: 256"),
        Some(PeerFault::Malformed("Max-Forwards"))
    );
    assert_eq!(
        fault(&options().replace("1 OPTIONS", "2147483648 OPTIONS")),
        Some(PeerFault::Malformed("CSeq"))
    );
    assert_eq!(
        fault(&options().replace("1 OPTIONS", "1 INVITE")),
        Some(PeerFault::MethodMismatch)
    );
}

#[test]
fn limits_are_kept_and_the_limit_itself_is_allowed() {
    let with = |line: &str, count: usize| {
        fault(&options().replacen("Via", &format!("{}Via", line.repeat(count)), 1))
    };
    assert_eq!(with("X: y\r\n", SIP_HEADERS_MAX - 5), None);
    assert_eq!(
        with("X: y\r\n", SIP_HEADERS_MAX - 4),
        Some(PeerFault::TooManyHeaders)
    );
    let vias = |count: usize| {
        fault(&options().replacen(
            "Via: ",
            &format!("Via: {}", "SIP/2.0/UDP x,".repeat(count)),
            1,
        ))
    };
    assert_eq!(vias(SIP_VIAS_MAX - 1), None);
    assert_eq!(vias(SIP_VIAS_MAX), Some(PeerFault::TooManyVias));
    let long = options() + &"x".repeat(SIP_MESSAGE_BYTES_MAX);
    assert_eq!(fault(&long).and_then(PeerFault::status), Some(513));
}

#[test]
fn a_status_has_three_digits_and_a_bad_response_is_never_answered() {
    let with = |line: &str| parse_datagram(format!("{line}\r\n{HEAD}\r\n").as_bytes());
    assert_eq!(
        with("SIP/2.0 200 ").expect("no reason").start,
        Start::Response {
            status: 200,
            reason: String::new()
        }
    );
    assert_eq!(with("SIP/2.0 699").expect("no reason").status(), Some(699));
    for line in [
        "SIP/2.0 4294967301 x",
        "SIP/2.0 99 x",
        "SIP/2.0 700 x",
        "SIP/2.0 0200 x",
        "SIP/7.0 200 OK",
    ] {
        let refused = with(line).expect_err("a fault");
        assert_eq!(
            (refused.fault.status(), refused.message),
            (None, None),
            "{line}"
        );
    }
    let no_to = format!("SIP/2.0 200 OK\r\n{HEAD}\r\n").replace("To: ", "X: ");
    assert_eq!(fault(&no_to), Some(PeerFault::BadResponse));
}

#[test]
fn a_refused_request_can_be_answered_and_an_ack_is_not() {
    let text = options().replace("<sip:c@d>", "\"open <sip:c@d>");
    let refused = parse_datagram(text.as_bytes()).expect_err("a fault");
    let answer = refused.answer().expect("an answer");
    assert_eq!(
        (answer.status(), answer.headers.first("To")),
        (Some(400), Some("\"open <sip:c@d>"))
    );
    let ack = text.replace("OPTIONS", "ACK");
    assert_eq!(
        parse_datagram(ack.as_bytes())
            .expect_err("a fault")
            .answer(),
        None
    );
    let version = parse_datagram(
        options()
            .replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia")
            .as_bytes(),
    );
    assert_eq!(
        version
            .expect_err("a fault")
            .answer()
            .and_then(|answer| answer.status()),
        Some(505)
    );
}

#[test]
fn a_malformed_via_is_answered_as_it_came_and_a_missing_one_is_not() {
    let bad = options().replace("192.0.2.9;branch", "192.0.2.9;;,;branch");
    let refused = parse_datagram(bad.as_bytes()).expect_err("a fault");
    let answer = refused.answer().expect("an answer");
    assert_eq!(
        answer.headers.first("Via"),
        Some("SIP/2.0/UDP 192.0.2.9;;,;branch=z9hG4bK1")
    );
    let none = options().replace("Via: ", "Own: ");
    assert_eq!(
        parse_datagram(none.as_bytes())
            .expect_err("a fault")
            .answer(),
        None
    );
}

#[test]
fn strange_bytes_in_headers_come_back_as_they_were() {
    let mut bytes = options().replace("\r\n\r\n", "\r\nSubject: ").into_bytes();
    bytes.extend_from_slice(b"\xd5\xc5\0\x07\xe9 x\r\n\r\n");
    let written = parse_datagram(&bytes).expect("a message").to_bytes();
    assert!(
        written
            .windows(10)
            .any(|part| part == b": \xd5\xc5\0\x07\xe9 x\r")
    );
}

#[test]
fn long_input_is_read_in_time_proportional_to_it() {
    let heaps = [
        "\"",
        "<",
        ",",
        ";",
        "\\",
        "%",
        ":",
        "\r\n ",
        "[",
        "a: b\r\n",
        "\"\\",
        "\u{10ff80}",
    ];
    for heap in heaps {
        let value = heap.repeat(60_000 / heap.len());
        for name in ["To", "Via", "Contact", "CSeq"] {
            let text = options().replacen(&format!("{name}: "), &format!("{name}: {value}"), 1);
            let _ = parse_datagram(text.as_bytes());
        }
    }
}

fn messages() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "OPTIONS sip:c@d SIP/2.0\r\n",
        "SIP/2.0 200 OK\r\n",
        HEAD,
        "\r\n",
        "\n",
        " ",
        ":",
        "Contact: <sip:a@b>,*\r\n",
        "l: 3\r\n",
        "\"",
        "<",
        ">",
        ";",
        ",",
        "@",
        "[",
        "]",
        "%4",
        "To: ",
        "Via: ",
        "CSeq: ",
        "\\",
        "=",
        "张",
        "Max-Forwards: 7\r\n",
    ]);
    let piece = prop_oneof![
        4 => pieces.prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_input_breaks_the_reader(bytes in messages()) {
        let _ = crate::sip::wire::frame_stream(&bytes);
        let _ = parse_framed(&bytes);
        match parse_datagram(&bytes) {
            Ok(message) => {
                let _ = (message.contact(), message.name_addrs("Contact"), message.tokens("Via"), message.content_type());
                let again = parse_datagram(&message.to_bytes());
                prop_assert_eq!(again, Ok(message));
            }
            Err(refused) => { let _ = refused.answer().map(|answer| answer.to_bytes()); }
        }
    }
}

#[test]
fn a_stream_needs_a_content_length_that_can_be_followed() {
    let head = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\n\
        To: <sip:b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n";
    let status = |length: &str| match parse_framed(format!("{head}{length}\r\n").as_bytes()) {
        Ok(_) => 200,
        Err(refused) => refused
            .answer()
            .and_then(|answer| answer.status())
            .unwrap_or(0),
    };
    assert_eq!(status("l: 0\r\n"), 200);
    assert_eq!(status(""), 400);
    assert_eq!(status("l: -1\r\n"), 400);
    assert_eq!(status("l: 70000\r\n"), 513);
    assert!(parse_datagram(format!("{head}\r\n").as_bytes()).is_ok());
}
