//! `qingjiang trace`: the SIP messages of one of the newest calls, as a ladder.
//!
//! Asks the running service by its web listener. What is masked there is not known here.

mod http;
mod ladder;

use super::config_file;
use crate::service::trace::view::{TraceSummary, TraceView};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the service is asked if nobody says otherwise.
const DEFAULT_WEB: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Arguments of `qingjiang trace`.
#[derive(Clone, Debug, clap::Args)]
pub struct TraceArgs {
    /// One call: its id as in its record, a beginning that no other id has, or a SIP Call-ID; without it the newest are listed
    pub id: Option<String>,
    /// Show the messages in full, too
    #[arg(long, requires = "id")]
    pub messages: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "messages")]
    pub json: bool,
    /// Take the service's web address from this configuration
    #[arg(long, value_name = "FILE", conflicts_with = "web")]
    pub config: Option<PathBuf>,
    /// The service's web address [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub web: Option<SocketAddr>,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum TraceError {
    #[error("{0}")]
    Config(String),
    #[error("the configuration has no web.listen: the running service cannot be asked")]
    NoWeb,
    #[error("no service answers at {0}: {1}")]
    NoAnswer(SocketAddr, std::io::Error),
    #[error("the service at {0} answers with what is no ladder: is it another program?")]
    Unreadable(SocketAddr),
    /// The service's own words.
    #[error("{0}")]
    Refused(String),
    #[error("standard output: {0}")]
    Output(std::io::Error),
}

/// Shows what was asked for. Exit status: 0; 1 if there is no such call or no service; 78 if the configuration has faults.
pub fn run(args: &TraceArgs) -> ExitCode {
    match text(args).and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("qingjiang: {error}");
            match error {
                TraceError::Config(_) => ExitCode::from(super::EXIT_CONFIG),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn text(args: &TraceArgs) -> Result<String, TraceError> {
    let web = web(args)?;
    let path = match &args.id {
        Some(id) => format!("/api/v1/calls/{}/trace", http::escaped(id)),
        None => "/api/v1/traces".to_owned(),
    };
    let answer = http::get(web, &path).map_err(|error| TraceError::NoAnswer(web, error))?;
    if answer.status != 200 {
        let said = serde_json::from_slice::<Problem>(&answer.body);
        let said = said.map_err(|_| TraceError::Unreadable(web))?;
        return Err(TraceError::Refused(said.detail.unwrap_or(said.title)));
    }
    let unreadable = |_| TraceError::Unreadable(web);
    if args.json {
        let value: serde_json::Value = serde_json::from_slice(&answer.body).map_err(unreadable)?;
        return Ok(format!("{value:#}\n"));
    }
    if args.id.is_none() {
        let list: Vec<TraceSummary> = serde_json::from_slice(&answer.body).map_err(unreadable)?;
        return Ok(ladder::list(&list));
    }
    let trace: TraceView = serde_json::from_slice(&answer.body).map_err(unreadable)?;
    let mut text = ladder::ladder(&trace);
    if args.messages {
        text += &ladder::messages(&trace);
    }
    Ok(text)
}

/// Problem details, as far as they are shown.
#[derive(serde::Deserialize)]
struct Problem {
    title: String,
    detail: Option<String>,
}

fn web(args: &TraceArgs) -> Result<SocketAddr, TraceError> {
    match (&args.web, &args.config) {
        (Some(web), _) => Ok(reachable(*web)),
        (None, Some(file)) => configured(file).map(reachable),
        (None, None) => Ok(DEFAULT_WEB),
    }
}

fn configured(file: &Path) -> Result<SocketAddr, TraceError> {
    let config = config_file::load(file).map_err(TraceError::Config)?;
    config.web.listen.ok_or(TraceError::NoWeb)
}

/// Who listens on all addresses is asked on this machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// A reader that left, as `head` does, is no fault.
fn print(text: &str) -> Result<(), TraceError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(TraceError::Output(error))
        }
        _ => Ok(()),
    }
}
