//! Via: the way of a request, and back of its response.
//!
//! Source: RFC 3261 §18.2.1, §20.42; RFC 3581 (`rport`); RFC 5118 §4.5 (`received` with and without brackets).

use super::fault::PeerFault;
use super::host::{Host, bare_or_bracketed};
use super::params::Params;
use super::scan::{digits, is_token, split};
use super::text::trim;
use std::fmt;
use std::net::IpAddr;

/// One hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP` …, as it was written.
    pub transport: String,
    /// Host of the sent-by.
    pub host: Host,
    /// Port of the sent-by.
    pub port: Option<u16>,
    /// Its parameters.
    pub params: Params,
}

impl Via {
    /// Reads one value.
    ///
    /// # Errors
    /// It is malformed; an empty parameter counts as that (RFC 4475 §3.1.2.1).
    pub fn parse(text: &str) -> Result<Via, PeerFault> {
        Self::read(trim(text)).ok_or(PeerFault::Malformed("Via"))
    }

    /// Reads values with commas between them; an empty one is passed over.
    ///
    /// # Errors
    /// One of them is malformed.
    pub fn parse_list(text: &str) -> Result<Vec<Via>, PeerFault> {
        split(text, ',')
            .into_iter()
            .filter(|one| !one.is_empty())
            .map(Via::parse)
            .collect()
    }

    fn read(text: &str) -> Option<Via> {
        let (hop, params) = match text.split_once(';') {
            Some((hop, params)) => (hop, Params::parse(params, false)?),
            None => (text, Params::default()),
        };
        let mut parts = hop.splitn(3, '/').map(trim);
        let (protocol, version, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let (transport, sent_by) = rest.split_once([' ', '\t'])?;
        if !protocol.eq_ignore_ascii_case("SIP") || version != "2.0" || !is_token(transport) {
            return None;
        }
        let (host, port) = Host::parse_with_port(trim(sent_by))?;
        Some(Via {
            transport: transport.to_owned(),
            host,
            port,
            params,
        })
    }

    /// The branch, if it is there and not empty.
    pub fn branch(&self) -> Option<&str> {
        self.params
            .value("branch")
            .filter(|branch| !branch.is_empty())
    }

    /// Whether the response is asked for at the source port.
    pub fn has_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// The source port that was noted.
    pub fn rport(&self) -> Option<u16> {
        u16::try_from(digits(self.params.value("rport")?)?).ok()
    }

    /// The source address that was noted.
    pub fn received(&self) -> Option<IpAddr> {
        bare_or_bracketed(self.params.value("received")?)
    }

    /// Notes where the request came from, without brackets.
    pub fn set_received(&mut self, ip: IpAddr) {
        self.params.set("received", &ip.to_string());
    }

    /// Notes from which port it came.
    pub fn set_rport(&mut self, port: u16) {
        self.params.set("rport", &port.to_string());
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Via {
        Via::parse(text).unwrap_or_else(|_| panic!("a Via: {text}"))
    }

    #[test]
    fn blanks_are_allowed_everywhere_between() {
        let via = read("SIP  /   2.0 /UDP    192.0.2.2 : 5070;branch = 390skdjuw ; rport");
        assert_eq!(
            via.to_string(),
            "SIP/2.0/UDP 192.0.2.2:5070;branch=390skdjuw;rport"
        );
    }

    #[test]
    fn the_source_is_noted_at_its_place() {
        let mut via = read("SIP/2.0/UDP [2001:db8::9:1];rport;branch=z9hG4bK=abc==");
        assert!(via.has_rport() && via.rport().is_none());
        via.set_received("2001:db8::9".parse().expect("an address"));
        via.set_rport(5071);
        let text =
            "SIP/2.0/UDP [2001:db8::9:1];rport=5071;branch=z9hG4bK=abc==;received=2001:db8::9";
        assert_eq!(via.to_string(), text);
        assert_eq!(via.received(), "2001:db8::9".parse().ok());
        assert_eq!(
            (via.rport(), via.branch()),
            (Some(5071), Some("z9hG4bK=abc=="))
        );
    }

    #[test]
    fn received_is_read_with_and_without_brackets() {
        for text in ["[2001:db8::9:255]", "2001:db8::9:255"] {
            let via = read(&format!("SIP/2.0/UDP a;received={text};branch=b"));
            assert_eq!(via.received(), "2001:db8::9:255".parse().ok());
            assert_eq!(via.branch(), Some("b"));
        }
    }

    #[test]
    fn malformed_vias_are_refused() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP a;;",
            "HTTP/2.0/UDP a",
            "SIP/3.0/UDP a",
            "SIP/2.0/UDP a b",
            "UDP a",
        ] {
            assert_eq!(Via::parse(text), Err(PeerFault::Malformed("Via")), "{text}");
        }
    }

    #[test]
    fn a_list_gives_all_hops() {
        let list = Via::parse_list("SIP/2.0/UDP a;branch=1, SIP/2.0/TCP b").expect("a list");
        assert_eq!(
            list.iter().map(Via::to_string).collect::<Vec<_>>(),
            ["SIP/2.0/UDP a;branch=1", "SIP/2.0/TCP b"]
        );
    }
}
