//! The sections that stand alone: `[sip] [media] [web] [store] [prompts] [limits] [log]`.
//!
//! Each key has its default and its limits here. What concerns two keys at once is in [`super::check`].

use super::file::{At, Table, Value};
use super::values::{DSCP_MAX, address, filter, listener, ports, socket};
use super::{Listen, Log, Prompts, Store, Tls, TlsFile, Web, World};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// SIP sockets; each is one more to poll.
const LISTENERS_MAX: usize = 16;

/// Media threads; more than any machine that this is meant for has cores.
const THREADS_MAX: u32 = 64;

/// Calls that all ports of one address can carry, at four ports a call.
const CALLS_MAX: u32 = 16_000;

/// `[sip]`, before it is compared with the rest.
pub(super) struct SipFile {
    pub listen: Vec<At<Listen>>,
    pub advertise: Option<At<IpAddr>>,
    pub drain_timeout: Duration,
    pub dscp: u8,
    pub has_tls: bool,
    pub tls: Option<Tls>,
}

/// Class selector 3.
const DSCP: u8 = 24;

/// `[media]`, before it is compared with the rest.
pub(super) struct MediaFile {
    pub address: Option<At<IpAddr>>,
    pub ports: Option<At<(u16, u16)>>,
    pub threads: Option<At<u32>>,
}

pub(super) fn sip(root: &Table<'_>, world: &dyn World) -> SipFile {
    root.required("sip", "the section that says where SIP is spoken");
    let table = root.table("sip");
    let what = "a list such as [\"udp:192.0.2.1:5060\"]";
    let dscp = table.number("dscp", 0..=DSCP_MAX);
    let tls_table = table.table("tls");
    let file = SipFile {
        listen: table.list("listen", what, LISTENERS_MAX, listener),
        advertise: table
            .value("advertise")
            .and_then(|value| value.read_at("be an IP address in quotes", advertised)),
        drain_timeout: table.duration("drain_timeout", hours(1), Duration::ZERO..=hours(24)),
        dscp: dscp.map_or(DSCP, |dscp| u8::try_from(dscp.it).unwrap_or(DSCP)),
        has_tls: tls_table.is_there(),
        tls: tls(&tls_table, world),
    };
    table.finish(&[]);
    file
}

/// `[sip.tls]`; `None` where it is missing or has a problem. Its files are looked into.
fn tls(table: &Table<'_>, world: &dyn World) -> Option<Tls> {
    let must = "be a file's path in quotes";
    let read = |value: &Value<'_>| value.read_at(must, file_path);
    let cert = table.required("cert", "the PEM file of our certificate");
    let key = table.required("key", "the PEM file of its private key");
    let authorities = table.value("ca");
    let verify_client = table.flag("verify_client", false);
    table.finish(&[]);
    let ca = authorities.as_ref().map(read);
    if verify_client && authorities.is_none() && table.is_there() {
        let says = "verify_client needs ca, the authorities whose clients are believed";
        table.walk.complain(&table.spot, says);
    }
    let (cert, key) = (cert.as_ref().and_then(read)?, key.as_ref().and_then(read)?);
    let ca = ca.map_or(Some(None), |ca| ca.map(Some))?;
    let files = Tls {
        cert: cert.it,
        key: key.it,
        ca: ca.as_ref().map(|ca| ca.it.clone()),
        verify_client,
    };
    let faults = world.tls_faults(&files);
    for (file, says) in &faults {
        let spot = match file {
            TlsFile::Cert => &cert.spot,
            TlsFile::Key => &key.spot,
            TlsFile::Ca => ca.as_ref().map_or(&table.spot, |ca| &ca.spot),
        };
        table.walk.complain(spot, says);
    }
    Some(files)
}

pub(super) fn media(root: &Table<'_>) -> MediaFile {
    root.required("media", "the section that says where RTP is received");
    let table = root.table("media");
    let file = MediaFile {
        address: table
            .required("address", "the address of the RTP sockets")
            .and_then(|value| value.read_at("be an IP address in quotes", address)),
        ports: table
            .required("ports", "a range such as \"20000-29999\"")
            .and_then(|value| value.read_at("be a range in quotes such as \"20000-29999\"", ports)),
        threads: table.number("threads", 1..=THREADS_MAX),
    };
    table.finish(&["dscp"]);
    file
}

pub(super) fn web(root: &Table<'_>) -> Web {
    let table = root.table("web");
    let must = "be an address and a port in quotes such as \"127.0.0.1:8080\"";
    let listen = table.value("listen");
    let web = Web {
        listen: listen.and_then(|value| value.read(must, socket)),
    };
    table.finish(&["tls", "auth"]);
    web
}

pub(super) fn store(root: &Table<'_>) -> Store {
    let table = root.table("store");
    let path = table.value("path");
    let path = path.and_then(|value| value.read("be a folder's path in quotes", folder));
    table.finish(&[]);
    Store {
        path: path.unwrap_or_else(|| "qingjiang".into()),
    }
}

pub(super) fn prompts(root: &Table<'_>, world: &dyn World) -> Prompts {
    let table = root.table("prompts");
    let readable = |text: &str| {
        let path = folder(text)?;
        match world.is_folder(&path) {
            true => Ok(path),
            false => Err("is no folder that can be read".into()),
        }
    };
    let path = table.value("path");
    let path = path.and_then(|value| value.read("be a folder's path in quotes", readable));
    table.finish(&[]);
    Prompts { path }
}

/// `[limits] calls`, if the file sets it.
pub(super) fn calls(root: &Table<'_>) -> Option<At<u32>> {
    let table = root.table("limits");
    let calls = table.number("calls", 1..=CALLS_MAX);
    table.finish(&[]);
    calls
}

pub(super) fn log(root: &Table<'_>) -> Log {
    let table = root.table("log");
    let text = table.value("filter");
    let text = text.and_then(|value| value.read("be a filter in quotes such as \"info\"", filter));
    table.finish(&[]);
    Log {
        filter: text.unwrap_or_else(|| "info".into()),
    }
}

fn advertised(text: &str) -> Result<IpAddr, String> {
    match address(text)? {
        address if address.is_unspecified() => {
            Err("must be an address that peers can reach".into())
        }
        address => Ok(address),
    }
}

fn folder(text: &str) -> Result<PathBuf, String> {
    match text.trim().is_empty() || text.contains('\0') {
        true => Err("must be a folder's path".into()),
        false => Ok(text.into()),
    }
}

fn file_path(text: &str) -> Result<PathBuf, String> {
    folder(text).map_err(|_| "must be a file's path".into())
}

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}
