//! `qingjiang trace`: the ladder of a real call, asked of the running service.

use crate::http;
use crate::rtp_end::RtpEnd;
use crate::service::{QINGJIANG, Service, Setup};
use crate::sipp::{Plan, scenario};
use crate::stage::Stage;
use serde_json::Value;
use std::process::{Command, Output};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// One call that goes as it should; gives the service and the id of its record.
fn one_call(stage: &Stage) -> (Service, String) {
    let media = RtpEnd::open();
    let port = crate::ports::one();
    let service = Setup::new(&[port]).start(stage);
    let mut agent = Plan::agent(stage, "agent", &scenario("basic_call_uas"), port)
        .media(&media)
        .start(25);
    let file = scenario("own/caller_hangs_up_uac");
    let caller = Plan::caller(stage, "caller", &file, service.sip).media(&media);
    caller.talk_ms(700).start(25).must_succeed(LIMIT);
    agent.must_succeed(LIMIT);
    let id = service.record()["id"].as_str().expect("an id").to_owned();
    (service, id)
}

fn trace(service: &Service, arguments: &[&str]) -> Output {
    Command::new(QINGJIANG)
        .arg("trace")
        .args(arguments)
        .args(["--web", &service.web.to_string()])
        .output()
        .expect("qingjiang trace")
}

fn said(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_calls_ladder_is_shown_by_its_records_id_and_masked() {
    let stage = Stage::shared("trace");
    let (service, id) = one_call(&stage);
    let ladder = said(&trace(&service, &[&id]));
    for step in [
        "INVITE --",
        "-- 100 Trying",
        "-- 180 Ringing",
        "-- 200 OK",
        "ACK --",
        "BYE --",
    ] {
        assert!(ladder.contains(step), "{step} is not in\n{ladder}");
    }
    let byes: Vec<&str> = ladder
        .lines()
        .filter(|line| line.contains(" BYE --"))
        .collect();
    let at_s = |line: &str| -> f64 {
        let time = line.split('s').next().unwrap_or_default();
        time.parse().unwrap_or_else(|_| panic!("no time in {line}"))
    };
    assert_eq!(byes.len(), 2, "{ladder}");
    assert!((0.7..5.0).contains(&at_s(byes[0])), "{ladder}");
    assert!(
        ladder
            .lines()
            .nth(4)
            .is_some_and(|line| line.starts_with("0.000s")),
        "{ladder}"
    );
    // A beginning of the id is enough; messages are shown in full, without who called.
    let full = said(&trace(&service, &[&id[..6], "--messages"]));
    assert!(full.starts_with(&ladder), "{full}");
    assert!(
        full.contains("Content-Type: application/sdp") && full.contains("o=*** "),
        "{full}"
    );
    assert!(
        full.contains("sip:***@127.0.0.1") && !full.contains("sip:hotline@"),
        "{full}"
    );
    assert!(full.contains("c=IN IP4 ***"), "{full}");
    // The same over HTTP; by the caller's Call-ID too.
    let path = format!("/api/v1/calls/{id}/trace");
    let (status, json) = http::get(service.web, &path).expect("an answer");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (status, &json["id"], &json["masked"]),
        (200, &Value::from(id.as_str()), &true.into())
    );
    let call_id = json["messages"][0]["call_id"].as_str().expect("a Call-ID");
    assert_eq!(said(&trace(&service, &[call_id])), ladder);
    let list = said(&trace(&service, &[]));
    assert!(list.contains(&id) && list.contains("  200"), "{list}");
    service.stop();
}

#[test]
fn an_id_that_is_not_kept_and_a_service_that_is_not_there_are_said_so() {
    let stage = Stage::shared("trace-unknown");
    let service = Setup::new(&[crate::ports::one()]).start(&stage);
    let unknown = trace(&service, &["no-such-id"]);
    let error = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown.status.code(), Some(1), "{error}");
    assert!(
        error.contains("no SIP messages are kept of a call with this id"),
        "{error}"
    );
    let (status, problem) =
        http::get(service.web, "/api/v1/calls/no-such-id/trace").expect("an answer");
    assert_eq!(status, 404, "{problem}");
    assert!(problem.contains("\"type\":\"about:blank\""), "{problem}");
    let web = service.web;
    service.stop();
    let gone = Command::new(QINGJIANG)
        .args(["trace", "x", "--web", &web.to_string()])
        .output()
        .expect("qingjiang trace");
    assert_eq!(gone.status.code(), Some(1));
    let error = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(error.contains("no service answers at"), "{error}");
}
