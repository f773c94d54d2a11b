//! Offer and answer for one G.711 audio stream: what we take, what we offer, what we answer.
//!
//! Decides which `m=` line is the call's audio and with which codecs. It takes the static payload types
//! of PCMU (0) and PCMA (8) over RTP/AVP only, because the relay passes packets on with the payload type
//! they came with; a dynamic payload type that `a=rtpmap` names PCMA is passed over. All other lines are
//! refused with port 0. ICE, SRTP keys and rtcp-mux are never answered, so a peer does without them.
//! It knows no SIP message: bytes in, plain data out.
//!
//! Source: RFC 3264, RFC 4733 §2.4.1 (telephone-event), RFC 3551 §6, RFC 5761 §5.1.1 (rtcp-mux).

use super::sdp::{self, Description, Direction, Media, SdpFault, payload_type_of};
use crate::base::codec::Codec;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The only transport that we speak.
const RTP_AVP: &str = "RTP/AVP";

/// The payload type of telephone-event in offers that nobody's offer stands behind: the usual one.
pub const EVENT_PAYLOAD_TYPE: u8 = 101;

/// Events 0 to 15 are the keys, 16 is the flash hook (RFC 4733 §3.2).
const EVENTS: &str = "0-16";

/// Longest list of events that is passed on; a longer one becomes [`EVENTS`].
const EVENTS_BYTES_MAX: usize = 64;

/// A peer's offer, as far as we can take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioOffer {
    /// Where it wants RTP. `None`: held by `c=0.0.0.0` (RFC 3264 §8.4), or a host name or multicast
    /// address, to which nothing is sent before the peer's own packets show where it is.
    pub remote: Option<SocketAddr>,
    /// G.711's laws in its order, one at least.
    pub codecs: Vec<Codec>,
    /// Its payload type for telephone-event at 8 kHz.
    pub event: Option<u8>,
    /// The events that it takes (`0-15`), where it says so in plain numbers.
    pub event_fmtp: Option<String>,
    /// From the peer's side; a hold by address is already taken out of it.
    pub direction: Direction,
    /// Packet time that it likes, in milliseconds.
    pub ptime: Option<u8>,
    /// Which of `lines` is the audio that we take.
    pub media_index: usize,
    /// All its media lines: the answer must have as many, in the same order (RFC 3264 §6).
    pub lines: Vec<MediaLine>,
}

/// A media line, as it is repeated in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaLine {
    /// `audio`, `video` …
    pub kind: String,
    /// The transport.
    pub proto: String,
    /// The formats.
    pub formats: Vec<String>,
}

/// A peer's answer to our offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioAnswer {
    /// Where it wants RTP; `None` as in [`AudioOffer::remote`].
    pub remote: Option<SocketAddr>,
    /// The first of its formats that we offered.
    pub codec: Codec,
    /// Its payload type for telephone-event; `None`: it takes none, or we offered none.
    pub event: Option<u8>,
    /// From the peer's side, never wider than our offer allowed.
    pub direction: Direction,
    /// Packet time that it likes, in milliseconds.
    pub ptime: Option<u8>,
}

/// Our end of a stream, and the `o=` line of our description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalMedia {
    /// The address to write: the socket's or the advertised one.
    pub address: IpAddr,
    /// The RTP port.
    pub port: u16,
    /// Names the session; stays for the life of the dialog.
    pub session_id: u64,
    /// One more with each description that differs from the last (RFC 3264 §8).
    pub version: u64,
}

/// What we answer to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// One of the offer's codecs.
    pub codec: Codec,
    /// Whether we take telephone-event, if the offer has it.
    pub event: bool,
    /// From our side; narrowed to what the offer allows.
    pub direction: Direction,
    /// Packet time to state, in milliseconds.
    pub ptime: Option<u8>,
}

/// Why an offer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum OfferFault {
    /// No session description.
    #[error("the offer cannot be read")]
    Unreadable,
    /// More media lines than we look at.
    #[error("the offer has too many media lines")]
    TooManyMedia,
    /// No audio line with a port.
    #[error("the offer has no audio")]
    NoAudio,
    /// Audio only over another transport (SRTP, RTP/AVPF).
    #[error("the offer has no audio over RTP/AVP")]
    NoCommonTransport,
    /// Neither PCMA nor PCMU with its static payload type.
    #[error("the offer has neither PCMA nor PCMU")]
    NoCommonCodec,
}

impl OfferFault {
    /// The status that refuses the request (RFC 3261 §21.4.1, §21.4.26).
    pub const fn status(self) -> u16 {
        match self {
            OfferFault::Unreadable => 400,
            OfferFault::TooManyMedia
            | OfferFault::NoAudio
            | OfferFault::NoCommonTransport
            | OfferFault::NoCommonCodec => 488,
        }
    }
}

impl From<SdpFault> for OfferFault {
    fn from(fault: SdpFault) -> Self {
        match fault {
            SdpFault::NotSdp | SdpFault::MediaLine => OfferFault::Unreadable,
            SdpFault::TooManyMedia => OfferFault::TooManyMedia,
        }
    }
}

/// Why an answer is of no use: the call cannot have audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AnswerFault {
    /// No session description.
    #[error("the answer cannot be read")]
    Unreadable,
    /// Our line is missing, or came back as something else than audio over RTP/AVP.
    #[error("the answer is not to our offer")]
    NotOurs,
    /// Our line came back with port 0 (RFC 3264 §6).
    #[error("the answer refuses the audio")]
    Refused,
    /// None of the codecs that we offered.
    #[error("the answer has none of the offered codecs")]
    NoCommonCodec,
}

impl From<SdpFault> for AnswerFault {
    fn from(_: SdpFault) -> Self {
        AnswerFault::Unreadable
    }
}

impl AudioOffer {
    /// An offer of our own, for an INVITE that nobody's offer stands behind: a delayed offer
    /// (RFC 3264 §4) or a call of our own.
    pub fn ours(codecs: Vec<Codec>) -> Self {
        AudioOffer {
            remote: None,
            codecs,
            event: Some(EVENT_PAYLOAD_TYPE),
            event_fmtp: None,
            direction: Direction::SendRecv,
            ptime: Some(20),
            media_index: 0,
            lines: Vec::new(),
        }
    }

    /// Whether a socket of `local`'s address family reaches it. If not, no audio would flow: 488.
    pub fn reachable_from(&self, local: IpAddr) -> bool {
        self.remote
            .is_none_or(|remote| remote.is_ipv4() == local.is_ipv4())
    }
}

/// Reads an offer and picks its first audio line that we can take.
///
/// # Errors
/// See [`OfferFault`]; its `status` refuses the request.
pub fn offer(body: &[u8]) -> Result<AudioOffer, OfferFault> {
    let description = sdp::read(body)?;
    let media_index = pick(&description)?;
    let media = &description.medias[media_index];
    let (remote, direction) = reach(media);
    let event = event_of(media);
    Ok(AudioOffer {
        remote,
        codecs: codecs_of(media),
        event,
        event_fmtp: event.and_then(|event| events(media.fmtps.get(&event)?)),
        direction,
        ptime: media.ptime,
        media_index,
        lines: description.medias.into_iter().map(line).collect(),
    })
}

/// The index of the audio line to take; if there is none, the fault that came closest.
fn pick(description: &Description) -> Result<usize, OfferFault> {
    let mut closest = OfferFault::NoAudio;
    for (index, media) in description.medias.iter().enumerate() {
        if !is_audio(media) || media.port == 0 {
            continue;
        }
        if !is_rtp_avp(media) {
            if closest == OfferFault::NoAudio {
                closest = OfferFault::NoCommonTransport;
            }
        } else if codecs_of(media).is_empty() {
            closest = OfferFault::NoCommonCodec;
        } else {
            return Ok(index);
        }
    }
    Err(closest)
}

/// Reads the answer to an offer that [`write_offer`] made from `offered`.
///
/// # Errors
/// See [`AnswerFault`].
pub fn read_answer(body: &[u8], offered: &AudioOffer) -> Result<AudioAnswer, AnswerFault> {
    let description = sdp::read(body)?;
    let media = description.medias.first().ok_or(AnswerFault::NotOurs)?;
    if !is_audio(media) {
        return Err(AnswerFault::NotOurs);
    }
    if media.port == 0 {
        return Err(AnswerFault::Refused);
    }
    if !is_rtp_avp(media) {
        return Err(AnswerFault::NotOurs);
    }
    let codec = codecs_of(media)
        .into_iter()
        .find(|codec| offered.codecs.contains(codec));
    let (remote, direction) = reach(media);
    Ok(AudioAnswer {
        remote,
        codec: codec.ok_or(AnswerFault::NoCommonCodec)?,
        event: offered.event.and(event_of(media)),
        // A peer that answers more than it was offered gets what was offered.
        direction: direction.within(offered.direction.reversed()),
        ptime: media.ptime,
    })
}

/// Our offer to the other leg: one audio line with `from`'s codecs, events, direction and packet time.
pub fn write_offer(local: &LocalMedia, from: &AudioOffer) -> Vec<u8> {
    let mut out = head(local);
    let audio = Audio {
        codecs: &from.codecs,
        event: from.event,
        event_fmtp: from.event_fmtp.as_deref(),
        direction: from.direction,
        ptime: from.ptime,
    };
    audio.write(&mut out, local.port);
    out.into_bytes()
}

/// Our answer: the offer's lines in its order, all but the chosen one refused, in the offer's payload types.
pub fn write_answer(local: &LocalMedia, offer: &AudioOffer, choice: &Choice) -> Vec<u8> {
    debug_assert!(offer.codecs.contains(&choice.codec), "not offered");
    let mut out = head(local);
    let audio = Audio {
        codecs: &[choice.codec],
        event: offer.event.filter(|_| choice.event),
        event_fmtp: offer.event_fmtp.as_deref(),
        direction: choice.direction.within(offer.direction.reversed()),
        ptime: choice.ptime,
    };
    for (index, line) in offer.lines.iter().enumerate() {
        if index == offer.media_index {
            audio.write(&mut out, local.port);
        } else {
            refuse(&mut out, line);
        }
    }
    out.into_bytes()
}

/// Writes one line; a `String` takes all that is written to it.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{
        let _ = write!($out, $($arg)*);
        $out.push_str("\r\n");
    }};
}

/// The session's lines (RFC 8866 §5); `c=` stands here, so that refused lines have one too.
fn head(local: &LocalMedia) -> String {
    let family = if local.address.is_ipv4() {
        "IP4"
    } else {
        "IP6"
    };
    let mut out = String::with_capacity(256);
    put!(out, "v=0");
    put!(
        out,
        "o=- {} {} IN {family} {}",
        local.session_id,
        local.version,
        local.address
    );
    put!(out, "s=-");
    put!(out, "c=IN {family} {}", local.address);
    put!(out, "t=0 0");
    out
}

/// Our audio line.
struct Audio<'a> {
    codecs: &'a [Codec],
    event: Option<u8>,
    event_fmtp: Option<&'a str>,
    direction: Direction,
    ptime: Option<u8>,
}

impl Audio<'_> {
    fn write(&self, out: &mut String, port: u16) {
        let types = self.codecs.iter().map(|codec| codec.payload_type());
        let types: String = types
            .chain(self.event)
            .map(|payload_type| format!(" {payload_type}"))
            .collect();
        put!(out, "m=audio {port} {RTP_AVP}{types}");
        for codec in self.codecs {
            let name = codec.encoding_name();
            put!(out, "a=rtpmap:{} {name}/8000", codec.payload_type());
        }
        if let Some(event) = self.event {
            put!(out, "a=rtpmap:{event} telephone-event/8000");
            put!(out, "a=fmtp:{event} {}", self.event_fmtp.unwrap_or(EVENTS));
        }
        if let Some(ptime) = self.ptime {
            put!(out, "a=ptime:{ptime}");
        }
        put!(out, "a={}", self.direction.attribute());
    }
}

/// A refused line keeps its kind, transport and formats (RFC 3264 §6); at least one format is needed.
fn refuse(out: &mut String, line: &MediaLine) {
    let formats = match line.formats.is_empty() {
        true => "0".to_owned(),
        false => line.formats.join(" "),
    };
    put!(out, "m={} 0 {} {formats}", line.kind, line.proto);
}

fn line(media: Media) -> MediaLine {
    MediaLine {
        kind: media.kind,
        proto: media.proto,
        formats: media.formats,
    }
}

fn is_audio(media: &Media) -> bool {
    media.kind.eq_ignore_ascii_case("audio")
}

fn is_rtp_avp(media: &Media) -> bool {
    media.proto.eq_ignore_ascii_case(RTP_AVP)
}

/// The static G.711 types, in the line's order, each once.
fn codecs_of(media: &Media) -> Vec<Codec> {
    let mut codecs = Vec::with_capacity(2);
    for format in &media.formats {
        let codec = payload_type_of(format).and_then(Codec::from_payload_type);
        if let Some(codec) = codec.filter(|&codec| means(media, codec))
            && !codecs.contains(&codec)
        {
            codecs.push(codec);
        }
    }
    codecs
}

/// Whether the line's own `a=rtpmap`, where it has one, agrees with the static table.
fn means(media: &Media, codec: Codec) -> bool {
    let said = media.rtpmaps.get(&codec.payload_type());
    said.is_none_or(|said| is_encoding(said, codec.encoding_name()))
}

/// Whether `PCMA/8000/1` is `name` at 8 kHz, one channel.
fn is_encoding(said: &str, name: &str) -> bool {
    let mut parts = said.split('/').map(str::trim);
    parts.next().is_some_and(|p| p.eq_ignore_ascii_case(name))
        && parts.next() == Some("8000")
        && parts.next().is_none_or(|channels| channels == "1")
}

/// The first format that the line names telephone-event at 8 kHz, the clock of G.711 (RFC 4733 §2.1).
fn event_of(media: &Media) -> Option<u8> {
    let types = media.formats.iter().filter_map(|f| payload_type_of(f));
    types
        .filter(|&pt| Codec::from_payload_type(pt).is_none())
        .find(|pt| {
            let said = media.rtpmaps.get(pt);
            said.is_some_and(|said| is_encoding(said, "telephone-event"))
        })
}

/// A list of events, if it is one: digits, commas and hyphens. It is written into other descriptions.
fn events(fmtp: &str) -> Option<String> {
    let fmtp = fmtp.trim_end_matches(';');
    let plain = |b: u8| b.is_ascii_digit() || b == b',' || b == b'-';
    let fits = !fmtp.is_empty() && fmtp.len() <= EVENTS_BYTES_MAX;
    (fits && fmtp.bytes().all(plain)).then(|| fmtp.to_owned())
}

/// Where the peer wants RTP, and its direction: no address to send to means that it does not receive.
fn reach(media: &Media) -> (Option<SocketAddr>, Direction) {
    match media.connection {
        Some(address) if address.is_unspecified() => {
            (None, Direction::new(media.direction.sends(), false))
        }
        // Packets to many, for one phone's asking: never.
        Some(address) if address.is_multicast() || address == Ipv4Addr::BROADCAST => {
            (None, media.direction)
        }
        address => {
            let remote = address.map(|address| SocketAddr::new(address, media.port));
            (remote, media.direction)
        }
    }
}

#[cfg(test)]
mod tests;
