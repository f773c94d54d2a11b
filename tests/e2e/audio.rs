//! Sound as 8 kHz samples: files, the two laws of G.711, likeness of two recordings.

use std::path::{Path, PathBuf};

/// Samples in 20 ms.
pub const FRAME: usize = 160;

/// Seconds of one frame.
pub const FRAME_S: f64 = 0.02;

/// A-law of a zero sample.
pub const ALAW_SILENCE: u8 = 0xD5;

/// A shipped prompt, by voice and id.
pub fn prompt(voice: &str, id: &str) -> Vec<i16> {
    read_wav(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/prompts/{voice}/{id}.wav")),
    )
}

/// A clip of `fixtures/audio/e2e`, from the first loud frame on.
pub fn clip(name: &str) -> Vec<i16> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/audio/e2e/{name}.wav"));
    from_onset(&read_wav(&file))
}

/// The samples without what is quiet before them.
pub fn from_onset(samples: &[i16]) -> Vec<i16> {
    let quiet = samples
        .chunks(FRAME)
        .take_while(|frame| !is_loud(frame))
        .count();
    samples[quiet * FRAME..].to_vec()
}

/// Whether a listener would notice these samples: a peak over -44 dBov.
pub fn is_loud(frame: &[i16]) -> bool {
    frame.iter().any(|sample| sample.unsigned_abs() > 200)
}

/// Reads a mono WAV of 8 kHz and 16 bit.
pub fn read_wav(file: &Path) -> Vec<i16> {
    let mut wav =
        hound::WavReader::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let spec = wav.spec();
    assert_eq!(
        (spec.sample_rate, spec.channels, spec.bits_per_sample),
        (8000, 1, 16),
        "{}",
        file.display()
    );
    wav.samples()
        .map(|sample| sample.expect("a sample"))
        .collect()
}

/// Writes a mono WAV of 8 kHz and 16 bit.
pub fn write_wav(file: PathBuf, samples: &[i16]) -> PathBuf {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&file, spec).expect("a WAV file");
    samples
        .iter()
        .for_each(|sample| wav.write_sample(*sample).expect("a sample written"));
    wav.finalize().expect("a WAV file closed");
    file
}

/// Zero samples.
pub fn silence(seconds: f64) -> Vec<i16> {
    vec![0; (seconds * 8000.0) as usize]
}

/// Pieces one after the other.
pub fn join(pieces: &[&[i16]]) -> Vec<i16> {
    pieces.concat()
}

/// A sample as A-law (ITU-T G.711, even bits inverted).
pub fn to_alaw(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    let magnitude = if sample >= 0 {
        sample >> 4
    } else {
        !sample >> 4
    };
    let exponent = (1..8)
        .rev()
        .find(|e| magnitude >> (e + 3) != 0)
        .unwrap_or(0);
    let mantissa = magnitude >> (exponent.max(1) - 1) & 0x0F;
    (sign | (exponent << 4) as u8 | mantissa as u8) ^ 0x55
}

/// A-law as a sample.
pub fn from_alaw(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let mantissa = i16::from(code & 0x0F) << 4 | 8;
    let magnitude = match code >> 4 & 7 {
        0 => mantissa,
        exponent => (mantissa | 0x100) << (exponent - 1),
    };
    if code & 0x80 != 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// µ-law as a sample.
pub fn from_ulaw(byte: u8) -> i16 {
    let code = !byte;
    let magnitude = ((i16::from(code & 0x0F) << 3 | 0x84) << (code >> 4 & 7)) - 0x84;
    if code & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// Root of the mean square.
pub fn rms(samples: &[i16]) -> f64 {
    let energy: f64 = samples
        .iter()
        .map(|sample| f64::from(*sample).powi(2))
        .sum();
    (energy / samples.len().max(1) as f64).sqrt()
}

/// The normalised correlation of two recordings of the same length, -1 to 1.
pub fn likeness(a: &[i16], b: &[i16]) -> f64 {
    likeness_of(a.iter().zip(b))
}

fn likeness_of<'a>(pairs: impl Iterator<Item = (&'a i16, &'a i16)>) -> f64 {
    let (mut ab, mut aa, mut bb) = (0i64, 1i64, 1i64);
    for (x, y) in pairs {
        let (x, y) = (i64::from(*x), i64::from(*y));
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    ab as f64 / (aa as f64 * bb as f64).sqrt()
}

/// Where in `heard` the piece `said` is found best: the first sample's place, and the likeness there.
pub fn locate(said: &[i16], heard: &[i16]) -> (usize, f64) {
    let places = heard.len().saturating_sub(said.len());
    // Every fourth sample first: speech on a telephone changes little within half a millisecond.
    let rough = |place: &usize| {
        let there = &heard[*place..*place + said.len()];
        likeness_of(said.iter().step_by(4).zip(there.iter().step_by(4)))
    };
    let rough = best(0..=places, rough);
    let fine = |place: &usize| likeness(said, &heard[*place..*place + said.len()]);
    let place = best(rough.saturating_sub(8)..=(rough + 8).min(places), fine);
    (place, fine(&place))
}

fn best(places: std::ops::RangeInclusive<usize>, score: impl Fn(&usize) -> f64) -> usize {
    places
        .map(|place| (score(&place), place))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(0, |(_, place)| place)
}

#[test]
fn alaw_goes_there_and_back() {
    assert_eq!(to_alaw(0), ALAW_SILENCE);
    for byte in 0..=255 {
        assert_eq!(to_alaw(from_alaw(byte)), byte);
    }
    // Table 1a of G.711: the decision values of the last chord.
    assert_eq!(from_alaw(0x2A), -32256);
    assert_eq!(from_ulaw(0x80), 32124);
    assert_eq!(from_ulaw(0xFF), 0);
}

#[test]
fn a_piece_is_found_where_it_is() {
    let said: Vec<i16> = (0..2000)
        .map(|n: i32| ((n * n / 7) % 2001 - 1000) as i16)
        .collect();
    let heard = join(&[&silence(0.1), &said, &silence(0.2)]);
    let (place, likeness) = locate(&said, &heard);
    assert_eq!(place, 800);
    assert!(likeness > 0.999);
}
