//! The sections of those who watch: `[trace] [hep] [health]`.
//!
//! Each key has its default and its limits here.

use super::World;
use super::file::Table;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Ladders kept unless the file says otherwise: at some 20 messages of 900 bytes they take 4 MB.
const TRACE_CALLS: u32 = 200;

/// Ladders that may be asked for; their bytes have a limit of their own.
const TRACE_CALLS_MAX: u32 = 20_000;

/// Off: a target that expects calls only must not be sent anything else unasked. The shipped files turn it on.
const HEALTH_EVERY: Duration = Duration::ZERO;

/// Whose datagrams a collector sees, unless the file says otherwise; any number does.
const CAPTURE_ID: u32 = 2001;

/// SIP messages that are kept to be shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Calls whose messages are kept, the newest. 0: nothing is kept.
    pub calls: u32,
    /// Whether numbers, names and addresses in SDP are masked where messages are shown. Credentials always are.
    pub mask: bool,
}

/// Where copies of all SIP messages go, as HEP version 3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hep {
    /// The collector, by UDP.
    pub to: SocketAddr,
    /// Names us among those who send to it.
    pub capture_id: u32,
    /// What it knows us by, if it asks for that.
    pub password: Option<Password>,
    /// Whether messages are masked as in [`Trace::mask`]. Credentials always are.
    pub mask: bool,
}

/// A secret, which no log and no panic shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password(String);

impl Password {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Password {
        Password(text.to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

/// Whether targets are asked if they are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// From one OPTIONS to the next while the target answers. Zero: none is sent.
    pub every: Duration,
}

pub(super) fn trace(root: &Table<'_>) -> Trace {
    let table = root.table("trace");
    let calls = table.number("calls", 0..=TRACE_CALLS_MAX);
    let trace = Trace {
        calls: calls.map_or(TRACE_CALLS, |calls| calls.it),
        mask: table.flag("mask", true),
    };
    table.finish(&[]);
    trace
}

pub(super) fn hep(root: &Table<'_>, world: &dyn World) -> Option<Hep> {
    let table = root.table("hep");
    let must = "be \"udp:ADDRESS:PORT\" in quotes such as \"udp:192.0.2.9:9060\"";
    let to = table
        .required("to", "where the collector listens")
        .and_then(|value| value.read(must, |text| collector(text, world)));
    let capture_id = table.number("capture_id", 0..=u32::MAX);
    let password = table.value("password").map(|mut value| {
        value.spot.value = None;
        value.read("be text in quotes, of 1 to 255 characters", password)
    });
    let mask = table.flag("mask", false);
    table.finish(&[]);
    Some(Hep {
        to: to?,
        capture_id: capture_id.map_or(CAPTURE_ID, |id| id.it),
        password: password.flatten(),
        mask,
    })
}

pub(super) fn health(root: &Table<'_>) -> Health {
    let table = root.table("health");
    let an_hour = Duration::from_secs(3_600);
    let every = table.duration("every", HEALTH_EVERY, Duration::ZERO..=an_hour);
    table.finish(&[]);
    Health { every }
}

/// `udp:HOST:PORT`; a name is resolved now, and takes its first address.
fn collector(text: &str, world: &dyn World) -> Result<SocketAddr, String> {
    const MUST: &str =
        "must be \"udp:ADDRESS:PORT\" such as \"udp:192.0.2.9:9060\" or \"udp:[2001:db8::9]:9060\"";
    let rest = text.strip_prefix("udp:").ok_or(MUST)?;
    let address = match rest.parse::<SocketAddr>() {
        Ok(address) => address,
        Err(_) => {
            let (host, port) = rest.rsplit_once(':').ok_or(MUST)?;
            let port: u16 = port.parse().map_err(|_| MUST)?;
            let found = world.resolve(host).first().copied();
            SocketAddr::new(found.ok_or("its host name has no address")?, port)
        }
    };
    match address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
        true => Err(MUST.into()),
        false => Ok(address),
    }
}

fn password(text: &str) -> Result<Password, String> {
    match (1..=255).contains(&text.len()) {
        true => Ok(Password::from(text)),
        false => Err("must be 1 to 255 characters".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(format!("{:?}", Password::from("sesame")), "Password(***)");
    }
}
