//! The media thread of these worlds: it obeys [`Command`]s and tells [`Fact`]s by a script of who speaks when.

use crate::chance::Chance;
use qingjiang::base::ids::{CallKey, Leg};
use qingjiang::base::time::Instant;
use qingjiang::call::doors::{Command, Fact, PlayId, PromptEnd, StreamCounts};
use std::collections::BTreeMap;
use std::time::Duration;

/// 700 ms without speech end it.
const ENDED_AFTER: Duration = Duration::from_millis(700);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    Report,
    FirstRtp(Leg, u32),
    RtpStopped(Leg),
    RtpResumed(Leg),
    Began(Leg, Instant),
    Ended(Leg, Instant),
    PlayStarts(PlayId),
    PlayEnds(PlayId),
    /// What was in doubt is known: the caller says nothing.
    Certain,
}

/// What comes of a command or a tick.
#[derive(Default)]
pub struct Result {
    pub facts: Vec<Fact>,
    pub ticks: Vec<(Instant, Tick)>,
    pub faults: Vec<String>,
}

pub struct Media {
    chance: Chance,
    sessions: BTreeMap<CallKey, Session>,
}

struct Session {
    listening: bool,
    closed: bool,
    /// Renewed by each Update: an older FirstRtp is void.
    generation: [u32; 2],
    /// Whether, and how soon, this leg sends anything.
    sends: [Option<Duration>; 2],
    flows: [bool; 2],
    stopped: [bool; 2],
    caller_speaks: bool,
    caller_onset: Option<Instant>,
    playing: Option<Playing>,
    /// Whether the caller is silent still was asked and is in doubt.
    asked: bool,
}

struct Playing {
    play: PlayId,
    started: bool,
    length: Duration,
}

impl Media {
    pub fn new(chance: Chance) -> Media {
        let sessions = BTreeMap::new();
        Media { chance, sessions }
    }

    /// How long a prompt is; always the same for one prompt.
    pub fn length(prompt: u16) -> Duration {
        Duration::from_millis(1_000 + 700 * u64::from(prompt))
    }

    /// Sessions that are still open.
    pub fn open(&self) -> usize {
        self.sessions.values().filter(|one| !one.closed).count()
    }

    pub fn on_command(&mut self, now: Instant, command: &Command) -> (CallKey, Result) {
        let mut out = Result::default();
        let call = command.call();
        if let Command::Open { .. } = command {
            let sends = [self.sends(), self.sends()];
            let known = self.sessions.insert(call, Session::new(sends));
            out.check(known.is_none(), "a call opened twice");
            out.ticks.push((now + Duration::from_secs(1), Tick::Report));
            return (call, out);
        }
        match self.sessions.get_mut(&call) {
            None => out.check(false, "a command for a call that was never opened"),
            Some(session) if session.closed => {
                out.check(false, "a command after Close");
            }
            Some(session) => session.on_command(now, command, &mut self.chance, &mut out),
        }
        (call, out)
    }

    fn sends(&mut self) -> Option<Duration> {
        (!self.chance.percent(15)).then(|| self.chance.ms(0, 3_000))
    }

    pub fn on_tick(&mut self, now: Instant, call: CallKey, tick: Tick) -> Result {
        let mut out = Result::default();
        match self.sessions.get_mut(&call) {
            Some(session) if !session.closed => {
                session.on_tick(now, tick, &mut self.chance, &mut out);
            }
            _ => {}
        }
        out
    }
}

impl Result {
    fn check(&mut self, holds: bool, fault: &str) {
        if !holds {
            self.faults.push(fault.to_owned());
        }
    }
}

impl Session {
    fn new(sends: [Option<Duration>; 2]) -> Session {
        Session {
            listening: false,
            closed: false,
            generation: [0, 0],
            sends,
            flows: [false, false],
            stopped: [false, false],
            caller_speaks: false,
            caller_onset: None,
            playing: None,
            asked: false,
        }
    }

    fn on_command(
        &mut self,
        now: Instant,
        command: &Command,
        chance: &mut Chance,
        out: &mut Result,
    ) {
        match command {
            Command::Open { .. } => {}
            Command::Update { leg, .. } => {
                let index = leg.index();
                self.generation[index] += 1;
                if let Some(after) = self.sends[index] {
                    let tick = Tick::FirstRtp(*leg, self.generation[index]);
                    out.ticks.push((now + after, tick));
                }
            }
            Command::Listen { .. } => {
                out.check(!self.listening, "Listen twice");
                self.listening = true;
                self.script(now, chance, out);
            }
            Command::Play {
                play,
                prompt,
                unless_speech_since,
                ..
            } => {
                out.check(self.listening, "a prompt before anybody listens");
                self.speak_around(now, chance, out);
                self.stop(now, PromptEnd::Stopped, out);
                let onset = self
                    .caller_onset
                    .is_some_and(|at| at > *unless_speech_since);
                let playing = Playing {
                    play: *play,
                    started: false,
                    length: Media::length(prompt.0),
                };
                self.playing = Some(playing);
                if self.caller_speaks || onset {
                    self.stop(now, PromptEnd::Refused, out);
                } else {
                    out.ticks
                        .push((now + chance.ms(0, 20), Tick::PlayStarts(*play)));
                }
            }
            Command::ConfirmSilence {
                unless_speech_since,
                ..
            } => {
                self.speak_around(now, chance, out);
                let onset = self
                    .caller_onset
                    .is_some_and(|at| at > *unless_speech_since);
                if self.caller_speaks || onset {
                    out.facts.push(Fact::Silence { lasts: false });
                } else if chance.percent(50) {
                    self.asked = true;
                    out.ticks.push((now + chance.ms(1, 300), Tick::Certain));
                } else {
                    out.facts.push(Fact::Silence { lasts: true });
                }
            }
            Command::Stop { .. } => self.stop(now, PromptEnd::Stopped, out),
            Command::Close { .. } => {
                self.closed = true;
                out.facts.extend(Leg::BOTH.map(|leg| self.report(leg)));
                out.facts.push(Fact::Closed);
            }
        }
    }

    fn stop(&mut self, now: Instant, how: PromptEnd, out: &mut Result) {
        if let Some(Playing { play, .. }) = self.playing.take() {
            out.facts.push(Fact::PromptEnded { play, how, at: now });
        }
    }

    /// The caller's speech and a prompt often cross: "hello?" comes when it has been silent for long.
    fn speak_around(&mut self, now: Instant, chance: &mut Chance, out: &mut Result) {
        let kind = chance.between(0, 9);
        if self.caller_speaks || kind > 1 {
            return;
        }
        let (onset, told) = match kind {
            0 => (now.before(chance.ms(0, 300)), now),
            _ => {
                let onset = now + chance.ms(0, 2_000);
                (onset, onset + chance.ms(0, 300))
            }
        };
        let end = told + chance.ms(100, 2_000);
        out.ticks
            .push((end + ENDED_AFTER, Tick::Ended(Leg::Caller, end)));
        match kind {
            0 => self.on_speech(now, Leg::Caller, onset, chance, out),
            _ => out.ticks.push((told, Tick::Began(Leg::Caller, onset))),
        }
    }

    /// Who speaks when, from the answer on.
    fn script(&self, now: Instant, chance: &mut Chance, out: &mut Result) {
        for leg in Leg::BOTH {
            let mut at = now;
            let (silent, first) = match leg {
                Leg::Caller => (55, chance.pick(&[800, 4_000, 20_000, 30_000])),
                Leg::Agent => (35, chance.pick(&[500, 3_000, 8_000, 25_000])),
            };
            if chance.percent(silent) {
                continue;
            }
            let mut wait = chance.ms(0, first);
            for _ in 0..chance.between(1, 6) {
                let onset = at + wait;
                let end = onset + chance.ms(200, 5_000);
                out.ticks
                    .push((onset + chance.ms(0, 300), Tick::Began(leg, onset)));
                // Told in order: a short utterance's end comes after its beginning.
                let told = end + ENDED_AFTER + chance.ms(0, 20);
                out.ticks.push((told, Tick::Ended(leg, end)));
                (at, wait) = (told, chance.ms(300, 12_000));
            }
        }
        for leg in Leg::BOTH {
            if chance.percent(15) {
                let stopped = now + chance.ms(3_000, 20_000);
                out.ticks.push((stopped, Tick::RtpStopped(leg)));
                out.ticks
                    .push((stopped + chance.ms(100, 10_000), Tick::RtpResumed(leg)));
            }
        }
    }

    fn on_tick(&mut self, now: Instant, tick: Tick, chance: &mut Chance, out: &mut Result) {
        match tick {
            Tick::Report => {
                out.facts.extend(Leg::BOTH.map(|leg| self.report(leg)));
                out.ticks.push((now + Duration::from_secs(1), Tick::Report));
            }
            Tick::FirstRtp(leg, generation) => {
                if self.generation[leg.index()] == generation {
                    self.flows[leg.index()] = true;
                    self.stopped[leg.index()] = false;
                    out.facts.push(Fact::FirstRtp { leg });
                }
            }
            Tick::RtpStopped(leg) => {
                if std::mem::replace(&mut self.flows[leg.index()], false) {
                    self.stopped[leg.index()] = true;
                    let at = now.before(Duration::from_secs(3));
                    out.facts.push(Fact::RtpStopped { leg, at });
                }
            }
            Tick::RtpResumed(leg) => {
                if std::mem::replace(&mut self.stopped[leg.index()], false) {
                    self.flows[leg.index()] = true;
                    out.facts.push(Fact::RtpResumed { leg });
                }
            }
            Tick::Began(leg, at) => self.on_speech(now, leg, at, chance, out),
            Tick::Ended(leg, at) => {
                if leg == Leg::Caller {
                    self.caller_speaks = false;
                }
                out.facts.push(Fact::SpeechEnded { leg, at });
            }
            Tick::PlayStarts(play) => {
                if let Some(playing) = self.playing.as_mut().filter(|one| one.play == play) {
                    playing.started = true;
                    let ends = now + playing.length;
                    out.ticks.push((ends, Tick::PlayEnds(play)));
                    out.facts.push(Fact::PromptStarted { play });
                }
            }
            Tick::Certain => {
                if std::mem::take(&mut self.asked) {
                    out.facts.push(Fact::Silence { lasts: true });
                }
            }
            Tick::PlayEnds(play) => {
                if self.playing.as_ref().is_some_and(|one| one.play == play) {
                    self.stop(now, PromptEnd::Completed, out);
                }
            }
        }
    }

    /// The caller's speech stops a prompt here, without asking the control thread.
    fn on_speech(
        &mut self,
        now: Instant,
        leg: Leg,
        at: Instant,
        chance: &mut Chance,
        out: &mut Result,
    ) {
        let began = Fact::SpeechBegan { leg, at };
        if leg == Leg::Agent {
            return out.facts.push(began);
        }
        (self.caller_speaks, self.caller_onset) = (true, Some(at));
        if std::mem::take(&mut self.asked) {
            out.facts.push(Fact::Silence { lasts: false });
        }
        let how = match self.playing.as_ref().is_some_and(|one| one.started) {
            true => PromptEnd::Speech,
            false => PromptEnd::Refused,
        };
        if chance.percent(50) {
            self.stop(now, how, out);
            out.facts.push(began);
        } else {
            out.facts.push(began);
            self.stop(now, how, out);
        }
    }

    fn report(&self, leg: Leg) -> Fact {
        let flows = self.flows[leg.index()];
        let counts = StreamCounts {
            received: if flows { 50 } else { 0 },
            sent: 50,
            audio: if flows { 50 } else { 0 },
            lost: 0,
            level_max_dbov10: if flows { -600 } else { i16::MIN },
            ..StreamCounts::default()
        };
        Fact::Report { leg, counts }
    }
}
