//! The configuration: the TOML file's form, and the checked form that the rest of the crate uses.
//!
//! Decides what a file may say: [`read`] returns a [`Config`] without a fault, or all problems of the
//! file at once, each with its line, key, value and what is allowed. It reads no file, resolves no
//! name and looks into no folder: what only the shell knows is asked of [`World`].
//! Source of the keys: `config/qingjiang.toml`, which names every one of them.

mod auth;
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

use crate::base::transport::Transport;
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

    /// What is wrong with the files of `[sip.tls]`, each with what is asked for. A world without files finds nothing.
    fn tls_faults(&self, _: &Tls) -> Vec<(TlsFile, String)> {
        Vec::new()
    }

    /// Cores of the machine.
    fn cores(&self) -> u16;

    /// The first line of a file, without its end: a password is kept in one. `None` if it cannot be read.
    fn first_line(&self, _: &Path) -> Option<String> {
        None
    }
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
    /// `[auth]`
    pub auth: Auth,
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
    /// `[[registration]]`, in the order of the file.
    pub registrations: Vec<Registration>,
}

/// Where SIP is spoken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sip {
    /// Sockets to bind. At least one.
    pub listen: Vec<Listen>,
    /// The address to write into Via, Contact and SDP in place of the bound one (behind NAT). Always there
    /// if a socket is bound to `0.0.0.0` or `[::]`; of the address family of `media.address`.
    pub advertise: Option<IpAddr>,
    /// How long SIGTERM waits for running calls. Default 1 h; then the rest is hung up.
    pub drain_timeout: Duration,
    /// The mark of our packets (RFC 2474). Default 24: class selector 3, for signalling (RFC 4594 §4.2).
    pub dscp: u8,
    /// `[sip.tls]`; there where anything is spoken over TLS.
    pub tls: Option<Tls>,
}

/// One SIP socket: `udp:ADDRESS:PORT`, `tcp:` or `tls:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// What it speaks.
    pub transport: Transport,
    /// Where; port 0 takes a free one.
    pub address: SocketAddr,
}

impl Listen {
    /// A UDP socket.
    pub const fn udp(address: SocketAddr) -> Listen {
        Listen {
            transport: Transport::Udp,
            address,
        }
    }
}

/// What TLS is spoken with. Paths of PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// Our certificate, with those between it and its authority; shown as server and as client.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose certificates are believed. Needed where a peer's is looked at: of a target, or of a client.
    pub ca: Option<PathBuf>,
    /// Whether a client must show a certificate. Default no.
    pub verify_client: bool,
}

/// A file of [`Tls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    /// `cert`
    Cert,
    /// `key`
    Key,
    /// `ca`
    Ca,
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
    /// Networks that it calls from. Only a trunk with `auth` may have none: it calls from anywhere.
    pub from: Vec<Network>,
    /// The country code of national numbers (`86`); where there is one, numbers are compared and kept in E.164 form.
    pub country_code: Option<String>,
    /// What it must know, if anything, wherever it calls from.
    pub auth: Option<Credentials>,
}

/// How we challenge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Auth {
    /// The realm of our challenges: it goes into the hashes that others keep of their passwords.
    pub realm: String,
    /// What we offer, the first preferred.
    pub algorithms: Vec<DigestAlgorithm>,
}

/// What a challenge of ours may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DigestAlgorithm {
    /// SHA-256 (RFC 8760).
    Sha256,
    /// MD5, which old phones need.
    Md5,
}

/// A name and what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Without quotes and backslashes.
    pub user: String,
    /// What proves it.
    pub password: Secret,
}

/// Text that no message, log or debug output shows. It is serialised as it is: whoever writes a state down keeps it as safe
/// as the configuration file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub(super) String);

impl Secret {
    /// The text itself, to be hashed.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A registrar that is told where we are, so that it sends us the calls of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// Name in metrics.
    pub name: String,
    /// The Request-URI of our REGISTER.
    pub registrar: String,
    /// Where it is sent: the URI's host, resolved when the file was read.
    pub address: SocketAddr,
    /// How.
    pub transport: Transport,
    /// The user of the address-of-record (RFC 3261 §10.2): `sip:USER@REGISTRAR`.
    pub user: String,
    /// What its challenges are answered with.
    pub credentials: Credentials,
    /// The user part of our Contact: what the registrar's calls will be addressed to.
    pub contact: String,
    /// How long we ask to be registered. Default 1 h.
    pub expires: Duration,
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
    /// How it is sent: as the URI says.
    pub transport: Transport,
    /// The `agent` label: the target's name, else `pbx`.
    pub name: String,
    /// Whether its 200 is a person's answer.
    pub answer_means: AnswerMeans,
    /// Whether its 183 means that it rings.
    pub ringing_183: bool,
    /// What its challenges are answered with, if we can.
    pub auth: Option<Credentials>,
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
