//! A dialog: what both ends of a leg agree on, and the requests inside it.
//!
//! Decides how an in-dialog request is addressed and whether a peer's CSeq is in order. Never sends.
//! Source: RFC 3261 §12 (dialogs), §12.2.1.1 (route sets, strict routers too), §13.2.2.4 (ACK of a 2xx).

use crate::sip::transaction::Path;
use crate::sip::wire::{Message, Method, NameAddr, PeerFault, Start, Uri};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Names a dialog of ours: its Call-ID and our tag. The peer's tag is checked on top of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DialogKey {
    /// Call-ID of the leg.
    pub call_id: String,
    /// Our own tag.
    pub local_tag: String,
}

impl DialogKey {
    /// The dialog that a request from a peer is in: our tag is its To tag. `None` outside of a dialog.
    pub fn of_request(request: &Message) -> Option<DialogKey> {
        let to = request.to().ok()?;
        let call_id = request.call_id().to_owned();
        Some(DialogKey {
            call_id,
            local_tag: to.tag()?.to_owned(),
        })
    }
}

/// One end of a dialog, plain data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dialog {
    call_id: String,
    /// From of our requests, our tag in it.
    local: String,
    local_tag: String,
    /// To of our requests, the peer's tag in it.
    remote: String,
    remote_tag: Option<String>,
    /// The peer's Contact.
    target: Uri,
    /// Route headers of our requests, in order.
    routes: Vec<String>,
    local_cseq: u32,
    /// The CSeq of our last INVITE, which its ACK repeats.
    invite_cseq: u32,
    remote_cseq: Option<u32>,
    /// How the peer was last reached; used where its Contact or Route is a name.
    path: Path,
    /// The credentials of our INVITE, which the ACK of its 2xx repeats (RFC 3261 §13.2.2.4), by header.
    credentials: Vec<(String, String)>,
}

impl Dialog {
    /// The dialog of an INVITE that we answer (RFC 3261 §12.1.1). `local_cseq` starts at 0, so
    /// that our first request has 1.
    ///
    /// # Errors
    /// The request lacks what a dialog needs (a Contact with a SIP URI).
    pub fn as_uas(invite: &Message, local_tag: &str, path: Path) -> Result<Dialog, PeerFault> {
        let contact = invite
            .contact()?
            .ok_or(PeerFault::MissingHeader("Contact"))?;
        let from = invite.from()?;
        let to = invite.to()?.with_tag(local_tag);
        Ok(Dialog {
            call_id: invite.call_id().to_owned(),
            local: to.to_string(),
            local_tag: local_tag.to_owned(),
            remote: invite.headers.first("From").unwrap_or_default().to_owned(),
            remote_tag: from.tag().map(str::to_owned),
            target: contact.uri,
            routes: texts(&invite.name_addrs("Record-Route")?),
            local_cseq: 0,
            invite_cseq: 0,
            remote_cseq: Some(invite.cseq()?.number),
            path,
            credentials: Vec::new(),
        })
    }

    /// The dialog that a peer's answer to our INVITE makes (RFC 3261 §12.1.2). Where its Contact is missing or no
    /// SIP URI, what the INVITE was sent to stands in, and a route set that cannot be read is none: the call must
    /// still be acknowledged and ended.
    ///
    /// # Errors
    /// The response lacks what a dialog needs.
    pub fn as_uac(invite: &Message, response: &Message, path: Path) -> Result<Dialog, PeerFault> {
        let contact = response.contact().ok().flatten().map(|contact| contact.uri);
        let target = match (contact.filter(Uri::is_sip), &invite.start) {
            (Some(contact), _) => contact,
            (None, Start::Request { uri, .. }) => uri.clone(),
            (None, Start::Response { .. }) => return Err(PeerFault::MissingHeader("Contact")),
        };
        let routes = response.name_addrs("Record-Route").unwrap_or_default();
        let mut routes = texts(&routes);
        routes.reverse();
        Ok(Dialog {
            call_id: invite.call_id().to_owned(),
            local: invite.headers.first("From").unwrap_or_default().to_owned(),
            local_tag: invite.from()?.tag().unwrap_or_default().to_owned(),
            remote: response.headers.first("To").unwrap_or_default().to_owned(),
            remote_tag: response.to()?.tag().map(str::to_owned),
            target,
            routes,
            local_cseq: invite.cseq()?.number,
            invite_cseq: invite.cseq()?.number,
            remote_cseq: None,
            path,
            credentials: credentials_of(invite),
        })
    }

    /// Its name.
    pub fn key(&self) -> DialogKey {
        DialogKey {
            call_id: self.call_id.clone(),
            local_tag: self.local_tag.clone(),
        }
    }

    /// Whether a request from the peer carries the peer's own tag.
    pub fn is_from_peer(&self, request: &Message) -> bool {
        request
            .from()
            .is_ok_and(|from| from.tag() == self.remote_tag.as_deref())
    }

    /// Whether a response to our INVITE is of this dialog and not of another fork.
    pub fn is_same_fork(&self, response: &Message) -> bool {
        response
            .to()
            .is_ok_and(|to| to.tag() == self.remote_tag.as_deref())
    }

    /// Takes note of a request's CSeq (RFC 3261 §12.2.2): `false` if it is lower than one before,
    /// which is answered 500. ACK and CANCEL are not asked about.
    pub fn accepts_cseq(&mut self, number: u32) -> bool {
        if self.remote_cseq.is_some_and(|last| number < last) {
            return false;
        }
        self.remote_cseq = Some(number);
        true
    }

    /// A target refresh succeeded (RFC 3261 §12.2.1.2, §12.2.2): the peer is where its Contact says from now on.
    /// One that is missing or no SIP URI changes nothing.
    pub fn refresh_target(&mut self, message: &Message) {
        let contact = message.contact().ok().flatten().map(|contact| contact.uri);
        if let Some(contact) = contact.filter(Uri::is_sip) {
            self.target = contact;
        }
    }

    /// The next request of ours in this dialog, but for its Via and Contact.
    pub fn request(&mut self, method: Method) -> Message {
        self.local_cseq += 1;
        if method == Method::Invite {
            self.invite_cseq = self.local_cseq;
        }
        self.build(method, self.local_cseq)
    }

    /// The ACK of a 2xx to our last INVITE (RFC 3261 §13.2.2.4), but for its Via.
    pub fn ack(&self) -> Message {
        let mut ack = self.build(Method::Ack, self.invite_cseq);
        for (name, value) in &self.credentials {
            ack.headers.push(name, value);
        }
        ack
    }

    fn build(&self, method: Method, cseq: u32) -> Message {
        let (uri, routes) = self.address();
        let mut message = Message::request(method.clone(), uri);
        for route in routes {
            message.headers.push("Route", &route);
        }
        message.headers.push("From", &self.local);
        message.headers.push("To", &self.remote);
        message.headers.push("Call-ID", &self.call_id);
        message.headers.push("CSeq", &format!("{cseq} {method}"));
        message.headers.push("Max-Forwards", "70");
        message
    }

    /// Request-URI and Route of a request (RFC 3261 §12.2.1.1): a first route without `lr` is a strict
    /// router, whose URI becomes the Request-URI and the target the last route.
    fn address(&self) -> (Uri, Vec<String>) {
        let Some(first) = self.first_route() else {
            return (self.target.clone(), self.routes.clone());
        };
        if first.has_param("lr") {
            return (self.target.clone(), self.routes.clone());
        }
        let mut routes: Vec<String> = self.routes[1..].to_vec();
        routes.push(format!("<{}>", self.target));
        (first, routes)
    }

    fn first_route(&self) -> Option<Uri> {
        let route = self.routes.first()?;
        NameAddr::parse(route).ok().map(|route| route.uri)
    }

    /// Where a request of this dialog is sent: the first route, else the target. A host that is a name
    /// is not looked up here: the peer's last address is taken. The transport stays the listener's; a connection to
    /// the same host is used again while it lasts (RFC 5923).
    pub fn path(&self) -> Path {
        let next = self.first_route().unwrap_or_else(|| self.target.clone());
        let Some(ip) = next.ip() else {
            return self.path;
        };
        let port = next.port().unwrap_or(self.path.transport.default_port());
        let same_host = ip.to_canonical() == self.path.remote.ip().to_canonical();
        Path {
            remote: SocketAddr::new(ip, port),
            connection: self.path.connection.filter(|_| same_host),
            ..self.path
        }
    }
}

fn credentials_of(invite: &Message) -> Vec<(String, String)> {
    let names = ["Authorization", "Proxy-Authorization"];
    let of = |name| invite.headers.all(name).map(move |value| (name, value));
    let all = names.into_iter().flat_map(of);
    all.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn texts(list: &[NameAddr]) -> Vec<String> {
    list.iter().map(NameAddr::to_string).collect()
}

/// The answer to a request: its status, with our tag where it makes or is in a dialog, and the
/// peer's Record-Route where it makes one (RFC 3261 §12.1.1).
pub fn answer(request: &Message, status: u16, local_tag: &str) -> Message {
    let mut response = request.reply(status, None);
    if let Ok(to) = request.to()
        && to.tag().is_none()
        && status != 100
    {
        response
            .headers
            .set("To", &to.with_tag(local_tag).to_string());
    }
    let makes_dialog = matches!(
        &request.start,
        Start::Request {
            method: Method::Invite,
            ..
        }
    );
    if makes_dialog && (101..300).contains(&status) {
        for value in request.headers.all("Record-Route") {
            response.headers.push("Record-Route", value);
        }
    }
    response
}

/// [`answer`] with more headers.
pub fn answer_with(
    request: &Message,
    status: u16,
    local_tag: &str,
    headers: &[(&str, &str)],
) -> Message {
    let mut response = answer(request, status, local_tag);
    for (name, value) in headers {
        response.headers.push(name, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::transport::Transport;
    use crate::sip::transaction::ConnectionId;

    fn path() -> Path {
        Path::udp(0, "192.0.2.9:5060".parse().expect("an address"))
    }

    fn invite() -> Message {
        let text = "INVITE sip:hotline@192.0.2.1 SIP/2.0\r\n\
            Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
            Record-Route: <sip:192.0.2.7;lr>, <sip:192.0.2.8;lr>\r\n\
            From: \"A\" <sip:a@192.0.2.9>;tag=peer\r\nTo: <sip:hotline@192.0.2.1>\r\n\
            Call-ID: c1\r\nCSeq: 7 INVITE\r\nContact: <sip:a@192.0.2.99:5070>\r\n\
            Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";
        crate::sip::wire::parse_datagram(text.as_bytes()).expect("a valid INVITE")
    }

    #[test]
    fn our_request_goes_to_the_contact_by_the_recorded_routes() {
        let mut dialog = Dialog::as_uas(&invite(), "ours", path()).expect("a dialog");
        let bye = dialog.request(Method::Bye);
        let Start::Request { uri, .. } = &bye.start else {
            panic!("a request")
        };
        assert_eq!(uri.to_string(), "sip:a@192.0.2.99:5070");
        let routes: Vec<&str> = bye.headers.all("Route").collect();
        assert_eq!(routes, ["<sip:192.0.2.7;lr>", "<sip:192.0.2.8;lr>"]);
        assert_eq!(
            dialog.path().remote,
            "192.0.2.7:5060".parse().expect("an address")
        );
        assert_eq!(bye.to().expect("To").tag(), Some("peer"));
        assert_eq!(bye.from().expect("From").tag(), Some("ours"));
        assert_eq!(bye.cseq().expect("CSeq").number, 1);
    }

    #[test]
    fn a_connection_is_used_again_for_requests_to_its_host_only() {
        let over_tcp = Path {
            connection: Some(ConnectionId(3)),
            ..Path::new(2, Transport::Tls, path().remote)
        };
        let mut invite = invite();
        invite.headers.remove("Record-Route");
        let towards = |contact: &str| {
            let mut invite = invite.clone();
            invite.headers.set("Contact", contact);
            let dialog = Dialog::as_uas(&invite, "ours", over_tcp).expect("a dialog");
            let path = dialog.path();
            assert_eq!((path.listener, path.transport), (2, Transport::Tls));
            (path.remote.to_string(), path.connection)
        };
        let same = over_tcp.connection;
        for (contact, remote, connection) in [
            ("<sip:a@192.0.2.9:5070>", "192.0.2.9:5070", same),
            ("<sip:a@192.0.2.9>", "192.0.2.9:5061", same),
            ("<sip:a@192.0.2.10:5070>", "192.0.2.10:5070", None),
            ("<sip:a@pbx.example>", "192.0.2.9:5060", same),
        ] {
            let expected = (remote.to_owned(), connection);
            assert_eq!(towards(contact), expected, "{contact}");
        }
    }

    #[test]
    fn a_strict_router_becomes_the_request_uri() {
        let mut invite = invite();
        invite.headers.set("Record-Route", "<sip:192.0.2.7>");
        let mut dialog = Dialog::as_uas(&invite, "ours", path()).expect("a dialog");
        let bye = dialog.request(Method::Bye);
        let Start::Request { uri, .. } = &bye.start else {
            panic!("a request")
        };
        assert_eq!(uri.to_string(), "sip:192.0.2.7");
        assert_eq!(bye.headers.first("Route"), Some("<sip:a@192.0.2.99:5070>"));
    }

    #[test]
    fn an_answer_without_a_contact_is_still_acknowledged_and_ended() {
        let invite = invite();
        let mut ok = answer(&invite, 200, "theirs");
        ok.headers.remove("Record-Route");
        for contact in [None, Some("<tel:+86101234>"), Some("<sip:>,;")] {
            contact.inspect(|contact| ok.headers.set("Contact", contact));
            let mut dialog = Dialog::as_uac(&invite, &ok, path()).expect("a dialog");
            let Start::Request { uri, .. } = dialog.request(Method::Bye).start else {
                panic!("a request")
            };
            assert_eq!(uri.to_string(), "sip:hotline@192.0.2.1");
        }
    }

    #[test]
    fn a_lower_cseq_is_out_of_order_and_an_equal_one_is_not() {
        let mut dialog = Dialog::as_uas(&invite(), "ours", path()).expect("a dialog");
        assert!(!dialog.accepts_cseq(6));
        assert!(dialog.accepts_cseq(7));
        assert!(dialog.accepts_cseq(90));
        assert!(!dialog.accepts_cseq(8));
    }

    #[test]
    fn an_answer_carries_our_tag_and_the_recorded_routes() {
        let ok = answer(&invite(), 200, "ours");
        assert_eq!(ok.to().expect("To").tag(), Some("ours"));
        assert_eq!(ok.headers.all("Record-Route").count(), 1);
        assert_eq!(
            answer(&invite(), 486, "ours")
                .headers
                .all("Record-Route")
                .count(),
            0
        );
        assert_eq!(answer(&invite(), 100, "ours").to().expect("To").tag(), None);
    }
}
