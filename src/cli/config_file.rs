//! Reading the configuration file, for the commands that take one.

use crate::config::{self, Config};
use crate::service::world::ThisMachine;
use std::path::{Path, PathBuf};

/// Reads and checks a file.
///
/// # Errors
/// All that is wrong with it, a line each, for standard error.
pub fn load(path: &Path) -> Result<Config, String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    config::read(&text, &name, &ThisMachine).map_err(|problems| problems.to_string())
}

/// The folder of the records that a configuration names.
///
/// # Errors
/// As [`load`].
pub fn store_path(path: &Path) -> Result<PathBuf, String> {
    load(path).map(|config| config.store.path)
}

/// A length of time as the configuration writes it (`60s`, `10m`), for an argument.
///
/// # Errors
/// It is none.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    let parsed: Result<jiff::SignedDuration, _> = text.parse();
    let wrong = || format!("{text:?} is no length of time, such as 60s or 10m");
    parsed
        .ok()
        .and_then(|length| length.try_into().ok())
        .ok_or_else(wrong)
}
