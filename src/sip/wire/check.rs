//! What a message must have to be answered or matched at all (RFC 3261 §8.1.1, §8.2.2, §20).

use super::fault::PeerFault;
use super::message::Message;
use crate::base::limits::SIP_VIAS_MAX;

/// Headers that may be there once, if one more would change what a message means.
const SINGLE: [&str; 6] = [
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Max-Forwards",
    "Content-Type",
];

/// Checks the headers of a request or response; optional ones are not looked at.
pub fn check(message: &Message) -> Result<(), PeerFault> {
    for name in SINGLE {
        if message.headers.all(name).nth(1).is_some() {
            return Err(PeerFault::DoubledHeader(name));
        }
    }
    if message.call_id().is_empty() {
        return Err(PeerFault::MissingHeader("Call-ID"));
    }
    message.from()?;
    message.to()?;
    let cseq = message.cseq()?;
    if message
        .method()
        .is_some_and(|method| *method != cseq.method)
    {
        return Err(PeerFault::MethodMismatch);
    }
    message.max_forwards()?;
    match message.vias()?.len() {
        0 => Err(PeerFault::MissingHeader("Via")),
        count if count > SIP_VIAS_MAX => Err(PeerFault::TooManyVias),
        _ => Ok(()),
    }
}
