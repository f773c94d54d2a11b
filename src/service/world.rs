//! What the configuration's check asks of the machine: names, prompts, folders, certificates, cores.

use super::{prompts, transport::tls};
use crate::config::{Tls, TlsFile, World};
use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;

/// This machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisMachine;

impl World for ThisMachine {
    fn resolve(&self, host: &str) -> Vec<IpAddr> {
        let found = (host, 0).to_socket_addrs();
        found
            .map(|all| all.map(|address| address.ip()).collect())
            .unwrap_or_default()
    }

    fn prompts(&self, path: Option<&Path>, voice: &str) -> BTreeSet<String> {
        let embedded = prompts::embedded_prompt_names();
        let mut ids: BTreeSet<String> = embedded
            .into_iter()
            .filter(|(of, _)| of == voice)
            .map(|(_, id)| id)
            .collect();
        if let Some(folder) = path {
            ids.extend(wav_names(&folder.join(voice)));
        }
        ids
    }

    fn is_folder(&self, path: &Path) -> bool {
        std::fs::read_dir(path).is_ok()
    }

    fn tls_faults(&self, files: &Tls) -> Vec<(TlsFile, String)> {
        tls::load(files).err().unwrap_or_default()
    }

    fn cores(&self) -> u16 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        u16::try_from(cores).unwrap_or(u16::MAX)
    }

    fn first_line(&self, path: &Path) -> Option<String> {
        let text = std::fs::read_to_string(path).ok()?;
        Some(text.lines().next().unwrap_or_default().to_owned())
    }
}

/// Names of the WAV files in a folder, without their ending.
fn wav_names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter_map(|name| name.strip_suffix(".wav").map(str::to_owned))
        .collect()
}
