//! One call's media: two legs, each a source and a stream towards it.
//!
//! It decides whether a packet is accepted ([`Session::receive`]) and whether and how it goes on to
//! the other leg ([`Session::forward`]). In between the caller may listen to the payload, which is
//! still as it came. It never decides what is played; it sends the frames that it is given.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use crate::base::codec::Codec;
use crate::base::ids::Leg;
use crate::base::limits::RTP_PACKET_BYTES_MAX;
use crate::base::time::Instant;
use crate::media::codec::g711;
use crate::media::presence::{Change, Presence};
use crate::media::relay::{Origin, Outgoing, Placement, Upstream};
use crate::media::rtp::{self, Header};
use crate::media::source_lock::{Admission, SourceLock};
use crate::media::stats::{Counts, Loss, Place, Sequence};
use crate::media::{FRAME_TICKS, Frame};

/// For so long after a source changed its SSRC, packets with the old one are late, not a change back.
///
/// Blind spot: an SSRC of which the first packet to arrive is a late one is taken for the next source, and
/// the true one is not heard for this long.
const OLD_SSRC_LATE: Duration = Duration::from_millis(100);

/// What a leg's SDP says of its audio stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Where the peer wants RTP.
    pub remote: Option<SocketAddr>,
    /// The codec that we send to it.
    pub codec: Codec,
    /// Payload type of telephone-event towards it; `None`: it takes none.
    pub event_to_peer: Option<u8>,
    /// Payload type of telephone-event from it.
    pub event_from_peer: Option<u8>,
    /// Whether we may send to it.
    pub to_peer: bool,
    /// Whether it sends to us.
    pub from_peer: bool,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Audio of either law.
    Audio(Codec),
    /// A telephone-event (RFC 4733).
    Event,
}

/// A packet that was accepted. It must be given to [`Session::forward`], which keeps the sequence.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Whose it is.
    pub leg: Leg,
    /// What it carries.
    pub content: Content,
    /// Where its payload lies; empty in a keep-alive.
    pub payload: Range<usize>,
    /// What it changed in the presence of its leg.
    pub change: Change,
    header: Header,
    sequence: u32,
    late: bool,
}

/// Where a packet goes, from the socket of that leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The leg that gets it.
    pub leg: Leg,
    /// Its address.
    pub to: SocketAddr,
}

/// One call's media.
#[derive(Clone, Debug)]
pub struct Session {
    legs: [LegMedia; 2],
}

#[derive(Clone, Debug)]
struct LegMedia {
    terms: Option<Terms>,
    lock: SourceLock,
    source: Option<Source>,
    /// The SSRCs before the present one, the latest first, and when each was left.
    old_ssrcs: [Option<(u32, Instant)>; 2],
    loss: Loss,
    counts: Counts,
    presence: Presence,
    /// The stream towards this leg.
    out: Outgoing,
    /// Whether a prompt has this stream to itself.
    playing: bool,
    /// Whether stops of its RTP are told at all.
    watching: bool,
}

/// The stream that comes from a leg.
#[derive(Clone, Copy, Debug)]
struct Source {
    from: SocketAddr,
    ssrc: u32,
    sequence: Sequence,
}

impl Session {
    /// A session without peers; `origins` are the first values of the streams towards them.
    pub fn new(origins: [Origin; 2]) -> Self {
        Session {
            legs: origins.map(LegMedia::new),
        }
    }

    /// A leg's SDP is known, or known anew: its source is learnt afresh.
    pub fn update(&mut self, now: Instant, leg: Leg, terms: Terms) {
        let media = self.leg(leg);
        media.terms = Some(terms);
        media.lock.learn(terms.remote);
        media.presence.renew(now);
        media.watch(now);
    }

    /// From now on RTP that stops is told.
    pub fn watch(&mut self, now: Instant) {
        for media in &mut self.legs {
            media.watching = true;
            media.watch(now);
        }
    }

    /// Takes in a datagram of a leg's socket; `None` if it goes no further.
    pub fn receive(
        &mut self,
        now: Instant,
        leg: Leg,
        rtcp_port: bool,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<Accepted> {
        let media = self.leg(leg);
        if rtcp_port || rtp::demultiplex(datagram) == rtp::Kind::Rtcp {
            media.counts.rtcp += 1;
            return None;
        }
        let packet = match rtp::read(datagram) {
            Ok(packet) if datagram.len() <= RTP_PACKET_BYTES_MAX => packet,
            _ => {
                media.counts.dropped_malformed += 1;
                return None;
            }
        };
        let content = media.admit(now, from, &packet.header)?;
        let (sequence, late) = self.track(now, leg, from, &packet.header)?;
        let Some(content) = content else {
            self.leg(leg).counts.dropped_malformed += 1;
            self.leg(leg.other()).out.leave_out(sequence, late);
            return None;
        };
        let media = self.leg(leg);
        media.counts.received += 1;
        if !media.terms?.from_peer {
            media.counts.dropped_no_route += 1;
            self.leg(leg.other()).out.splice();
            return None;
        }
        Some(Accepted {
            leg,
            content,
            change: media.note_presence(now, content, &packet.payload),
            payload: packet.payload,
            header: packet.header,
            sequence,
            late,
        })
    }

    /// Turns an accepted packet into one for the other leg, in place; `None` if it goes no further.
    pub fn forward(
        &mut self,
        now: Instant,
        packet: &Accepted,
        datagram: &mut [u8],
    ) -> Option<Forward> {
        let to = packet.leg.other();
        let media = self.leg(to);
        if media.playing {
            media.out.interrupt();
            return None;
        }
        let Some((terms, address)) = media.route() else {
            media.out.interrupt();
            self.leg(packet.leg).counts.dropped_no_route += 1;
            return None;
        };
        let Some(payload_type) = payload_type_for(packet, &terms) else {
            media.out.leave_out(packet.sequence, packet.late);
            if packet.content == Content::Event {
                self.leg(packet.leg).counts.dropped_no_route += 1;
            }
            return None;
        };
        let slot = match media.out.relay(now, &packet.upstream()) {
            Placement::Send(slot) => slot,
            Placement::Withheld => return None,
            Placement::Late => {
                self.leg(packet.leg).counts.dropped_late += 1;
                return None;
            }
        };
        media.counts.sent += 1;
        rtp::rewrite(datagram, &media.out.header(slot, payload_type));
        if let Content::Audio(codec) = packet.content
            && let Some(payload) = datagram.get_mut(packet.payload.clone())
        {
            g711::transcode(payload, codec, terms.codec);
        }
        Some(Forward {
            leg: to,
            to: address,
        })
    }

    /// Gives the stream towards a leg to a prompt, or back to the other leg. Said twice, it is said once.
    pub fn play(&mut self, leg: Leg, playing: bool) {
        let media = self.leg(leg);
        if media.playing != playing {
            media.playing = playing;
            media.out.interrupt();
        }
    }

    /// Whether anything can be sent to this leg now.
    pub fn has_route(&self, leg: Leg) -> bool {
        self.legs[leg.index()].route().is_some()
    }

    /// Whether a prompt has the stream towards this leg.
    pub fn is_playing(&self, leg: Leg) -> bool {
        self.legs[leg.index()].playing
    }

    /// When a prompt's first frame can leave: what was sent before it is over.
    pub fn free_at(&self, now: Instant, leg: Leg) -> Instant {
        self.legs[leg.index()].out.free_at(now)
    }

    /// Builds the packet of a prompt's frame that is due at `due` into `buffer`. Returns where it
    /// goes and its length; `None` if this leg may not be sent to, or has no address yet.
    pub fn prompt(
        &mut self,
        due: Instant,
        leg: Leg,
        frame: &Frame,
        begins: bool,
        buffer: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        let media = self.leg(leg);
        let (terms, address) = media.route()?;
        let slot = media.out.prompt(due, begins);
        let header = media.out.header(slot, terms.codec.payload_type());
        let payload = frame.map(|sample| g711::encode(terms.codec, sample));
        let length = rtp::build(buffer, &header, &payload)?;
        media.counts.sent += 1;
        Some((address, length))
    }

    /// Tells once that a leg's RTP stopped, and when its last audio packet came.
    pub fn poll_stopped(&mut self, now: Instant, leg: Leg) -> Option<Instant> {
        self.leg(leg).presence.poll_stopped(now)
    }

    /// When RTP will have stopped if nothing comes.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.legs
            .iter()
            .filter_map(|media| media.presence.next_deadline())
            .min()
    }

    /// Takes a leg's counters since the last time.
    pub fn take_counts(&mut self, leg: Leg) -> Counts {
        let media = self.leg(leg);
        let current = media.source.map_or(0, |source| source.sequence.lost());
        Counts {
            lost: media.loss.take(current),
            ..std::mem::take(&mut media.counts)
        }
    }

    fn leg(&mut self, leg: Leg) -> &mut LegMedia {
        &mut self.legs[leg.index()]
    }

    /// Finds the packet's place in its source's sequence; a change of source splices the stream
    /// towards the other leg. `None` if it is dropped.
    fn track(
        &mut self,
        now: Instant,
        leg: Leg,
        from: SocketAddr,
        header: &Header,
    ) -> Option<(u32, bool)> {
        let [caller, agent] = &mut self.legs;
        let (media, out) = match leg {
            Leg::Caller => (caller, &mut agent.out),
            Leg::Agent => (agent, &mut caller.out),
        };
        if media.is_of_old_ssrc(now, from, header) {
            media.counts.dropped_late += 1;
            return None;
        }
        let source = match &mut media.source {
            Some(source) if source.ssrc == header.ssrc && source.from == from => source,
            _ => {
                out.splice();
                return Some((media.change_source(now, from, header), false));
            }
        };
        let lost = source.sequence.lost();
        match source.sequence.place(header.sequence) {
            Place::Next(sequence) => Some((sequence, false)),
            Place::Late(sequence) => Some((sequence, true)),
            Place::Restarted(sequence) => {
                media.loss.end(lost);
                out.splice();
                Some((sequence, false))
            }
            Place::Duplicate | Place::Wild => {
                media.counts.dropped_late += 1;
                None
            }
        }
    }
}

impl LegMedia {
    fn new(origin: Origin) -> Self {
        LegMedia {
            terms: None,
            lock: SourceLock::default(),
            source: None,
            old_ssrcs: [None; 2],
            loss: Loss::default(),
            counts: Counts::default(),
            presence: Presence::default(),
            out: Outgoing::new(origin),
            playing: false,
            watching: false,
        }
    }

    /// Terms and address of this leg, if it may be sent to.
    fn route(&self) -> Option<(Terms, SocketAddr)> {
        let terms = self.terms.filter(|terms| terms.to_peer)?;
        Some((terms, self.lock.destination()?))
    }

    /// Whether the source may send, and what this is: `Some(None)` for a payload type that is
    /// not known, of a source that is; `None` if it is dropped.
    fn admit(
        &mut self,
        now: Instant,
        from: SocketAddr,
        header: &Header,
    ) -> Option<Option<Content>> {
        let Some(terms) = self.terms else {
            self.counts.dropped_no_route += 1;
            return None;
        };
        let content = content_of(header.payload_type, &terms);
        match self.lock.admit(now, from, content.is_some()) {
            Admission::Admitted => return Some(content),
            Admission::Unlatched => self.counts.dropped_malformed += 1,
            Admission::Stranger => self.counts.dropped_source += 1,
        }
        None
    }

    /// Whether a packet was sent before its source took another SSRC.
    fn is_of_old_ssrc(&self, now: Instant, from: SocketAddr, header: &Header) -> bool {
        let candidate = self
            .source
            .is_some_and(|source| source.from == from && source.ssrc != header.ssrc);
        let mut old = self.old_ssrcs.iter().flatten();
        candidate && old.any(|(ssrc, since)| *ssrc == header.ssrc && now - *since < OLD_SSRC_LATE)
    }

    /// Begins with another source's first packet; its extended sequence number.
    fn change_source(&mut self, now: Instant, from: SocketAddr, header: &Header) -> u32 {
        if let Some(old) = self.source {
            self.loss.end(old.sequence.lost());
            if old.ssrc != header.ssrc {
                self.old_ssrcs = [Some((old.ssrc, now)), self.old_ssrcs[0]];
            }
        }
        let sequence = Sequence::begin(header.sequence);
        self.source = Some(Source {
            from,
            ssrc: header.ssrc,
            sequence,
        });
        sequence.highest()
    }

    fn watch(&mut self, now: Instant) {
        let sends = self.terms.is_some_and(|terms| terms.from_peer);
        self.presence.watch(now, self.watching && sends);
    }

    fn note_presence(&mut self, now: Instant, content: Content, payload: &Range<usize>) -> Change {
        match content {
            Content::Audio(_) if payload.is_empty() => Change::default(),
            Content::Audio(_) => {
                self.counts.audio += 1;
                self.presence.on_audio(now)
            }
            Content::Event => {
                self.presence.on_event(now);
                Change::default()
            }
        }
    }
}

impl Accepted {
    fn upstream(&self) -> Upstream {
        let event = self.content == Content::Event;
        Upstream {
            sequence: self.sequence,
            late: self.late,
            timestamp: self.header.timestamp,
            marker: self.header.marker,
            event,
            length: if event {
                FRAME_TICKS
            } else {
                self.payload.len() as u32
            },
        }
    }
}

fn content_of(payload_type: u8, terms: &Terms) -> Option<Content> {
    match Codec::from_payload_type(payload_type) {
        Some(codec) => Some(Content::Audio(codec)),
        None if terms.event_from_peer == Some(payload_type) => Some(Content::Event),
        None => None,
    }
}

/// The payload type towards a leg; `None` for events that it does not take, and for audio without
/// samples: a keep-alive is for us only.
fn payload_type_for(packet: &Accepted, terms: &Terms) -> Option<u8> {
    match packet.content {
        Content::Audio(_) if packet.payload.is_empty() => None,
        Content::Audio(_) => Some(terms.codec.payload_type()),
        Content::Event => terms.event_to_peer,
    }
}
