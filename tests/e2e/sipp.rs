//! SIPp as caller and as agent.

use crate::message::{Message, audio_address, read_sipp_log};
use crate::peer::{Peer, find};
use crate::ports;
use crate::rtp_end::RtpEnd;
use crate::stage::{Stage, wait_for};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a SIPp is to do.
pub struct Plan<'a> {
    stage: &'a Stage,
    name: String,
    arguments: Vec<String>,
    /// The port on which it speaks SIP.
    pub port: u16,
    is_agent: bool,
}

/// A SIPp at work.
pub struct Sipp {
    peer: Peer,
    messages: PathBuf,
    /// The port on which it speaks SIP.
    pub port: u16,
}

/// A scenario of `fixtures/sipp`; `own/NAME` for one of ours.
pub fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/sipp/{name}.xml"))
}

impl<'a> Plan<'a> {
    /// Calls `service` as the scenario `file` says.
    pub fn caller(stage: &'a Stage, name: &str, file: &Path, service: SocketAddr) -> Self {
        let mut plan = Self::new(stage, name, file, ports::one(), service.ip());
        plan.is_agent = false;
        plan.arguments.insert(0, service.to_string());
        plan
    }

    /// Is called at `port` and acts as the scenario `file` says.
    pub fn agent(stage: &'a Stage, name: &str, file: &Path, port: u16) -> Self {
        Self::agent_at(stage, name, file, (Ipv4Addr::LOCALHOST, port).into())
    }

    /// The same at another address of this machine.
    pub fn agent_at(stage: &'a Stage, name: &str, file: &Path, at: SocketAddr) -> Self {
        Self::new(stage, name, file, at.port(), at.ip())
    }

    fn new(stage: &'a Stage, name: &str, file: &Path, port: u16, host: IpAddr) -> Self {
        let host = host.to_string();
        let plan = Self {
            stage,
            name: name.to_owned(),
            arguments: Vec::new(),
            port,
            is_agent: true,
        };
        let log = |what: &str| {
            stage
                .path(&format!("{name}-{what}.log"))
                .display()
                .to_string()
        };
        plan.with(&["-sf", &file.display().to_string(), "-nostdin"])
            .with(&[
                "-i",
                &host,
                "-p",
                &port.to_string(),
                "-cp",
                &ports::one().to_string(),
            ])
            // Without -mi and -mp every SIPp binds port 6000.
            .with(&["-mi", &host, "-mp", &ports::block(4).to_string()])
            .with(&["-trace_msg", "-message_file", &log("messages")])
            .with(&["-trace_err", "-error_file", &log("errors")])
            .with(&[
                "-key", "trl", "udp", "-key", "sp", " ", "-key", "uas2port", "0",
            ])
            .with(&[
                "-key",
                "rtpf",
                &stage
                    .path(&format!("{name}-remote.txt"))
                    .display()
                    .to_string(),
            ])
            .with(&["-s", "hotline"])
    }

    /// More arguments.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// SIPp's own name of a transport over TCP: `t1`, one connection, or `tn`, one a call.
    pub fn over_tcp(mut self, mode: &str) -> Self {
        let udp = self.arguments.iter().position(|argument| argument == "udp");
        self.arguments[udp.expect("the key of the transport")] = "tcp".to_owned();
        // Without it SIPp wants 50,000 descriptors.
        self.with(&["-t", mode, "-max_socket", "100"])
    }

    /// The media end that its SDP names.
    pub fn media(self, end: &RtpEnd) -> Self {
        self.with(&["-key", "rtpp", &end.port.to_string()])
    }

    /// How many calls, in all and a second.
    pub fn calls(self, calls: u32, a_second: u32) -> Self {
        self.with(&[
            "-m",
            &calls.to_string(),
            "-r",
            &a_second.to_string(),
            "-l",
            &calls.to_string(),
        ])
    }

    /// The pause of the scenarios `own/*`, in which the call is up.
    pub fn talk_ms(self, ms: u32) -> Self {
        self.with(&["-d", &ms.to_string()])
    }

    /// Starts it for one call (or the number given before), to fail if it takes over `limit_s`.
    pub fn start(mut self, limit_s: u32) -> Sipp {
        if !self.arguments.iter().any(|argument| argument == "-m") {
            self = self.calls(1, 10);
        }
        self = self.with(&["-timeout", &format!("{limit_s}s"), "-timeout_error"]);
        let peer = Peer::start(self.stage, &self.name, &find("sipp"), &self.arguments);
        let messages = self.stage.path(&format!("{}-messages.log", self.name));
        let mut sipp = Sipp {
            peer,
            messages,
            port: self.port,
        };
        if self.is_agent {
            sipp.wait_until_bound();
        }
        sipp
    }
}

impl Sipp {
    fn wait_until_bound(&mut self) {
        wait_for("SIPp's socket", Duration::from_secs(10), || {
            assert!(
                self.peer.is_running(),
                "SIPp ended at once:\n{}",
                self.peer.output()
            );
            ports::is_bound(self.port).then_some(())
        });
    }

    /// What it sent and received so far.
    pub fn messages(&self) -> Vec<Message> {
        read_sipp_log(&self.messages)
    }

    /// Waits for a message.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        is_it: impl Fn(&Message) -> bool,
    ) -> Message {
        wait_for(what, limit, || self.messages().into_iter().find(&is_it))
    }

    /// Where the other side wants audio, as soon as it has said so.
    pub fn remote_media(&self, limit: Duration) -> SocketAddr {
        let message = self.wait_for("the other side's SDP", limit, |message| {
            !message.sent && audio_address(&message.text).is_some()
        });
        audio_address(&message.text).expect("an address that was seen")
    }

    /// When the call was answered: a caller got, an agent sent the 200.
    pub fn answered_at_s(&self, limit: Duration) -> f64 {
        self.wait_for("the answer", limit, |message| {
            message.answers("INVITE") && message.status() == Some(200)
        })
        .at_s
    }

    /// The final response to the INVITE of its call; a challenge is none.
    pub fn final_status(&self) -> Option<u16> {
        let is_challenge = |message: &Message| matches!(message.status(), Some(401 | 407));
        let is_final = |message: &Message| {
            message.answers("INVITE") && message.status() >= Some(200) && !is_challenge(message)
        };
        self.messages()
            .iter()
            .find(|message| is_final(message))
            .and_then(Message::status)
    }

    /// When a request came in.
    pub fn received_at_s(&self, method: &str) -> Option<f64> {
        let messages = self.messages();
        messages
            .iter()
            .find(|message| !message.sent && message.method() == Some(method))
            .map(|message| message.at_s)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.peer.is_running()
    }

    /// Waits for the end of its calls; all must have gone as the scenario says.
    pub fn must_succeed(&mut self, limit: Duration) {
        self.peer.must_succeed(limit);
    }
}
