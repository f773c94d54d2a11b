//! SIP: messages, transactions, dialogs, offer/answer. Knows no hotline and no audio.

pub mod accepted;
pub mod auth;
pub mod dialog;
pub mod inviting;
pub mod offer_answer;
pub mod sdp;
pub mod stateless;
pub mod transaction;
pub mod user_agent;
pub mod wire;
