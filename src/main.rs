//! `qingjiang`: see README. All that it does is in the library.

fn main() -> std::process::ExitCode {
    qingjiang::cli::main()
}
