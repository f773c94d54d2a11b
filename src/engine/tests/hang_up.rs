//! R7: nobody is hung up on before the whole script has played, while they speak, or where the profile says never.

use super::scene::{CALLER, PROMPT, PROMPT_LATENCY, SCRIPT, Scene, TARGETS, uri};
use crate::base::ids::Leg;
use crate::base::time::Instant;
use crate::call::doors::{Fact, PromptEnd};
use crate::hotline::record::EndedBy;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(600);

/// `after-sales`: the agent's greeting and the window, the gap, and the wait after the last prompt.
const FIRST_DUE: Duration = Duration::from_secs(7);
const GAP: Duration = Duration::from_secs(3);
const HANG_UP_AFTER: Duration = Duration::from_secs(2);

/// A prompt from its due time to the end of its last frame.
const PLAYING: Duration = Duration::from_millis(2_020);

/// A silent call, both ends sending silence.
fn silent(mut scene: Scene) -> Scene {
    scene.packets = [50, 50];
    scene.up();
    for leg in Leg::BOTH {
        scene.tell(Fact::FirstRtp { leg });
    }
    scene
}

/// Times of the script from the answer, in seconds and milliseconds: prompt 1, 2, 3, and the BYE.
fn due_times(answered: Instant) -> ([Instant; 3], Instant) {
    let first = answered + FIRST_DUE;
    let second = first + PLAYING + GAP;
    let third = second + PLAYING + GAP;
    ([first, second, third], third + PLAYING + HANG_UP_AFTER)
}

#[test]
fn the_call_is_ended_on_both_legs_once_the_whole_script_has_played() {
    assert_eq!(PLAYING, PROMPT + PROMPT_LATENCY);
    let mut scene = silent(Scene::new());
    let (due, end) = due_times(scene.now);
    scene.run_for(LONG);
    let expected: Vec<_> = SCRIPT.into_iter().zip(due).collect();
    assert_eq!(scene.plays(), expected);
    for peer in [CALLER, TARGETS[0]] {
        assert_eq!(scene.times(peer, "BYE"), [end], "{peer}");
    }
    scene.must_come_to_rest();
    let record = &scene.records[0];
    assert_eq!(record.ended_by, EndedBy::Qingjiang);
    assert_eq!(record.prompts.len(), 3, "{record:?}");
}

#[test]
fn a_profile_that_never_hangs_up_lets_the_silent_call_go_on() {
    let keys = format!("profile = \"patient\"\ntargets = [{}]", uri(TARGETS[0]));
    let patient = "[profile.patient]\nbase = \"after-sales\"\nhang_up = false";
    let mut scene = silent(Scene::with(&keys, patient));
    scene.run_for(Duration::from_secs(4 * 3_600));
    assert_eq!(scene.asked(), SCRIPT, "each prompt once, then quiet");
    assert_eq!(scene.byes(), 0);
    assert_eq!(scene.engine.live_calls(), 1);
    scene.caller_hangs_up();
    scene.must_come_to_rest();
    assert_eq!(scene.records[0].ended_by, EndedBy::Caller);
}

/// Goal: one word from the caller, whenever it comes, takes the hang-up away for good.
/// Method: a word at every quarter of a second of the whole script.
#[test]
fn a_caller_who_speaks_at_any_moment_is_never_hung_up_on() {
    let start = silent(Scene::new()).now;
    let (_, end) = due_times(start);
    let mut at = start;
    while at < end {
        let mut scene = silent(Scene::new());
        scene.run_for(at - start);
        assert_eq!(scene.byes(), 0, "before the script is over");
        let asked = scene.asked().len();
        scene.speaks(Leg::Caller, Duration::from_millis(300));
        scene.run_for(LONG);
        assert_eq!(scene.byes(), 0, "speech at {at:?}");
        assert_eq!(scene.asked().len(), asked, "no prompt after {at:?}");
        at = at + Duration::from_millis(250);
    }
}

/// Goal: a prompt that was not heard to its end is no part of a whole script.
#[test]
fn a_prompt_that_is_refused_or_cut_off_is_followed_by_no_hang_up() {
    for how in [PromptEnd::Refused, PromptEnd::Stopped, PromptEnd::Speech] {
        for heard in 0..SCRIPT.len() {
            let mut scene = silent(Scene::new());
            let (due, _) = due_times(scene.now);
            scene.run_for((due[heard] - scene.now) - Duration::from_millis(1));
            scene.prompts_end = how;
            scene.run_for(LONG);
            assert_eq!(scene.byes(), 0, "{how:?} at prompt {heard}");
            assert_eq!(scene.asked(), &SCRIPT[..=heard], "{how:?}");
        }
    }
}

#[test]
fn a_prompt_whose_end_is_never_told_is_followed_by_no_hang_up() {
    let mut scene = silent(Scene::new());
    let (due, _) = due_times(scene.now);
    scene.run_for((due[2] - scene.now) + PROMPT);
    scene.forget_facts();
    scene.run_for(LONG);
    assert_eq!((scene.asked().len(), scene.byes()), (3, 0));
}

#[test]
fn an_agent_who_hangs_up_first_is_on_record() {
    let mut scene = silent(Scene::new());
    scene.run_for(Duration::from_secs(8));
    scene.agent_hangs_up(0);
    assert_eq!(scene.times(TARGETS[0], "BYE"), []);
    assert_eq!(scene.times(CALLER, "BYE"), [scene.now]);
    scene.must_come_to_rest();
    assert_eq!(scene.records[0].ended_by, EndedBy::Agent);
}
