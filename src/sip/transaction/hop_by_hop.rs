//! Requests that belong to another request of ours and go to its next hop only.
//!
//! Source: RFC 3261 §9.1 (CANCEL), §17.1.1.3 (the ACK of a failure).

use crate::sip::wire::{Message, Method, PeerFault, Start};

/// A CANCEL or the ACK of a failure: the request's own Request-URI, top Via, Call-ID, From, To, CSeq number
/// and Route (RFC 3261 §9.1, §17.1.1.3).
pub(super) fn hop_by_hop(request: &Message, method: Method) -> Result<Message, PeerFault> {
    let Start::Request { uri, .. } = &request.start else {
        return Err(PeerFault::NotSip);
    };
    let number = request.cseq()?.number;
    let mut message = Message::request(method.clone(), uri.clone());
    message.set_vias(&[request.top_via()?]);
    for name in ["Route", "From", "To", "Call-ID"] {
        for value in request.headers.all(name) {
            message.headers.push(name, value);
        }
    }
    message.headers.push("CSeq", &format!("{number} {method}"));
    message.headers.push("Max-Forwards", "70");
    Ok(message)
}
