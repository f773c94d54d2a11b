//! The configuration: the TOML file's form, and the checked form that the rest of the crate uses.
//!
//! Decides what a file may say: [`read`] returns a [`Config`] without a fault, or all problems of the
//! file at once, each with its line, key, value and what is allowed. It reads no file, resolves no
//! name and looks into no folder: what only the shell knows is asked of [`World`].
//! Source of the keys: `config/qingjiang.toml`, which names every one of them.

mod check;
mod file;
mod observation;
mod problem;
mod profiles;
mod renew;
mod routes;
mod sections;
mod target;
mod values;

pub use file::{known_keys, read};
pub use observation::{Health, Hep, Password, Trace};
pub use problem::{Problem, Problems};
pub use renew::{NotLoaded, Renewed, renew};

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the check must know and only the shell can find out.
pub trait World {
    /// The addresses of a host name; empty if it has none. May wait: it is asked at start and reload only.
    fn resolve(&self, host: &str) -> Vec<IpAddr>;

    /// The ids of the prompts of one of [`VOICES`], embedded ones and those of `[prompts] path` together.
    fn prompts(&self, path: Option<&Path>, voice: &str) -> BTreeSet<String>;

    /// Whether this is a folder that can be read.
    fn is_folder(&self, path: &Path) -> bool;

    /// Cores of the machine.
    fn cores(&self) -> u16;
}

/// The folders of prompts: `<language>-<voice>`.
pub const VOICES: [&str; 3] = ["zh-female", "zh-male", "en-female"];

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
    /// `[trace]`
    pub trace: Trace,
    /// `[hep]`; `None`: no collector.
    pub hep: Option<Hep>,
    /// `[health]`
    pub health: Health,
    /// `[[trunk]]`, in the order of the file; the first that matches a caller's address counts.
    pub trunks: Vec<Trunk>,
    /// `[[hotline]]`, in the order of the file; an exact number goes before `"*"`.
    pub hotlines: Vec<Arc<Hotline>>,
}

/// Where SIP is spoken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sip {
    /// UDP sockets to bind (`udp:ADDRESS:PORT`). At least one. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// The address to write into Via, Contact and SDP in place of the bound one (behind NAT). Always there
    /// if a socket is bound to `0.0.0.0` or `[::]`; of the address family of `media.address`.
    pub advertise: Option<IpAddr>,
    /// How long SIGTERM waits for running calls. Default 1 h; then the rest is hung up.
    pub drain_timeout: Duration,
}

/// Where RTP is received.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// Address of the RTP sockets, written into SDP unless `sip.advertise` is set.
    pub address: IpAddr,
    /// First port, even, and last port, odd; RTP takes the even ones, RTCP the odd ones above. A call takes four.
    pub ports: (u16, u16),
    /// Media threads; default one a core. Never more than there are ports for.
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
    /// Calls at once; above it 503 with Retry-After. Default 2000, or as many as the ports carry.
    pub calls: u32,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// Levels and `target=level` in the syntax of `tracing` (`info`, `info,qingjiang::sip=debug`). Default `info`.
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

impl Network {
    /// Whether the address lies in it. An IPv4 address that came in on an IPv6 socket (`::ffff:a.b.c.d`) is IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, other) = (self.address.to_canonical(), address.to_canonical());
        own.is_ipv4() == other.is_ipv4() && leading(own, self.prefix) == leading(other, self.prefix)
    }
}

/// The address with all bits behind the prefix cleared, as a number.
fn leading(address: IpAddr, prefix: u8) -> u128 {
    let (bits, width) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let dropped = u32::from(128 - width) + u32::from(u8::saturating_sub(width, prefix));
    // A shift by the whole width is none in Rust: nothing is left of the number then.
    let aligned = bits << (128 - width);
    aligned.checked_shr(dropped).unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        values::network(text).unwrap()
    }

    #[test]
    fn a_network_contains_what_shares_its_leading_bits() {
        let inside = |net: &str, address: &str| network(net).contains(address.parse().unwrap());
        assert!(inside("10.1.0.0/16", "10.1.255.255"));
        assert!(!inside("10.1.0.0/16", "10.2.0.0"));
        assert!(inside("192.0.2.7", "192.0.2.7"));
        assert!(!inside("192.0.2.7", "192.0.2.6"));
        assert!(inside("0.0.0.0/0", "203.0.113.9"));
        assert!(!inside("0.0.0.0/0", "2001:db8::1"));
        assert!(inside("::/0", "2001:db8::1"));
        assert!(inside("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!inside("2001:db8::/33", "2001:db8:ffff::1"));
        assert!(inside("2001:db8::1", "2001:db8::1"));
        assert!(!inside("2001:db8::1", "2001:db8::2"));
        assert!(inside("10.0.0.0/8", "::ffff:10.9.9.9"));
    }
}
