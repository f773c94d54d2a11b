//! Whole calls over TCP, TLS and IPv6, between SIPps; TLS through socat, because SIPp has none.

use crate::message::header;
use crate::peer::{Peer, find};
use crate::rtp_end::RtpEnd;
use crate::scenarios::{Carried, run_over};
use crate::service::{Over, Setup, local};
use crate::sipp::{Plan, scenario};
use crate::stage::{Stage, wait_for};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

const OVER_TCP: Carried = Carried {
    host: IpAddr::V4(Ipv4Addr::LOCALHOST),
    tcp: Some("t1"),
};

/// Goal: what goes over UDP goes over TCP: audio both ways, either side's BYE, CANCEL, refusals, folded headers.
#[test]
fn calls_go_over_tcp() {
    for name in [
        "basic_call",
        "callee_bye",
        "callee_486",
        "cancel_ringing",
        "compact_folded",
        "options_indialog",
        "options_ping",
        "big_headers",
        "early_media_183",
    ] {
        run_over(name, OVER_TCP);
    }
}

/// Goal: the same with a connection for each call.
#[test]
fn calls_go_over_a_connection_each() {
    for name in ["basic_call", "callee_bye", "callee_no_answer"] {
        let carried = Carried {
            tcp: Some("tn"),
            ..OVER_TCP
        };
        run_over(name, carried);
    }
}

/// Goal: signalling and audio both ways over IPv6.
#[test]
fn a_call_goes_over_ipv6() {
    let host = IpAddr::V6(Ipv6Addr::LOCALHOST);
    for tcp in [None, Some("t1")] {
        run_over("basic_call", Carried { host, tcp });
    }
    run_over("cancel_ringing", Carried { host, tcp: None });
}

/// A folder with a self-signed certificate of 127.0.0.1, which is its own authority, and one with both parts for socat.
fn certificates(stage: &Stage) -> PathBuf {
    let folder = stage.path("tls");
    std::fs::create_dir_all(&folder).expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]);
    let made = made.expect("a certificate");
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
    write("cert.pem", &cert);
    write("ca.pem", &cert);
    write("key.pem", &key);
    write("both.pem", &format!("{key}{cert}"));
    folder
}

/// Goal: caller and agent over TLS: the caller's client believes our certificate, and we believe the agent's; the Via and
/// Contact that we show say TLS; in-dialog requests find their connection.
#[test]
fn a_call_goes_over_tls_on_both_sides() {
    let stage = Stage::shared("over-tls");
    let folder = certificates(&stage);
    let [sip_tls, agent_tls, agent_tcp, caller_tcp] =
        std::array::from_fn(|_| local(crate::ports::one()));
    let service = Setup::new(&[])
        .targets(&[format!("sip:agent@{agent_tls};transport=tls")])
        .over(Over::Tls(sip_tls, folder.clone()))
        .start(&stage);
    let file = |name: &str| folder.join(name).display().to_string();
    let socat = |name: &str, from: String, to: String| {
        Peer::start(&stage, name, &find("socat"), &["-d".to_owned(), from, to])
    };
    let _to_agent = socat(
        "socat-agent",
        format!(
            "OPENSSL-LISTEN:{},bind=127.0.0.1,reuseaddr,fork,cert={},verify=0",
            agent_tls.port(),
            file("both.pem")
        ),
        format!("TCP:{agent_tcp}"),
    );
    let _from_caller = socat(
        "socat-caller",
        format!(
            "TCP-LISTEN:{},bind=127.0.0.1,reuseaddr,fork",
            caller_tcp.port()
        ),
        format!("OPENSSL:{sip_tls},cafile={},verify=1", file("cert.pem")),
    );
    for port in [agent_tls.port(), caller_tcp.port()] {
        wait_for("socat", LIMIT, || {
            crate::ports::is_bound(port).then_some(())
        });
    }
    for (n, name) in ["basic_call", "callee_bye"].into_iter().enumerate() {
        let media = RtpEnd::open();
        let uas = scenario(&format!("{name}_uas"));
        let mut agent = Plan::agent_at(&stage, &format!("agent{n}"), &uas, agent_tcp)
            .over_tcp("t1")
            .media(&media)
            .start(20);
        let uac = scenario(&format!("{name}_uac"));
        let mut caller = Plan::caller(&stage, &format!("caller{n}"), &uac, caller_tcp)
            .over_tcp("t1")
            .media(&media)
            .start(20);
        caller.must_succeed(LIMIT);
        agent.must_succeed(LIMIT);
        let invite = agent.wait_for("the INVITE", LIMIT, |message| {
            message.method() == Some("INVITE")
        });
        let says = |name: &str| header(&invite.text, name).unwrap_or_default().to_owned();
        assert!(says("Via").starts_with("SIP/2.0/TLS "), "{}", invite.text);
        let ours = format!("<sip:{sip_tls};transport=tls>");
        assert_eq!(says("Contact"), ours);
    }
    service.records(2);
    service.stop();
}
