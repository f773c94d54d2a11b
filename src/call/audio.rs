//! One call's audio: its ports, what each leg's SDP said, what we told each leg.
//!
//! Decides what is offered to one leg and answered to the other, at the beginning and whenever the session
//! changes, and tells the media thread. Touches no packet.
//! Source: RFC 3264 (§8 for changes), RFC 4733 §2.4.1; early media: RFC 3960.

use super::desk::Desk;
use super::doors::{Command, PortPair, Stream};
use crate::base::codec::Codec;
use crate::base::ids::{CallKey, Leg};
use crate::sip::offer_answer::{
    AudioAnswer, AudioOffer, Choice, LocalMedia, write_answer, write_offer,
};
use serde::{Deserialize, Serialize};

/// One call's audio.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallAudio {
    call: CallKey,
    /// Caller's and agent's ports.
    pub ports: [PortPair; 2],
    /// The caller's first offer, which every target gets; ours where the caller wants one (a late offer).
    pub offer: AudioOffer,
    /// Whether the caller's own words come with its ACK.
    late: Late,
    sides: [Side; 2],
    /// What the caller was told first: an answer, once given, stays (RFC 3264 §4).
    told: Option<Vec<u8>>,
    closed: bool,
}

/// Whether the caller's INVITE came without an offer (RFC 3264 §4, RFC 3261 §13.2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Late {
    /// It had one.
    No,
    /// Ours goes out with the 200.
    Owed,
    /// This one went out; its answer comes with the ACK.
    Offered(Box<AudioOffer>),
}

/// What was said on one leg.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Side {
    /// Names our `o=` line on this leg.
    session_id: u64,
    /// Of the last description of ours.
    version: u64,
    /// The last description of ours.
    ours: Option<Vec<u8>>,
    /// The last offer of the peer's that was taken.
    theirs: Option<AudioOffer>,
    /// How it was answered.
    choice: Option<Choice>,
    /// What the media thread knows of the peer.
    stream: Option<Stream>,
}

impl Side {
    fn new(session_id: u64) -> Side {
        Side {
            session_id,
            version: session_id,
            ours: None,
            theirs: None,
            choice: None,
            stream: None,
        }
    }
}

impl CallAudio {
    /// Opens the media session on the leased ports; the caller's offer is known from the first, unless it is
    /// late (`None`).
    pub fn open(
        desk: &mut Desk,
        call: CallKey,
        ports: [PortPair; 2],
        offer: Option<AudioOffer>,
    ) -> CallAudio {
        let late = match offer {
            Some(_) => Late::No,
            None => Late::Owed,
        };
        let offer = offer.unwrap_or_else(|| AudioOffer::ours(vec![Codec::Pcma, Codec::Pcmu]));
        let origin = [desk.rtp_origin(), desk.rtp_origin()];
        let numbers = [ports[0].rtp, ports[1].rtp];
        desk.tell_media(
            ports,
            Command::Open {
                call,
                ports: numbers,
                origin,
            },
        );
        // Session ids stay below 2^62: some peers read them as signed numbers.
        let sessions = [desk.random.bits64() >> 2, desk.random.bits64() >> 2];
        let mut audio = CallAudio {
            call,
            ports,
            offer: offer.clone(),
            late,
            sides: sessions.map(Side::new),
            told: None,
            closed: false,
        };
        let stream = unanswered(&offer);
        audio.sides[Leg::Caller.index()].theirs = Some(offer);
        audio.update(desk, Leg::Caller, stream);
        audio
    }

    /// Tells the media thread of a leg; what it knows already is not told again, lest it learn the source anew.
    fn update(&mut self, desk: &mut Desk, leg: Leg, stream: Stream) {
        let side = &mut self.sides[leg.index()];
        if side.stream == Some(stream) {
            return;
        }
        side.stream = Some(stream);
        let call = self.call;
        desk.tell_media(self.ports, Command::Update { call, leg, stream });
    }

    /// Writes our description for a leg; the version counts those that differ (RFC 3264 §8).
    fn describe(
        &mut self,
        desk: &Desk,
        leg: Leg,
        write: impl Fn(&LocalMedia) -> Vec<u8>,
    ) -> Vec<u8> {
        let side = &mut self.sides[leg.index()];
        let mut local = LocalMedia {
            address: desk.media_address,
            port: self.ports[leg.index()].rtp,
            session_id: side.session_id,
            version: side.version,
        };
        let mut body = write(&local);
        if side.ours.as_ref().is_some_and(|last| *last != body) {
            side.version += 1;
            local.version = side.version;
            body = write(&local);
        }
        side.ours = Some(body.clone());
        body
    }

    /// The offer for a target: the caller's, as far as we take it, with our own address.
    pub fn offer_for_agent(&mut self, desk: &Desk) -> Vec<u8> {
        let offer = self.offer.clone();
        self.offer_to(desk, Leg::Agent, &offer)
    }

    /// The offer for a leg: the other's.
    pub fn offer_to(&mut self, desk: &Desk, leg: Leg, from: &AudioOffer) -> Vec<u8> {
        self.describe(desk, leg, |local| write_offer(local, from))
    }

    /// Whether RTP can go where an answer wants it: an address of our own family, or none yet.
    pub fn can_reach(&self, desk: &Desk, answer: &AudioAnswer) -> bool {
        answer
            .remote
            .is_none_or(|remote| remote.is_ipv4() == desk.media_address.is_ipv4())
    }

    /// Whether both ends may send and hear. A caller on hold cannot answer a question, nor hear it.
    pub fn is_two_way(&self) -> bool {
        self.sides.iter().all(|side| {
            side.stream
                .is_some_and(|stream| stream.to_peer && stream.from_peer)
        })
    }

    /// Takes a target's answer (from its 18x or 2xx) and gives the body for the caller.
    pub fn on_answer(&mut self, desk: &mut Desk, answer: &AudioAnswer) -> Vec<u8> {
        let offer = self.offer.clone();
        self.update(desk, Leg::Agent, answering(answer, &offer));
        if let Some(told) = &self.told {
            return told.clone();
        }
        let body = match self.late {
            Late::No => self.answer_to(desk, Leg::Caller, &offer, answer),
            Late::Owed | Late::Offered(_) => self.offer_late(desk, answer),
        };
        self.told = Some(body.clone());
        body
    }

    /// The offer that the caller wanted: what the target has agreed to.
    fn offer_late(&mut self, desk: &mut Desk, answer: &AudioAnswer) -> Vec<u8> {
        let offer = AudioOffer {
            event: answer.event,
            direction: answer.direction,
            ptime: answer.ptime,
            ..AudioOffer::ours(vec![answer.codec])
        };
        let body = self.offer_to(desk, Leg::Caller, &offer);
        self.late = Late::Offered(Box::new(offer));
        body
    }

    /// Whether the caller may be told of audio before the answer: an offer of ours may not go into a response
    /// that can be lost (RFC 3261 §13.2.1).
    pub fn may_be_early(&self) -> bool {
        self.late == Late::No
    }

    /// What our offer to the caller was, if its answer is owed.
    pub fn late_offer(&self) -> Option<&AudioOffer> {
        match &self.late {
            Late::Offered(offer) => Some(offer),
            Late::No | Late::Owed => None,
        }
    }

    /// The caller's answer came with its ACK.
    pub fn on_late_answer(&mut self, desk: &mut Desk, answer: &AudioAnswer) {
        if let Late::Offered(offer) = std::mem::replace(&mut self.late, Late::No) {
            self.sides[Leg::Caller.index()].theirs = None;
            self.update(desk, Leg::Caller, answering(answer, &offer));
        }
    }

    /// Our answer to a leg's offer, by what the other leg answered; from now on its stream is as agreed.
    fn answer_to(
        &mut self,
        desk: &mut Desk,
        leg: Leg,
        offer: &AudioOffer,
        answer: &AudioAnswer,
    ) -> Vec<u8> {
        let choice = Choice {
            codec: answer.codec,
            event: answer.event.is_some(),
            direction: answer.direction,
            ptime: answer.ptime,
        };
        let body = self.describe(desk, leg, |local| write_answer(local, offer, &choice));
        self.sides[leg.index()].choice = Some(choice);
        self.update(desk, leg, offering(offer, answer));
        body
    }

    /// The session changes: `asker` made this offer, the other leg gave this answer to it. Gives the answer for
    /// the asker.
    pub fn change(
        &mut self,
        desk: &mut Desk,
        asker: Leg,
        offer: &AudioOffer,
        answer: &AudioAnswer,
    ) -> Vec<u8> {
        self.update(desk, asker.other(), answering(answer, offer));
        let asking = &mut self.sides[asker.index()];
        asking.theirs = Some(offer.clone());
        self.sides[asker.other().index()].theirs = None;
        self.answer_to(desk, asker, offer, answer)
    }

    /// Our answer to a leg's offer, if that is the last one that was taken from it: the session is refreshed and stays
    /// as it is. It may not be what we said last, where that was an offer which the leg refused.
    pub fn refreshed(&mut self, desk: &Desk, leg: Leg, offer: &AudioOffer) -> Option<Vec<u8>> {
        let side = &self.sides[leg.index()];
        let same = side.theirs.as_ref() == Some(offer);
        let choice = side.choice.filter(|_| same)?;
        Some(self.describe(desk, leg, |local| write_answer(local, offer, &choice)))
    }

    /// An answer for a peer whose offer nobody answered: what the session was before, as far as the offer has it.
    pub fn stay(&self, leg: Leg, offer: &AudioOffer) -> AudioAnswer {
        let stream = self.sides[leg.other().index()].stream;
        let before = stream.map(|stream| stream.codec);
        let codec = before.filter(|codec| offer.codecs.contains(codec));
        AudioAnswer {
            remote: stream.and_then(|stream| stream.remote),
            codec: codec
                .or(offer.codecs.first().copied())
                .unwrap_or(Codec::Pcma),
            event: stream.and_then(|stream| stream.event_to_peer),
            direction: offer.direction.reversed(),
            ptime: offer.ptime,
        }
    }

    /// Whether the current target's answer is known, by early media.
    pub fn agent_is_known(&self) -> bool {
        self.sides[Leg::Agent.index()].stream.is_some()
    }

    /// What the caller was told already, by early media.
    pub fn told(&self) -> Option<&[u8]> {
        self.told.as_deref()
    }

    /// A target was given up: nothing more goes to it, and the next one's source is learnt afresh.
    pub fn forget_agent(&mut self, desk: &mut Desk) {
        if let Some(stream) = self.sides[Leg::Agent.index()].stream {
            let silent = Stream {
                remote: None,
                to_peer: false,
                from_peer: false,
                ..stream
            };
            self.update(desk, Leg::Agent, silent);
            self.sides[Leg::Agent.index()].stream = None;
        }
    }

    /// Ends the media session; its ports come back with [`super::doors::Fact::Closed`].
    pub fn close(&mut self, desk: &mut Desk) {
        if !self.closed {
            self.closed = true;
            desk.tell_media(self.ports, Command::Close { call: self.call });
        }
    }
}

/// The stream of a peer whose offer has no answer yet.
fn unanswered(offer: &AudioOffer) -> Stream {
    Stream {
        remote: offer.remote,
        codec: offer.codecs.first().copied().unwrap_or(Codec::Pcma),
        event_to_peer: offer.event,
        event_from_peer: offer.event,
        to_peer: offer.direction.receives(),
        from_peer: offer.direction.sends(),
    }
}

/// The stream of the peer that made an offer, as it was answered.
fn offering(offer: &AudioOffer, answer: &AudioAnswer) -> Stream {
    let event = offer.event.filter(|_| answer.event.is_some());
    Stream {
        codec: answer.codec,
        event_to_peer: event,
        event_from_peer: event,
        to_peer: offer.direction.receives() && answer.direction.sends(),
        from_peer: offer.direction.sends() && answer.direction.receives(),
        ..unanswered(offer)
    }
}

/// The stream of the peer that answered an offer: events come as our own SDP said, which repeats the offer's.
fn answering(answer: &AudioAnswer, offer: &AudioOffer) -> Stream {
    Stream {
        remote: answer.remote,
        codec: answer.codec,
        event_to_peer: answer.event,
        event_from_peer: offer.event,
        to_peer: answer.direction.receives(),
        from_peer: answer.direction.sends(),
    }
}
