//! Hosts: names and addresses, and the port behind them.

use super::scan::digits;
use super::text::trim;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A host of a URI or Via.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name, as it was written.
    Domain(String),
    /// An address.
    Ip(IpAddr),
}

impl Host {
    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Ip(ip) => Some(*ip),
            Host::Domain(_) => None,
        }
    }

    /// Reads `host [":" port]`, blanks around the colon allowed (RFC 3261 §25.1, `COLON`).
    pub(super) fn parse_with_port(text: &str) -> Option<(Host, Option<u16>)> {
        let (host, behind) = match text.strip_prefix('[') {
            Some(inner) => {
                let (address, behind) = inner.split_once(']')?;
                (Host::Ip(IpAddr::V6(ipv6(address)?)), trim(behind))
            }
            None => {
                let at = text.find(':').unwrap_or(text.len());
                let (name, behind) = text.split_at_checked(at)?;
                (named(trim(name))?, behind)
            }
        };
        if behind.is_empty() {
            return Some((host, None));
        }
        let port = digits(trim(behind.strip_prefix(':')?))?;
        Some((host, Some(u16::try_from(port).ok()?)))
    }
}

fn named(name: &str) -> Option<Host> {
    if let Ok(ip) = name.parse() {
        return Some(Host::Ip(IpAddr::V4(ip)));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    (!name.is_empty() && name.bytes().all(fits)).then(|| Host::Domain(name.to_owned()))
}

/// An IPv6 address; the three colons that the first grammar of SIP allowed are borne (RFC 5118 §4.10).
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    text.parse()
        .or_else(|_| text.replacen(":::", "::", 1).parse())
        .ok()
}

/// An address with or without brackets (RFC 5118 §4.5).
pub(super) fn bare_or_bracketed(text: &str) -> Option<IpAddr> {
    let inner = text
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    inner.unwrap_or(text).parse().ok()
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Domain(name) => f.write_str(name),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let (host, port) = Host::parse_with_port(text)?;
        Some(format!("{host} {port:?}"))
    }

    #[test]
    fn hosts_are_names_and_addresses_with_or_without_a_port() {
        assert_eq!(read("example.com").as_deref(), Some("example.com None"));
        assert_eq!(
            read("192.0.2.1 : 5070").as_deref(),
            Some("192.0.2.1 Some(5070)")
        );
        assert_eq!(
            read("[2001:db8::10]:5070").as_deref(),
            Some("[2001:db8::10] Some(5070)")
        );
        assert_eq!(
            read("[2001:db8::10:5070]").as_deref(),
            Some("[2001:db8::10:5070] None")
        );
        assert_eq!(
            read("[2001:db8:::192.0.2.1]"),
            read("[2001:db8::192.0.2.1]")
        );
    }

    #[test]
    fn what_is_no_host_is_none() {
        for text in [
            "",
            "2001:db8::10",
            "a b",
            "a:",
            "a:x",
            "a:70000",
            "[::1",
            "[x]",
            "[::1]x",
            "a@b",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
