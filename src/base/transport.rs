//! What carries SIP.
//!
//! Source: RFC 3261 §18 (transports), §19.1.2 and §26.2.2 (default ports), §20.42 (names in Via).

use serde::{Deserialize, Serialize};

/// A transport of SIP.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Datagrams: whoever sends repeats.
    #[default]
    Udp,
    /// A stream.
    Tcp,
    /// A stream under TLS.
    Tls,
}

impl Transport {
    /// All of them.
    pub const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

    /// Whether what was sent arrives or the sender is told: nothing is repeated then.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// The port of a host without one.
    pub const fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
        }
    }

    /// Its name in the configuration and in a URI's `transport` parameter.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }

    /// Its name in a Via.
    pub const fn in_via(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }

    /// The one of this name, in any case.
    pub fn of_name(name: &str) -> Option<Transport> {
        let mut all = Transport::ALL.into_iter();
        all.find(|transport| transport.name().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_in_any_case() {
        assert_eq!(Transport::of_name("TcP"), Some(Transport::Tcp));
        assert_eq!(Transport::of_name("tls"), Some(Transport::Tls));
        assert_eq!(Transport::of_name("sctp"), None);
        for transport in Transport::ALL {
            assert_eq!(Transport::of_name(transport.in_via()), Some(transport));
        }
    }
}
