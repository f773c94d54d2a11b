//! SIGTERM: no new calls, the running ones go on, then exit status 0.

use crate::bad_input::Hand;
use crate::message::status;
use crate::rtp_end::sound;
use crate::service::{STOP_LIMIT, Service, Setup, local};
use crate::silent_caller::Call;
use crate::speaker::Between;
use crate::stage::Stage;
use crate::tiny_agent::{next, response, sdp};
use crate::tone::{strongest, tone};
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// `sip.drain_timeout` of the tests with dead peers.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the last messages of a drain may take after it (`LAST_WORDS_MAX` in `service::control`).
const LAST_WORDS_MAX: Duration = Duration::from_secs(5);

/// Threads that end, the store's last sync, a busy machine.
const SLACK: Duration = Duration::from_secs(2);

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

/// A service that drains for [`DRAIN_TIMEOUT`], a caller and a target that a test moves by hand: what it does not
/// do, nobody does.
struct Dead {
    service: Service,
    caller: Hand,
    target: UdpSocket,
}

impl Dead {
    /// The INVITE is under way to the target.
    fn call(stage: &Stage) -> (Self, String, SocketAddr) {
        let port = crate::ports::one();
        let target = UdpSocket::bind(local(port)).expect("the target's port");
        target
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a read timeout");
        let setup = Setup::new(&[port]).drain_timeout(DRAIN_TIMEOUT);
        let service = setup.start(stage);
        let caller = Hand::new(service.sip);
        caller.send(caller.invite("dead").as_bytes());
        let (invite, from) = next(&target, |text| text.starts_with("INVITE "));
        let dead = Self {
            service,
            caller,
            target,
        };
        (dead, invite, from)
    }

    /// The target has answered; gives the 200 that the caller got.
    fn answered(stage: &Stage) -> (Self, String) {
        let (dead, invite, from) = Self::call(stage);
        let ok = response(&invite, "200 OK", &sdp(&dead.target));
        dead.target.send_to(ok.as_bytes(), from).expect("200 sent");
        next(&dead.target, |text| text.starts_with("ACK "));
        let ok = dead.caller.texts().find(|text| status(text) == Some(200));
        (dead, ok.expect("a 200 for the caller"))
    }

    /// SIGTERM: it waits for the call, then for its last words, and ends well. Gives the one record.
    fn must_end_in_time(mut self) -> Value {
        let begin = Instant::now();
        self.service.terminate();
        self.service
            .must_end(DRAIN_TIMEOUT + LAST_WORDS_MAX + SLACK);
        let took = begin.elapsed();
        assert!(took >= DRAIN_TIMEOUT, "it waited {took:?} only");
        let mut records = self.service.records_now();
        assert_eq!(records.len(), 1, "{records:#?}");
        assert_eq!(records[0]["ended_by"], "qingjiang", "{records:#?}");
        records.remove(0)
    }
}

/// Goal: a target that never answers its INVITE does not hold up the end; the caller is told 503.
#[test]
fn a_dead_target_does_not_hold_up_the_end() {
    let stage = Stage::shared("drain-dead");
    let (dead, _, _) = Dead::call(&stage);
    let caller = dead.caller.another();
    let record = dead.must_end_in_time();
    assert_eq!(record["final_status"], 503, "{record:#}");
    assert!(caller.statuses().any(|status| status == 503));
}

/// Goal: peers that never answer a BYE do not hold up the end, and both have been sent one.
#[test]
fn peers_that_never_answer_our_bye_do_not_hold_up_the_end() {
    let stage = Stage::shared("drain-deaf");
    let (dead, ok) = Dead::answered(&stage);
    dead.caller.send(dead.caller.ack(&ok).as_bytes());
    let caller = dead.caller.another();
    let target = dead.target.try_clone().expect("a second handle");
    let record = dead.must_end_in_time();
    assert_eq!(record["outcome"], "answered", "{record:#}");
    next(&target, |text| text.starts_with("BYE "));
    assert!(caller.texts().any(|text| text.starts_with("BYE ")));
}

/// Goal: nor does a caller who never acknowledges our 200, so that no BYE may be sent to it yet.
#[test]
fn a_caller_without_an_ack_does_not_hold_up_the_end() {
    let stage = Stage::shared("drain-no-ack");
    let (dead, _) = Dead::answered(&stage);
    let target = dead.target.try_clone().expect("a second handle");
    let record = dead.must_end_in_time();
    assert_eq!(record["outcome"], "answered", "{record:#}");
    next(&target, |text| text.starts_with("BYE "));
}
