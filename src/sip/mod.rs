//! SIP: messages, transactions, dialogs, offer/answer. Knows no hotline and no audio.

pub mod wire;
