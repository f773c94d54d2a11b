//! One test for each sentence of R1.

use super::*;

/// A call whose person answered at 0; times in milliseconds.
struct Scene(SilentCaller);

impl Scene {
    fn with(change: impl FnOnce(&mut Profile)) -> Scene {
        let mut profile = after_sales();
        change(&mut profile);
        Scene(SilentCaller::new(&profile, at(0)))
    }

    fn new() -> Scene {
        Scene::with(|_| ())
    }

    /// Speech as hearing tells it: the onset 100 ms late, the end 700 ms late.
    fn speaks(&mut self, leg: Leg, from: u64, to: u64) {
        self.0.on_speech_began(at(from + 100), leg);
        self.0.on_speech_ended(at(to + 700), leg, at(to));
    }

    /// Lets the clock run to the deadline, which must be `due`, and takes the one step that follows.
    fn runs_to(&mut self, due: u64) -> Step {
        assert_eq!(self.0.next_deadline(), Some(at(due)));
        self.0.on_deadline(at(due - 1));
        assert_eq!(self.0.poll_step(), None, "before the deadline");
        self.0.on_deadline(at(due));
        self.0.poll_step().expect("a step at the deadline")
    }

    fn asks(&mut self, due: u64, prompt: &str) {
        match self.runs_to(due) {
            Step::Play {
                prompt: asked,
                due: when,
                ..
            } => {
                assert_eq!((asked.as_str(), when), (prompt, at(due)));
            }
            other => panic!("{other:?}"),
        }
    }

    /// The prompt is asked for at `due` and heard until `end`.
    fn hears(&mut self, due: u64, prompt: &str, end: u64) {
        self.asks(due, prompt);
        self.0.on_prompt_started(at(due + 5));
        self.0
            .on_prompt_ended(at(end + 2), PromptHow::Completed, at(end));
        if let Some(step) = self.0.poll_step() {
            assert!(matches!(step, Step::Find { .. }), "{step:?}");
        }
    }

    /// The time has come at `due`, and the caller is silent still.
    fn hangs_up(&mut self, due: u64) {
        let since = at(0);
        let asked = Step::ConfirmSilence {
            unless_speech_since: since,
        };
        assert_eq!(self.runs_to(due), asked);
        assert!(self.is_over(), "nothing before the answer");
        self.0.on_silence(true);
        assert_eq!(self.0.poll_step(), Some(Step::HangUp));
    }

    fn steps(&mut self) -> Vec<Step> {
        std::iter::from_fn(|| self.0.poll_step()).collect()
    }

    fn is_over(&mut self) -> bool {
        self.0.next_deadline().is_none() && self.0.poll_step().is_none()
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// The built-in profile, as the rules' table has it.
pub(super) fn after_sales() -> Profile {
    Profile {
        name: "after-sales".into(),
        silence_after: Duration::from_secs(3),
        repeat_after: Duration::from_secs(3),
        agent_greeting_max: Duration::from_secs(4),
        steps: vec!["silent-connected".into(), "silent-can-you-hear".into()],
        r#final: "silent-redial-other-phone".into(),
        hang_up_after: Duration::from_secs(2),
        hang_up: true,
        prompt_to: PromptTo::Both,
    }
}

const ONE: &str = "silent-connected";
const TWO: &str = "silent-can-you-hear";
const FINAL: &str = "silent-redial-other-phone";

#[test]
fn an_agent_who_never_speaks_brings_step_one_seven_seconds_after_the_answer() {
    let mut call = Scene::new();
    assert_eq!(
        call.runs_to(7_000),
        Step::Play {
            step_index: 0,
            prompt: ONE.into(),
            to: PromptTo::Both,
            due: at(7_000),
            unless_speech_since: at(0),
        }
    );
}

#[test]
fn the_whole_script_runs_and_ends_the_call_two_seconds_after_the_final_prompt() {
    let mut call = Scene::new();
    call.hears(7_000, ONE, 9_000);
    call.hears(12_000, TWO, 15_000);
    call.hears(18_000, FINAL, 23_000);
    call.hangs_up(25_000);
    assert_eq!(call.steps(), [Step::Outcome(TreatmentOutcome::HungUp)]);
    assert!(call.is_over());
    let treatment = call.0.treatment(Cause::NeverSent).unwrap();
    assert_eq!(treatment.outcome, TreatmentOutcome::HungUp);
    let heard: Vec<_> = treatment
        .prompts
        .iter()
        .map(|p| (p.prompt.as_str(), p.due))
        .collect();
    assert_eq!(
        heard,
        [(ONE, at(7_000)), (TWO, at(12_000)), (FINAL, at(18_000))]
    );
    assert_eq!(treatment.prompts[0].started_at, at(7_005));
    assert_eq!(treatment.prompts[0].ended_at, Some(at(9_000)));
}

#[test]
fn the_window_starts_anew_at_the_end_of_the_agents_greeting() {
    let mut call = Scene::new();
    call.speaks(Leg::Agent, 500, 2_000);
    call.asks(5_000, ONE);
}

#[test]
fn no_clock_runs_while_the_agent_speaks() {
    let mut call = Scene::new();
    call.0.on_speech_began(at(600), Leg::Agent);
    assert!(call.is_over());
    call.0.on_deadline(at(60_000));
    assert!(call.is_over());
    call.0.on_speech_ended(at(60_700), Leg::Agent, at(60_000));
    call.asks(63_000, ONE);
}

#[test]
fn the_agent_speaking_again_within_the_window_starts_it_anew() {
    let mut call = Scene::new();
    call.speaks(Leg::Agent, 500, 2_000);
    call.speaks(Leg::Agent, 4_000, 6_000);
    call.asks(9_000, ONE);
}

#[test]
fn a_window_that_ran_out_before_the_speech_end_was_told_fires_at_once() {
    let mut call = Scene::with(|profile| profile.silence_after = Duration::from_millis(500));
    call.0.on_speech_began(at(600), Leg::Agent);
    call.0.on_speech_ended(at(2_700), Leg::Agent, at(2_000));
    assert!(matches!(call.steps()[..], [Step::Play { due, .. }] if due == at(2_500)));
}

#[test]
fn agent_speech_that_was_over_before_the_answer_does_not_count() {
    let mut call = Scene(SilentCaller::new(&after_sales(), at(10_000)));
    call.0.on_speech_ended(at(10_400), Leg::Agent, at(9_700));
    call.asks(17_000, ONE);
}

#[test]
fn agent_speech_that_lasts_beyond_the_answer_counts() {
    let mut call = Scene(SilentCaller::new(&after_sales(), at(10_000)));
    call.0.on_speech_ended(at(11_700), Leg::Agent, at(11_000));
    call.asks(14_000, ONE);
}

#[test]
fn any_caller_speech_since_the_answer_disarms_the_rule_for_this_call() {
    let mut call = Scene::new();
    call.speaks(Leg::Caller, 100, 400);
    assert!(call.is_over());
    call.speaks(Leg::Agent, 1_000, 2_000);
    call.0.on_deadline(at(600_000));
    call.0.on_call_ended(EndedBy::Caller);
    assert!(call.is_over());
    assert_eq!(call.0.treatment(Cause::Stopped), None);
}

#[test]
fn the_end_of_a_callers_speech_is_speech_too_unless_it_was_before_the_answer() {
    let mut call = Scene(SilentCaller::new(&after_sales(), at(10_000)));
    call.0.on_speech_ended(at(10_500), Leg::Caller, at(9_800));
    assert!(call.0.is_armed());
    call.0.on_speech_ended(at(10_800), Leg::Caller, at(10_100));
    assert!(!call.0.is_armed());
}

#[test]
fn speech_told_at_the_very_moment_of_the_due_time_goes_before_the_prompt() {
    let mut call = Scene::new();
    call.0.on_speech_began(at(7_000), Leg::Caller);
    call.0.on_deadline(at(7_000));
    assert!(call.is_over());
}

#[test]
fn a_gap_counts_from_the_end_of_the_prompt_not_from_when_it_was_told() {
    let mut call = Scene::new();
    call.asks(7_000, ONE);
    call.0.on_prompt_started(at(7_020));
    call.0
        .on_prompt_ended(at(9_900), PromptHow::Completed, at(9_040));
    call.steps();
    call.asks(12_040, TWO);
}

#[test]
fn agent_speech_between_prompts_restarts_the_gap() {
    let mut call = Scene::new();
    call.hears(7_000, ONE, 9_000);
    call.speaks(Leg::Agent, 10_000, 11_000);
    call.asks(14_000, TWO);
}

#[test]
fn agent_speech_during_a_prompt_does_not_stop_it_and_does_not_lengthen_the_gap() {
    let mut call = Scene::new();
    call.asks(7_000, ONE);
    call.0.on_prompt_started(at(7_005));
    call.steps();
    call.speaks(Leg::Agent, 7_500, 8_000);
    assert_eq!(call.steps(), []);
    call.0
        .on_prompt_ended(at(9_000), PromptHow::Completed, at(9_000));
    call.asks(12_000, TWO);
}

#[test]
fn an_agent_who_still_speaks_when_the_prompt_ends_starts_the_gap_at_the_speechs_end() {
    for began in [6_950, 7_500] {
        let mut call = Scene::new();
        call.asks(7_000, ONE);
        call.0.on_speech_began(at(began + 100), Leg::Agent);
        call.0.on_prompt_started(at(7_060));
        call.0
            .on_prompt_ended(at(9_000), PromptHow::Completed, at(9_000));
        call.steps();
        assert!(call.is_over());
        call.0.on_speech_ended(at(10_700), Leg::Agent, at(10_000));
        call.asks(13_000, TWO);
    }
}

#[test]
fn an_agents_speech_that_ended_in_the_prompt_but_was_told_after_it_leaves_the_gap_alone() {
    let mut call = Scene::new();
    call.asks(7_000, ONE);
    call.0.on_prompt_started(at(7_005));
    call.0.on_speech_began(at(8_000), Leg::Agent);
    call.0
        .on_prompt_ended(at(9_000), PromptHow::Completed, at(9_000));
    call.0.on_speech_ended(at(9_500), Leg::Agent, at(8_800));
    call.steps();
    call.asks(12_000, TWO);
}

#[test]
fn caller_speech_stops_a_playing_prompt_and_the_script_for_good() {
    let mut call = Scene::new();
    call.asks(7_000, ONE);
    call.0.on_prompt_started(at(7_005));
    call.steps();
    call.0.on_speech_began(at(8_000), Leg::Caller);
    let recovered = Step::Outcome(TreatmentOutcome::Recovered);
    assert_eq!(call.steps(), [Step::StopPrompt, recovered]);
    call.0
        .on_prompt_ended(at(8_050), PromptHow::Speech, at(8_040));
    assert!(call.is_over());
    let heard = call.0.prompts().last().unwrap();
    assert_eq!(
        (heard.how, heard.ended_at),
        (Some(PromptHow::Speech), Some(at(8_040)))
    );
}

#[test]
fn a_prompt_that_ended_for_speech_is_speech_even_before_the_speech_is_told() {
    let mut call = Scene::new();
    call.hears(7_000, ONE, 9_000);
    call.asks(12_000, TWO);
    call.0.on_prompt_started(at(12_005));
    call.0
        .on_prompt_ended(at(12_500), PromptHow::Speech, at(12_480));
    assert!(
        call.steps()
            .contains(&Step::Outcome(TreatmentOutcome::Recovered))
    );
    call.speaks(Leg::Caller, 12_300, 13_000);
    assert!(call.is_over(), "one outcome only");
}

#[test]
fn caller_speech_between_prompts_is_a_recovery() {
    let mut call = Scene::new();
    call.hears(7_000, ONE, 9_000);
    call.0.on_speech_began(at(11_000), Leg::Caller);
    assert_eq!(call.steps(), [Step::Outcome(TreatmentOutcome::Recovered)]);
    assert!(call.is_over());
}

#[test]
fn caller_speech_in_the_final_wait_calls_the_hang_up_off() {
    let mut call = Scene::new();
    call.hears(7_000, ONE, 9_000);
    call.hears(12_000, TWO, 15_000);
    call.hears(18_000, FINAL, 23_000);
    call.0.on_speech_began(at(24_999), Leg::Caller);
    assert_eq!(call.steps(), [Step::Outcome(TreatmentOutcome::Recovered)]);
    call.0.on_deadline(at(25_000));
    assert!(call.is_over());
}

#[test]
fn agent_speech_in_the_final_wait_does_not_put_the_hang_up_off() {
    let mut call = Scene::new();
    call.hears(7_000, ONE, 9_000);
    call.hears(12_000, TWO, 15_000);
    call.hears(18_000, FINAL, 23_000);
    call.0.on_speech_began(at(23_500), Leg::Agent);
    call.hangs_up(25_000);
}

#[test]
fn a_caller_who_begins_to_speak_as_the_time_runs_out_is_not_hung_up_on() {
    let mut call = Scene::new();
    call.hears(7_000, ONE, 9_000);
    call.hears(12_000, TWO, 15_000);
    call.hears(18_000, FINAL, 23_000);
    assert!(matches!(call.runs_to(25_000), Step::ConfirmSilence { .. }));
    // The onset was at 24,900; it is found, and told, later.
    call.0.on_silence(false);
    call.0.on_silence(true);
    call.0.on_deadline(at(25_050));
    assert!(call.is_over());
    call.0.on_speech_began(at(25_100), Leg::Caller);
    assert_eq!(call.steps(), [Step::Outcome(TreatmentOutcome::Recovered)]);
}

#[test]
fn a_profile_that_never_hangs_up_leaves_the_call_alone_after_the_script() {
    let mut call = Scene::with(|profile| profile.hang_up = false);
    call.hears(7_000, ONE, 9_000);
    call.hears(12_000, TWO, 15_000);
    call.hears(18_000, FINAL, 23_000);
    call.0.on_deadline(at(900_000));
    assert!(call.is_over());
    call.0.on_speech_began(at(900_001), Leg::Caller);
    assert_eq!(call.steps(), [Step::Outcome(TreatmentOutcome::Recovered)]);
}

#[test]
fn a_refused_prompt_waits_for_the_callers_speech_and_plays_nothing_more() {
    let mut call = Scene::new();
    call.asks(7_000, ONE);
    call.0
        .on_prompt_ended(at(7_010), PromptHow::Refused, at(7_010));
    call.0.on_deadline(at(60_000));
    call.speaks(Leg::Agent, 61_000, 62_000);
    call.0.on_deadline(at(90_000));
    assert!(call.is_over());
    call.0.on_speech_began(at(90_100), Leg::Caller);
    assert!(call.is_over(), "nothing was heard: no finding, no outcome");
    assert!(!call.0.is_armed());
}

#[test]
fn speech_after_a_refused_second_prompt_is_a_recovery() {
    let mut call = Scene::new();
    call.hears(7_000, ONE, 9_000);
    call.asks(12_000, TWO);
    call.0
        .on_prompt_ended(at(12_010), PromptHow::Refused, at(12_010));
    call.0.on_speech_began(at(12_050), Leg::Caller);
    assert_eq!(call.steps(), [Step::Outcome(TreatmentOutcome::Recovered)]);
    assert_eq!(call.0.prompts().len(), 1, "the refused one was not heard");
}

#[test]
fn a_prompt_stopped_by_others_ends_the_script_without_a_hang_up() {
    let mut call = Scene::new();
    call.hears(7_000, ONE, 9_000);
    call.asks(12_000, TWO);
    call.0.on_prompt_started(at(12_005));
    call.0
        .on_prompt_ended(at(13_000), PromptHow::Stopped, at(13_000));
    call.0.on_deadline(at(900_000));
    assert!(call.is_over());
}

#[test]
fn the_finding_comes_with_the_first_prompt_and_names_the_window() {
    let mut call = Scene::new();
    call.speaks(Leg::Agent, 1_000, 2_000);
    call.asks(5_000, ONE);
    assert_eq!(call.steps(), []);
    call.0.on_prompt_started(at(5_005));
    let find = Step::Find {
        at: at(5_000),
        silent_since: at(2_000),
    };
    assert_eq!(call.steps(), [find]);
}

#[test]
fn who_leaves_in_mid_script_decides_the_outcome() {
    let ends = [
        (EndedBy::Caller, TreatmentOutcome::CallerLeft),
        (EndedBy::Agent, TreatmentOutcome::AgentLeft),
        (EndedBy::Qingjiang, TreatmentOutcome::HungUp),
        (EndedBy::Unknown, TreatmentOutcome::CallerLeft),
    ];
    for (by, outcome) in ends {
        let mut call = Scene::new();
        call.hears(7_000, ONE, 9_000);
        call.0.on_call_ended(by);
        assert_eq!(call.steps(), [Step::Outcome(outcome)]);
        assert!(call.is_over());
    }
}

#[test]
fn a_hold_stops_the_clock_and_its_end_starts_a_whole_new_window() {
    let mut call = Scene::new();
    call.0.on_held();
    call.0.on_held();
    call.speaks(Leg::Agent, 1_000, 2_000);
    call.0.on_deadline(at(600_000));
    assert!(call.is_over());
    call.0.on_resumed(at(600_000));
    call.0.on_resumed(at(601_000));
    call.asks(603_000, ONE);
}

#[test]
fn a_prompt_that_a_hold_cuts_off_is_asked_for_again_after_it() {
    let mut call = Scene::new();
    call.hears(7_000, ONE, 9_000);
    call.asks(12_000, TWO);
    call.0.on_prompt_started(at(12_005));
    call.0.on_held();
    assert_eq!(call.steps(), [Step::StopPrompt]);
    call.0
        .on_prompt_ended(at(13_000), PromptHow::Stopped, at(12_990));
    assert!(call.is_over());
    call.0.on_resumed(at(20_000));
    call.asks(23_000, TWO);
}

#[test]
fn a_hold_before_the_hang_up_takes_it_away_and_the_goodbye_is_said_again() {
    for asked in [false, true] {
        let mut call = Scene::new();
        call.hears(7_000, ONE, 9_000);
        call.hears(12_000, TWO, 15_000);
        call.hears(18_000, FINAL, 23_000);
        if asked {
            call.0.on_deadline(at(25_000));
            call.steps();
        }
        call.0.on_held();
        call.0.on_silence(true);
        call.0.on_deadline(at(30_000));
        assert!(call.is_over());
        call.0.on_resumed(at(40_000));
        call.hears(43_000, FINAL, 45_000);
        call.hangs_up(47_000);
    }
}

/// Found by the simulation: the agent's first words after the hold were talked over.
#[test]
fn a_hold_that_ends_while_the_agent_speaks_leaves_the_clock_suspended() {
    for before in [false, true] {
        let mut call = Scene::new();
        if before {
            call.0.on_speech_began(at(1_000), Leg::Agent);
        }
        call.0.on_held();
        if !before {
            call.0.on_speech_began(at(9_000), Leg::Agent);
        }
        call.0.on_resumed(at(10_000));
        call.0.on_deadline(at(20_000));
        assert!(call.is_over());
        call.0.on_speech_ended(at(20_700), Leg::Agent, at(20_000));
        call.asks(23_000, ONE);
    }
}

#[test]
fn a_caller_who_spoke_before_the_hold_is_left_alone_after_it() {
    let mut call = Scene::new();
    call.speaks(Leg::Caller, 100, 400);
    call.0.on_held();
    call.0.on_resumed(at(5_000));
    assert!(call.is_over());
    let mut call = Scene::new();
    call.0.on_held();
    call.speaks(Leg::Caller, 100, 400);
    call.0.on_resumed(at(5_000));
    assert!(call.is_over(), "speech in the hold is speech");
}

#[test]
fn a_script_without_asking_steps_plays_the_final_prompt_only() {
    let mut call = Scene::with(|profile| profile.steps.clear());
    call.hears(7_000, FINAL, 12_000);
    call.hangs_up(14_000);
}

#[test]
fn the_other_built_in_profiles_keep_their_own_times() {
    let mut call = Scene::with(|profile| {
        profile.silence_after = Duration::from_millis(2_500);
        profile.repeat_after = Duration::from_millis(2_500);
    });
    call.hears(6_500, ONE, 8_000);
    call.hears(10_500, TWO, 12_000);
    call.asks(14_500, FINAL);

    let mut call = Scene::with(|profile| profile.repeat_after = Duration::from_secs(2));
    call.hears(7_000, ONE, 9_000);
    call.asks(11_000, TWO);
}

#[test]
fn the_state_survives_being_written_and_read() {
    let mut call = Scene::new();
    call.hears(7_000, ONE, 9_000);
    let bytes = postcard::to_stdvec(&call.0).unwrap();
    let mut call = Scene(postcard::from_bytes(&bytes).unwrap());
    call.asks(12_000, TWO);
}
