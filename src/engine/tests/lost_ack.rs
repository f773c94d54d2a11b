//! Our 200 to the caller until its ACK (RFC 3261 §13.3.1.4).

use super::scene::{CALLER, Scene, TARGETS, sdp};
use crate::base::ids::Leg;
use crate::base::time::Instant;
use crate::hotline::record::EndedBy;
use std::time::Duration;

/// T1 doubling up to T2, until 64 × T1 (RFC 3261 §17.1.1.1), from the first 200.
const REPEATED_AT_MS: [u64; 11] = [
    0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
];
const GIVEN_UP_AT_MS: u64 = 32_000;

/// An answered call whose caller speaks, but sends no ACK.
fn unacknowledged() -> Scene {
    let mut scene = Scene::new();
    scene.packets = [50, 50];
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    scene.answer(0, &sdp("192.0.2.5", "sendrecv"));
    scene
}

fn after(start: Instant, millis: &[u64]) -> Vec<Instant> {
    let at = |ms: &u64| start + Duration::from_millis(*ms);
    millis.iter().map(at).collect()
}

#[test]
fn a_200_is_repeated_to_the_byte_for_64_t1_and_then_both_legs_are_ended() {
    let mut scene = unacknowledged();
    let answered = scene.now;
    scene.speaks(Leg::Caller, Duration::from_secs(2));
    scene.run_for(Duration::from_secs(60));
    let expected = after(answered, &REPEATED_AT_MS);
    assert_eq!(scene.times(CALLER, "200 INVITE"), expected);
    let all = scene.all(CALLER, "200 INVITE");
    assert!(all.iter().all(|one| one.bytes == all[0].bytes));
    let given_up = after(answered, &[GIVEN_UP_AT_MS]);
    assert_eq!(scene.times(CALLER, "BYE"), given_up);
    assert_eq!(scene.times(TARGETS[0], "BYE"), given_up);
    scene.must_come_to_rest();
    assert_eq!(scene.records.len(), 1);
    assert_eq!(scene.records[0].ended_by, EndedBy::Unknown);
}

#[test]
fn an_ack_after_the_last_repetition_still_saves_the_call() {
    let mut scene = unacknowledged();
    scene.speaks(Leg::Caller, Duration::from_secs(2));
    scene.run_for(Duration::from_millis(29_200));
    scene.ack();
    scene.run_for(Duration::from_secs(600));
    assert_eq!(scene.byes(), 0);
    assert_eq!(scene.times(CALLER, "200 INVITE").len(), 11);
    scene.caller_hangs_up();
    scene.must_come_to_rest();
    assert_eq!(scene.records[0].ended_by, EndedBy::Caller);
}

/// BYE may not be sent before the ACK or the end of the wait for it (RFC 3261 §15).
#[test]
fn a_call_that_ends_before_its_ack_ends_the_callers_leg_after_it() {
    let mut scene = unacknowledged();
    scene.agent_hangs_up(0);
    scene.run_for(Duration::from_secs(5));
    assert_eq!(scene.times(CALLER, "BYE"), [], "not before the ACK");
    scene.ack();
    assert_eq!(scene.times(CALLER, "BYE"), [scene.now]);
    scene.must_come_to_rest();
    assert_eq!(scene.records[0].ended_by, EndedBy::Agent);
}

#[test]
fn a_call_that_ends_and_gets_no_ack_ends_the_callers_leg_after_64_t1() {
    let mut scene = unacknowledged();
    let answered = scene.now;
    scene.agent_hangs_up(0);
    scene.run_for(Duration::from_secs(60));
    let given_up = after(answered, &[GIVEN_UP_AT_MS]);
    assert_eq!(scene.times(CALLER, "BYE"), given_up);
    scene.must_come_to_rest();
    assert_eq!(scene.records[0].ended_by, EndedBy::Agent);
}
