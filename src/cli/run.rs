//! `qingjiang run`: the service, until a signal.
//!
//! SIGTERM and SIGINT drain: no new calls, the running ones go on for up to `sip.drain_timeout`. A second signal
//! ends them at once. SIGHUP reads the file again; one with a fault changes nothing.

use super::{EXIT_CONFIG, EXIT_UNAVAILABLE, config_file};
use crate::service::telemetry::log;
use crate::service::{Service, StartError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Exit status 0 after a drain, 78 for a bad configuration, 69 for a taken port, 1 for any other fault.
pub fn run(args: &RunArgs) -> ExitCode {
    let config = match config_file::load(&args.config) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if let Err(error) = log::set_up(&config.log.filter) {
        eprintln!("{error}");
        return ExitCode::from(EXIT_CONFIG);
    }
    let service = match Service::start(config) {
        Ok(service) => service,
        Err(error) => return not_started(&error),
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        sip = ?service.sip_addresses(),
        web = ?service.web_address(),
        "ready for calls"
    );
    match serve(service, &args.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn not_started(error: &StartError) -> ExitCode {
    eprintln!("{error}");
    if error.is_port() {
        ExitCode::from(EXIT_UNAVAILABLE)
    } else {
        ExitCode::FAILURE
    }
}

/// Serves until the service has ended: by signals, or because a thread failed.
fn serve(mut service: Service, file: &Path) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut term = listen(SignalKind::terminate())?;
        let mut int = listen(SignalKind::interrupt())?;
        let mut hup = listen(SignalKind::hangup())?;
        let mut draining = false;
        let mut look = tokio::time::interval(Duration::from_millis(100));
        while !service.is_finished() {
            tokio::select! {
                _ = look.tick() => {}
                _ = hup.recv() => reload(&mut service, file).await,
                _ = async { tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} } } => {
                    if draining { service.shut_down() } else { service.drain() }
                    draining = true;
                }
            }
        }
        Ok::<(), String>(())
    })?;
    service.wait()
}

/// Reads the file again, which may wait for the names of targets, and says what became of it.
async fn reload(service: &mut Service, file: &Path) {
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || config_file::load(&path)).await;
    let read = read.unwrap_or_else(|error| Err(error.to_string()));
    match read.and_then(|config| service.renew(config).map_err(|missing| missing.to_string())) {
        Err(problems) => {
            for problem in problems.lines() {
                tracing::error!("not reloaded: {problem}");
            }
        }
        Ok(waiting) if waiting.is_empty() => tracing::info!("configuration reloaded"),
        Ok(waiting) => tracing::warn!(
            sections = waiting.join(", "),
            "configuration reloaded; what changed in these sections waits for a restart"
        ),
    }
}

fn listen(kind: SignalKind) -> Result<Signal, String> {
    signal(kind).map_err(|error| format!("signals cannot be received: {error}"))
}
