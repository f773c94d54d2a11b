//! The whole file: its sections together, and what concerns two keys at once.

use super::file::{At, Table};
use super::routes::{Ground, Routes};
use super::sections::{MediaFile, SipFile};
use super::{
    Config, Limits, Media, Sip, VOICES, World, observation, problem, profiles, routes, sections,
};
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
    let sip = sections::sip(&root);
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
    root.finish(&["sink", "pbx", "agent"]);

    listeners(&root, &sip, &media);
    addresses(&root, &sip, &media);
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
        trace,
        hep,
        health,
        trunks: routes.trunks.into_iter().collect::<Option<_>>()?,
        hotlines: routes
            .hotlines
            .into_iter()
            .map(|hotline| hotline.map(Arc::new))
            .collect::<Option<_>>()?,
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
        if listen.it.ip().is_unspecified() && sip.advertise.is_none() {
            complain(
                "listens on all addresses, so sip.advertise must say which one peers are told"
                    .into(),
            );
        }
        if let (Some(address), Some(ports)) = (&media.address, &media.ports) {
            let (first, last) = ports.it;
            let on_media = SocketAddr::new(address.it, listen.it.port());
            if (first..=last).contains(&listen.it.port()) && collide(on_media, listen.it) {
                complain(format!("its port lies in media.ports, {first}-{last}"));
            }
        }
    }
}

/// Whether two UDP sockets cannot both be bound.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let one_is_all = a.ip().is_unspecified() || b.ip().is_unspecified();
    let same_address = a.ip() == b.ip() || (one_is_all && a.is_ipv4() == b.is_ipv4());
    a.port() != 0 && a.port() == b.port() && same_address
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
            |listen: &At<SocketAddr>| told.map(|ip| SocketAddr::new(ip, listen.it.port()));
        let mut listen = sip.listen.iter();
        listen.any(|listen| listen.it == address || is_told(listen) == Some(address))
    };
    for target in routes.targets.iter().filter(|target| own(target.it)) {
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
        let collide = |a: &str, b: &str| super::collide(a.parse().unwrap(), b.parse().unwrap());
        assert!(collide("192.0.2.1:5060", "192.0.2.1:5060"));
        assert!(collide("0.0.0.0:5060", "192.0.2.1:5060"));
        assert!(!collide("192.0.2.1:5060", "192.0.2.1:5062"));
        assert!(!collide("192.0.2.1:5060", "192.0.2.2:5060"));
        assert!(!collide("[::]:5060", "192.0.2.1:5060"));
        assert!(!collide("127.0.0.1:0", "127.0.0.1:0"));
    }
}
