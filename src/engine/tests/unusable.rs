//! A target whose 200 is of no use: its call is ended as far as it can be, and the next target is called.

use super::scene::{CALLER, Scene, TARGETS, sdp};
use crate::hotline::record::{AttemptOutcome, EndedBy};
use crate::sip::wire::{Message, Method};
use std::time::Duration;

const NO_AUDIO: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.5\r\ns=-\r\nc=IN IP4 192.0.2.5\r\nt=0 0\r\n\
    m=audio 0 RTP/AVP 8\r\n";

fn invited() -> Scene {
    let mut scene = Scene::new();
    scene.packets = [50, 50];
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    scene
}

/// The second target is called at once, answers, and its call lives for a minute, whatever the first repeats.
fn assert_second_lives_on(scene: &mut Scene, repeated: &Message) {
    assert_eq!(scene.times(TARGETS[1], "INVITE"), [scene.now]);
    scene.answer(1, &sdp("192.0.2.6", "sendrecv"));
    assert_eq!(scene.times(CALLER, "200 INVITE"), [scene.now], "one answer");
    scene.ack();
    scene.speaks(crate::base::ids::Leg::Caller, Duration::from_secs(1));
    for pause_s in [1, 2, 4, 4, 4] {
        scene.run_for(Duration::from_secs(pause_s));
        scene.receive(TARGETS[0], repeated);
    }
    scene.run_for(Duration::from_secs(60));
    assert_eq!(scene.engine.live_calls(), 1);
    assert_eq!(scene.times(TARGETS[1], "BYE"), []);
    assert_eq!(scene.times(TARGETS[1], "CANCEL"), []);
    assert_eq!(scene.times(CALLER, "BYE"), []);
}

/// The caller hangs up; one record tells of both targets, and nothing is left of either.
fn assert_ends_well(mut scene: Scene) {
    scene.caller_hangs_up();
    assert_eq!(scene.times(TARGETS[1], "BYE").len(), 1);
    scene.run_for(Duration::from_secs(1));
    assert!(scene.engine.is_idle(), "neither target is waited for");
    scene.must_come_to_rest();
    let [record] = &scene.records[..] else {
        panic!("one record: {:?}", scene.records);
    };
    let outcomes: Vec<_> = record.attempts.iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Failed, AttemptOutcome::Answered]);
    assert_eq!(record.ended_by, EndedBy::Caller);
}

/// Goal: no ghost stays at a target that answers with neither Contact nor audio: each 200 gets its ACK, a BYE
/// follows, and they go to where the INVITE went.
#[test]
fn a_200_without_contact_and_audio_is_acknowledged_and_ended_each_time_it_comes() {
    for body in [NO_AUDIO, "", "no SDP"] {
        let mut scene = invited();
        let mut ok = scene.ok_of(0, body);
        ok.headers.remove("Contact");
        scene.receive(TARGETS[0], &ok);
        assert_eq!(scene.times(TARGETS[0], "ACK").len(), 1);
        assert_eq!(scene.times(TARGETS[0], "BYE").len(), 1);
        assert_second_lives_on(&mut scene, &ok);
        assert_eq!(scene.times(TARGETS[0], "ACK").len(), 6, "one a 200");
        assert!(scene.times(TARGETS[0], "BYE").len() >= 2);
        let (acks, byes) = (scene.all(TARGETS[0], "ACK"), scene.all(TARGETS[0], "BYE"));
        for sent in acks.iter().chain(&byes) {
            let to = sent.message.to().expect("To");
            assert_eq!(to.tag(), Some("desk"));
        }
        assert_ends_well(scene);
    }
}

/// Nobody could acknowledge or end it otherwise: the route set is taken for none.
#[test]
fn a_200_whose_route_set_cannot_be_read_is_a_call_without_one() {
    let mut scene = invited();
    let mut ok = scene.ok_of(0, &sdp("192.0.2.5", "sendrecv"));
    ok.headers.push("Record-Route", "<sip:");
    scene.receive(TARGETS[0], &ok);
    assert_eq!(scene.times(CALLER, "200 INVITE"), [scene.now]);
    let ack = &scene.all(TARGETS[0], "ACK")[0].message;
    assert_eq!(ack.headers.first("Route"), None);
    scene.ack();
    scene.caller_hangs_up();
    assert_eq!(scene.times(TARGETS[0], "BYE").len(), 1);
    scene.must_come_to_rest();
}

/// A target that ends what we ended already, or never answers our BYE, is no matter of the call with the second.
#[test]
fn the_first_targets_own_bye_does_not_touch_the_second_call() {
    for answered in [true, false] {
        let mut scene = invited();
        scene.byes_are_answered = answered;
        let mut ok = scene.ok_of(0, NO_AUDIO);
        ok.headers.remove("Contact");
        scene.receive(TARGETS[0], &ok);
        scene.agent_hangs_up(0);
        assert_second_lives_on(&mut scene, &ok);
        scene.agent_hangs_up(0);
        assert_eq!(scene.engine.live_calls(), 1);
        assert_eq!(scene.times(CALLER, "BYE"), []);
        scene.byes_are_answered = true;
        assert_ends_well(scene);
    }
}

/// A Contact is missing, all else is there: the call is taken, and ended at the address that was called.
#[test]
fn a_200_that_lacks_only_its_contact_is_a_call() {
    let mut scene = invited();
    let mut ok = scene.ok_of(0, &sdp("192.0.2.5", "sendrecv"));
    ok.headers.remove("Contact");
    scene.receive(TARGETS[0], &ok);
    scene.ack();
    assert_eq!(scene.times(TARGETS[0], "ACK").len(), 1);
    assert_eq!(scene.times(TARGETS[1], "INVITE"), []);
    scene.caller_hangs_up();
    let bye = scene.last(TARGETS[0], "BYE").message.clone();
    assert_eq!(bye.method(), Some(&Method::Bye));
    scene.must_come_to_rest();
    assert_eq!(scene.records[0].ended_by, EndedBy::Caller);
}
