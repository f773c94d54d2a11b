//! An engine with one trunk that lets [`SOURCE`] in and one hotline that takes every number, on virtual time.

use crate::machine::Machine;
use qingjiang::base::ids::CallKey;
use qingjiang::base::random::Random;
use qingjiang::base::time::Instant;
use qingjiang::base::transport::Transport;
use qingjiang::call::desk::{Action, Listener};
use qingjiang::call::doors::{Command, Fact, PortPair};
use qingjiang::call::prompts::PromptNames;
use qingjiang::config::read;
use qingjiang::engine::{Engine, Input, Settings};
use qingjiang::sip::transaction::Path;
use std::net::SocketAddr;
use std::sync::LazyLock;

/// Where the messages come from: no address and no port that any of them names.
pub const SOURCE: &str = "198.51.100.7:35060";

/// Where calls go.
pub const TARGET: &str = "203.0.113.9:5090";

const CONFIG: &str = r#"
[sip]
listen = ["udp:203.0.113.1:5060"]
[media]
address = "203.0.113.1"
ports = "20000-20999"
[health]
every = "0s"
[[trunk]]
name = "carrier"
from = ["198.51.100.0/24"]
[[hotline]]
name = "any"
numbers = ["*"]
targets = ["sip:desk@203.0.113.9:5090"]
"#;

/// A call takes two pairs.
const PORT_PAIRS: u16 = 100;

static FRESH: LazyLock<Engine> = LazyLock::new(fresh);

fn fresh() -> Engine {
    let address: SocketAddr = "203.0.113.1:5060".parse().expect("an address");
    let listener = Listener {
        transport: Transport::Udp,
        bound: address,
        advertised: address,
    };
    let mut engine = Engine::new(Settings {
        config: read(CONFIG, "torture.toml", &Machine).expect("a sound configuration"),
        listeners: vec![listener],
        media_address: address.ip(),
        prompts: PromptNames::default(),
        random: Random::from_number(4475),
    });
    let pairs = (0..PORT_PAIRS).map(|pair| PortPair {
        thread: 0,
        rtp: 20_000 + 2 * pair,
    });
    engine.handle(Instant::ZERO, Input::Ports(pairs.collect()));
    engine
}

/// The engine and its clock.
pub struct Bench {
    engine: Engine,
    now: Instant,
}

impl Bench {
    pub fn new() -> Bench {
        Bench {
            engine: FRESH.clone(),
            now: Instant::from_millis(1),
        }
    }

    /// A datagram comes in; gives what is sent at once, and to whom.
    pub fn receive(&mut self, bytes: &[u8], from: &str) -> Vec<(SocketAddr, Vec<u8>)> {
        let remote = from.parse().expect("an address");
        let path = Path::udp(0, remote);
        let bytes = bytes.to_vec();
        self.handle(Input::Sip { path, bytes })
    }

    /// Lets time pass until nothing is left to wait for: nobody answers anything any more.
    pub fn run_out(&mut self) {
        // Far more turns than 100 calls' repetitions take.
        for _ in 0..100_000 {
            let Some(at) = self.engine.next_deadline() else {
                assert!(self.engine.is_idle(), "a call that waits for nothing");
                let (free, total) = self.engine.ports();
                assert_eq!((free, total), (total, usize::from(PORT_PAIRS)));
                return;
            };
            self.now = self.now.max(at);
            self.handle(Input::Deadline);
        }
        panic!("it never comes to rest");
    }

    fn handle(&mut self, input: Input) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        let mut closed: Vec<CallKey> = Vec::new();
        self.engine.handle(self.now, input);
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::SendSip { path, bytes } => sent.push((path.remote, bytes)),
                Action::Media { command, .. } => closed.extend(closing(&command)),
                Action::Record(_) => {}
            }
        }
        for call in closed {
            let fact = Fact::Closed;
            sent.extend(self.handle(Input::Media { call, fact }));
        }
        sent
    }
}

fn closing(command: &Command) -> Option<CallKey> {
    match command {
        Command::Close { call } => Some(*call),
        _ => None,
    }
}
