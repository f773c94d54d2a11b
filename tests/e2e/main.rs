//! The service against real peers, on loopback: SIPp and baresip at both ends of it, audio heard and
//! timed at sockets of our own. Nothing here shares code with the product, so nothing shares its bugs.
//!
//! What the tests need is installed by `tests/install`; a missing peer fails a test, it never skips one.
//! Tests run at the same time (each has ports, folder and service of its own), but for those that
//! load the machine: they wait for their turn and have it alone ([`stage::Stage::alone`]).

// Tools.
mod audio;
mod baresip;
mod http;
mod message;
mod peer;
mod ports;
mod rtp_end;
mod script;
mod service;
mod sipp;
mod speaker;
mod stage;
mod stream;
mod tcp_peer;
mod tiny_agent;
mod tone;

// Tests.
mod auth;
mod bad_input;
mod demo;
mod drain;
mod health;
mod hep;
mod hunting;
mod left_alone;
mod load;
mod phones;
mod reload;
mod ring_time;
mod sanity;
mod scenarios;
mod silent_caller;
mod trace;
mod transport;
mod transport_stream;
mod transport_torture;
