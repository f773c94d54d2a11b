//! Which targets are there: what their answers to our OPTIONS, and to calls, say of them.
//!
//! Decides when a target is asked, when it is down and when up again. It sends nothing and knows no call. A target is down after two
//! questions or calls without an answer, or two 503s; it is up again with the first answer to anything but a 408 or 503. A 503
//! with Retry-After drains it: it is taken at its word, and asked when the time is over.
//! Blind spot, on purpose: a target that answers OPTIONS and nothing else.
//!
//! Source: RFC 3261 §11 (OPTIONS), §21.5.4 (503: with Retry-After no requests until then, without it as a 500), §20.33.

use crate::base::random::Random;
use crate::base::time::Instant;
use crate::base::timers::Timers;
use crate::config::{Config, Target};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Questions and calls without an answer, one after the other, after which a target is down: one may be lost.
const MISSES_MAX: u8 = 2;

/// How long an answer to OPTIONS is waited for: four copies are out by then (timer E).
const PATIENCE: Duration = Duration::from_secs(5);

/// After a question without an answer the next one comes so soon, unless targets are asked more often anyway.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The longest time between two questions to a target that is down.
const BACK_OFF_MAX: Duration = Duration::from_secs(300);

/// The longest drain that is believed: a wrong Retry-After must not lose a target for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// All targets of the configuration, each URI once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Health {
    /// Zero: nobody is asked, and nobody is down but by its own word.
    every: Duration,
    by_uri: BTreeMap<String, TargetId>,
    states: BTreeMap<TargetId, State>,
    timers: Timers<TargetId>,
    next: u32,
}

/// Names a target within this process life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TargetId(u32);

/// One question to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    target: TargetId,
    number: u32,
}

/// What a question or a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Any answer but those below.
    Life,
    /// 408: somebody on the way says that the target does not answer.
    TimedOut,
    /// 503, with its Retry-After.
    Unavailable(Option<Duration>),
    /// No answer at all.
    Silence,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    target: Target,
    reach: Reach,
    /// It asked to be left alone until then.
    drained_until: Option<Instant>,
    phase: Phase,
    /// Questions put to it.
    asked: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reach {
    Up {
        misses: u8,
    },
    /// With the time between the last question and the next.
    Down {
        wait: Duration,
    },
}

/// What its timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// To find the moment of the first question.
    New,
    /// To ask.
    Waiting,
    /// To go on without an answer.
    Asked,
}

impl Sign {
    /// What a response says.
    pub fn of(status: u16, retry_after: Option<&str>) -> Sign {
        match status {
            408 => Sign::TimedOut,
            503 => Sign::Unavailable(retry_after.and_then(seconds)),
            _ => Sign::Life,
        }
    }
}

/// The delta-seconds of a Retry-After; `None` for none, and for zero.
fn seconds(value: &str) -> Option<Duration> {
    let value = value.trim_start();
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let seconds = match value[..digits].parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) if digits == 0 => return None,
        Err(_) => RETRY_AFTER_MAX, // More digits than a number has.
    };
    (!seconds.is_zero()).then_some(seconds.min(RETRY_AFTER_MAX))
}

impl Health {
    /// All are up, until something else is known.
    pub fn new(config: &Config) -> Health {
        let mut health = Health {
            every: Duration::ZERO,
            by_uri: BTreeMap::new(),
            states: BTreeMap::new(),
            timers: Timers::default(),
            next: 0,
        };
        health.renew(config);
        health
    }

    /// Takes the targets of a renewed configuration. What is known of those that stay is kept.
    pub fn renew(&mut self, config: &Config) {
        let targets = || config.hotlines.iter().flat_map(|hotline| &hotline.targets);
        let named: BTreeSet<&str> = targets().map(|target| target.uri.as_str()).collect();
        let (timers, states) = (&mut self.timers, &mut self.states);
        self.by_uri.retain(|uri, id| {
            let stays = named.contains(uri.as_str());
            if !stays {
                timers.cancel(*id);
                states.remove(id);
            }
            stays
        });
        for target in targets() {
            self.take(target);
        }
        if self.every != config.health.every {
            self.every = config.health.every;
            self.begin_anew();
        }
    }

    fn take(&mut self, target: &Target) {
        if let Some(id) = self.by_uri.get(&target.uri) {
            if let Some(state) = self.states.get_mut(id) {
                state.target = target.clone();
            }
            return;
        }
        self.next += 1;
        let id = TargetId(self.next);
        self.by_uri.insert(target.uri.clone(), id);
        let state = State {
            target: target.clone(),
            reach: Reach::Up { misses: 0 },
            drained_until: None,
            phase: Phase::New,
            asked: 0,
        };
        self.states.insert(id, state);
        self.set(id, Instant::ZERO);
    }

    /// With another time between questions, and with none at all: nobody is down for what was asked before.
    fn begin_anew(&mut self) {
        let ids: Vec<TargetId> = self.states.keys().copied().collect();
        for id in ids {
            self.timers.cancel(id);
            if let Some(state) = self.states.get_mut(&id) {
                state.reach = Reach::Up { misses: 0 };
                state.phase = Phase::New;
            }
            self.set(id, Instant::ZERO);
        }
    }

    /// Whether new calls may go there. What is not known is up.
    pub fn is_up(&self, now: Instant, uri: &str) -> bool {
        let state = self.by_uri.get(uri).and_then(|id| self.states.get(id));
        state.is_none_or(|state| {
            let is_drained = state.drained_until.is_some_and(|until| now < until);
            matches!(state.reach, Reach::Up { .. }) && !is_drained
        })
    }

    /// When somebody is to be asked next, or an answer is overdue.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Takes one target that is to be asked now. Answers that are overdue are seen to on the way.
    pub fn pop_due(&mut self, now: Instant, random: &mut Random) -> Option<(Question, Target)> {
        while let Some(id) = self.timers.pop_due(now) {
            let Some(state) = self.states.get_mut(&id) else {
                continue;
            };
            match state.phase {
                // Not all at once.
                Phase::New => {
                    state.phase = Phase::Waiting;
                    let spread = self.every.min(ASK_AGAIN).as_millis() as u32;
                    let after = Duration::from_millis(random.below(spread.max(1)).into());
                    self.set(id, now + after);
                }
                Phase::Waiting => {
                    state.phase = Phase::Asked;
                    state.asked = state.asked.wrapping_add(1);
                    let target = state.target.clone();
                    let question = Question {
                        target: id,
                        number: state.asked,
                    };
                    self.set(id, now + PATIENCE);
                    return Some((question, target));
                }
                Phase::Asked => {
                    let question = Question {
                        target: id,
                        number: state.asked,
                    };
                    self.on_check(now, question, Sign::Silence, random);
                }
            }
        }
        None
    }

    /// The question could not be put, which says nothing of the target.
    pub fn postpone(&mut self, now: Instant, question: Question) {
        if let Some(state) = self.states.get_mut(&question.target) {
            state.phase = Phase::Waiting;
            self.set(question.target, now + ASK_AGAIN);
        }
    }

    /// What a question came to. After five seconds only signs of life still count.
    pub fn on_check(&mut self, now: Instant, question: Question, sign: Sign, random: &mut Random) {
        let id = question.target;
        let Some(state) = self.states.get_mut(&id) else {
            return;
        };
        let is_awaited = state.phase == Phase::Asked && state.asked == question.number;
        if !is_awaited && sign != Sign::Life {
            return;
        }
        state.phase = Phase::Waiting;
        let every = self.every;
        let wait = match sign {
            Sign::Life => {
                state.reach = Reach::Up { misses: 0 };
                every
            }
            Sign::Unavailable(Some(long)) => {
                state.drained_until = Some(now + long);
                return self.set(id, now + long);
            }
            Sign::Unavailable(None) | Sign::TimedOut | Sign::Silence => state.miss(every),
        };
        self.set(id, now + jittered(wait, random));
    }

    /// What a call to this URI came to so far.
    pub fn on_call(&mut self, now: Instant, uri: &str, sign: Sign) {
        let Some(&id) = self.by_uri.get(uri) else {
            return;
        };
        let (every, Some(state)) = (self.every, self.states.get_mut(&id)) else {
            return;
        };
        let was = state.reach;
        match sign {
            Sign::Life => state.reach = Reach::Up { misses: 0 },
            Sign::Unavailable(Some(long)) => {
                state.drained_until = Some(now + long);
                state.phase = Phase::Waiting;
                return self.set(id, now + long);
            }
            // It is nobody's fault but the call's (RFC 3261 §21.5.4: as a 500; a 408 may be of a person who did not answer).
            Sign::Unavailable(None) | Sign::TimedOut => return,
            Sign::Silence if every.is_zero() || matches!(was, Reach::Down { .. }) => return,
            Sign::Silence => {
                state.miss(every);
            }
        }
        let is_drained = state.drained_until.is_some_and(|until| now < until);
        if state.reach != was && state.phase == Phase::Waiting && !is_drained {
            let after = match sign {
                Sign::Life => every,
                _ => Duration::ZERO, // To be sure of it before the next call.
            };
            self.set(id, now + after);
        }
    }

    /// Nobody has a timer where nobody is asked.
    fn set(&mut self, id: TargetId, at: Instant) {
        if !self.every.is_zero() {
            self.timers.set(id, at);
        }
    }
}

impl State {
    /// Gives the time until the next question.
    fn miss(&mut self, every: Duration) -> Duration {
        let soon = every.min(ASK_AGAIN);
        let (reach, wait) = match self.reach {
            Reach::Up { misses } if misses + 1 < MISSES_MAX => {
                (Reach::Up { misses: misses + 1 }, soon)
            }
            Reach::Up { .. } => (Reach::Down { wait: soon }, soon),
            Reach::Down { wait } => {
                let wait = (wait * 2).min(BACK_OFF_MAX.max(every));
                (Reach::Down { wait }, wait)
            }
        };
        self.reach = reach;
        wait
    }
}

/// A tenth more or less, so that questions to many targets do not come together.
fn jittered(wait: Duration, random: &mut Random) -> Duration {
    wait * (900 + random.below(201)) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hotline::figures::tests::config;

    const URI: &str = "sip:1000@127.0.0.1:5090";

    struct Bench {
        health: Health,
        random: Random,
        now: Instant,
    }

    impl Bench {
        fn new(every: u64) -> Bench {
            let mut config = config();
            config.health.every = Duration::from_secs(every);
            Bench {
                health: Health::new(&config),
                random: Random::from_number(1),
                now: Instant::from_millis(1_000),
            }
        }

        /// Goes on to the next question; gives how long it took.
        fn asked(&mut self) -> (Question, Duration) {
            let start = self.now;
            loop {
                let due = self.health.next_deadline().expect("a deadline");
                self.now = self.now.max(due);
                if let Some((id, target)) = self.health.pop_due(self.now, &mut self.random) {
                    assert_eq!(target.uri, URI);
                    return (id, self.now - start);
                }
            }
        }

        fn answer(&mut self, id: Question, status: u16, retry_after: Option<&str>) {
            let sign = Sign::of(status, retry_after);
            self.health.on_check(self.now, id, sign, &mut self.random);
        }

        fn is_up(&self) -> bool {
            self.health.is_up(self.now, URI)
        }

        /// Two questions without an answer.
        fn down(&mut self) {
            self.asked();
            self.asked();
            self.asked();
            assert!(!self.is_up());
        }
    }

    fn near(found: Duration, expected: Duration) -> bool {
        found >= expected * 9 / 10 && found <= expected * 11 / 10
    }

    #[test]
    fn who_answers_is_asked_at_its_interval_one_uri_once() {
        let mut bench = Bench::new(30);
        assert_eq!(bench.health.states.len(), 1, "four targets of one URI");
        let (mut question, first) = bench.asked();
        assert!(first < ASK_AGAIN);
        for status in [200, 404, 405, 480, 500] {
            bench.answer(question, status, None);
            assert!(bench.is_up(), "{status}");
            let waited;
            (question, waited) = bench.asked();
            assert!(near(waited, Duration::from_secs(30)), "{waited:?}");
        }
    }

    #[test]
    fn one_unanswered_question_is_nothing_two_are_down_and_questions_get_rare() {
        let mut bench = Bench::new(30);
        bench.asked();
        let (_, again) = bench.asked();
        assert!(bench.is_up() && again <= PATIENCE + ASK_AGAIN * 2);
        let mut waits = Vec::new();
        for _ in 0..9 {
            let (_, waited) = bench.asked();
            assert!(!bench.is_up());
            waits.push(waited - PATIENCE);
        }
        for (waited, seconds) in waits.into_iter().zip([5, 10, 20, 40, 80, 160, 300, 300]) {
            let expected = Duration::from_secs(seconds);
            assert!(near(waited, expected), "{waited:?}, not {expected:?}");
        }
        let (id, _) = bench.asked();
        bench.answer(id, 501, None);
        assert!(bench.is_up());
        let (_, waited) = bench.asked();
        assert!(near(waited, Duration::from_secs(30)), "{waited:?}");
    }

    #[test]
    fn refusals_for_want_of_service_count_as_no_answer_and_a_late_answer_is_one() {
        for status in [408, 503] {
            let mut bench = Bench::new(30);
            let (id, _) = bench.asked();
            bench.answer(id, status, None);
            assert!(bench.is_up());
            let (second, _) = bench.asked();
            bench.answer(id, status, None);
            assert!(bench.is_up(), "of the question before");
            bench.answer(second, status, Some("0"));
            assert!(!bench.is_up(), "{status}");
            bench.answer(second, 408, None);
            bench.answer(id, 200, None);
            assert!(bench.is_up(), "late, but an answer");
        }
    }

    #[test]
    fn a_drain_is_taken_at_its_word_and_asked_after_it() {
        let mut bench = Bench::new(30);
        let (id, _) = bench.asked();
        bench.answer(id, 503, Some("120 (lunch);duration=5"));
        assert!(!bench.is_up());
        // An earlier call rings there meanwhile: that lifts nothing.
        bench.health.on_call(bench.now, URI, Sign::Life);
        assert!(!bench.is_up());
        let (id, waited) = bench.asked();
        assert_eq!(waited, Duration::from_secs(120));
        assert!(bench.is_up());
        bench.answer(id, 503, Some("99999999999999999999999"));
        assert_eq!(bench.asked().1, RETRY_AFTER_MAX);
    }

    #[test]
    fn calls_tell_as_much_as_questions() {
        let mut bench = Bench::new(30);
        bench.down();
        bench.health.on_call(bench.now, URI, Sign::Life);
        assert!(bench.is_up());
        let (id, _) = bench.asked();
        bench.answer(id, 200, None);
        bench.health.on_call(bench.now, URI, Sign::Silence);
        assert!(bench.is_up());
        let (_, waited) = bench.asked();
        assert_eq!(waited, Duration::ZERO, "asked at once");
        bench.asked();
        assert!(!bench.is_up());
        bench.health.on_call(bench.now, URI, Sign::Silence);
        bench
            .health
            .on_call(bench.now, "sip:unknown@x", Sign::Silence);
    }

    #[test]
    fn a_call_that_is_refused_for_want_of_service_drains_only_with_a_time() {
        for every in [0, 30] {
            let mut bench = Bench::new(every);
            for _ in 0..5 {
                bench.health.on_call(bench.now, URI, Sign::of(503, None));
                bench.health.on_call(bench.now, URI, Sign::of(408, None));
            }
            assert!(bench.is_up());
            bench
                .health
                .on_call(bench.now, URI, Sign::of(503, Some("20")));
            assert!(!bench.is_up());
            bench.now = bench.now + Duration::from_secs(20);
            assert!(bench.is_up());
        }
    }

    #[test]
    fn who_is_never_asked_is_never_down() {
        let mut bench = Bench::new(0);
        assert_eq!(bench.health.next_deadline(), None);
        for _ in 0..5 {
            bench.health.on_call(bench.now, URI, Sign::Silence);
        }
        assert!(bench.is_up());
        assert_eq!(bench.health.next_deadline(), None);
    }

    #[test]
    fn a_renewed_configuration_keeps_what_is_known_of_those_that_stay() {
        let mut bench = Bench::new(30);
        bench.down();
        let mut config = config();
        config.health.every = Duration::from_secs(30);
        bench.health.renew(&config);
        assert!(!bench.is_up());
        config.health.every = Duration::ZERO;
        bench.health.renew(&config);
        assert!(bench.is_up());
        assert_eq!(bench.health.next_deadline(), None);
        config.hotlines.clear();
        bench.health.renew(&config);
        assert!(bench.health.states.is_empty() && bench.health.by_uri.is_empty());
    }
}
