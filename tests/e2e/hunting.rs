//! Targets are hunted in order; the last result decides.

use crate::rtp_end::RtpEnd;
use crate::service::{Service, Setup};
use crate::sipp::{Plan, Sipp, scenario};
use crate::stage::Stage;
use serde_json::Value;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// Agents that act as the scenarios say, and a call to them.
struct Hunt {
    stage: Stage,
    service: Service,
    agents: Vec<Sipp>,
    media: RtpEnd,
}

impl Hunt {
    fn new(test: &str, agents: &[&str]) -> Self {
        let stage = Stage::shared(test);
        let media = RtpEnd::open();
        let ports: Vec<u16> = agents.iter().map(|_| crate::ports::one()).collect();
        let service = Setup::new(&ports).ring_timeout("2s").start(&stage);
        let start = |(n, (file, port)): (usize, (&&str, &u16))| {
            Plan::agent(&stage, &format!("agent{n}"), &scenario(file), *port)
                .media(&media)
                .start(30)
        };
        let agents = agents.iter().zip(&ports).enumerate().map(start).collect();
        Self {
            stage,
            service,
            agents,
            media,
        }
    }

    /// Calls; all must go as the scenarios say. Gives the attempts' outcomes and the record.
    fn call(mut self, caller: &str) -> (Vec<String>, Value) {
        let file = scenario(caller);
        let plan = Plan::caller(&self.stage, "caller", &file, self.service.sip).media(&self.media);
        plan.talk_ms(500).start(25).must_succeed(LIMIT);
        self.agents
            .iter_mut()
            .for_each(|agent| agent.must_succeed(LIMIT));
        let record = self.service.record();
        let attempts = record["attempts"]
            .as_array()
            .unwrap_or_else(|| panic!("no attempts in {record:#}"));
        let outcome = |attempt: &Value| attempt["outcome"].as_str().unwrap_or_default().to_owned();
        let outcomes = attempts.iter().map(outcome).collect();
        self.service.stop();
        (outcomes, record)
    }
}

#[test]
fn a_busy_agent_is_passed_over() {
    let hunt = Hunt::new("busy", &["callee_486_uas", "basic_call_uas"]);
    let (outcomes, record) = hunt.call("own/caller_hangs_up_uac");
    assert_eq!(outcomes, ["busy", "answered"]);
    assert_eq!(record["outcome"], "answered", "{record:#}");
}

#[test]
fn an_agent_who_does_not_answer_is_cancelled_and_passed_over() {
    let hunt = Hunt::new("no-answer", &["callee_no_answer_uas", "basic_call_uas"]);
    let (outcomes, record) = hunt.call("own/caller_hangs_up_uac");
    assert_eq!(outcomes, ["no_answer", "answered"]);
    let ring_ms = record["attempts"][0]["ring_ms"].as_f64().expect("ring_ms");
    assert!((1_900.0..=2_100.0).contains(&ring_ms), "{record:#}");
    assert_eq!(record["outcome"], "answered", "{record:#}");
}

#[test]
fn the_last_result_decides() {
    let hunt = Hunt::new(
        "all-refuse",
        &["callee_603_uas", "callee_404_uas", "callee_486_uas"],
    );
    let (outcomes, record) = hunt.call("callee_486_uac");
    assert_eq!(outcomes.len(), 3, "{record:#}");
    assert_eq!(outcomes[2], "busy", "{record:#}");
    assert_eq!(record["final_status"], 486, "{record:#}");
}
