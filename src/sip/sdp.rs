//! Session descriptions: bytes → the few facts that a relay needs, and nothing else.
//!
//! Decides what is read and what is passed over. It takes what phones really send: LF line ends, no
//! `v=`, `s=` or `t=` line, blanks at line ends, unknown lines, text in any encoding. It never decides
//! what is acceptable (that is [`super::offer_answer`]) and keeps no line that it has no use for.
//! `sdp-types` was looked at and left: one malformed `b=` or `t=` line, or a missing `v=`, would cost a call.
//!
//! Source: RFC 8866 (syntax), RFC 3264 §5 (what an offer holds).

use crate::base::limits::SDP_MEDIA_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Largest payload type: seven bits of the RTP header (RFC 3550 §5.1).
const PAYLOAD_TYPE_MAX: u8 = 127;

/// What a description says, in the peer's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The value of `o=`, to tell a repeated description from a new one.
    pub origin: Option<String>,
    /// The media descriptions, in their order.
    pub medias: Vec<Media>,
}

/// One `m=` line and what belongs to it; session-level defaults are already applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// `audio`, `video`, `image` …
    pub kind: String,
    /// The port; 0 means refused or removed (RFC 3264 §5.1, §8.2).
    pub port: u16,
    /// The transport, such as `RTP/AVP`.
    pub proto: String,
    /// The formats, in order of preference; payload types where the transport is RTP.
    pub formats: Vec<String>,
    /// `a=rtpmap`: payload type → `encoding/clock rate`. The first of a payload type counts.
    pub rtpmaps: BTreeMap<u8, String>,
    /// `a=fmtp`: payload type → parameters. The first of a payload type counts.
    pub fmtps: BTreeMap<u8, String>,
    /// Seen from whoever wrote the description.
    pub direction: Direction,
    /// The address of `c=`; `None` where there is none or it is a host name.
    pub connection: Option<IpAddr>,
    /// `a=ptime`, in milliseconds, where it is a whole number from 1 to 255.
    pub ptime: Option<u8>,
}

/// Which way media flow, seen from whoever says it (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Both ways: what no attribute means, too.
    #[default]
    SendRecv,
    /// It sends only: the other is on hold.
    SendOnly,
    /// It receives only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Built from its two halves.
    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Whether the speaker sends.
    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the speaker receives.
    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same flow, seen from the other end.
    pub const fn reversed(self) -> Self {
        Direction::new(self.receives(), self.sends())
    }

    /// What both allow.
    pub const fn within(self, other: Direction) -> Self {
        Direction::new(
            self.sends() && other.sends(),
            self.receives() && other.receives(),
        )
    }

    /// The attribute's name.
    pub const fn attribute(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    fn from_attribute(name: &str) -> Option<Self> {
        use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
        [SendRecv, SendOnly, RecvOnly, Inactive]
            .into_iter()
            .find(|direction| direction.attribute() == name)
    }
}

/// Why a body is no usable description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SdpFault {
    /// Neither a `v=` nor an `m=` line.
    #[error("the body is no session description")]
    NotSdp,
    /// An `m=` line without kind, port and transport, or with characters that are no token.
    #[error("a media line cannot be read")]
    MediaLine,
    /// More media descriptions than [`SDP_MEDIA_MAX`].
    #[error("too many media descriptions")]
    TooManyMedia,
}

/// Reads a description.
///
/// # Errors
/// See [`SdpFault`]. Lines that are not needed never fail.
pub fn read(body: &[u8]) -> Result<Description, SdpFault> {
    let text = String::from_utf8_lossy(body);
    let mut reader = Reader::default();
    // A lone CR ends a line too, so that no value can smuggle one into what we write.
    for line in text.split(['\r', '\n']) {
        if let Some((key, value)) = line.trim_start().split_once('=') {
            reader.line(key, value.trim())?;
        }
    }
    reader.finish()
}

/// What has been read so far: the session's own part, then one part a media line.
#[derive(Default)]
struct Reader {
    version_seen: bool,
    origin: Option<String>,
    session: Part,
    medias: Vec<(Media, Part)>,
}

/// The lines that may stand at session level and again under each media line.
#[derive(Default)]
struct Part {
    /// Outer `None`: no `c=` line; inner `None`: one with a host name.
    connection: Option<Option<IpAddr>>,
    direction: Option<Direction>,
    ptime: Option<u8>,
}

impl Reader {
    fn line(&mut self, key: &str, value: &str) -> Result<(), SdpFault> {
        match key {
            "v" => self.version_seen = true,
            "o" if self.origin.is_none() => self.origin = Some(value.to_owned()),
            "m" if self.medias.len() == SDP_MEDIA_MAX => return Err(SdpFault::TooManyMedia),
            "m" => self.medias.push((media_line(value)?, Part::default())),
            "c" => {
                self.part().connection.get_or_insert(address(value));
            }
            "a" => self.attribute(value),
            _ => {}
        }
        Ok(())
    }

    fn part(&mut self) -> &mut Part {
        match self.medias.last_mut() {
            Some((_, part)) => part,
            None => &mut self.session,
        }
    }

    fn attribute(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let (name, value) = (name.trim(), value.trim());
        if let Some(direction) = Direction::from_attribute(name) {
            self.part().direction.get_or_insert(direction);
        } else if name == "ptime" {
            let part = self.part();
            part.ptime = part.ptime.or(value.parse().ok().filter(|&ptime| ptime > 0));
        } else if let Some((media, _)) = self.medias.last_mut() {
            match name {
                "rtpmap" => keep_first(&mut media.rtpmaps, value),
                "fmtp" => keep_first(&mut media.fmtps, value),
                _ => {}
            }
        }
    }

    fn finish(self) -> Result<Description, SdpFault> {
        if !self.version_seen && self.medias.is_empty() {
            return Err(SdpFault::NotSdp);
        }
        let session = self.session;
        let settle = |(media, part): (Media, Part)| Media {
            connection: part.connection.or(session.connection).flatten(),
            direction: part.direction.or(session.direction).unwrap_or_default(),
            ptime: part.ptime.or(session.ptime),
            ..media
        };
        Ok(Description {
            origin: self.origin,
            medias: self.medias.into_iter().map(settle).collect(),
        })
    }
}

/// `audio 49170/2 RTP/AVP 0 8`: a count of ports is passed over (RFC 8866 §5.14).
fn media_line(value: &str) -> Result<Media, SdpFault> {
    // These words are written back in our answer, so only visible ASCII is taken.
    if !value
        .bytes()
        .all(|b| b.is_ascii_graphic() || b == b' ' || b == b'\t')
    {
        return Err(SdpFault::MediaLine);
    }
    let mut words = value.split_ascii_whitespace();
    let (Some(kind), Some(port), Some(proto)) = (words.next(), words.next(), words.next()) else {
        return Err(SdpFault::MediaLine);
    };
    let port = port.split('/').next().and_then(|port| port.parse().ok());
    Ok(Media {
        kind: kind.to_owned(),
        port: port.ok_or(SdpFault::MediaLine)?,
        proto: proto.to_owned(),
        formats: words.map(str::to_owned).collect(),
        rtpmaps: BTreeMap::new(),
        fmtps: BTreeMap::new(),
        direction: Direction::SendRecv,
        connection: None,
        ptime: None,
    })
}

/// `IN IP4 192.0.2.1/127`: the address alone. A multicast suffix is passed over.
fn address(value: &str) -> Option<IpAddr> {
    let word = value.split_ascii_whitespace().nth(2)?;
    word.split('/').next()?.parse().ok()
}

/// `101 telephone-event/8000` into the map, unless the payload type is there already.
fn keep_first(map: &mut BTreeMap<u8, String>, value: &str) {
    let Some((payload_type, rest)) = value.split_once([' ', '\t']) else {
        return;
    };
    if let Some(payload_type) = payload_type_of(payload_type) {
        map.entry(payload_type)
            .or_insert_with(|| rest.trim().to_owned());
    }
}

/// A payload type as a number: 0 to 127.
pub fn payload_type_of(format: &str) -> Option<u8> {
    format.parse().ok().filter(|&pt| pt <= PAYLOAD_TYPE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIDY: &str = "v=0\r\no=bob 1 2 IN IP4 host.example\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
        a=sendonly\r\nm=audio 49170 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:101 0-15\r\na=ptime:20\r\na=recvonly\r\nm=video 0/2 RTP/AVP 31\r\nc=IN IP6 2001:db8::1\r\n";

    #[test]
    fn a_tidy_description_is_read_with_session_defaults_applied() {
        let description = read(TIDY.as_bytes()).unwrap();
        assert_eq!(
            description.origin.as_deref(),
            Some("bob 1 2 IN IP4 host.example")
        );
        let [audio, video] = &description.medias[..] else {
            panic!("two media lines");
        };
        assert_eq!((audio.port, audio.proto.as_str()), (49170, "RTP/AVP"));
        assert_eq!(audio.formats, ["8", "0", "101"]);
        assert_eq!(audio.rtpmaps[&101], "telephone-event/8000");
        assert_eq!(audio.fmtps[&101], "0-15");
        assert_eq!(audio.connection, Some("192.0.2.7".parse().unwrap()));
        assert_eq!(
            (audio.direction, audio.ptime),
            (Direction::RecvOnly, Some(20))
        );
        assert_eq!(video.connection, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(
            (video.direction, video.port, video.ptime),
            (Direction::SendOnly, 0, None)
        );
    }

    #[test]
    fn odd_phones_are_read_too() {
        let bodies: [&[u8]; 6] = [
            b"v=0\nc=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 8\n",
            b"m=audio 4000 RTP/AVP 8 \r\nc=IN IP4 192.0.2.7  \r\n\r\n \r\n",
            b"v=0\r\ns=\xc4\xe3\xba\xc3\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 8",
            b"v=0\r\nb=AS:sixty\r\nt=now\r\nX\r\nq=1\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 8\r\n",
            b"v=0\r\no=\r\nc=IN IP4 192.0.2.7/127\r\nm=audio 4000/1  RTP/AVP  8\r\n",
            b"\r\n v=0\r\n c=IN IP4 192.0.2.7\r\n m=audio 4000 RTP/AVP 8\r\na=ptime:20.5\r\na=rtpmap:x\r\n",
        ];
        for body in bodies {
            let description = read(body).unwrap();
            let [media] = &description.medias[..] else {
                panic!("one media line");
            };
            assert_eq!((media.port, media.formats.join(" ")), (4000, "8".into()));
            assert_eq!(media.connection, Some("192.0.2.7".parse().unwrap()));
        }
    }

    #[test]
    fn what_cannot_be_read_is_a_fault() {
        assert_eq!(read(b""), Err(SdpFault::NotSdp));
        assert_eq!(read(b"<xml a='1'/>"), Err(SdpFault::NotSdp));
        for line in [
            "audio",
            "audio x RTP/AVP 0",
            "audio 70000 RTP/AVP 0",
            "audio 1 RTP/\u{e9} 0",
        ] {
            let body = format!("v=0\r\nm={line}\r\n");
            assert_eq!(read(body.as_bytes()), Err(SdpFault::MediaLine), "{line}");
        }
        let many = "m=audio 1 RTP/AVP 0\n".repeat(SDP_MEDIA_MAX);
        assert_eq!(read(many.as_bytes()).unwrap().medias.len(), SDP_MEDIA_MAX);
        let more = "m=audio 1 RTP/AVP 0\n".repeat(SDP_MEDIA_MAX + 1);
        assert_eq!(read(more.as_bytes()), Err(SdpFault::TooManyMedia));
    }

    #[test]
    fn a_host_name_in_a_media_line_does_not_fall_back_to_the_session() {
        let body = b"v=0\nc=IN IP4 192.0.2.7\nm=audio 1 RTP/AVP 0\nc=IN IP4 pbx.example\n";
        assert_eq!(read(body).unwrap().medias[0].connection, None);
    }

    #[test]
    fn directions_turn_and_narrow() {
        use Direction::*;
        assert_eq!(SendOnly.reversed(), RecvOnly);
        assert_eq!(SendRecv.reversed(), SendRecv);
        assert_eq!(SendRecv.within(RecvOnly), RecvOnly);
        assert_eq!(SendOnly.within(RecvOnly), Inactive);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(body in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&body);
        }

        #[test]
        fn no_lines_make_the_reader_panic(body in "([vosctmabr]=[ -~\t\u{e9}]{0,30}(\r\n|\r|\n)){0,20}") {
            let _ = read(body.as_bytes());
        }
    }
}
