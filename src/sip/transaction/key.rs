//! Which transaction a message belongs to.
//!
//! Source: RFC 3261 §17.1.3 (responses), §17.2.3 (requests, with the RFC 2543 rules), §9.2 (CANCEL).

use crate::sip::wire::{Message, Method, PeerFault, Start, Via};
use serde::{Deserialize, Serialize};

/// The mark of a branch made by RFC 3261 rules (§8.1.1.7).
pub const BRANCH_COOKIE: &str = "z9hG4bK";

/// Names a server transaction: all requests with the same key belong to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServerKey(String);

impl ServerKey {
    /// The key of a request; an ACK has the key of its INVITE.
    pub fn of(request: &Message) -> Result<ServerKey, PeerFault> {
        let method = match request.method() {
            Some(Method::Ack) => Method::Invite,
            Some(method) => method.clone(),
            None => Method::Invite,
        };
        Self::with_method(request, &method)
    }

    /// The key of the INVITE that this CANCEL is about.
    pub fn of_cancelled(cancel: &Message) -> Result<ServerKey, PeerFault> {
        Self::with_method(cancel, &Method::Invite)
    }

    /// What it takes.
    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    fn with_method(request: &Message, method: &Method) -> Result<ServerKey, PeerFault> {
        let via = request.top_via()?;
        let branch = via.branch().unwrap_or("");
        if branch.len() > BRANCH_COOKIE.len() && branch.starts_with(BRANCH_COOKIE) {
            return Ok(ServerKey(format!(
                "{branch}\u{1f}{}\u{1f}{method}",
                sent_by(&via)
            )));
        }
        // RFC 2543: no usable branch. The To tag is left out, so that an ACK finds its INVITE.
        let uri = match &request.start {
            Start::Request { uri, .. } => uri.to_string(),
            Start::Response { .. } => String::new(),
        };
        let from = request.from()?;
        let tag = from.tag().unwrap_or("");
        let (call_id, cseq) = (request.call_id(), request.cseq()?.number);
        Ok(ServerKey(format!(
            "2543\u{1f}{uri}\u{1f}{tag}\u{1f}{call_id}\u{1f}{cseq}\u{1f}{via}\u{1f}{method}"
        )))
    }
}

/// The sent-by of a Via without regard to case, its default port filled in.
fn sent_by(via: &Via) -> String {
    format!("{}:{}", via.host, via.port.unwrap_or(5060)).to_ascii_lowercase()
}

/// Names a client transaction: the branch that we chose, and the method.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClientKey {
    branch: String,
    method: String,
}

impl ClientKey {
    /// The key of a request of ours, and of a response to one.
    pub fn of(message: &Message) -> Result<ClientKey, PeerFault> {
        let branch = message.top_via()?.branch().unwrap_or("").to_owned();
        Ok(ClientKey {
            branch,
            method: message.cseq()?.method.to_string(),
        })
    }

    /// What it takes.
    pub(super) fn bytes(&self) -> usize {
        self.branch.len() + self.method.len()
    }
}

/// What is the same in all copies of one request that came over different ways: merged requests
/// (RFC 3261 §8.2.2.2), and a CANCEL whose sent-by a NAT or proxy changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    call_id: String,
    from_tag: String,
    cseq: u32,
}

impl Origin {
    /// The origin of a request.
    pub fn of(request: &Message) -> Result<Origin, PeerFault> {
        Ok(Origin {
            call_id: request.call_id().to_owned(),
            from_tag: request.from()?.tag().unwrap_or("").to_owned(),
            cseq: request.cseq()?.number,
        })
    }
}
