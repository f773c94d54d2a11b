//! The wire: bytes → [`Message`] → bytes.
//!
//! Decides what is a SIP message, where it ends and which answer its faults deserve. It never decides what a message
//! is for: an unknown method, scheme, extension or body type passes, and its owner answers. Nothing here
//! panics, recurses, or works longer than in proportion to the bytes given.
//!
//! `rsip` stores the headers ([`Headers`]) and reads nothing: it refuses many valid messages of RFC 4475.
//!
//! - What is mandatory for an answer (Via, From, To, Call-ID, CSeq) is checked once, by [`parse_datagram`]; what is optional
//!   is read when somebody asks, so a malformed `Date` or `Contact` costs nobody a call.
//! - Text is a `String` that holds any bytes without loss: see [`text`].
//! - Content-Length is no header here: it is applied on reading, and counted anew on writing.
//!
//! Source: RFC 3261 §7, §18.3, §19.1, §20 and §25; RFC 4475 and RFC 5118 (what must be borne); RFC 3581 (`rport`).

mod check;
pub mod fault;
pub mod frame;
pub mod headers;
pub mod host;
pub mod message;
pub mod method;
pub mod name_addr;
pub mod params;
pub mod parse;
pub mod reason;
pub(super) mod scan;
mod serde_form;
pub mod stream;
pub mod text;
pub mod uri;
pub mod via;

pub use fault::{PeerFault, Refused};
pub use frame::frame_stream;
pub use headers::Headers;
pub use host::Host;
pub use message::{Message, Start};
pub use method::{CSeq, Method};
pub use name_addr::NameAddr;
pub use params::Params;
pub use parse::{parse_datagram, parse_framed};
pub use stream::Framer;
pub use uri::Uri;
pub use via::Via;
