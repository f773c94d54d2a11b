//! Records of whole calls.

use super::*;
use crate::hotline::finding::{Cause, FindingKind};
use crate::hotline::treat::{PromptHow, TreatmentOutcome};
use serde_json::{Value, json};

/// An answered call that was treated, offered one hour after boot.
pub(crate) fn ended_call() -> EndedCall {
    let at = |millis: u64| Instant::from_millis(3_600_000 + millis);
    EndedCall {
        id: "c0ffee0011223344".into(),
        hotline: Some("weather".into()),
        trunk: Some("carrier".into()),
        caller: "13800138000".into(),
        offered_at: at(0),
        answered: Some((at(6_250), Source::Signalling)),
        ended_at: at(16_250),
        post_dial_delay: Some(Duration::from_micros(180_700)),
        attempts: vec![
            Attempt {
                target: "desk-1".into(),
                ring: None,
                outcome: AttemptOutcome::Busy,
            },
            Attempt {
                target: "desk-2".into(),
                ring: Some(Duration::from_micros(5_000_900)),
                outcome: AttemptOutcome::Answered,
            },
        ],
        ring_cadence: Duration::from_secs(5),
        first_speech_at: Some(at(15_000)),
        outcome: Outcome::Answered,
        ended_by: EndedBy::Caller,
        final_status: Some(200),
        findings: vec![Finding {
            kind: FindingKind::SilentCaller,
            leg: Leg::Caller,
            cause: Cause::DigitalSilence,
            at: at(13_250),
            cleared_at: Some(at(15_000)),
        }],
        prompts: vec![PromptPlayed {
            prompt: "silent-connected".into(),
            due: at(13_250),
            started_at: at(13_260),
            ended_at: Some(at(15_040)),
            how: Some(PromptHow::Speech),
        }],
        treatments: vec![Treatment {
            kind: FindingKind::SilentCaller,
            cause: Cause::DigitalSilence,
            prompts: Vec::new(),
            outcome: TreatmentOutcome::Recovered,
        }],
        streams: [
            StreamTotals {
                received: 495,
                sent: 500,
                lost: 5,
            },
            StreamTotals::default(),
        ],
        site: None,
    }
}

/// The wall clock showed this at boot.
pub(crate) fn wall_clock() -> WallClock {
    WallClock::new(
        Instant::from_millis(1_000),
        "2026-03-01T00:00:01.000900Z".parse().unwrap(),
    )
}

fn json_of(call: &EndedCall) -> Value {
    serde_json::to_value(call.stamped(wall_clock())).unwrap()
}

#[test]
fn a_record_has_the_fields_of_the_contract_in_milliseconds_and_utc() {
    let json = json_of(&ended_call());
    let expected = json!({
        "id": "c0ffee0011223344", "hotline": "weather", "trunk": "carrier",
        "caller": "13800138000", "agent": "desk-2",
        "offered_at": "2026-03-01T01:00:00.000Z", "answered_at": "2026-03-01T01:00:06.250Z",
        "ended_at": "2026-03-01T01:00:16.250Z", "answered_by": "signalling",
        "post_dial_delay_ms": 180, "ring_ms": 5000, "rings": 2, "wait_ms": 6250,
        "talk_ms": 10000, "hold_ms": null, "first_speech_ms": 8750, "outcome": "answered",
        "ring_source": "signalling", "queue_wait_ms": null, "ended_by": "caller",
        "final_status": 200,
        "attempts": [
            {"target": "desk-1", "ring_ms": null, "outcome": "busy"},
            {"target": "desk-2", "ring_ms": 5000, "outcome": "answered"},
        ],
        "findings": [{"kind": "silent_caller", "leg": "caller", "cause": "digital_silence",
            "at": "2026-03-01T01:00:13.250Z", "cleared_at": "2026-03-01T01:00:15.000Z"}],
        "prompts": [{"id": "silent-connected", "at": "2026-03-01T01:00:13.260Z",
            "ended_at": "2026-03-01T01:00:15.040Z", "how": "speech"}],
        "treatments": [{"kind": "silent_caller", "cause": "digital_silence",
            "outcome": "recovered"}],
        "transfers": null,
        "quality": {
            "caller": {"packets_received": 495, "packets_sent": 500, "packets_lost": 5,
                "loss_percent": 1.0, "jitter_ms": null, "mos": null},
            "agent": {"packets_received": 0, "packets_sent": 0, "packets_lost": 0,
                "loss_percent": null, "jitter_ms": null, "mos": null},
        },
        "site": null, "version": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!(json, expected);
}

#[test]
fn an_answer_without_ringing_has_no_ring_time_not_zero() {
    let mut call = ended_call();
    call.attempts[1].ring = None;
    let json = json_of(&call);
    for field in ["ring_ms", "rings", "ring_source"] {
        assert_eq!(json[field], Value::Null, "{field}");
    }
    assert_eq!(json["agent"], "desk-2");
}

#[test]
fn a_call_that_nobody_answered_has_no_times_of_an_answer() {
    let mut call = ended_call();
    call.answered = None;
    call.first_speech_at = None;
    call.attempts[1].outcome = AttemptOutcome::NoAnswer;
    let json = json_of(&call);
    for field in [
        "agent",
        "answered_at",
        "answered_by",
        "wait_ms",
        "talk_ms",
        "first_speech_ms",
    ] {
        assert_eq!(json[field], Value::Null, "{field}");
    }
    assert_eq!(json["ring_ms"], 5_000, "it rang all the same");
}

#[test]
fn a_ring_counts_from_its_beginning() {
    let of = |millis| rings(Duration::from_millis(millis), Duration::from_secs(5));
    assert_eq!(of(0), Some(1));
    assert_eq!(of(4_999), Some(1));
    assert_eq!(of(5_000), Some(2));
    assert_eq!(of(14_999), Some(3));
    assert_eq!(rings(Duration::from_secs(1), Duration::ZERO), None);
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    let record = ended_call().stamped(wall_clock());
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<CallRecord>(&text).unwrap(), record);
}

#[test]
fn duplicates_do_not_make_a_negative_loss() {
    let mut totals = StreamTotals::default();
    totals.add(100, 90, -3);
    assert_eq!(totals.loss_percent(), Some(0.0));
}
