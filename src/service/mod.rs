//! The shell: threads, sockets, files. Does IO and decides nothing.
//!
//! [`Service`] is the whole running program in one value: the demo and `run` start the same one.
//!
//! | room | thread | does |
//! |---|---|---|
//! | [`control`] | one | SIP over UDP and the engine |
//! | [`transport`] | one | SIP over TCP and TLS |
//! | [`media`] | one a core | RTP sockets, relay, listening, prompts |
//! | [`store`] | one | records into SQLite |
//! | [`web`], [`telemetry`] | one | `/metrics`, `/healthz`, `/readyz`, `/api/v1` |
//! | [`trace`] | one a watcher | ladders of the newest calls, HEP |
//! | [`phone`] | one a line | our own phones, for the demo, load and tests |
pub mod clock;
pub mod control;
mod hep;
pub mod media;
pub mod phone;
pub mod prompts;
pub mod store;
pub mod telemetry;
pub mod trace;
pub mod transport;
pub mod web;
pub mod world;

use crate::base::random::Random;
use crate::call::prompts::PromptNames;
use crate::config::{self, Config};
use crate::engine::{Engine, Input, Settings};
use crate::media::prompt::PromptLibrary;
use control::{Control, Order};
use media::MediaThreads;
use std::net::SocketAddr;
use std::sync::Arc;
use store::{StoreError, StoreHandle};
use telemetry::{Published, Readiness, Snapshot};
use trace::Ladders;
use transport::SipSockets;
use web::WebServer;

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket that the configuration names cannot be bound.
    #[error("{what} {address} cannot be used: {source}")]
    Port {
        /// Which listener.
        what: &'static str,
        /// As configured.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No RTP port of the range can be bound.
    #[error("no pair of RTP ports in {first}-{last} on {address} can be bound")]
    NoMediaPorts {
        /// The address.
        address: std::net::IpAddr,
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
    },
    /// The certificates of `[sip.tls]` cannot be used.
    #[error("{0}")]
    Tls(String),
    /// The thread of SIP connections could not start.
    #[error("SIP over TCP cannot start: {0}")]
    Streams(std::io::Error),
    /// The media threads could not start.
    #[error("the media threads cannot start: {0}")]
    Media(std::io::Error),
    /// The control thread could not start.
    #[error("the control thread cannot start: {0}")]
    Control(std::io::Error),
    /// The store cannot be opened.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A prompt cannot be loaded.
    #[error("{0}")]
    Prompts(#[from] prompts::PromptProblems),
}

impl StartError {
    /// Whether a port is taken or not ours (exit status 69), or the file asks for what is not there (78).
    pub fn is_port(&self) -> bool {
        matches!(
            self,
            StartError::Port { .. } | StartError::NoMediaPorts { .. }
        )
    }
}

/// The running program.
pub struct Service {
    control: Control,
    web: Option<WebServer>,
    published: Arc<Published>,
    sip: Vec<SocketAddr>,
    /// What runs now.
    config: Config,
    prompts: PromptNames,
}

impl Service {
    /// Binds all sockets, opens the store, starts all threads.
    ///
    /// # Errors
    /// What is missing, in words for an operator; nothing is left running.
    pub fn start(config: Config) -> Result<Service, StartError> {
        let sockets = SipSockets::bind(&config)?;
        let library = Arc::new(prompts::load(&config.prompts)?);
        let store = StoreHandle::open(&config.store.path)?;
        let media = start_media(&config.media, &library)?;
        let prompts = names_of(&library);
        let listeners = sockets.listeners(config.sip.advertise);
        let (watchers, ladders) = trace::start(&config, &listeners).map_err(StartError::Control)?;
        let mut engine = Engine::new(Settings {
            listeners,
            media_address: config.sip.advertise.unwrap_or(config.media.address),
            prompts: prompts.clone(),
            random: Random::from_seed(seed()?),
            config: config.clone(),
        });
        engine.handle(clock::now(), Input::Ports(media.bound().to_vec()));
        let published = Arc::new(Published::new(Snapshot {
            figures: engine.figures().clone(),
            gauges: engine.gauges(clock::now()),
            watched: watchers.watched(),
            readiness: Readiness::Ready,
        }));
        let web = start_web(&config, &published, ladders)?;
        let sip = sockets.addresses();
        let drain = config.sip.drain_timeout;
        let control = Control::start(
            engine,
            sockets,
            media,
            store,
            Arc::clone(&published),
            watchers,
            drain,
        )
        .map_err(StartError::Control)?;
        Ok(Service {
            control,
            web,
            published,
            sip,
            config,
            prompts,
        })
    }

    /// Where SIP is heard, in the order of the configuration, free ports filled in.
    pub fn sip_addresses(&self) -> &[SocketAddr] {
        &self.sip
    }

    /// Where HTTP is heard.
    pub fn web_address(&self) -> Option<SocketAddr> {
        self.web.as_ref().map(WebServer::local_addr)
    }

    /// The newest figures.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.current()
    }

    /// Takes a configuration that was read again: new calls go by it, running ones keep to theirs. Gives the
    /// sections that differ and wait for a restart.
    ///
    /// # Errors
    /// It needs prompts that are not in memory; nothing changes.
    pub fn renew(&mut self, new: Config) -> Result<Vec<&'static str>, config::NotLoaded> {
        let is_loaded = |voice: &str, prompt: &str| self.prompts.id(voice, prompt).is_some();
        let renewed = config::renew(&self.config, new, is_loaded)?;
        self.config = renewed.config.clone();
        self.control.order(Order::Renew(Box::new(renewed.config)));
        Ok(renewed.waiting)
    }

    /// No new calls; [`Service::wait`] returns when the running ones have ended, or after `drain_timeout`.
    pub fn drain(&self) {
        self.control.order(Order::Drain);
    }

    /// Ends all calls now.
    pub fn shut_down(&self) {
        self.control.order(Order::ShutDown);
    }

    /// Whether the control thread has ended.
    pub fn is_finished(&self) -> bool {
        self.control.is_finished()
    }

    /// Waits for the end of a drain; all records are on disk then.
    ///
    /// # Errors
    /// Records that could not be written, or a thread that panicked, in words for an operator.
    pub fn wait(self) -> Result<(), String> {
        let ended = self.control.join();
        if let Some(web) = self.web {
            web.stop();
        }
        ended
    }
}

fn start_media(
    media: &config::Media,
    library: &Arc<PromptLibrary>,
) -> Result<MediaThreads, StartError> {
    let (first, last) = media.ports;
    let address = media.address;
    let none = StartError::NoMediaPorts {
        address,
        first,
        last,
    };
    match MediaThreads::start(media, Arc::clone(library)) {
        Ok(threads) if threads.bound().len() >= 2 => Ok(threads),
        Ok(_) => Err(none),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(none),
        Err(error) => Err(StartError::Media(error)),
    }
}

fn start_web(
    config: &Config,
    published: &Arc<Published>,
    ladders: Option<Ladders>,
) -> Result<Option<WebServer>, StartError> {
    let Some(address) = config.web.listen else {
        return Ok(None);
    };
    let started = WebServer::start(address, Arc::clone(published), ladders);
    started.map(Some).map_err(|source| StartError::Port {
        what: "web.listen",
        address,
        source,
    })
}

fn names_of(library: &PromptLibrary) -> PromptNames {
    let mut names = PromptNames::default();
    for (voice, name) in library.names() {
        if let Some(id) = crate::call::anchor::prompt_id(library, voice, name) {
            names.insert(voice, name, id);
        }
    }
    names
}

/// 32 bytes of the operating system's randomness.
fn seed() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    let got = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty());
    match got {
        Ok(32) => Ok(seed),
        Ok(_) => Err(StartError::Control(
            std::io::ErrorKind::UnexpectedEof.into(),
        )),
        Err(error) => Err(StartError::Control(error.into())),
    }
}
