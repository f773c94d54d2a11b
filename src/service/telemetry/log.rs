//! The log: lines on standard error, filtered as the configuration says.
//!
//! `RUST_LOG` goes before the configuration, for one run with more in it. Logs are for operators;
//! what callers say and who they are is in the records, not here.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not in the syntax of `tracing`.
    #[error("{source_name}: {error}")]
    Filter {
        /// Where it stands: the variable, or the configuration's key.
        source_name: &'static str,
        /// What is wrong with it.
        error: tracing_subscriber::filter::ParseError,
    },
    /// Something in this process logs already.
    #[error("the log was set up twice")]
    Twice,
}

/// Sets the log up, once a process.
///
/// # Errors
/// A filter that cannot be read, or a second call.
pub fn set_up(configured: &str) -> Result<(), LogError> {
    let from_environment = std::env::var("RUST_LOG").ok();
    tracing_subscriber::fmt()
        .with_env_filter(filter(configured, from_environment.as_deref())?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init()
        .map_err(|_| LogError::Twice)
}

/// The environment's filter, if there is one that says anything, else the configured one.
fn filter(configured: &str, from_environment: Option<&str>) -> Result<EnvFilter, LogError> {
    let (source_name, text) = match from_environment {
        Some(text) if !text.trim().is_empty() => ("RUST_LOG", text),
        _ => ("log.filter", configured),
    };
    let parsed = EnvFilter::builder().parse(text);
    parsed.map_err(|error| LogError::Filter { source_name, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_goes_before_the_configuration_if_it_says_anything() {
        let chosen = |environment| filter("info", environment).unwrap().to_string();
        assert_eq!(chosen(Some("qingjiang=debug")), "qingjiang=debug");
        assert_eq!(chosen(Some(" ")), "info");
        assert_eq!(chosen(None), "info");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named_by_where_it_stands() {
        let wrong = filter("qingjiang=loud", None).unwrap_err().to_string();
        assert!(wrong.starts_with("log.filter: "), "{wrong}");
        let wrong = filter("info", Some("=,=")).unwrap_err().to_string();
        assert!(wrong.starts_with("RUST_LOG: "), "{wrong}");
    }
}
