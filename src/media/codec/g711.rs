//! G.711, A-law and µ-law: bytes to 16-bit samples and back, and one law to the other.
//!
//! All by tables that the compiler fills from ITU-T's reference algorithms (G.191, `g711.c`).
//! Samples are 16 bits wide and left-justified: A-law uses the upper 13, µ-law the upper 14.
//! Source: ITU-T G.711 tables 1 and 2.

use crate::base::codec::Codec;

/// Decodes one byte.
pub fn decode(codec: Codec, byte: u8) -> i16 {
    match codec {
        Codec::Pcma => DECODE_A[byte as usize],
        Codec::Pcmu => DECODE_U[byte as usize],
    }
}

/// Encodes one sample.
pub fn encode(codec: Codec, sample: i16) -> u8 {
    match codec {
        Codec::Pcma => ENCODE_A[(sample >> 4) as usize & 0xfff],
        Codec::Pcmu => ENCODE_U[(sample >> 2) as usize & 0x3fff],
    }
}

/// Turns a payload of one law into the other in place; nothing happens if they are the same.
///
/// It goes through the decoded values, so that each byte becomes the one nearest in level.
pub fn transcode(payload: &mut [u8], from: Codec, to: Codec) {
    let table = match (from, to) {
        (Codec::Pcma, Codec::Pcmu) => &A_TO_U,
        (Codec::Pcmu, Codec::Pcma) => &U_TO_A,
        _ => return,
    };
    for byte in payload {
        *byte = table[*byte as usize];
    }
}

static DECODE_A: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = expand_a(byte as u8);
        byte += 1;
    }
    table
};

static DECODE_U: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = expand_u(byte as u8);
        byte += 1;
    }
    table
};

/// By the upper 12 bits of a sample.
static ENCODE_A: [u8; 1 << 12] = {
    let mut table = [0; 1 << 12];
    let mut index = 0;
    while index < table.len() {
        table[index] = compress_a((index << 4) as u16 as i16);
        index += 1;
    }
    table
};

/// By the upper 14 bits of a sample.
static ENCODE_U: [u8; 1 << 14] = {
    let mut table = [0; 1 << 14];
    let mut index = 0;
    while index < table.len() {
        table[index] = compress_u((index << 2) as u16 as i16);
        index += 1;
    }
    table
};

static A_TO_U: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = compress_u(expand_a(byte as u8));
        byte += 1;
    }
    table
};

static U_TO_A: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = compress_a(expand_u(byte as u8));
        byte += 1;
    }
    table
};

/// A-law expansion: eight segments of sixteen steps, even bits inverted.
const fn expand_a(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let exponent = (code >> 4) & 7;
    let mut mantissa = (code & 0xf) as i16;
    if exponent > 0 {
        mantissa += 16;
    }
    mantissa = (mantissa << 4) + 8;
    if exponent > 1 {
        mantissa <<= exponent - 1;
    }
    if byte & 0x80 != 0 {
        mantissa
    } else {
        -mantissa
    }
}

/// A-law compression; the magnitude is a one's complement, as in the reference.
const fn compress_a(sample: i16) -> u8 {
    let mut code = (if sample < 0 { !sample } else { sample }) >> 4;
    if code > 15 {
        let mut exponent = 1;
        while code > 31 {
            code >>= 1;
            exponent += 1;
        }
        code = code - 16 + (exponent << 4);
    }
    let sign = if sample < 0 { 0 } else { 0x80 };
    (code as u8 | sign) ^ 0x55
}

/// µ-law expansion: the bias of 33 (in 14 bits) is taken off again, all bits are inverted.
const fn expand_u(byte: u8) -> i16 {
    let code = !byte;
    let exponent = (code >> 4) & 7;
    let mantissa = (code & 0xf) as i16;
    let step = 8i16 << exponent;
    let magnitude = (0x80i16 << exponent) + step * mantissa + step / 2 - 4 * 33;
    if byte & 0x80 != 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// µ-law compression; the magnitude is a one's complement, as in the reference.
const fn compress_u(sample: i16) -> u8 {
    let mut magnitude = ((if sample < 0 { !sample } else { sample }) >> 2) + 33;
    if magnitude > 0x1fff {
        magnitude = 0x1fff;
    }
    let segment = 16 - (magnitude >> 6).leading_zeros() as i16 + 1;
    let code = (8 - segment) << 4 | (0xf - ((magnitude >> segment) & 0xf));
    let sign = if sample < 0 { 0 } else { 0x80 };
    code as u8 | sign
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G.711 table 1a/2a column 8: the value at the decoder output of each positive interval,
    /// written as the recommendation gives it: by segment and step, in its own scale.
    fn itu_outputs(codec: Codec) -> Vec<i32> {
        let mut outputs = Vec::new();
        for segment in 0..8 {
            for step in 0..16 {
                outputs.push(match (codec, segment) {
                    // A-law, full scale 4096: segments 1 and 2 (one straight line) have steps of 2.
                    (Codec::Pcma, 0) => 8 * (2 * step + 1),
                    (Codec::Pcma, s) => 8 * ((2 * (16 + step) + 1) << (s - 1)),
                    // µ-law, full scale 8159: y0 = 0, then (2·(16+q)+1)·2^s − 33.
                    (Codec::Pcmu, s) => 4 * (((2 * (16 + step) + 1) << s) - 33),
                });
            }
        }
        outputs
    }

    #[test]
    fn decoded_values_are_those_of_the_recommendation() {
        for (n, value) in itu_outputs(Codec::Pcma).into_iter().enumerate() {
            let positive = (n as u8 | 0x80) ^ 0x55;
            assert_eq!(i32::from(decode(Codec::Pcma, positive)), value);
            assert_eq!(i32::from(decode(Codec::Pcma, positive ^ 0x80)), -value);
        }
        for (n, value) in itu_outputs(Codec::Pcmu).into_iter().enumerate() {
            let positive = 0xff - n as u8;
            assert_eq!(i32::from(decode(Codec::Pcmu, positive)), value);
            assert_eq!(i32::from(decode(Codec::Pcmu, positive ^ 0x80)), -value);
        }
        assert_eq!(decode(Codec::Pcma, 0xaa), 32_256);
        assert_eq!(decode(Codec::Pcmu, 0x80), 32_124);
        assert_eq!(decode(Codec::Pcma, 0xd5), 8);
        assert_eq!(decode(Codec::Pcmu, 0xff), 0);
    }

    /// G.711 notes to tables 1 and 2: an output is the middle of its interval.
    #[test]
    fn each_sample_becomes_the_middle_of_its_interval() {
        for codec in [Codec::Pcma, Codec::Pcmu] {
            let outputs = itu_outputs(codec);
            let steps = |n: usize| outputs[(n | 15).min(127)] - outputs[(n | 15) - 1];
            for sample in i16::MIN..=i16::MAX {
                let decoded = i32::from(decode(codec, encode(codec, sample)));
                let n = outputs.binary_search(&decoded.abs()).unwrap();
                let off = (decoded - i32::from(sample)).abs();
                let clipped = n == 127 && i32::from(sample).abs() > decoded.abs();
                // Four units are what µ-law's 14 bits cannot tell apart.
                assert!(
                    clipped || off <= steps(n) / 2 + 4,
                    "{codec:?} {sample}: {decoded}"
                );
            }
        }
    }

    #[test]
    fn a_decoded_byte_encodes_to_itself() {
        for byte in 0..=255u8 {
            assert_eq!(encode(Codec::Pcma, decode(Codec::Pcma, byte)), byte);
            let again = encode(Codec::Pcmu, decode(Codec::Pcmu, byte));
            // µ-law has two zeros.
            assert!(again == byte || (byte == 0x7f && again == 0xff));
        }
    }

    #[test]
    fn one_law_becomes_the_other_at_the_same_level() {
        for (from, to) in [(Codec::Pcma, Codec::Pcmu), (Codec::Pcmu, Codec::Pcma)] {
            for byte in 0..=255u8 {
                let mut payload = [byte];
                transcode(&mut payload, from, to);
                let (was, is) = (
                    i32::from(decode(from, byte)),
                    i32::from(decode(to, payload[0])),
                );
                let allowed = 16 + was.abs() / 32;
                assert!(
                    (was - is).abs() <= allowed,
                    "{from:?} {byte}: {was} -> {is}"
                );
                assert!(was.signum() * is.signum() >= 0);
            }
        }
        let mut payload = [1, 2, 3];
        transcode(&mut payload, Codec::Pcma, Codec::Pcma);
        assert_eq!(payload, [1, 2, 3]);
    }
}
