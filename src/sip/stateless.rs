//! Answers without a transaction, which leave nothing behind: to strangers, to what is too broken to be matched, to
//! what there is no room for.
//!
//! Decides what such an answer says and whether there can be one; never whom it is for.
//! Source: RFC 3261 §8.2.7 (stateless UAS), §17 (no answer to ACK).

use super::dialog::answer;
use super::user_agent::signed;
use super::wire::{Message, Method, PeerFault};
use crate::base::random::Random;
use serde::{Deserialize, Serialize};

/// Writes answers without a transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stateless {
    /// Makes the tags our own.
    key: u64,
}

impl Stateless {
    /// With a key of its own.
    pub fn new(random: &mut Random) -> Stateless {
        Stateless {
            key: random.bits64(),
        }
    }

    /// The answer to a request. Its To tag is the same for a repeated request (RFC 3261 §8.2.7), and nobody can
    /// guess another's.
    pub fn answer(&self, request: &Message, status: u16) -> Message {
        let parts = ["Via", "From", "Call-ID", "CSeq"];
        let parts = parts.map(|name| request.headers.first(name).unwrap_or_default());
        signed(answer(request, status, &Random::token_of(self.key, &parts)))
    }

    /// The refusal of a request that is too broken for a transaction; `None` where nothing may be said: to
    /// an ACK, to a response, and without any Via, which would say where an answer is heard.
    pub fn refusal(&self, request: &Message, fault: PeerFault) -> Option<Message> {
        let is_ack = request.method() == Some(&Method::Ack);
        let has_via = request.headers.first("Via").is_some();
        let can_be_answered = request.is_request() && !is_ack && has_via;
        let status = fault.status().filter(|_| can_be_answered)?;
        Some(self.answer(request, status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::parse_datagram;

    fn request(method: &str, call_id: &str) -> Message {
        let text = format!(
            "{method} sip:1@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             From: <sip:a@192.0.2.1>;tag=x\r\nTo: <sip:1@192.0.2.9>\r\nCall-ID: {call_id}\r\n\
             CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        parse_datagram(text.as_bytes()).expect("a valid request")
    }

    #[test]
    fn a_repeated_request_gets_the_same_tag_and_another_another() {
        let stateless = Stateless::new(&mut Random::from_number(1));
        let other = Stateless::new(&mut Random::from_number(2));
        let tag = |stateless: &Stateless, call_id| {
            let answer = stateless.answer(&request("INVITE", call_id), 503);
            answer.to().expect("To").tag().map(str::to_owned)
        };
        let first = tag(&stateless, "a");
        assert!(first.is_some());
        assert_eq!(tag(&stateless, "a"), first);
        assert_ne!(tag(&stateless, "b"), first);
        assert_ne!(tag(&other, "a"), first);
    }

    #[test]
    fn what_cannot_be_answered_is_not_refused() {
        let stateless = Stateless::new(&mut Random::from_number(1));
        let status = |request: &Message| {
            let refusal = stateless.refusal(request, PeerFault::Malformed("From"));
            refusal.and_then(|response| response.status())
        };
        let invite = request("INVITE", "a");
        assert_eq!(status(&invite), Some(400));
        assert_eq!(status(&request("ACK", "a")), None);
        assert_eq!(status(&invite.reply(200, None)), None);
        let mut nowhere = invite;
        nowhere.headers.remove("Via");
        assert_eq!(status(&nowhere), None);
    }
}
