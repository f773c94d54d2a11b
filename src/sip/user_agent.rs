//! What every user agent of ours writes on its messages, and how it takes a 2xx: with an ACK, or with ACK and BYE.
//!
//! Decides nothing about a call. Source: RFC 3261 §8.1.1 (what a request has), §13.2.2.4 (the ACK of a 2xx, forks), §20.5
//! (Allow), §18.1.1 and RFC 5630 §5.1 (what Via and Contact say of the transport), RFC 3581 (`rport`).

use super::dialog::{Dialog, answer};
use super::transaction::{Datagram, Path, Transactions, TxId};
use super::wire::{Message, Method, Start};
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::base::transport::Transport;
use std::net::{IpAddr, SocketAddr};

/// Our name in `Server` and `User-Agent`.
pub const PRODUCT: &str = concat!("qingjiang/", env!("CARGO_PKG_VERSION"));

/// What the back-to-back user agent does.
pub const ALLOW_B2BUA: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO";

/// What every user agent of ours does, in `Allow` (RFC 3261 §20.5).
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS";

/// What peers are told of a socket of ours, in Via and Contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// What it speaks.
    pub transport: Transport,
    /// Where it is heard.
    pub address: SocketAddr,
    /// What the user agent behind it does.
    pub allow: &'static str,
}

impl Advertised {
    /// A UDP socket.
    pub const fn udp(address: SocketAddr) -> Advertised {
        Advertised {
            transport: Transport::Udp,
            address,
            allow: ALLOW,
        }
    }

    /// Its address without the port.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Our Contact in answer to, or in, this request. It names no user: a dialog is found by its tags. In a dialog
    /// that `sips:` began it is a `sips:` URI (RFC 5630 §5.1).
    fn contact(&self, request: &Message) -> String {
        let is_sips =
            matches!(&request.start, Start::Request { uri, .. } if uri.scheme() == "sips");
        let address = self.address;
        match self.transport {
            Transport::Udp => format!("<sip:{address}>"),
            Transport::Tls if is_sips => format!("<sips:{address}>"),
            transport => format!("<sip:{address};transport={}>", transport.name()),
        }
    }
}

/// What a user agent sends requests with, lent for one turn.
#[derive(Debug)]
pub struct UserAgent<'a> {
    /// Its transactions.
    pub transactions: &'a mut Transactions,
    /// Makes its branches.
    pub random: &'a mut Random,
    /// What Via and Contact say of the socket that is used.
    pub address: Advertised,
}

impl UserAgent<'_> {
    /// Completes a request and sends it in a transaction.
    pub fn request(&mut self, now: Instant, path: Path, mut request: Message) -> Option<TxId> {
        self.complete(&mut request);
        self.transactions.request(now, path, request)
    }

    /// Acknowledges a 2xx: a request without a transaction, to the dialog's next hop. It is to be kept, and sent
    /// again whenever the 2xx comes again (RFC 3261 §13.2.2.4).
    pub fn acknowledge(&mut self, dialog: &Dialog) -> Datagram {
        self.acknowledge_with(dialog, None)
    }

    /// The same with our answer, where the 2xx held the offer (RFC 3264 §4).
    pub fn acknowledge_with(&mut self, dialog: &Dialog, sdp: Option<Vec<u8>>) -> Datagram {
        let ack = self.ack(dialog, sdp);
        self.transactions.send(ack.clone());
        ack
    }

    /// The ACK of a 2xx that may come when its call is over.
    pub fn ack_of(&mut self, dialog: &Dialog) -> Datagram {
        self.ack(dialog, None)
    }

    fn ack(&mut self, dialog: &Dialog, sdp: Option<Vec<u8>>) -> Datagram {
        let mut ack = dialog.ack();
        self.complete(&mut ack);
        if let Some(sdp) = sdp {
            ack.headers.push("Content-Type", "application/sdp");
            ack.body = sdp;
        }
        Datagram {
            path: dialog.path(),
            bytes: ack.to_bytes(),
        }
    }

    /// Ends what a response without a call began, so that no ghost stays at the peer: a 2xx (another fork, or an
    /// answer to a call that is gone) is taken and ended with BYE, ringing is cancelled.
    pub fn dismiss(&mut self, now: Instant, path: Path, tx: TxId, response: &Message) {
        let Some(invite) = self.transactions.request_of(tx).cloned() else {
            return;
        };
        if invite.method() != Some(&Method::Invite) {
            return;
        }
        match response.status().unwrap_or(0) {
            100..=199 => self.transactions.cancel(now, tx),
            // A re-INVITE: its dialog was ended with BYE already, and the 2xx only wants its ACK.
            200..=299 if invite.to().is_ok_and(|to| to.tag().is_some()) => {
                self.acknowledge_alone(path, &invite);
            }
            200..=299 => {
                if let Ok(mut dialog) = Dialog::as_uac(&invite, response, path) {
                    self.acknowledge(&dialog);
                    let bye = dialog.request(Method::Bye);
                    self.request(now, dialog.path(), bye);
                }
            }
            _ => {}
        }
    }

    /// The ACK of a 2xx to a re-INVITE whose dialog is not kept any more: what the re-INVITE said is its route
    /// (RFC 3261 §13.2.2.4).
    fn acknowledge_alone(&mut self, path: Path, invite: &Message) {
        let (Start::Request { uri, .. }, Ok(cseq)) = (&invite.start, invite.cseq()) else {
            return;
        };
        let mut ack = Message::request(Method::Ack, uri.clone());
        for name in ["Route", "From", "To", "Call-ID"] {
            for value in invite.headers.all(name) {
                ack.headers.push(name, value);
            }
        }
        ack.headers.push("CSeq", &format!("{} ACK", cseq.number));
        ack.headers.push("Max-Forwards", "70");
        self.complete(&mut ack);
        let bytes = ack.to_bytes();
        self.transactions.send(Datagram { path, bytes });
    }

    /// Adds what every request of ours has: Via with a fresh branch first (RFC 3261 §8.1.1.7), Contact where it
    /// makes a dialog, our name.
    fn complete(&mut self, request: &mut Message) {
        let branch = self.random.token();
        let (transport, address) = (self.address.transport.in_via(), self.address.address);
        let via = format!("SIP/2.0/{transport} {address};branch=z9hG4bK{branch};rport");
        request.headers.push_front("Via", &via);
        if request.method() == Some(&Method::Invite) {
            let contact = self.address.contact(request);
            request.headers.push("Contact", &contact);
            request.headers.push("Allow", self.address.allow);
        }
        request.headers.push("User-Agent", PRODUCT);
    }
}

/// Our response to an INVITE: with Contact where it makes a dialog (RFC 3261 §12.1.1), and SDP where there is one.
pub fn answer_to_invite(
    invite: &Message,
    status: u16,
    local_tag: &str,
    address: Advertised,
    sdp: Option<&[u8]>,
) -> Message {
    let mut response = answer(invite, status, local_tag);
    if (101..300).contains(&status) {
        response.headers.push("Contact", &address.contact(invite));
        response.headers.push("Allow", address.allow);
    }
    if let Some(sdp) = sdp {
        response.headers.push("Content-Type", "application/sdp");
        response.body = sdp.to_vec();
    }
    response
}

/// A response with our name, as it is sent.
pub fn signed(mut response: Message) -> Message {
    response.headers.push("Server", PRODUCT);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::{Uri, parse_datagram};

    fn sent(transactions: &mut Transactions) -> Vec<Message> {
        std::iter::from_fn(|| transactions.poll_send())
            .map(|datagram| parse_datagram(&datagram.bytes).expect("a valid message"))
            .collect()
    }

    fn methods(messages: &[Message]) -> Vec<String> {
        let method = |message: &Message| message.method().map(Method::to_string);
        messages.iter().filter_map(method).collect()
    }

    fn invite() -> Message {
        let uri = Uri::parse("sip:1@192.0.2.9").expect("a URI");
        let mut invite = Message::request(Method::Invite, uri);
        for (name, value) in [
            ("From", "<sip:a@192.0.2.1>;tag=x"),
            ("To", "<sip:1@192.0.2.9>"),
            ("Call-ID", "c"),
            ("CSeq", "1 INVITE"),
        ] {
            invite.headers.push(name, value);
        }
        invite
    }

    #[test]
    fn via_and_contact_say_the_transport() {
        let address = "[2001:db8::1]:5061".parse().expect("an address");
        for (transport, scheme, via, contact) in [
            (Transport::Udp, "sips", "UDP", "<sip:[2001:db8::1]:5061>"),
            (
                Transport::Tcp,
                "sip",
                "TCP",
                "<sip:[2001:db8::1]:5061;transport=tcp>",
            ),
            (
                Transport::Tls,
                "sip",
                "TLS",
                "<sip:[2001:db8::1]:5061;transport=tls>",
            ),
            (Transport::Tls, "sips", "TLS", "<sips:[2001:db8::1]:5061>"),
        ] {
            let address = Advertised {
                transport,
                address,
                allow: ALLOW,
            };
            let mut invite = invite();
            let uri = Uri::parse(&format!("{scheme}:1@192.0.2.9")).expect("a URI");
            invite.start = Message::request(Method::Invite, uri).start;
            let ok = answer_to_invite(&invite, 200, "ours", address, None);
            assert_eq!(ok.headers.first("Contact"), Some(contact));
            let mut agent = UserAgent {
                transactions: &mut Transactions::default(),
                random: &mut Random::from_number(1),
                address,
            };
            agent.complete(&mut invite);
            assert_eq!(invite.headers.first("Contact"), Some(contact));
            let via = format!("SIP/2.0/{via} [2001:db8::1]:5061;branch=z9hG4bK");
            assert!(
                invite
                    .headers
                    .first("Via")
                    .is_some_and(|own| own.starts_with(&via))
            );
        }
    }

    #[test]
    fn what_answers_a_call_that_is_gone_is_ended() {
        let (mut transactions, mut random) = (Transactions::default(), Random::from_number(1));
        let path = Path::udp(0, "192.0.2.9:5060".parse().expect("an address"));
        let now = Instant::from_millis(1);
        let mut agent = UserAgent {
            transactions: &mut transactions,
            random: &mut random,
            address: Advertised::udp("192.0.2.1:5060".parse().expect("an address")),
        };
        let tx = agent.request(now, path, invite()).expect("a transaction");
        let invite = sent(agent.transactions).remove(0);
        assert_eq!(
            invite.headers.first("Contact"),
            Some("<sip:192.0.2.1:5060>")
        );
        for (status, expected) in [
            (180, vec!["CANCEL"]),
            (180, vec![]),
            (200, vec!["ACK", "BYE"]),
        ] {
            let response = answer(&invite, status, "theirs");
            agent
                .transactions
                .on_message(now, path, response.clone())
                .expect("a response");
            agent.dismiss(now, path, tx, &response);
            assert_eq!(methods(&sent(agent.transactions)), expected, "{status}");
        }
    }
}
