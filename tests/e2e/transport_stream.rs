//! What streams do and datagrams cannot: several messages at once, one in pieces, rubbish, keep-alives, connections that
//! come and go.

use crate::message::{header, status};
use crate::rtp_end::RtpEnd;
use crate::service::{Over, Service, Setup};
use crate::sipp::{Plan, Sipp, scenario};
use crate::stage::Stage;
use crate::tcp_peer::{TcpPeer, bare, request};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

fn over_tcp(stage: &Stage) -> Service {
    Setup::new(&[crate::ports::one()])
        .over(Over::Tcp)
        .start(stage)
}

fn options(to: SocketAddr, peer: &TcpPeer, call: &str) -> String {
    bare("OPTIONS", to, peer.address(), call)
}

/// The Call-ID of a 200.
fn answered(message: &str) -> &str {
    assert_eq!(status(message), Some(200), "{message}");
    header(message, "Call-ID").expect("a Call-ID")
}

/// Goal: where a message ends is what Content-Length says, however the stream is cut.
#[test]
fn messages_in_one_piece_and_a_message_in_many_are_all_answered() {
    let stage = Stage::shared("stream-pieces");
    let service = over_tcp(&stage);
    let mut peer = TcpPeer::connect(service.sip);
    let three = ["a", "b", "c"].map(|call| options(service.sip, &peer, call));
    peer.say(three.concat());
    for call in ["a", "b", "c"] {
        assert_eq!(answered(&peer.hear().expect("an answer")), call);
    }
    let body = request("OPTIONS", service.sip, peer.address(), "d", "")
        + "Content-Type: text/plain\r\nl: 5\r\n\r\nabcd\n";
    for byte in body.as_bytes() {
        peer.say([*byte]);
    }
    assert_eq!(answered(&peer.hear().expect("an answer")), "d");
    service.stop();
}

/// Goal: RFC 5626 §4.4.1 keep-alives are answered, and are no messages.
#[test]
fn a_keep_alive_is_answered() {
    let stage = Stage::shared("stream-keep-alive");
    let service = over_tcp(&stage);
    let mut peer = TcpPeer::connect(service.sip);
    peer.say("\r\n\r\n");
    peer.hear_pong();
    peer.say(options(service.sip, &peer, "a"));
    assert_eq!(answered(&peer.hear().expect("an answer")), "a");
    peer.say("\r\n\r\n");
    peer.hear_pong();
    service.stop();
}

/// Goal: a stream that cannot be followed is answered as far as it was understood, and closed; others go on.
#[test]
fn rubbish_closes_its_own_connection_only() {
    let stage = Stage::shared("stream-rubbish");
    let service = over_tcp(&stage);
    let mut other = TcpPeer::connect(service.sip);
    let mut behind = TcpPeer::connect(service.sip);
    behind.say(options(service.sip, &behind, "a") + "and what is no SIP\r\n");
    assert_eq!(answered(&behind.hear().expect("an answer")), "a");
    assert_eq!(behind.hear(), None);
    for (call, length, expected) in [
        ("b", "", 400),
        ("c", "l: x\r\n", 400),
        ("d", "l: 99999\r\n", 513),
    ] {
        let mut peer = TcpPeer::connect(service.sip);
        let end = format!("{length}\r\n");
        peer.say(request("OPTIONS", service.sip, peer.address(), call, &end) + "v=0\r\n");
        let answer = peer.hear().expect("an answer");
        assert_eq!(status(&answer), Some(expected), "{answer}");
        assert_eq!(peer.hear(), None);
    }
    other.say(options(service.sip, &other, "e"));
    assert_eq!(answered(&other.hear().expect("an answer")), "e");
    service.stop();
}

/// Goal: nobody takes all connections; those that are there go on. Method: one more than limits.rs grants an address.
#[test]
fn an_address_has_so_many_connections_and_no_more() {
    const PER_ADDRESS: usize = 512;
    let stage = Stage::shared("stream-limit");
    let service = over_tcp(&stage);
    let mut peers: Vec<TcpPeer> = Vec::new();
    for n in 0..PER_ADDRESS {
        let mut peer = TcpPeer::connect(service.sip);
        peer.say(options(service.sip, &peer, &n.to_string()));
        peer.hear().expect("an answer");
        peers.push(peer);
    }
    assert_eq!(TcpPeer::connect(service.sip).hear(), None);
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.say(options(service.sip, peer, &format!("again-{n}")));
        peer.hear().expect("an answer");
    }
    drop(peers);
    service.stop();
}

/// A call of a peer over TCP that is up, to an agent that acts as the scenario says.
struct UpCall {
    service: Service,
    agent: Sipp,
    peer: TcpPeer,
    /// Where its Contact is.
    home: TcpListener,
    ok: String,
    _media: RtpEnd,
}

impl UpCall {
    fn new(stage: &Stage, agent: &str, call: &str) -> Self {
        let port = crate::ports::one();
        let service = Setup::new(&[port]).over(Over::Tcp).start(stage);
        let media = RtpEnd::open();
        let agent = Plan::agent(stage, "agent", &scenario(agent), port)
            .media(&media)
            .start(20);
        let home = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = home.local_addr().expect("an address");
        let mut peer = TcpPeer::connect(service.sip);
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {} RTP/AVP 8\r\n",
            media.port
        );
        let more = format!(
            "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        peer.say(request("INVITE", service.sip, at, call, &more));
        let ok = peer.await_one("the answer", |text| status(text) == Some(200));
        let mut up = Self {
            service,
            agent,
            peer,
            home,
            ok,
            _media: media,
        };
        let ack = up.in_dialog("ACK", 1);
        up.peer.say(ack);
        up
    }

    /// A request of the caller in the dialog.
    fn in_dialog(&self, method: &str, cseq: u32) -> String {
        let at = self.home.local_addr().expect("an address");
        let call = header(&self.ok, "Call-ID").expect("a Call-ID");
        let to = header(&self.ok, "To").expect("a To");
        let plain = format!("To: <sip:hotline@{}>", self.service.sip);
        bare(method, self.service.sip, at, call)
            .replace(&plain, &format!("To: {to}"))
            .replace(
                &format!("CSeq: 1 {method}"),
                &format!("CSeq: {cseq} {method}"),
            )
    }

    fn end(mut self, by: &str) {
        self.agent.must_succeed(LIMIT);
        let record = self.service.record();
        assert_eq!(record["ended_by"], by, "{record:#}");
        self.service.stop();
    }
}

/// Goal: a caller whose connection is gone ends the call over a new one.
#[test]
fn the_callers_bye_over_a_new_connection_ends_the_call() {
    let stage = Stage::shared("stream-new-bye");
    let mut call = UpCall::new(&stage, "basic_call_uas", "one");
    let contact = header(&call.ok, "Contact").expect("a Contact").to_owned();
    assert_eq!(contact, format!("<sip:{};transport=tcp>", call.service.sip));
    call.peer = TcpPeer::connect(call.service.sip);
    let bye = call.in_dialog("BYE", 2);
    call.peer.say(bye);
    let answer = call.peer.await_one("the answer", |_| true);
    assert_eq!(answered(&answer), "one");
    call.end("caller");
}

/// Goal: our BYE reaches a caller whose connection is gone at its Contact, over a connection that we make.
#[test]
fn our_bye_finds_a_caller_whose_connection_is_gone() {
    let stage = Stage::shared("stream-our-bye");
    let mut call = UpCall::new(&stage, "callee_bye_uas", "two");
    // Another one in its place: the first is closed.
    call.peer = TcpPeer::connect(call.service.sip);
    let (stream, _) = call.home.accept().expect("a connection");
    let mut home = TcpPeer::on(stream);
    let bye = home.await_one("our BYE", |text| text.starts_with("BYE "));
    assert!(
        header(&bye, "Via")
            .expect("a Via")
            .starts_with("SIP/2.0/TCP ")
    );
    home.say(crate::tiny_agent::response(&bye, "200 OK", ""));
    call.end("agent");
}

/// Goal: while the caller's connection is there our BYE comes over it (RFC 5923).
#[test]
fn our_bye_comes_over_the_callers_own_connection() {
    let stage = Stage::shared("stream-same-bye");
    let mut call = UpCall::new(&stage, "callee_bye_uas", "three");
    let bye = call
        .peer
        .await_one("our BYE", |text| text.starts_with("BYE "));
    call.peer
        .say(crate::tiny_agent::response(&bye, "200 OK", ""));
    call.end("agent");
}
