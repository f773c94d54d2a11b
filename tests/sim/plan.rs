//! What happens in a world, drawn from its seed: the configuration, who calls, what the targets are like.

use crate::caller::{Defect, Leaving, Plan};
use crate::chance::Chance;
use crate::machine::Machine;
use crate::net::Weather;
use crate::says::{Stray, sdp, secs};
use crate::target::{Manner, OnCancel, Step};
use qingjiang::base::time::Instant;
use qingjiang::call::doors::PortPair;
use qingjiang::config::{self, Config};
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A world before it begins.
pub struct World {
    pub config: Config,
    pub toml: String,
    pub callers: Vec<Plan>,
    /// Address, and whether sending to it fails at once.
    pub targets: Vec<(SocketAddr, bool)>,
    pub weather: Weather,
    pub ports: Vec<PortPair>,
    /// How late the control thread wakes up.
    pub lag: Duration,
    /// After so many inputs the engine is written down, read back, and the world goes on with the copy.
    pub copied_after: Option<u32>,
    pub drain: Option<Instant>,
    pub shut_down: Option<Instant>,
    /// Between these the queue of records is full.
    pub pressure: Option<(Instant, Instant)>,
    /// Rubbish from the network.
    pub rubbish: u32,
}

impl World {
    pub fn draw(chance: &mut Chance) -> World {
        let weather = Weather::draw(chance);
        let targets = targets(chance);
        let toml = toml(chance, &targets);
        let config = config::read(&toml, "world.toml", &Machine)
            .unwrap_or_else(|problems| panic!("{problems:?}\n{toml}"));
        let calls = chance.between(1, 10);
        let crowd = chance.percent(20);
        let callers = (0..calls)
            .map(|index| caller(chance, index, config.hotlines.len(), crowd))
            .collect();
        let pairs = chance.pick(&[2, 6, 40, 40, 40]);
        let at = |chance: &mut Chance| Instant::ZERO + chance.ms(1_000, 60_000);
        let drain = chance.percent(8).then(|| at(chance));
        World {
            config,
            toml,
            callers,
            targets,
            weather,
            ports: (0..pairs).map(pair).collect(),
            lag: chance.pick(&[
                Duration::ZERO,
                Duration::from_micros(1_300),
                Duration::from_millis(40),
            ]),
            copied_after: chance.percent(25).then(|| chance.between(5, 200)),
            drain,
            shut_down: drain
                .filter(|_| chance.percent(60))
                .map(|drain| drain + chance.ms(0, 30_000)),
            pressure: chance.percent(8).then(|| {
                let from = at(chance);
                (from, from + chance.ms(100, 20_000))
            }),
            rubbish: chance.pick(&[0, 0, 5]),
        }
    }

    /// Whether targets are asked if they are there, and often.
    pub fn ask_targets(&mut self, asked: bool) {
        let every = if asked { 10 } else { 0 };
        self.config.health.every = secs(every);
        let _ = write!(self.toml, "[health]\nevery = \"{every}s\"\n");
    }
}

fn pair(index: u16) -> PortPair {
    PortPair {
        thread: index / 2 % 2,
        rtp: 20_000 + 2 * index,
    }
}

fn targets(chance: &mut Chance) -> Vec<(SocketAddr, bool)> {
    (1..=chance.pick(&[1, 2, 4]))
        .map(|number| {
            let address = SocketAddr::new(Ipv4Addr::new(10, 5, 0, number).into(), 5060);
            (address, chance.percent(6))
        })
        .collect()
}

fn toml(chance: &mut Chance, targets: &[(SocketAddr, bool)]) -> String {
    let calls = chance.pick(&["", "", "", "", "", "calls = 2"]);
    let mut text = format!(
        "[sip]\nlisten = [\"udp:10.0.0.1:5060\"]\n[media]\naddress = \"10.0.0.1\"\nports = \"20000-29999\"\n\
         [limits]\n{calls}\n[[trunk]]\nname = \"carrier\"\nfrom = [\"10.1.0.0/16\"]\n\
         [[trunk]]\nname = \"second\"\nfrom = [\"10.2.0.0/16\"]\n\
         [profile.patient]\nbase = \"vas-operator\"\nhang_up = false\nsilence_after = \"1500ms\"\n"
    );
    for number in 0..chance.between(1, 2) {
        let profile = chance.pick(&["after-sales", "call-centre", "vas-operator", "patient"]);
        let ring = chance.pick(&["2s", "8s", "20s", "25s", "40s"]);
        let short = chance.pick(&["5s", "2s"]);
        let hunted = chance.between(1, 3);
        let list: Vec<String> = (0..hunted)
            .map(|place| {
                let (address, _) = chance.pick(targets);
                let means = chance.pick(&["person", "person", "person", "queue"]);
                let early = chance.percent(30);
                format!(
                    "{{ uri = \"sip:desk@{address}\", name = \"desk-{place}\", answer_means = \"{means}\", \
                     ringing_183 = {early} }}"
                )
            })
            .collect();
        let _ = write!(
            text,
            "[[hotline]]\nname = \"line-{number}\"\nnumbers = [\"40{number}\"]\ntargets = [{}]\n\
             profile = \"{profile}\"\nring_timeout = \"{ring}\"\nshort_abandon = \"{short}\"\n",
            list.join(", ")
        );
    }
    text
}

fn caller(chance: &mut Chance, index: u32, hotlines: usize, crowd: bool) -> Plan {
    let defect = match chance.percent(12) {
        true => chance.pick(&[
            Defect::UnknownNumber,
            Defect::UnknownSource,
            Defect::Requires,
            Defect::NoHops,
            Defect::NoCodec,
            Defect::BrokenSdp,
        ]),
        false => Defect::None,
    };
    let trunk = match defect {
        Defect::UnknownSource => 9,
        _ => chance.pick(&[1, 2]),
    };
    let host = u8::try_from(index + 1).expect("few callers");
    let hotline = chance.between(0, u32::try_from(hotlines).expect("few") - 1);
    let number = match defect {
        Defect::UnknownNumber => "999".to_owned(),
        _ => format!("40{hotline}"),
    };
    let latest = if crowd { 300 } else { 60_000 };
    Plan {
        address: SocketAddr::new(Ipv4Addr::new(10, trunk, 0, host).into(), 5060),
        start: Instant::ZERO + chance.ms(10, latest),
        number,
        defect,
        max_forwards: u8::try_from(chance.pick(&[70, 70, 1, 12])).expect("a byte"),
        record_route: chance.percent(20),
        formats: chance.pick(&["8 0 101", "8 101", "0 8", "18 0 101"]),
        leaving: chance.percent(35).then(|| {
            let ways = [Leaving::Cancel, Leaving::RudeCancel, Leaving::EarlyBye];
            (chance.ms(0, 12_000), chance.pick(&ways))
        }),
        talk: match chance.percent(50) {
            true => chance.ms(0, 12_000),
            false => chance.ms(5_000, 120_000),
        },
        acks_skipped: chance.pick(&[0, 0, 0, 0, 0, 1, 3, 100]),
        vanish: chance.percent(8).then(|| chance.ms(0, 40_000)),
        answers_bye: !chance.percent(10),
        strays: strays(chance),
        changes: changes(chance),
        merged: chance.percent(10),
    }
}

fn strays(chance: &mut Chance) -> Vec<(Duration, Stray)> {
    let count = chance.pick(&[0, 0, 0, 1, 3]);
    (0..count)
        .map(|_| (chance.ms(0, 15_000), chance.pick(&Stray::ALL)))
        .collect()
}

/// When an end asks for changes: now and then at once, sooner than the ACK.
fn changes(chance: &mut Chance) -> Vec<Duration> {
    let count = chance.pick(&[0, 1, 1, 2, 3]);
    let latest = chance.pick(&[1, 3_000, 12_000, 12_000, 30_000]);
    (0..count).map(|_| chance.ms(0, latest)).collect()
}

/// What a target does with one INVITE.
pub fn manner(chance: &mut Chance, address: SocketAddr) -> Manner {
    let kind = chance.between(0, 99);
    let mut steps = Vec::new();
    let mut at = Duration::ZERO;
    if chance.percent(80) {
        steps.push((Duration::ZERO, provisional(100, 0, Vec::new())));
    }
    if kind >= 15 {
        ring(chance, address, &mut steps, &mut at);
    }
    let ends = at + chance.ms(0, 15_000);
    match kind {
        // Dead from the first; or after its 100.
        0..=5 => steps.clear(),
        6..=9 => steps.truncate(1),
        10..=34 => {
            let statuses = [404, 480, 486, 488, 503, 603];
            steps.push((ends, Step::Refuse(chance.pick(&statuses))));
        }
        // Rings for ever.
        35..=44 => {}
        _ => answer(chance, address, &mut steps, ends),
    }
    Manner {
        dead: steps.is_empty(),
        steps,
        on_cancel: chance.pick(&[
            OnCancel::Ends,
            OnCancel::Ends,
            OnCancel::AnswersLate,
            OnCancel::Ignores,
        ]),
        talk: match chance.percent(30) {
            true => chance.ms(0, 10_000),
            false => chance.ms(5_000, 150_000),
        },
        vanish: chance.percent(5).then(|| chance.ms(0, 60_000)),
        answers_bye: !chance.percent(10),
        strays: strays(chance),
        changes: changes(chance),
    }
}

fn provisional(status: u16, fork: usize, body: Vec<u8>) -> Step {
    Step::Provisional { status, fork, body }
}

/// A few 18x, some of other forks, some with early media.
fn ring(
    chance: &mut Chance,
    address: SocketAddr,
    steps: &mut Vec<(Duration, Step)>,
    at: &mut Duration,
) {
    for _ in 0..chance.pick(&[0, 1, 1, 2, 4]) {
        *at += chance.ms(0, 3_000);
        let fork = chance.pick(&[0, 0, 0, 1, 2]);
        let step = match chance.percent(30) {
            true => provisional(183, fork, good_sdp(chance, address)),
            false => provisional(chance.pick(&[180, 180, 181, 182, 183]), fork, Vec::new()),
        };
        steps.push((*at, step));
    }
}

fn good_sdp(chance: &mut Chance, address: SocketAddr) -> Vec<u8> {
    let formats = chance.pick(&["8 101", "0 101", "8 0 101", "0 8"]);
    let port = 50_000 + 2 * u16::try_from(chance.between(0, 3)).expect("small");
    sdp(address.ip(), port, formats)
}

fn answer(
    chance: &mut Chance,
    address: SocketAddr,
    steps: &mut Vec<(Duration, Step)>,
    ends: Duration,
) {
    let body = match chance.between(0, 19) {
        0 => sdp(address.ip(), 0, "8 101"),
        1 => Vec::new(),
        2 => b"nothing that could be read".to_vec(),
        3 => sdp(address.ip(), 50_000, "18 101"),
        _ => good_sdp(chance, address),
    };
    let fork = chance.pick(&[0, 0, 0, 1]);
    steps.push((ends, Step::Answer { fork, body }));
    if chance.percent(12) {
        let body = good_sdp(chance, address);
        let after = ends + chance.pick(&[Duration::ZERO, secs(1), secs(20)]) + chance.ms(0, 900);
        steps.push((after, Step::Answer { fork: 2, body }));
    }
}
