//! Requests: to the call whose dialog they are in, else what a request without a call deserves.
//!
//! Source: RFC 3261 §8.2 (checks in their order), §11.2 (OPTIONS), §12.2.2 (481); contract, "Refusals".

use super::Engine;
use super::admission::{self, Refused};
use super::gate;
use crate::base::ids::CallKey;
use crate::base::limits::RETRY_AFTER_SECONDS;
use crate::base::time::Instant;
use crate::call::Call;
use crate::call::desk::ALLOW;
use crate::call::ending::Ended;
use crate::call::hunting::Admitted;
use crate::call::ledger::Ledger;
use crate::config::{Hotline, Trunk};
use crate::hotline::figures::Refusal;
use crate::hotline::number::canonical;
use crate::hotline::record::EndedBy;
use crate::sip::dialog::{DialogKey, answer_with};
use crate::sip::transaction::{Path, TxId};
use crate::sip::wire::{Message, Method};
use std::sync::Arc;

impl Engine {
    pub(super) fn on_request(&mut self, now: Instant, tx: TxId, path: Path, request: Message) {
        let Some(key) = DialogKey::of_request(&request) else {
            return self.on_new_request(now, tx, path, request);
        };
        let Some(&(call, leg)) = self.desk.dialogs.get(&key) else {
            return self.reply(now, tx, &request, 481, &[]);
        };
        self.with_call(call, |call, desk| {
            call.on_request(desk, now, (leg, &key), (tx, path), &request)
        });
    }

    /// A CANCEL is answered at once; the INVITE that it is about gets its 487 if it still can (RFC 3261 §9.2).
    pub(super) fn on_cancel(
        &mut self,
        now: Instant,
        tx: TxId,
        cancel: &Message,
        invite: Option<TxId>,
    ) {
        let Some(invite) = invite else {
            return self.reply(now, tx, cancel, 481, &[]);
        };
        let owned = self.with_owner(invite, |call, desk| {
            call.on_cancel(desk, now, (tx, cancel), invite)
        });
        if !owned {
            // The INVITE was refused before it became a call.
            self.reply(now, tx, cancel, 200, &[]);
        }
    }

    /// A request outside of any dialog, from a trunk or a target.
    fn on_new_request(&mut self, now: Instant, tx: TxId, path: Path, request: Message) {
        let trunk = gate::trunk_of(&self.desk.config, path, &request);
        let trunk = trunk.cloned();
        match request.method() {
            Some(Method::Invite) => match trunk {
                Some(trunk) => self.on_invite(now, tx, path, trunk, request),
                None => {
                    self.count_refusal(&request, Refusal::UnknownSource);
                    self.reply(now, tx, &request, 403, &[]);
                }
            },
            Some(Method::Options) => self.on_options(now, tx, &request),
            Some(Method::Bye | Method::Prack | Method::Notify) => {
                self.reply(now, tx, &request, 481, &[]);
            }
            Some(Method::Other(_)) => self.reply(now, tx, &request, 501, &[("Allow", ALLOW)]),
            _ => self.reply(now, tx, &request, 405, &[("Allow", ALLOW)]),
        }
    }

    /// OPTIONS is answered as an INVITE would be, as far as it can be told (RFC 3261 §11.2).
    fn on_options(&mut self, now: Instant, tx: TxId, request: &Message) {
        match admission::check_general(request) {
            Err(refused) => self.refuse(now, tx, request, &refused),
            Ok(()) => self.reply(
                now,
                tx,
                request,
                200,
                &[
                    ("Allow", ALLOW),
                    ("Accept", "application/sdp"),
                    ("Supported", ""),
                ],
            ),
        }
    }

    fn on_invite(&mut self, now: Instant, tx: TxId, path: Path, trunk: Trunk, invite: Message) {
        let (hotline, offer, max_forwards) =
            match admission::check(&self.desk.config, &trunk, self.desk.media_address, &invite) {
                Ok(admitted) => admitted,
                Err(refused) => return self.refuse(now, tx, &invite, &refused),
            };
        if let Some(reason) = self.has_no_room() {
            return self.turn_away(now, tx, &invite, (&trunk, hotline), reason);
        }
        let Some(ports) = self.desk.ports.lease() else {
            return self.turn_away(now, tx, &invite, (&trunk, hotline), Refusal::Capacity);
        };
        self.next_call += 1;
        let key = CallKey(self.next_call);
        let admitted = Admitted {
            invite: invite.clone(),
            tx,
            path,
            caller: caller_number(&invite, &trunk),
            trunk: trunk.name,
            hotline,
            offer,
            max_forwards,
        };
        match Call::begin(&mut self.desk, now, key, admitted, ports) {
            Ok(call) => {
                self.lent.insert(key, ports);
                self.calls.insert(key, call);
            }
            Err(_) => {
                for pair in ports {
                    self.desk.ports.give_back(pair);
                }
                self.desk.figures.refused(Refusal::BadRequest);
                self.reply(now, tx, &invite, 400, &[]);
            }
        }
    }

    fn has_no_room(&self) -> Option<Refusal> {
        let full = self.live_calls_at_least(self.desk.config.limits.calls);
        match (self.draining, self.pressed || full) {
            (true, _) => Some(Refusal::Draining),
            (_, true) => Some(Refusal::Capacity),
            _ => None,
        }
    }

    fn live_calls_at_least(&self, limit: u32) -> bool {
        // Calls in their ending hold no ports any more; they are let off only when it could matter.
        let limit = limit as usize;
        self.calls.len() >= limit && self.live_calls() >= limit
    }

    /// 503 to a call that we would take if there were room: it was offered, so it has a record (R19).
    fn turn_away(
        &mut self,
        now: Instant,
        tx: TxId,
        invite: &Message,
        (trunk, hotline): (&Trunk, Arc<Hotline>),
        reason: Refusal,
    ) {
        self.desk.figures.refused(reason);
        let retry_after = RETRY_AFTER_SECONDS.to_string();
        self.reply(now, tx, invite, 503, &[("Retry-After", &retry_after)]);
        let number = caller_number(invite, trunk);
        let id = self.desk.random.token();
        self.desk.tracer.turn_away(invite.call_id(), &id);
        let mut ledger = Ledger::new(&self.desk, now, &trunk.name, hotline, number);
        ledger.on_offered(&mut self.desk);
        // Where the records' own queue is full, one more would be what it is full of.
        if !self.pressed {
            ledger.on_refused(&mut self.desk, now);
            let ended = Ended {
                at: now,
                by: EndedBy::Qingjiang,
                final_status: 503,
            };
            let record = ledger.close(ended, &id, &[]);
            self.desk.record(record);
        }
    }

    fn count_refusal(&mut self, request: &Message, reason: Refusal) {
        if request.method() == Some(&Method::Invite) {
            self.desk.figures.refused(reason);
        }
    }

    fn refuse(&mut self, now: Instant, tx: TxId, request: &Message, refused: &Refused) {
        self.count_refusal(request, refused.reason);
        let header = refused
            .header
            .as_ref()
            .map(|(name, value)| (*name, value.as_str()));
        self.reply(now, tx, request, refused.status, header.as_slice());
    }

    pub(super) fn reply(
        &mut self,
        now: Instant,
        tx: TxId,
        request: &Message,
        status: u16,
        headers: &[(&str, &str)],
    ) {
        let response = answer_with(request, status, &self.desk.random.token(), headers);
        self.desk.respond(now, tx, response);
    }
}

/// The caller's number: the user part of From (a tel: URI's number), in the trunk's form; `None` where it has none.
fn caller_number(invite: &Message, trunk: &Trunk) -> Option<String> {
    let number = invite.from().ok()?.uri.number()?;
    match &trunk.country_code {
        _ if number.is_empty() => None,
        Some(code) => Some(canonical(&number, code)),
        None => Some(number),
    }
}
