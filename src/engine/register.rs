//! REGISTER as a client: registrars are told where we are, for as long as we run.
//!
//! Decides when to register, to renew, to try again and to leave. Never decides what the calls are that come of it: they
//! need a trunk like any other.
//!
//! ```text
//!           due                 2xx                   half of its time
//! Waiting ───────► Asking ─────────────► Registered ──────────────────► Asking
//!    ▲               │  401, 407, 423: asked again at once
//!    └───────────────┘  anything else: after a pause
//!                 drain, or no longer configured: Expires: 0, then Gone
//! ```
//!
//! Source: RFC 3261 §10.2 (one request at a time, one Call-ID, rising CSeq), §10.2.4 (what was granted), §10.2.8 (423),
//! §22; RFC 5626 §4.5 (pauses that double, and are never the same for all).

use crate::base::random::Random;
use crate::base::time::Instant;
use crate::base::transport::Transport;
use crate::call::desk::Desk;
use crate::config::Registration;
use crate::hotline::figures::RegistrationState;
use crate::sip::auth::client::REPEATS_MAX;
use crate::sip::auth::{Account, Login};
use crate::sip::transaction::TxId;
use crate::sip::user_agent::Advertised;
use crate::sip::wire::{Message, Method, Uri};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The first pause after a failure, at most; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(30);
/// The longest pause of our own choice. RFC 5626 has 30 minutes, which is long for a hotline that gets no calls.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// The longest pause that a registrar may ask for, and the longest registration that it may want.
const ASKED_MAX: Duration = Duration::from_secs(86_400);
/// A registrar that grants next to nothing is not asked more often than that.
const RENEW_AFTER_MIN: Duration = Duration::from_secs(5);

/// All registrations.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Registrations(Vec<Binding>);

/// One user at one registrar.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Binding {
    config: Registration,
    call_id: String,
    from_tag: String,
    cseq: u32,
    login: Login,
    state: State,
    /// Until when the registrar holds us for registered.
    until: Option<Instant>,
    /// For how long we ask: what is configured, or what the registrar wants at least.
    ask_for: Duration,
    /// Requests that were repeated at once since the last one that was due.
    repeats: u8,
    /// Failures since the last success.
    failures: u32,
    /// We no longer want to be registered.
    leaving: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Waiting(Instant),
    Asking { tx: TxId, to_leave: bool },
    Registered { renew_at: Instant },
    Gone,
}

impl Registrations {
    /// All that are configured; they are due at once.
    pub fn new(config: &[Registration], random: &mut Random) -> Registrations {
        let binding = |one: &Registration| Binding::new(one.clone(), random);
        Registrations(config.iter().map(binding).collect())
    }

    /// Takes a renewed configuration: what it no longer has is left, what it changes is asked for anew.
    pub fn renew(&mut self, desk: &mut Desk, now: Instant, config: &[Registration]) {
        for one in config {
            match self.0.iter_mut().find(|known| known.is_for(one)) {
                Some(known) => known.change(now, one),
                None => self.0.push(Binding::new(one.clone(), &mut desk.random)),
            }
        }
        for binding in &mut self.0 {
            if !config.iter().any(|one| binding.is_for(one)) {
                binding.leave(desk, now);
            }
        }
        self.forget_gone();
    }

    /// Leaves all registrars.
    pub fn leave(&mut self, desk: &mut Desk, now: Instant) {
        for binding in &mut self.0 {
            binding.leave(desk, now);
        }
    }

    /// Whether no registrar is being left any more.
    pub fn are_left(&self) -> bool {
        let under_way = |one: &Binding| one.leaving && one.state != State::Gone;
        !self.0.iter().any(under_way)
    }

    /// When [`Self::on_deadline`] is wanted next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(Binding::due).min()
    }

    /// Asks for all that is due.
    pub fn on_deadline(&mut self, desk: &mut Desk, now: Instant) {
        for binding in &mut self.0 {
            if binding.due().is_some_and(|due| due <= now) {
                binding.repeats = 0;
                binding.ask(desk, now);
            }
        }
    }

    /// Whether a transaction is one of ours.
    pub fn owns(&self, tx: TxId) -> bool {
        self.0.iter().any(|one| one.is_asking(tx))
    }

    /// A response to one of our requests; `None` where none came, or it could not be sent.
    pub fn on_response(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        tx: TxId,
        response: Option<&Message>,
    ) {
        if response
            .and_then(Message::status)
            .is_some_and(|status| status < 200)
        {
            return;
        }
        if let Some(binding) = self.0.iter_mut().find(|one| one.is_asking(tx)) {
            binding.on_final(desk, now, tx, response);
        }
        self.forget_gone();
    }

    /// How each of them is, by name.
    pub fn states(&self, now: Instant) -> Vec<(String, RegistrationState)> {
        let shown = |one: &Binding| (one.config.name.clone(), one.shown(now));
        self.0
            .iter()
            .filter(|one| !one.leaving)
            .map(shown)
            .collect()
    }

    fn forget_gone(&mut self) {
        self.0.retain(|one| one.state != State::Gone);
    }
}

impl Binding {
    fn new(config: Registration, random: &mut Random) -> Binding {
        Binding {
            call_id: random.token(),
            from_tag: random.token(),
            cseq: 0,
            login: Login::default(),
            state: State::Waiting(Instant::ZERO),
            until: None,
            ask_for: config.expires,
            repeats: 0,
            failures: 0,
            leaving: false,
            config,
        }
    }

    /// Whether a configured one is the same binding: the same Contact of the same user at the same registrar.
    fn is_for(&self, config: &Registration) -> bool {
        let key = |one: &Registration| (one.name.clone(), one.registrar.clone(), one.user.clone());
        let same = key(&self.config) == key(config) && self.config.contact == config.contact;
        same && !self.leaving
    }

    fn change(&mut self, now: Instant, config: &Registration) {
        if self.config == *config {
            return;
        }
        self.config = config.clone();
        self.ask_for = config.expires;
        self.login = Login::default();
        if !matches!(self.state, State::Asking { .. }) {
            self.state = State::Waiting(now);
        }
    }

    fn is_asking(&self, tx: TxId) -> bool {
        matches!(self.state, State::Asking { tx: ours, .. } if ours == tx)
    }

    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Waiting(until) => Some(until),
            State::Registered { renew_at } => Some(renew_at),
            State::Asking { .. } | State::Gone => None,
        }
    }

    fn shown(&self, now: Instant) -> RegistrationState {
        match &self.state {
            _ if self.until.is_some_and(|until| now < until) => RegistrationState::Registered,
            _ if self.failures > 0 => RegistrationState::Failed,
            _ => RegistrationState::Trying,
        }
    }

    fn leave(&mut self, desk: &mut Desk, now: Instant) {
        if std::mem::replace(&mut self.leaving, true) {
            return;
        }
        self.repeats = 0;
        // One request at a time (RFC 3261 §10.2): what is under way is waited for.
        if !matches!(self.state, State::Asking { .. }) {
            self.leave_now(desk, now);
        }
    }

    fn leave_now(&mut self, desk: &mut Desk, now: Instant) {
        match self.until.take().is_some_and(|until| now < until) {
            true => self.ask(desk, now),
            false => self.state = State::Gone,
        }
    }

    fn ask(&mut self, desk: &mut Desk, now: Instant) {
        match self.send(desk, now) {
            Some(tx) => {
                let to_leave = self.leaving;
                self.state = State::Asking { tx, to_leave };
            }
            None => self.on_failure(desk, now, None),
        }
    }

    fn send(&mut self, desk: &mut Desk, now: Instant) -> Option<TxId> {
        let remote = self.config.address;
        let path = desk.path_towards(remote, self.config.transport)?;
        let mut request = self.request(desk.advertised(path.listener))?;
        let account = Account {
            user: &self.config.credentials.user,
            password: self.config.credentials.password.reveal(),
        };
        self.login.sign(&mut request, account);
        desk.user_agent(path.listener).request(now, path, request)
    }

    fn request(&mut self, ours: Advertised) -> Option<Message> {
        let registrar = Uri::parse(&self.config.registrar).ok()?;
        // An address-of-record has no port (RFC 3261 §19.1.1, table 1).
        let domain = registrar.host()?;
        let record = format!("<sip:{}@{domain}>", self.config.user);
        let contact = self.contact(ours)?;
        let seconds = match self.leaving {
            true => 0,
            false => self.ask_for.as_secs(),
        };
        self.cseq += 1;
        let mut request = Message::request(Method::Register, registrar);
        for (name, value) in [
            ("Max-Forwards", "70".to_owned()),
            ("From", format!("{record};tag={}", self.from_tag)),
            ("To", record),
            ("Call-ID", self.call_id.clone()),
            ("CSeq", format!("{} REGISTER", self.cseq)),
            ("Contact", format!("<{contact}>")),
            ("Expires", seconds.to_string()),
        ] {
            request.headers.push(name, &value);
        }
        Some(request)
    }

    fn contact(&self, ours: Advertised) -> Option<Uri> {
        let contact = Uri::sip(Some(&self.config.contact), ours.address);
        match ours.transport {
            Transport::Udp => Some(contact),
            transport => Uri::parse(&format!("{contact};transport={}", transport.name())).ok(),
        }
    }

    fn on_final(&mut self, desk: &mut Desk, now: Instant, tx: TxId, response: Option<&Message>) {
        let status = response.and_then(Message::status).unwrap_or(408);
        let asked = desk.transactions.request_of(tx).cloned();
        if let (Some(asked), Some(response)) = (asked, response)
            && self.is_worth_asking_again(desk, &asked, response)
        {
            self.repeats += 1;
            return self.ask(desk, now);
        }
        match response.filter(|_| (200..300).contains(&status)) {
            Some(granted) => self.on_success(desk, now, granted),
            None => self.on_failure(desk, now, response),
        }
    }

    fn is_worth_asking_again(
        &mut self,
        desk: &mut Desk,
        asked: &Message,
        response: &Message,
    ) -> bool {
        if response.status() == Some(423) && self.repeats < REPEATS_MAX {
            let wanted = seconds_in(response, "Min-Expires");
            let longer = wanted.filter(|wanted| (self.ask_for..=ASKED_MAX).contains(wanted));
            let is_longer = longer.is_some_and(|wanted| wanted > self.ask_for);
            self.ask_for = longer.unwrap_or(self.ask_for);
            return is_longer && !self.leaving;
        }
        let random = &mut desk.random;
        self.login.take(asked, response, self.repeats, random)
    }

    fn on_success(&mut self, desk: &mut Desk, now: Instant, granted: &Message) {
        if matches!(self.state, State::Asking { to_leave: true, .. }) {
            self.state = State::Gone;
            return;
        }
        self.failures = 0;
        let lasts = self.granted(desk, granted);
        self.until = Some(now + lasts);
        if self.leaving {
            return self.leave_now(desk, now);
        }
        // The other half is for trying again.
        let renew_at = now + (lasts / 2).max(RENEW_AFTER_MIN);
        self.state = State::Registered { renew_at };
    }

    /// For how long we are registered: our Contact's own time, else that of all (RFC 3261 §10.2.4).
    fn granted(&self, desk: &Desk, response: &Message) -> Duration {
        let ours = desk.listener_towards(self.config.address, self.config.transport);
        let ours = ours.and_then(|listener| self.contact(desk.advertised(listener)));
        let contacts = response.name_addrs("Contact").unwrap_or_default();
        let our_own = contacts.iter().find(|contact| {
            let is_same = |ours: &Uri| {
                let parts = |uri: &Uri| (uri.user(), uri.ip(), uri.port().unwrap_or(5060));
                parts(ours) == parts(&contact.uri)
            };
            ours.as_ref().is_some_and(is_same)
        });
        let own = our_own.and_then(|contact| contact.params.value("expires"));
        let own = own.and_then(seconds);
        let lasts = own.or_else(|| seconds_in(response, "Expires"));
        lasts.unwrap_or(self.ask_for).min(ASKED_MAX)
    }

    fn on_failure(&mut self, desk: &mut Desk, now: Instant, response: Option<&Message>) {
        if self.leaving {
            // What a failed request was to renew may still be there.
            return self.leave_now(desk, now);
        }
        let longest = PAUSE
            .saturating_mul(1 << self.failures.min(16))
            .min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        let half = u32::try_from(longest.as_millis() / 2).unwrap_or(u32::MAX);
        let chosen = Duration::from_millis(u64::from(half + desk.random.below(half)));
        let wanted = response.and_then(|response| seconds_in(response, "Retry-After"));
        let pause = chosen.max(wanted.unwrap_or_default().min(ASKED_MAX));
        self.state = State::Waiting(now + pause);
    }
}

/// The seconds at the beginning of a header: `120` or `18000;duration=3600` or `5 (busy)`.
fn seconds_in(message: &Message, name: &str) -> Option<Duration> {
    let value = message.headers.first(name)?;
    let digits = value.split([';', '(', ' ']).next().unwrap_or_default();
    seconds(digits)
}

fn seconds(digits: &str) -> Option<Duration> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits
        .then(|| digits.parse::<u32>().unwrap_or(u32::MAX))
        .map(|seconds| Duration::from_secs(seconds.into()))
}
