//! Phone lines against each other on real sockets: the tests wait for real time, and are short.

use super::*;
use crate::base::codec::Codec;
use crate::base::time::Instant;
use crate::phone::audio::{Heard, Sound, samples_of_wav};
use crate::phone::behaviour::{Behaviour, Incoming, Outgoing, Reply, Ring};
use crate::phone::{EndedBy, Event};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};

const SPEECH: &[u8] = include_bytes!("../../../fixtures/audio/speech-zh.wav");
/// Tests that measure time or load do so alone.
static ALONE: Mutex<()> = Mutex::new(());

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const MS: fn(u64) -> Duration = Duration::from_millis;
const PATIENCE: Duration = Duration::from_secs(20);

/// A late wake-up of a busy machine.
const LATE: Duration = Duration::from_millis(400);

fn callee(ring: u64, answer: u64) -> PhoneSettings {
    let incoming = Incoming {
        ring: Ring::After(MS(ring)),
        reply: Reply::Answer(MS(answer)),
        hang_up_after: None,
    };
    PhoneSettings {
        behaviour: Behaviour {
            incoming,
            outgoing: Outgoing::default(),
        },
        record: true,
        ..PhoneSettings::at(LOCAL)
    }
}

fn start(settings: PhoneSettings) -> PhoneLine {
    PhoneLine::start(settings).expect("a line on loopback")
}

fn calling(line: &PhoneLine) -> Calling {
    let address = line.local_addr();
    Calling::new(&format!("sip:hotline@{address}"), address, "13800000000").expect("a URI")
}

fn wait(line: &PhoneLine, wanted: impl Fn(&What) -> bool) -> LineEvent {
    line.wait_for(PATIENCE, |event| wanted(&event.what))
        .expect("the event")
}

fn is_answered(what: &What) -> bool {
    matches!(what, What::Call(Event::Answered(_)))
}

fn is_end(what: &What) -> bool {
    matches!(what, What::Call(Event::Ended { .. }))
}

fn assert_about(since: Instant, at: Instant, due: u64) {
    let after = at - since;
    assert!(
        after >= MS(due) && after < MS(due) + LATE,
        "{after:?} instead of {due} ms"
    );
}

/// The likeness (1: the same shape) of `said` and the piece of `heard` that is most like it, and where that begins.
fn best_match(said: &[i16], heard: &[i16], lags: usize) -> (f64, usize) {
    let energy = |samples: &[i16]| -> f64 { samples.iter().map(|s| f64::from(*s).powi(2)).sum() };
    let likeness = |lag: usize| {
        let piece = &heard[lag..lag + said.len()];
        let product: f64 = said
            .iter()
            .zip(piece)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum();
        product / (energy(said) * energy(piece)).sqrt().max(1.0)
    };
    let all = (0..lags).map(|lag| (likeness(lag), lag));
    all.max_by(|a, b| a.0.total_cmp(&b.0)).expect("lags")
}

#[test]
fn a_voice_is_heard_at_the_other_end_and_the_events_come_in_time() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let speech = samples_of_wav(SPEECH).expect("a WAV file");
    let said = speech[12_000..28_000].to_vec();
    let agent = start(callee(200, 600));
    let caller = start(PhoneSettings::at(LOCAL));
    let dialled = clock::now();
    let call = caller.dial(calling(&agent).saying(Sound::once(said.clone())));
    let ringing = wait(&caller, |what| *what == What::Call(Event::Ringing));
    assert_about(dialled, ringing.at, 200);
    let answered = wait(&caller, is_answered);
    assert_eq!(answered.call, call);
    assert_about(dialled, answered.at, 600);
    let began = wait(&agent, |what| *what == What::Heard(Heard::SoundBegan));
    assert_about(answered.at, began.at, 0);
    wait(&agent, |what| *what == What::Heard(Heard::SoundEnded));
    caller.hang_up(call);
    let ended = wait(&caller, is_end);
    let (by, status) = (EndedBy::Us, 200);
    assert_eq!(ended.what, What::Call(Event::Ended { by, status }));
    let ended = wait(&agent, is_end);
    let (by, status) = (EndedBy::Peer, 200);
    assert_eq!(ended.what, What::Call(Event::Ended { by, status }));

    assert_eq!(
        agent.wait_for(MS(300), |_| true),
        None,
        "nothing after the end"
    );
    let recordings = agent.stop();
    let audio = recordings.of(CallId::In(0)).expect("the call");
    let recording = audio.recording.as_ref().expect("a recording");
    let until = recording.instant_of(recording.samples.len());
    assert!(until - ended.at < MS(60), "audio ends with the call");
    assert_eq!((audio.stats.ssrcs.len(), recordings.events_lost), (1, 0));
    assert!(
        audio.stats.received > 100 && audio.stats.sent > 100,
        "{:?}",
        audio.stats
    );
    let heard = &recording.samples;
    let (likeness, lag) = best_match(&said[..8_000], &heard[..16_000], 4_000);
    assert!(likeness > 0.99, "{likeness} at {lag}");
    let (likeness, again) = best_match(&said[8_000..], &heard[8_000..], 4_000);
    assert!(
        likeness > 0.99 && again.abs_diff(lag) <= 8,
        "{likeness} at {again}, not {lag}"
    );
    assert_eq!(caller.stop().calls.len(), 1);
}

#[test]
fn a_phone_that_says_nothing_sends_no_packet() {
    let agent = start(callee(0, 0));
    let caller = start(PhoneSettings {
        sound: Sound::Nothing,
        ..PhoneSettings::at(LOCAL)
    });
    let call = caller.dial(calling(&agent));
    wait(&caller, is_answered);
    wait(&caller, |what| *what == What::Heard(Heard::FirstRtp));
    let (caller, agent) = (caller.stop(), agent.stop());
    assert_eq!(caller.of(call).map(|audio| audio.stats.sent), Some(0));
    let audio = agent.of(CallId::In(0)).expect("the call");
    assert_eq!(
        (audio.stats.received, audio.stats.first_received_at),
        (0, None)
    );
    assert!(audio.stats.sent > 0);
}

#[test]
fn a_line_that_is_dropped_hangs_up() {
    let agent = start(callee(0, 0));
    let caller = start(PhoneSettings::at(LOCAL));
    caller.dial(calling(&agent));
    wait(&caller, is_answered);
    drop(caller);
    let ended = wait(&agent, is_end);
    let (by, status) = (EndedBy::Peer, 200);
    assert_eq!(ended.what, What::Call(Event::Ended { by, status }));
}

/// Goal: one thread carries a hundred calls. Method: two lines, 100 calls for two seconds, packets counted.
#[test]
fn a_line_carries_a_hundred_calls() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let agent = start(callee(0, 0));
    let mut settings = PhoneSettings::at(LOCAL);
    settings.behaviour.outgoing.hang_up_after = Some(Duration::from_secs(2));
    settings.sound = Sound::Tone(440);
    settings.codecs = vec![Codec::Pcmu];
    let caller = start(settings);
    let calls: Vec<CallId> = (0..100).map(|_| caller.dial(calling(&agent))).collect();
    for _ in &calls {
        let ended = wait(&caller, is_end);
        let (by, status) = (EndedBy::Us, 200);
        assert_eq!(ended.what, What::Call(Event::Ended { by, status }));
    }
    let (caller, agent) = (caller.stop(), agent.stop());
    assert_eq!((caller.calls.len(), agent.calls.len()), (100, 100));
    for audio in caller.calls.iter().chain(&agent.calls) {
        let stats = &audio.stats;
        assert!((90..=150).contains(&stats.sent), "{stats:?}");
        assert!(stats.received >= 90 && stats.ssrcs.len() == 1, "{stats:?}");
    }
    let heard = agent.calls[0].recording.as_ref().expect("a recording");
    assert!(
        (15_000..=17_000).contains(&heard.samples.len()),
        "{}",
        heard.samples.len()
    );
}

#[test]
fn a_recording_becomes_a_wav_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("heard.wav");
    write_wav(&path, &[1, -2, 3]).expect("a file");
    let bytes = std::fs::read(&path).expect("the file");
    assert_eq!(samples_of_wav(&bytes), Ok(vec![1, -2, 3]));
}

#[test]
fn an_address_that_no_peer_can_be_told_is_refused() {
    let settings = PhoneSettings::at(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let refused = PhoneLine::start(settings).map(|line| line.local_addr());
    assert_eq!(
        refused.map_err(|e| e.kind()),
        Err(io::ErrorKind::InvalidInput)
    );
}
