//! The command line: arguments → one function each.

mod calls;
mod check;
mod config_file;
mod demo;
mod run;
mod trace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// sysexits.h `EX_CONFIG`: the configuration is wrong.
pub const EXIT_CONFIG: u8 = 78;

/// sysexits.h `EX_UNAVAILABLE`: a port is taken.
pub const EXIT_UNAVAILABLE: u8 = 69;

/// 请讲: a SIP back-to-back user agent in front of a customer-service hotline.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service until SIGTERM, which drains it.
    Run(run::RunArgs),
    /// Says all that is wrong with a configuration file.
    Check(check::CheckArgs),
    /// Shows the main job on loopback: real calls, a silent caller treated, figures at the end.
    Demo(demo::DemoArgs),
    /// Lists call records, or shows one.
    Calls(calls::CallsArgs),
    /// Shows the SIP messages of one of the newest calls, as a ladder.
    Trace(trace::TraceArgs),
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Calls(args) => calls::run(args, config_file::store_path),
        Command::Trace(args) => trace::run(&args),
    }
}
