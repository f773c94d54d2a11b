//! R1's clock, written again from the rule: when a prompt is due, to the nanosecond.
//!
//! Source: `hotline-rules.md`, "When the clock starts". It shares nothing with `hotline::treat`.

use qingjiang::base::ids::Leg;
use qingjiang::base::time::Instant;
use qingjiang::call::doors::{Fact, PromptEnd};
use qingjiang::config::Profile;

/// R1 of one call that a person answered.
pub struct Script {
    profile: Profile,
    /// The clock starts here if nobody speaks: the answer and the greeting's time, or the last prompt's end.
    since: Instant,
    /// Agent speech that ended before this does not count.
    floor: Instant,
    agent_speaks: bool,
    /// Prompts that were asked for.
    pub asked: usize,
    /// Prompts that were heard to their end.
    pub completed: usize,
    /// Prompts whose first frame left: when they were due, and when it was told.
    pub heard: Vec<(Instant, Instant)>,
    /// When the outstanding one was due.
    asked_due: Instant,
    outstanding: bool,
    /// The caller spoke, or a prompt was refused or stopped: nothing more may be asked.
    pub over: bool,
    /// A caller's speech was told.
    pub spoke: bool,
    last_end: Instant,
    /// The media thread said that the caller is silent still.
    confirmed: bool,
    /// It was asked.
    pub confirming: bool,
    held: bool,
}

impl Script {
    pub fn new(profile: &Profile, answered: Instant) -> Script {
        Script {
            profile: profile.clone(),
            since: answered + profile.agent_greeting_max,
            floor: answered,
            agent_speaks: false,
            asked: 0,
            completed: 0,
            heard: Vec::new(),
            asked_due: answered,
            outstanding: false,
            over: false,
            spoke: false,
            last_end: answered,
            confirmed: false,
            confirming: false,
            held: false,
        }
    }

    pub fn on_fact(&mut self, now: Instant, fact: &Fact) {
        match fact {
            Fact::SpeechBegan { leg, .. } | Fact::SpeechEnded { leg, .. }
                if *leg == Leg::Caller =>
            {
                self.spoke = true;
                self.over = true;
            }
            Fact::SpeechBegan { .. } => self.agent_speaks = true,
            Fact::SpeechEnded { at, .. } => {
                self.agent_speaks = false;
                if *at > self.floor && !self.outstanding {
                    (self.since, self.floor) = (*at, *at);
                }
            }
            Fact::Silence { lasts } if self.confirming => {
                self.confirmed = *lasts;
                self.over |= !lasts;
            }
            Fact::PromptStarted { .. } if !self.over && self.outstanding => {
                self.heard.push((self.asked_due, now))
            }
            Fact::PromptEnded { how, at, .. } => self.on_prompt_ended(*how, *at),
            _ => {}
        }
    }

    fn on_prompt_ended(&mut self, how: PromptEnd, at: Instant) {
        let stopped = !std::mem::replace(&mut self.outstanding, false);
        if stopped {
            // A hold had ended it; only speech is news.
            self.over |= how == PromptEnd::Speech;
            return;
        }
        if how != PromptEnd::Completed {
            self.over = true;
            return;
        }
        self.completed += 1;
        (self.since, self.floor, self.last_end) = (at, at, at);
    }

    /// All prompts of the profile, the final one too.
    fn prompts(&self) -> usize {
        self.profile.steps.len() + 1
    }

    /// When the next prompt must be asked for; `None`: not at all as things stand.
    pub fn due(&self) -> Option<Instant> {
        let left = self.asked < self.prompts() && !self.outstanding && !self.over;
        let silence = match self.asked {
            0 => self.profile.silence_after,
            _ => self.profile.repeat_after,
        };
        (left && !self.agent_speaks && !self.held).then(|| self.since + silence)
    }

    /// When the call must be ended: the caller's time is over, and they are silent still.
    pub fn hang_up_due(&self) -> Option<Instant> {
        self.confirm_due().filter(|_| self.confirmed)
    }

    /// When the media thread must be asked whether the caller is silent still.
    pub fn confirm_due(&self) -> Option<Instant> {
        let complete =
            !self.held && self.completed == self.prompts() && !self.over && self.profile.hang_up;
        complete.then(|| self.last_end + self.profile.hang_up_after)
    }

    /// One of the two is on hold: the clock stops, and a prompt that nobody could hear comes again. Gives whether
    /// one is to be stopped.
    pub fn on_held(&mut self) -> bool {
        self.held = true;
        if self.over {
            return false;
        }
        let stops = std::mem::take(&mut self.outstanding);
        if stops {
            self.asked -= 1;
        } else if self.completed == self.prompts() && self.profile.hang_up {
            // Nobody is hung up on whose final prompt is long past: it is asked for again.
            (self.asked, self.completed) = (self.asked - 1, self.completed - 1);
        }
        (self.confirmed, self.confirming) = (false, false);
        stops
    }

    /// Both may speak and hear again: a whole new window.
    pub fn on_resumed(&mut self, now: Instant) {
        self.held = false;
        (self.since, self.floor) = (now, now);
    }

    /// The prompt that must come next.
    pub fn next_prompt(&self) -> &str {
        let steps = &self.profile.steps;
        steps.get(self.asked).unwrap_or(&self.profile.r#final)
    }

    pub fn on_asked(&mut self) {
        self.asked_due = self.due().unwrap_or(self.since);
        self.asked += 1;
        self.outstanding = true;
    }
}
