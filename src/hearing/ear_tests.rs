use super::*;
use crate::hearing::webrtc::WebRtcVad;
use std::path::Path;

/// Says that frames are speech which begin with a 1.
struct Scripted;

impl Vad for Scripted {
    fn is_speech(&mut self, frame: &Frame) -> bool {
        frame[0] == 1
    }

    fn reset(&mut self) {}
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn clip(path: &str) -> Vec<i16> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let reader = hound::WavReader::open(&path).expect("the clip is in the repository");
    reader.into_samples().map(Result::unwrap).collect()
}

/// A loud frame that [`Scripted`] calls speech, or not.
fn frame(speech: bool) -> Frame {
    let mut frame = [3_000; 160];
    frame[0] = if speech { 1 } else { 2 };
    frame
}

/// Plays samples in packets of `ms` milliseconds from second 10 on; what is told, with the
/// milliseconds since then.
fn listen<V: Vad>(ear: &mut Ear<V>, samples: &[i16], ms: usize) -> Vec<(u64, Voice)> {
    let mut told = Vec::new();
    for (n, packet) in samples.chunks_exact(8 * ms).enumerate() {
        let since = ((n + 1) * ms) as u64;
        ear.on_audio(at(10_000 + since), packet.iter().copied());
        while let Some(voice) = ear.poll() {
            told.push((since, voice));
        }
    }
    told
}

fn real(samples: &[i16], ms: usize) -> Vec<(u64, Voice)> {
    listen(&mut Ear::new(WebRtcVad::new()), samples, ms)
}

/// Milliseconds since second 10.
fn since(instant: Instant) -> u64 {
    instant.millis_since(at(10_000))
}

#[test]
fn packets_of_any_length_are_heard_alike() {
    let frames = [vec![frame(false); 30], vec![frame(true); 30]].concat();
    let samples = frames.concat();
    for ms in [10, 20, 30, 40, 60] {
        let told = listen(&mut Ear::new(Scripted), &samples, ms);
        let &[(found, Voice::Began { at })] = told.as_slice() else {
            panic!("{ms} ms: {told:?}");
        };
        assert_eq!(since(at), 600, "{ms} ms");
        assert!((800..860).contains(&found), "{ms} ms: {found}");
    }
}

#[test]
fn a_gap_between_packets_is_not_speech() {
    let mut ear = Ear::new(Scripted);
    listen(&mut ear, &vec![frame(true); 9].concat(), 20);
    // 160 ms later: the nine are still in the window, but seven absent ones are too.
    for n in 0..8 {
        ear.on_audio(at(10_340 + 20 * n), frame(true).into_iter());
    }
    assert!(!ear.speaking(), "8 of the last 15");
    let mut jitter = Ear::new(Scripted);
    listen(&mut jitter, &vec![frame(true); 9].concat(), 20);
    jitter.on_audio(at(10_235), frame(true).into_iter());
    assert!(jitter.speaking(), "35 ms late is jitter");
}

#[test]
fn a_leg_that_sends_nothing_more_falls_silent_by_the_clock() {
    let mut ear = Ear::new(Scripted);
    listen(&mut ear, &vec![frame(true); 20].concat(), 20);
    assert_eq!(ear.next_deadline(), Some(at(11_100)));
    ear.on_tick(at(11_099));
    assert_eq!(ear.poll(), None);
    ear.on_tick(at(11_100));
    assert_eq!(ear.poll(), Some(Voice::Ended { at: at(10_400) }));
    assert_eq!(ear.next_deadline(), None);
}

#[test]
fn an_overdue_end_is_told_before_the_next_beginning() {
    let mut ear = Ear::new(Scripted);
    listen(&mut ear, &vec![frame(true); 20].concat(), 20);
    let samples = vec![frame(true); 10].concat();
    ear.on_audio(at(20_000), samples.into_iter());
    assert_eq!(ear.poll(), Some(Voice::Ended { at: at(10_400) }));
    assert_eq!(ear.poll(), Some(Voice::Began { at: at(19_800) }));
    assert_eq!(ear.poll(), None);
}

#[test]
fn quiet_frames_are_not_speech_whatever_the_detector_says() {
    let mut ear = Ear::new(Scripted);
    let mut quiet = [100; 160];
    quiet[0] = 1;
    assert!(level_dbov(&quiet) < SPEECH_LEVEL_MIN_DBOV);
    assert!(listen(&mut ear, &vec![quiet; 40].concat(), 20).is_empty());
    let level = ear.take_level_max_dbov().unwrap();
    assert!((level + 50.3).abs() < 0.1, "{level}");
    assert_eq!(ear.take_level_max_dbov(), None);
}

#[test]
fn a_reset_ear_starts_cold() {
    let mut ear = Ear::new(Scripted);
    listen(&mut ear, &vec![frame(true); 20].concat(), 20);
    ear.reset();
    assert!(!ear.speaking() && ear.last_onset().is_none() && ear.next_deadline().is_none());
    let nine = vec![frame(true); 9].concat();
    assert!(listen(&mut ear, &nine, 20).is_empty());
}

#[test]
fn real_speech_is_found_within_half_a_second_of_its_onset() {
    // Onsets in ms as said beside the clips.
    for (path, onset) in [
        ("fixtures/audio/speech-zh.wav", 1_480),
        ("fixtures/audio/speech-it.wav", 3_400),
        ("fixtures/audio/speech-short-it.wav", 1_500),
    ] {
        let told = real(&clip(path), 20);
        let &(found, Voice::Began { at }) = told.first().expect(path) else {
            panic!("{path}: {told:?}");
        };
        assert!((onset..onset + 500).contains(&found), "{path}: {found}");
        assert!(since(at) + 300 >= onset && since(at) <= found, "{path}");
    }
}

#[test]
fn prompts_are_speech_too_and_end_700_ms_after_their_last_word() {
    for voice in ["zh-female", "zh-male", "en-female"] {
        let path = format!("config/prompts/{voice}/silent-can-you-hear.wav");
        let mut samples = clip(&path);
        let first_loud = samples
            .iter()
            .position(|sample| sample.abs() > 500)
            .unwrap() as u64
            / 8;
        samples.resize(samples.len() + 8 * 3_000, 0);
        let told = real(&samples, 20);
        let &(found, Voice::Began { .. }) = told.first().expect(voice) else {
            panic!("{voice}: {told:?}");
        };
        assert!(
            found <= first_loud + 500,
            "{voice}: {found} of {first_loud}"
        );
        let &(found, Voice::Ended { at }) = told.last().expect(voice) else {
            panic!("{voice}: {told:?}");
        };
        assert_eq!(found, since(at) + 700, "{voice}");
        let last_loud = samples
            .iter()
            .rposition(|sample| sample.abs() > 500)
            .unwrap() as u64
            / 8;
        assert!(since(at) + 100 > last_loud, "{voice}: {told:?}");
    }
}

#[test]
fn silence_and_low_noise_are_not_speech() {
    for path in [
        "fixtures/audio/silence.wav",
        "fixtures/audio/comfort-noise.wav",
    ] {
        assert_eq!(real(&clip(path), 20), [], "{path}");
    }
    let mut random = crate::base::random::Random::from_number(5);
    let noise: Vec<i16> = (0..80_000)
        .map(|_| random.below(200) as i16 - 100)
        .collect();
    assert_eq!(real(&noise, 20), []);
    assert_eq!(real(&[8; 80_000], 30), []);
}
