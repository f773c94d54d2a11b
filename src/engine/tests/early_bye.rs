//! The caller's BYE that crosses our 200: sent on the early dialog (RFC 3261 §15), it does not say that the 200 was
//! heard, and the INVITE still wants its answer (§15.1.2).

use super::scene::{CALLER, Scene, TARGETS, sdp};
use crate::base::limits::ENDING_MAX;
use crate::hotline::record::EndedBy;
use crate::sip::transaction::TIMEOUT;
use std::time::Duration;

/// An answered call whose caller says BYE before any ACK.
fn crossed() -> Scene {
    let mut scene = Scene::new();
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    scene.answer(0, &sdp("192.0.2.5", "sendrecv"));
    scene.run_for(Duration::from_millis(200));
    scene.caller_hangs_up();
    scene
}

/// It ended at once for everybody else, and the caller gets no BYE for its own.
fn ended_once(scene: &Scene) {
    assert_eq!(scene.times(CALLER, "200 BYE").len(), 1);
    assert_eq!(scene.times(CALLER, "BYE"), []);
    assert_eq!(scene.times(TARGETS[0], "BYE").len(), 1);
    let ended: Vec<EndedBy> = scene.records.iter().map(|one| one.ended_by).collect();
    assert_eq!(ended, [EndedBy::Caller]);
}

#[test]
fn a_200_is_repeated_after_the_callers_bye_until_its_ack() {
    let mut scene = crossed();
    scene.run_for(Duration::from_secs(2));
    ended_once(&scene);
    assert_eq!(
        scene.times(CALLER, "200 INVITE").len(),
        3,
        "0, 0.5 s, 1.5 s"
    );
    scene.ack();
    scene.run_for(Duration::from_secs(10));
    assert_eq!(scene.times(CALLER, "200 INVITE").len(), 3);
    assert!(scene.engine.is_idle(), "the ACK was the last that was owed");
    scene.must_come_to_rest();
    ended_once(&scene);
}

#[test]
fn without_an_ack_it_is_over_after_64_t1() {
    const { assert!(ENDING_MAX.as_secs() > TIMEOUT.as_secs()) };
    let mut scene = crossed();
    scene.run_for(TIMEOUT - Duration::from_millis(201));
    assert_eq!(scene.times(CALLER, "200 INVITE").len(), 11);
    assert!(!scene.engine.is_idle());
    scene.run_for(Duration::from_millis(1));
    assert!(scene.engine.is_idle());
    scene.must_come_to_rest();
    ended_once(&scene);
}

#[test]
fn our_own_bye_that_waited_for_the_ack_is_not_sent_after_the_callers() {
    let mut scene = Scene::new();
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    scene.answer(0, &sdp("192.0.2.5", "sendrecv"));
    scene.agent_hangs_up(0);
    scene.caller_hangs_up();
    scene.run_for(Duration::from_secs(2));
    scene.ack();
    scene.must_come_to_rest();
    assert_eq!(scene.times(CALLER, "BYE"), []);
    assert_eq!(scene.times(CALLER, "200 INVITE").len(), 3);
    assert_eq!(scene.records[0].ended_by, EndedBy::Agent);
}
