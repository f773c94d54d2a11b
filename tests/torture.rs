//! Goal: the torture messages of RFC 4475 and RFC 5118 do what those RFCs ask for, and none starts a call that it
//! should not. Method: all 61, none left out, go through the parser and through an engine that takes any number;
//! `verdicts.toml` says what comes out, and is itself held against what the RFCs allow (`index.json`).

#[path = "torture/bench.rs"]
mod bench;
#[path = "torture/engine.rs"]
mod engine;
#[path = "torture/fixtures.rs"]
mod fixtures;
#[path = "common/machine.rs"]
mod machine;
#[path = "torture/sha256.rs"]
mod sha256;

use fixtures::{Expect, Torture, Verdict, all, bytes, message};
use qingjiang::sip::wire::{Message, Method, PeerFault, Start, Uri, parse_datagram, text};
use std::net::SocketAddr;

/// Statuses that refuse what is well formed: the engine's, not the parser's.
const ENGINE_CODES: [u16; 6] = [406, 415, 416, 420, 483, 501];

#[test]
fn every_file_has_a_verdict_and_every_verdict_a_file() {
    let files = fixtures::files();
    assert_eq!(files.len(), 61);
    assert_eq!(files, fixtures::verdicts().into_keys().collect());
    assert_eq!(files, fixtures::index().into_keys().collect());
}

#[test]
fn every_file_is_what_it_was() {
    for torture in all() {
        let name = &torture.name;
        assert_eq!(torture.bytes.len(), torture.index.bytes, "{name}");
        assert_eq!(
            sha256::sha256(&torture.bytes),
            torture.index.sha256,
            "{name}"
        );
    }
}

#[test]
fn the_parser_says_what_the_verdict_says() {
    for torture in all() {
        let verdict = Verdict::of(&torture.bytes);
        assert_eq!(verdict, torture.expected.verdict, "{}", torture.name);
    }
}

#[test]
fn every_verdict_is_one_that_the_rfcs_allow() {
    for Torture {
        name,
        index,
        expected,
        ..
    } in all()
    {
        let allowed = match (&expected.verdict, index.expect) {
            (_, Expect::Either) => true,
            (Verdict::Accepted(_), Expect::Accept) => true,
            (Verdict::Refused { status, .. }, Expect::Reject) => index.codes.contains(status),
            (Verdict::Accepted(_), Expect::Reject) => {
                index.codes.iter().any(|code| ENGINE_CODES.contains(code))
            }
            (Verdict::Accepted(facts), Expect::Ignore) => facts.method.is_none(),
            (Verdict::Dropped { .. }, Expect::Ignore | Expect::Reject) => true,
            _ => false,
        };
        assert!(
            allowed,
            "{name}: {:?} is not {:?}",
            expected.verdict, index.expect
        );
    }
}

#[test]
fn what_is_accepted_is_written_so_that_it_reads_the_same() {
    for torture in all() {
        let Ok(message) = parse_datagram(&torture.bytes) else {
            continue;
        };
        let name = &torture.name;
        let written = message.to_bytes();
        assert_eq!(parse_datagram(&written), Ok(message), "{name}");
        assert_eq!(Verdict::of(&written), torture.expected.verdict, "{name}");
    }
}

#[test]
fn bodies_are_passed_on_byte_for_byte() {
    for torture in all() {
        let Ok(message) = parse_datagram(&torture.bytes) else {
            continue;
        };
        let head = find(&torture.bytes, b"\r\n\r\n").expect("the end of the head") + 4;
        let body = &torture.bytes[head..head + message.body.len()];
        assert_eq!(message.body, body, "{}", torture.name);
        assert!(message.to_bytes().ends_with(body), "{}", torture.name);
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

fn request_uri(message: &Message) -> &Uri {
    match &message.start {
        Start::Request { uri, .. } => uri,
        Start::Response { .. } => panic!("a response"),
    }
}

fn rfc4475(name: &str) -> Message {
    message(&format!("rfc4475/{name}"))
}

fn rfc5118(name: &str) -> Message {
    message(&format!("rfc5118/{name}"))
}

#[test]
fn wsinv_is_read_through_its_folds_and_blanks() {
    let wsinv = rfc4475("wsinv");
    let via = |at: usize| wsinv.vias().expect("Vias")[at].to_string();
    assert_eq!(via(0), "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw");
    assert_eq!(
        via(1),
        "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8"
    );
    assert_eq!(via(2), "SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK30239");
    let (from, to) = (wsinv.from().expect("From"), wsinv.to().expect("To"));
    assert_eq!(from.display.as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(
        (from.tag(), to.tag()),
        (Some("98asjd8"), Some("1918181833n"))
    );
    assert_eq!(wsinv.max_forwards(), Ok(Some(68)));
    assert_eq!(
        wsinv.cseq().map(|cseq| cseq.to_string()),
        Ok("9 INVITE".to_owned())
    );
    let contact = wsinv.contact().expect("Contact").expect("one");
    assert_eq!(contact.display.as_deref(), Some("Quoted string \"\""));
    assert_eq!(contact.param("newparam"), Some("newvalue"));
    assert_eq!(contact.param("q"), Some("0.33"));
}

#[test]
fn unknown_headers_are_kept() {
    let kept = |message: &Message, name: &str| {
        let again = parse_datagram(&message.to_bytes()).expect("a message");
        again.headers.first(name).map(text::bytes)
    };
    let wsinv = rfc4475("wsinv");
    let value = kept(&wsinv, "NewFangledHeader");
    assert_eq!(
        value.as_deref(),
        Some(&b"newfangled value continued newfangled value"[..])
    );
    let value = kept(&wsinv, "UnknownHeaderWithUnusualValue");
    assert_eq!(value.as_deref(), Some(&b";;,,;;,;"[..]));
    let value = kept(&rfc4475("intmeth"), "extensionHeader-!.%*+_`'~");
    assert_eq!(value.as_deref(), Some("\u{feff}大停電".as_bytes()));
    let value = kept(&rfc4475("esc02"), "C%6Fntact");
    assert_eq!(
        value.as_deref(),
        Some(&b"<sip:alias2@host2.example.com>"[..])
    );
}

#[test]
fn intmeth_has_odd_characters_everywhere() {
    let intmeth = rfc4475("intmeth");
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    assert_eq!(intmeth.method(), Some(&Method::Other(method.to_owned())));
    let user = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*";
    let uri = request_uri(&intmeth);
    assert_eq!(uri.user().as_deref(), Some(user));
    let password = "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)";
    assert_eq!(uri.password().as_deref(), Some(password));
    let to = intmeth.to().expect("To");
    assert_eq!(to.display.as_deref(), Some("BEL:\u{7} NUL:\0 DEL:\u{7f}"));
    let from = intmeth.from().expect("From");
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(
        from.display.as_deref(),
        Some("token1~` token2'+_ token3*%!.-")
    );
    assert_eq!(from.param("fromParam''~+*_!.-%"), Some("\"работающий\""));
    let via = intmeth.top_via().expect("a Via");
    assert_eq!(via.branch(), Some("z9hG4bK-.!%66*_+`'~"));
}

#[test]
fn esc01_is_unescaped_once() {
    let esc01 = rfc4475("esc01");
    assert_eq!(
        request_uri(&esc01).user().as_deref(),
        Some("sips:user@example.com")
    );
    assert_eq!(esc01.to().expect("To").uri.user().as_deref(), Some("user"));
    assert_eq!(
        esc01.from().expect("From").uri.user().as_deref(),
        Some("I have spaces")
    );
    let contact = esc01.contact().expect("Contact").expect("one").uri;
    assert_eq!(contact.user().as_deref(), Some("caller"));
    assert_eq!(contact.param("n%61me"), Some("v%61lue%25%34%31"));
    // The value that must not become "valueA", as a user.
    let text = String::from_utf8(bytes("rfc4475/esc01")).expect("UTF-8");
    let nested = text.replace("cal%6Cer", "v%61lue%25%34%31");
    let contact = parse_datagram(nested.as_bytes()).map(|esc01| esc01.contact());
    let uri = contact
        .expect("a message")
        .expect("Contact")
        .expect("one")
        .uri;
    assert_eq!(uri.user().as_deref(), Some("value%41"));
}

#[test]
fn escnull_is_not_cut_at_its_nul() {
    let escnull = rfc4475("escnull");
    let user = escnull.from().expect("From").uri.user();
    assert_eq!(user.as_deref(), Some("null-\0-null"));
    let contacts = escnull.name_addrs("Contact").expect("Contacts");
    let users: Vec<_> = contacts.iter().filter_map(|one| one.uri.user()).collect();
    assert_eq!(users, ["\0", "\0\0"]);
}

#[test]
fn esc02_is_no_register_and_has_two_contacts() {
    let esc02 = rfc4475("esc02");
    assert_eq!(
        esc02.method(),
        Some(&Method::Other("RE%47IST%45R".to_owned()))
    );
    let contacts = esc02.name_addrs("Contact").expect("Contacts");
    let users: Vec<_> = contacts.iter().filter_map(|one| one.uri.user()).collect();
    assert_eq!(users, ["alias1", "alias3"]);
    assert_eq!(esc02.to().expect("To").display.as_deref(), Some("%Z%45"));
}

#[test]
fn lwsdisp_has_a_display_name_without_a_blank_behind_it() {
    let from = rfc4475("lwsdisp").from().expect("From");
    assert_eq!(from.display.as_deref(), Some("caller"));
}

#[test]
fn longreq_keeps_all_its_vias_in_order() {
    let longreq = rfc4475("longreq");
    let hosts: Vec<String> = longreq
        .vias()
        .expect("Vias")
        .iter()
        .map(|via| via.host.to_string())
        .collect();
    let hops = (1..=33).rev().map(|hop| format!("sip{hop}.example.com"));
    let expected: Vec<String> = hops.chain(["host.example.com".to_owned()]).collect();
    assert_eq!(hosts, expected);
}

#[test]
fn dblreq_drops_what_is_behind_its_content_length() {
    let dblreq = rfc4475("dblreq");
    assert_eq!(
        (dblreq.method(), dblreq.body.len()),
        (Some(&Method::Register), 0)
    );
    assert_eq!(find(&dblreq.to_bytes(), b"INVITE"), None);
}

#[test]
fn semiuri_has_semicolons_in_its_user() {
    let semiuri = rfc4475("semiuri");
    let uri = request_uri(&semiuri);
    assert_eq!(uri.user().as_deref(), Some("user;par=u@example.net"));
    assert!(!uri.has_param("par"));
}

#[test]
fn transports_keeps_a_transport_that_nobody_knows() {
    let vias = rfc4475("transports").vias().expect("Vias");
    let transports: Vec<&str> = vias.iter().map(|via| via.transport.as_str()).collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
}

#[test]
fn mpart01_has_bytes_for_a_body() {
    let mpart01 = rfc4475("mpart01");
    assert_eq!(mpart01.content_type().as_deref(), Some("multipart/mixed"));
    assert!(mpart01.body.starts_with(b"--7a9cbec02ceef655"));
    assert!(mpart01.body.contains(&0));
    assert!(std::str::from_utf8(&mpart01.body).is_err());
    assert!(bytes("rfc4475/mpart01").ends_with(&mpart01.body));
}

#[test]
fn unreason_has_a_phrase_in_utf_8_and_noreason_none() {
    let reason = |name: &str| match rfc4475(name).start {
        Start::Response { reason, .. } => reason,
        Start::Request { .. } => panic!("a request"),
    };
    let phrase = "= 2**3 * 5**2 но сто девяносто девять - простое";
    assert_eq!(reason("unreason"), phrase);
    assert_eq!(reason("noreason"), "");
}

#[test]
fn cparam01_has_a_header_parameter_and_cparam02_a_parameter_of_the_uri() {
    let places = |name: &str| {
        let contact = rfc4475(name).contact().expect("Contact").expect("one");
        let name = "unknownparam";
        (contact.params.has(name), contact.uri.has_param(name))
    };
    assert_eq!(places("cparam01"), (true, false));
    assert_eq!(places("cparam02"), (false, true));
}

#[test]
fn escaped_headers_of_a_uri_stay_in_the_uri() {
    let (escruri, regescrt) = (rfc4475("escruri"), rfc4475("regescrt"));
    let uri = request_uri(&escruri);
    assert_eq!(uri.headers(), Some("Route=%3Csip:example.com%3E"));
    let contact = regescrt.contact().expect("Contact").expect("one").uri;
    assert_eq!(contact.headers(), Some("Route=%3Csip:sip.example.com%3E"));
    for message in [escruri, regescrt] {
        assert_eq!(message.headers.first("Route"), None);
    }
}

#[test]
fn regbadct_has_a_contact_that_is_a_fault_only_for_who_reads_it() {
    let contact = rfc4475("regbadct").contact();
    assert_eq!(contact, Err(PeerFault::Malformed("Contact")));
}

#[test]
fn a_port_is_one_only_behind_the_brackets() {
    let place = |name: &str| {
        let message = rfc5118(name);
        let uri = request_uri(&message);
        (uri.ip().map(|ip| ip.to_string()), uri.port())
    };
    let ip = |text: &str| Some(text.to_owned());
    assert_eq!(place("port-ambiguous"), (ip("2001:db8::10:5070"), None));
    assert_eq!(place("port-unambiguous"), (ip("2001:db8::10"), Some(5070)));
    assert_eq!(place("ipv6-good"), (ip("2001:db8::10"), None));
}

#[test]
fn two_and_three_colons_are_one_address() {
    let ip = |name: &str| request_uri(&rfc5118(name)).ip();
    let address = "2001:db8::192.0.2.1".parse().ok();
    assert_eq!(ip("ipv6-correct-abnf-2-colons"), address);
    assert_eq!(ip("ipv6-bug-abnf-3-colons"), address);
}

#[test]
fn received_is_read_with_and_without_brackets() {
    for name in [
        "via-received-param-with-delim",
        "via-received-param-no-delim",
    ] {
        let via = rfc5118(name).top_via().expect("a Via");
        assert_eq!(via.received(), "2001:db8::9:255".parse().ok(), "{name}");
    }
}

#[test]
fn addresses_of_both_families_stand_in_one_message() {
    let addresses = |name: &str| {
        let vias = rfc5118(name).vias().expect("Vias");
        vias.iter()
            .map(|via| (via.host.to_string(), via.port))
            .collect::<Vec<_>>()
    };
    let hop = |host: &str, port| (host.to_owned(), port);
    let mixed = [
        hop("[2001:db8::9:1]", Some(6050)),
        hop("192.0.2.1", None),
        hop("[2001:db8::9:255]", None),
    ];
    assert_eq!(addresses("mult-ip-in-header"), mixed);
    let mapped = [
        hop("[::ffff:192.0.2.10]", Some(19823)),
        hop("[::ffff:192.0.2.2]", None),
    ];
    assert_eq!(addresses("ipv4-mapped-ipv6"), mapped);
    let vias = rfc5118("mult-ip-in-header").vias().expect("Vias");
    assert_eq!(vias[2].received(), "192.0.2.200".parse().ok());
    let contact = rfc5118("ipv4-mapped-ipv6").contact().expect("Contact");
    let ip = contact.expect("one").uri.ip().expect("an address");
    assert_eq!(
        ip.to_canonical(),
        SocketAddr::from(([192, 0, 2, 2], 0)).ip()
    );
}
