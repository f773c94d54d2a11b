//! A call that both ends have left without a BYE: no RTP comes from either.

use super::scene::{CALLER, Scene, TARGETS, uri};
use crate::base::ids::Leg;
use crate::base::time::Instant;
use crate::hotline::record::EndedBy;
use std::time::Duration;

/// So long without a packet.
const GONE_AFTER: Duration = Duration::from_secs(15 * 60);

/// Packets are reported once a second.
const REPORT: Duration = Duration::from_secs(1);

/// A caller who has said something (so that no script ends the call), then `packets` from each leg.
fn talking(packets: [u32; 2]) -> Scene {
    let mut scene = Scene::new();
    scene.packets = [50, 50];
    scene.up();
    scene.speaks(Leg::Caller, Duration::from_secs(2));
    scene.packets = packets;
    scene
}

/// BYE on both legs at `due`, or at the report before it, and a record that blames nobody.
fn assert_ended(scene: &mut Scene, due: Instant) {
    for peer in [CALLER, TARGETS[0]] {
        let byes = scene.times(peer, "BYE");
        let [at] = byes[..] else {
            panic!("{} BYEs to {peer}", byes.len());
        };
        assert!(at <= due && due - at <= REPORT, "{at:?}, not {due:?}");
    }
    scene.must_come_to_rest();
    assert_eq!(scene.records.len(), 1);
    assert_eq!(scene.records[0].ended_by, EndedBy::Unknown);
    assert_eq!(scene.asked(), [""; 0]);
}

#[test]
fn a_call_without_rtp_from_either_end_is_ended_after_a_quarter_of_an_hour() {
    let mut scene = talking([0, 0]);
    let due = scene.now + GONE_AFTER;
    scene.run_for(GONE_AFTER - Duration::from_secs(2));
    assert_eq!(scene.byes(), 0, "too early");
    scene.run_for(Duration::from_secs(3));
    assert_ended(&mut scene, due);
}

#[test]
fn one_end_that_sends_keeps_the_call_alive() {
    for packets in [[50, 0], [0, 50], [1, 0]] {
        let mut scene = talking(packets);
        scene.run_for(GONE_AFTER * 4);
        assert_eq!(scene.byes(), 0, "{packets:?}");
        scene.packets = [0, 0];
        let due = scene.now + GONE_AFTER;
        scene.run_for(GONE_AFTER + REPORT);
        assert_ended(&mut scene, due);
    }
}

#[test]
fn packets_within_the_quarter_of_an_hour_begin_it_anew() {
    let mut scene = talking([0, 0]);
    for _ in 0..3 {
        scene.run_for(GONE_AFTER - Duration::from_secs(5));
        scene.packets = [0, 1];
        scene.run_for(REPORT);
        scene.packets = [0, 0];
    }
    assert_eq!(scene.byes(), 0);
    let due = scene.now + GONE_AFTER;
    scene.run_for(GONE_AFTER);
    assert_ended(&mut scene, due);
}

/// Goal: neither is a call forgotten whose peers have vanished so thoroughly that no BYE is answered.
#[test]
fn a_call_whose_peers_are_dead_is_ended_and_forgotten() {
    let mut scene = talking([0, 0]);
    scene.byes_are_answered = false;
    let due = scene.now + GONE_AFTER;
    scene.run_for(GONE_AFTER);
    let first = |peer| scene.times(peer, "BYE").first().copied();
    for peer in [CALLER, TARGETS[0]] {
        let at = first(peer).expect("a BYE");
        assert!(at <= due && due - at <= REPORT);
    }
    scene.must_come_to_rest();
    assert_eq!(scene.records.len(), 1);
    assert_eq!(scene.records[0].ended_by, EndedBy::Unknown);
}

#[test]
fn a_queue_that_falls_silent_for_good_is_ended_too() {
    let queue = format!(
        "targets = [{{ uri = {}, answer_means = \"queue\" }}]",
        uri(TARGETS[0])
    );
    let mut scene = Scene::with(&queue, "");
    scene.up();
    let due = scene.now + GONE_AFTER;
    scene.run_for(GONE_AFTER);
    assert_ended(&mut scene, due);
}
