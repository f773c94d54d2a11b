//! Calls in which nothing may be played: somebody has spoken, nobody has been connected yet, or a leg is on hold.

use crate::audio::{FRAME, FRAME_S, clip, is_loud, join, prompt, silence};
use crate::rtp_end::{Packet, sound};
use crate::service::{HOTLINE, Setup, prompts_of};
use crate::silent_caller::Call;
use crate::speaker::Between;
use crate::stage::Stage;
use crate::stream;
use crate::tone::music;
use std::time::Duration;

/// Goal: a caller who has spoken once is never treated, whatever the pauses of the agent.
#[test]
fn an_agent_who_explains_is_not_interrupted() {
    let stage = Stage::shared("explains");
    let mut call = Call::for_ms(&stage, 33_000, Setup::new);
    let caller = call.caller_speaks(Between::Silence);
    let agent = call.agent_speaks(Between::Silence);
    caller.say(&join(&[&silence(0.8), &hello()]));
    agent.say(&explanation(30.0));
    call.must_end_well(Duration::from_secs(60));
    assert_only_the_agent_is_heard(&call, &agent.sent());
    let record = call.service.record();
    assert!(prompts_of(&record).is_empty(), "{record:#}");
    assert_eq!(record["ended_by"], "caller", "{record:#}");
    let first_ms = record["first_speech_ms"].as_f64().expect("first_speech_ms");
    assert!(
        (500.0..2_500.0).contains(&first_ms),
        "first speech after {first_ms} ms"
    );
    call.service.stop();
}

/// One short word.
fn hello() -> Vec<i16> {
    let mut word = clip("speech_short_009");
    word.truncate(8000);
    word
}

/// Sentences with pauses of 1.5, 3, 4.5 s between them.
fn explanation(seconds: f64) -> Vec<i16> {
    let mut said = prompt("zh-male", "callback-greeting");
    let sentences = ["weak-signal-move", "hold-callback-offer", "survey-ask"]
        .iter()
        .cycle();
    for (sentence, pause_s) in sentences.zip([1.5, 3.0, 4.5].iter().cycle()) {
        said.extend(silence(*pause_s));
        said.extend(prompt("zh-male", sentence));
        if said.len() as f64 / 8000.0 > seconds {
            break;
        }
    }
    said
}

/// Goal: while a queue plays music nobody has been connected, so no clock runs (R1).
#[test]
fn a_queue_that_plays_music_is_never_treated() {
    let stage = Stage::shared("queue");
    let mut call = Call::for_ms(&stage, 62_000, |ports| Setup::queue(ports[0]));
    let agent = call.agent_speaks(Between::Nothing);
    agent.say(&music(60.0));
    call.must_end_well(Duration::from_secs(90));
    assert_only_the_agent_is_heard(&call, &agent.sent());
    let record = call.service.record();
    assert!(prompts_of(&record).is_empty(), "{record:#}");
    let metrics = call.service.metrics();
    assert_eq!(
        metrics.sum(
            "qingjiang_findings_total",
            &[("hotline", HOTLINE), ("kind", "silent_caller")]
        ),
        0.0
    );
    call.service.stop();
}

/// Goal: a caller on hold cannot answer a question, nor hear it: nothing is asked, though nobody speaks for longer
/// than the whole script takes. The caller sends silence, as a PBX without music on hold does.
fn assert_held_caller_is_left_alone(test: &str, address: &str, direction: &str) {
    let stage = Stage::shared(test);
    let mut call = Call::on_hold_for_ms(&stage, 30_000, address, direction);
    let _holding = call.caller_speaks(Between::Silence);
    call.must_end_well(Duration::from_secs(60));
    assert_eq!(call.caller_media.heard().len(), 0, "it receives nothing");
    let heard = sound(&call.agent_media.heard());
    assert!(heard.len() > 20 * 8_000, "the agent hears the line");
    assert!(!heard.chunks(FRAME).any(is_loud), "and nothing else");
    let record = call.service.record();
    assert!(prompts_of(&record).is_empty(), "{record:#}");
    assert_eq!(record["findings"], serde_json::json!([]), "{record:#}");
    assert_eq!(record["ended_by"], "caller", "{record:#}");
    assert_eq!(call.service.prompts_played(), 0.0);
    call.service.stop();
}

#[test]
fn a_caller_on_hold_by_address_is_left_alone() {
    assert_held_caller_is_left_alone("hold-c0", "0.0.0.0", "sendrecv");
}

#[test]
fn a_caller_on_hold_by_direction_is_left_alone() {
    assert_held_caller_is_left_alone("hold-sendonly", "127.0.0.1", "sendonly");
}

/// The caller's stream is the agent's, packet for packet and byte for byte, soon after it was sent.
fn assert_only_the_agent_is_heard(call: &Call, sent: &[Packet]) {
    let heard = call.caller_media.heard();
    stream::assert_unbroken(&heard, &[]);
    stream::assert_clock(&heard);
    // The first may be dropped before the caller's address is known, the last come after the BYE.
    let is_same = |skipped: &usize| {
        heard
            .iter()
            .zip(&sent[*skipped..])
            .all(|(heard, sent)| heard.payload == sent.payload)
    };
    let skipped = (0..=5)
        .find(is_same)
        .expect("every byte as the agent sent it");
    assert!(
        heard.len() + skipped + 50 > sent.len(),
        "{} of {} packets heard",
        heard.len(),
        sent.len()
    );
    let mut delays: Vec<f64> = Vec::new();
    for (sent, heard) in sent[skipped..].iter().zip(&heard) {
        delays.push(heard.at_s - sent.at_s);
    }
    delays.sort_by(f64::total_cmp);
    let median = delays[delays.len() / 2];
    assert!(
        median < FRAME_S / 2.0,
        "half the packets took over {:.1} ms",
        median * 1000.0
    );
}
