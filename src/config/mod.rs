//! The configuration: the TOML file's form, and the checked form that the rest of the crate uses.
//!
//! All problems of a file are found at once. Source of the keys: README, `config/qingjiang.toml`.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A configuration without a fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// `[sip]`
    pub sip: Sip,
    /// `[media]`
    pub media: Media,
    /// `[web]`
    pub web: Web,
    /// `[store]`
    pub store: Store,
    /// `[prompts]`
    pub prompts: Prompts,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
    /// `[[trunk]]`, in the order of the file; the first that matches a caller's address counts.
    pub trunks: Vec<Trunk>,
    /// `[[hotline]]`, in the order of the file; an exact number goes before `"*"`.
    pub hotlines: Vec<Hotline>,
}

/// Where SIP is spoken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sip {
    /// UDP sockets to bind (`udp:ADDRESS:PORT`). At least one. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// The address to write into Via, Contact and SDP in place of the bound one (behind NAT).
    pub advertise: Option<IpAddr>,
    /// How long SIGTERM waits for running calls. Default 1 h; then the rest is hung up.
    pub drain_timeout: Duration,
}

/// Where RTP is received.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// Address of the RTP sockets, written into SDP unless `sip.advertise` is set.
    pub address: IpAddr,
    /// First and last port; RTP takes the even ones, RTCP the odd ones above.
    pub ports: (u16, u16),
    /// Media threads; default one a core.
    pub threads: u16,
}

/// The HTTP listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Web {
    /// Address of `/metrics`, `/healthz`, `/readyz`. `None`: no listener.
    pub listen: Option<SocketAddr>,
}

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// Folder of the SQLite file. Made if it is missing.
    pub path: PathBuf,
}

/// Where prompts come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompts {
    /// Folder with one folder a voice (`zh-female/silent-connected.wav`, 8 kHz mono 16 bit); a file
    /// there is taken before the embedded one.
    pub path: Option<PathBuf>,
}

/// What one machine takes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Calls at once; above it 503 with Retry-After. Default 2000.
    pub calls: u32,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// Filter in the syntax of `tracing` (`info`, `qingjiang=debug`). Default `info`.
    pub filter: String,
}

/// Who may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trunk {
    /// Name in records and metrics.
    pub name: String,
    /// Networks that it calls from.
    pub from: Vec<Network>,
}

/// An address range: `10.1.0.0/16`, `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The first address.
    pub address: IpAddr,
    /// Leading bits that count.
    pub prefix: u8,
}

/// One service number and how it is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hotline {
    /// Name in records and metrics.
    pub name: String,
    /// User parts of the Request-URI that reach it; `"*"` takes all.
    pub numbers: Vec<String>,
    /// Hunted in order.
    pub targets: Vec<Target>,
    /// The script, resolved: base and changes are already one.
    pub profile: Profile,
    /// Folder of its prompts: `<language>-<voice>`, default `zh-female`.
    pub voice: String,
    /// From our INVITE until an attempt is given up. Default 30 s.
    pub ring_timeout: Duration,
    /// One ring of the country's cadence, for `rings`. Default 5 s (1 s on, 4 s off).
    pub ring_cadence: Duration,
    /// A caller who leaves earlier than this is counted as a short abandon. Default 5 s.
    pub short_abandon: Duration,
}

/// A PBX or an agent's phone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The Request-URI of our INVITE.
    pub uri: String,
    /// Where it is sent: the URI's host, resolved when the file was read.
    pub address: SocketAddr,
    /// The `agent` label: the target's name, else `pbx`.
    pub name: String,
    /// Whether its 200 is a person's answer.
    pub answer_means: AnswerMeans,
    /// Whether its 183 means that it rings.
    pub ringing_183: bool,
}

/// What a target's 200 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerMeans {
    /// A person picked up.
    Person,
    /// A queue took the call; nobody has been connected yet, so nothing is treated.
    Queue,
}

/// The script of R1 with its times (`hotline-rules.md`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Its name in the file.
    pub name: String,
    /// Silence of both before the first prompt.
    pub silence_after: Duration,
    /// Silence of both between a prompt's end and the next prompt.
    pub repeat_after: Duration,
    /// When the window starts if the agent never speaks, from the answer. Default 4 s.
    pub agent_greeting_max: Duration,
    /// Prompts that ask, in order.
    pub steps: Vec<String>,
    /// The prompt that says goodbye.
    pub r#final: String,
    /// From the end of the final prompt to the BYE.
    pub hang_up_after: Duration,
    /// Whether the call is ended at all (R7).
    pub hang_up: bool,
    /// Who hears the prompts.
    pub prompt_to: PromptTo,
}

/// Who hears a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptTo {
    /// Both ends, the agent a little lower.
    Both,
    /// The caller only.
    Caller,
}
