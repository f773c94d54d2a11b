//! SIP: messages, transactions, dialogs, offer/answer. Knows no hotline and no audio.

pub mod dialog;
pub mod offer_answer;
pub mod sdp;
pub mod transaction;
pub mod wire;
