//! Who calls, and which hotline is meant.
//!
//! Source: contract, "Configuration" (`[[trunk]] from`, `[[hotline]] numbers`) and "Refusals".

use super::number::is_same;
use crate::config::{Config, Hotline, Trunk};
use std::net::IpAddr;
use std::sync::Arc;

/// The first trunk whose networks hold this address; `None`: 403.
pub fn trunk_of(config: &Config, caller: IpAddr) -> Option<&Trunk> {
    let caller = caller.to_canonical();
    config
        .trunks
        .iter()
        .find(|trunk| trunk.from.iter().any(|net| net.contains(caller)))
}

/// The hotline with this number (user part of the Request-URI, unescaped); one that names it
/// goes before one that takes all (`"*"`), and one that names it in the same form before one that names it in
/// another. `None`: 404.
pub fn hotline_of<'a>(config: &'a Config, trunk: &Trunk, number: &str) -> Option<&'a Arc<Hotline>> {
    let having = |wanted: &str| {
        let named = |hotline: &&Arc<Hotline>| hotline.numbers.iter().any(|n| n == wanted);
        config.hotlines.iter().find(named)
    };
    let same = || {
        let code = trunk.country_code.as_deref()?;
        let named = |hotline: &&Arc<Hotline>| {
            let numbers = hotline.numbers.iter();
            numbers.into_iter().any(|n| is_same(n, number, code))
        };
        config.hotlines.iter().find(named)
    };
    having(number).or_else(same).or_else(|| having("*"))
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
