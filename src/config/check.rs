//! The whole file: its sections together, and what concerns two keys at once.

use super::file::{At, Table};
use super::routes::{Ground, Routes, Way};
use super::sections::{MediaFile, SipFile};
use super::{
    Config, Limits, Listen, Media, Sip, VOICES, World, auth, observation, problem, profiles,
    routes, sections,
};
use crate::base::transport::Transport;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// An RTP and an RTCP port for each of two legs.
const PORTS_PER_CALL: u32 = 4;

/// Calls at once unless the file says otherwise.
const CALLS: u32 = 2_000;

/// Reads and checks a whole file; problems go to the walk. `None` only if there are some.
pub(super) fn config(root: Table<'_>, world: &dyn World) -> Option<Config> {
    let sip = sections::sip(&root, world);
    let media = sections::media(&root);
    let web = sections::web(&root);
    let store = sections::store(&root);
    let prompts = sections::prompts(&root, world);
    let calls = sections::calls(&root);
    let log = sections::log(&root);
    let trace = observation::trace(&root);
    let hep = observation::hep(&root, world);
    let health = observation::health(&root);
    let profiles = profiles::read(&root);
    let ground = Ground {
        world,
        profiles: &profiles,
        listen: &sip.listen,
    };
    let routes = routes::read(&root, &ground);
    let auth = auth::auth(&root);
    let resolve = |uri: &str| routes::resolved(uri, &ground);
    let registrations = auth::registrations(&root, resolve, world);
    root.finish(&["sink", "pbx", "agent"]);

    listeners(&root, &sip, &media);
    addresses(&root, &sip, &media);
    certificates(&root, &sip, &routes);
    loops(&root, &sip, &routes);
    twice(&root, &routes);
    scripts(
        &root,
        &profiles.prompts,
        &routes,
        prompts.path.as_deref(),
        world,
    );
    let (calls, threads) = capacity(&root, &media, calls, world);

    Some(Config {
        sip: Sip {
            listen: sip.listen.into_iter().map(|listen| listen.it).collect(),
            advertise: sip.advertise.map(|advertise| advertise.it),
            drain_timeout: sip.drain_timeout,
            dscp: sip.dscp,
            tls: sip.tls,
        },
        media: Media {
            address: media.address?.it,
            ports: media.ports?.it,
            threads,
        },
        web,
        store,
        prompts,
        limits: Limits { calls },
        log,
        auth,
        trace,
        hep,
        health,
        trunks: routes.trunks.into_iter().collect::<Option<_>>()?,
        hotlines: routes
            .hotlines
            .into_iter()
            .map(|hotline| hotline.map(Arc::new))
            .collect::<Option<_>>()?,
        registrations: registrations.into_iter().collect::<Option<_>>()?,
    })
}

/// No two sockets on one port, none among the media ports, none on all addresses without one to tell.
fn listeners(root: &Table<'_>, sip: &SipFile, media: &MediaFile) {
    for (index, listen) in sip.listen.iter().enumerate() {
        let complain = |says: String| root.walk.complain(&listen.spot, says);
        let mut earlier = sip.listen.iter().take(index);
        if let Some(first) = earlier.find(|first| collide(first.it, listen.it)) {
            let line = first.spot.line;
            complain(format!(
                "the same socket is in this list already, in line {line}"
            ));
        }
        if listen.it.address.ip().is_unspecified() && sip.advertise.is_none() {
            complain(
                "listens on all addresses, so sip.advertise must say which one peers are told"
                    .into(),
            );
        }
        if let (Some(address), Some(ports)) = (&media.address, &media.ports) {
            let (first, last) = ports.it;
            let port = listen.it.address.port();
            let on_media = Listen::udp(SocketAddr::new(address.it, port));
            if (first..=last).contains(&port) && collide(on_media, listen.it) {
                complain(format!("its port lies in media.ports, {first}-{last}"));
            }
        }
    }
}

/// TLS needs a certificate, and where a peer's is to be looked at, the authorities that are believed.
fn certificates(root: &Table<'_>, sip: &SipFile, routes: &Routes) {
    let needs = "[sip.tls] with cert and key is needed for this";
    let mut listen = sip.listen.iter();
    if let Some(listen) = listen.find(|listen| listen.it.transport == Transport::Tls)
        && !sip.has_tls
    {
        root.walk.complain(&listen.spot, needs);
    }
    let without_ca = sip.tls.as_ref().is_some_and(|tls| tls.ca.is_none());
    let over_tls = |target: &&At<Way>| target.it.transport == Transport::Tls;
    for target in routes
        .targets
        .iter()
        .filter(over_tls)
        .filter(|_| without_ca)
    {
        let says = "is called over TLS, so sip.tls.ca must say whose certificates are believed";
        root.walk.complain(&target.spot, says);
    }
}

/// Whether two sockets cannot both be bound.
fn collide(a: Listen, b: Listen) -> bool {
    let same_kind = a.transport.is_reliable() == b.transport.is_reliable();
    let (a, b) = (a.address, b.address);
    let one_is_all = a.ip().is_unspecified() || b.ip().is_unspecified();
    let same_address = a.ip() == b.ip() || (one_is_all && a.is_ipv4() == b.is_ipv4());
    same_kind && a.port() != 0 && a.port() == b.port() && same_address
}

/// The address in our SDP must be one, and of the family of the sockets behind it.
fn addresses(root: &Table<'_>, sip: &SipFile, media: &MediaFile) {
    let Some(address) = &media.address else {
        return;
    };
    match &sip.advertise {
        None if address.it.is_unspecified() => {
            let says =
                "receives on all addresses, so sip.advertise must say which one peers are told";
            root.walk.complain(&address.spot, says);
        }
        Some(advertise) if advertise.it.is_ipv4() != address.it.is_ipv4() => {
            let says = "must be of the same address family as media.address";
            root.walk.complain(&advertise.spot, says);
        }
        _ => {}
    }
}

/// A target that is one of our own sockets would be a call to ourselves.
fn loops(root: &Table<'_>, sip: &SipFile, routes: &Routes) {
    let own = |address: SocketAddr| {
        let told = sip.advertise.as_ref().map(|advertise| advertise.it);
        let is_told =
            |listen: &At<Listen>| told.map(|ip| SocketAddr::new(ip, listen.it.address.port()));
        let mut listen = sip.listen.iter();
        listen.any(|listen| listen.it.address == address || is_told(listen) == Some(address))
    };
    for target in routes
        .targets
        .iter()
        .filter(|target| own(target.it.address))
    {
        root.walk.complain(
            &target.spot,
            "is our own address: the call would come back to us",
        );
    }
}

/// Names, numbers and networks that only one may have.
fn twice(root: &Table<'_>, routes: &Routes) {
    unique(root, &routes.trunk_names, "another trunk has this name");
    unique(root, &routes.networks, "is claimed already");
    unique(root, &routes.hotline_names, "another hotline has this name");
    unique(root, &routes.numbers, "is claimed already");
}

fn unique<T: PartialEq>(root: &Table<'_>, all: &[At<T>], says: &str) {
    for (index, one) in all.iter().enumerate() {
        if let Some(first) = all.iter().take(index).find(|first| first.it == one.it) {
            let says = format!("{says}, in line {}", first.spot.line);
            root.walk.complain(&one.spot, says);
        }
    }
}

/// Every prompt of a script exists: the file's own in some voice, a hotline's in its own.
fn scripts(
    root: &Table<'_>,
    named: &[At<String>],
    routes: &Routes,
    path: Option<&Path>,
    world: &dyn World,
) {
    let prompts_of = |voice| (voice, world.prompts(path, voice));
    let by_voice: BTreeMap<&str, BTreeSet<String>> = VOICES.into_iter().map(prompts_of).collect();
    let known = || by_voice.values().flatten().map(String::as_str);
    for prompt in named {
        if !known().any(|id| id == prompt.it) {
            let says = match problem::nearest(&prompt.it, known()) {
                Some(meant) => format!("no such prompt; is \"{meant}\" meant?"),
                None => "no such prompt, neither built in nor in prompts.path".into(),
            };
            root.walk.complain(&prompt.spot, says);
        }
    }
    for script in &routes.voices {
        let voice = script.it.voice;
        let here = by_voice.get(voice);
        let is_missing = |id: &&String| here.is_none_or(|ids| !ids.contains(*id));
        let is_told = |id: &&String| {
            named.iter().any(|named| named.it == **id) && !known().any(|known| known == *id)
        };
        let prompts = script.it.prompts.iter();
        for id in prompts.filter(is_missing).filter(|id| !is_told(id)) {
            let says = format!("its prompt \"{id}\" does not exist in the voice {voice}");
            root.walk.complain(&script.spot, says);
        }
    }
}

/// Calls and media threads, within what the ports carry. Each thread needs the ports of one call.
fn capacity(
    root: &Table<'_>,
    media: &MediaFile,
    calls: Option<At<u32>>,
    world: &dyn World,
) -> (u32, u16) {
    let carried = media.ports.as_ref().map_or(CALLS, |ports| {
        let (first, last) = ports.it;
        (u32::from(last) - u32::from(first) + 1) / PORTS_PER_CALL
    });
    let says = format!("media.ports carry {carried} calls, at {PORTS_PER_CALL} ports each");
    for asked in [&calls, &media.threads].into_iter().flatten() {
        if asked.it > carried {
            root.walk.complain(&asked.spot, says.clone());
        }
    }
    let calls = calls.map_or(CALLS.min(carried), |calls| calls.it);
    let cores = u32::from(world.cores()).clamp(1, carried.max(1)).min(64);
    let threads = media.threads.as_ref().map_or(cores, |threads| threads.it);
    (calls, u16::try_from(threads).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    #[test]
    fn sockets_collide_on_one_port_of_one_address() {
        let socket = |text| super::super::values::listener(text).unwrap();
        let collide = |a, b| super::collide(socket(a), socket(b));
        assert!(collide("udp:192.0.2.1:5060", "udp:192.0.2.1:5060"));
        assert!(collide("tcp:192.0.2.1:5060", "tls:192.0.2.1:5060"));
        assert!(!collide("udp:192.0.2.1:5060", "tcp:192.0.2.1:5060"));
        assert!(collide("udp:0.0.0.0:5060", "udp:192.0.2.1:5060"));
        assert!(!collide("udp:192.0.2.1:5060", "udp:192.0.2.1:5062"));
        assert!(!collide("udp:192.0.2.1:5060", "udp:192.0.2.2:5060"));
        assert!(!collide("udp:[::]:5060", "udp:192.0.2.1:5060"));
        assert!(!collide("udp:127.0.0.1:0", "udp:127.0.0.1:0"));
    }
}
