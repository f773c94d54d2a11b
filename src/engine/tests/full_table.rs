//! No room for more transactions: what is new is refused and leaves nothing, what is known goes on, what ends goes
//! through.

use super::scene::{CALLER, Scene, TARGETS, sdp};
use crate::base::ids::Leg;
use crate::hotline::figures::Refusal;
use crate::sip::transaction::{Limits, TIMEOUT, Transactions};
use crate::sip::wire::{Message, Method, Uri};
use std::time::Duration;

/// Room for twenty and two more.
const TWENTY: Limits = Limits {
    count: 20,
    bytes: 1_000_000,
};

fn scene(limits: Limits) -> Scene {
    let mut scene = Scene::new();
    scene.engine.desk.transactions = Transactions::with_limits(limits);
    scene
}

/// A request of the trunk outside of any dialog.
fn new_request(method: &str, number: usize, body: &str) -> Message {
    let uri = Uri::parse("sip:hotline@192.0.2.1").expect("a URI");
    let mut request = Message::request(Method::from(method), uri);
    for (name, value) in [
        (
            "Via",
            format!("SIP/2.0/UDP {CALLER};branch=z9hG4bKnew{number}"),
        ),
        ("From", format!("<sip:a@192.0.2.9>;tag=new{number}")),
        ("To", "<sip:hotline@192.0.2.1>".to_owned()),
        ("Call-ID", format!("new{number}")),
        ("CSeq", format!("1 {method}")),
        ("Contact", "<sip:a@192.0.2.9>".to_owned()),
        ("Content-Type", "application/sdp".to_owned()),
    ] {
        request.headers.push(name, &value);
    }
    request.body = body.as_bytes().to_vec();
    request
}

/// Takes in OPTIONS until there is no more room.
fn fill(scene: &mut Scene, body: &str) {
    for number in 0..100 {
        if scene.engine.desk.transactions.is_full() {
            return;
        }
        scene.receive(CALLER, &new_request("OPTIONS", number, body));
    }
    panic!("never full");
}

/// A new call is refused with 503 and leaves nothing behind.
fn a_new_call_is_refused(scene: &mut Scene) {
    let before = (
        scene.engine.calls(),
        scene.engine.desk.transactions.len(),
        scene.engine.desk.transactions.bytes(),
        scene.engine.next_deadline(),
    );
    let refused = scene.engine.figures().refused[Refusal::Capacity.index()];
    for _ in 0..2 {
        let invite = new_request("INVITE", 1_000, &sdp("192.0.2.9", "sendrecv"));
        scene.receive(CALLER, &invite);
    }
    let answers = scene.all(CALLER, "503 INVITE");
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0].bytes, answers[1].bytes, "with the same tag");
    assert_eq!(
        answers[0].message.headers.first("Retry-After"),
        Some("5"),
        "it may try again"
    );
    let after = (
        scene.engine.calls(),
        scene.engine.desk.transactions.len(),
        scene.engine.desk.transactions.bytes(),
        scene.engine.next_deadline(),
    );
    assert_eq!(after, before);
    let now_refused = scene.engine.figures().refused[Refusal::Capacity.index()];
    assert_eq!(now_refused, refused + 2);
}

#[test]
fn a_new_call_is_refused_when_there_are_too_many() {
    let mut scene = scene(TWENTY);
    fill(&mut scene, "");
    assert_eq!(scene.engine.desk.transactions.len(), 20);
    a_new_call_is_refused(&mut scene);
    scene.must_come_to_rest();
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    assert_eq!(scene.engine.calls(), 1, "there is room again");
}

#[test]
fn a_new_call_is_refused_when_a_few_keep_too_much() {
    let mut scene = scene(Limits {
        count: 1_000,
        bytes: 100_000,
    });
    fill(&mut scene, &"x".repeat(40_000));
    assert_eq!(scene.engine.desk.transactions.len(), 3);
    a_new_call_is_refused(&mut scene);
    scene.must_come_to_rest();
}

#[test]
fn an_invite_that_came_before_is_not_refused_when_it_comes_again() {
    let mut scene = scene(TWENTY);
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    fill(&mut scene, "");
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    assert_eq!(scene.times(CALLER, "100 INVITE").len(), 2);
    assert_eq!(scene.times(CALLER, "503 INVITE"), []);
    assert_eq!(scene.engine.calls(), 1);
}

#[test]
fn a_running_call_is_ended_as_ever() {
    let mut scene = scene(TWENTY);
    scene.up();
    fill(&mut scene, "");
    scene.caller_hangs_up();
    assert_eq!(scene.times(CALLER, "200 BYE"), [scene.now]);
    assert_eq!(scene.times(TARGETS[0], "BYE"), [scene.now]);
    assert_eq!(scene.engine.live_calls(), 0);
    scene.must_come_to_rest();
}

#[test]
fn a_ringing_call_is_cancelled_as_ever() {
    let mut scene = scene(TWENTY);
    let invite = new_request("INVITE", 1_000, &sdp("192.0.2.9", "sendrecv"));
    scene.receive(CALLER, &invite);
    let ringing = scene.ok_of(0, "").reply(180, None);
    scene.receive(TARGETS[0], &ringing);
    fill(&mut scene, "");
    scene.receive(CALLER, &new_request("CANCEL", 1_000, ""));
    assert_eq!(scene.times(CALLER, "200 CANCEL"), [scene.now]);
    assert_eq!(scene.times(CALLER, "487 INVITE"), [scene.now]);
    assert_eq!(scene.times(TARGETS[0], "CANCEL"), [scene.now]);
}

/// Dropped and not refused: it comes again, and works then.
#[test]
fn above_the_headroom_a_bye_is_dropped_until_there_is_room() {
    let mut scene = scene(TWENTY);
    scene.packets = [50, 50];
    scene.up();
    scene.speaks(Leg::Caller, Duration::from_secs(2));
    fill(&mut scene, "");
    for number in 100..102 {
        scene.receive(CALLER, &new_request("BYE", number, ""));
    }
    assert_eq!(scene.times(CALLER, "481 BYE").len(), 2, "in the headroom");
    scene.caller_hangs_up();
    assert_eq!(scene.times(CALLER, "200 BYE"), []);
    assert_eq!(scene.engine.desk.transactions.len(), 22);
    assert_eq!(scene.engine.live_calls(), 1);
    scene.run_for(TIMEOUT + Duration::from_secs(1));
    scene.caller_hangs_up();
    assert_eq!(scene.times(CALLER, "200 BYE"), [scene.now]);
    scene.must_come_to_rest();
}
