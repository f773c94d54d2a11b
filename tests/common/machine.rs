//! The machine that a configuration is checked against, made up: the same for all tests that read one.

use qingjiang::config::{VOICES, World};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

/// Names of the built-in prompts of R1's scripts.
pub const PROMPTS: [&str; 6] = [
    "silent-connected",
    "silent-please-speak",
    "silent-can-you-hear",
    "silent-redial-other-phone",
    "silent-redial",
    "silent-hanging-up",
];

/// Resolves `*.example.org` to both families; has the built-in prompts, and one of its own (`own-words`) in a
/// male voice where a folder is given; has every folder but `/nowhere`, and four cores.
pub struct Machine;

impl World for Machine {
    fn resolve(&self, host: &str) -> Vec<IpAddr> {
        let known = host.ends_with(".example.org");
        let addresses = ["2001:db8::7", "192.0.2.7"].map(|address| address.parse().unwrap());
        addresses.into_iter().filter(|_| known).collect()
    }

    fn prompts(&self, path: Option<&Path>, voice: &str) -> BTreeSet<String> {
        assert!(VOICES.contains(&voice));
        let own = path.filter(|_| voice == "zh-male").map(|_| "own-words");
        PROMPTS.into_iter().chain(own).map(String::from).collect()
    }

    fn is_folder(&self, path: &Path) -> bool {
        path != Path::new("/nowhere")
    }

    fn cores(&self) -> u16 {
        4
    }

    fn first_line(&self, path: &Path) -> Option<String> {
        let line = format!("the first line of {}", path.display());
        Some(line).filter(|_| path != Path::new("/nowhere"))
    }
}
