//! The harness proved without the service: SIPp against SIPp, our media ends against each other.
//! What these find is no fault of the product.

use crate::audio::prompt;
use crate::load;
use crate::rtp_end::{RtpEnd, sound};
use crate::script;
use crate::service::local;
use crate::sipp::{Plan, scenario};
use crate::speaker::Between;
use crate::stage::Stage;
use crate::stream;
use crate::tone::{strongest, tone};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Goal: a call of two SIPps with our media ends behind them is seen as it is.
#[test]
fn two_sipps_and_two_media_ends() {
    let stage = Stage::shared("sipp-alone");
    let port = crate::ports::one();
    let (caller_media, agent_media) = (RtpEnd::open(), RtpEnd::open());
    let file = scenario("basic_call_uas");
    let mut agent = Plan::agent(&stage, "agent", &file, port)
        .media(&agent_media)
        .start(15);
    let file = scenario("basic_call_uac");
    let mut caller = Plan::caller(&stage, "caller", &file, local(port))
        .media(&caller_media)
        .start(15);
    let voice = caller_media.speak_to(caller.remote_media(LIMIT), Between::Silence);
    voice.say(&tone(440.0, 1.0));
    caller.must_succeed(LIMIT);
    agent.must_succeed(LIMIT);
    let heard = agent_media.heard();
    stream::assert_unbroken(&heard, &[]);
    stream::assert_clock(&heard);
    assert_eq!(stream::markers(&heard), [0]);
    assert_eq!(strongest(&sound(&heard[..50])).0, 440.0);
    assert_eq!(caller.final_status(), Some(200));
    let late_s = agent.received_at_s("BYE").expect("a BYE") - caller.answered_at_s(LIMIT);
    assert!(
        (2.4..2.7).contains(&late_s),
        "the BYE came {late_s:.3} s after the answer"
    );
}

/// Goal: the finder of prompts finds a script that is played as it should be, its times, and no other.
#[test]
fn a_script_is_found_where_it_is() {
    let (service, caller) = (RtpEnd::open(), RtpEnd::open());
    let voice = service.speak_to(local(caller.port), Between::Nothing);
    let begin_s = crate::stage::now_s();
    for id in [script::AFTER_SALES[0], script::AFTER_SALES[1]] {
        std::thread::sleep(Duration::from_secs(1));
        voice.say(&prompt("zh-female", id));
        voice.finish(LIMIT);
    }
    std::thread::sleep(Duration::from_millis(100));
    let packets = caller.heard();
    let heard = script::find_all(&script::AFTER_SALES[..2], &packets);
    script::assert_due(&heard, begin_s + 1.0, 1.0);
    stream::assert_unbroken(&packets, &[]);
    stream::assert_clock(&packets);
    let firsts: Vec<usize> = heard.iter().map(|prompt| prompt.first).collect();
    assert_eq!(stream::markers(&packets), firsts);
    assert!(std::panic::catch_unwind(|| script::assert_due(&heard, begin_s + 1.2, 1.0)).is_err());
    assert!(
        std::panic::catch_unwind(|| script::find_all(&script::AFTER_SALES[1..], &packets)).is_err()
    );
}

/// Goal: the load scenarios with streams of SIPp's own work with many calls at once.
#[test]
fn sipp_streams_many_calls() {
    let stage = Stage::shared("sipp-streams");
    let port = crate::ports::one();
    let audio = load::stream(&stage, "tone", &tone(440.0, 5.0));
    let file = load::with_audio(&stage, "own/load_speaking_uas", &audio, 1);
    let mut agent = Plan::agent(&stage, "agent", &file, port)
        .calls(20, 10)
        .start(15);
    let file = load::with_audio(&stage, "own/load_speaking_uac", &audio, -1);
    let mut caller = Plan::caller(&stage, "caller", &file, local(port))
        .calls(20, 20)
        .talk_ms(2_000)
        .start(15);
    caller.must_succeed(LIMIT);
    agent.must_succeed(LIMIT);
}
