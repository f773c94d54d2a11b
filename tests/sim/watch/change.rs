//! Changes of the session: what peers ask for, and what we make of it.
//!
//! Source: RFC 3261 §14 (re-INVITE), §13.3.1.4 (its 200 until the ACK), §15.1.2 (BYE ends it), RFC 3311 (UPDATE),
//! RFC 6026 (how long a 2xx is taken). What was agreed is in [`super::session`].

use super::Watch;
use crate::net::{GIVE_UP, T1, T2};
use crate::says::{Described, branch_of, cseq_of, described, header, tag_of};
use qingjiang::base::ids::Leg;
use qingjiang::base::time::Instant;
use qingjiang::engine::Input;
use qingjiang::sip::wire::{Message, Method};
use std::net::SocketAddr;
use std::time::Duration;

/// A request of a peer's, in its dialog and in order.
pub(super) struct Ask {
    pub index: usize,
    leg: Leg,
    cseq: u32,
    pub is_invite: bool,
    pub offer: Option<Described>,
    /// The branch of our re-INVITE to the other leg.
    pub passed: Option<String>,
    cancelled: bool,
    /// What went before it was not over yet when it came.
    pub crossed: bool,
    /// It came before the ACK of the call's first 200.
    pub waited: bool,
    pub final_status: Option<u16>,
    ok_at: Instant,
    /// Our 200 is due again.
    due: Instant,
    interval: Duration,
    pub repeats: u32,
    acked: Option<Instant>,
    /// Our own offer, where the peer made none.
    ours: Option<Described>,
}

impl Ask {
    pub(super) fn is_open(&self) -> bool {
        self.final_status.is_none() || self.awaits_ack()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    pub(super) fn is_acked(&self) -> bool {
        self.acked.is_some()
    }

    pub(super) fn awaits_ack(&self) -> bool {
        self.is_invite && self.final_status == Some(200) && self.acked.is_none()
    }
}

/// A re-INVITE of ours.
pub(super) struct Ours {
    pub index: usize,
    pub leg: Leg,
    cseq: u32,
    at: Instant,
    pub offer: Option<Described>,
    asker: (SocketAddr, String),
    provisional: bool,
    pub final_status: Option<u16>,
    first_ok: Option<Instant>,
    pub cancelled_at: Option<Instant>,
    /// It ended without any final response.
    pub dead: bool,
    /// What the peer said in its 200.
    answer: Option<Described>,
    ack_owed: bool,
    oks: u32,
    acks: u32,
}

impl Ours {
    pub(super) fn oks(&self) -> u32 {
        self.oks
    }

    /// A CANCEL of ours came too late.
    pub(super) fn was_crossed(&self) -> bool {
        self.cancelled_at.is_some() && self.first_ok.is_some()
    }
}

impl Watch {
    /// A re-INVITE or UPDATE came, in order.
    pub(super) fn on_ask(&mut self, index: usize, leg: Leg, remote: SocketAddr, request: &Message) {
        let is_open = |ask: &Ask| ask.index == index && ask.is_open();
        let waits = self.calls[index].over.is_none() && !self.calls[index].is_answered();
        let crossed = waits || self.asks.values().any(is_open);
        let ask = Ask {
            index,
            leg,
            cseq: cseq_of(request).0,
            is_invite: request.method() == Some(&Method::Invite),
            offer: described(&request.body),
            passed: None,
            cancelled: false,
            crossed,
            waited: leg == Leg::Agent && self.calls[index].acked.is_none(),
            final_status: None,
            ok_at: self.now,
            due: self.now,
            interval: T1,
            repeats: 0,
            acked: None,
            ours: None,
        };
        self.asks.insert((remote, branch_of(request)), ask);
    }

    pub(super) fn on_ask_cancelled(&mut self, key: &(SocketAddr, String)) {
        if let Some(ask) = self.asks.get_mut(key) {
            ask.cancelled |= ask.final_status.is_none();
        }
    }

    /// Our answer to a request for a change.
    pub(super) fn on_ask_answered(&mut self, key: &(SocketAddr, String), response: &Message) {
        let (now, status) = (self.now, response.status().unwrap_or(0));
        let Some(ask) = self.asks.get_mut(key).filter(|_| status >= 200) else {
            return;
        };
        if let Some(before) = ask.final_status {
            let (same, acked) = (before == status, ask.acked.is_some());
            let early = ask.is_invite && status == 200 && now < ask.due;
            ask.interval = (ask.interval * 2).min(T2);
            ask.due = (now + ask.interval).min(ask.ok_at + GIVE_UP);
            ask.repeats += 1;
            self.check(same, "two final responses to a change");
            let again = status == 200 && acked;
            self.check(!again, "a 200 to a change is repeated after its ACK");
            return self.check(!early, "a 200 to a change is repeated before its time");
        }
        ask.final_status = Some(status);
        (ask.ok_at, ask.due) = (now, now + T1);
        self.check_verdict(key, status, response);
        if status == 200 {
            self.on_granted(key, response);
        }
    }

    /// Whether this final response is the right one.
    fn check_verdict(&mut self, key: &(SocketAddr, String), status: u16, response: &Message) {
        let ask = &self.asks[key];
        let call = &self.calls[ask.index];
        let closes = call.key.is_some_and(|key| self.closing.contains(&key));
        let ends = call.over.is_some() || call.ended.is_some() || closes;
        let ours = ask.passed.as_ref().and_then(|branch| self.ours.get(branch));
        let expected = match ours {
            None => match status {
                200 => self.is_refresh(ask),
                481 => ends,
                487 => ends || ask.cancelled,
                500 => ends || ask.crossed,
                491 => ask.crossed,
                _ => false,
            },
            Some(ours) => match ours.final_status {
                None => status == 487 && (ends || ours.dead || self.is_lost(ask.index)),
                Some(theirs) => status == refusal(theirs) || (ends && status == 487),
            },
        };
        let told = ours.map(|ours| ours.final_status);
        let fault = format!("a change got {status}, the other leg said {told:?}");
        self.check(expected, fault);
        if status == 500 {
            let wait = header(response, "Retry-After").parse().unwrap_or(99);
            self.check(wait <= 10 || told.is_some(), "500 without Retry-After");
        }
    }

    /// Nothing is asked for but what is: an UPDATE without SDP, or the peer's description as it was.
    fn is_refresh(&self, ask: &Ask) -> bool {
        let session = &self.calls[ask.index].legs[ask.leg.index()];
        match &ask.offer {
            None => !ask.is_invite,
            Some(offer) => session
                .agreed
                .as_ref()
                .is_some_and(|(peer, _)| peer.rest == offer.rest),
        }
    }

    fn on_granted(&mut self, key: &(SocketAddr, String), response: &Message) {
        let ask = &self.asks[key];
        let (index, leg, offer) = (ask.index, ask.leg, ask.offer.clone());
        let theirs = ask.passed.as_ref().and_then(|one| self.ours.get(one));
        let theirs = theirs.and_then(|ours| ours.answer.clone());
        let needs_body = ask.is_invite || offer.is_some();
        let body = self.on_described(index, leg, &response.body);
        self.check(
            body.is_some() == needs_body,
            "a 200 to a change with the wrong body",
        );
        let Some(body) = body else { return };
        let same = theirs.is_none_or(|theirs| theirs.direction == body.direction);
        self.check(same, "the direction is not passed on");
        match offer {
            Some(offer) => self.agree(index, leg, offer, body, false),
            None => self.asks.get_mut(key).expect("asked").ours = Some(body),
        }
    }

    /// A re-INVITE goes out.
    pub(super) fn on_reinvite_out(&mut self, remote: SocketAddr, invite: &Message) {
        let branch = branch_of(invite);
        if let Some(ours) = self.ours.get(&branch) {
            let waits = !ours.provisional && ours.final_status.is_none();
            return self.check(waits, "a re-INVITE repeated after a response");
        }
        let Some((index, leg)) = self.leg_of(invite) else {
            return self.fault("a re-INVITE in no dialog");
        };
        let mut asks = self.asks.iter().filter(|(_, ask)| {
            ask.index == index && ask.leg != leg && ask.is_open() && ask.passed.is_none()
        });
        let asker = asks.find(|(_, ask)| ask.final_status.is_none());
        let Some(asker) = asker.map(|(key, _)| key.clone()) else {
            return self.fault("a re-INVITE that nobody asked for");
        };
        let (cseq, offer) = (
            cseq_of(invite).0,
            self.on_described(index, leg, &invite.body),
        );
        let mut others = self
            .ours
            .values()
            .filter(|one| (one.index, one.leg) == (index, leg));
        let newer = others.clone().all(|one| one.cseq < cseq);
        let alone = others.all(|one| (one.final_status.is_some() && !one.ack_owed) || one.dead);
        let asked = self.asks[&asker].offer.clone();
        let same =
            asked.as_ref().map(|one| one.direction) == offer.as_ref().map(|one| one.direction);
        let call = &self.calls[index];
        let checks = [
            (newer, "a re-INVITE with an old CSeq"),
            (alone, "two INVITEs of ours at once in a dialog"),
            (same, "an offer that is not the asker's"),
            (call.over.is_none(), "a re-INVITE in a call that is over"),
            (
                call.acked.is_some() || leg == Leg::Agent,
                "a re-INVITE before the ACK",
            ),
            (asker.0 != remote, "a re-INVITE to the asker"),
        ];
        for (holds, fault) in checks {
            self.check(holds, fault);
        }
        self.asks.get_mut(&asker).expect("asked").passed = Some(branch.clone());
        self.ours.insert(
            branch,
            Ours {
                index,
                leg,
                cseq,
                at: self.now,
                offer,
                asker,
                provisional: false,
                final_status: None,
                first_ok: None,
                cancelled_at: None,
                dead: false,
                answer: None,
                ack_owed: false,
                oks: 0,
                acks: 0,
            },
        );
    }

    /// The leg of a request of ours, by Call-ID and tags.
    fn leg_of(&self, request: &Message) -> Option<(usize, Leg)> {
        if let Some(&index) = self.by_caller.get(request.call_id()) {
            let ours = tag_of(header(request, "To")) == Some(&self.calls[index].from_tag);
            return ours.then_some((index, Leg::Caller));
        }
        let &(index, place) = self.by_target.get(request.call_id())?;
        let winner = self.calls[index].attempts[place].winner.as_deref();
        let ours = winner.is_some() && tag_of(header(request, "To")) == winner;
        ours.then_some((index, Leg::Agent))
    }

    /// A peer answers our re-INVITE.
    pub(super) fn on_ours_answered(&mut self, response: &Message) {
        let (now, status) = (self.now, response.status().unwrap_or(0));
        let Some(ours) = self.ours.get_mut(&branch_of(response)) else {
            return;
        };
        let over = ours.first_ok.is_some_and(|at| now >= at + GIVE_UP);
        let refused = ours.final_status.is_some_and(|status| status >= 300);
        match status {
            _ if refused || ours.dead || over => return,
            0..200 => {
                ours.provisional |= ours.final_status.is_none();
                return;
            }
            200..300 => {}
            _ => {
                ours.final_status.get_or_insert(status);
                return;
            }
        }
        ours.ack_owed = true;
        ours.oks += 1;
        if ours
            .first_ok
            .replace(ours.first_ok.unwrap_or(now))
            .is_some()
        {
            return;
        }
        ours.final_status = Some(status);
        ours.answer = described(&response.body);
        let (index, leg) = (ours.index, ours.leg);
        if let (Some(offer), Some(answer)) = (ours.offer.clone(), ours.answer.clone()) {
            self.agree(index, leg, answer, offer, true);
        }
    }

    /// An ACK of ours: `false` if it is of no re-INVITE.
    pub(super) fn on_change_acked(&mut self, ack: &Message) -> bool {
        let (branch, number) = (branch_of(ack), cseq_of(ack).0);
        if let Some(ours) = self.ours.get(&branch) {
            let refused = ours.final_status.is_some_and(|status| status >= 300);
            self.check(
                refused,
                "an ACK with the branch of a re-INVITE that was not refused",
            );
            return true;
        }
        let Some((index, leg)) = self.leg_of(ack) else {
            return false;
        };
        let mut ours = self.ours.values_mut();
        let found = ours.find(|one| (one.index, one.leg, one.cseq) == (index, leg, number));
        let Some(ours) = found else {
            return false;
        };
        ours.acks += 1;
        let owed = std::mem::take(&mut ours.ack_owed);
        let (first, late) = (ours.acks == 1, ours.offer.is_none());
        let theirs = ours.answer.clone();
        self.check(owed, "an ACK that no 200 asked for");
        // After BYE nobody waits for an answer any more.
        let over = self.calls[index].over.is_some();
        let fits = late != ack.body.is_empty() || (late && over);
        self.check(fits, "an ACK with the wrong body");
        if first
            && let (true, Some(offer)) = (late, theirs)
            && let Some(body) = self.on_described(index, leg, &ack.body)
        {
            self.agree(index, leg, offer, body, false);
        }
        true
    }

    /// A peer's ACK of our 200 to its re-INVITE.
    pub(super) fn on_ask_acked(&mut self, ack: &Message) {
        let (now, number, call_id) = (self.now, cseq_of(ack).0, ack.call_id().to_owned());
        let place = match (self.by_caller.get(&call_id), self.by_target.get(&call_id)) {
            (Some(&index), _) => (index, Leg::Caller),
            (_, Some(&(index, place))) => {
                let winner = self.calls[index].attempts[place].winner.as_deref();
                if tag_of(header(ack, "From")) != winner {
                    return; // Of another fork's refusal.
                }
                (index, Leg::Agent)
            }
            _ => return,
        };
        let mut asks = self.asks.values_mut();
        let found = asks
            .find(|ask| (ask.index, ask.leg) == place && ask.cseq == number && ask.awaits_ack());
        let Some(ask) = found else { return };
        ask.acked = Some(now);
        let ours = ask.ours.clone();
        if let (Some(ours), Some(answer)) = (ours, described(&ack.body)) {
            self.agree(place.0, place.1, answer, ours, true);
        }
    }

    pub(super) fn on_change_cancelled(&mut self, branch: &str) -> bool {
        let now = self.now;
        let Some(ours) = self.ours.get_mut(branch) else {
            return false;
        };
        ours.cancelled_at.get_or_insert(now);
        let (may, asker) = (ours.provisional, ours.asker.clone());
        let over = self.calls[ours.index].over.is_some();
        let wanted = over || self.asks.get(&asker).is_some_and(|ask| ask.cancelled);
        self.check(
            may,
            "a CANCEL of a re-INVITE before any provisional response",
        );
        self.check(wanted, "a CANCEL of a re-INVITE that nobody wanted");
        true
    }

    /// Time-outs: timer B, and what follows a CANCEL (RFC 3261 §9.1, §17.1.1.2).
    pub(super) fn on_change_deadline(&mut self) {
        let now = self.now;
        for ours in self
            .ours
            .values_mut()
            .filter(|one| one.final_status.is_none())
        {
            let unheard = !ours.provisional && now >= ours.at + GIVE_UP;
            let cancelled = ours.cancelled_at.is_some_and(|at| now >= at + GIVE_UP);
            ours.dead |= unheard || cancelled;
        }
    }

    /// Whether a leg does not know the call any more, or has gone: the call is to be ended (RFC 3261 §12.2.1.2).
    pub(super) fn is_lost(&self, index: usize) -> bool {
        let mut ours = self.ours.values().filter(|one| one.index == index);
        let gone = |one: &Ours| one.dead || matches!(one.final_status, Some(408 | 481));
        ours.any(gone) || self.is_unacked(index)
    }

    fn is_unacked(&self, index: usize) -> bool {
        let late = |ask: &Ask| ask.awaits_ack() && self.now >= ask.ok_at + GIVE_UP;
        let mut asks = self.asks.values().filter(|ask| ask.index == index);
        asks.any(late)
    }

    /// What must hold after every input.
    pub(super) fn after_changes(&mut self, input: &Input) {
        let mut faults = Vec::new();
        let is_deadline = *input == Input::Deadline;
        for ask in self.asks.values() {
            let over = self.calls[ask.index].over.is_some();
            if over && ask.final_status.is_none() {
                faults.push("a change outlives its call");
            }
            let due = is_deadline && !over && ask.awaits_ack();
            if due && self.now >= ask.due {
                faults.push("a 200 to a change is not repeated");
            }
        }
        for ours in self.ours.values() {
            let asker = &self.asks[&ours.asker];
            let over = self.calls[ours.index].over.is_some();
            let may = ours.offer.is_some() || !asker.awaits_ack() || over;
            if ours.ack_owed && may {
                faults.push("a 200 to our re-INVITE without its ACK");
            }
            let refused = matches!(ours.final_status, Some(408 | 481)) || ours.dead;
            if refused && !over {
                faults.push("a call goes on whose other end is gone");
            }
        }
        for index in 0..self.calls.len() {
            if is_deadline && self.calls[index].over.is_none() && self.is_unacked(index) {
                faults.push("a call whose change was never acknowledged goes on");
            }
        }
        self.faults.extend(faults.into_iter().map(String::from));
    }
}

/// What the asker gets where the other leg gave this answer (contract, "Refusals"; a challenge or redirection is
/// that leg's alone; 503 would close the trunk).
fn refusal(theirs: u16) -> u16 {
    match theirs {
        300..=399 | 401 | 407 | 420 | 421 => 488,
        408 | 481 => 487,
        503 => 500,
        theirs => theirs,
    }
}
