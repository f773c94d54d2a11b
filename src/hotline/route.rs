//! Who calls, and which hotline is meant.
//!
//! Source: contract, "Configuration" (`[[trunk]] from`, `[[hotline]] numbers`) and "Refusals".

use crate::config::{Config, Hotline};
use std::net::IpAddr;

/// Index of the first trunk whose networks hold this address; `None`: 403.
pub fn trunk_of(config: &Config, caller: IpAddr) -> Option<usize> {
    let caller = caller.to_canonical();
    config
        .trunks
        .iter()
        .position(|trunk| trunk.from.iter().any(|net| net.contains(caller)))
}

/// Index of the hotline with this number (user part of the Request-URI, unescaped); one that names it
/// goes before one that takes all (`"*"`). `None`: 404.
pub fn hotline_of(config: &Config, number: &str) -> Option<usize> {
    let having = |wanted: &str| {
        let named = |hotline: &Hotline| hotline.numbers.iter().any(|n| n == wanted);
        config.hotlines.iter().position(named)
    };
    having(number).or_else(|| having("*"))
}

/// Whether this address is one of the targets': a PBX may check us with OPTIONS.
pub fn is_target(config: &Config, address: IpAddr) -> bool {
    let address = address.to_canonical();
    config
        .hotlines
        .iter()
        .flat_map(|h| &h.targets)
        .any(|t| t.address.ip() == address)
}
