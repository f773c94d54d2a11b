//! A world: the engine, a network, callers, targets and a media thread on one virtual clock.
//!
//! Nothing here sleeps or waits: the clock jumps to the next event. One seed is one world, the same in every run.

use crate::caller::Caller;
use crate::chance::Chance;
use crate::machine::PROMPTS;
use crate::media::{self, Media, Tick};
use crate::net::Net;
use crate::plan;
use crate::says::{Turn, Wake, engine, header, rubbish};
use crate::tally::Tally;
use crate::target::Target;
use crate::watch::Watch;
use qingjiang::base::ids::CallKey;
use qingjiang::base::random::Random;
use qingjiang::base::time::Instant;
use qingjiang::call::desk::{Action, Listener};
use qingjiang::call::doors::{Command, Fact};
use qingjiang::call::prompts::PromptNames;
use qingjiang::engine::{Engine, Input, Settings};
use qingjiang::sip::transaction::Path;
use qingjiang::sip::wire::parse_datagram;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

/// By then every world is quiet.
const QUIET_BY: Instant = Instant::from_millis(600_000);

/// By then a call may only be up where both peers have vanished; it is ended by a shut-down.
const LATEST: Instant = Instant::from_millis(450_000);

/// Lines that tell a world's story; `None` while nobody wants to read it.
pub type Trace = Option<Rc<RefCell<Vec<String>>>>;

enum Event {
    /// A datagram reaches qingjiang.
    In {
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    /// A datagram reaches a peer.
    Out {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    CallerWakes(usize, Wake),
    TargetWakes(usize, Wake),
    Command(Command),
    MediaTick(CallKey, Tick),
    /// Anything that qingjiang is told but datagrams.
    Told(Input),
    /// No call may be up any more.
    Latest,
}

pub struct World {
    now: Instant,
    queue: BTreeMap<(Instant, u64), Event>,
    events: u64,
    engine: Engine,
    /// The engine before it was written down and read back: it goes on beside the copy.
    original: Option<Engine>,
    inputs: u32,
    plan: plan::World,
    net: Net,
    pub(crate) callers: Vec<Caller>,
    pub(crate) targets: Vec<Target>,
    pub(crate) media: Media,
    /// Rings between control and media thread keep their order.
    last_command: Instant,
    last_fact: Instant,
    chance: Chance,
    pub(crate) watch: Watch,
    trace: Trace,
}

impl World {
    pub fn new(seed: u64, trace: Trace) -> World {
        let mut chance = Chance::new(seed);
        let mut plan = plan::World::draw(&mut chance);
        // Drawn by the seed itself, so that worlds stay as they were before targets were asked.
        plan.ask_targets(seed % 2 == 1);
        let config = plan.config.clone();
        let callers: Vec<Caller> = plan
            .callers
            .iter()
            .map(|one| {
                let token = chance.token();
                Caller::new(one.clone(), &token, chance.branch_off())
            })
            .collect();
        let targets = plan
            .targets
            .iter()
            .map(|(address, unreachable)| {
                Target::new(*address, *unreachable, chance.branch_off(), plan::manner)
            })
            .collect();
        let mut world = World {
            now: Instant::ZERO,
            queue: BTreeMap::new(),
            events: 0,
            engine: new_engine(&config, chance.bits64()),
            original: None,
            inputs: 0,
            net: Net::new(plan.weather.clone(), chance.branch_off()),
            callers,
            targets,
            media: Media::new(chance.branch_off()),
            last_command: Instant::ZERO,
            last_fact: Instant::ZERO,
            chance,
            watch: Watch::new(config),
            trace,
            plan,
        };
        world.set_up();
        world
    }

    fn set_up(&mut self) {
        self.tell(|world| world.plan.toml.clone());
        self.tell(|world| format!("{:?}", world.plan.weather));
        let ports = self.plan.ports.clone();
        self.handle(Input::Ports(ports));
        for index in 0..self.callers.len() {
            let start = self.callers[index].plan.start;
            self.tell(|world| format!("caller {index}: {:?}", world.callers[index].plan));
            self.at(start, Event::CallerWakes(index, Wake::Start));
        }
        if let Some(at) = self.plan.drain {
            self.at(at, Event::Told(Input::Drain));
        }
        if let Some(at) = self.plan.shut_down {
            self.at(at, Event::Told(Input::ShutDown));
        }
        if let Some((from, to)) = self.plan.pressure {
            self.at(from, Event::Told(Input::Pressure(true)));
            self.at(to, Event::Told(Input::Pressure(false)));
        }
        for _ in 0..self.plan.rubbish {
            self.throw_rubbish();
        }
        self.at(LATEST, Event::Latest);
    }

    /// Datagrams of random bytes, and beginnings of real messages.
    fn throw_rubbish(&mut self) {
        let at = Instant::ZERO + self.chance.ms(1, 90_000);
        let length = self.chance.between(0, 200);
        let mut bytes: Vec<u8> = (0..length)
            .map(|_| u8::try_from(self.chance.between(0, 255)).expect("a byte"))
            .collect();
        if self.chance.percent(50) {
            let start =
                b"BYE sip:x@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.1:5060;branch=z9hG4bK1\r\n";
            bytes.splice(0..0, start.iter().copied());
        }
        let from = rubbish();
        self.at(at, Event::In { from, bytes });
    }

    /// Runs to the end of everything, or to the first fault.
    fn run(&mut self) {
        while let Some(at) = self.next() {
            if at > QUIET_BY {
                self.watch
                    .faults
                    .push("not quiet after ten minutes".to_owned());
                break;
            }
            self.now = self.now.max(at);
            let due = self.queue.first_key_value().map(|((at, _), _)| *at);
            match due.filter(|due| *due <= at) {
                Some(_) => {
                    if let Some((_, event)) = self.queue.pop_first() {
                        self.happen(event);
                    }
                }
                None => self.handle(Input::Deadline),
            }
            if !self.watch.faults.is_empty() {
                return;
            }
        }
        self.watch.finish(&self.engine);
        self.judge_peers();
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        tally.count("the engine was copied", self.original.is_some());
        tally.count("drained", self.plan.drain.is_some());
        tally.count("shut down", self.plan.shut_down.is_some());
        self.watch.tell(&mut tally);
        tally
    }

    fn next(&self) -> Option<Instant> {
        let event = self.queue.first_key_value().map(|((at, _), _)| *at);
        let wake = self.engine.next_deadline().map(|at| at + self.plan.lag);
        event.into_iter().chain(wake).min()
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.events += 1;
        self.queue.insert((at.max(self.now), self.events), event);
    }

    fn tell(&self, line: impl Fn(&World) -> String) {
        if let Some(trace) = &self.trace {
            trace
                .borrow_mut()
                .push(format!("{:?} {}", self.now, line(self)));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::In { from, bytes } => {
                self.tell(|_| format!("{from} → {}", brief(&bytes)));
                let path = Path::udp(0, from);
                self.handle(Input::Sip { path, bytes });
            }
            Event::Out { to, bytes } => self.reach_peer(to, &bytes),
            Event::CallerWakes(index, wake) => {
                let mut turn = Turn::default();
                self.callers[index].on_wake(self.now, &mut turn, wake);
                self.caller_did(index, turn);
            }
            Event::TargetWakes(index, wake) => {
                let mut turn = Turn::default();
                self.targets[index].on_wake(self.now, &mut turn, wake);
                self.target_did(index, turn);
            }
            Event::Command(command) => {
                let (call, result) = self.media.on_command(self.now, &command);
                self.media_did(call, result);
            }
            Event::MediaTick(call, tick) => {
                let result = self.media.on_tick(self.now, call, tick);
                self.media_did(call, result);
            }
            Event::Told(input) => {
                if !matches!(
                    input,
                    Input::Media {
                        fact: Fact::Report { .. },
                        ..
                    }
                ) {
                    self.tell(|_| format!("told {input:?}"));
                }
                self.handle(input);
            }
            Event::Latest => self.on_latest(),
        }
    }

    fn reach_peer(&mut self, to: SocketAddr, bytes: &[u8]) {
        self.tell(|_| format!("{to} got {}", brief(bytes)));
        let Ok(message) = parse_datagram(bytes) else {
            return;
        };
        let mut turn = Turn::default();
        if let Some(index) = self.callers.iter().position(|one| one.plan.address == to) {
            self.callers[index].on_message(self.now, &mut turn, &message);
            self.caller_did(index, turn);
        } else if let Some(index) = self.targets.iter().position(|one| one.address == to) {
            self.targets[index].on_message(self.now, &mut turn, &message);
            self.target_did(index, turn);
        }
    }

    fn caller_did(&mut self, index: usize, turn: Turn) {
        let address = self.callers[index].plan.address;
        self.did(address, &turn);
        for (at, wake) in turn.wake {
            self.at(at, Event::CallerWakes(index, wake));
        }
    }

    fn target_did(&mut self, index: usize, turn: Turn) {
        let address = self.targets[index].address;
        self.did(address, &turn);
        for (at, wake) in turn.wake {
            self.at(at, Event::TargetWakes(index, wake));
        }
    }

    fn did(&mut self, from: SocketAddr, turn: &Turn) {
        for fault in &turn.faults {
            self.watch.faults.push(format!("{from}: {fault}"));
        }
        for bytes in &turn.send {
            for at in self.net.carry(self.now, bytes) {
                let bytes = bytes.clone();
                self.at(at, Event::In { from, bytes });
            }
        }
    }

    fn media_did(&mut self, call: CallKey, result: media::Result) {
        self.watch.faults.extend(result.faults);
        for (at, tick) in result.ticks {
            self.at(at, Event::MediaTick(call, tick));
        }
        for fact in result.facts {
            let arrives = self.now + self.chance.ms(0, 3);
            self.last_fact = self.last_fact.max(arrives);
            let input = Input::Media { call, fact };
            self.at(self.last_fact, Event::Told(input));
        }
    }

    /// One input, and all that comes of it.
    pub(crate) fn handle(&mut self, input: Input) {
        self.inputs += 1;
        if Some(self.inputs) == self.plan.copied_after {
            self.copy_engine();
        }
        self.watch.on_input(self.now, &input);
        self.engine.handle(self.now, input.clone());
        let actions: Vec<Action> = std::iter::from_fn(|| self.engine.poll_action()).collect();
        self.compare(&input, &actions);
        self.watch.on_actions(&input, &actions, &self.engine);
        for action in actions {
            self.tell(|_| format!("        {}", in_brief(&action)));
            self.carry_out(action);
        }
    }

    pub(crate) fn stop_asking_targets(&mut self) {
        let mut config = self.plan.config.clone();
        config.health.every = std::time::Duration::ZERO;
        self.handle(Input::Renew(Box::new(config)));
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::SendSip { path, bytes } => {
                let to = path.remote;
                if self
                    .targets
                    .iter()
                    .any(|one| one.address == to && one.unreachable)
                {
                    let later = self.now + self.chance.ms(0, 5);
                    return self.at(later, Event::Told(Input::SipUnreachable { bytes }));
                }
                for at in self.net.carry(self.now, &bytes) {
                    let bytes = bytes.clone();
                    self.at(at, Event::Out { to, bytes });
                }
            }
            Action::Media { command, .. } => {
                let arrives = self.now + self.chance.ms(0, 3);
                self.last_command = self.last_command.max(arrives);
                self.at(self.last_command, Event::Command(command));
            }
            Action::Record(_) => {}
        }
    }

    /// The state is plain data: written down and read back, the engine goes on as if nothing had happened.
    fn copy_engine(&mut self) {
        self.tell(|_| "the engine is written down and read back".to_owned());
        let bytes = postcard::to_stdvec(&self.engine).expect("an engine is plain data");
        let copy: Engine = postcard::from_bytes(&bytes).expect("what was written can be read");
        let again = postcard::to_stdvec(&copy).expect("an engine is plain data");
        if bytes != again {
            self.watch
                .faults
                .push("a copy differs from its original".to_owned());
        }
        self.original = Some(std::mem::replace(&mut self.engine, copy));
    }

    fn compare(&mut self, input: &Input, actions: &[Action]) {
        let Some(original) = &mut self.original else {
            return;
        };
        original.handle(self.now, input.clone());
        let its: Vec<Action> = std::iter::from_fn(|| original.poll_action()).collect();
        let same = its == actions && original.next_deadline() == self.engine.next_deadline();
        if !same {
            let fault = format!("the copy does {actions:?}, the original {its:?}");
            self.watch.faults.push(fault);
        }
    }
}

fn new_engine(config: &qingjiang::config::Config, seed: u64) -> Engine {
    let mut prompts = PromptNames::default();
    for (index, name) in PROMPTS.iter().enumerate() {
        let id = u16::try_from(index).expect("few prompts");
        prompts.insert("zh-female", name, qingjiang::call::doors::PromptId(id));
    }
    Engine::new(Settings {
        config: config.clone(),
        listeners: vec![Listener {
            transport: Default::default(),
            bound: engine(),
            advertised: engine(),
        }],
        media_address: engine().ip(),
        prompts,
        random: Random::from_number(seed),
    })
}

/// A message in a line.
fn brief(bytes: &[u8]) -> String {
    let Ok(message) = parse_datagram(bytes) else {
        return format!("{} bytes of rubbish", bytes.len());
    };
    let text = String::from_utf8_lossy(bytes);
    let start = text.lines().next().unwrap_or_default().to_owned();
    let header = |name: &str| header(&message, name).to_owned();
    format!(
        "{start} | {} | {} | {} | {}",
        header("CSeq"),
        header("Call-ID"),
        header("To"),
        crate::says::branch_of(&message)
    )
}

fn in_brief(action: &Action) -> String {
    match action {
        Action::SendSip { path, bytes } => format!("sends {} {}", path.remote, brief(bytes)),
        Action::Media { command, .. } => format!("commands {command:?}"),
        Action::Record(record) => format!("records {record:?}"),
    }
}

/// Runs a world: its faults in the order in which they were found, and what happened in it.
pub fn run(seed: u64, trace: Trace) -> (Vec<String>, Tally) {
    let mut world = World::new(seed, trace);
    world.run();
    let tally = world.tally();
    (world.watch.faults, tally)
}

const _: () = assert!(LATEST.as_nanos() < QUIET_BY.as_nanos());
