//! What those who watch are told: every SIP message, with its call.

use super::scene::{CALLER, Scene, TARGETS, sdp};
use crate::base::ids::Leg;
use crate::call::tracer::Traced;
use crate::hotline::figures::Direction;
use crate::sip::wire::parse_datagram;
use std::collections::BTreeSet;
use std::time::Duration;

/// `in caller INVITE`, `out agent 200 BYE`.
fn told(message: &Traced) -> String {
    let way = match message.direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    let parsed = parse_datagram(&message.bytes).expect("a message");
    let cseq = parsed.cseq().expect("CSeq").method;
    let what = parsed
        .status()
        .map_or(String::new(), |status| format!("{status} "));
    let leg = message
        .call
        .as_ref()
        .map_or("nobody's", |call| call.leg.name());
    format!("{way} {leg} {what}{cseq}")
}

fn ids(traced: &[Traced]) -> BTreeSet<String> {
    let id = |message: &Traced| message.call.as_ref().map(|call| call.id.to_string());
    traced.iter().filter_map(id).collect()
}

#[test]
fn every_message_of_a_call_is_told_once_in_its_order() {
    let mut scene = Scene::new();
    scene.up();
    scene.speaks(Leg::Caller, Duration::from_secs(1));
    scene.caller_hangs_up();
    let ladder: Vec<String> = scene.traced.iter().map(told).collect();
    let expected = [
        "in caller INVITE",
        "out caller 100 INVITE",
        "out agent INVITE",
        "in agent 200 INVITE",
        "out agent ACK",
        "out caller 200 INVITE",
        "in caller ACK",
        "in caller BYE",
        "out caller 200 BYE",
        "out agent BYE",
        "in agent 200 BYE",
    ];
    assert_eq!(ladder, expected);
    let first = scene.traced[0].call.as_ref().expect("a call");
    assert!(first.begins && !first.is_refused);
    let begun = |message: &&Traced| message.call.as_ref().is_some_and(|call| call.begins);
    assert_eq!(scene.traced.iter().filter(begun).count(), 1);
    scene.must_come_to_rest();
    assert_eq!(
        ids(&scene.traced),
        BTreeSet::from([scene.records[0].id.clone()])
    );
    let sent = scene.sent.iter().map(|sent| (sent.at, sent.bytes.clone()));
    let out = scene
        .traced
        .iter()
        .filter(|one| one.direction == Direction::Out);
    let out: Vec<_> = out.map(|one| (one.at, one.bytes.clone())).collect();
    assert_eq!(
        out,
        sent.collect::<Vec<_>>(),
        "as they were sent, repetitions too"
    );
}

#[test]
fn repetitions_and_late_messages_are_the_calls_own() {
    let mut scene = Scene::new();
    scene.byes_are_answered = false;
    scene.up();
    scene.speaks(Leg::Caller, Duration::from_secs(1));
    scene.caller_hangs_up();
    scene.must_come_to_rest();
    let byes = scene
        .traced
        .iter()
        .filter(|one| told(one) == "out agent BYE");
    assert_eq!(byes.count(), 11, "timer E until timer F");
    let ok = scene.ok_of(0, &sdp("192.0.2.5", "sendrecv"));
    scene.receive(TARGETS[0], &ok);
    assert_eq!(
        scene.traced.last().map(told),
        Some("in agent 200 INVITE".to_owned())
    );
    scene.run_for(Duration::from_secs(60));
    scene.receive(TARGETS[0], &ok);
    assert_eq!(
        scene.traced.last().map(told),
        Some("in nobody's 200 INVITE".to_owned())
    );
}

#[test]
fn a_refused_invite_is_told_under_a_name_of_its_own() {
    let mut scene = Scene::new();
    scene.invite(&sdp("192.0.2.9", "sendrecv").replace("AVP 8", "AVP 18"));
    scene.receive(
        "203.0.113.7:5060",
        &scene.last(CALLER, "488 INVITE").message.clone(),
    );
    let ladder: Vec<String> = scene.traced.iter().map(told).collect();
    assert_eq!(ladder[..2], ["in caller INVITE", "out caller 488 INVITE"]);
    let call = scene.traced[0].call.clone().expect("a name");
    assert!(call.is_refused && call.begins);
    assert_eq!(ids(&scene.traced).len(), 1);
    assert!(scene.records.is_empty());
}

#[test]
fn a_call_that_is_turned_away_has_the_id_of_its_record() {
    let mut scene = Scene::new();
    scene.engine.handle(scene.now, crate::engine::Input::Drain);
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    assert_eq!(
        ids(&scene.traced),
        BTreeSet::from([scene.records[0].id.clone()])
    );
    let call = scene.traced[0].call.as_ref().expect("a call");
    assert!(call.begins && !call.is_refused);
}

#[test]
fn where_nobody_watches_nothing_is_copied() {
    let targets = TARGETS.map(super::scene::uri).join(", ");
    let mut scene = Scene::with(&format!("targets = [{targets}]"), "[trace]\ncalls = 0");
    scene.up();
    assert!(scene.traced.is_empty());
}
