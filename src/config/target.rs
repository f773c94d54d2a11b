//! A target's URI: only as much of it as says where to send to.
//!
//! The URI itself goes into our Request-URI as it stands; `sip` reads it again there.
//! Source: RFC 3261 §19.1.1, RFC 3263 §4 (the default port; SRV is of a later version).

use std::net::IpAddr;

/// The default port of SIP over UDP.
const SIP_PORT: u16 = 5060;

const MUST: &str = "must be a SIP URI such as \"sip:1000@192.0.2.10:5060\"";

/// Host and port of a URI.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub host: Host<'a>,
    pub port: u16,
}

/// An address, or a name to be resolved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host<'a> {
    Address(IpAddr),
    Name(&'a str),
}

/// Reads `sip:[user@]host[:port][;parameters]`.
pub(super) fn place(uri: &str) -> Result<Place<'_>, String> {
    if uri
        .bytes()
        .any(|b| !b.is_ascii_graphic() || b"<>\"".contains(&b))
    {
        return Err(format!(
            "{MUST}, without blanks, quotes or brackets around it"
        ));
    }
    let rest = match uri.split_once(':') {
        Some(("sip", rest)) => rest,
        Some(("sips", _)) => return Err("sips: is not supported yet in this version".into()),
        _ => return Err(MUST.into()),
    };
    // The user part may hold `;` and `?`, so it is cut off first.
    let (user, rest) = rest
        .split_once('@')
        .map_or((None, rest), |(user, rest)| (Some(user), rest));
    if user == Some("") || rest.contains('?') {
        return Err(format!("{MUST}; it takes no headers"));
    }
    let mut parts = rest.split(';');
    let place = host_port(parts.next().unwrap_or_default())?;
    parts.try_for_each(parameter)?;
    Ok(place)
}

fn host_port(text: &str) -> Result<Place<'_>, String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (v6(host)?, None),
        Some((host, rest)) => (v6(host)?, Some(rest.strip_prefix(':').ok_or(MUST)?)),
        None => match text.split_once(':') {
            Some((host, port)) => (named(host)?, Some(port)),
            None => (named(text)?, None),
        },
    };
    let port = port.map_or(Ok(SIP_PORT), str::parse).map_err(|_| MUST)?;
    match port {
        0 => Err("the port must be 1 to 65535".into()),
        port => Ok(Place { host, port }),
    }
}

fn v6(text: &str) -> Result<Host<'_>, String> {
    let address: std::net::Ipv6Addr = text.parse().map_err(|_| MUST)?;
    unicast(IpAddr::V6(address))
}

fn named(text: &str) -> Result<Host<'_>, String> {
    if let Ok(address) = text.parse::<std::net::Ipv4Addr>() {
        return unicast(IpAddr::V4(address));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    // A top label of digits only would be a mistyped address (RFC 3261 §25.1, `toplabel`).
    let top = text
        .trim_end_matches('.')
        .rsplit('.')
        .next()
        .unwrap_or_default();
    if text.bytes().all(plain) && top.starts_with(|c: char| c.is_ascii_alphabetic()) {
        Ok(Host::Name(text))
    } else {
        Err(MUST.into())
    }
}

fn unicast<'a>(address: IpAddr) -> Result<Host<'a>, String> {
    if address.is_multicast() || address.is_unspecified() {
        return Err("its host must be the address of one machine".into());
    }
    Ok(Host::Address(address))
}

/// Parameters that would send it elsewhere than the host says are refused.
fn parameter(text: &str) -> Result<(), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    match name.to_ascii_lowercase().as_str() {
        "transport" if !value.eq_ignore_ascii_case("udp") => {
            Err("transports other than udp are not supported yet in this version".into())
        }
        "maddr" => Err("maddr is not supported: write the address as the host".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_found() {
        for (uri, host, port) in [
            ("sip:1000@192.0.2.1:5090", "192.0.2.1", 5090),
            ("sip:192.0.2.1", "192.0.2.1", 5060),
            (
                "sip:a;x=1?y@192.0.2.1;user=phone;transport=UDP;lr",
                "192.0.2.1",
                5060,
            ),
            ("sip:a@[2001:db8::1]", "2001:db8::1", 5060),
            ("sip:a@[2001:db8::1]:5062;lr", "2001:db8::1", 5062),
        ] {
            let host = Host::Address(host.parse().unwrap());
            assert_eq!(place(uri), Ok(Place { host, port }), "{uri}");
        }
        let name = place("sip:queue@pbx-1.example.org:5070").unwrap();
        assert_eq!(
            name,
            Place {
                host: Host::Name("pbx-1.example.org"),
                port: 5070
            }
        );
    }

    #[test]
    fn what_cannot_be_sent_to_is_refused() {
        for uri in [
            "",
            "sip:",
            "tel:110",
            "sips:a@b.example",
            "1000@192.0.2.1",
            "sip:@192.0.2.1",
            "sip:a@",
            "sip:a@192.0.2.1:0",
            "sip:a@192.0.2.1:70000",
            "sip:a@192.0.2.1:",
            "sip:a@192.0.2.300",
            "sip:a@2001:db8::1",
            "sip:a@[192.0.2.1]",
            "sip:a@[::1",
            "sip:a@[::1]5060",
            "sip:a@224.0.0.1",
            "sip:a@0.0.0.0",
            "sip:a b@c.example",
            "<sip:a@c.example>",
            "sip:a@c.example?x=y",
            "sip:a@c.example;transport=tcp",
            "sip:a@c.example;maddr=192.0.2.1",
            "sip:a@座席.example",
        ] {
            assert!(place(uri).is_err(), "{uri}");
        }
    }
}
