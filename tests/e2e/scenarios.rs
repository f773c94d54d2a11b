//! All scenarios of `fixtures/sipp`, one test each: the service between two SIPps, and our own media
//! ends behind them where a scenario speaks of the runner. What each asserts stands on top of its file.

use crate::message::{Message, branch};
use crate::rtp_end::{Packet, RtpEnd, sound};
use crate::service::{Over, Service, Setup};
use crate::sipp::{Plan, Sipp, scenario};
use crate::speaker::Between;
use crate::stage::{Stage, wait_for};
use crate::tone::{strongest, tone};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// What of the agent's side of a scenario?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Agent {
    /// There is none.
    Absent,
    /// It is called, and its side must go to the end.
    Called,
    /// The service may refuse the call itself, so that it is never called.
    Perhaps,
}

/// How one scenario is run and what must be true beyond what SIPp checks.
struct Row {
    agent: Agent,
    /// What the service is set up with besides.
    setup: fn(Setup) -> Setup,
    /// What the record says.
    record: &'static [(&'static str, &'static str)],
    /// What the media ends do while the call is up.
    media: fn(&Floor),
    /// What more the two logs and the record must show.
    after: fn(&Floor, Option<&Value>),
    limit_s: u32,
}

/// A scenario in course.
struct Floor {
    service: Service,
    caller: Sipp,
    agent: Option<Sipp>,
    caller_media: RtpEnd,
    agent_media: RtpEnd,
}

/// Answered, and ended by the caller.
const ANSWERED: Row = Row {
    agent: Agent::Called,
    setup: |setup| setup,
    record: &[("outcome", "answered"), ("ended_by", "caller")],
    media: |_| (),
    after: |_, _| (),
    limit_s: 20,
};
/// The agent refuses.
const REFUSED: Row = Row {
    record: &[],
    ..ANSWERED
};
/// The service may answer by itself.
const PERHAPS: Row = Row {
    agent: Agent::Perhaps,
    record: &[],
    ..ANSWERED
};
/// The service answers by itself.
const ALONE: Row = Row {
    agent: Agent::Absent,
    record: &[],
    ..ANSWERED
};
/// The caller gives up.
const CANCELLED: Row = Row {
    record: &[("outcome", "short_abandoned"), ("ended_by", "caller")],
    ..ANSWERED
};

macro_rules! scenarios {
    ($($name:ident: $row:expr,)*) => {
        /// All that is run.
        const NAMES: &[&str] = &[$(stringify!($name)),*];
        const ROWS: &[(&str, Row)] = &[$((stringify!($name), $row)),*];
        $(#[test] fn $name() { run(stringify!($name), &$row, UDP); })*
    };
}

scenarios! {
    agent_challenges_401: Row { setup: with_an_account, ..ANSWERED },
    agent_challenges_407: Row { setup: with_an_account, ..ANSWERED },
    b2bua_challenges: Row { setup: with_a_password, ..ANSWERED },
    b2bua_challenges_bad: Row { setup: with_a_password, after: was_unauthorized, ..ALONE },
    bad_sdp: PERHAPS,
    basic_call: Row { media: tones_both_ways, ..ANSWERED },
    big_headers: PERHAPS,
    callee_404: REFUSED,
    callee_480: REFUSED,
    callee_486: Row { record: &[("outcome", "busy")], ..ANSWERED },
    callee_488: REFUSED,
    callee_503: REFUSED,
    callee_603: REFUSED,
    callee_bye: Row { record: &[("outcome", "answered"), ("ended_by", "agent")], ..ANSWERED },
    callee_dead: Row { limit_s: 40, ..ALONE },
    callee_no_answer: Row { record: &[("outcome", "no_answer")], ..ANSWERED },
    cancel_before_18x: Row { after: cancel_names_the_invite, ..CANCELLED },
    cancel_ringing: Row { after: cancel_names_the_invite, ..CANCELLED },
    compact_folded: ANSWERED,
    dtmf_info: ANSWERED,
    dtmf_rfc4733: Row { media: keys_reach_the_agent, ..ANSWERED },
    early_media_183: Row { media: agent_is_heard_before_the_answer, ..ANSWERED },
    hold_by_agent: Row { record: &[("outcome", "answered"), ("ended_by", "agent")], ..ANSWERED },
    hold_c0: ANSWERED,
    hold_inactive: ANSWERED,
    hold_resume: ANSWERED,
    late_offer: Row { media: audio_works, ..ANSWERED },
    late_offer_reinvite: ANSWERED,
    max_forwards_0: ALONE,
    max_forwards_dec: ANSWERED,
    message_ood: ALONE,
    no_common_codec: PERHAPS,
    options_from_agent: ANSWERED,
    options_indialog: ANSWERED,
    options_ping: ALONE,
    prack_caller: PERHAPS,
    register_refused: ALONE,
    reinvite_488: ANSWERED,
    replaces_unknown: ALONE,
    require_unknown: ALONE,
    ring_then_answer: Row { after: ring_time_is_the_agents, ..ANSWERED },
    sdp_ice_crypto: ANSWERED,
    sdp_multi_m: Row { media: audio_works, ..ANSWERED },
    sdp_savp: PERHAPS,
    stray_bye: ALONE,
    stray_cancel: ALONE,
    stray_reinvite: ALONE,
    subscribe_ood: ALONE,
    tel_uri_from: PERHAPS,
    unknown_method: ALONE,
    update_indialog: ANSWERED,
    utf8_display: ANSWERED,
    wrong_content_type: ALONE,
}

/// Goal: no scenario lies in the folder without being run.
#[test]
fn every_scenario_of_the_folder_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sipp");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("fixtures/sipp")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix("_uac.xml").map(str::to_owned))
        .collect();
    files.sort();
    assert_eq!(files, NAMES);
}

/// What carries a scenario.
#[derive(Clone, Copy)]
pub struct Carried {
    /// Where everybody is.
    pub host: IpAddr,
    /// SIPp's mode over TCP; without it UDP.
    pub tcp: Option<&'static str>,
}

/// UDP, as most do.
const UDP: Carried = Carried {
    host: IpAddr::V4(Ipv4Addr::LOCALHOST),
    tcp: None,
};

/// Runs a scenario over something else.
pub fn run_over(name: &str, carried: Carried) {
    let row = ROWS.iter().find(|(own, _)| *own == name);
    run(name, &row.expect("a scenario").1, carried);
}

fn run(name: &str, row: &Row, carried: Carried) {
    let stage = Stage::shared(name);
    let agent_at = SocketAddr::new(carried.host, crate::ports::one());
    let suffix = carried.tcp.map_or("", |_| ";transport=tcp");
    // Longer than the agent of ring_then_answer rings.
    let setup = Setup::new(&[])
        .targets(&[format!("sip:agent@{agent_at}{suffix}")])
        .host(carried.host)
        .over(Over::Tcp)
        .ring_timeout("5s");
    let service = (row.setup)(setup).start(&stage);
    let media = || RtpEnd::open_at(carried.host);
    let (caller_media, agent_media) = (media(), media());
    let agent = (row.agent != Agent::Absent).then(|| {
        let file = scenario(&format!("{name}_uas"));
        let plan = Plan::agent_at(&stage, "agent", &file, agent_at).media(&agent_media);
        carried.put(plan).start(row.limit_s + 5)
    });
    let file = scenario(&format!("{name}_uac"));
    let plan = Plan::caller(&stage, "caller", &file, service.sip).media(&caller_media);
    let caller = carried.put(plan).start(row.limit_s);
    let mut floor = Floor {
        service,
        caller,
        agent,
        caller_media,
        agent_media,
    };
    (row.media)(&floor);
    let limit = Duration::from_secs(u64::from(row.limit_s) + 5);
    floor.caller.must_succeed(limit);
    let was_called = floor.agent_was_called();
    if let Some(agent) = floor
        .agent
        .as_mut()
        .filter(|_| row.agent == Agent::Called || was_called)
    {
        agent.must_succeed(limit);
    }
    let record = was_called.then(|| floor.service.record());
    if let Some(record) = &record {
        for (field, value) in row.record {
            assert_eq!(record[field], *value, "{field} of {record:#}");
        }
        let status = floor.caller.final_status().map(u64::from);
        assert_eq!(record["final_status"].as_u64(), status, "{record:#}");
    }
    (row.after)(&floor, record.as_ref());
    let Floor { service, .. } = floor;
    service.stop();
}

impl Carried {
    fn put(self, plan: Plan<'_>) -> Plan<'_> {
        match self.tcp {
            Some(mode) => plan.over_tcp(mode),
            None => plan,
        }
    }
}

/// We can log in at the agent's.
fn with_an_account(setup: Setup) -> Setup {
    setup.target("auth = { user = \"b2bua\", password = \"secret\" }")
}

/// Callers must log in, wherever they call from.
fn with_a_password(setup: Setup) -> Setup {
    setup.trunk("auth = { user = \"caller\", password = \"secret\" }")
}

fn was_unauthorized(floor: &Floor, _: Option<&Value>) {
    let refused = [("reason", "unauthorized")];
    let metrics = floor.service.metrics();
    assert_eq!(metrics.sum("qingjiang_calls_refused_total", &refused), 1.0);
}

impl Floor {
    fn agent_was_called(&self) -> bool {
        self.agent()
            .is_some_and(|agent| agent.received_at_s("INVITE").is_some())
    }

    fn agent(&self) -> Option<&Sipp> {
        self.agent.as_ref()
    }

    fn called_agent(&self) -> &Sipp {
        self.agent().expect("a scenario with an agent")
    }
}

const SOON: Duration = Duration::from_secs(10);

/// Each end hears the other's tone: 440 Hz from the caller, 880 Hz from the agent.
fn tones_both_ways(floor: &Floor) {
    exchange_tones(floor, 1.5, 40);
}

/// The same in a call of 200 ms.
fn audio_works(floor: &Floor) {
    exchange_tones(floor, 0.5, 3);
}

fn exchange_tones(floor: &Floor, seconds: f64, packets: usize) {
    // The agent's side knows first: it was offered an address, and may speak when it has answered.
    let agent = floor.called_agent();
    let to_agent_side = agent.remote_media(SOON);
    agent.answered_at_s(SOON);
    let agent_voice = floor.agent_media.speak_to(to_agent_side, Between::Nothing);
    agent_voice.say(&tone(880.0, seconds));
    let caller_voice = floor
        .caller_media
        .speak_to(floor.caller.remote_media(SOON), Between::Nothing);
    caller_voice.say(&tone(440.0, seconds));
    assert_hears(&floor.caller_media, 880.0, packets);
    assert_hears(&floor.agent_media, 440.0, packets);
}

fn assert_hears(end: &RtpEnd, hertz: f64, packets: usize) {
    let heard = wait_for(&format!("{packets} packets of {hertz} Hz"), SOON, || {
        Some(end.heard()).filter(|heard| heard.len() >= packets)
    });
    let (found, share) = strongest(&sound(&heard));
    assert!(
        (found - hertz).abs() <= 10.0,
        "{found} Hz is heard, not {hertz}"
    );
    assert!(share > 0.9, "only {share:.2} of what is heard is the tone");
}

/// Early media: the agent's tone reaches the caller before the 200 does.
fn agent_is_heard_before_the_answer(floor: &Floor) {
    let agent = floor.called_agent();
    let voice = floor
        .agent_media
        .speak_to(agent.remote_media(SOON), Between::Nothing);
    voice.say(&tone(880.0, 3.0));
    assert_hears(&floor.caller_media, 880.0, 30);
    let first_s = floor.caller_media.heard()[0].at_s;
    let answered_s = floor.caller.answered_at_s(SOON);
    assert!(
        first_s + 0.5 < answered_s,
        "heard {:+.3} s from the answer",
        first_s - answered_s
    );
}

/// Keys 5 and # of the caller reach the agent as events, with the payload type of the agent's SDP.
fn keys_reach_the_agent(floor: &Floor) {
    let voice = floor
        .caller_media
        .speak_to(floor.caller.remote_media(SOON), Between::Nothing);
    voice.say(&tone(440.0, 0.4));
    voice.press(101, 5);
    voice.say(&tone(440.0, 0.2));
    voice.press(101, 11);
    voice.say(&tone(440.0, 0.2));
    voice.finish(SOON);
    let sent: Vec<Packet> = events(&voice.sent());
    let heard = wait_for("the events", SOON, || {
        Some(events(&floor.agent_media.heard())).filter(|heard| heard.len() == sent.len())
    });
    for (sent, heard) in sent.iter().zip(&heard) {
        assert_eq!(
            heard.payload, sent.payload,
            "code, end and duration pass untouched"
        );
        assert_eq!(heard.marker, sent.marker);
    }
    // RFC 4733 §2.3.5: all packets of one event carry the time stamp of its beginning.
    let stamps = |packets: &[Packet]| -> Vec<u32> {
        packets
            .iter()
            .map(|packet| packet.timestamp.wrapping_sub(packets[0].timestamp))
            .collect()
    };
    assert_eq!(stamps(&heard), stamps(&sent));
}

fn events(packets: &[Packet]) -> Vec<Packet> {
    packets
        .iter()
        .filter(|packet| packet.payload_type == 101)
        .cloned()
        .collect()
}

/// RFC 3261 §9.1: the CANCEL has the branch of the INVITE that it ends.
fn cancel_names_the_invite(floor: &Floor, _: Option<&Value>) {
    let messages = floor.called_agent().messages();
    let branch_of = |method: &str| {
        let is_it = |message: &&Message| !message.sent && message.method() == Some(method);
        branch(&messages.iter().find(is_it).expect("the request").text).map(str::to_owned)
    };
    assert!(branch_of("INVITE").is_some());
    assert_eq!(branch_of("CANCEL"), branch_of("INVITE"));
}

/// The record's ring time is the agent's own, from 180 to 200, to 10 ms.
fn ring_time_is_the_agents(floor: &Floor, record: Option<&Value>) {
    let messages = floor.called_agent().messages();
    let sent_at_s = |status: u16| {
        messages
            .iter()
            .find(|message| message.sent && message.status() == Some(status))
            .expect("the response")
            .at_s
    };
    let own_ms = (sent_at_s(200) - sent_at_s(180)) * 1000.0;
    let record = record.expect("a record");
    let ring_ms = record["ring_ms"].as_f64().expect("ring_ms");
    assert!(
        (ring_ms - own_ms).abs() <= 10.0,
        "ring_ms {ring_ms}, the agent's own {own_ms:.1}"
    );
    assert_eq!(record["rings"], 1, "{record:#}");
}
