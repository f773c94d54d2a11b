//! SIGTERM: no new calls, the running ones go on, then exit status 0.

use crate::bad_input::Hand;
use crate::rtp_end::sound;
use crate::service::{STOP_LIMIT, Setup};
use crate::silent_caller::Call;
use crate::speaker::Between;
use crate::stage::Stage;
use crate::tone::{strongest, tone};
use std::time::Duration;

/// Goal: a call that runs when SIGTERM comes is not harmed, and its record is kept.
#[test]
fn sigterm_lets_the_running_call_end() {
    let stage = Stage::shared("drain");
    let mut call = Call::for_ms(&stage, 6_000, Setup::new);
    let agent = call.agent_speaks(Between::Nothing);
    agent.say(&tone(880.0, 5.0));
    std::thread::sleep(Duration::from_millis(1_500));
    let before = call.caller_media.heard().len();
    assert!(before > 40, "audio flows before the signal");
    call.service.terminate();
    std::thread::sleep(Duration::from_millis(300));
    let hand = Hand::new(call.service.sip);
    hand.send(hand.invite("one-more").as_bytes());
    let refusal = hand.statuses().find(|status| *status >= 200);
    assert_eq!(refusal, Some(503), "a new call while it drains");
    assert!(call.service.is_running(), "it waits for the running call");
    call.must_end_well(Duration::from_secs(20));
    let heard = call.caller_media.heard();
    assert!(heard.len() > 230, "only {} packets were heard", heard.len());
    assert_eq!(strongest(&sound(&heard[before..])).0, 880.0);
    call.service.must_end(STOP_LIMIT);
    let mut records = call.service.records_now();
    // The refused call may have left one too.
    records.retain(|record| record["outcome"] == "answered");
    assert_eq!(records.len(), 1, "{records:#?}");
    assert_eq!(records[0]["ended_by"], "caller", "{records:#?}");
}
