//! Connections on loopback, with limits small enough to be met. A TLS peer is another of our own, or rustls by itself.

use super::streams::{Names, Setup};
use super::*;
use crate::config::{Tls, TlsFile};
use crate::service::world::ThisMachine;
use crate::sip::transaction::ConnectionId;
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

const BYE: &[u8] = b"BYE sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(10);

/// One listener, its address, and a way to change what it is made with.
fn started(transport: Transport, change: impl FnOnce(&mut Setup)) -> (Streams, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut setup = Setup {
        tls: None,
        names: Names::new(),
        dscp: 24,
        limits: Limits::default(),
    };
    change(&mut setup);
    let streams = Streams::start(vec![(0, transport, listener)], setup);
    (streams.expect("a thread"), address)
}

fn tcp() -> (Streams, SocketAddr) {
    started(Transport::Tcp, |_| {})
}

/// Waits for what comes next.
fn next(streams: &mut Streams) -> StreamEvent {
    loop {
        let mut fd = [PollFd::new(streams.fd(), PollFlags::IN)];
        let limit = rustix::event::Timespec {
            tv_sec: PATIENCE.as_secs() as i64,
            tv_nsec: 0,
        };
        let ready = poll(&mut fd, Some(&limit)).expect("a poll");
        assert!(ready > 0, "nothing came");
        if let Some(event) = streams.receive(1).pop() {
            return event;
        }
    }
}

fn message(streams: &mut Streams) -> (Path, Vec<u8>) {
    match next(streams) {
        StreamEvent::Message { path, bytes } => (path, bytes),
        unsent => panic!("{unsent:?}"),
    }
}

fn unsent(streams: &mut Streams) -> Vec<u8> {
    match next(streams) {
        StreamEvent::Unsent { bytes } => bytes,
        message => panic!("{message:?}"),
    }
}

fn connected(to: SocketAddr) -> TcpStream {
    let peer = TcpStream::connect(to).expect("a connection");
    peer.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    peer
}

fn exactly(peer: &mut impl Read, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    peer.read_exact(&mut bytes).expect("an answer");
    assert_eq!(bytes, expected);
}

fn is_closed(mut peer: TcpStream) -> bool {
    let mut rest = Vec::new();
    match peer.read_to_end(&mut rest) {
        Ok(_) => rest.is_empty(),
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn towards(remote: SocketAddr) -> Path {
    Path::new(0, Transport::Tcp, remote)
}

#[test]
fn an_answer_goes_back_over_its_connection_wherever_its_path_leads() {
    let (mut streams, address) = tcp();
    let mut peer = connected(address);
    peer.write_all(BYE).expect("sent");
    let (path, bytes) = message(&mut streams);
    assert_eq!(
        (bytes.as_slice(), path.remote),
        (BYE, peer.local_addr().expect("an address"))
    );
    assert!(path.connection.is_some());
    let elsewhere = Path {
        remote: "127.0.0.1:9".parse().expect("an address"),
        ..path
    };
    streams.send(elsewhere, b"answer".to_vec()).expect("taken");
    exactly(&mut peer, b"answer");
}

#[test]
fn without_its_connection_a_message_goes_to_the_address_over_a_new_one() {
    let (mut streams, address) = tcp();
    let sent_by = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut peer = connected(address);
    peer.write_all(BYE).expect("sent");
    let (path, _) = message(&mut streams);
    drop(peer);
    let elsewhere = Path {
        connection: Some(ConnectionId(999)),
        ..towards(sent_by.local_addr().expect("an address"))
    };
    streams.send(elsewhere, b"one".to_vec()).expect("taken");
    streams.send(elsewhere, b"two".to_vec()).expect("taken");
    let (mut peer, from) = sent_by.accept().expect("a connection");
    exactly(&mut peer, b"onetwo");
    assert_eq!(from.ip(), address.ip());
    // And what the peer says on it comes over the same.
    peer.write_all(BYE).expect("sent");
    assert_ne!(message(&mut streams).0.connection, path.connection);
}

#[test]
fn a_peer_that_is_not_there_gives_everything_back() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
    let path = towards(gone.local_addr().expect("an address"));
    drop(gone);
    let (mut streams, _) = tcp();
    streams.send(path, b"one".to_vec()).expect("taken");
    assert_eq!(unsent(&mut streams), b"one");
}

#[test]
fn a_keep_alive_is_answered_between_messages() {
    let (mut streams, address) = tcp();
    let mut peer = connected(address);
    peer.write_all(b"\r\n\r\n").expect("sent");
    exactly(&mut peer, b"\r\n");
    peer.write_all(&[BYE, b"\r\n\r\n"].concat()).expect("sent");
    exactly(&mut peer, b"\r\n");
    assert_eq!(message(&mut streams).1, BYE);
}

#[test]
fn a_stream_out_of_step_is_answered_and_closed() {
    let (mut streams, address) = tcp();
    let mut peer = connected(address);
    let head = b"BYE sip:a@b SIP/2.0\r\n\r\n";
    peer.write_all(&[head, &b"and what nobody can follow"[..]].concat())
        .expect("sent");
    let (path, bytes) = message(&mut streams);
    assert_eq!(bytes, head);
    streams.send(path, b"400".to_vec()).expect("taken");
    exactly(&mut peer, b"400");
    assert!(is_closed(peer));
    let mut rubbish = connected(address);
    rubbish.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    assert!(is_closed(rubbish));
}

#[test]
fn whoever_takes_too_long_for_a_message_is_closed() {
    let (_streams, address) = started(Transport::Tcp, |setup| {
        setup.limits.message_time = Duration::from_millis(50);
    });
    let mute = connected(address);
    let mut slow = connected(address);
    slow.write_all(&[BYE, b"B"].concat()).expect("sent");
    assert!(is_closed(mute) && is_closed(slow));
}

#[test]
fn an_idle_connection_is_closed() {
    let (_streams, address) = started(Transport::Tcp, |setup| {
        setup.limits.idle = Duration::from_millis(50);
    });
    let mut idle = connected(address);
    idle.write_all(BYE).expect("sent");
    assert!(is_closed(idle));
}

#[test]
fn one_connection_too_many_is_closed_at_once() {
    let (mut streams, address) = started(Transport::Tcp, |setup| setup.limits.per_address = 2);
    let mut kept: Vec<TcpStream> = (0..2).map(|_| connected(address)).collect();
    for peer in &mut kept {
        peer.write_all(BYE).expect("sent");
        message(&mut streams);
    }
    assert!(is_closed(connected(address)));
    let refused = streams.send(towards(address), b"ours too".to_vec());
    assert_eq!(
        refused.map_err(|error| error.kind()),
        Err(ErrorKind::QuotaExceeded)
    );
}

#[test]
fn whoever_reads_nothing_is_cut_and_what_waited_is_given_back() {
    const LENGTH: usize = 60_000;
    let (mut streams, address) = started(Transport::Tcp, |setup| {
        setup.limits.unsent_bytes = 10 * LENGTH;
    });
    let mut peer = connected(address);
    peer.write_all(BYE).expect("sent");
    let (path, _) = message(&mut streams);
    // More than the kernel keeps for both ends.
    let sent = (0..10_000).take_while(|_| streams.send(path, vec![b'x'; LENGTH]).is_ok());
    let taken = sent.count();
    assert!(taken < 10_000);
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).expect("the end");
    for _ in 0..taken - bytes.len() / LENGTH {
        assert_eq!(unsent(&mut streams).len(), LENGTH);
    }
    assert!(streams.receive(1).is_empty(), "each came or came back");
}

#[test]
fn an_end_writes_out_what_waits() {
    let (mut streams, address) = tcp();
    let mut peer = connected(address);
    peer.write_all(BYE).expect("sent");
    let (path, _) = message(&mut streams);
    for _ in 0..100 {
        streams.send(path, vec![b'x'; 100]).expect("taken");
    }
    streams.close();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).expect("all of it");
    assert_eq!(all.len(), 10_000);
}

/// A self-signed certificate for these names, in a folder of its own.
struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    fn of(names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text);
        write("cert.pem", made.cert.pem()).expect("written");
        write("key.pem", made.signing_key.serialize_pem()).expect("written");
        Certificate { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Shown by us; those of `believed` are believed.
    fn files(&self, believed: Option<&Certificate>, verify_client: bool) -> Tls {
        Tls {
            cert: self.path("cert.pem"),
            key: self.path("key.pem"),
            ca: believed.map(|other| other.path("cert.pem")),
            verify_client,
        }
    }
}

fn tls(files: &Tls, names: Names) -> (Streams, SocketAddr) {
    let loaded = tls::load(files).unwrap_or_else(|faults| panic!("{faults:?}"));
    started(Transport::Tls, |setup| {
        setup.tls = Some(loaded);
        setup.names = names;
    })
}

fn over_tls(remote: SocketAddr) -> Path {
    Path::new(0, Transport::Tls, remote)
}

#[test]
fn two_of_us_believe_each_other_by_certificate_and_speak_over_tls() {
    let (one, other) = (
        Certificate::of(&["127.0.0.1"]),
        Certificate::of(&["127.0.0.1"]),
    );
    let (mut caller, _) = tls(&one.files(Some(&other), false), Names::new());
    let (mut called, address) = tls(&other.files(Some(&one), true), Names::new());
    caller.send(over_tls(address), BYE.to_vec()).expect("taken");
    let (path, bytes) = message(&mut called);
    assert_eq!((bytes.as_slice(), path.transport), (BYE, Transport::Tls));
    called.send(path, BYE.to_vec()).expect("taken");
    assert_eq!(message(&mut caller).0.remote, address);
}

#[test]
fn a_server_whose_certificate_says_another_name_or_authority_is_sent_nothing() {
    let (ours, theirs) = (
        Certificate::of(&["127.0.0.1"]),
        Certificate::of(&["pbx.example"]),
    );
    let (_called, address) = tls(&theirs.files(None, false), Names::new());
    let named = |name: &str| Names::from([(address, name.to_owned())]);
    let without_ca = ours.files(None, false);
    for (believed, names) in [
        (ours.files(Some(&theirs), false), Names::new()),
        (ours.files(Some(&theirs), false), named("other.example")),
        (ours.files(Some(&ours), false), named("pbx.example")),
        (without_ca, named("pbx.example")),
    ] {
        let (mut caller, _) = tls(&believed, names);
        caller.send(over_tls(address), BYE.to_vec()).expect("taken");
        assert_eq!(unsent(&mut caller), BYE);
    }
    let (caller, _) = tls(&ours.files(Some(&theirs), false), Names::new());
    caller.set_names(named("pbx.example"));
    let (mut called, address) = tls(&theirs.files(None, false), Names::new());
    caller.set_names(Names::from([(address, "pbx.example".to_owned())]));
    caller.send(over_tls(address), BYE.to_vec()).expect("taken");
    assert_eq!(message(&mut called).1, BYE);
}

#[test]
fn a_client_without_a_certificate_is_not_heard_where_one_is_asked_for() {
    let (ours, other) = (
        Certificate::of(&["127.0.0.1"]),
        Certificate::of(&["127.0.0.1"]),
    );
    for (asked, heard) in [(false, true), (true, false)] {
        let (mut called, address) = tls(&ours.files(Some(&other), asked), Names::new());
        let mut peer = stranger(&ours, address);
        let sent = peer.write_all(BYE).and_then(|()| peer.flush());
        if heard {
            assert_eq!(message(&mut called).1, BYE);
        } else {
            let answer = sent.and_then(|()| peer.read(&mut [0; 1]));
            assert!(answer.is_err(), "{answer:?}");
        }
    }
}

/// A client by rustls alone, which shows nothing and believes `server`.
fn stranger(
    server: &Certificate,
    to: SocketAddr,
) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    use rustls::pki_types::pem::PemObject;
    let certificate = rustls::pki_types::CertificateDer::from_pem_file(server.path("cert.pem"));
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(certificate.expect("a certificate"))
        .expect("a root");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::from(to.ip());
    let client = rustls::ClientConnection::new(std::sync::Arc::new(config), name);
    rustls::StreamOwned::new(client.expect("a client"), connected(to))
}

#[test]
fn files_that_cannot_be_used_are_told_one_by_one() {
    let (ours, other) = (
        Certificate::of(&["a.example"]),
        Certificate::of(&["b.example"]),
    );
    let fault = |files: &Tls| tls::load(files).err().unwrap_or_default();
    let nowhere = PathBuf::from("/nowhere.pem");
    let all = fault(&Tls {
        cert: nowhere.clone(),
        key: ours.path("cert.pem"),
        ca: Some(nowhere),
        verify_client: true,
    });
    let files: Vec<TlsFile> = all.iter().map(|(file, _)| *file).collect();
    assert_eq!(files, [TlsFile::Cert, TlsFile::Key, TlsFile::Ca], "{all:?}");
    let mixed = fault(&Tls {
        key: other.path("key.pem"),
        ..ours.files(None, false)
    });
    let expected = (TlsFile::Key, "is not the key of sip.tls.cert".to_owned());
    assert_eq!(mixed, [expected]);
    assert!(fault(&ours.files(Some(&other), true)).is_empty());
}

#[test]
fn the_check_of_a_file_tells_of_certificates_with_line_key_and_value() {
    let ours = Certificate::of(&["a.example"]);
    let told = |key: &str| {
        let cert = ours.path("cert.pem").display().to_string();
        let text = format!(
            "[sip]\nlisten = [\"tls:127.0.0.1:5061\"]\n[sip.tls]\ncert = \"{cert}\"\nkey = \"{key}\"\n\
             [media]\naddress = \"127.0.0.1\"\nports = \"20000-29999\"\n\
             [[trunk]]\nname = \"carrier\"\nfrom = [\"127.0.0.0/8\"]\n\
             [[hotline]]\nname = \"a\"\nnumbers = [\"*\"]\ntargets = []\n"
        );
        let problems = crate::config::read(&text, "t.toml", &ThisMachine);
        problems.err().map(|problems| problems.to_string())
    };
    let said = told("/k.pem").unwrap_or_default();
    let begins = "sip.tls.key = \"/k.pem\": cannot be read: ";
    assert!(
        said.starts_with(begins) && said.contains("(t.toml:5)"),
        "{said}"
    );
    let good = told(&ours.path("key.pem").display().to_string());
    let said = good.unwrap_or_default();
    assert!(
        !said.contains("sip.tls") && said.contains("targets"),
        "{said}"
    );
}
