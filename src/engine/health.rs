//! OPTIONS to our targets, and what comes back.
//!
//! Which target is asked when, and what an answer means, is decided in [`crate::hotline::health`]; here the question is
//! written and its transaction watched. Source: RFC 3261 §11.1 (OPTIONS).

use super::Engine;
use crate::base::time::Instant;
use crate::config::Target;
use crate::hotline::figures::TargetGauge;
use crate::hotline::health::Sign;
use crate::sip::transaction::TxId;
use crate::sip::wire::{Message, Method, NameAddr, Uri};

impl Engine {
    /// Asks all that are to be asked now.
    pub(super) fn check_targets(&mut self, now: Instant) {
        while let Some((question, target)) = self.desk.health.pop_due(now, &mut self.desk.random) {
            // Room is for calls.
            let is_full = self.desk.transactions.is_full();
            match (!is_full).then(|| self.ask(now, &target)).flatten() {
                Some(tx) => {
                    self.checks.insert(tx, question);
                }
                None => self.desk.health.postpone(now, question),
            }
        }
    }

    fn ask(&mut self, now: Instant, target: &Target) -> Option<TxId> {
        let uri = Uri::parse(&target.uri).ok()?;
        let path = self.desk.path_towards(target.address, target.transport)?;
        let ours = self.desk.advertised(path.listener);
        let tag = self.desk.random.token();
        let from = NameAddr::new(Uri::sip(None, ours.address)).with_tag(&tag);
        let call_id = format!("{}@{}", self.desk.random.token(), ours.ip());
        let to = format!("<{uri}>");
        let mut options = Message::request(Method::Options, uri);
        for (name, value) in [
            ("Max-Forwards", "70"),
            ("From", &from.to_string()),
            ("To", &to),
            ("Call-ID", &call_id),
            ("CSeq", "1 OPTIONS"),
            ("Accept", "application/sdp"),
        ] {
            options.headers.push(name, value);
        }
        self.desk
            .user_agent(path.listener)
            .request(now, path, options)
    }

    /// A response to a question of ours; `false` if it is none.
    pub(super) fn on_check_answer(&mut self, now: Instant, tx: TxId, answer: &Message) -> bool {
        let status = answer.status().unwrap_or(0);
        if status < 200 {
            return self.checks.contains_key(&tx);
        }
        let sign = Sign::of(status, answer.headers.first("Retry-After"));
        self.end_check(now, tx, sign)
    }

    /// A question of ours had no answer, or could not be sent; `false` if it is none.
    pub(super) fn on_check_silence(&mut self, now: Instant, tx: TxId) -> bool {
        self.end_check(now, tx, Sign::Silence)
    }

    fn end_check(&mut self, now: Instant, tx: TxId, sign: Sign) -> bool {
        let Some(question) = self.checks.remove(&tx) else {
            return false;
        };
        let desk = &mut self.desk;
        desk.health.on_check(now, question, sign, &mut desk.random);
        true
    }

    /// Which targets are up: by hotline and name; of several with one name all must be.
    pub(super) fn target_gauges(&self, now: Instant) -> Vec<TargetGauge> {
        let mut gauges: Vec<TargetGauge> = Vec::new();
        for hotline in &self.desk.config.hotlines {
            for target in &hotline.targets {
                let up = self.desk.health.is_up(now, &target.uri);
                let same = |one: &&mut TargetGauge| {
                    one.hotline == hotline.name && one.agent == target.name
                };
                match gauges.iter_mut().find(same) {
                    Some(known) => known.up &= up,
                    None => gauges.push(TargetGauge {
                        hotline: hotline.name.clone(),
                        agent: target.name.clone(),
                        up,
                    }),
                }
            }
        }
        gauges
    }
}
