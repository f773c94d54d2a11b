//! An agent of our own that rings as long as it is told and knows to the microsecond how long it did.
//! It takes one call after the other and asserts nothing: the callers' SIPp does.

use crate::message::header;
use crate::stage::now_s;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// An agent in a thread of its own.
pub struct TinyAgent {
    /// From the sending of 180 to the sending of 200 of each call, in seconds.
    rang_s: Arc<Mutex<Vec<f64>>>,
    thread: Option<JoinHandle<()>>,
}

impl TinyAgent {
    /// Takes as many calls at `port` as there are ring times.
    pub fn start(port: u16, rings: Vec<Duration>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the agent's port");
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a read timeout");
        let rang_s: Arc<Mutex<Vec<f64>>> = Arc::default();
        let thread = std::thread::spawn({
            let rang_s = Arc::clone(&rang_s);
            move || {
                rings
                    .into_iter()
                    .for_each(|ring| take_call(&socket, ring, &rang_s))
            }
        });
        Self {
            rang_s,
            thread: Some(thread),
        }
    }

    /// How long it rang, call by call.
    pub fn rang_s(mut self) -> Vec<f64> {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the agent's thread");
        }
        self.rang_s.lock().expect("a list").clone()
    }
}

fn take_call(socket: &UdpSocket, ring: Duration, rang_s: &Mutex<Vec<f64>>) {
    let (invite, from) = next(socket, |text| text.starts_with("INVITE "));
    let began_s = now_s();
    socket
        .send_to(response(&invite, "180 Ringing", "").as_bytes(), from)
        .expect("180 sent");
    std::thread::sleep(ring);
    let answer = response(&invite, "200 OK", &sdp(socket));
    rang_s.lock().expect("a list").push(now_s() - began_s);
    socket.send_to(answer.as_bytes(), from).expect("200 sent");
    let (bye, from) = next(socket, |text| text.starts_with("BYE "));
    socket
        .send_to(response(&bye, "200 OK", "").as_bytes(), from)
        .expect("200 sent");
}

/// The next request that is waited for; ACKs and repetitions are passed over.
pub fn next(socket: &UdpSocket, is_it: impl Fn(&str) -> bool) -> (String, SocketAddr) {
    let mut bytes = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut bytes).expect("a request within 30 s");
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if is_it(&text) {
            return (text, from);
        }
    }
}

/// A response with the headers that it copies, our tag and Contact.
pub fn response(request: &str, status: &str, body: &str) -> String {
    let vias: String = request
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("via:"))
        .map(|line| format!("{}\r\n", line.trim_end()))
        .collect();
    let copy = |name: &str| header(request, name).unwrap_or_default().to_owned();
    let to = copy("To");
    let tag = if to.contains(";tag=") {
        ""
    } else {
        ";tag=tiny"
    };
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    format!(
        "SIP/2.0 {status}\r\n{vias}From: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:tiny@{}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        copy("From"),
        copy("Call-ID"),
        copy("CSeq"),
        contact(request),
        body.len(),
    )
}

/// Our own address: what the request asked for.
fn contact(request: &str) -> &str {
    let uri = request.split(' ').nth(1).unwrap_or_default();
    let host = uri.rsplit_once('@').map_or(uri, |(_, host)| host);
    host.split(';').next().unwrap_or(host)
}

/// PCMA at a port where nobody listens.
pub fn sdp(socket: &UdpSocket) -> String {
    let port = socket.local_addr().expect("an address").port();
    // Discard: nobody listens to what comes.
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n",
        port + 1
    )
}
