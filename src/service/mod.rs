//! The shell: threads, sockets, files. Does IO and decides nothing.

pub mod store;
pub mod telemetry;
pub mod web;
