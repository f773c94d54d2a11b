//! A caller who waits for long: our ringing is repeated every minute (RFC 3261 §13.3.1.1), lest a proxy's timer C
//! ends the call.

use super::scene::{CALLER, Scene, TARGETS, sdp, uri};
use crate::base::time::Instant;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// A call that waits for one target that may ring for five minutes.
fn waiting() -> Scene {
    let keys = format!("targets = [{}]\nring_timeout = \"300s\"", uri(TARGETS[0]));
    let mut scene = Scene::with(&keys, "");
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    scene
}

/// The target's provisional response, with SDP for early media.
fn ring(scene: &mut Scene, status: u16, early: Option<&str>) {
    let mut ringing = scene.ok_of(0, early.unwrap_or_default());
    ringing.start = ringing.reply(status, None).start;
    if early.is_none() {
        ringing.headers.remove("Content-Type");
    }
    scene.receive(TARGETS[0], &ringing);
}

fn minutes(start: Instant, count: u32) -> Vec<Instant> {
    (0..=count).map(|n| start + MINUTE * n).collect()
}

#[test]
fn ringing_is_repeated_every_minute_until_the_answer() {
    let mut scene = waiting();
    scene.run_for(Duration::from_secs(2));
    let rang = scene.now;
    ring(&mut scene, 180, None);
    scene.run_for(Duration::from_secs(200));
    assert_eq!(scene.times(CALLER, "180 INVITE"), minutes(rang, 3));
    scene.answer(0, &sdp("192.0.2.5", "sendrecv"));
    scene.ack();
    scene.run_for(Duration::from_secs(200));
    assert_eq!(scene.times(CALLER, "180 INVITE").len(), 4);
    assert_eq!(scene.times(CALLER, "183 INVITE"), []);
    scene.caller_hangs_up();
    scene.must_come_to_rest();
}

#[test]
fn the_last_response_is_the_one_repeated_with_its_early_media() {
    let mut scene = waiting();
    ring(&mut scene, 180, None);
    scene.run_for(Duration::from_secs(30));
    let early = scene.now;
    ring(&mut scene, 183, Some(&sdp("192.0.2.5", "sendrecv")));
    scene.run_for(Duration::from_secs(150));
    assert_eq!(scene.times(CALLER, "180 INVITE").len(), 1);
    assert_eq!(scene.times(CALLER, "183 INVITE"), minutes(early, 2));
    let all = scene.all(CALLER, "183 INVITE");
    assert!(!all[0].message.body.is_empty());
    assert!(all.iter().all(|one| one.bytes == all[0].bytes));
}

#[test]
fn a_target_that_says_nothing_costs_the_caller_no_proxy_either() {
    let mut scene = waiting();
    let asked = scene.now;
    let trying = scene.ok_of(0, "").reply(100, None);
    scene.receive(TARGETS[0], &trying);
    scene.run_for(Duration::from_secs(130));
    let expected = &minutes(asked, 2)[1..];
    assert_eq!(scene.times(CALLER, "183 INVITE"), expected);
    assert!(scene.last(CALLER, "183 INVITE").message.body.is_empty());
    let weather = &scene.engine.figures().hotlines[0];
    let delay = weather.post_dial_delay.sum_seconds();
    assert_eq!((delay, weather.connected), (60.0, 0), "nobody was rung yet");
    let rang = scene.now;
    ring(&mut scene, 180, None);
    scene.run_for(MINUTE);
    assert_eq!(scene.times(CALLER, "180 INVITE"), minutes(rang, 1));
}

#[test]
fn after_a_refusal_nothing_rings_any_more() {
    let mut scene = waiting();
    ring(&mut scene, 180, None);
    scene.run_for(Duration::from_secs(30));
    let busy = scene.ok_of(0, "").reply(486, None);
    scene.receive(TARGETS[0], &busy);
    assert_eq!(scene.times(CALLER, "486 INVITE"), [scene.now]);
    scene.must_come_to_rest();
    assert_eq!(scene.times(CALLER, "180 INVITE").len(), 1);
}
