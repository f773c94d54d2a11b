//! baresip as caller and as agent: a phone without a sound card, told what to do over TCP.

use crate::audio::read_wav;
use crate::peer::{Peer, find};
use crate::ports;
use crate::stage::{Stage, wait_for};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(15);

/// A phone.
pub struct Phone {
    peer: Peer,
    control: TcpStream,
    /// Bytes of the control connection that are no whole netstring yet.
    pending: Vec<u8>,
    events: Vec<Value>,
    recordings: PathBuf,
    /// The port on which it speaks SIP.
    pub port: u16,
}

impl Phone {
    /// A phone that plays `wav` into every call and records both directions. The file must be longer
    /// than the call: baresip hangs up at its end.
    pub fn start(stage: &Stage, name: &str, wav: &Path) -> Self {
        let (port, control, rtp) = (ports::block(2), ports::one(), ports::block(10));
        let home = stage.path(name);
        let recordings = home.join("recordings");
        std::fs::create_dir_all(&recordings).expect("a folder for recordings");
        let fill = |template: &str| {
            template
                .replace("{name}", name)
                .replace("{port}", &port.to_string())
                .replace("{control}", &control.to_string())
                .replace("{rtp}", &format!("{rtp}-{}", rtp + 9))
                .replace("{wav}", &wav.display().to_string())
                .replace("{modules}", &modules().display().to_string())
                .replace("{recordings}", &recordings.display().to_string())
        };
        std::fs::write(
            home.join("config"),
            fill(include_str!("../../fixtures/baresip/config")),
        )
        .expect("config");
        std::fs::write(
            home.join("accounts"),
            fill(include_str!("../../fixtures/baresip/accounts")),
        )
        .expect("accounts");
        std::fs::write(home.join("contacts"), "").expect("contacts");
        let arguments = ["-f".to_owned(), home.display().to_string()];
        let peer = Peer::start(stage, name, &find("baresip"), &arguments);
        let control = wait_for("baresip's control port", LIMIT, || {
            TcpStream::connect(crate::service::local(control)).ok()
        });
        control
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a read timeout");
        Self {
            peer,
            control,
            pending: Vec::new(),
            events: Vec::new(),
            recordings,
            port,
        }
    }

    /// Tells it to do something.
    pub fn tell(&mut self, command: &str, params: &str) {
        let text = json!({ "command": command, "params": params, "token": command }).to_string();
        write!(self.control, "{}:{text},", text.len()).expect("a command sent");
    }

    /// Waits for the next event of this type.
    pub fn wait_for(&mut self, event: &str, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            self.read();
            if let Some(n) = self.events.iter().position(|value| value["type"] == event) {
                self.events.drain(..=n);
                return;
            }
            assert!(
                Instant::now() < end,
                "no {event} within {limit:?}, but {:?}",
                self.events
            );
        }
    }

    /// Rings for a while, then answers.
    pub fn answer_after(&mut self, ring: Duration) {
        self.wait_for("CALL_INCOMING", LIMIT);
        std::thread::sleep(ring);
        self.tell("accept", "");
        self.wait_for("CALL_ESTABLISHED", LIMIT);
    }

    /// Ends it and gives what it has recorded of its one call: sent, heard.
    pub fn finish(mut self) -> (Vec<i16>, Vec<i16>) {
        self.tell("quit", "");
        self.peer.must_succeed(LIMIT);
        (self.recording("-enc.wav"), self.recording("-dec.wav"))
    }

    fn recording(&self, ending: &str) -> Vec<i16> {
        let files = std::fs::read_dir(&self.recordings).expect("the recordings");
        let mut files: Vec<PathBuf> = files
            .map(|entry| entry.expect("an entry").path())
            .filter(|file| file.display().to_string().ends_with(ending))
            .collect();
        assert_eq!(files.len(), 1, "recordings {files:?}");
        read_wav(&files.remove(0))
    }

    fn read(&mut self) {
        let mut bytes = [0; 8192];
        // A read that times out has nothing for us; one of length 0 is a phone that is gone.
        if let Ok(length) = self.control.read(&mut bytes) {
            self.pending.extend_from_slice(&bytes[..length]);
        }
        while let Some(value) = self.netstring() {
            self.events.push(value);
        }
    }

    /// `LENGTH:JSON,`
    fn netstring(&mut self) -> Option<Value> {
        let colon = self.pending.iter().position(|byte| *byte == b':')?;
        let length: usize = std::str::from_utf8(&self.pending[..colon])
            .ok()?
            .parse()
            .ok()?;
        let end = colon + 1 + length;
        if self.pending.len() <= end {
            return None;
        }
        let value = serde_json::from_slice(&self.pending[colon + 1..end]).expect("JSON of baresip");
        self.pending.drain(..=end);
        Some(value)
    }
}

/// Where the package has put the modules.
fn modules() -> PathBuf {
    let multiarch = format!(
        "/usr/lib/{}-linux-gnu/baresip/modules",
        std::env::consts::ARCH
    );
    [
        "/usr/lib/baresip/modules",
        &multiarch,
        "/usr/local/lib/baresip/modules",
    ]
    .iter()
    .map(PathBuf::from)
    .find(|folder| folder.join("sndfile.so").is_file())
    .expect("baresip's modules are not installed: run tests/install")
}
