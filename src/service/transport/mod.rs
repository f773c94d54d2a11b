//! Sockets that carry SIP.

pub mod udp;
