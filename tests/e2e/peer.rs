//! A program that runs beside the test and never outlives it.

use crate::stage::{Stage, tail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// A started program, in a process group of its own.
pub struct Peer {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Peer {
    /// Starts it; what it prints goes to `NAME.log` in the test's folder.
    ///
    /// It is started by `setpriv`, so that it ends with the thread of its test even where that is killed.
    pub fn start(stage: &Stage, name: &str, program: &Path, arguments: &[String]) -> Self {
        let log = stage.path(&format!("{name}.log"));
        let out = File::create(&log).expect("a log file");
        let child = Command::new(find("setpriv"))
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .current_dir(stage.path(""))
            .env("TZ", "UTC")
            .env("TERM", "dumb")
            .stdin(std::process::Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Self {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// Its exit status, if it ends within `limit`.
    pub fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return Some(status);
            }
            if Instant::now() >= end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end and wants exit status 0.
    pub fn must_succeed(&mut self, limit: Duration) {
        assert_eq!(
            self.must_end(limit),
            0,
            "{}: exit status; {}",
            self.name,
            self.tail()
        );
    }

    /// Waits for the end and gives the exit status.
    pub fn must_end(&mut self, limit: Duration) -> i32 {
        let Some(status) = self.ended_within(limit) else {
            panic!(
                "{}: still running after {limit:?}; {}",
                self.name,
                self.tail()
            );
        };
        status
            .code()
            .unwrap_or_else(|| panic!("{}: {status}; {}", self.name, self.tail()))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.ended_within(Duration::ZERO).is_none()
    }

    /// Sends a signal to it and to what it started.
    pub fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process_group(group, signal);
        }
    }

    /// All that it has printed.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn tail(&self) -> String {
        format!("{}:\n{}", self.log.display(), tail(&self.log))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.is_running() {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// The full path of an installed program.
pub fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where servers are, on a path for people too.
    let servers = PathBuf::from("/usr/sbin");
    std::env::split_paths(&path)
        .chain([servers])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{program} is not installed: run tests/install"))
}
