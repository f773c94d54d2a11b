//! One call at the engine's edge: a clock that only the test moves, a media thread that obeys, and peers whose
//! SIP the test writes by hand.
//!
//! Peers answer nothing by themselves but a BYE, and even that can be switched off.

use super::{Nowhere, listener};
use crate::base::ids::{CallKey, Leg};
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::call::desk::Action;
use crate::call::doors::{Command, Fact, PlayId, PortPair, PromptEnd, PromptId, StreamCounts};
use crate::call::prompts::PromptNames;
use crate::call::tracer::Traced;
use crate::engine::{Engine, Input, Settings};
use crate::hotline::record::EndedCall;
use crate::sip::transaction::Path;
use crate::sip::wire::{self, Message, Method, Uri};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The trunk.
pub(super) const CALLER: &str = "192.0.2.9:5060";
/// The hotline's targets, in order.
pub(super) const TARGETS: [&str; 2] = ["192.0.2.5:5060", "192.0.2.6:5060"];
/// `after-sales`, as the rules' table has it.
pub(super) const SCRIPT: [&str; 3] = [
    "silent-connected",
    "silent-can-you-hear",
    "silent-redial-other-phone",
];
/// Every prompt here is so long, and begins so long after it was asked for.
pub(super) const PROMPT: Duration = Duration::from_secs(2);
pub(super) const PROMPT_LATENCY: Duration = Duration::from_millis(20);

/// Far more turns than one call's repetitions take.
const TURNS_MAX: usize = 10_000;

/// A message of ours.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub at: Instant,
    pub to: SocketAddr,
    pub message: Message,
    pub bytes: Vec<u8>,
}

pub(super) struct Scene {
    pub engine: Engine,
    pub now: Instant,
    /// All that we sent, in order.
    pub sent: Vec<Sent>,
    /// All that the media thread was told, in order.
    pub commands: Vec<(Instant, Command)>,
    pub records: Vec<EndedCall>,
    /// All SIP messages, as those who watch are told of them.
    pub traced: Vec<Traced>,
    /// RTP packets that each leg sends in a second.
    pub packets: [u32; 2],
    /// Whether peers answer a BYE.
    pub byes_are_answered: bool,
    /// How a prompt ends, if not at its end.
    pub prompts_end: PromptEnd,
    /// What is told of the caller before the hang-up.
    pub silence_lasts: bool,
    facts: BTreeMap<(Instant, u64), (CallKey, Fact)>,
    facts_noted: u64,
    open: bool,
}

impl Scene {
    /// A hotline with two targets and the profile `after-sales`.
    pub fn new() -> Scene {
        Scene::with(&format!("targets = [{}]", TARGETS.map(uri).join(", ")), "")
    }

    /// A hotline with the keys `hotline` and more sections behind it.
    pub fn with(hotline: &str, more: &str) -> Scene {
        // Targets are asked nothing, unless a test is about that.
        let health = match more.contains("[health]") {
            true => "",
            false => "[health]\nevery = \"0s\"",
        };
        let text = format!(
            "[sip]\nlisten = [\"udp:192.0.2.1:5060\"]\n[media]\naddress = \"192.0.2.1\"\n\
             ports = \"20000-20099\"\n{health}\n[[trunk]]\nname = \"carrier\"\nfrom = [\"192.0.2.9\"]\n\
             [[hotline]]\nname = \"weather\"\nnumbers = [\"*\"]\n{hotline}\n{more}\n"
        );
        let config = crate::config::read(&text, "scene.toml", &Nowhere)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let mut prompts = PromptNames::default();
        for (id, name) in (0..).zip(SCRIPT) {
            prompts.insert("zh-female", name, PromptId(id));
        }
        let mut engine = Engine::new(Settings {
            config,
            listeners: vec![listener()],
            media_address: listener().bound.ip(),
            prompts,
            random: Random::from_number(7),
        });
        let pair = |rtp| PortPair { thread: 0, rtp };
        engine.handle(
            Instant::ZERO,
            Input::Ports(vec![pair(20_000), pair(20_002)]),
        );
        Scene {
            engine,
            now: Instant::from_millis(1_000),
            sent: Vec::new(),
            commands: Vec::new(),
            records: Vec::new(),
            traced: Vec::new(),
            packets: [0, 0],
            byes_are_answered: true,
            prompts_end: PromptEnd::Completed,
            silence_lasts: true,
            facts: BTreeMap::new(),
            facts_noted: 0,
            open: false,
        }
    }

    /// A call that the first target answered and the caller acknowledged, two-way, nobody speaking.
    pub fn up(&mut self) {
        self.invite(&sdp("192.0.2.9", "sendrecv"));
        self.answer(0, &sdp("192.0.2.5", "sendrecv"));
        self.ack();
    }

    /// The caller's INVITE.
    pub fn invite(&mut self, offer: &str) {
        let invite = caller_request("INVITE", 1, "<sip:hotline@192.0.2.1>", offer);
        self.receive(CALLER, &invite);
    }

    /// The caller's ACK of our 200.
    pub fn ack(&mut self) {
        let to = self.caller_dialog();
        self.receive(CALLER, &caller_request("ACK", 1, &to, ""));
    }

    /// The caller's ACK of our refusal, so that it is not repeated.
    pub fn ack_refusal(&mut self) {
        let is_refusal =
            |sent: &&Sent| sent.to.to_string() == CALLER && sent.message.status() >= Some(300);
        let refusal = self.sent.iter().rfind(is_refusal);
        let refusal = &refusal.expect("a refusal").message;
        let to = refusal.headers.first("To").expect("To").to_owned();
        let mut ack = caller_request("ACK", 1, &to, "");
        ack.headers.set(
            "Via",
            &format!("SIP/2.0/UDP {CALLER};branch=z9hG4bKINVITE1;rport"),
        );
        self.receive(CALLER, &ack);
    }

    /// The caller's CANCEL.
    pub fn caller_cancels(&mut self) {
        let mut cancel = caller_request("CANCEL", 1, "<sip:hotline@192.0.2.1>", "");
        cancel.headers.set(
            "Via",
            &format!("SIP/2.0/UDP {CALLER};branch=z9hG4bKINVITE1;rport"),
        );
        self.receive(CALLER, &cancel);
    }

    /// The caller's BYE.
    pub fn caller_hangs_up(&mut self) {
        let to = self.caller_dialog();
        self.receive(CALLER, &caller_request("BYE", 2, &to, ""));
    }

    /// A request of the caller inside its dialog.
    pub fn caller_asks(&mut self, method: &str, cseq: u32, body: &str) {
        let to = self.caller_dialog();
        self.caller_asks_to(&to, method, cseq, body);
    }

    /// The same with this To.
    pub fn caller_asks_to(&mut self, to: &str, method: &str, cseq: u32, body: &str) {
        self.receive(CALLER, &caller_request(method, cseq, to, body));
    }

    /// A request of the first target inside its dialog.
    pub fn agent_asks(&mut self, method: &str, cseq: u32, body: &str) {
        let invite = &self.all(TARGETS[0], "INVITE")[0].message;
        let from = self.last(TARGETS[0], "ACK").message.headers.first("To");
        let from = from.expect("To").to_owned();
        let header = |name| invite.headers.first(name).expect("a header").to_owned();
        let uri = Uri::parse("sip:192.0.2.1").expect("a URI");
        let mut request = Message::request(Method::from(method), uri);
        let via = format!("SIP/2.0/UDP {};branch=z9hG4bKa{method}{cseq}", TARGETS[0]);
        for (name, value) in [
            ("Via", via),
            ("From", from),
            ("To", header("From")),
            ("Call-ID", header("Call-ID")),
            ("CSeq", format!("{cseq} {method}")),
            ("Contact", format!("<sip:desk@{}>", TARGETS[0])),
        ] {
            request.headers.push(name, &value);
        }
        if !body.is_empty() {
            request.headers.push("Content-Type", "application/sdp");
            request.body = body.as_bytes().to_vec();
        }
        self.receive(TARGETS[0], &request);
    }

    /// A peer answers the last request of this method that it got.
    pub fn reply(&mut self, peer: &str, method: &str, status: u16, body: &str) {
        let mut response = self.last(peer, method).message.reply(status, None);
        response.headers.push("Contact", &format!("<sip:{peer}>"));
        if !body.is_empty() {
            response.headers.push("Content-Type", "application/sdp");
            response.body = body.as_bytes().to_vec();
        }
        self.receive(peer, &response);
    }

    /// The BYE of a target that was acknowledged.
    pub fn agent_hangs_up(&mut self, target: usize) {
        let ack = &self.last(TARGETS[target], "ACK").message;
        let contact = Uri::parse("sip:192.0.2.1").expect("a URI");
        let mut bye = Message::request(Method::Bye, contact);
        let via = format!(
            "SIP/2.0/UDP {};branch=z9hG4bK{:?}",
            TARGETS[target], self.now
        );
        let header = |name| ack.headers.first(name).expect("a header of our ACK");
        for (name, value) in [
            ("Via", via.as_str()),
            ("From", header("To")),
            ("To", header("From")),
            ("Call-ID", header("Call-ID")),
            ("CSeq", "1 BYE"),
        ] {
            bye.headers.push(name, value);
        }
        self.receive(TARGETS[target], &bye);
    }

    /// The media thread falls silent: nothing that is under way is told.
    pub fn forget_facts(&mut self) {
        self.facts.clear();
    }

    /// The To of the caller's requests inside its dialog.
    fn caller_dialog(&self) -> String {
        let ok = self.last(CALLER, "200 INVITE").message.clone();
        ok.headers.first("To").expect("To").to_owned()
    }

    /// A target's 200 to its INVITE.
    pub fn answer(&mut self, target: usize, answer: &str) {
        let ok = self.ok_of(target, answer);
        self.receive(TARGETS[target], &ok);
    }

    /// A target's 200, to be changed by the test. All targets choose the same tag: only the Call-ID tells them apart.
    pub fn ok_of(&self, target: usize, answer: &str) -> Message {
        let invite = &self.last(TARGETS[target], "INVITE").message;
        let mut ok = invite.reply(200, None);
        let to = format!("{};tag=desk", invite.headers.first("To").expect("To"));
        ok.headers.set("To", &to);
        ok.headers
            .push("Contact", &format!("<sip:desk@{}>", TARGETS[target]));
        ok.headers.push("Content-Type", "application/sdp");
        ok.body = answer.as_bytes().to_vec();
        ok
    }

    /// A datagram comes in.
    pub fn receive(&mut self, from: &str, message: &Message) {
        let remote = from.parse().expect("an address");
        let path = Path::udp(0, remote);
        let bytes = message.to_bytes();
        self.handle(Input::Sip { path, bytes });
    }

    /// The media thread tells something of the one call.
    pub fn tell(&mut self, fact: Fact) {
        let call = CallKey(1);
        self.handle(Input::Media { call, fact });
    }

    /// A leg speaks now for so long; the clock goes on to the moment at which its end is told.
    pub fn speaks(&mut self, leg: Leg, long: Duration) {
        let at = self.now;
        self.tell(Fact::SpeechBegan { leg, at });
        self.run_for(long);
        let at = self.now;
        self.run_for(Duration::from_millis(700));
        self.tell(Fact::SpeechEnded { leg, at });
    }

    /// Lets time pass.
    pub fn run_for(&mut self, long: Duration) {
        let end = self.now + long;
        while let Some(due) = self.next().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            match self.facts.first_key_value() {
                Some(((at, _), _)) if *at <= self.now => {
                    if let Some((_, (call, fact))) = self.facts.pop_first() {
                        self.on_fact_due(call, fact);
                    }
                }
                _ => self.handle(Input::Deadline),
            }
        }
        self.now = end;
    }

    /// Lets time pass until nothing is left to wait for, and looks whether anything was left behind.
    pub fn must_come_to_rest(&mut self) {
        for _ in 0..TURNS_MAX {
            let Some(due) = self.next() else {
                assert!(self.engine.is_idle(), "a call that waits for nothing");
                assert!(self.engine.desk.transactions.is_empty(), "transactions");
                assert!(self.engine.desk.dialogs.is_empty(), "dialogs");
                assert!(self.engine.desk.owners.is_empty(), "owners");
                assert_eq!(self.engine.ports(), (2, 2), "free and all ports");
                assert!(self.engine.figures().bugs.is_empty(), "bugs");
                return;
            };
            self.run_for(due - self.now);
        }
        panic!("it never comes to rest");
    }

    fn next(&self) -> Option<Instant> {
        let fact = self.facts.first_key_value().map(|((at, _), _)| *at);
        fact.into_iter().chain(self.engine.next_deadline()).min()
    }

    fn on_fact_due(&mut self, call: CallKey, mut fact: Fact) {
        if let Fact::Report { leg, counts } = &mut fact {
            if !self.open {
                return;
            }
            counts.received = self.packets[leg.index()];
            counts.audio = counts.received;
            self.note(self.now + Duration::from_secs(1), call, fact.clone());
        }
        self.handle(Input::Media { call, fact });
    }

    fn note(&mut self, at: Instant, call: CallKey, fact: Fact) {
        self.facts_noted += 1;
        self.facts.insert((at, self.facts_noted), (call, fact));
    }

    pub fn handle(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        let actions: Vec<Action> = std::iter::from_fn(|| self.engine.poll_action()).collect();
        let traced = std::iter::from_fn(|| self.engine.poll_traced());
        self.traced.extend(traced);
        for action in actions {
            match action {
                Action::SendSip { path, bytes } => self.on_sent(path.remote, bytes),
                Action::Media { command, .. } => self.on_command(command),
                Action::Record(record) => self.records.push(*record),
            }
        }
    }

    fn on_sent(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        let message = wire::parse_datagram(&bytes).expect("a valid message of ours");
        let at = self.now;
        let is_bye = message.method() == Some(&Method::Bye);
        self.sent.push(Sent {
            at,
            to,
            message: message.clone(),
            bytes,
        });
        if is_bye && self.byes_are_answered {
            self.receive(&to.to_string(), &message.reply(200, None));
        }
    }

    /// What a media thread does, without the sound.
    fn on_command(&mut self, command: Command) {
        let (now, call) = (self.now, command.call());
        self.commands.push((now, command.clone()));
        match command {
            Command::Open { .. } => {
                self.open = true;
                for leg in Leg::BOTH {
                    let counts = StreamCounts::default();
                    let at = now + Duration::from_secs(1);
                    self.note(at, call, Fact::Report { leg, counts });
                }
            }
            Command::Play { play, .. } => self.play(call, play),
            Command::Close { .. } => {
                self.open = false;
                self.note(now + Duration::from_millis(1), call, Fact::Closed);
            }
            Command::ConfirmSilence { .. } => {
                let lasts = self.silence_lasts;
                self.note(
                    now + Duration::from_millis(1),
                    call,
                    Fact::Silence { lasts },
                );
            }
            Command::Update { .. } | Command::Listen { .. } | Command::Stop { .. } => {}
        }
    }

    fn play(&mut self, call: CallKey, play: PlayId) {
        let (start, how) = (self.now + PROMPT_LATENCY, self.prompts_end);
        let at = match how {
            PromptEnd::Refused => start,
            PromptEnd::Completed => start + PROMPT,
            PromptEnd::Speech | PromptEnd::Stopped => start + PROMPT / 2,
        };
        if how != PromptEnd::Refused {
            self.note(start, call, Fact::PromptStarted { play });
        }
        self.note(at, call, Fact::PromptEnded { play, how, at });
    }

    /// When we sent this to a peer: a method, or a status with the method that it answers.
    pub fn times(&self, to: &str, what: &str) -> Vec<Instant> {
        self.all(to, what).iter().map(|sent| sent.at).collect()
    }

    /// The last such message, which must be there.
    pub fn last(&self, to: &str, what: &str) -> &Sent {
        let last = self.all(to, what).pop();
        last.unwrap_or_else(|| panic!("no {what} to {to}"))
    }

    /// All such messages.
    pub fn all(&self, to: &str, what: &str) -> Vec<&Sent> {
        let is_it = |sent: &&Sent| sent.to.to_string() == to && name_of(&sent.message) == what;
        self.sent.iter().filter(is_it).collect()
    }

    /// Names of the prompts that were asked for, and when.
    pub fn plays(&self) -> Vec<(&'static str, Instant)> {
        let play = |(at, command): &(Instant, Command)| match command {
            Command::Play { prompt, .. } => Some((SCRIPT[usize::from(prompt.0)], *at)),
            _ => None,
        };
        self.commands.iter().filter_map(play).collect()
    }

    /// Names of the prompts that were asked for.
    pub fn asked(&self) -> Vec<&'static str> {
        self.plays().into_iter().map(|(name, _)| name).collect()
    }

    /// BYEs of ours, on both legs.
    pub fn byes(&self) -> usize {
        let is_bye = |sent: &&Sent| sent.message.method() == Some(&Method::Bye);
        self.sent.iter().filter(is_bye).count()
    }
}

/// `INVITE`, or `200 INVITE` for its answer.
fn name_of(message: &Message) -> String {
    let method = message.cseq().expect("CSeq").method;
    match message.status() {
        Some(status) => format!("{status} {method}"),
        None => method.to_string(),
    }
}

/// A target in the configuration.
pub(super) fn uri(target: &str) -> String {
    format!("\"sip:desk@{target}\"")
}

/// PCMA at an address, in a direction.
pub(super) fn sdp(address: &str, direction: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.77\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio 40000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na={direction}\r\n"
    )
}

fn caller_request(method: &str, cseq: u32, to: &str, body: &str) -> Message {
    let uri = Uri::parse("sip:hotline@192.0.2.1").expect("a URI");
    let mut request = Message::request(Method::from(method), uri);
    let via = format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK{method}{cseq};rport");
    let cseq = format!("{cseq} {method}");
    for (name, value) in [
        ("Via", via.as_str()),
        ("From", "<sip:13800000000@192.0.2.9>;tag=caller"),
        ("To", to),
        ("Call-ID", "call@192.0.2.9"),
        ("CSeq", &cseq),
        ("Max-Forwards", "70"),
        ("Contact", "<sip:13800000000@192.0.2.9>"),
    ] {
        request.headers.push(name, value);
    }
    if !body.is_empty() {
        request.headers.push("Content-Type", "application/sdp");
    }
    request.body = body.as_bytes().to_vec();
    request
}
