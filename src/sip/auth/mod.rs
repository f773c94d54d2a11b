//! Digest authentication, both ways: whether a request is from who it says, and saying so ourselves.
//!
//! Decides what answers a challenge, which of several challenges is answered, and whether an answer is right. It never
//! decides who must be asked, and what follows a refusal. Passwords go in and hashes come out: nothing here
//! keeps, prints or returns one.
//!
//! | file | what of it |
//! |---|---|
//! | [`algorithm`] | MD5, SHA-256 and their session forms; the response of a digest |
//! | `fields` | the syntax that both headers share |
//! | [`challenge`] | WWW-Authenticate and Proxy-Authenticate |
//! | [`credentials`] | Authorization and Proxy-Authorization |
//! | [`client`] | our requests: who challenged us, and the count of each nonce |
//! | [`server`] | their requests: nonces of ours, and whether one was used before |
//!
//! `rsip`'s digest is not used: it cannot read `qop="auth,auth-int"` nor SHA-512-256.
//!
//! Quoted values are kept as they stand between the quotes, escapes and all: that is what both ends hash and
//! what is sent back. Of qop there is `auth` and none; `auth-int` would cover the body, and hardly a peer has it.
//!
//! Source: RFC 3261 §22 (SIP), RFC 7616 (digest, SHA-256), RFC 2617 (MD5), RFC 8760 (several challenges).

pub mod algorithm;
pub mod challenge;
pub mod client;
pub mod credentials;
mod fields;
pub mod server;

pub use algorithm::Algorithm;
pub use challenge::{Challenge, Side};
pub use client::{Account, Login};
pub use credentials::Credentials;
pub use server::{Guard, Verdict};
