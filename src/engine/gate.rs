//! Who is heard at all: by address, by password, or not.
//!
//! Asked of every request before anything is kept of it: a flood of strangers, or of callers who know no password,
//! leaves nothing behind. Not asked are requests inside a dialog or a transaction that is there, and those that must
//! not be challenged: ACK and CANCEL (RFC 3261 §22.1).
//!
//! Whoever logs in wrongly gets the challenge again and not 403: so do Asterisk and Kamailio, and RFC 3261 §22.1 makes
//! it the client's part not to try the same again. The status is 401: we are no proxy (§22.2).
//!
//! Source: RFC 3261 §8.2.7 (stateless), §22; RFC 8760 §2.3; contract, "Refusals".

use super::Engine;
use crate::base::time::Instant;
use crate::config::{Auth, Config, DigestAlgorithm, Trunk};
use crate::hotline::figures::Refusal;
use crate::hotline::route::{self, Entry};
use crate::sip::auth::server::Expected;
use crate::sip::auth::{Algorithm, Credentials, Side, Verdict};
use crate::sip::dialog::DialogKey;
use crate::sip::transaction::Path;
use crate::sip::wire::{Message, Method};

impl Engine {
    /// Whether a request is to be heard. If not, it has been answered as far as it is to be.
    pub(super) fn lets_in(&mut self, now: Instant, path: Path, request: &Message) -> bool {
        let source = path.remote.ip();
        let is_invite = request.method() == Some(&Method::Invite);
        let dialog = DialogKey::of_request(request);
        if dialog.is_some_and(|key| self.desk.dialogs.contains_key(&key)) {
            return true;
        }
        let trunks = match route::entry(&self.desk.config, source, is_invite) {
            Entry::Known => return true,
            Entry::Stranger => {
                self.turn_stranger_away(path, request);
                return false;
            }
            Entry::Login(trunks) => trunks,
        };
        let transactions = &self.desk.transactions;
        match request.method() {
            Some(Method::Ack) => return transactions.knows(request),
            Some(Method::Cancel) if transactions.knows_cancelled(request) => return true,
            // There is nothing that it could cancel.
            Some(Method::Cancel) => {
                let response = self.stateless.answer(request, 481);
                self.send_without_transaction(path, request, &response);
                return false;
            }
            _ if transactions.knows(request) => return true,
            _ => {}
        }
        let auth = &self.desk.config.auth;
        let Some(given) = credentials_for(auth, request) else {
            self.challenge(now, path, request, false);
            return false;
        };
        let method = request.method().cloned().unwrap_or(Method::Invite);
        let password = account_of(&trunks, &given.user);
        let expected = Expected {
            realm: &auth.realm,
            algorithms: &offered(auth),
            method: &method,
            password,
        };
        match self.guard.check(now, &given, expected) {
            Verdict::Right => return true,
            Verdict::Stale => self.challenge(now, path, request, true),
            Verdict::Wrong => {
                if is_invite {
                    self.desk.figures.refused(Refusal::Unauthorized);
                }
                self.challenge(now, path, request, false);
            }
        }
        false
    }

    fn challenge(&mut self, now: Instant, path: Path, request: &Message, stale: bool) {
        let auth = &self.desk.config.auth;
        let mut response = self.stateless.answer(request, 401);
        let offered = offered(auth);
        for challenge in self.guard.challenges(now, &auth.realm, &offered, stale) {
            let name = challenge.side.challenges_in();
            response.headers.push(name, &challenge.to_value());
        }
        self.send_without_transaction(path, request, &response);
    }

    /// 403 without a transaction (RFC 3261 §8.2.7).
    fn turn_stranger_away(&mut self, path: Path, request: &Message) {
        match request.method() {
            Some(Method::Ack) => return,
            Some(Method::Invite) => self.desk.figures.refused(Refusal::UnknownSource),
            _ => {}
        }
        let response = self.stateless.answer(request, 403);
        self.send_without_transaction(path, request, &response);
    }
}

/// The trunk that a request which was let in came by; `None` for a target.
pub(super) fn trunk_of<'c>(config: &'c Config, path: Path, request: &Message) -> Option<&'c Trunk> {
    let is_invite = request.method() == Some(&Method::Invite);
    match route::entry(config, path.remote.ip(), is_invite) {
        Entry::Known => route::trunk_of(config, path.remote.ip()),
        Entry::Login(trunks) => {
            let given = credentials_for(&config.auth, request)?;
            trunk_named(&trunks, &given.user)
        }
        Entry::Stranger => None,
    }
}

/// The credentials for our realm: the first count, whatever others stand behind them.
fn credentials_for(auth: &Auth, request: &Message) -> Option<Credentials> {
    let all = Credentials::of_request(request, Side::End);
    all.into_iter().find(|one| one.realm == auth.realm)
}

fn trunk_named<'c>(trunks: &[&'c Trunk], user: &str) -> Option<&'c Trunk> {
    let is_it = |trunk: &&&Trunk| trunk.auth.as_ref().is_some_and(|auth| auth.user == user);
    trunks.iter().find(is_it).copied()
}

fn account_of<'c>(trunks: &[&'c Trunk], user: &str) -> Option<&'c str> {
    let auth = trunk_named(trunks, user)?.auth.as_ref()?;
    Some(auth.password.reveal())
}

fn offered(auth: &Auth) -> Vec<Algorithm> {
    let named = |algorithm: &DigestAlgorithm| match algorithm {
        DigestAlgorithm::Sha256 => Algorithm::Sha256,
        DigestAlgorithm::Md5 => Algorithm::Md5,
    };
    auth.algorithms.iter().map(named).collect()
}
