//! The counters, on a configuration of two hotlines and two trunks.

use super::*;
use crate::config::*;
use std::path::PathBuf;

const WEATHER: HotlineIndex = HotlineIndex(0);
const SALES: HotlineIndex = HotlineIndex(1);

/// Two trunks, two hotlines, the first with two desks behind one PBX name.
pub(crate) fn config() -> Config {
    Config {
        sip: Sip {
            listen: vec![Listen::udp("127.0.0.1:0".parse().unwrap())],
            dscp: 24,
            tls: None,
            advertise: None,
            drain_timeout: Duration::from_secs(1),
        },
        media: Media {
            address: "127.0.0.1".parse().unwrap(),
            ports: (20_000, 20_999),
            threads: 1,
        },
        web: Web { listen: None },
        store: Store {
            path: PathBuf::from("qingjiang"),
        },
        prompts: Prompts { path: None },
        limits: Limits { calls: 10 },
        log: Log {
            filter: "info".into(),
        },
        auth: Auth {
            realm: "qingjiang".into(),
            algorithms: Vec::new(),
        },
        registrations: Vec::new(),
        trace: Trace {
            calls: 0,
            mask: true,
        },
        hep: None,
        health: Health {
            every: Duration::ZERO,
        },
        trunks: vec![trunk("carrier"), trunk("second")],
        hotlines: vec![
            hotline("weather", &["desk-1", "pbx", "pbx"]).into(),
            hotline("sales \"A\"", &["pbx"]).into(),
        ],
    }
}

fn trunk(name: &str) -> Trunk {
    Trunk {
        name: name.into(),
        from: Vec::new(),
        country_code: None,
        auth: None,
    }
}

fn hotline(name: &str, targets: &[&str]) -> Hotline {
    let target = |name: &&str| Target {
        uri: "sip:1000@127.0.0.1:5090".into(),
        address: "127.0.0.1:5090".parse().unwrap(),
        transport: Default::default(),
        name: (*name).into(),
        answer_means: AnswerMeans::Person,
        ringing_183: false,
        auth: None,
    };
    Hotline {
        name: name.into(),
        numbers: vec!["*".into()],
        targets: targets.iter().map(target).collect(),
        profile: Profile {
            name: "call-centre".into(),
            silence_after: Duration::from_millis(2_500),
            repeat_after: Duration::from_millis(2_500),
            agent_greeting_max: Duration::from_secs(4),
            steps: vec!["silent-please-speak".into(), "silent-please-speak".into()],
            r#final: "silent-redial".into(),
            hang_up_after: Duration::from_secs(2),
            hang_up: true,
            prompt_to: PromptTo::Both,
        },
        voice: "zh-female".into(),
        ring_timeout: Duration::from_secs(30),
        ring_cadence: Duration::from_secs(5),
        short_abandon: Duration::from_secs(5),
    }
}

#[test]
fn each_event_moves_its_own_counter_and_no_other() {
    let mut figures = Figures::new(&config());
    figures.offered(SALES, TrunkIndex(1));
    figures.connected(SALES);
    figures.connected(SALES);
    figures.answered(WEATHER);
    figures.abandoned(WEATHER, Abandon::Normal);
    figures.refused(Refusal::Capacity);
    figures.rtp_packets(Direction::Out, 50);
    figures.rtp_dropped(DropReason::NoRoute, 3);
    figures.sip_message(Direction::In, SipKind::Invite);
    figures.bug("dialog_gone");
    figures.bug("dialog_gone");
    let [weather, sales] = &figures.hotlines[..] else {
        panic!()
    };
    assert_eq!(
        (&weather.offered, &sales.offered),
        (&vec![0, 0], &vec![0, 1])
    );
    assert_eq!((weather.connected, sales.connected), (0, 2));
    assert_eq!((weather.answered, sales.answered), (1, 0));
    assert_eq!(weather.abandoned, [0, 1]);
    assert_eq!(figures.refused[Refusal::Capacity.index()], 1);
    assert_eq!(figures.rtp_packets, [0, 50]);
    assert_eq!(figures.rtp_dropped, [0, 0, 3, 0]);
    assert_eq!(figures.sip_messages[0][SipKind::Invite.index()], 1);
    assert_eq!(figures.sip_messages[1].iter().sum::<u64>(), 0);
    assert_eq!(figures.bugs, [("dialog_gone".to_owned(), 2)]);
}

#[test]
fn durations_go_to_the_histogram_of_their_labels() {
    let mut figures = Figures::new(&config());
    let second = Duration::from_secs(1);
    figures.ring(WEATHER, "pbx", AttemptOutcome::Answered, 5 * second);
    figures.wait(WEATHER, 6 * second);
    figures.post_dial_delay(WEATHER, second / 5);
    figures.talk(WEATHER, 60 * second);
    figures.treatment_delay(second / 50);
    let weather = &figures.hotlines[0];
    let ring = &weather.agents[1].ring[AttemptOutcome::Answered.index()];
    assert_eq!((ring.count(), ring.sum_seconds()), (1, 5.0));
    assert_eq!(
        weather.agents[0]
            .ring
            .iter()
            .map(Histogram::count)
            .sum::<u64>(),
        0
    );
    let sums = [&weather.wait, &weather.post_dial_delay, &weather.talk].map(Histogram::sum_seconds);
    assert_eq!(sums, [6.0, 0.2, 60.0]);
    assert_eq!(figures.treatment_delay.count(), 1);
}

#[test]
fn names_that_repeat_in_the_configuration_are_one_label() {
    let figures = Figures::new(&config());
    let weather = &figures.hotlines[0];
    let agents: Vec<_> = weather
        .agents
        .iter()
        .map(|agent| agent.name.as_str())
        .collect();
    let prompts: Vec<_> = weather
        .prompts
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(agents, ["desk-1", "pbx"]);
    assert_eq!(prompts, ["silent-please-speak", "silent-redial"]);
}

#[test]
fn every_finding_and_every_treatment_is_counted_under_its_own_words() {
    for (kind, leg, cause) in FindingKind::ALL.iter().flat_map(|kind| {
        let legs = Leg::BOTH.iter();
        legs.flat_map(move |leg| Cause::ALL.iter().map(move |cause| (*kind, *leg, *cause)))
    }) {
        let mut figures = Figures::new(&config());
        figures.finding(WEATHER, kind, leg, cause);
        let counted: Vec<_> = figures.hotlines[0]
            .findings()
            .filter(|found| found.3 > 0)
            .collect();
        assert_eq!(counted, [(kind, leg, cause, 1)]);
    }
    for (kind, outcome) in FindingKind::ALL.iter().flat_map(|kind| {
        TreatmentOutcome::ALL
            .iter()
            .map(move |outcome| (*kind, *outcome))
    }) {
        let mut figures = Figures::new(&config());
        figures.treatment(WEATHER, kind, outcome);
        let treated: Vec<_> = figures.hotlines[0]
            .treatments()
            .filter(|one| one.2 > 0)
            .collect();
        assert_eq!(treated, [(kind, outcome, 1)]);
    }
}

#[test]
fn what_every_call_is_watched_for_is_there_before_the_first_is_found() {
    let figures = Figures::new(&config());
    let weather = &figures.hotlines[0];
    let never = (FindingKind::SilentCaller, Leg::Caller, Cause::NeverSent, 0);
    assert!(weather.findings().any(|found| found == never));
    assert_eq!(weather.findings().count(), 7);
    assert_eq!(weather.treatments().count(), 4);
}

#[test]
fn the_figures_survive_being_written_and_read() {
    let mut figures = Figures::new(&config());
    figures.prompt(SALES, "silent-redial");
    figures.bug("site");
    let bytes = postcard::to_stdvec(&figures).unwrap();
    assert_eq!(postcard::from_bytes::<Figures>(&bytes).unwrap(), figures);
    let text = serde_json::to_string(&figures).unwrap();
    assert_eq!(serde_json::from_str::<Figures>(&text).unwrap(), figures);
}

#[test]
fn a_renewed_configuration_adds_names_and_keeps_every_count() {
    let before = config();
    let mut figures = Figures::new(&before);
    figures.offered(WEATHER, figures.trunk_index("second"));
    figures.ring(
        WEATHER,
        "desk-1",
        AttemptOutcome::Answered,
        Duration::from_secs(1),
    );
    let mut after = config();
    after.trunks = vec![trunk("third"), trunk("second")];
    after.hotlines = vec![
        hotline("news", &["pbx"]).into(),
        hotline("weather", &["desk-2"]).into(),
    ];
    figures.renew(&after);
    assert_eq!(figures.trunks, ["carrier", "second", "third"]);
    let names: Vec<_> = figures
        .hotlines
        .iter()
        .map(|line| line.name.as_str())
        .collect();
    assert_eq!(names, ["weather", "sales \"A\"", "news"]);
    assert_eq!(figures.hotline_index("weather"), WEATHER);
    let weather = &figures.hotlines[0];
    assert_eq!(weather.offered, [0, 1, 0]);
    let agents: Vec<_> = weather
        .agents
        .iter()
        .map(|agent| agent.name.as_str())
        .collect();
    assert_eq!(agents, ["desk-1", "pbx", "desk-2"]);
    assert_eq!(
        weather.agents[0].ring[AttemptOutcome::Answered.index()].count(),
        1
    );
    figures.offered(figures.hotline_index("news"), figures.trunk_index("third"));
    assert_eq!(figures.hotlines[2].offered, [0, 0, 1]);
}
