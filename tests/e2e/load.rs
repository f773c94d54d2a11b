//! Many calls at once, by SIPp's own streams. Each of these tests has the machine alone.

use crate::audio::{clip, from_onset, join, prompt, silence, to_alaw};
use crate::rtp_end::{Packet, RtpEnd};
use crate::script::{AFTER_SALES, Prompt};
use crate::service::{Service, Setup, prompts_of};
use crate::sipp::{Plan, Sipp, scenario};
use crate::stage::Stage;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Calls of one test, in groups of one SIPp each.
const CALLS: u32 = 200;
const GROUPS: u32 = 4;
/// New calls a second in each group.
const RATE: u32 = 3;
/// Calls that must have been up at the same moment.
const AT_ONCE: f64 = 50.0;

const LIMIT_S: u32 = 150;
const LIMIT: Duration = Duration::from_secs(LIMIT_S as u64);

/// Goal: nobody who speaks is ever prompted, 200 calls, over 50 of them at once.
/// Method: four voices, each after its own time (the latest at 3 s); the agents greet.
#[test]
fn two_hundred_callers_who_speak_are_left_alone() {
    let stage = Stage::alone("load-speech");
    let port = crate::ports::one();
    let service = Setup::new(&[port]).calls(CALLS as u16 + 20).start(&stage);
    let greeting = stream(
        &stage,
        "greeting",
        &join(&[&prompt("zh-female", "test-call"), &silence(15.0)]),
    );
    let file = with_audio(&stage, "own/load_speaking_uas", &greeting, 1);
    let mut agent = Plan::agent(&stage, "agent", &file, port)
        .calls(CALLS, 10)
        .start(LIMIT_S);
    let mut callers: Vec<Sipp> = voices()
        .iter()
        .enumerate()
        .map(|(n, voice)| {
            let audio = stream(
                &stage,
                &format!("voice{n}"),
                &join(&[voice, &silence(15.0)]),
            );
            let file = with_audio(&stage, "own/load_speaking_uac", &audio, 1);
            let plan = Plan::caller(&stage, &format!("caller{n}"), &file, service.sip);
            plan.calls(CALLS / GROUPS, RATE)
                .talk_ms(12_000)
                .start(LIMIT_S)
        })
        .collect();
    let at_once = watch(&service, &mut callers);
    callers
        .iter_mut()
        .for_each(|caller| caller.must_succeed(LIMIT));
    agent.must_succeed(LIMIT);
    assert!(at_once >= AT_ONCE, "only {at_once} calls at once");
    assert_eq!(service.prompts_played(), 0.0, "prompts");
    for record in service.records(CALLS as usize) {
        assert!(prompts_of(&record).is_empty(), "{record:#}");
        assert_eq!(
            (&record["outcome"], &record["ended_by"]),
            (&Value::from("answered"), &Value::from("caller"))
        );
        assert!(record["first_speech_ms"].is_u64(), "{record:#}");
    }
    service.stop();
}

/// What the callers say, each after a while.
fn voices() -> [Vec<i16>; GROUPS as usize] {
    let after = |seconds: f64, voice: &[i16]| join(&[&silence(seconds), voice]);
    [
        after(0.5, &clip("speech_level_009")),
        after(3.0, &clip("speech_level_010")),
        after(2.0, &clip("speech_level_015")),
        after(1.2, &from_onset(&prompt("zh-male", "noisy-louder"))),
    ]
}

/// Goal: every silent caller hears the whole script and is hung up; 200 calls, over 50 of them at once.
/// Method: half send nothing and their prompts are counted at our own sockets; half send silence.
#[test]
fn two_hundred_silent_callers_hear_the_whole_script() {
    let stage = Stage::alone("load-silent");
    let port = crate::ports::one();
    let service = Setup::new(&[port]).calls(CALLS as u16 + 20).start(&stage);
    let agents_media = RtpEnd::open();
    let file = scenario("own/load_silent_uas");
    let mut agent = Plan::agent(&stage, "agent", &file, port)
        .media(&agents_media)
        .calls(CALLS, 10)
        .start(LIMIT_S);
    let quiet = stream(&stage, "quiet", &silence(10.0));
    let sends_silence = with_audio(&stage, "own/load_silence_rtp_uac", &quiet, -1);
    let sends_nothing = scenario("own/load_silent_uac");
    let media: Vec<RtpEnd> = (0..GROUPS).map(|_| RtpEnd::open()).collect();
    let mut callers: Vec<Sipp> = media
        .iter()
        .enumerate()
        .map(|(n, media)| {
            let file = if n % 2 == 0 {
                &sends_nothing
            } else {
                &sends_silence
            };
            let plan = Plan::caller(&stage, &format!("caller{n}"), file, service.sip).media(media);
            plan.calls(CALLS / GROUPS, RATE).start(LIMIT_S)
        })
        .collect();
    let at_once = watch(&service, &mut callers);
    callers
        .iter_mut()
        .for_each(|caller| caller.must_succeed(LIMIT));
    agent.must_succeed(LIMIT);
    assert!(at_once >= AT_ONCE, "only {at_once} calls at once");
    for record in service.records(CALLS as usize) {
        assert_eq!(prompts_of(&record), AFTER_SALES, "{record:#}");
        assert_eq!(
            (&record["outcome"], &record["ended_by"]),
            (&Value::from("answered"), &Value::from("qingjiang"))
        );
    }
    let metrics = service.metrics();
    for id in AFTER_SALES {
        assert_eq!(
            metrics.sum("qingjiang_prompts_total", &[("prompt", id)]),
            f64::from(CALLS),
            "{id}"
        );
    }
    for media in media.iter().step_by(2) {
        assert_whole_scripts(&media.heard(), (CALLS / GROUPS) as usize);
    }
    service.stop();
}

/// Each stream carried three prompts from the first to the last packet.
fn assert_whole_scripts(packets: &[Packet], calls: usize) {
    let mut streams: BTreeMap<u32, Vec<&Packet>> = BTreeMap::new();
    for packet in packets {
        streams.entry(packet.ssrc).or_default().push(packet);
    }
    assert_eq!(streams.len(), calls, "streams heard");
    let whole: usize = AFTER_SALES.iter().map(|id| Prompt::of(id).packets()).sum();
    for (ssrc, stream) in streams {
        // By sequence number: what our own socket lost under load is not the service's fault.
        let (first, last) = (stream[0].sequence, stream[stream.len() - 1].sequence);
        assert_eq!(
            usize::from(last.wrapping_sub(first)) + 1,
            whole,
            "packets of stream {ssrc:08x}"
        );
        assert!(
            stream.len() * 100 >= whole * 98,
            "{} of {whole} packets heard",
            stream.len()
        );
        assert!(
            stream.iter().filter(|packet| packet.marker).count() <= 3,
            "a marker a prompt"
        );
    }
}

/// Looks on until the callers are through; gives the most calls seen at one moment.
fn watch(service: &Service, callers: &mut [Sipp]) -> f64 {
    let mut most = 0.0f64;
    while callers.iter_mut().any(Sipp::is_running) {
        most = most.max(service.calls_active());
        std::thread::sleep(Duration::from_millis(500));
    }
    most
}

/// Sound as the raw A-law file that SIPp streams.
pub fn stream(stage: &Stage, name: &str, samples: &[i16]) -> PathBuf {
    let file = stage.path(&format!("{name}.al"));
    let bytes: Vec<u8> = samples.iter().map(|sample| to_alaw(*sample)).collect();
    std::fs::write(&file, bytes).expect("a raw file");
    file
}

/// A copy of the scenario that streams `audio` so many times (-1: for ever), payload type 8.
/// SIPp reads the file's name when it reads the scenario: no keyword is put in there.
pub fn with_audio(stage: &Stage, name: &str, audio: &std::path::Path, times: i32) -> PathBuf {
    let text = std::fs::read_to_string(scenario(name)).expect("a scenario");
    let stem = audio.file_stem().expect("a name").display().to_string();
    let copy = stage.path(&format!("{}-{stem}.xml", name.replace('/', "-")));
    std::fs::write(
        &copy,
        text.replace("@AUDIO@", &format!("{},{times},8", audio.display())),
    )
    .expect("a copy");
    copy
}
