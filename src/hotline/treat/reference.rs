//! R1 told a second time, as a definition: at each millisecond, from all that is known, is a prompt
//! due? Slow and without state of its own, so that it cannot share a fault with the machine.

use super::tests::after_sales;
use super::*;
use proptest::prelude::*;

/// When a speech ended, in milliseconds after the answer, and when its onset and its end are told.
#[derive(Clone, Debug)]
struct Speech {
    to: u64,
    told_from: u64,
    told_to: u64,
}

/// What is seen from outside: when it happened, what, and when it was due.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Play { now: u64, step: usize, due: u64 },
    HangUp { now: u64 },
    Recovered { now: u64 },
}

/// The whole course of one call.
#[derive(Clone, Debug)]
struct Course {
    caller: Option<Speech>,
    agent: Vec<Speech>,
    /// From the request to the first frame, and the prompt's length.
    prompts: Vec<(u64, u64)>,
    silence_after: u64,
    repeat_after: u64,
    greeting_max: u64,
    hang_up_after: u64,
    hang_up: bool,
}

const END: u64 = 60_000;

/// What the rules ask for, by their sentences.
fn by_definition(course: &Course) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut ends: Vec<u64> = Vec::new();
    let mut busy_until = 0;
    for now in 0..END {
        if course
            .caller
            .as_ref()
            .is_some_and(|speech| speech.told_from <= now)
        {
            if !ends.is_empty() {
                seen.push(Seen::Recovered { now });
            }
            return seen;
        }
        if now < busy_until {
            continue;
        }
        let step = ends.len();
        if step == 3 {
            if !course.hang_up {
                continue;
            }
            if now >= ends[2] + course.hang_up_after {
                seen.push(Seen::HangUp { now });
                return seen;
            }
            continue;
        }
        let known: Vec<&Speech> = course.agent.iter().filter(|s| s.told_from <= now).collect();
        if known.iter().any(|speech| speech.told_to > now) {
            continue;
        }
        let floor = ends.last().copied().unwrap_or(0);
        let spoken = known
            .iter()
            .map(|speech| speech.to)
            .filter(|end| *end > floor)
            .max();
        let start = match (spoken, step) {
            (Some(end), _) => end,
            (None, 0) => course.greeting_max,
            (None, _) => floor,
        };
        let due = start
            + if step == 0 {
                course.silence_after
            } else {
                course.repeat_after
            };
        if now >= due {
            seen.push(Seen::Play { now, step, due });
            let (delay, length) = course.prompts[step];
            // Speech told up to the first frame refuses it: then it was never heard.
            let told = course
                .caller
                .as_ref()
                .map_or(u64::MAX, |speech| speech.told_from);
            if told <= now + delay {
                if !ends.is_empty() {
                    seen.push(Seen::Recovered { now: told });
                }
                return seen;
            }
            busy_until = now + delay + length;
            ends.push(busy_until);
        }
    }
    seen
}

/// What the machine does, driven as the call would drive it.
fn by_machine(course: &Course) -> Vec<Seen> {
    let at = Instant::from_millis;
    let profile = Profile {
        silence_after: Duration::from_millis(course.silence_after),
        repeat_after: Duration::from_millis(course.repeat_after),
        agent_greeting_max: Duration::from_millis(course.greeting_max),
        hang_up_after: Duration::from_millis(course.hang_up_after),
        hang_up: course.hang_up,
        ..after_sales()
    };
    let mut rule = SilentCaller::new(&profile, at(0));
    let (mut seen, mut starts, mut ends) = (Vec::new(), None, None);
    for now in 0..END {
        let caller = course.caller.iter().map(|speech| (Leg::Caller, speech));
        let agent = course.agent.iter().map(|speech| (Leg::Agent, speech));
        for (leg, speech) in caller.chain(agent) {
            if speech.told_from == now {
                rule.on_speech_began(at(now), leg);
            }
            if speech.told_to == now {
                rule.on_speech_ended(at(now), leg, at(speech.to));
            }
        }
        let speaks = course.caller.as_ref().is_some_and(|s| s.told_from <= now);
        if starts == Some(now) {
            if speaks {
                rule.on_prompt_ended(at(now), PromptHow::Refused, at(now));
                ends = None;
            } else {
                rule.on_prompt_started(at(now));
            }
        }
        if ends == Some(now) {
            rule.on_prompt_ended(at(now), PromptHow::Completed, at(now));
        }
        if rule.next_deadline().is_some_and(|due| due <= at(now)) {
            rule.on_deadline(at(now));
        }
        while let Some(step) = rule.poll_step() {
            match step {
                Step::Play {
                    step_index, due, ..
                } => {
                    let (delay, length) = course.prompts[step_index];
                    starts = Some(now + delay);
                    ends = Some(now + delay + length);
                    let due = due.millis_since(Instant::ZERO);
                    seen.push(Seen::Play {
                        now,
                        step: step_index,
                        due,
                    });
                }
                // Asked where nothing is on its way: in these courses speech is known when it is told.
                Step::ConfirmSilence { .. } => rule.on_silence(true),
                Step::HangUp => seen.push(Seen::HangUp { now }),
                Step::Outcome(TreatmentOutcome::Recovered) => seen.push(Seen::Recovered { now }),
                Step::StopPrompt => ends = None,
                Step::Find { .. } | Step::Outcome(_) => (),
            }
        }
    }
    seen
}

/// Speech with the lateness of hearing: an onset up to 300 ms, an end 700 ms.
fn speech(from: u64, length: u64, late: u64) -> Speech {
    Speech {
        to: from + length,
        told_from: from + late,
        told_to: from + length + 700,
    }
}

/// The agent's turns, in order, with pauses of 700 ms and more (shorter ones are one speech).
fn turns() -> impl Strategy<Value = Vec<Speech>> {
    prop::collection::vec((701_u64..9_000, 320_u64..6_000, 20_u64..300), 0..6).prop_map(|turns| {
        let mut clock = 0;
        let mut agent = Vec::new();
        for (pause, length, late) in turns {
            agent.push(speech(clock + pause, length, late));
            clock += pause + length;
        }
        agent
    })
}

prop_compose! {
    fn courses()(
        caller in prop::option::of((0_u64..45_000, 20_u64..300)),
        agent in turns(),
        prompts in prop::collection::vec((1_u64..25, 500_u64..6_000), 3),
        silence_after in 500_u64..5_000,
        repeat_after in 500_u64..5_000,
        greeting_max in 0_u64..6_000,
        hang_up_after in 0_u64..3_000,
        hang_up in prop::bool::weighted(0.8),
    ) -> Course {
        Course {
            caller: caller.map(|(from, late)| speech(from, 2_000, late)),
            agent, prompts, silence_after, repeat_after, greeting_max, hang_up_after, hang_up,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Goal: prompts and hang-ups come when the rules say, to the millisecond, and never otherwise.
    /// Method: random turns of speech, told late as hearing tells them, against the definition.
    #[test]
    fn the_machine_does_what_the_definition_says(course in courses()) {
        prop_assert_eq!(by_machine(&course), by_definition(&course));
    }

    /// Goal: R7. Whatever is told in whatever order, nothing is played and nobody is hung up on
    /// after the caller was heard.
    #[test]
    fn nothing_is_done_to_a_caller_who_was_heard(
        events in prop::collection::vec((0_u8..8, 0_u64..3_000), 1..60),
        heard_at in 0_usize..60,
    ) {
        let mut rule = SilentCaller::new(&after_sales(), Instant::ZERO);
        let mut now = Instant::ZERO;
        let mut heard = false;
        for (index, (what, wait)) in events.into_iter().enumerate() {
            now = now + Duration::from_millis(wait);
            if index == heard_at {
                rule.on_speech_began(now, Leg::Caller);
                heard = true;
                while rule.poll_step().is_some() {}
            }
            let ended = now.before(Duration::from_millis(700));
            match what {
                0 => rule.on_speech_began(now, Leg::Agent),
                1 => rule.on_speech_ended(now, Leg::Agent, ended),
                2 | 3 => rule.on_prompt_started(now),
                4 => rule.on_prompt_ended(now, PromptHow::Completed, now),
                5 => rule.on_prompt_ended(now, PromptHow::Refused, now),
                _ => rule.on_deadline(now),
            }
            while let Some(step) = rule.poll_step() {
                prop_assert!(!heard, "{:?} after the caller was heard", step);
            }
        }
    }
}

#[test]
fn the_default_call_without_any_speech_is_the_rules_example() {
    let course = Course {
        caller: None,
        agent: Vec::new(),
        prompts: vec![(1, 1_999); 3],
        silence_after: 3_000,
        repeat_after: 3_000,
        greeting_max: 4_000,
        hang_up_after: 2_000,
        hang_up: true,
    };
    let play = |now, step| Seen::Play {
        now,
        step,
        due: now,
    };
    let story = [
        play(7_000, 0),
        play(12_000, 1),
        play(17_000, 2),
        Seen::HangUp { now: 21_000 },
    ];
    assert_eq!(by_definition(&course), story);
}
