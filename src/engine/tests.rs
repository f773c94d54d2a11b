//! What the engine does at its edge: strangers here, whole calls in the modules below.

mod challenged;
mod change;
mod early_bye;
mod full_table;
mod gone;
mod hang_up;
mod health;
mod logs_in;
mod long_ringing;
mod lost_ack;
mod never_treated;
mod registers;
mod scene;
mod traced;
mod unusable;

use super::*;
use crate::config::World;
use std::collections::BTreeSet;
use std::net::SocketAddr;

struct Nowhere;

impl World for Nowhere {
    fn resolve(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }

    fn prompts(&self, _: Option<&std::path::Path>, _: &str) -> BTreeSet<String> {
        [
            "silent-connected",
            "silent-can-you-hear",
            "silent-redial-other-phone",
        ]
        .map(str::to_owned)
        .into()
    }

    fn is_folder(&self, _: &std::path::Path) -> bool {
        false
    }

    fn cores(&self) -> u16 {
        1
    }
}

fn listener() -> Listener {
    let bound: SocketAddr = "192.0.2.1:5060".parse().expect("an address");
    Listener {
        transport: Default::default(),
        bound,
        advertised: bound,
    }
}

fn engine() -> Engine {
    let text = "[sip]\nlisten = [\"udp:192.0.2.1:5060\"]\n[media]\naddress = \"192.0.2.1\"\n\
        ports = \"20000-20099\"\n[health]\nevery = \"0s\"\n[[trunk]]\nname = \"carrier\"\nfrom = [\"192.0.2.9\"]\n\
        [[hotline]]\nname = \"weather\"\nnumbers = [\"*\"]\ntargets = [\"sip:1000@192.0.2.5\"]\n";
    let config = crate::config::read(text, "test.toml", &Nowhere).expect("a good configuration");
    Engine::new(Settings {
        config,
        listeners: vec![listener()],
        media_address: listener().bound.ip(),
        prompts: PromptNames::default(),
        random: Random::from_number(1),
    })
}

/// Sends a request from an address, and gives the statuses of what comes back there.
fn ask(engine: &mut Engine, from: &str, method: &str, number: u32) -> Vec<u16> {
    let text = format!(
        "{method} sip:1@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{number};rport\r\n\
         From: <sip:a@{from}>;tag=x{number}\r\nTo: <sip:1@192.0.2.1>\r\nCall-ID: c{number}\r\n\
         CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContact: <sip:a@{from}>\r\nContent-Length: 0\r\n\r\n"
    );
    let path = Path::udp(0, format!("{from}:5060").parse().expect("an address"));
    let bytes = text.into_bytes();
    engine.handle(Instant::from_millis(1), Input::Sip { path, bytes });
    let mut statuses = Vec::new();
    while let Some(action) = engine.poll_action() {
        if let Action::SendSip { path: to, bytes } = action {
            assert_eq!(to, path, "answers go where the request came from");
            let answer = wire::parse_datagram(&bytes).expect("a valid answer");
            assert!(answer.to().expect("To").tag().is_some(), "with a tag");
            statuses.extend(answer.status());
        }
    }
    statuses
}

#[test]
fn a_stranger_gets_403_for_anything_and_leaves_nothing_behind() {
    let mut engine = engine();
    for (number, method) in (0..).zip(["INVITE", "OPTIONS", "REGISTER", "CANCEL", "BYE", "NEW"]) {
        assert_eq!(
            ask(&mut engine, "203.0.113.7", method, number),
            [403],
            "{method}"
        );
    }
    let to_ack = ask(&mut engine, "203.0.113.7", "ACK", 9);
    assert!(to_ack.is_empty(), "an ACK has no answer");
    assert!(engine.desk.transactions.is_empty());
    assert_eq!(engine.next_deadline(), None);
    let refused = engine.figures().refused[Refusal::UnknownSource.index()];
    assert_eq!(refused, 1, "one call was refused, the rest were no calls");
}

#[test]
fn a_trunk_and_a_target_are_answered_by_the_method() {
    let mut engine = engine();
    let cases = [
        ("OPTIONS", 200),
        ("REGISTER", 405),
        ("BYE", 481),
        ("CANCEL", 481),
        ("NEW", 501),
    ];
    for (number, (method, status)) in (0..).zip(cases) {
        assert_eq!(
            ask(&mut engine, "192.0.2.9", method, number),
            [status],
            "{method}"
        );
    }
    assert_eq!(
        ask(&mut engine, "192.0.2.5", "OPTIONS", 20),
        [200],
        "a PBX may check us"
    );
    assert_eq!(
        ask(&mut engine, "192.0.2.5", "INVITE", 21),
        [403],
        "but not call"
    );
    assert_eq!(
        ask(&mut engine, "192.0.2.9", "INVITE", 22),
        [503],
        "no media thread has bound a port"
    );
}

#[test]
fn a_trunk_with_a_country_code_may_write_a_number_in_any_form() {
    let trunk = "[[trunk]]\nname = \"carrier\"\nfrom = [\"192.0.2.9\"]\n";
    let with = |code: &str| {
        let text = format!(
            "[sip]\nlisten = [\"udp:192.0.2.1:5060\"]\n[media]\naddress = \"192.0.2.1\"\n\
             ports = \"20000-20099\"\n{trunk}{code}\n[[hotline]]\nname = \"weather\"\n\
             numbers = [\"4006000121\"]\ntargets = [\"sip:1000@192.0.2.5\"]\n"
        );
        crate::config::read(&text, "test.toml", &Nowhere).expect("a good configuration")
    };
    let (without, with) = (with(""), with("country_code = \"86\""));
    let found = |config: &crate::config::Config, number| {
        crate::hotline::route::hotline_of(config, &config.trunks[0], number).is_some()
    };
    for number in [
        "4006000121",
        "+864006000121",
        "00864006000121",
        "04006000121",
    ] {
        assert!(found(&with, number), "{number}");
        assert_eq!(found(&without, number), number == "4006000121");
    }
    assert!(!found(&with, "4006000122"));
}
