//! What the transactions do with messages and time, beyond the tables.

use super::*;
use crate::base::time::Instant;
use crate::sip::wire::parse_datagram;

fn path() -> Path {
    let remote = "192.0.2.9:5060".parse().expect("an address");
    Path::udp(0, remote)
}

fn request(method: &str, branch: &str, sent_by: &str) -> Message {
    let text = format!(
        "{method} sip:1@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP {sent_by};branch=z9hG4bK{branch}\r\n\
         From: <sip:a@192.0.2.1>;tag=x\r\nTo: <sip:1@192.0.2.9>\r\nCall-ID: {branch}\r\n\
         CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    );
    parse_datagram(text.as_bytes()).expect("a valid request")
}

#[test]
fn a_datagram_that_cannot_be_sent_fails_its_own_transaction_and_no_other() {
    let mut all = Transactions::default();
    let now = Instant::from_millis(1);
    let (one, other) = (
        request("INVITE", "1", "192.0.2.1"),
        request("BYE", "2", "192.0.2.1"),
    );
    let failed = all
        .request(now, path(), one.clone())
        .expect("a transaction");
    all.request(now, path(), other.clone());
    let told = all.on_unreachable(now, &one.to_bytes());
    assert_eq!(told, Some(Arrival::Unreachable { tx: failed }));
    assert_eq!(all.len(), 1, "the BYE is repeated on");
    let response = other.reply(200, None).to_bytes();
    assert_eq!(all.on_unreachable(now, &response), None);
}

#[test]
fn answers_go_to_the_sent_by_port_or_to_the_source_where_that_is_no_port() {
    let source = path();
    let to = |sent_by| {
        let request = request("OPTIONS", "1", sent_by);
        response_path(&request, source).remote.port()
    };
    assert_eq!(to("192.0.2.9:5070"), 5070);
    assert_eq!(to("192.0.2.9"), 5060);
    assert_eq!(to("192.0.2.9:0"), source.remote.port());
    assert_eq!(to("192.0.2.9:5070;rport"), source.remote.port());
}

fn stream() -> Path {
    Path {
        connection: Some(ConnectionId(7)),
        ..Path::new(1, Transport::Tcp, path().remote)
    }
}

#[test]
fn an_answer_over_a_stream_has_its_connection_and_where_to_go_without_it() {
    let mut request = request("OPTIONS", "1", "192.0.2.9:5070;rport");
    let to = |request: &Message, source| response_path(request, source).remote.port();
    assert_eq!(
        to(&request, stream()),
        stream().remote.port(),
        "no TCP in it"
    );
    let via = |text: &str| format!("SIP/2.0/{text};branch=z9hG4bK1");
    for (text, transport, port) in [
        ("TCP 192.0.2.9:5070;rport", Transport::Tcp, 5070),
        ("tcp a.example", Transport::Tcp, 5060),
        ("TLS a.example", Transport::Tls, 5061),
    ] {
        request.headers.set("Via", &via(text));
        let source = Path {
            transport,
            ..stream()
        };
        let answer = response_path(&request, source);
        assert_eq!(answer.connection, Some(ConnectionId(7)));
        assert_eq!(answer.remote, SocketAddr::new(source.remote.ip(), port));
    }
}

#[test]
fn a_request_that_came_before_is_known() {
    let mut all = Transactions::default();
    let invite = request("INVITE", "1", "192.0.2.9");
    assert!(!all.knows(&invite));
    let arrival = all.on_message(Instant::ZERO, path(), invite.clone());
    assert!(matches!(arrival, Ok(Some(Arrival::Request { .. }))));
    assert!(all.knows(&invite));
}

/// Runs the clock from 1 s on until nothing is due. Gives the milliseconds at which something was sent, and
/// those at which the transaction user was told that the peer is silent.
fn run(all: &mut Transactions) -> (Vec<u64>, Vec<u64>) {
    let (mut sent, mut silent) = (Vec::new(), Vec::new());
    let mut now = Instant::from_millis(1_000);
    loop {
        let since_start = now.millis_since(Instant::from_millis(1_000));
        while let Some(arrival) = all.on_deadline(now) {
            assert!(matches!(arrival, Arrival::TimedOut { .. }), "{arrival:?}");
            silent.push(since_start);
        }
        sent.extend(std::iter::from_fn(|| all.poll_send()).map(|_| since_start));
        assert!(sent.len() < 100, "it never ends");
        match all.next_deadline() {
            Some(next) => now = next,
            None => {
                assert!(all.is_empty(), "nothing is kept without a deadline");
                assert_eq!((all.unexpected(), all.bytes()), (0, 0));
                return (sent, silent);
            }
        }
    }
}

/// Takes a request of a peer at 1 s and answers it at once.
fn answered(method: &str, status: u16) -> Transactions {
    answered_over(path(), method, status)
}

fn answered_over(path: Path, method: &str, status: u16) -> Transactions {
    let (now, mut all) = (Instant::from_millis(1_000), Transactions::default());
    let request = request(method, "1", "192.0.2.9");
    let Ok(Some(Arrival::Request { tx, message, .. })) = all.on_message(now, path, request) else {
        panic!("a request")
    };
    all.respond(now, tx, &message.reply(status, None));
    all
}

#[test]
fn a_request_that_nobody_answers_is_repeated_and_times_out() {
    for (method, expected) in [
        ("INVITE", vec![0, 500, 1500, 3500, 7500, 15500, 31500]),
        (
            "BYE",
            vec![
                0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500,
            ],
        ),
    ] {
        let mut all = Transactions::default();
        let request = request(method, "1", "192.0.2.1");
        all.request(Instant::from_millis(1_000), path(), request);
        assert_eq!(run(&mut all), (expected, vec![32_000]), "{method}");
    }
}

#[test]
fn a_provisional_response_slows_a_request_down_and_keeps_an_invite_waiting() {
    let now = Instant::from_millis(1_000);
    let ringing = |method: &str| {
        let (mut all, request) = (Transactions::default(), request(method, "1", "192.0.2.1"));
        let tx = all.request(now, path(), request.clone());
        let told = all.on_message(now, path(), request.reply(180, None));
        assert!(matches!(told, Ok(Some(Arrival::Response { .. }))));
        (all, tx.expect("a transaction"))
    };
    let (mut bye, _) = ringing("BYE");
    let expected = vec![0, 500, 4500, 8500, 12500, 16500, 20500, 24500, 28500];
    assert_eq!(run(&mut bye), (expected, vec![32_000]));
    let (mut invite, tx) = ringing("INVITE");
    assert_eq!(
        invite.next_deadline(),
        None,
        "it may ring as long as it likes"
    );
    invite.cancel(now, tx);
    invite.cancel(now, tx);
    let (sent, silent) = run(&mut invite);
    assert_eq!(
        sent.iter().filter(|at| **at == 0).count(),
        2,
        "INVITE, CANCEL"
    );
    assert_eq!(silent, [32_000, 32_000], "of both");
}

#[test]
fn a_failure_is_repeated_until_its_ack_and_other_answers_are_not() {
    let (sent, silent) = run(&mut answered("INVITE", 486));
    let expected = [
        0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500,
    ];
    assert_eq!((sent, silent), (expected.to_vec(), vec![32_000]));
    assert_eq!(run(&mut answered("INVITE", 200)), (vec![0], vec![]));
    assert_eq!(run(&mut answered("BYE", 200)), (vec![0], vec![]));
    let mut acknowledged = answered("INVITE", 486);
    let ack = request("ACK", "1", "192.0.2.9");
    let now = Instant::from_millis(1_000);
    let told = acknowledged.on_message(now, path(), ack);
    assert_eq!(told, Ok(None), "the ACK of a failure ends here");
    assert_eq!(acknowledged.next_deadline(), Some(now + T4));
    assert_eq!(run(&mut acknowledged), (vec![0], vec![]));
}

#[test]
fn nothing_is_repeated_over_a_stream_and_time_outs_stay() {
    let now = Instant::from_millis(1_000);
    for method in ["INVITE", "BYE"] {
        let mut all = Transactions::default();
        all.request(now, stream(), request(method, "1", "192.0.2.1"));
        assert_eq!(run(&mut all), (vec![0], vec![32_000]), "{method}");
    }
    let (mut bye, request) = (Transactions::default(), request("BYE", "1", "192.0.2.1"));
    bye.request(now, stream(), request.clone());
    let told = bye.on_message(now + T1, stream(), request.reply(180, None));
    assert!(matches!(told, Ok(Some(Arrival::Response { .. }))));
    assert_eq!(
        run(&mut bye),
        (vec![0], vec![32_000]),
        "the 180 gives no time"
    );
}

#[test]
fn nothing_repeated_is_awaited_from_a_stream() {
    let now = Instant::from_millis(1_000);
    for (method, status) in [("INVITE", 486), ("BYE", 200)] {
        let (mut all, request) = (Transactions::default(), request(method, "1", "192.0.2.1"));
        all.request(now, stream(), request.clone());
        let told = all.on_message(now, stream(), request.reply(status, None));
        assert!(matches!(told, Ok(Some(Arrival::Response { .. }))));
        assert_eq!(all.next_deadline(), Some(now), "timers D and K");
        run(&mut all);
    }
}

#[test]
fn an_answer_over_a_stream_is_sent_once_and_an_invites_failure_awaits_its_ack() {
    let now = Instant::from_millis(1_000);
    let over = |method, status| answered_over(stream(), method, status);
    assert_eq!(run(&mut over("INVITE", 486)), (vec![0], vec![32_000]));
    let mut bye = over("BYE", 200);
    assert_eq!(bye.next_deadline(), Some(now), "timer J");
    assert_eq!(run(&mut bye), (vec![0], vec![]));
    let mut acknowledged = over("INVITE", 486);
    let ack = request("ACK", "1", "192.0.2.9");
    assert_eq!(acknowledged.on_message(now, stream(), ack), Ok(None));
    assert_eq!(acknowledged.next_deadline(), Some(now), "timer I");
    assert_eq!(run(&mut acknowledged), (vec![0], vec![]));
    // A 2xx is repeated from end to end, over whatever lies between.
    let mut accepted = over("INVITE", 200);
    assert_eq!(accepted.next_deadline(), Some(now + TIMEOUT), "timer L");
    run(&mut accepted);
}

/// Transactions with room for so many; as many INVITEs of a peer are in, each with a body of `body` bytes.
fn filled(limits: Limits, invites: usize, body: usize) -> Transactions {
    let mut all = Transactions::with_limits(limits);
    for number in 0..invites {
        let mut invite = request("INVITE", &format!("in{number}"), "192.0.2.9");
        invite.body = vec![b'x'; body];
        let arrival = all.on_message(Instant::ZERO, path(), invite);
        assert!(matches!(arrival, Ok(Some(Arrival::Request { .. }))));
    }
    all
}

const TEN: Limits = Limits {
    count: 10,
    bytes: 1_000_000,
};

#[test]
fn they_are_full_by_number_or_by_bytes() {
    assert!(!filled(TEN, 9, 0).is_full());
    assert!(filled(TEN, 10, 0).is_full());
    assert!(!filled(TEN, 3, 300_000).is_full());
    assert!(filled(TEN, 4, 300_000).is_full());
}

#[test]
fn what_is_kept_is_counted_and_given_back() {
    let mut all = filled(TEN, 1, 5_000);
    let before = all.bytes();
    assert!((5_000..6_000).contains(&before), "{before}");
    let invite = request("INVITE", "in0", "192.0.2.9");
    let mut busy = invite.reply(486, None);
    busy.body = vec![b'x'; 2_000];
    all.respond(Instant::from_millis(1_000), TxId(1), &busy);
    assert_eq!(all.bytes(), before + busy.to_bytes().len());
    run(&mut all);
}

#[test]
fn an_end_is_taken_above_the_limit_and_dropped_above_the_headroom() {
    let mut all = filled(TEN, 10, 0);
    let now = Instant::ZERO;
    let mut come = |request| all.on_message(now, path(), request).expect("no fault");
    let bye = request("BYE", "b", "192.0.2.9");
    assert!(matches!(come(bye.clone()), Some(Arrival::Request { .. })));
    for method in ["BYE", "CANCEL", "OPTIONS"] {
        assert_eq!(come(request(method, "in1", "192.0.2.9")), None, "{method}");
    }
    let ack = come(request("ACK", "other", "192.0.2.9"));
    assert!(matches!(ack, Some(Arrival::Ack { .. })), "it keeps nothing");
    assert_eq!(come(bye), None, "it is known");
    assert_eq!(all.len(), 11);
    assert_eq!(all.poll_send(), None);
}

#[test]
fn above_the_headroom_a_bye_of_ours_goes_out_once_and_an_invite_not_at_all() {
    let mut all = filled(TEN, 11, 0);
    for (method, sent) in [("BYE", 1), ("INVITE", 0)] {
        let request = request(method, "ours", "192.0.2.1");
        assert_eq!(all.request(Instant::ZERO, path(), request), None);
        let count = std::iter::from_fn(|| all.poll_send()).count();
        assert_eq!(count, sent, "{method}");
    }
    assert_eq!((all.len(), all.next_deadline()), (11, None));
}
