//! One call's media on its media thread: joins what is sent ([`crate::media`]) and what is heard
//! ([`crate::hearing`]), and speaks the language of the doors.
//!
//! It decides the two things that cannot wait for the control thread: the caller's speech stops a
//! prompt, and a prompt that comes too late, after the caller began to speak, is refused; and it says
//! whether they are silent still before they are hung up on. All else it is told by commands, and tells by facts. It holds no socket and reads no clock.
//!
//! Per datagram: [`Anchor::on_packet`]. After each input [`Anchor::poll_transmit`] and
//! [`Anchor::poll_fact`] are drained; by [`Anchor::next_deadline`] comes [`Anchor::on_deadline`].

mod kept;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::ids::Leg;
use crate::base::time::Instant;
use crate::call::doors::{
    Command, Fact, PlayId, PromptEnd, PromptId, RtpOrigin, Stream, StreamCounts,
};
use crate::config::PromptTo;
use crate::hearing::decision::{FOUND_WITHIN, Voice};
use crate::hearing::ear::Ear;
use crate::hearing::vad::Vad;
use crate::media::Frame;
use crate::media::codec::g711;
use crate::media::player::{Due, Player, faded, lowered};
use crate::media::prompt::PromptLibrary;
use crate::media::relay::Origin;
use crate::media::session::{Accepted, Content, Session, Terms};
use kept::Kept;

pub use crate::media::session::Forward;

/// How often counters are told.
pub const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A prompt waits no longer than this for what is still being heard to end.
const PROMPT_WAITS_MAX: Duration = Duration::from_millis(40);

/// One call's media.
#[derive(Debug)]
pub struct Anchor<V> {
    session: Session,
    ears: [Ear<V>; 2],
    prompts: Arc<PromptLibrary>,
    playing: Option<Playing>,
    /// Until when an answer to [`Command::ConfirmSilence`] may be put off.
    asked: Option<Instant>,
    stage: Stage,
    report_due: Instant,
    facts: Kept,
}

/// How far the call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not answered: relayed, not listened to.
    Early,
    /// Answered.
    Listening,
    /// Over; only facts are left to be polled.
    Closed,
}

/// A prompt on its way.
#[derive(Clone, Copy, Debug)]
struct Playing {
    play: PlayId,
    player: Player,
    to: PromptTo,
    /// How it ends if not by its last frame.
    how: PromptEnd,
    /// How many legs have got the frame that is due.
    legs_served: usize,
}

/// A packet in the buffer that was given, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From the socket of this leg.
    pub leg: Leg,
    /// To this address.
    pub to: SocketAddr,
    /// Bytes of the packet.
    pub length: usize,
}

/// The door's name of a prompt in the library.
pub fn prompt_id(library: &PromptLibrary, voice: &str, id: &str) -> Option<PromptId> {
    library.find(voice, id).map(PromptId)
}

impl<V: Vad> Anchor<V> {
    /// The media of a call that was just opened.
    pub fn new(
        now: Instant,
        origins: [RtpOrigin; 2],
        vads: [V; 2],
        prompts: Arc<PromptLibrary>,
    ) -> Self {
        Anchor {
            session: Session::new(origins.map(origin_of)),
            ears: vads.map(Ear::new),
            prompts,
            playing: None,
            asked: None,
            stage: Stage::Early,
            report_due: now + REPORT_EVERY,
            facts: Kept::default(),
        }
    }

    /// Applies a command for this call. `Open` was [`Anchor::new`].
    pub fn on_command(&mut self, now: Instant, command: &Command) {
        if self.stage == Stage::Closed {
            return;
        }
        match *command {
            Command::Open { .. } => {}
            Command::Update { leg, stream, .. } => self.session.update(now, leg, terms_of(stream)),
            Command::Listen { .. } => self.listen(now),
            Command::Play {
                play,
                prompt,
                to,
                unless_speech_since,
                ..
            } => self.play(now, play, prompt, to, unless_speech_since),
            Command::Stop { .. } => self.stop(now, PromptEnd::Stopped),
            Command::ConfirmSilence {
                unless_speech_since,
                ..
            } => self.confirm_silence(now, unless_speech_since),
            Command::Close { .. } => self.close(now),
        }
    }

    /// A datagram that came to a leg's port. If it goes on, `datagram` holds what is to be sent.
    pub fn on_packet(
        &mut self,
        now: Instant,
        leg: Leg,
        rtcp_port: bool,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Option<Forward> {
        if self.stage == Stage::Closed {
            return None;
        }
        let packet = self.session.receive(now, leg, rtcp_port, from, datagram)?;
        if packet.change.first {
            self.facts.push(Fact::FirstRtp { leg });
        }
        if packet.change.resumed {
            self.facts.push(Fact::RtpResumed { leg });
        }
        self.hear(now, &packet, datagram);
        self.session.forward(now, &packet, datagram)
    }

    /// A deadline may have passed. To be called too late rather than never.
    pub fn on_deadline(&mut self, now: Instant) {
        if self.stage == Stage::Closed {
            return;
        }
        for leg in Leg::BOTH {
            self.ears[leg.index()].on_tick(now);
            self.tell_voice(now, leg);
            if let Some(at) = self.session.poll_stopped(now, leg) {
                self.facts.push(Fact::RtpStopped { leg, at });
            }
        }
        self.answer_if_certain(now);
        if self.report_due <= now {
            self.report();
            let next = self.report_due + REPORT_EVERY;
            self.report_due = if next <= now {
                now + REPORT_EVERY
            } else {
                next
            };
        }
    }

    /// Writes the next prompt frame that is due into `buffer`.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        loop {
            let playing = self.playing.as_mut()?;
            let frames = self.prompts.frames(playing.player.prompt());
            match playing.player.poll(now, frames.len()) {
                Due::Nothing => return None,
                Due::End { at, complete } => self.finish(at, complete),
                Due::Frame { number, at, faded } => {
                    let begins = number == 0;
                    let Some(leg) = playing.next_leg() else {
                        playing.player.advance();
                        playing.legs_served = 0;
                        if playing.player.nothing_left(frames.len()) {
                            // The last frame is being heard; the relay knows when it makes room.
                            let to = playing.to;
                            self.give_back(to);
                        }
                        continue;
                    };
                    if begins && playing.legs_served == 1 {
                        self.facts.push(Fact::PromptStarted { play: playing.play });
                    }
                    let frame = frame_for(leg, &frames[number], faded);
                    let sent = self.session.prompt(at, leg, &frame, begins, buffer);
                    if let Some((to, length)) = sent {
                        return Some(Transmit { leg, to, length });
                    }
                }
            }
        }
    }

    /// The next fact.
    pub fn poll_fact(&mut self) -> Option<Fact> {
        self.facts.pop()
    }

    /// When [`Anchor::on_deadline`] and [`Anchor::poll_transmit`] are due; `None` after the close.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.stage == Stage::Closed {
            return None;
        }
        let ears = self.ears.iter().filter_map(Ear::next_deadline);
        let frame = self.playing.map(|playing| playing.player.due());
        ears.chain(frame)
            .chain(self.session.next_deadline())
            .chain(self.asked)
            .chain([self.report_due])
            .min()
    }

    /// Whether the call is over. Facts may still wait.
    pub fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    fn listen(&mut self, now: Instant) {
        self.stage = Stage::Listening;
        self.ears.iter_mut().for_each(Ear::reset);
        self.session.watch(now);
    }

    fn hear(&mut self, now: Instant, packet: &Accepted, datagram: &[u8]) {
        let Content::Audio(codec) = packet.content else {
            return;
        };
        if self.stage == Stage::Listening
            && let Some(payload) = datagram.get(packet.payload.clone())
            && !payload.is_empty()
        {
            let samples = payload.iter().map(|byte| g711::decode(codec, *byte));
            self.ears[packet.leg.index()].on_audio(now, samples);
            self.tell_voice(now, packet.leg);
            self.answer_if_certain(now);
        }
    }

    fn tell_voice(&mut self, now: Instant, leg: Leg) {
        while let Some(voice) = self.ears[leg.index()].poll() {
            match voice {
                Voice::Began { at } => {
                    self.facts.push(Fact::SpeechBegan { leg, at });
                    if leg == Leg::Caller {
                        self.stop(now, PromptEnd::Speech);
                        self.answer(false);
                    }
                }
                Voice::Ended { at } => self.facts.push(Fact::SpeechEnded { leg, at }),
            }
        }
    }

    fn play(&mut self, now: Instant, play: PlayId, prompt: PromptId, to: PromptTo, since: Instant) {
        let spoke = self.caller_spoke_since(since);
        // A caller on hold, or without an address, would not hear it: it must not count as played.
        if spoke || !self.session.has_route(Leg::Caller) {
            let how = PromptEnd::Refused;
            self.facts.push(Fact::PromptEnded { play, how, at: now });
            return;
        }
        self.cut_off(now);
        let free = legs_of(to)
            .iter()
            .map(|leg| self.session.free_at(now, *leg));
        let first = free.max().unwrap_or(now).min(now + PROMPT_WAITS_MAX);
        for leg in legs_of(to) {
            self.session.play(*leg, true);
        }
        self.playing = Some(Playing {
            play,
            player: Player::new(prompt.0, first),
            to,
            how: PromptEnd::Stopped,
            legs_served: 0,
        });
    }

    fn caller_spoke_since(&self, since: Instant) -> bool {
        let caller = &self.ears[Leg::Caller.index()];
        caller.speaking() || caller.last_onset().is_some_and(|onset| onset > since)
    }

    fn confirm_silence(&mut self, now: Instant, since: Instant) {
        self.asked = Some(now + FOUND_WITHIN);
        if self.caller_spoke_since(since) {
            self.answer(false);
        }
        self.answer_if_certain(now);
    }

    /// The silence lasts as soon as no frame that was heard could be the beginning of speech.
    fn answer_if_certain(&mut self, now: Instant) {
        let in_doubt = self.ears[Leg::Caller.index()].is_in_doubt();
        if self.asked.is_some_and(|until| !in_doubt || until <= now) {
            self.answer(true);
        }
    }

    fn answer(&mut self, lasts: bool) {
        if self.asked.take().is_some() {
            self.facts.push(Fact::Silence { lasts });
        }
    }

    /// Lets a prompt fade; one that has not begun never does.
    fn stop(&mut self, now: Instant, how: PromptEnd) {
        let Some(playing) = &mut self.playing else {
            return;
        };
        if !playing.player.began() {
            playing.how = match how {
                PromptEnd::Speech => PromptEnd::Refused,
                other => other,
            };
            self.finish(now, false);
        } else if playing.player.fade() {
            playing.how = how;
        }
    }

    /// Ends a prompt without a further frame.
    fn cut_off(&mut self, now: Instant) {
        if let Some(playing) = &self.playing {
            let began = playing.player.began();
            let at = if began { playing.player.due() } else { now };
            let length = self.prompts.frames(playing.player.prompt()).len();
            self.finish(at, began && playing.player.all_played(length));
        }
    }

    /// The streams belong to the other legs again.
    fn give_back(&mut self, to: PromptTo) {
        for leg in legs_of(to) {
            self.session.play(*leg, false);
        }
    }

    /// Tells the end of a prompt.
    fn finish(&mut self, at: Instant, complete: bool) {
        let Some(playing) = self.playing.take() else {
            return;
        };
        self.give_back(playing.to);
        let how = match complete {
            // A prompt that is not in the library has no frames.
            true if !playing.player.began() => PromptEnd::Refused,
            true => PromptEnd::Completed,
            false => playing.how,
        };
        let play = playing.play;
        self.facts.push(Fact::PromptEnded { play, how, at });
    }

    fn report(&mut self) {
        for leg in Leg::BOTH {
            let counts = self.counts(leg);
            self.facts.push(Fact::Report { leg, counts });
        }
    }

    fn counts(&mut self, leg: Leg) -> StreamCounts {
        let counts = self.session.take_counts(leg);
        let level = self.ears[leg.index()].take_level_max_dbov();
        StreamCounts {
            received: counts.received,
            sent: counts.sent,
            audio: counts.audio,
            lost: counts.lost,
            dropped_malformed: counts.dropped_malformed,
            dropped_source: counts.dropped_source,
            dropped_no_route: counts.dropped_no_route,
            dropped_late: counts.dropped_late,
            rtcp: counts.rtcp,
            level_max_dbov10: level.map_or(i16::MIN, |dbov| (dbov * 10.0).round() as i16),
        }
    }

    fn close(&mut self, now: Instant) {
        self.cut_off(now);
        self.report();
        self.facts.push(Fact::Closed);
        self.stage = Stage::Closed;
    }
}

impl Playing {
    /// The next leg that gets the frame that is due.
    fn next_leg(&mut self) -> Option<Leg> {
        let leg = legs_of(self.to).get(self.legs_served).copied()?;
        self.legs_served += 1;
        Some(leg)
    }
}

/// The caller first: `PromptStarted` is about that frame.
fn legs_of(to: PromptTo) -> &'static [Leg] {
    match to {
        PromptTo::Both => &[Leg::Caller, Leg::Agent],
        PromptTo::Caller => &[Leg::Caller],
    }
}

fn frame_for(leg: Leg, frame: &Frame, fade: bool) -> Frame {
    let frame = if fade { faded(frame) } else { *frame };
    match leg {
        Leg::Caller => frame,
        Leg::Agent => lowered(&frame),
    }
}

fn origin_of(origin: RtpOrigin) -> Origin {
    Origin {
        ssrc: origin.ssrc,
        sequence: origin.sequence,
        timestamp: origin.timestamp,
    }
}

fn terms_of(stream: Stream) -> Terms {
    Terms {
        remote: stream.remote,
        codec: stream.codec,
        event_to_peer: stream.event_to_peer,
        event_from_peer: stream.event_from_peer,
        to_peer: stream.to_peer,
        from_peer: stream.from_peer,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_rules;
