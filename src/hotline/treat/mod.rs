//! R1, the silent caller: when each prompt of the script is due, and when the call is ended.
//!
//! Decides from who speaks since when, and from what became of its prompts. Never plays, never
//! hangs up by itself (the call does both as it is told by [`Step`]s), and knows no cause: whether
//! nothing comes from the caller or silence does is the same to the script. Times are computed from
//! when a thing happened (`at`), never from when it was told: speech is told up to 300 ms after it
//! began and 700 ms after it ended. A due time that is past already fires at once. What is told at
//! the very moment of a due time goes before it.
//!
//! Source: the operators' rule R1 with "when the clock starts", and R7 (nobody is hung up on
//! without cause).

#[cfg(test)]
mod reference;

use super::finding::{Cause, FindingKind};
use super::record::EndedBy;
use super::words::closed_set;
use crate::base::ids::Leg;
use crate::base::time::Instant;
use crate::config::{Profile, PromptTo};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

closed_set! {
    /// What became of a prompt.
    pub enum PromptHow {
        /// Its last frame was sent.
        Completed = "completed",
        /// The caller spoke; it faded.
        Speech = "speech",
        /// It never began: the caller had spoken meanwhile.
        Refused = "refused",
        /// It was stopped for another reason.
        Stopped = "stopped",
    }
}

closed_set! {
    /// How a treatment ended.
    pub enum TreatmentOutcome {
        /// The caller spoke after all.
        Recovered = "recovered",
        /// We ended the call, after the whole script.
        HungUp = "hung_up",
        /// The caller's leg ended first.
        CallerLeft = "caller_left",
        /// The agent's leg ended first.
        AgentLeft = "agent_left",
    }
}

/// What the call is to do, or to note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Play a prompt, unless the caller spoke since `unless_speech_since`.
    Play {
        /// 0 for the first; the last is the final prompt.
        step_index: usize,
        /// The prompt's name, from the profile.
        prompt: String,
        /// Who hears it.
        to: PromptTo,
        /// When it was due: now or, after a late fact, earlier.
        due: Instant,
        /// The answer: no speech of the caller is known since.
        unless_speech_since: Instant,
    },
    /// Note the finding `silent_caller`. Comes when the first prompt has started, not when it is
    /// due: until then speech may be on its way, and then there is nothing to find.
    Find {
        /// When R1's clock ran out.
        at: Instant,
        /// Where the window of silence began that ran out.
        silent_since: Instant,
    },
    /// End the prompt that was asked for. A second line of defence: the media thread stops it by itself.
    StopPrompt,
    /// Ask where the caller is heard whether they are silent still: speech may be on its way to us (R7).
    /// Answered with [`SilentCaller::on_silence`].
    ConfirmSilence {
        /// No speech of the caller is known since: the answer.
        unless_speech_since: Instant,
    },
    /// End both legs.
    HangUp,
    /// The treatment's result. Comes once, and only after a prompt was heard.
    Outcome(TreatmentOutcome),
}

/// A prompt that was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptPlayed {
    /// Its name.
    pub prompt: String,
    /// When the rule wanted it.
    pub due: Instant,
    /// When its first frame left.
    pub started_at: Instant,
    /// End of its last frame; `None` while it plays.
    pub ended_at: Option<Instant>,
    /// What became of it; `None` while it plays.
    pub how: Option<PromptHow>,
}

/// A treatment that is over, for the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Treatment {
    /// Which script.
    pub kind: FindingKind,
    /// Why it was played.
    pub cause: Cause,
    /// What was heard, in order; never empty.
    pub prompts: Vec<PromptPlayed>,
    /// How it ended.
    pub outcome: TreatmentOutcome,
}

/// R1 of one call: plain data, from a person's answer to the end of the call.
///
/// After each `on_*` the caller drains [`SilentCaller::poll_step`] and reads
/// [`SilentCaller::next_deadline`] anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SilentCaller {
    profile: Profile,
    answered: Instant,
    state: State,
    /// For the end of a hold, which may come in the middle of the agent's speech.
    agent: Voice,
    steps: VecDeque<Step>,
    played: Vec<PromptPlayed>,
    outcome: Option<TreatmentOutcome>,
}

/// Where R1 stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Both are silent, and the clock runs towards a prompt.
    Silent(Window),
    /// The agent speaks: the clock stands, and starts anew at the end of the speech.
    Suspended(Window),
    /// The prompt is asked for and has not started. `Window` is the one that ran out.
    Asked(Window, Voice),
    /// It plays. The agent's speech does not stop it, but is remembered for the gap after it.
    Playing(Window, Voice),
    /// The final prompt has ended: the call is ended at this time.
    Leaving(Instant),
    /// The time has come, and it is asked whether the caller is silent still.
    Confirming,
    /// One of the two is on hold: nobody could hear a question, or answer it. The step that comes after it, in
    /// a whole new window.
    Held(usize),
    /// A prompt or the hang-up was refused: the caller's speech is on its way to us. No clock runs.
    SpeechAwaited,
    /// The script is over, and the call goes on. No clock runs.
    Spent,
    /// For good: the caller has spoken since the answer, or the call is over.
    Disarmed,
}

/// The silence before one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    /// Which prompt comes after it.
    step: usize,
    /// Speech that ended up to here does not count: the answer, the last prompt's end, or the
    /// end of the agent's speech.
    floor: Instant,
    /// Where the clock starts. Later than `floor` only while the agent's greeting is awaited.
    since: Instant,
}

/// Whether the agent speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Voice {
    Silent,
    Speaking,
}

/// What can happen to R1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    CallerSpoke,
    AgentBegan,
    AgentEnded(Instant),
    PromptStarted,
    PromptEnded(PromptHow, Instant),
    /// Whether the caller is silent still, before the hang-up.
    Silence(bool),
    Held,
    Resumed(Instant),
    /// The deadline of the state has come; it was this.
    Due(Instant),
    CallEnded(EndedBy),
}

impl SilentCaller {
    /// R1 of a call that a person answered. Not for a target whose answer is a queue's: nobody
    /// has been connected there yet. Who speaks at this moment is told right after.
    pub fn new(profile: &Profile, answered: Instant) -> Self {
        SilentCaller {
            profile: profile.clone(),
            answered,
            state: State::Silent(Window {
                step: 0,
                floor: answered,
                since: answered + profile.agent_greeting_max,
            }),
            agent: Voice::Silent,
            steps: VecDeque::new(),
            played: Vec::new(),
            outcome: None,
        }
    }

    /// Speech began. The caller's disarms R1 for this call, whenever its onset was.
    pub fn on_speech_began(&mut self, now: Instant, leg: Leg) {
        if leg == Leg::Agent {
            self.agent = Voice::Speaking;
        }
        self.apply(match leg {
            Leg::Caller => Event::CallerSpoke,
            Leg::Agent => Event::AgentBegan,
        });
        self.on_deadline(now);
    }

    /// Speech ended at `at`, the end of its last frame. Speech that was over before the answer does
    /// not count.
    pub fn on_speech_ended(&mut self, now: Instant, leg: Leg, at: Instant) {
        if leg == Leg::Agent {
            self.agent = Voice::Silent;
        }
        match leg {
            Leg::Caller if at <= self.answered => (),
            Leg::Caller => self.apply(Event::CallerSpoke),
            Leg::Agent => self.apply(Event::AgentEnded(at)),
        }
        self.on_deadline(now);
    }

    /// The first frame of the prompt that was asked for has left.
    pub fn on_prompt_started(&mut self, now: Instant) {
        if let State::Asked(window, _) = self.state {
            self.played.push(PromptPlayed {
                prompt: self.prompt(window.step).to_owned(),
                due: self.due(window),
                started_at: now,
                ended_at: None,
                how: None,
            });
            self.apply(Event::PromptStarted);
        }
    }

    /// The prompt that was asked for has ended; `at` is the end of its last frame.
    pub fn on_prompt_ended(&mut self, now: Instant, how: PromptHow, at: Instant) {
        if how == PromptHow::Completed {
            self.on_prompt_started(at); // Only if its start was not told.
        }
        if let Some(playing) = self.played.last_mut().filter(|last| last.how.is_none()) {
            playing.ended_at = Some(at);
            playing.how = Some(how);
        }
        self.apply(Event::PromptEnded(how, at));
        self.on_deadline(now);
    }

    /// The answer to [`Step::ConfirmSilence`]: whether the silence lasts.
    pub fn on_silence(&mut self, lasts: bool) {
        self.apply(Event::Silence(lasts));
    }

    /// One of the two was put on hold; said again, nothing changes.
    pub fn on_held(&mut self) {
        self.apply(Event::Held);
    }

    /// Both may speak and hear again; said again, nothing changes.
    pub fn on_resumed(&mut self, now: Instant) {
        self.apply(Event::Resumed(now));
    }

    /// The call is over: the last outcome is told, if a prompt was heard and none was told yet.
    pub fn on_call_ended(&mut self, by: EndedBy) {
        self.apply(Event::CallEnded(by));
    }

    /// Does what is due at `now`; nothing if nothing is.
    pub fn on_deadline(&mut self, now: Instant) {
        if let Some(due) = self.next_deadline().filter(|due| *due <= now) {
            self.apply(Event::Due(due));
        }
    }

    /// When [`SilentCaller::on_deadline`] is wanted next.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Silent(window) => Some(self.due(window)),
            State::Leaving(at) => Some(at),
            _ => None,
        }
    }

    /// Takes the next thing to do.
    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Whether the caller has not spoken since the answer, as far as is known, and the call is up.
    pub fn is_armed(&self) -> bool {
        self.state != State::Disarmed
    }

    /// Prompts that were heard so far, in order.
    pub fn prompts(&self) -> &[PromptPlayed] {
        &self.played
    }

    /// The treatment, once its outcome is known; `None` if no prompt was heard.
    pub fn treatment(&self, cause: Cause) -> Option<Treatment> {
        Some(Treatment {
            kind: FindingKind::SilentCaller,
            cause,
            prompts: self.played.clone(),
            outcome: self.outcome?,
        })
    }

    /// One step of the machine: every pair of state and event that means something has its line.
    fn apply(&mut self, event: Event) {
        use Event::*;
        use State::*;
        self.state = match (self.state, event) {
            (Disarmed, _) => Disarmed,
            (_, CallerSpoke | PromptEnded(PromptHow::Speech, _)) => self.recover(),
            (_, CallEnded(by)) => self.close(outcome_of_end(by)),

            (Silent(window), AgentBegan) => Suspended(window),
            (Silent(window) | Suspended(window), AgentEnded(at)) => Silent(window.after_speech(at)),
            (Silent(window), Due(due)) => self.ask(window, due),

            (Asked(window, _), AgentBegan) => Asked(window, Voice::Speaking),
            (Asked(window, _), AgentEnded(_)) => Asked(window, Voice::Silent),
            (Asked(window, voice), PromptStarted) => self.start(window, voice),

            (Playing(window, _), AgentBegan) => Playing(window, Voice::Speaking),
            (Playing(window, _), AgentEnded(_)) => Playing(window, Voice::Silent),
            (Playing(window, voice), PromptEnded(PromptHow::Completed, at)) => {
                self.after_prompt(window, voice, at)
            }

            (Asked(..) | Playing(..), PromptEnded(PromptHow::Refused, _)) => SpeechAwaited,
            // Whoever stopped it: the script was not heard, so it may not end the call (R7).
            (Asked(..) | Playing(..), PromptEnded(PromptHow::Stopped, _)) => Spent,

            (Leaving(_), Due(_)) => self.confirm_silence(),
            (Confirming, Silence(true)) => self.hang_up(),
            (Confirming, Silence(false)) => SpeechAwaited,
            (Silent(window) | Suspended(window), Event::Held) => State::Held(window.step),
            (Asked(window, _) | Playing(window, _), Event::Held) => self.interrupt(window),
            (Leaving(_) | Confirming, Event::Held) => State::Held(self.profile.steps.len()),
            (State::Held(step), Resumed(at)) => self.resume(step, at),
            (state, _) => state,
        };
    }

    /// The silence has lasted: the prompt is asked for.
    fn ask(&mut self, window: Window, due: Instant) -> State {
        self.steps.push_back(Step::Play {
            step_index: window.step,
            prompt: self.prompt(window.step).to_owned(),
            to: self.profile.prompt_to,
            due,
            unless_speech_since: self.answered,
        });
        State::Asked(window, Voice::Silent)
    }

    /// The prompt is heard; with the first of them the caller counts as silent.
    fn start(&mut self, window: Window, voice: Voice) -> State {
        if window.step == 0 {
            self.steps.push_back(Step::Find {
                at: self.due(window),
                silent_since: window.since,
            });
        }
        State::Playing(window, voice)
    }

    /// A prompt was heard to its end: the next gap, the wait for the hang-up, or nothing more.
    fn after_prompt(&self, window: Window, voice: Voice, at: Instant) -> State {
        if window.step < self.profile.steps.len() {
            let gap = Window {
                step: window.step + 1,
                floor: at,
                since: at,
            };
            match voice {
                Voice::Silent => State::Silent(gap),
                Voice::Speaking => State::Suspended(gap),
            }
        } else if self.profile.hang_up {
            State::Leaving(at + self.profile.hang_up_after)
        } else {
            State::Spent
        }
    }

    /// A hold comes in the middle of a prompt: it was not heard, and is asked for again after the hold.
    fn interrupt(&mut self, window: Window) -> State {
        self.steps.push_back(Step::StopPrompt);
        State::Held(window.step)
    }

    /// A whole new window after the hold; the agent's speech suspends it, also where it began during the hold.
    fn resume(&self, step: usize, at: Instant) -> State {
        let window = Window {
            step,
            floor: at,
            since: at,
        };
        match self.agent {
            Voice::Silent => State::Silent(window),
            Voice::Speaking => State::Suspended(window),
        }
    }

    /// The caller is heard.
    fn recover(&mut self) -> State {
        if matches!(self.state, State::Asked(..) | State::Playing(..)) {
            self.steps.push_back(Step::StopPrompt);
        }
        self.close(TreatmentOutcome::Recovered)
    }

    /// The caller's time has run out, as far as is known here.
    fn confirm_silence(&mut self) -> State {
        self.steps.push_back(Step::ConfirmSilence {
            unless_speech_since: self.answered,
        });
        State::Confirming
    }

    /// The script has run out, and so has the caller's time.
    fn hang_up(&mut self) -> State {
        self.steps.push_back(Step::HangUp);
        self.close(TreatmentOutcome::HungUp)
    }

    /// The end of R1 in this call; it has an outcome if a prompt was heard.
    fn close(&mut self, outcome: TreatmentOutcome) -> State {
        if !self.played.is_empty() {
            self.outcome = Some(outcome);
            self.steps.push_back(Step::Outcome(outcome));
        }
        State::Disarmed
    }

    /// When the prompt after this window is due.
    fn due(&self, window: Window) -> Instant {
        window.since + self.silence(window.step)
    }

    /// How long both must be silent before this prompt.
    fn silence(&self, step: usize) -> Duration {
        match step {
            0 => self.profile.silence_after,
            _ => self.profile.repeat_after,
        }
    }

    /// The prompt's name; past the steps comes the final one.
    fn prompt(&self, step: usize) -> &str {
        self.profile
            .steps
            .get(step)
            .unwrap_or(&self.profile.r#final)
    }
}

impl Window {
    /// The same silence, started anew at the end of the agent's speech.
    fn after_speech(self, end: Instant) -> Window {
        if end <= self.floor {
            return self;
        }
        Window {
            floor: end,
            since: end,
            ..self
        }
    }
}

/// The outcome of a treatment that the end of the call cut off.
fn outcome_of_end(by: EndedBy) -> TreatmentOutcome {
    match by {
        EndedBy::Agent => TreatmentOutcome::AgentLeft,
        EndedBy::Qingjiang => TreatmentOutcome::HungUp,
        // Unknown: a peer was lost; the one that was never heard is the likelier.
        EndedBy::Caller | EndedBy::Unknown => TreatmentOutcome::CallerLeft,
    }
}

#[cfg(test)]
mod tests;
