//! Tones: made, and told from one another.

use std::f64::consts::TAU;

/// A sine of half the full scale.
pub fn tone(hertz: f64, seconds: f64) -> Vec<i16> {
    let count = (seconds * 8000.0) as usize;
    (0..count)
        .map(|n| (16_000.0 * (TAU * hertz * n as f64 / 8000.0).sin()) as i16)
        .collect()
}

/// Something like music on hold: chords of three sines that change each half second.
pub fn music(seconds: f64) -> Vec<i16> {
    const CHORDS: [[f64; 3]; 4] = [
        [262.0, 330.0, 392.0],
        [220.0, 262.0, 330.0],
        [349.0, 440.0, 523.0],
        [392.0, 494.0, 587.0],
    ];
    let count = (seconds * 8000.0) as usize;
    let sample = |n: usize| {
        let at = n as f64 / 8000.0;
        let fade = 1.0 - at.fract() * 0.7;
        let chord: f64 = CHORDS[n / 4000 % 4]
            .iter()
            .map(|hertz| (TAU * hertz * at).sin())
            .sum();
        (4_000.0 * fade * chord) as i16
    };
    (0..count).map(sample).collect()
}

/// The strongest frequency, to 10 Hz, and its share of the energy (Goertzel).
pub fn strongest(samples: &[i16]) -> (f64, f64) {
    let energy: f64 = samples
        .iter()
        .map(|sample| f64::from(*sample).powi(2))
        .sum();
    let (hertz, power) = (10..350)
        .map(|ten| {
            (
                f64::from(ten) * 10.0,
                power_at(samples, f64::from(ten) * 10.0),
            )
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .expect("frequencies to look at");
    (hertz, 2.0 * power / (energy * samples.len() as f64 + 1e-9))
}

fn power_at(samples: &[i16], hertz: f64) -> f64 {
    let twice_cos = 2.0 * (TAU * hertz / 8000.0).cos();
    let (last, before) = samples.iter().fold((0.0, 0.0), |(s1, s2), sample| {
        (f64::from(*sample) + twice_cos * s1 - s2, s1)
    });
    last * last + before * before - twice_cos * last * before
}

#[test]
fn the_strongest_frequency_is_found() {
    let (hertz, share) = strongest(&tone(880.0, 0.5));
    assert_eq!(hertz, 880.0);
    assert!(share > 0.99, "{share}");
}
