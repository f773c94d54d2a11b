//! Where one test plays: a folder for its logs, and its turn on the machine.

use std::path::{Path, PathBuf};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

/// Tests that measure times share the machine with each other, never with a load test.
static MACHINE: RwLock<()> = RwLock::new(());

/// Lines of each log that a failing test prints.
const TAIL_LINES: usize = 60;

/// The folder of one test. Dropped last, it prints the logs if the test failed.
pub struct Stage {
    dir: PathBuf,
    _turn: Turn,
}

enum Turn {
    Shared {
        _guard: RwLockReadGuard<'static, ()>,
    },
    Alone {
        _guard: RwLockWriteGuard<'static, ()>,
    },
}

impl Stage {
    /// A stage beside others.
    pub fn shared(test: &str) -> Self {
        let guard = MACHINE.read().unwrap_or_else(|poison| poison.into_inner());
        Self::open(test, Turn::Shared { _guard: guard })
    }

    /// A stage while no other test runs.
    pub fn alone(test: &str) -> Self {
        let guard = MACHINE.write().unwrap_or_else(|poison| poison.into_inner());
        Self::open(test, Turn::Alone { _guard: guard })
    }

    fn open(test: &str, turn: Turn) -> Self {
        let dir = tempfile::Builder::new()
            .prefix(&format!("e2e-{test}-"))
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a folder for the test")
            .keep();
        Self { dir, _turn: turn }
    }

    /// A file or folder of this test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.dir);
            return;
        }
        eprintln!("logs kept in {}", self.dir.display());
        let mut files: Vec<_> = std::fs::read_dir(&self.dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "log"))
            .collect();
        files.sort();
        for file in files {
            eprintln!("---- {}", file.display());
            eprintln!("{}", tail(&file));
        }
    }
}

/// The last lines of a log.
pub fn tail(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// Asks until there is an answer; panics after `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Seconds since 1970, the scale on which packets and SIPp's messages are compared.
pub fn now_s() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs_f64()
}
