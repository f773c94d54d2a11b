//! SIGHUP: the file is read again, running calls go on as they began, and a bad file changes nothing.

use crate::rtp_end::RtpEnd;
use crate::service::Setup;
use crate::sipp::{Plan, Sipp, scenario};
use crate::stage::{Stage, wait_for};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// Goal: the next call goes by the new file while the one before goes on with the agent that it has; both are in the
/// records and in one counter each. Then a file with faults, and one that needs a restart, are told and change nothing.
#[test]
fn a_reload_is_for_new_calls_and_a_bad_file_for_none() {
    let stage = Stage::shared("reload");
    let media = RtpEnd::open();
    let ports = [crate::ports::one(), crate::ports::one()];
    let agent = |name: &str, port: u16| {
        Plan::agent(&stage, name, &scenario("basic_call_uas"), port)
            .media(&media)
            .start(30)
    };
    let mut agents = [
        agent("first-agent", ports[0]),
        agent("second-agent", ports[1]),
    ];
    let mut service = Setup::new(&ports[..1]).start(&stage);
    let call = |name: &str, talk_ms: u32, sip| -> Sipp {
        Plan::caller(&stage, name, &scenario("own/caller_hangs_up_uac"), sip)
            .media(&media)
            .talk_ms(talk_ms)
            .start(30)
    };
    let mut first = call("first-caller", 5_000, service.sip);
    wait_for("the first call", LIMIT, || {
        Some(()).filter(|()| service.calls_active() == 1.0)
    });
    first.answered_at_s(LIMIT);

    let [old, new] = ports.map(|port| format!("\"sip:agent@127.0.0.1:{port}\""));
    let new = format!("{{ uri = {new}, name = \"second\" }}");
    let said = service.reload(&old, &new);
    assert!(said.contains("configuration reloaded"), "{said}");
    let said = service.reload("profile = \"after-sales\"", "profile = \"afters-sales\"");
    assert!(
        said.contains("not reloaded") && said.contains("afters-sales"),
        "{said}"
    );
    let said = service.reload("udp:127.0.0.1", "udp:127.0.0.2");
    assert!(said.contains("restart") && said.contains("sip"), "{said}");

    let mut second = call("second-caller", 500, service.sip);
    second.must_succeed(LIMIT);
    assert_eq!(service.calls_active(), 1.0, "the first call goes on");
    first.must_succeed(LIMIT);
    agents
        .iter_mut()
        .for_each(|agent| agent.must_succeed(LIMIT));
    let records = service.records(2);
    let agent_of = |record: &serde_json::Value| record["agent"].as_str().map(str::to_owned);
    let names: Vec<_> = records.iter().map(agent_of).collect();
    assert_eq!(names, [Some("pbx".to_owned()), Some("second".to_owned())]);
    service.await_metric("qingjiang_calls_answered_total", 2.0);
    service.stop();
}
