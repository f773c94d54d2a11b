//! A target's URI: only as much of it as says where to send to.
//!
//! The URI itself goes into our Request-URI as it stands; `sip` reads it again there.
//! Source: RFC 3261 §19.1.1, §26.2.2 (`sips:` is TLS), RFC 3263 §4.1 and §4.2 (transport and default port; SRV is of a
//! later version).

use crate::base::transport::Transport;
use std::net::IpAddr;

const MUST: &str = "must be a SIP URI such as \"sip:1000@192.0.2.10:5060\"";

/// Host, port and transport of a URI.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub host: Host<'a>,
    pub port: u16,
    pub transport: Transport,
}

/// An address, or a name to be resolved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host<'a> {
    Address(IpAddr),
    Name(&'a str),
}

/// Reads `sip:[user@]host[:port][;parameters]`, or `sips:`.
pub(super) fn place(uri: &str) -> Result<Place<'_>, String> {
    if uri
        .bytes()
        .any(|b| !b.is_ascii_graphic() || b"<>\"".contains(&b))
    {
        return Err(format!(
            "{MUST}, without blanks, quotes or brackets around it"
        ));
    }
    let (is_sips, rest) = match uri.split_once(':') {
        Some(("sip", rest)) => (false, rest),
        Some(("sips", rest)) => (true, rest),
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
    let (host, port) = host_port(parts.next().unwrap_or_default())?;
    let mut named = None;
    for part in parts {
        named = parameter(part)?.or(named);
    }
    let transport = match (is_sips, named) {
        (true, Some(Transport::Udp)) => {
            return Err("sips: is TLS, which is not spoken over udp".into());
        }
        (true, _) => Transport::Tls,
        (false, named) => named.unwrap_or(Transport::Udp),
    };
    let port = port.unwrap_or(transport.default_port());
    Ok(Place {
        host,
        port,
        transport,
    })
}

fn host_port(text: &str) -> Result<(Host<'_>, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (v6(host)?, None),
        Some((host, rest)) => (v6(host)?, Some(rest.strip_prefix(':').ok_or(MUST)?)),
        None => match text.split_once(':') {
            Some((host, port)) => (named(host)?, Some(port)),
            None => (named(text)?, None),
        },
    };
    let port = port.map(str::parse).transpose().map_err(|_| MUST)?;
    match port {
        Some(0) => Err("the port must be 1 to 65535".into()),
        port => Ok((host, port)),
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

/// The transport, if it is this parameter; one that would send it elsewhere than the host says is refused.
fn parameter(text: &str) -> Result<Option<Transport>, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    match name.to_ascii_lowercase().as_str() {
        "transport" => match Transport::of_name(value) {
            Some(transport) => Ok(Some(transport)),
            None => Err("its transport must be udp, tcp or tls".into()),
        },
        "maddr" => Err("maddr is not supported: write the address as the host".into()),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_found() {
        use Transport::{Tcp, Tls, Udp};
        for (uri, host, port, transport) in [
            ("sip:1000@192.0.2.1:5090", "192.0.2.1", 5090, Udp),
            ("sip:192.0.2.1", "192.0.2.1", 5060, Udp),
            (
                "sip:a;x=1?y@192.0.2.1;user=phone;transport=UDP;lr",
                "192.0.2.1",
                5060,
                Udp,
            ),
            ("sip:a@[2001:db8::1]", "2001:db8::1", 5060, Udp),
            ("sip:a@[2001:db8::1]:5062;lr", "2001:db8::1", 5062, Udp),
            ("sip:a@192.0.2.1;Transport=TcP", "192.0.2.1", 5060, Tcp),
            ("sip:a@192.0.2.1;transport=tls", "192.0.2.1", 5061, Tls),
            ("sips:a@192.0.2.1", "192.0.2.1", 5061, Tls),
            (
                "sips:a@192.0.2.1:5070;transport=tcp",
                "192.0.2.1",
                5070,
                Tls,
            ),
        ] {
            let host = Host::Address(host.parse().unwrap());
            let expected = Place {
                host,
                port,
                transport,
            };
            assert_eq!(place(uri), Ok(expected), "{uri}");
        }
        let name = place("sip:queue@pbx-1.example.org:5070").unwrap();
        assert_eq!(
            name,
            Place {
                host: Host::Name("pbx-1.example.org"),
                port: 5070,
                transport: Transport::Udp,
            }
        );
    }

    #[test]
    fn what_cannot_be_sent_to_is_refused() {
        for uri in [
            "",
            "sip:",
            "tel:110",
            "sips:a@b.example;transport=udp",
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
            "sip:a@c.example;transport=sctp",
            "sip:a@c.example;transport",
            "sip:a@c.example;maddr=192.0.2.1",
            "sip:a@座席.example",
        ] {
            assert!(place(uri).is_err(), "{uri}");
        }
    }
}
