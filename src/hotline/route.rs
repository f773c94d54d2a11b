//! Who calls, and which hotline is meant.
//!
//! Source: contract, "Configuration" (`[[trunk]] from`, `[[hotline]] numbers`) and "Refusals".

use super::number::is_same;
use crate::config::{Config, Hotline, Trunk};
use std::net::IpAddr;
use std::sync::Arc;

/// What is asked of who sends from an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry<'c> {
    /// Nothing: a trunk without a password, or a target.
    Known,
    /// To be one of these trunks, all of which have a password; those whose networks hold the address come first.
    Login(Vec<&'c Trunk>),
    /// There is no way in: 403.
    Stranger,
}

/// What is asked of a request from this address. The first trunk whose networks hold it decides; a trunk with a
/// password and without networks is open to all others. A target needs no password but to call.
pub fn entry(config: &Config, source: IpAddr, is_invite: bool) -> Entry<'_> {
    let by_address = trunk_of(config, source);
    if by_address.is_some_and(|trunk| trunk.auth.is_none()) {
        return Entry::Known;
    }
    let is_target = is_target(config, source);
    if is_target && !is_invite {
        return Entry::Known;
    }
    let source = source.to_canonical();
    let here = |trunk: &&Trunk| trunk.from.iter().any(|net| net.contains(source));
    let anywhere = |trunk: &&Trunk| trunk.from.is_empty();
    let with_password = || config.trunks.iter().filter(|trunk| trunk.auth.is_some());
    let trunks: Vec<&Trunk> = with_password()
        .filter(here)
        .chain(with_password().filter(anywhere))
        .collect();
    match (trunks.is_empty(), is_target) {
        (false, _) => Entry::Login(trunks),
        (true, true) => Entry::Known,
        (true, false) => Entry::Stranger,
    }
}

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
