//! From the answer on: requests inside the legs, listening, and the silent caller's script.
//!
//! Source: RFC 3261 §12.2.2 and §14.2 (requests in a dialog), §15 (BYE), rule R1.

use super::caller::Repeat;
use super::change::Asked;
use super::desk::{ALLOW, CallTimer, Desk};
use super::doors::{Command, Fact, PlayId, PromptEnd};
use super::{Call, Phase};
use crate::base::ids::Leg;
use crate::base::time::Instant;
use crate::config::AnswerMeans;
use crate::hotline::finding::{Cause, FindingKind};
use crate::hotline::record::EndedBy;
use crate::hotline::treat::{PromptHow, SilentCaller, Step};
use crate::sip::dialog::{DialogKey, answer};
use crate::sip::offer_answer;
use crate::sip::transaction::{Path, TxId};
use crate::sip::wire::{Message, Method};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// No RTP from the caller for this long after the answer is the finding `never_sent`.
const NEVER_SENT_AFTER: Duration = Duration::from_secs(2);

/// A call in which neither end has sent any RTP for this long is taken for one that both have left without a BYE.
/// Until there are session timers (RFC 4028) nothing else ends it.
const GONE_AFTER: Duration = Duration::from_secs(15 * 60);

/// The same for a call on hold: many a phone sends nothing then.
const GONE_ON_HOLD_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// Below this level a frame is digital silence: A-law's and µ-law's quietest codes (tenths of dBov).
const DIGITAL_SILENCE_DBOV10: i16 = -700;

/// An answered call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Talk {
    /// Whether a person answered, as far as the configuration says.
    person: bool,
    /// The last RTP packet of either end, to the second.
    received_at: Instant,
    /// R1; `None` where a queue answered: nobody has been connected yet.
    script: Option<SilentCaller>,
    plays: u32,
    caller_rtp: CallerRtp,
    caller_level_dbov10: i16,
}

/// Whether the caller's packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum CallerRtp {
    None,
    Flowing,
    Stopped,
}

impl Talk {
    pub(super) fn is_with_person(&self) -> bool {
        self.person
    }

    fn cause_of_silence(&self) -> (FindingKind, Cause) {
        match self.caller_rtp {
            CallerRtp::None => (FindingKind::OneWay, Cause::NeverSent),
            CallerRtp::Stopped => (FindingKind::OneWay, Cause::Stopped),
            CallerRtp::Flowing if self.caller_level_dbov10 < DIGITAL_SILENCE_DBOV10 => {
                (FindingKind::SilentCaller, Cause::DigitalSilence)
            }
            CallerRtp::Flowing => (FindingKind::SilentCaller, Cause::NoiseWithoutSpeech),
        }
    }
}

impl Call {
    pub(super) fn begin_talk(&mut self, desk: &mut Desk, now: Instant, index: usize) {
        let hotline = &self.hotline;
        let target = &hotline.targets[self.attempts[index].target];
        let person = target.answer_means == AnswerMeans::Person;
        let script = person.then(|| SilentCaller::new(&hotline.profile, now));
        let caller_rtp = match self.ledger.heard_caller {
            true => CallerRtp::Flowing,
            false => CallerRtp::None,
        };
        self.ledger.on_answered(desk, now);
        desk.timers
            .set((self.key, CallTimer::Gone), now + self.gone_after());
        self.phase = Phase::Talking(Box::new(Talk {
            person,
            received_at: now,
            script,
            plays: 0,
            caller_rtp,
            caller_level_dbov10: i16::MIN,
        }));
        desk.tell_media(self.audio.ports, Command::Listen { call: self.key });
        self.on_direction(desk, now);
    }

    /// Who may send and hear was agreed, or agreed anew: while one of the two is on hold nobody is asked anything.
    pub(super) fn on_direction(&mut self, desk: &mut Desk, now: Instant) {
        let is_two_way = self.audio.is_two_way();
        let Phase::Talking(talk) = &mut self.phase else {
            return;
        };
        if let Some(script) = &mut talk.script {
            match is_two_way {
                true => script.on_resumed(now),
                false => script.on_held(),
            }
        }
        if talk.person && is_two_way && talk.caller_rtp == CallerRtp::None {
            let due = now + NEVER_SENT_AFTER;
            desk.timers.set((self.key, CallTimer::NeverSent), due);
        }
        self.run_script(desk, now);
    }

    /// A request inside a dialog of this call.
    pub fn on_request(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        (leg, key): (Leg, &DialogKey),
        (tx, path): (TxId, Path),
        request: &Message,
    ) {
        let status = match self.check_in_dialog(leg, key, request) {
            Err(status) => status,
            Ok(()) => match request.method() {
                Some(Method::Bye) => 200,
                Some(Method::Options) => 200,
                Some(method @ (Method::Invite | Method::Update | Method::Info)) => {
                    let asked = Asked {
                        leg,
                        tx,
                        path,
                        request: request.clone(),
                    };
                    return match method {
                        Method::Info => self.on_info(desk, now, asked),
                        _ => self.on_change_request(desk, now, asked),
                    };
                }
                Some(Method::Other(_)) => 501,
                _ => 405,
            },
        };
        let mut response = answer(request, status, &key.local_tag);
        if status != 481 {
            response.headers.push("Allow", ALLOW);
        }
        if request.method() == Some(&Method::Options) && status == 200 {
            response.headers.push("Accept", "application/sdp");
        }
        desk.respond(now, tx, response);
        if request.method() == Some(&Method::Bye) && status == 200 {
            self.on_bye(desk, now, leg);
        }
    }

    /// The status that an in-dialog request is refused with, if it is: not of this dialog, or out of order.
    fn check_in_dialog(&mut self, leg: Leg, key: &DialogKey, request: &Message) -> Result<(), u16> {
        if !self.is_leg_of_current(leg, key) {
            return Err(481);
        }
        let number = request.cseq().map_err(|_| 400_u16)?.number;
        let dialog = match leg {
            Leg::Caller => &mut self.caller.dialog,
            Leg::Agent => match self.current().and_then(|attempt| attempt.dialog()) {
                Some(dialog) => dialog,
                // Our own BYE is under way: the peer's crossing one is answered all the same.
                None => return Ok(()),
            },
        };
        if !dialog.is_from_peer(request) {
            return Err(481);
        }
        if dialog.accepts_cseq(number) {
            Ok(())
        } else {
            Err(500)
        }
    }

    fn on_bye(&mut self, desk: &mut Desk, now: Instant, leg: Leg) {
        match leg {
            Leg::Caller if self.caller.is_unanswered() => self.abandon(desk, now),
            Leg::Caller => {
                self.caller.on_bye();
                self.hang_up(desk, now, EndedBy::Caller);
            }
            Leg::Agent => {
                // Its 200 with a late offer may want an ACK still, for which its dialog is needed.
                self.end_change(desk, now);
                if let Some(attempt) = self.current() {
                    attempt.on_bye();
                }
                self.hang_up(desk, now, EndedBy::Agent);
            }
        }
    }

    /// An ACK on a leg: the one of our 200 has the caller's tag and the INVITE's number.
    pub fn on_ack(&mut self, desk: &mut Desk, now: Instant, leg: Leg, ack: &Message) {
        if leg == Leg::Caller && self.caller.is_acknowledged_by(ack) {
            self.caller.on_ack(desk, now);
            self.on_answer_in_ack(desk, now, ack);
            // What the agent asked for meanwhile may be passed on now.
            self.pass_change(desk, now);
            return;
        }
        let is_from_peer = self
            .dialog_of(leg)
            .is_some_and(|dialog| dialog.is_from_peer(ack));
        if is_from_peer {
            self.on_change_ack(desk, now, leg, ack);
        }
    }

    /// The ACK of an INVITE without an offer has the answer to ours; without a usable one there is no audio and
    /// no call (RFC 3261 §13.2.2.4).
    fn on_answer_in_ack(&mut self, desk: &mut Desk, now: Instant, ack: &Message) {
        let Some(offer) = self.audio.late_offer() else {
            return;
        };
        let answer = offer_answer::read_answer(&ack.body, offer).ok();
        match answer.filter(|answer| self.audio.can_reach(desk, answer)) {
            Some(answer) => {
                self.audio.on_late_answer(desk, &answer);
                self.on_direction(desk, now);
            }
            None => self.hang_up(desk, now, EndedBy::Qingjiang),
        }
    }

    pub(super) fn on_repeat_due(&mut self, desk: &mut Desk, now: Instant) {
        if self.caller.on_repeat_due(desk, now) == Repeat::NeverAcknowledged {
            self.hang_up(desk, now, EndedBy::Unknown);
            self.caller.hang_up(desk, now);
        }
    }

    /// What the media thread heard or did.
    pub(super) fn on_heard(&mut self, desk: &mut Desk, now: Instant, fact: Fact) {
        if matches!(fact, Fact::FirstRtp { leg: Leg::Caller }) {
            self.ledger.heard_caller = true;
        }
        if let (Phase::Ending, Fact::PromptEnded { how, at, .. }) = (&self.phase, &fact) {
            self.ledger.on_prompt_cut_off(how_of(*how), *at);
        }
        let Phase::Talking(talk) = &mut self.phase else {
            return;
        };
        match fact {
            Fact::FirstRtp { leg: Leg::Caller } | Fact::RtpResumed { leg: Leg::Caller } => {
                talk.caller_rtp = CallerRtp::Flowing;
                self.ledger.clear_one_way(now, Leg::Caller);
            }
            Fact::RtpStopped { leg, .. } => {
                if leg == Leg::Caller {
                    talk.caller_rtp = CallerRtp::Stopped;
                }
                if talk.is_with_person() && self.audio.is_two_way() {
                    self.ledger
                        .find(desk, now, FindingKind::OneWay, leg, Cause::Stopped);
                }
            }
            Fact::RtpResumed { leg } => self.ledger.clear_one_way(now, leg),
            Fact::SpeechBegan { leg, at } => {
                if leg == Leg::Caller {
                    self.ledger.on_caller_speech(now, at);
                }
                if let Some(script) = &mut talk.script {
                    script.on_speech_began(now, leg);
                }
            }
            Fact::SpeechEnded { leg, at } => {
                if let Some(script) = &mut talk.script {
                    script.on_speech_ended(now, leg, at);
                }
            }
            Fact::PromptStarted { play } if play.0 == talk.plays => {
                if let Some(script) = &mut talk.script {
                    script.on_prompt_started(now);
                }
            }
            Fact::PromptEnded { play, how, at } if play.0 == talk.plays => {
                if let Some(script) = &mut talk.script {
                    script.on_prompt_ended(now, how_of(how), at);
                }
            }
            Fact::Silence { lasts } => {
                if let Some(script) = &mut talk.script {
                    script.on_silence(lasts);
                }
            }
            _ => {}
        }
        self.run_script(desk, now);
    }

    /// Packets that one end sent in the last second.
    pub(super) fn on_audio(&mut self, now: Instant, received: u32) {
        if let Phase::Talking(talk) = &mut self.phase
            && received > 0
        {
            talk.received_at = now;
        }
    }

    /// Both ends may have vanished without a BYE: a call in which nothing comes from either is ended.
    pub(super) fn on_gone_due(&mut self, desk: &mut Desk, now: Instant) {
        let Phase::Talking(talk) = &self.phase else {
            return;
        };
        let due = talk.received_at + self.gone_after();
        if now < due {
            desk.timers.set((self.key, CallTimer::Gone), due);
        } else {
            self.hang_up(desk, now, EndedBy::Unknown);
        }
    }

    fn gone_after(&self) -> Duration {
        match self.audio.is_two_way() {
            true => GONE_AFTER,
            false => GONE_ON_HOLD_AFTER,
        }
    }

    /// The loudest frame of a leg in the last second.
    pub(super) fn on_level(&mut self, leg: Leg, level_dbov10: i16) {
        if let (Leg::Caller, Phase::Talking(talk)) = (leg, &mut self.phase) {
            talk.caller_level_dbov10 = talk.caller_level_dbov10.max(level_dbov10);
        }
    }

    pub(super) fn on_script_due(&mut self, desk: &mut Desk, now: Instant) {
        if let Phase::Talking(talk) = &mut self.phase
            && let Some(script) = &mut talk.script
        {
            script.on_deadline(now);
        }
        self.run_script(desk, now);
    }

    pub(super) fn on_never_sent(&mut self, desk: &mut Desk, now: Instant) {
        let Phase::Talking(talk) = &self.phase else {
            return;
        };
        if talk.caller_rtp == CallerRtp::None && self.audio.is_two_way() {
            let (kind, cause) = (FindingKind::OneWay, Cause::NeverSent);
            self.ledger.find(desk, now, kind, Leg::Caller, cause);
        }
    }

    /// Carries out what the script wants, and sets its next deadline.
    fn run_script(&mut self, desk: &mut Desk, now: Instant) {
        while let Phase::Talking(talk) = &mut self.phase
            && let Some(step) = talk.script.as_mut().and_then(SilentCaller::poll_step)
        {
            self.on_step(desk, now, step);
        }
        self.note_prompts(desk);
        let Phase::Talking(talk) = &self.phase else {
            return;
        };
        match talk.script.as_ref().and_then(SilentCaller::next_deadline) {
            Some(at) => desk.timers.set((self.key, CallTimer::Script), at),
            None => desk.timers.cancel((self.key, CallTimer::Script)),
        }
    }

    fn on_step(&mut self, desk: &mut Desk, now: Instant, step: Step) {
        let (key, ports) = (self.key, self.audio.ports);
        let Phase::Talking(talk) = &mut self.phase else {
            return;
        };
        match step {
            Step::Play {
                prompt,
                to,
                unless_speech_since,
                ..
            } => {
                talk.plays += 1;
                let play = PlayId(talk.plays);
                let voice = &self.hotline.voice;
                let Some(prompt) = desk.prompts.id(voice, &prompt) else {
                    return;
                };
                let command = Command::Play {
                    call: key,
                    play,
                    prompt,
                    to,
                    unless_speech_since,
                };
                desk.tell_media(ports, command);
            }
            Step::Find { at, .. } => {
                let (kind, cause) = talk.cause_of_silence();
                self.ledger.on_treatment_began(kind, cause);
                self.ledger.find(desk, at, kind, Leg::Caller, cause);
            }
            Step::StopPrompt => desk.tell_media(ports, Command::Stop { call: key }),
            Step::ConfirmSilence {
                unless_speech_since,
            } => {
                let command = Command::ConfirmSilence {
                    call: key,
                    unless_speech_since,
                };
                desk.tell_media(ports, command);
            }
            Step::HangUp => self.hang_up(desk, now, EndedBy::Qingjiang),
            Step::Outcome(outcome) => self.ledger.on_treated(desk, outcome),
        }
    }

    /// Prompts that were heard go into the ledger as they happen.
    fn note_prompts(&mut self, desk: &mut Desk) {
        if let Phase::Talking(talk) = &self.phase
            && let Some(script) = &talk.script
        {
            self.ledger.on_prompts(desk, script.prompts());
        }
    }

    /// Tells the script that the call ended; its outcome goes into the ledger.
    pub(super) fn end_script(&mut self, desk: &mut Desk, by: EndedBy) {
        if let Phase::Talking(talk) = &mut self.phase
            && let Some(script) = &mut talk.script
        {
            script.on_call_ended(by);
            let mut outcome = None;
            while let Some(step) = script.poll_step() {
                if let Step::Outcome(told) = step {
                    outcome = Some(told);
                }
            }
            self.note_prompts(desk);
            if let Some(outcome) = outcome {
                self.ledger.on_treated(desk, outcome);
            }
        }
    }
}

fn how_of(end: PromptEnd) -> PromptHow {
    match end {
        PromptEnd::Completed => PromptHow::Completed,
        PromptEnd::Speech => PromptHow::Speech,
        PromptEnd::Refused => PromptHow::Refused,
        PromptEnd::Stopped => PromptHow::Stopped,
    }
}
