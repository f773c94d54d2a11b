//! Goal: the rooms of the design stay apart, and what is below the shell stays pure.
//! Method: every path in `src/` (not only `use` lines) is read and held against the order of the rooms
//! and a list of what no pure room may name. Test code is left out. Blind spot, on purpose: what a
//! dependency does inside itself, and what a macro of another crate names.

#[path = "rooms/lexer.rs"]
mod lexer;

use lexer::{Path, paths};
use std::fs;
use std::path::Path as File;

/// The rooms from the bottom up; those of one line do not import each other.
const ORDER: [&[&str]; 8] = [
    &["base"],
    &["config"],
    &["hearing", "media", "sip"],
    &["hotline"],
    &["call"],
    &["engine", "phone"],
    &["service"],
    &["cli"],
];

/// The rooms that do IO.
const SHELL: [&str; 2] = ["service", "cli"];

/// A crate that only one place may name, so that its faults end there.
const KEPT_IN: [(&str, &str); 2] = [("rsip", "sip::wire"), ("rtp_rs", "media::rtp")];

/// Names that no pure room may use, whatever the path before them.
const IMPURE_NAMES: [&str; 24] = [
    "tokio",
    "socket2",
    "rustix",
    "rusqlite",
    "axum",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "ToSocketAddrs",
    "SystemTime",
    "HashMap",
    "HashSet",
    "RandomState",
    "DefaultHasher",
    "thread_rng",
    "ThreadRng",
    "OsRng",
    "SysRng",
    "getrandom",
    "thread_local",
    "unsafe",
];

/// Beginnings of paths that no pure room may use.
const IMPURE_PATHS: [&[&str]; 16] = [
    &["std", "time", "Instant"],
    &["std", "time", "*"],
    &["std", "thread"],
    &["std", "fs"],
    &["std", "env"],
    &["std", "process"],
    &["std", "os"],
    &["std", "sync", "Mutex"],
    &["std", "sync", "RwLock"],
    &["std", "sync", "Condvar"],
    &["std", "sync", "mpsc"],
    &["std", "sync", "*"],
    &["std", "*"],
    &["std", "io", "stdout"],
    &["std", "io", "stderr"],
    &["rand", "random"],
];

/// Modules that would hide the above behind a shorter name if they were imported whole.
const NOT_WHOLE: [&[&str]; 3] = [&["std"], &["std", "time"], &["std", "sync"]];

/// Macros that write to the terminal.
const IMPURE_MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// What is wrong with one file. `module` is its place in the crate: `sip::wire`.
fn faults(module: &str, source: &str) -> Vec<String> {
    let module: Vec<&str> = module.split("::").collect();
    let mut faults = Vec::new();
    for path in paths(source) {
        let said = [
            arrow(&module, &path),
            kept(&module, &path),
            impure(&module, &path),
        ];
        let shown = path.segments.join("::");
        faults.extend(
            said.into_iter()
                .flatten()
                .map(|says| format!("{}: {shown}: {says}", path.line)),
        );
    }
    faults
}

fn rank(room: &str) -> Option<usize> {
    ORDER.iter().position(|rooms| rooms.contains(&room))
}

/// The room that a path of this crate leads to; `None` for other crates and local names.
fn leads_to(module: &[&str], path: &Path) -> Option<String> {
    let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
    if let ["crate" | "qingjiang", room, ..] = segments[..] {
        return Some(room.to_owned());
    }
    let ups = segments
        .iter()
        .take_while(|segment| **segment == "super")
        .count();
    let here: Vec<&str> = module
        .iter()
        .copied()
        .chain(path.inside.iter().map(String::as_str))
        .collect();
    if ups == 0 || ups < here.len() {
        return None;
    }
    segments.get(ups).map(|room| room.to_string())
}

fn arrow(module: &[&str], path: &Path) -> Option<String> {
    let from = module[0];
    let to = leads_to(module, path)?;
    let Some(to_rank) = rank(&to) else {
        return Some(format!("`{to}` is no room"));
    };
    match rank(from) {
        None => Some(format!("`{from}` is no room")),
        Some(from_rank) if from == to || to_rank < from_rank => None,
        Some(from_rank) if from_rank == to_rank => {
            Some(format!("`{from}` and `{to}` do not know each other"))
        }
        Some(_) => Some(format!("an arrow from `{from}` up to `{to}`")),
    }
}

fn kept(module: &[&str], path: &Path) -> Option<String> {
    let first = path.segments.first()?;
    let (name, home) = KEPT_IN.iter().find(|(name, _)| name == first)?;
    let is_home = home
        .split("::")
        .zip(module.iter().map(Some).chain([None; 2]))
        .all(|(a, b)| b == Some(&a));
    (!is_home).then(|| format!("only `{home}` names `{name}`"))
}

fn impure(module: &[&str], path: &Path) -> Option<String> {
    if SHELL.contains(&module[0]) {
        return None;
    }
    let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
    let last = segments.last()?;
    let is_impure = segments
        .iter()
        .any(|segment| IMPURE_NAMES.contains(segment))
        || IMPURE_PATHS
            .iter()
            .any(|impure| segments.starts_with(impure))
        || (segments[0] == "std" && NOT_WHOLE.contains(&&segments[..]))
        || (path.is_macro && IMPURE_MACROS.contains(last));
    is_impure.then(|| format!("not in a pure room such as `{}`", module[0]))
}

/// Every source file below a folder, as module path and text. Test modules and the roots are left out.
fn sources(folder: &File, module: &str, found: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let inner = match (module, stem.as_str()) {
            (module, "mod") => module.to_owned(),
            ("", "lib" | "main") | (_, "tests") => continue,
            ("", stem) => stem.to_owned(),
            (module, stem) => format!("{module}::{stem}"),
        };
        if path.is_dir() {
            sources(&path, &inner, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push((inner, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn no_arrow_runs_up_and_the_pure_rooms_are_pure() {
    let mut found = Vec::new();
    sources(
        &File::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        "",
        &mut found,
    );
    assert!(found.len() > ORDER.len(), "the sources were not found");
    let all: Vec<String> = found
        .iter()
        .flat_map(|(module, text)| {
            faults(module, text)
                .into_iter()
                .map(move |fault| format!("{module}, line {fault}"))
        })
        .collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn every_room_is_in_the_order() {
    let text =
        fs::read_to_string(File::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let rooms = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for room in rooms {
        assert!(rank(room).is_some(), "{room} has no place in the order");
    }
}

mod the_check_itself {
    use super::faults;

    #[track_caller]
    fn refused(module: &str, source: &str) {
        assert_eq!(
            faults(module, source).len(),
            1,
            "{module}: {source}: {:?}",
            faults(module, source)
        );
    }

    #[track_caller]
    fn allowed(module: &str, source: &str) {
        assert_eq!(faults(module, source), [""; 0], "{module}: {source}");
    }

    #[test]
    fn arrows_run_down_only() {
        allowed("sip::dialog", "use crate::base::time::Instant;");
        allowed("call", "fn f() { crate::sip::sdp::read(b\"\"); }");
        allowed("cli::run", "use crate::service;");
        allowed("hotline::route", "use crate::hotline::record::Record;");
        refused("sip::dialog", "use crate::hotline::Route;");
        refused("base::time", "use crate::config::Config;");
        refused("hotline", "fn f() -> crate::engine::Engine { todo() }");
        refused("config", "impl From<crate::sip::Uri> for X {}");
        refused("engine", "use crate::phone::Phone;");
        refused("cli", "use crate::Engine;");
    }

    #[test]
    fn rooms_of_one_floor_do_not_know_each_other() {
        for (from, to) in [("sip", "media"), ("media", "hearing"), ("hearing", "sip")] {
            refused(&format!("{from}::a::b"), &format!("use crate::{to}::X;"));
        }
    }

    #[test]
    fn groups_globs_and_renames_are_seen_through() {
        allowed(
            "call",
            "use crate::{base::{ids::Leg, time}, sip::{self, sdp as d}};",
        );
        refused(
            "sip",
            "use crate::{base::{ids::Leg, time}, call::{doors as d}};",
        );
        assert_eq!(
            faults("sip", "use crate::{call::{self, doors}, media::*};").len(),
            3
        );
        refused("sip", "pub(crate) use crate::engine as e;");
        refused(
            "media",
            "use std::{time::{Duration, Instant}, net::SocketAddr};",
        );
        refused("media", "use std::time::*;");
        refused("media", "use std::time::{self, Duration};");
    }

    #[test]
    fn super_is_followed_to_its_room() {
        allowed(
            "sip::wire::uri",
            "use super::super::sdp; use super::Message;",
        );
        refused("sip::sdp", "use super::super::hotline::Route;");
        refused("sip", "use super::call::doors;");
        allowed("sip", "mod inner { use super::sdp; }");
        refused(
            "sip",
            "mod inner { fn f() { if true {} } use super::super::call; }",
        );
        allowed("sip", "mod inner { } mod other { use super::inner; }");
    }

    #[test]
    fn a_crate_with_faults_is_named_in_its_one_place() {
        allowed("sip::wire", "use rsip::Header;");
        allowed("sip::wire::headers", "use rsip::Header;");
        allowed("media::rtp", "use rtp_rs::RtpReader;");
        refused("sip", "use rsip::Header;");
        refused("sip::dialog", "fn f(_: &rsip::Headers) {}");
        refused("service", "use rtp_rs::Seq;");
        refused("media::relay", "fn f() { rtp_rs::Seq::from(1); }");
    }

    #[test]
    fn clocks_sockets_threads_and_chance_stay_in_the_shell() {
        for source in [
            "use tokio::time::sleep;",
            "use std::net::UdpSocket;",
            "fn f() { let now = std::time::Instant::now(); }",
            "use std::time::SystemTime;",
            "use std::thread;",
            "fn f() { std::fs::read(\"x\"); }",
            "use std::collections::HashMap;",
            "use std::collections::{BTreeMap, HashSet};",
            "fn f() -> u8 { rand::random() }",
            "use std::sync::Mutex;",
            "fn f() { println!(\"x\"); }",
            "fn f() { unsafe { g() } }",
        ] {
            refused("engine", source);
            refused("media::stats", source);
            allowed("service::control", source);
        }
        allowed(
            "media",
            "use std::net::{IpAddr, SocketAddr}; use std::time::Duration; use std::sync::Arc;",
        );
        allowed(
            "media",
            "fn f(now: Instant, print: u8) -> bool { print != 1 }",
        );
    }

    #[test]
    fn comments_literals_and_tests_do_not_count() {
        for source in [
            "// use tokio;\n/* std::fs /* nested */ HashMap */\n//! [`crate::engine`]",
            "const A: &str = \"use tokio; \\\" HashMap\"; const B: char = '\"'; const C: &str = r#\"a\" tokio\"#;",
            "fn f<'a>(x: &'a str) -> &'a str { x } const Q: u8 = b'\\''; const S: &[u8] = b\"tokio\";",
            "#[cfg(test)]\nmod tests { use std::time::Instant; fn f() { println!(\"{}\", 1); } }",
            "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;",
            "#[cfg(test)]\nuse std::fs;",
        ] {
            allowed("media", source);
            refused("media", &format!("{source}\nuse std::fs;"));
        }
    }

    #[test]
    fn a_fault_has_its_line() {
        let source = "//! One\n\nuse crate::base;\nconst A: &str = \"\n\";\nuse crate::cli;\n";
        assert_eq!(
            faults("sip", source),
            ["6: crate::cli: an arrow from `sip` up to `cli`"]
        );
    }
}
