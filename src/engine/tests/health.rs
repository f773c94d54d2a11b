//! Targets that come and go: what is asked of them, and where calls go meanwhile.

use super::scene::{CALLER, Scene, TARGETS, sdp, uri};
use crate::base::ids::Leg;
use crate::sip::wire::{Message, Method};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// Two targets that are asked every 30 s.
fn scene() -> Scene {
    let targets = TARGETS.map(uri).join(", ");
    Scene::with(
        &format!("targets = [{targets}]\nring_timeout = \"20s\""),
        "[health]\nevery = \"30s\"",
    )
}

/// Lets time pass; OPTIONS are answered by who has an answer.
fn pass(scene: &mut Scene, long: Duration, answers: [Option<u16>; 2]) {
    let end = scene.now + long;
    while scene.now < end {
        let seen = scene.sent.len();
        scene.run_for(Duration::from_millis(100));
        for sent in scene.sent.split_off(seen) {
            let place = TARGETS
                .iter()
                .position(|target| sent.to.to_string() == *target);
            let status = place.and_then(|place| answers[place]);
            let is_question = sent.message.method() == Some(&Method::Options);
            let answer = sent.message.reply(status.unwrap_or(0), None);
            let to = sent.to.to_string();
            scene.sent.push(sent);
            if is_question && status.is_some() {
                scene.receive(&to, &answer);
            }
        }
    }
}

fn up(scene: &Scene) -> bool {
    let [gauge] = &scene.engine.gauges(scene.now).targets[..] else {
        panic!("both have the name pbx");
    };
    gauge.up
}

/// Where INVITEs went, each once.
fn invited(scene: &Scene) -> Vec<usize> {
    let place = |target: &&str| !scene.all(target, "INVITE").is_empty();
    (0..2).filter(|at| place(&TARGETS[*at])).collect()
}

#[test]
fn targets_that_answer_are_asked_now_and_then_and_calls_go_on_as_before() {
    let mut scene = scene();
    pass(&mut scene, S * 120, [Some(200), Some(405)]);
    for target in TARGETS {
        let times = scene.times(target, "OPTIONS");
        assert!((4..=5).contains(&times.len()), "{times:?}");
        let question = &scene.last(target, "OPTIONS").message;
        let text = String::from_utf8_lossy(&question.to_bytes()).into_owned();
        assert!(
            text.starts_with(&format!("OPTIONS sip:desk@{target} SIP/2.0\r\n")),
            "{text}"
        );
    }
    assert!(up(&scene));
    scene.up();
    assert_eq!(invited(&scene), [0]);
    assert_eq!(scene.all(CALLER, "200 INVITE").len(), 1);
}

#[test]
fn a_caller_does_not_wait_for_a_target_that_is_down() {
    let mut scene = scene();
    pass(&mut scene, S * 60, [None, Some(200)]);
    assert!(!up(&scene));
    let begin = scene.now;
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    assert_eq!(invited(&scene), [1]);
    assert_eq!(scene.times(TARGETS[1], "INVITE"), [begin], "at once");
    scene.answer(1, &sdp("192.0.2.6", "sendrecv"));
    scene.ack();
    scene.speaks(Leg::Caller, S);
    scene.caller_hangs_up();
    scene.run_for(S * 2);
    assert_eq!(scene.records[0].attempts.len(), 1);
}

#[test]
fn a_target_that_comes_back_gets_calls_again() {
    let mut scene = scene();
    pass(&mut scene, S * 60, [None, Some(200)]);
    pass(&mut scene, S * 90, [Some(200), Some(200)]);
    assert!(up(&scene));
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    assert_eq!(invited(&scene), [0]);
}

#[test]
fn if_all_are_down_they_are_tried_in_their_order_all_the_same() {
    let mut scene = scene();
    pass(&mut scene, S * 60, [None, None]);
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    assert_eq!(invited(&scene), [0]);
    pass(&mut scene, S * 21, [None, None]);
    assert_eq!(invited(&scene), [0, 1]);
    scene.answer(1, &sdp("192.0.2.6", "sendrecv"));
    assert_eq!(scene.all(CALLER, "200 INVITE").len(), 1);
}

fn refusal(scene: &Scene, target: usize, retry_after: Option<&str>) -> Message {
    let mut refusal = scene
        .last(TARGETS[target], "INVITE")
        .message
        .reply(503, None);
    let to = format!("{};tag=desk", refusal.headers.first("To").expect("To"));
    refusal.headers.set("To", &to);
    if let Some(seconds) = retry_after {
        refusal.headers.push("Retry-After", seconds);
    }
    refusal
}

#[test]
fn a_call_that_gets_503_with_retry_after_drains_the_target_until_then() {
    let mut scene = scene();
    pass(&mut scene, S * 20, [Some(200), Some(200)]);
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    let refused = refusal(&scene, 0, Some("120"));
    scene.receive(TARGETS[0], &refused);
    assert_eq!(invited(&scene), [0, 1], "this call goes on to the next");
    assert!(!up(&scene));
    let asked = scene.times(TARGETS[0], "OPTIONS").len();
    pass(&mut scene, S * 119, [Some(200), Some(200)]);
    assert!(!up(&scene));
    assert_eq!(
        scene.times(TARGETS[0], "OPTIONS").len(),
        asked,
        "it is left alone"
    );
    pass(&mut scene, S * 2, [Some(200), Some(200)]);
    assert!(up(&scene));
}

#[test]
fn a_503_without_a_time_is_one_calls_misfortune() {
    let mut scene = scene();
    pass(&mut scene, S * 20, [Some(200), Some(200)]);
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    let refused = refusal(&scene, 0, None);
    scene.receive(TARGETS[0], &refused);
    assert!(up(&scene));
}

#[test]
fn a_call_without_any_answer_has_the_target_asked_at_once() {
    let mut scene = scene();
    pass(&mut scene, S * 20, [Some(200), Some(200)]);
    let asked = |scene: &Scene| scene.times(TARGETS[0], "OPTIONS").len();
    scene.invite(&sdp("192.0.2.9", "sendrecv"));
    pass(&mut scene, S * 20 - S / 5, [Some(200), Some(200)]);
    let before = asked(&scene);
    pass(&mut scene, S / 2, [None, Some(200)]);
    assert!(asked(&scene) > before, "when it is given up");
    pass(&mut scene, S * 5, [None, Some(200)]);
    assert!(!up(&scene), "two misses");
    // An answer to the call is one, too: it was only slow.
    let mut ringing = scene.last(TARGETS[0], "INVITE").message.reply(180, None);
    let to = format!("{};tag=desk", ringing.headers.first("To").expect("To"));
    ringing.headers.set("To", &to);
    scene.receive(TARGETS[0], &ringing);
    assert!(up(&scene));
}

#[test]
fn where_nobody_is_to_be_asked_no_options_leave() {
    let mut scene = Scene::new();
    assert_eq!(scene.engine.next_deadline(), None);
    scene.run_for(S * 300);
    assert!(scene.sent.is_empty());
    assert!(up(&scene));
}
