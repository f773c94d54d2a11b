//! RTP headers: read, rewritten in place, built. The only file that names `rtp-rs`.
//!
//! It decides what a datagram is, RTP or RTCP, and refuses what is neither. It never looks into a
//! payload. Source: RFC 3550 §5.1, RFC 5761 §4.

use std::ops::Range;

use rtp_rs::{RtpPacketBuilder, RtpReader, RtpReaderError, Seq};

/// The fixed part of the header, in bytes.
pub const HEADER_BYTES: usize = RtpReader::MIN_HEADER_LEN;

/// What a datagram on an RTP port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RTP, if anything.
    Rtp,
    /// A control packet on the RTP port: sender report, receiver report and the like.
    Rtcp,
}

/// Tells RTCP from RTP on one port, before either is parsed: RTCP parses as RTP.
///
/// Source: RFC 5761 §4: the second byte of RTCP, its packet type, is 192 to 223.
pub fn demultiplex(datagram: &[u8]) -> Kind {
    match datagram.get(..2) {
        Some(&[first, 192..=223]) if first >> 6 == 2 => Kind::Rtcp,
        _ => Kind::Rtp,
    }
}

/// Why a datagram is no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRtp {
    /// Shorter than its header says.
    #[error("shorter than its header says")]
    Truncated,
    /// Another version than 2.
    #[error("another version than 2")]
    Version,
    /// The padding count is zero or longer than the payload (RFC 3550 §5.1).
    #[error("impossible padding count")]
    Padding,
}

/// The header fields that a relay changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Marker: the first packet of a talk spurt (RFC 3551 §4.1) or of an event (RFC 4733 §2.3).
    pub marker: bool,
    /// Sequence number, wraps at 2^16.
    pub sequence: u16,
    /// Time stamp in ticks of 8 kHz, wraps at 2^32.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// A header, and where its payload lies in the datagram: behind CSRCs and extension, before padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The fields.
    pub header: Header,
    /// Bytes of the payload, padding left out.
    pub payload: Range<usize>,
}

/// Reads the header of an RTP packet.
pub fn read(datagram: &[u8]) -> Result<Packet, NotRtp> {
    let reader = RtpReader::new(datagram).map_err(|error| match error {
        RtpReaderError::BufferTooShort(_) | RtpReaderError::HeadersTruncated { .. } => {
            NotRtp::Truncated
        }
        RtpReaderError::UnsupportedVersion(_) => NotRtp::Version,
        RtpReaderError::PaddingLengthInvalid(_) => NotRtp::Padding,
    })?;
    let start = reader.payload_offset();
    Ok(Packet {
        header: Header {
            payload_type: reader.payload_type(),
            marker: reader.mark(),
            sequence: u16::from(reader.sequence_number()),
            timestamp: reader.timestamp(),
            ssrc: reader.ssrc(),
        },
        payload: start..start + reader.payload().len(),
    })
}

/// Overwrites the header fields of a packet that was read before. Padding flag, extension, CSRCs
/// and payload stay as they are. A datagram without room for a header stays untouched.
pub fn rewrite(datagram: &mut [u8], header: &Header) {
    let Some(fixed) = datagram.first_chunk_mut::<HEADER_BYTES>() else {
        return;
    };
    fixed[1] = header.payload_type & 0x7f | u8::from(header.marker) << 7;
    fixed[2..4].copy_from_slice(&header.sequence.to_be_bytes());
    fixed[4..8].copy_from_slice(&header.timestamp.to_be_bytes());
    fixed[8..12].copy_from_slice(&header.ssrc.to_be_bytes());
}

/// Builds a packet into `buffer`; its length, or `None` if the buffer is too short.
pub fn build(buffer: &mut [u8], header: &Header, payload: &[u8]) -> Option<usize> {
    RtpPacketBuilder::new()
        .payload_type(header.payload_type & 0x7f)
        .marked(header.marker)
        .sequence(Seq::from(header.sequence))
        .timestamp(header.timestamp)
        .ssrc(header.ssrc)
        .payload(payload)
        .build_into(buffer)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        payload_type: 8,
        marker: true,
        sequence: 0xfffe,
        timestamp: 0xdead_beef,
        ssrc: 0x1234_5678,
    };

    #[test]
    fn what_is_built_is_read_and_rewritten() {
        let mut buffer = [0; 64];
        let length = build(&mut buffer, &HEADER, &[1, 2, 3]).unwrap();
        let packet = read(&buffer[..length]).unwrap();
        assert_eq!(packet.header, HEADER);
        assert_eq!(&buffer[packet.payload], [1, 2, 3]);
        let other = Header {
            payload_type: 0,
            marker: false,
            sequence: 7,
            timestamp: 9,
            ssrc: 11,
        };
        rewrite(&mut buffer[..length], &other);
        assert_eq!(read(&buffer[..length]).unwrap().header, other);
        assert_eq!(build(&mut [0; 14], &HEADER, &[1, 2, 3]), None);
    }

    #[test]
    fn padding_extension_and_csrcs_are_no_payload_and_survive_a_rewrite() {
        let mut datagram = vec![0xb1, 0x88, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        datagram.extend([0, 0, 0, 9]); // one CSRC
        datagram.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]); // one extension word
        datagram.extend([0xd5; 160]);
        datagram.extend([0, 0, 0, 4]); // padding
        let packet = read(&datagram).unwrap();
        assert_eq!(packet.payload, 24..184);
        let before = datagram.clone();
        rewrite(&mut datagram, &HEADER);
        assert_eq!(datagram[0], before[0]);
        assert_eq!(datagram[12..], before[12..]);
        assert_eq!(read(&datagram).unwrap().header, HEADER);
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_its_second_byte() {
        assert_eq!(demultiplex(&[0x80, 200, 0, 6]), Kind::Rtcp);
        assert_eq!(demultiplex(&[0x81, 201, 0, 7]), Kind::Rtcp);
        assert_eq!(demultiplex(&[0x80, 223]), Kind::Rtcp);
        // PCMA with the marker, and telephone-event 101 with and without it.
        for second in [0x88, 101, 0x80 | 101, 191, 224] {
            assert_eq!(demultiplex(&[0x80, second]), Kind::Rtp);
        }
        assert_eq!(demultiplex(&[0x80]), Kind::Rtp);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let mut random = crate::base::random::Random::from_number(3);
        for _ in 0..20_000 {
            let length = random.below(80) as usize;
            let mut bytes: Vec<u8> = (0..length).map(|_| random.bits32() as u8).collect();
            if let Some(first) = bytes.first_mut() {
                *first = *first & 0x3f | 0x80;
            }
            if let Ok(packet) = read(&bytes) {
                assert!(packet.payload.start <= packet.payload.end);
                assert!(packet.payload.end <= bytes.len());
            }
        }
        assert_eq!(read(&[0x80; 11]), Err(NotRtp::Truncated));
        assert_eq!(read(&[0x40; 12]), Err(NotRtp::Version));
        assert_eq!(
            read(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Err(NotRtp::Padding)
        );
    }
}
