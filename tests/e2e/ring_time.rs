//! Ring times in the records against the agent's own clock.

use crate::rtp_end::RtpEnd;
use crate::service::Setup;
use crate::sipp::{Plan, scenario};
use crate::stage::Stage;
use crate::tiny_agent::TinyAgent;
use std::time::Duration;

/// How far the record may be from the agent's own measurement.
const TOLERANCE_MS: f64 = 10.0;

/// Goal: ring time is the agent's, from its 180 to its 200, whatever its length.
/// Method: one call after the other to an agent that notes when it sent what.
#[test]
fn ring_time_in_the_record_is_the_agents_own() {
    let stage = Stage::shared("ring-time");
    let port = crate::ports::block(4);
    let rings: Vec<Duration> = [40, 333, 1_000, 2_750, 5_200]
        .map(Duration::from_millis)
        .into();
    let calls = rings.len();
    let agent = TinyAgent::start(port, rings);
    let service = Setup::new(&[port]).start(&stage);
    let media = RtpEnd::open();
    for n in 0..calls {
        let file = scenario("own/caller_hangs_up_uac");
        let mut caller = Plan::caller(&stage, &format!("caller{n}"), &file, service.sip)
            .media(&media)
            .talk_ms(200)
            .start(20);
        caller.must_succeed(Duration::from_secs(25));
    }
    let records = service.records(calls);
    for (record, rang_s) in records.iter().zip(agent.rang_s()) {
        let own_ms = rang_s * 1000.0;
        let ring_ms = record["ring_ms"]
            .as_f64()
            .unwrap_or_else(|| panic!("no ring_ms in {record:#}"));
        assert!(
            (ring_ms - own_ms).abs() <= TOLERANCE_MS,
            "ring_ms {ring_ms}, the agent's own {own_ms:.1}"
        );
        // One ring is 5 s (R8).
        assert_eq!(
            record["rings"].as_f64(),
            Some((own_ms / 5000.0).floor() + 1.0),
            "{record:#}"
        );
        let wait_ms = record["wait_ms"].as_f64().expect("wait_ms");
        assert!(
            (0.0..=50.0).contains(&(wait_ms - ring_ms)),
            "wait_ms {wait_ms}, ring_ms {ring_ms}"
        );
        let delay_ms = record["post_dial_delay_ms"]
            .as_f64()
            .expect("post_dial_delay_ms");
        assert!(delay_ms <= 50.0, "post_dial_delay_ms {delay_ms}");
    }
    let metrics = service.metrics();
    assert_eq!(
        metrics.sum("qingjiang_ring_seconds_count", &[("outcome", "answered")]),
        calls as f64
    );
    service.stop();
}
