//! The product: configured, started, asked, stopped.

use crate::http::{self, Metrics};
use crate::peer::Peer;
use crate::ports;
use crate::stage::{Stage, wait_for};
use rustix::process::Signal;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The name of the one hotline that is configured.
pub const HOTLINE: &str = "weather";

/// How long a service that has no calls may take to end.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A configuration to be.
pub struct Setup {
    targets: Vec<String>,
    ring_timeout: Option<String>,
    drain_timeout: Option<Duration>,
    calls: u16,
    numbers: String,
    host: IpAddr,
    over: Vec<Over>,
    trunk: String,
    health: String,
    more: String,
}

/// A transport beside UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// At the same port as UDP.
    Tcp,
    /// There, with `cert.pem`, `key.pem` and the believed `ca.pem` of this folder.
    Tls(SocketAddr, PathBuf),
}

/// Whoever calls from this machine.
const LOCAL: &str = "from = [\"127.0.0.0/8\", \"::1\"]";

impl Setup {
    /// One hotline that rings these ports of 127.0.0.1 in order.
    pub fn new(agents: &[u16]) -> Self {
        let targets = agents
            .iter()
            .map(|port| format!("\"sip:agent@127.0.0.1:{port}\""))
            .collect();
        Self {
            targets,
            ring_timeout: None,
            drain_timeout: None,
            calls: 8,
            numbers: "hotline".to_owned(),
            host: Ipv4Addr::LOCALHOST.into(),
            over: Vec::new(),
            trunk: LOCAL.to_owned(),
            health: "0s".to_owned(),
            more: String::new(),
        }
    }

    /// One hotline that rings these ports of 127.0.0.1 in order, by the names `desk-1` and so on.
    pub fn desks(agents: &[u16]) -> Self {
        let named = |(place, port): (usize, &u16)| {
            let name = place + 1;
            format!("{{ uri = \"sip:agent@127.0.0.1:{port}\", name = \"desk-{name}\" }}")
        };
        Self {
            targets: agents.iter().enumerate().map(named).collect(),
            ..Self::new(agents)
        }
    }

    /// One hotline whose target answers before a person does.
    pub fn queue(port: u16) -> Self {
        let target = format!(
            "{{ uri = \"sip:queue@127.0.0.1:{port}\", name = \"pbx-queue\", answer_means = \"queue\" }}"
        );
        Self {
            targets: vec![target],
            ring_timeout: None,
            drain_timeout: None,
            calls: 8,
            numbers: "hotline".to_owned(),
            host: Ipv4Addr::LOCALHOST.into(),
            over: Vec::new(),
            trunk: LOCAL.to_owned(),
            health: "0s".to_owned(),
            more: String::new(),
        }
    }

    /// These targets in place of others.
    pub fn targets(mut self, uris: &[String]) -> Self {
        self.targets = uris.iter().map(|uri| format!("\"{uri}\"")).collect();
        self
    }

    /// Takes every number.
    pub fn all_numbers(mut self) -> Self {
        self.numbers = "*".to_owned();
        self
    }

    /// Speaks SIP and RTP at this address of the machine.
    pub fn host(mut self, host: IpAddr) -> Self {
        self.host = host;
        self
    }

    /// Speaks SIP over this too.
    pub fn over(mut self, transport: Over) -> Self {
        self.over.push(transport);
        self
    }

    /// Another no-answer time.
    pub fn ring_timeout(mut self, time: &str) -> Self {
        self.ring_timeout = Some(time.to_owned());
        self
    }

    /// Another longest time for a drain.
    pub fn drain_timeout(mut self, time: Duration) -> Self {
        self.drain_timeout = Some(time);
        self
    }

    /// The keys of the target, besides its URI, where there is one target.
    pub fn target(mut self, keys: &str) -> Self {
        for target in &mut self.targets {
            *target = format!("{{ uri = {target}, {keys} }}");
        }
        self
    }

    /// Other keys of the trunk than where it calls from.
    pub fn trunk(mut self, keys: &str) -> Self {
        self.trunk = keys.to_owned();
        self
    }

    /// More sections.
    pub fn more(mut self, sections: &str) -> Self {
        self.more = sections.to_owned();
        self
    }

    /// Media ports for so many calls at once.
    pub fn calls(mut self, calls: u16) -> Self {
        self.calls = calls;
        self
    }

    /// Asks targets so often whether they are there: not at all unless this is said, for SIPp would take it for a call.
    pub fn health(mut self, every: &str) -> Self {
        self.health = every.to_owned();
        self
    }

    /// Starts the service and waits until it says that it is ready.
    pub fn start(self, stage: &Stage) -> Service {
        let sip = SocketAddr::new(self.host, ports::one());
        let web = local(ports::one());
        let store = stage.path("store");
        let config = stage.path("qingjiang.toml");
        let text = self.toml(sip, web, &store);
        std::fs::write(&config, &text).expect("a config file");
        let arguments = ["run", "--config", &config.display().to_string()].map(str::to_owned);
        let peer = Peer::start(stage, "qingjiang", Path::new(QINGJIANG), &arguments);
        let mut service = Service {
            peer,
            sip,
            web,
            store,
            config,
            text,
        };
        service.wait_until_ready();
        service
    }

    /// The file.
    pub fn toml(&self, sip: SocketAddr, web: SocketAddr, store: &Path) -> String {
        // Four ports a call: RTP and RTCP of two legs.
        let ports = self.calls * 4;
        let first = ports::block(ports);
        let last = first + ports - 1;
        let ring_timeout = self
            .ring_timeout
            .as_ref()
            .map_or(String::new(), |time| format!("ring_timeout = \"{time}\"\n"));
        let drain_timeout = self.drain_timeout.map_or(String::new(), |time| {
            format!("drain_timeout = \"{}ms\"\n", time.as_millis())
        });
        let mut listen = format!("\"udp:{sip}\"");
        let mut certificates = String::new();
        for over in &self.over {
            match over {
                Over::Tcp => listen += &format!(", \"tcp:{sip}\""),
                Over::Tls(at, folder) => {
                    listen += &format!(", \"tls:{at}\"");
                    let file = |name: &str| folder.join(name).display().to_string();
                    certificates = format!(
                        "[sip.tls]\ncert = \"{}\"\nkey = \"{}\"\nca = \"{}\"\n",
                        file("cert.pem"),
                        file("key.pem"),
                        file("ca.pem")
                    );
                }
            }
        }
        format!(
            "[sip]\nlisten = [{listen}]\n{drain_timeout}\n{certificates}\n[media]\naddress = \"{host}\"\nports = \"{first}-{last}\"\n\n\
             [web]\nlisten = \"{web}\"\n\n[store]\npath = \"{store}\"\n\n\
             [health]\nevery = \"{health}\"\n\n\
             [[trunk]]\nname = \"carrier\"\n{trunk}\n\n\
             [[hotline]]\nname = \"{HOTLINE}\"\nnumbers = [\"{numbers}\"]\ntargets = [{targets}]\n\
             profile = \"after-sales\"\nlanguage = \"zh\"\n{ring_timeout}\n{more}",
            host = self.host,
            numbers = self.numbers,
            trunk = self.trunk,
            more = self.more,
            store = store.display(),
            health = self.health,
            targets = self.targets.join(", "),
        )
    }
}

/// The binary under test.
pub const QINGJIANG: &str = env!("CARGO_BIN_EXE_qingjiang");

/// 127.0.0.1 and a port.
pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A running service.
pub struct Service {
    peer: Peer,
    /// Where it speaks SIP, over UDP and TCP.
    pub sip: SocketAddr,
    /// Where it speaks HTTP.
    pub web: SocketAddr,
    store: PathBuf,
    config: PathBuf,
    text: String,
}

impl Service {
    fn wait_until_ready(&mut self) {
        wait_for("readiness of the service", Duration::from_secs(20), || {
            assert!(
                self.peer.is_running(),
                "the service ended at once:\n{}",
                self.peer.output()
            );
            http::get(self.web, "/readyz")
                .filter(|answer| answer.0 == 200)
                .map(|_| ())
        });
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.peer.output()
    }

    /// Its metrics now: figures are published up to 200 ms after they move.
    pub fn metrics(&self) -> Metrics {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let (status, page) = http::get(self.web, "/metrics").expect("an answer for /metrics");
        assert_eq!(status, 200, "/metrics");
        Metrics(page)
    }

    /// Waits until a metric has this sum: figures are published a little later than they move.
    pub fn await_metric(&self, name: &str, expected: f64) {
        let begin = std::time::Instant::now();
        while self.metrics().sum(name, &[]) != expected {
            assert!(
                begin.elapsed() < std::time::Duration::from_secs(2),
                "{name} is {} and not {expected}",
                self.metrics().sum(name, &[])
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Calls at this moment, in every state.
    pub fn calls_active(&self) -> f64 {
        self.metrics().sum("qingjiang_calls_active", &[])
    }

    /// Prompts played so far.
    pub fn prompts_played(&self) -> f64 {
        self.metrics().sum("qingjiang_prompts_total", &[])
    }

    /// The records, oldest first, as soon as there are `count` of ended calls.
    pub fn records(&self, count: usize) -> Vec<Value> {
        let mut records = wait_for(&format!("{count} records"), Duration::from_secs(10), || {
            Some(self.records_now()).filter(|records| records.len() >= count)
        });
        assert_eq!(records.len(), count, "records: {records:#?}");
        records.sort_by_key(|record| record["offered_at"].as_str().map(str::to_owned));
        records
    }

    /// All records there are now, of a service that has ended too.
    pub fn records_now(&self) -> Vec<Value> {
        read_records(&self.store)
    }

    /// The record of the one call that there was.
    pub fn record(&self) -> Value {
        self.records(1).remove(0)
    }

    /// Writes another text into its configuration file in place of one, and sends SIGHUP. Gives the log's line
    /// that says what became of it.
    pub fn reload(&mut self, old: &str, new: &str) -> String {
        assert!(self.text.contains(old), "{old} is not in\n{}", self.text);
        let text = self.text.replacen(old, new, 1);
        std::fs::write(&self.config, &text).expect("a config file");
        let before = self.peer.output().matches("reloaded").count();
        self.peer.signal(Signal::HUP);
        let said = wait_for("what became of the file", Duration::from_secs(10), || {
            let output = self.peer.output();
            let told = output.matches("reloaded").count() > before;
            let line = output.lines().rfind(|line| line.contains("reloaded"));
            line.filter(|_| told).map(str::to_owned)
        });
        if !said.contains("not reloaded") {
            self.text = text;
        }
        said
    }

    /// Asks it to end, by SIGTERM.
    pub fn terminate(&self) {
        self.peer.signal(Signal::TERM);
    }

    /// Waits until it has ended with exit status 0.
    pub fn must_end(&mut self, limit: Duration) {
        self.peer.must_succeed(limit);
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.peer.is_running()
    }

    /// Stops it: no call may be left that holds it up, and no bug may have been met.
    pub fn stop(mut self) {
        let bugs = self.metrics().sum("qingjiang_bugs_total", &[]);
        assert_eq!(bugs, 0.0, "qingjiang_bugs_total");
        self.terminate();
        self.must_end(STOP_LIMIT);
    }
}

/// What `qingjiang calls --json` prints: one array, or one object after another.
fn read_records(store: &Path) -> Vec<Value> {
    let output = Command::new(QINGJIANG)
        .args(["calls", "--json", "--limit", "10000", "--store"])
        .arg(store)
        .output()
        .expect("qingjiang calls");
    assert!(
        output.status.success(),
        "qingjiang calls: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
    let values: Vec<Value> = values
        .collect::<Result<_, _>>()
        .expect("JSON of qingjiang calls");
    values
        .into_iter()
        .flat_map(|value| match value {
            Value::Array(records) => records,
            record => vec![record],
        })
        .collect()
}

/// The ids of the prompts in a record.
pub fn prompts_of(record: &Value) -> Vec<&str> {
    let played = record["prompts"].as_array();
    let played = played.unwrap_or_else(|| panic!("no prompts in {record:#}"));
    played
        .iter()
        .map(|prompt| prompt["id"].as_str().expect("a prompt's id"))
        .collect()
}
