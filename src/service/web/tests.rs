//! Requests over real sockets.

use super::*;
use crate::hotline::figures::tests::config;
use crate::hotline::figures::{Figures, Gauges, Refusal};
use crate::service::telemetry::{Readiness, Snapshot};
use std::io::{Read, Write};

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn snapshot(readiness: Readiness) -> Snapshot {
    Snapshot {
        figures: Figures::new(&config()),
        gauges: Gauges::default(),
        watched: Default::default(),
        readiness,
    }
}

fn server() -> (WebServer, Arc<Published>) {
    let published = Arc::new(Published::new(snapshot(Readiness::Ready)));
    let server = WebServer::start(LOCAL, Arc::clone(&published), None).unwrap();
    (server, published)
}

fn connect(server: &WebServer) -> std::net::TcpStream {
    let stream = std::net::TcpStream::connect(server.local_addr()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// Sends a request head, reads until the server closes.
fn exchange(server: &WebServer, head: &str) -> String {
    let mut stream = connect(server);
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // A reset after a refusal is as good as a close.
    String::from_utf8(answer).unwrap()
}

fn ask(server: &WebServer, method: &str, path: &str) -> String {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    exchange(server, &head)
}

#[test]
fn metrics_are_the_newest_snapshot() {
    let (server, published) = server();
    let before = ask(&server, "GET", "/metrics");
    assert!(before.starts_with("HTTP/1.1 200 OK\r\n"), "{before}");
    assert!(before.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    let mut newer = snapshot(Readiness::Ready);
    newer.figures.refused(Refusal::Capacity);
    published.publish(newer);
    let after = ask(&server, "GET", "/metrics");
    assert!(
        after.contains("qingjiang_calls_refused_total{reason=\"capacity\"} 1\n"),
        "{after}"
    );
    let head = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
        Accept: application/openmetrics-text;version=1.0.0\r\n\r\n";
    let open = exchange(&server, head);
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(open.ends_with("# EOF\n"));
    server.stop();
}

#[test]
fn a_service_that_takes_no_calls_lives_but_is_not_ready() {
    let (server, published) = server();
    assert!(ask(&server, "GET", "/readyz").starts_with("HTTP/1.1 200 "));
    for state in [
        Readiness::Starting,
        Readiness::Draining,
        Readiness::StoreFailing,
    ] {
        published.publish(snapshot(state));
        let answer = ask(&server, "GET", "/readyz");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains(state.reason()), "{answer}");
        assert!(ask(&server, "GET", "/healthz").starts_with("HTTP/1.1 200 "));
    }
    server.stop();
}

#[test]
fn faults_are_problem_details_that_repeat_nothing_of_the_request() {
    let (server, _) = server();
    let unknown = ask(&server, "GET", "/secret-path");
    assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
    assert!(
        unknown.contains("content-type: application/problem+json\r\n"),
        "{unknown}"
    );
    assert!(unknown.ends_with(r#"{"type":"about:blank","title":"Not Found","status":404}"#));
    assert!(!unknown.contains("secret"));
    let wrong = ask(&server, "POST", "/metrics");
    assert!(wrong.starts_with("HTTP/1.1 405 "), "{wrong}");
    assert!(wrong.contains("allow: GET,HEAD\r\n"), "{wrong}");
    assert!(wrong.contains("application/problem+json"), "{wrong}");
    server.stop();
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let (server, _) = server();
    let many: String = (0..=HEADERS_MAX).map(|n| format!("X-{n}: 1\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "a".repeat(2 * HEAD_BYTES_MAX));
    for headers in [many, long] {
        let answer = exchange(
            &server,
            &format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{headers}\r\n"),
        );
        assert!(
            answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(),
            "{answer}"
        );
    }
    server.stop();
}

/// One request and its whole answer on a connection that stays open.
fn answered(stream: &mut std::net::TcpStream) {
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn idle_connections_beyond_the_limit_wait_and_one_that_leaves_makes_room() {
    let (server, _) = server();
    let mut idle: Vec<_> = (0..CONNECTIONS_MAX).map(|_| connect(&server)).collect();
    idle.iter_mut().for_each(answered);
    let mut late = connect(&server);
    late.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    // Five answers on another connection: time enough for the server to have taken the late one too.
    for _ in 0..5 {
        answered(&mut idle[0]);
    }
    late.set_nonblocking(true).unwrap();
    assert!(late.read(&mut [0]).is_err(), "nobody reads it yet");
    late.set_nonblocking(false).unwrap();
    idle.pop();
    let mut first = [0; 12];
    late.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    server.stop();
}

#[test]
fn a_stop_closes_idle_connections() {
    let (server, _) = server();
    let mut idle = connect(&server);
    answered(&mut idle);
    server.stop();
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_taken_port_is_an_error_at_the_start() {
    let (server, published) = server();
    let taken = WebServer::start(server.local_addr(), published, None).unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    server.stop();
}

#[test]
fn a_ladder_that_is_not_kept_is_a_problem_with_a_reason() {
    let (server, _) = server();
    let off = ask(&server, "GET", "/api/v1/calls/some-id/trace");
    assert!(off.starts_with("HTTP/1.1 404 "), "{off}");
    assert!(off.contains("application/problem+json"), "{off}");
    assert!(off.contains("trace.calls is 0"), "{off}");
    assert!(!off.contains("some-id"), "{off}");
    server.stop();
    let config = config_with_ladders();
    let (_watchers, ladders) = crate::service::trace::start(&config, &[]).unwrap();
    let published = Arc::new(Published::new(snapshot(Readiness::Ready)));
    let server = WebServer::start(LOCAL, published, ladders).unwrap();
    let unknown = ask(&server, "GET", "/api/v1/calls/some-id/trace");
    assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
    assert!(unknown.contains("no SIP messages are kept"), "{unknown}");
    assert!(ask(&server, "GET", "/api/v1/traces").ends_with("\r\n\r\n[]"));
    server.stop();
}

fn config_with_ladders() -> crate::config::Config {
    let mut config = config();
    config.trace.calls = 10;
    config
}
