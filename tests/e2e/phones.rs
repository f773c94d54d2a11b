//! baresip at the ends: what one phone played is what the other heard, and the silent story again.

use crate::audio::{
    clip, from_alaw, is_loud, join, likeness, locate, prompt, rms, silence, to_alaw, write_wav,
};
use crate::baresip::Phone;
use crate::rtp_end::RtpEnd;
use crate::script::{self, AFTER_SALES, FIRST_DUE_S, GAP_S};
use crate::service::{Setup, prompts_of};
use crate::sipp::{Plan, scenario};
use crate::stage::Stage;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(20);

/// Samples of a piece that is compared: 300 ms.
const PIECE: usize = 2400;

/// Goal: speech passes both ways between two phones, whole and unharmed.
#[test]
fn two_phones_hear_each_other() {
    let stage = Stage::shared("phones");
    let (caller_says, agent_says) = (
        clip("speech_level_009"),
        prompt("zh-male", "fault-announcement"),
    );
    let mut agent = phone(&stage, "agent", &agent_says);
    let mut caller = phone(&stage, "caller", &caller_says);
    let service = Setup::new(&[agent.port]).start(&stage);
    caller.tell("dial", &format!("sip:hotline@{}", service.sip));
    agent.answer_after(SECOND);
    caller.wait_for("CALL_ESTABLISHED", LIMIT);
    std::thread::sleep(12 * SECOND);
    caller.tell("hangup", "");
    agent.wait_for("CALL_CLOSED", LIMIT);
    let (caller_sent, caller_heard) = caller.finish();
    let (agent_sent, agent_heard) = agent.finish();
    assert_passed(
        "the caller's voice",
        &caller_says,
        &caller_sent,
        &agent_heard,
    );
    assert_passed("the agent's voice", &agent_says, &agent_sent, &caller_heard);
    let record = service.record();
    assert_eq!(record["ended_by"], "caller", "{record:#}");
    assert!(prompts_of(&record).is_empty(), "{record:#}");
    let ring_ms = record["ring_ms"].as_f64().expect("ring_ms");
    assert!((950.0..=1_300.0).contains(&ring_ms), "ring_ms {ring_ms}");
    service.stop();
}

/// Goal: the silent story with a phone as the agent. The phone sends silence all the time, so each
/// prompt is spliced into its stream.
#[test]
fn a_silent_caller_of_a_phone_hears_the_whole_script() {
    let stage = Stage::shared("phone-agent");
    let mut agent = phone(&stage, "agent", &[]);
    let service = Setup::new(&[agent.port]).start(&stage);
    let media = RtpEnd::open();
    let file = scenario("callee_bye_uac");
    let mut caller = Plan::caller(&stage, "caller", &file, service.sip)
        .media(&media)
        .start(60);
    agent.answer_after(SECOND);
    caller.must_succeed(60 * SECOND);
    agent.wait_for("CALL_CLOSED", LIMIT);
    let packets = media.heard();
    let heard = script::find_all(&AFTER_SALES, &packets);
    script::assert_due(&heard, caller.answered_at_s(LIMIT) + FIRST_DUE_S, GAP_S);
    let (_, agent_heard) = agent.finish();
    for id in AFTER_SALES {
        assert_heard(
            "the prompt at the agent",
            &prompt("zh-female", id),
            &agent_heard,
        );
    }
    let record = service.record();
    assert_eq!(prompts_of(&record), AFTER_SALES, "{record:#}");
    assert_eq!(record["ended_by"], "qingjiang", "{record:#}");
    service.stop();
}

/// Goal: the silent story with a phone as the caller, that hears it all and is hung up.
#[test]
fn a_silent_phone_hears_the_whole_script() {
    let stage = Stage::shared("phone-caller");
    let mut caller = phone(&stage, "caller", &[]);
    let port = crate::ports::one();
    let service = Setup::new(&[port]).start(&stage);
    let media = RtpEnd::open();
    let file = scenario("basic_call_uas");
    let mut agent = Plan::agent(&stage, "agent", &file, port)
        .media(&media)
        .start(60);
    caller.tell("dial", &format!("sip:hotline@{}", service.sip));
    caller.wait_for("CALL_CLOSED", 60 * SECOND);
    agent.must_succeed(LIMIT);
    let (_, heard) = caller.finish();
    for id in AFTER_SALES {
        assert_heard("the prompt at the caller", &prompt("zh-female", id), &heard);
    }
    let record = service.record();
    assert_eq!(prompts_of(&record), AFTER_SALES, "{record:#}");
    service.stop();
}

/// Goal: the measuring itself is sound: without a service between them, two phones pass the same test,
/// and recordings with a hole or a stutter do not.
#[test]
fn two_phones_without_a_service_hear_each_other() {
    let stage = Stage::shared("phones-alone");
    let (caller_says, agent_says) = (clip("speech_level_009"), prompt("zh-male", "silent-redial"));
    let mut agent = phone(&stage, "agent", &agent_says);
    let mut caller = phone(&stage, "caller", &caller_says);
    caller.tell("dial", &format!("sip:agent@127.0.0.1:{}", agent.port));
    agent.answer_after(SECOND / 10);
    caller.wait_for("CALL_ESTABLISHED", LIMIT);
    std::thread::sleep(10 * SECOND);
    caller.tell("hangup", "");
    agent.wait_for("CALL_CLOSED", LIMIT);
    let (caller_sent, caller_heard) = caller.finish();
    let (agent_sent, agent_heard) = agent.finish();
    assert_passed(
        "the caller's voice",
        &caller_says,
        &caller_sent,
        &agent_heard,
    );
    assert_passed("the agent's voice", &agent_says, &agent_sent, &caller_heard);
    for hole in [PIECE / 2, PIECE] {
        let mut holed = agent_heard.clone();
        let loudest = holed
            .chunks_exact_mut(hole)
            .max_by(|a, b| rms(a).total_cmp(&rms(b)));
        loudest.expect("a piece of sound").fill(0);
        let worst = worst_piece(&caller_says, &holed);
        assert!(worst < 0.9, "a hole of {hole} samples: {worst:.3}");
    }
    // 10 ms said twice: everything after it is late.
    let stutter = join(&[&agent_heard[..40_000], &agent_heard[39_920..]]);
    assert!(
        worst_piece(&caller_says, &stutter) < 0.9,
        "a stutter is seen"
    );
}

/// A phone that says something and then sends silence for longer than any call here.
fn phone(stage: &Stage, name: &str, says: &[i16]) -> Phone {
    let wav = write_wav(
        stage.path(&format!("{name}.wav")),
        &join(&[says, &silence(60.0)]),
    );
    Phone::start(stage, name, &wav)
}

/// What was to be said was sent, and what was sent was heard.
fn assert_passed(what: &str, says: &[i16], sent: &[i16], heard: &[i16]) {
    assert_heard(&format!("{what}, at its own phone"), says, sent);
    assert_heard(what, says, heard);
}

fn assert_heard(what: &str, said: &[i16], heard: &[i16]) {
    let worst = worst_piece(said, heard);
    assert!(
        worst > 0.9,
        "{what}: a piece is like what was said by {worst:.3} only"
    );
}

/// How like the worst piece of 300 ms is to what was said, at the delay that the loudest second shows.
/// A gap, a repetition or a step in time anywhere makes a piece unlike.
fn worst_piece(said: &[i16], heard: &[i16]) -> f64 {
    let said: Vec<i16> = said
        .iter()
        .map(|sample| from_alaw(to_alaw(*sample)))
        .collect();
    let (at, loudest) = said
        .chunks_exact(8000)
        .enumerate()
        .max_by(|a, b| rms(a.1).total_cmp(&rms(b.1)))
        .expect("a second of sound");
    let (place, sure) = locate(loudest, heard);
    assert!(sure > 0.9, "the loudest second is found by {sure:.3} only");
    let delay = place as i64 - (at * 8000) as i64;
    let pieces = said.chunks_exact(PIECE).enumerate();
    pieces
        .filter(|(_, piece)| is_loud(piece) && rms(piece) > 100.0)
        .map(|(n, piece)| {
            let from = usize::try_from((n * PIECE) as i64 + delay).unwrap_or(0);
            heard
                .get(from..from + PIECE)
                .map_or(0.0, |there| likeness(piece, there))
        })
        .fold(1.0, f64::min)
}
