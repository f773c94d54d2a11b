//! Free ports, each given out once. They lie below the kernel's ephemeral range, so that no socket
//! bound to port 0 takes one between our look and the peer's bind.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Mutex;

const FIRST: u32 = 10_000;
const LAST: u32 = 32_000;

static NEXT: Mutex<Option<u32>> = Mutex::new(None);

/// A port that is free in UDP and TCP.
pub fn one() -> u16 {
    block(2)
}

/// The first, even, of `count` ports in a row.
pub fn block(count: u16) -> u16 {
    let mut next = NEXT.lock().unwrap_or_else(|poison| poison.into_inner());
    // Test binaries that run at the same time start at different places.
    let mut first = next.unwrap_or(FIRST + std::process::id() * 98 % (LAST - FIRST));
    for _ in FIRST..LAST {
        first += first % 2;
        if first + u32::from(count) > LAST {
            first = FIRST;
        }
        let end = first + u32::from(count);
        match (first..end).rfind(|port| !is_free(*port)) {
            None => {
                *next = Some(end);
                return first as u16;
            }
            Some(taken) => first = taken + 1,
        }
    }
    panic!("no {count} free ports in a row between {FIRST} and {LAST}");
}

fn is_free(port: u32) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port as u16);
    UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
}

/// Whether somebody has bound this UDP port, or listens on this TCP port: asked from the kernel, since a trial bind
/// of ours could be in the way of the peer's own.
pub fn is_bound(port: u16) -> bool {
    let suffix = format!(":{port:04X}");
    let is_it = |line: &str, state: Option<&str>| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().is_some_and(|local| local.ends_with(&suffix));
        local && state.is_none_or(|state| words.nth(1) == Some(state))
    };
    // 0A: listening.
    let tables = [
        ("udp", None),
        ("udp6", None),
        ("tcp", Some("0A")),
        ("tcp6", Some("0A")),
    ];
    tables.into_iter().any(|(name, state)| {
        // Without IPv6 in the kernel there are no tables of it.
        let table = std::fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
        table.lines().any(|line| is_it(line, state))
    })
}
