//! `qingjiang demo`: the main job on loopback, told line by line.
//!
//! The very service that `run` starts, on `config/demo.toml` and free ports, between phones of our own that speak real
//! SIP and RTP. The story is told from what the phones hear; at the end the records must agree with it.

mod scenes;
mod story;

use super::config_file;
use crate::base::transport::Transport;
use crate::config::{self, Config, Listen};
use crate::hotline::record::CallRecord;
use crate::service::Service;
use crate::service::store::{CallFilter, Reader};
use crate::service::world::ThisMachine;
use scenes::{Desks, Scene};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use story::Story;

const CONFIG: &str = include_str!("../../../config/demo.toml");

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Stays up at least this long (60s, 10m), for a look at /metrics.
    #[arg(long = "for", value_name = "TIME", value_parser = config_file::duration)]
    stay: Option<Duration>,
}

/// Exit status 0 if every call went as it should.
pub fn run(args: &DemoArgs) -> ExitCode {
    let folder = std::env::temp_dir().join(format!("qingjiang-demo-{}", std::process::id()));
    let went_well = play(args, &folder);
    let _ = std::fs::remove_dir_all(&folder);
    match went_well {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the demo cannot run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(args: &DemoArgs, folder: &Path) -> Result<bool, String> {
    let begun = Instant::now();
    let desks = Desks::open().map_err(|error| error.to_string())?;
    let service = Service::start(settings(&desks, folder)?).map_err(|error| error.to_string())?;
    let sip = service.sip_addresses()[0];
    introduce(&service, &desks);
    let mut story = Story::begin();
    let mut scenes = Scene::all(sip).map_err(|error| error.to_string())?;
    while !scenes.iter().all(Scene::is_over) {
        for scene in &mut scenes {
            scene.play(&mut story);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    show_metrics(&service);
    stay_up(args, begun, &service);
    service.drain();
    service.wait()?;
    let records = records(folder)?;
    show_records(&records);
    Ok(judge(&scenes, &records))
}

/// The demo's configuration, on free ports and with the phones' addresses.
fn settings(desks: &Desks, folder: &Path) -> Result<Config, String> {
    let read = config::read(CONFIG, "config/demo.toml", &ThisMachine);
    let mut config = read.map_err(|problems| problems.to_string())?;
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.sip.listen = vec![Listen::udp(free)];
    config.web.listen = Some(free);
    config.store.path = PathBuf::from(folder);
    let hotlines = config.hotlines.iter_mut().map(Arc::make_mut);
    for target in hotlines.flat_map(|hotline| &mut hotline.targets) {
        if let Some(address) = desks.address_of(&target.name) {
            target.address = address;
            target.transport = Transport::Udp;
            target.uri = format!("sip:{}@{address}", target.name);
        }
    }
    Ok(config)
}

fn introduce(service: &Service, desks: &Desks) {
    println!(
        "qingjiang {}: the demo. Everything is on this machine;",
        env!("CARGO_PKG_VERSION")
    );
    println!("the calls are real SIP and RTP between phones of our own and the service.\n");
    for address in service.sip_addresses() {
        println!("  service    sip:{address} (UDP)");
    }
    if let Some(web) = service.web_address() {
        println!("  figures    http://{web}/metrics");
    }
    for (name, address, does) in desks.list() {
        println!("  {name:<11}sip:{address}  {does}");
    }
    println!();
}

/// The figures that the story is about, as anybody can read them.
fn show_metrics(service: &Service) {
    let Some(web) = service.web_address() else {
        return;
    };
    // Figures are published five times a second.
    std::thread::sleep(Duration::from_millis(300));
    println!("\nhttp://{web}/metrics says, among others:");
    let page = get(web, "/metrics").unwrap_or_default();
    let wanted = [
        "qingjiang_calls_offered_total",
        "qingjiang_calls_answered_total",
        "qingjiang_ring_seconds_sum",
        "qingjiang_ring_seconds_count",
        "qingjiang_prompts_total",
        "qingjiang_findings_total",
        "qingjiang_treatments_total",
    ];
    let tells = |line: &&str| wanted.iter().any(|name| line.starts_with(name));
    for line in page
        .lines()
        .filter(tells)
        .filter(|line| !line.ends_with(" 0") && !line.ends_with(" 0.0"))
    {
        println!("  {line}");
    }
}

fn get(web: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(web)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {web}\r\nConnection: close\r\n\r\n"
    )?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

fn stay_up(args: &DemoArgs, begun: Instant, service: &Service) {
    let Some(left) = args.stay.and_then(|stay| stay.checked_sub(begun.elapsed())) else {
        return;
    };
    if let Some(web) = service.web_address() {
        println!(
            "\nstaying up for {} s more: http://{web}/metrics",
            left.as_secs()
        );
    }
    std::thread::sleep(left);
}

fn records(folder: &Path) -> Result<Vec<CallRecord>, String> {
    let reader = Reader::open_read_only(folder).map_err(|error| error.to_string())?;
    let filter = CallFilter {
        hotline: None,
        since: None,
        limit: 100,
    };
    let mut records = reader.calls(&filter).map_err(|error| error.to_string())?;
    records.sort_by_key(|record| record.offered_at);
    Ok(records)
}

fn show_records(records: &[CallRecord]) {
    println!("\nThe records (`qingjiang calls` shows those of a real service):");
    println!(
        "  {:<14}{:<12}{:>9}{:>9}{:>9}  {:<11}{:<10}found",
        "caller", "outcome", "ring ms", "wait ms", "talk ms", "ended by", "prompts"
    );
    for record in records {
        let ms = |value: Option<u64>| value.map_or("-".to_owned(), |ms| ms.to_string());
        let found: Vec<String> = record
            .findings
            .iter()
            .map(|found| format!("{}/{}", found.kind.name(), found.cause.name()))
            .collect();
        println!(
            "  {:<14}{:<12}{:>9}{:>9}{:>9}  {:<11}{:<10}{}",
            record.caller,
            record.outcome.name(),
            ms(record.ring_ms),
            ms(record.wait_ms),
            ms(record.talk_ms),
            record.ended_by.name(),
            record.prompts.len(),
            found.join(" ")
        );
    }
}

/// Whether every call went as it should: by the phones, and by the records.
fn judge(scenes: &[Scene], records: &[CallRecord]) -> bool {
    println!();
    let mut all_well = true;
    for scene in scenes {
        let record = records
            .iter()
            .find(|record| record.caller == scene.number());
        let faults = scene.faults(record);
        if faults.is_empty() {
            println!("  as it should: {}", scene.about());
        }
        for fault in &faults {
            println!("  NOT as it should: {}: {fault}", scene.about());
        }
        all_well &= faults.is_empty();
    }
    all_well
}
