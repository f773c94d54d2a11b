//! **qingjiang 请讲**: a SIP back-to-back user agent in front of a customer-service hotline.
//!
//! The rooms of this crate stand on one another; an arrow never runs up. The upper two
//! ([`cli`], [`service`]) do IO and decide nothing. All below is pure: bytes, facts and time in,
//! actions out, so that a seed replays any failure. `tests/rooms.rs` holds the rooms apart.
//!
//! | room | what it is about |
//! |---|---|
//! | [`cli`] | arguments → one function each |
//! | [`service`] | the shell: control thread, media threads, store, web |
//! | [`engine`], [`phone`] | all calls in one place; our own user agent for demo and tests |
//! | [`call`] | one call: two legs, one life |
//! | [`hotline`] | routes, treatments, figures, records |
//! | [`hearing`] | audio frames → who speaks |
//! | [`media`] | RTP: relay, prompts, codecs |
//! | [`sip`] | messages, transactions, dialogs, offer/answer |
//! | [`config`] | the file and its checked form |
//! | [`base`] | time, ids, randomness, limits |

pub mod base;
pub mod call;
pub mod cli;
pub mod config;
pub mod engine;
pub mod hearing;
pub mod hotline;
pub mod media;
pub mod phone;
pub mod service;
pub mod sip;
