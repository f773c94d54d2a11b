//! The shell: clock, sockets, threads, files. It decides nothing about a call.

pub mod clock;
pub mod media;
pub mod prompts;
