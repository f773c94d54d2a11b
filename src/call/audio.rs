//! One call's audio: its ports, what each leg's SDP said, what we told each leg.
//!
//! Decides what is offered to a target and answered to the caller, and tells the media thread. Touches no packet.
//! Source: RFC 3264, RFC 4733 §2.4.1; early media: RFC 3960.

use super::desk::Desk;
use super::doors::{Command, PortPair, Stream};
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
    /// The caller's offer.
    pub offer: AudioOffer,
    /// Session id of our `o=` line on each leg.
    sessions: [u64; 2],
    /// The agent's last description, so that a repeated one does not relearn its source.
    agent: Option<Stream>,
    /// What the caller was told: an answer, once given, stays (RFC 3264 §4).
    told: Option<Vec<u8>>,
    closed: bool,
}

impl CallAudio {
    /// Opens the media session on the leased ports; the caller's offer is known from the first.
    pub fn open(
        desk: &mut Desk,
        call: CallKey,
        ports: [PortPair; 2],
        offer: AudioOffer,
    ) -> CallAudio {
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
        let audio = CallAudio {
            call,
            ports,
            offer,
            sessions,
            agent: None,
            told: None,
            closed: false,
        };
        let stream = audio.caller_stream(None);
        audio.update(desk, Leg::Caller, stream);
        audio
    }

    fn caller_stream(&self, answer: Option<&AudioAnswer>) -> Stream {
        let offer = &self.offer;
        let direction = offer.direction;
        let first = offer.codecs.first().copied();
        let event = offer
            .event
            .filter(|_| answer.is_none_or(|a| a.event.is_some()));
        Stream {
            remote: offer.remote,
            codec: answer
                .map(|a| a.codec)
                .or(first)
                .unwrap_or(crate::base::codec::Codec::Pcma),
            event_to_peer: event,
            event_from_peer: event,
            to_peer: direction.receives(),
            from_peer: direction.sends(),
        }
    }

    fn update(&self, desk: &mut Desk, leg: Leg, stream: Stream) {
        desk.tell_media(
            self.ports,
            Command::Update {
                call: self.call,
                leg,
                stream,
            },
        );
    }

    fn local(&self, desk: &Desk, leg: Leg) -> LocalMedia {
        LocalMedia {
            address: desk.media_address,
            port: self.ports[leg.index()].rtp,
            session_id: self.sessions[leg.index()],
            version: self.sessions[leg.index()],
        }
    }

    /// The offer for a target: the caller's, as far as we take it, with our own address.
    pub fn offer_for_agent(&self, desk: &Desk) -> Vec<u8> {
        write_offer(&self.local(desk, Leg::Agent), &self.offer)
    }

    /// Whether RTP can go where an answer wants it: an address of our own family, or none yet.
    pub fn can_reach(&self, desk: &Desk, answer: &AudioAnswer) -> bool {
        answer
            .remote
            .is_none_or(|remote| remote.is_ipv4() == desk.media_address.is_ipv4())
    }

    /// Whether both ends may send and hear. A caller on hold cannot answer a question, nor hear it.
    pub fn is_two_way(&self) -> bool {
        let agent = self
            .agent
            .is_some_and(|agent| agent.to_peer && agent.from_peer);
        agent && self.offer.direction.sends() && self.offer.direction.receives()
    }

    /// Takes a target's answer (from its 18x or 2xx) and gives the body for the caller.
    pub fn on_answer(&mut self, desk: &mut Desk, answer: &AudioAnswer) -> Vec<u8> {
        let stream = Stream {
            remote: answer.remote,
            codec: answer.codec,
            event_to_peer: answer.event,
            event_from_peer: self.offer.event,
            to_peer: answer.direction.receives(),
            from_peer: answer.direction.sends(),
        };
        if self.agent != Some(stream) {
            self.agent = Some(stream);
            self.update(desk, Leg::Agent, stream);
        }
        if let Some(told) = &self.told {
            return told.clone();
        }
        let choice = Choice {
            codec: answer.codec,
            event: answer.event.is_some(),
            direction: answer.direction,
            ptime: answer.ptime,
        };
        let body = write_answer(&self.local(desk, Leg::Caller), &self.offer, &choice);
        let stream = self.caller_stream(Some(answer));
        self.update(desk, Leg::Caller, stream);
        self.told = Some(body.clone());
        body
    }

    /// Whether the current target's answer is known, by early media.
    pub fn agent_is_known(&self) -> bool {
        self.agent.is_some()
    }

    /// What the caller was told already, by early media.
    pub fn told(&self) -> Option<&[u8]> {
        self.told.as_deref()
    }

    /// A target was given up: nothing more goes to it, and the next one's source is learnt afresh.
    pub fn forget_agent(&mut self, desk: &mut Desk) {
        if let Some(stream) = self.agent.take() {
            let silent = Stream {
                remote: None,
                to_peer: false,
                from_peer: false,
                ..stream
            };
            self.update(desk, Leg::Agent, silent);
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
