//! A target that goes and comes back: no caller waits for it meanwhile.

use crate::rtp_end::RtpEnd;
use crate::service::{Service, Setup};
use crate::sipp::{Plan, Sipp, scenario};
use crate::stage::{Stage, wait_for};
use serde_json::Value;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// Two agents that answer OPTIONS and take calls.
struct Floor {
    stage: Stage,
    media: RtpEnd,
    ports: [u16; 2],
}

impl Floor {
    fn agent(&self, name: &str, desk: usize) -> Sipp {
        let file = scenario("own/agent_with_options_uas");
        Plan::agent(&self.stage, name, &file, self.ports[desk])
            .media(&self.media)
            .calls(10_000, 100)
            .start(120)
    }

    /// A call; gives the targets that were tried for it, and its post-dial delay.
    fn call(&self, service: &Service, number: usize) -> (Vec<String>, u64) {
        let file = scenario("own/caller_hangs_up_uac");
        let name = format!("caller{number}");
        let caller = Plan::caller(&self.stage, &name, &file, service.sip).media(&self.media);
        caller.talk_ms(500).start(25).must_succeed(LIMIT);
        let record = service.records(number).pop().expect("a record");
        let attempts = record["attempts"].as_array().expect("attempts");
        let target = |attempt: &Value| attempt["target"].as_str().unwrap_or_default().to_owned();
        let delay = record["post_dial_delay_ms"].as_u64().expect("a delay");
        (attempts.iter().map(target).collect(), delay)
    }
}

fn await_desk(service: &Service, desk: &str, up: f64) {
    wait_for(&format!("{desk} to be {up}"), LIMIT, || {
        let found = service
            .metrics()
            .sum("qingjiang_target_up", &[("agent", desk)]);
        (found == up).then_some(())
    });
}

#[test]
fn a_target_that_is_gone_is_passed_over_until_it_answers_again() {
    let floor = Floor {
        stage: Stage::shared("health"),
        media: RtpEnd::open(),
        ports: [crate::ports::one(), crate::ports::one()],
    };
    let first = floor.agent("first", 0);
    let _second = floor.agent("second", 1);
    let service = Setup::desks(&floor.ports).health("1s").start(&floor.stage);
    let (tried, _) = floor.call(&service, 1);
    assert_eq!(tried, ["desk-1"]);
    drop(first);
    await_desk(&service, "desk-1", 0.0);
    await_desk(&service, "desk-2", 1.0);
    let (tried, delay_ms) = floor.call(&service, 2);
    assert_eq!(tried, ["desk-2"], "the first was not even tried");
    assert!(delay_ms < 1_000, "{delay_ms} ms");
    let _first = floor.agent("first-again", 0);
    await_desk(&service, "desk-1", 1.0);
    let (tried, _) = floor.call(&service, 3);
    assert_eq!(tried, ["desk-1"]);
    let log = service.log();
    let said = |what: &str| {
        let line = log.lines().find(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("{what} is not in\n{log}"))
            .to_owned()
    };
    for line in [said("target is down"), said("target is up again")] {
        assert!(
            line.contains("desk-1") && !line.contains("127.0.0.1"),
            "{line}"
        );
    }
    service.stop();
}
