//! Goal: whatever callers, targets, the network and the clock do, every call ends for both legs, leaves
//! one true record, and gives back what it was lent; and nobody who spoke is talked over.
//! Method: whole worlds on a virtual clock around the pure engine. Callers and targets are written
//! here from RFC 3261, the rules' clock from the rules; the watch at the engine's edge keeps its own account of
//! each call and compares. One seed is one world:
//!
//! - `cargo test --test sim` runs the seeds from 0 on, `SIM_SEEDS=100000` more of them;
//! - `SIM_SEED=42 cargo test --test sim seeds -- --nocapture` runs one and prints its story.
//!
//! Blind spots, on purpose: real sockets, real RTP and the real media thread (`tests/e2e`), and SIP over other
//! transports than UDP.

mod caller;
mod chance;
mod media;
mod net;
mod plan;
mod says;
mod target;
mod watch;
mod world;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Worlds in a normal test run.
const SEEDS: u64 = 1_000;

/// Lines of a failed world's story that are printed; the file has them all.
const LINES_SHOWN: usize = 60;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The faults of a world; a panic of the engine is one.
fn faults_of(seed: u64, trace: world::Trace) -> Vec<String> {
    catch_unwind(AssertUnwindSafe(|| world::run(seed, trace))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        vec![format!("panicked: {}", text.unwrap_or_default())]
    })
}

/// Runs a world again with its story, and says how to see it.
fn tell(seed: u64) -> String {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let faults = faults_of(seed, Some(Rc::clone(&lines)));
    let lines = lines.borrow();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sim-{seed}.txt"));
    let written = std::fs::write(&file, lines.join("\n")).is_ok();
    let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
    let whole = if written { file.display().to_string() } else { String::new() };
    format!(
        "{}\n\nseed {seed}: {faults:#?}\nthe whole story: {whole}\n\
         again: SIM_SEED={seed} cargo test --test sim seeds -- --nocapture\n",
        shown.join("\n")
    )
}

/// Runs one world and fails with its story.
fn must_hold(seed: u64) {
    if !faults_of(seed, None).is_empty() {
        panic!("{}", tell(seed));
    }
}

#[test]
fn seeds_hold() {
    if let Some(seed) = number("SIM_SEED") {
        println!("{}", tell(seed));
        return must_hold(seed);
    }
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let end = number("SIM_SEEDS").unwrap_or(SEEDS);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let faults = faults_of(seed, None);
                    if let Some(first) = faults.into_iter().next() {
                        failed.lock().expect("no panic in here").push((seed, first));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("no panic in here");
    failed.sort();
    if let Some((seed, _)) = failed.first() {
        let list: Vec<String> = failed
            .iter()
            .take(40)
            .map(|(seed, fault)| format!("{seed}: {fault:.200}"))
            .collect();
        let story = tell(*seed);
        panic!("{story}\n{} of {end} worlds failed:\n{}", failed.len(), list.join("\n"));
    }
}
