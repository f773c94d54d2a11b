//! Calls in which nothing may be asked: a leg is on hold, or only a queue has answered (R1, R7).

use super::scene::{CALLER, SCRIPT, Scene, TARGETS, sdp, uri};
use crate::base::ids::Leg;
use crate::call::doors::Fact;
use crate::hotline::record::EndedBy;
use std::time::Duration;

/// Below the quarter of an hour after which a call without any RTP is taken for gone.
const LONG: Duration = Duration::from_secs(14 * 60);

/// The ways to hold: by direction (RFC 3264 §8.4) and by address (RFC 2543 §B.5).
fn holds(address: &str) -> [String; 4] {
    [
        sdp(address, "sendonly"),
        sdp(address, "inactive"),
        sdp("0.0.0.0", "sendrecv"),
        sdp("0.0.0.0", "sendonly"),
    ]
}

/// Nobody sends or says anything for long.
fn assert_left_alone(offer: &str, answer: &str) {
    let mut scene = Scene::new();
    scene.invite(offer);
    scene.answer(0, answer);
    scene.ack();
    scene.run_for(LONG);
    assert_eq!(scene.asked(), [""; 0], "{offer}{answer}");
    assert_eq!(scene.byes(), 0, "{offer}{answer}");
    assert_eq!(scene.engine.live_calls(), 1);
    scene.caller_hangs_up();
    scene.must_come_to_rest();
    let [record] = &scene.records[..] else {
        panic!("one call, one record: {:?}", scene.records);
    };
    assert_eq!(record.ended_by, EndedBy::Caller);
    assert!(
        record.findings.is_empty(),
        "`held` is no finding: {record:?}"
    );
    assert!(record.treatments.is_empty(), "{record:?}");
}

#[test]
fn a_caller_on_hold_is_never_treated() {
    for offer in holds("192.0.2.9") {
        assert_left_alone(&offer, &sdp("192.0.2.5", "sendrecv"));
    }
}

#[test]
fn a_caller_who_only_listens_cannot_be_asked_to_speak() {
    let listens = sdp("192.0.2.9", "recvonly");
    assert_left_alone(&listens, &sdp("192.0.2.5", "sendrecv"));
}

#[test]
fn an_agent_who_answers_on_hold_has_the_caller_left_alone() {
    for answer in holds("192.0.2.5") {
        assert_left_alone(&sdp("192.0.2.9", "sendrecv"), &answer);
    }
}

#[test]
fn both_on_hold_are_left_alone() {
    assert_left_alone(&sdp("192.0.2.9", "inactive"), &sdp("0.0.0.0", "inactive"));
}

/// What the tests above would see if a hold were none.
#[test]
fn the_same_silent_call_without_a_hold_hears_the_script() {
    let mut scene = Scene::new();
    scene.up();
    scene.run_for(LONG);
    assert_eq!(scene.asked(), SCRIPT);
    assert_eq!(scene.times(CALLER, "BYE").len(), 1);
}

/// Music sounds like speech to the detector, or like silence: a minute of either, behind a queue.
#[test]
fn a_queue_is_never_treated_whatever_its_music_sounds_like() {
    for sung_s in [0, 1, 7, 60] {
        let targets = format!(
            "targets = [{{ uri = {}, name = \"queue\", answer_means = \"queue\" }}]",
            uri(TARGETS[0])
        );
        let mut scene = Scene::with(&targets, "");
        scene.up();
        scene.packets = [0, 50];
        scene.tell(Fact::FirstRtp { leg: Leg::Agent });
        let end = scene.now + Duration::from_secs(60);
        while scene.now < end {
            if sung_s > 0 {
                scene.speaks(Leg::Agent, Duration::from_secs(sung_s));
            }
            scene.run_for(Duration::from_secs(8));
        }
        assert_eq!(scene.asked(), [""; 0]);
        assert_eq!(scene.byes(), 0);
        scene.caller_hangs_up();
        scene.must_come_to_rest();
        assert!(scene.records[0].findings.is_empty(), "{:?}", scene.records);
    }
}
