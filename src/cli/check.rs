//! `qingjiang check`: says all that is wrong with a configuration file.

use super::{EXIT_CONFIG, config_file};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Exit status 0, or 78 with every problem on standard error.
pub fn run(args: &CheckArgs) -> ExitCode {
    match config_file::load(&args.config) {
        Ok(config) => {
            let targets: usize = config.hotlines.iter().map(|h| h.targets.len()).sum();
            let (trunks, hotlines) = (config.trunks.len(), config.hotlines.len());
            let file = args.config.display();
            println!("{file}: good ({trunks} trunks, {hotlines} hotlines, {targets} targets)");
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::from(EXIT_CONFIG)
        }
    }
}
