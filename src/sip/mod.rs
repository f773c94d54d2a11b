//! SIP: messages, transactions, dialogs, offer/answer. Knows no hotline and no audio.

pub mod offer_answer;
pub mod sdp;
pub mod wire;
