//! One end of a dialog that changes its session: re-INVITE and UPDATE as a peer sends them.
//!
//! Written from RFC 3261 §14, RFC 3311 and RFC 3264 §8, and not from our own code. How it answers them is in
//! [`crate::reinvited`].

use crate::chance::Chance;
use crate::net::Repeat;
use crate::reinvited::Served;
use crate::says::{
    Described, ENGINE, Head, Repeats, Turn, Wake, branch_of, cseq_of, described, description,
    header, hop, request, reversed, with_sdp,
};
use qingjiang::base::time::Instant;
use qingjiang::sip::wire::{Message, Method};
use std::net::SocketAddr;
use std::time::Duration;

/// Asks of one end, those that come again after 491 and 500 too.
const ASKS_MAX: u32 = 8;

/// What an end of a dialog is woken for; numbers count its asks and what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    Ask,
    Repeat(u32),
    /// An ACK that was put off.
    Ack(usize),
    Cancel(usize),
    /// An answer that was put off, and its status.
    Answer(usize, u16),
}

/// Who this end is.
pub struct Line {
    /// Its place in a target's calls and forks.
    pub place: (usize, usize),
    pub address: SocketAddr,
    /// With this end's tag, and with the other's.
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub contact: String,
}

/// What this end says of its audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub version: u32,
    pub port: u16,
    pub formats: String,
    pub direction: &'static str,
}

/// One request for a change.
struct Ask {
    branch: String,
    request: Message,
    /// What was offered, or is if it is late.
    own: Own,
    late: bool,
    repeat: u32,
    cancel: Option<Cancel>,
    provisional: bool,
    final_status: Option<u16>,
    /// Its 200s that get no ACK.
    acks_skipped: u32,
    ack_after: Option<Duration>,
    oks: u32,
    ack: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    Wanted,
    Sent(u32),
}

pub struct Changes {
    pub(crate) line: Line,
    pub(crate) chance: Chance,
    pub(crate) repeats: Repeats,
    pub(crate) own: Own,
    versions: u32,
    asks: Vec<Ask>,
    pub(crate) served: Vec<Served>,
    /// The highest CSeq that came.
    pub(crate) remote_cseq: u32,
    branches: u32,
    /// The dialog is over.
    pub over: bool,
    /// This end wants to say BYE: the other one does not answer any more.
    pub wants_bye: bool,
}

impl Changes {
    pub fn new(line: Line, own: Own, remote_cseq: u32, chance: Chance) -> Changes {
        Changes {
            line,
            chance,
            repeats: Repeats::default(),
            versions: own.version,
            own,
            asks: Vec::new(),
            served: Vec::new(),
            remote_cseq,
            branches: 0,
            over: false,
            wants_bye: false,
        }
    }

    pub fn on_wake(&mut self, now: Instant, turn: &mut Turn, timer: Timer, cseq: &mut u32) {
        match timer {
            Timer::Ask => self.ask(now, turn, cseq),
            Timer::Repeat(id) => {
                let mut inner = Turn::default();
                let expired = self.repeats.on_wake(now, &mut inner, id);
                self.pass_on(turn, inner);
                let mut unheard = self.asks.iter().filter(|ask| ask.final_status.is_none());
                let unacked = self
                    .served
                    .iter()
                    .any(|one| one.repeat == id && one.is_ok());
                let lost = unacked || unheard.any(|ask| ask.repeat == id);
                self.wants_bye |= expired && lost && !self.over;
            }
            Timer::Ack(index) => self.acknowledge(turn, index),
            Timer::Cancel(index) => self.cancel(now, turn, index),
            Timer::Answer(index, status) => self.answer(now, turn, index, status),
        }
    }

    /// Starts a repetition whose wakes are this end's own.
    pub(crate) fn repeat(&mut self, now: Instant, turn: &mut Turn, repeat: Repeat) -> u32 {
        let mut inner = Turn::default();
        let id = self.repeats.start(now, &mut inner, repeat);
        self.pass_on(turn, inner);
        id
    }

    fn pass_on(&self, turn: &mut Turn, inner: Turn) {
        turn.send.extend(inner.send);
        for (at, wake) in inner.wake {
            if let Wake::Repeat(id) = wake {
                self.wake(turn, at, Timer::Repeat(id));
            }
        }
    }

    pub(crate) fn wake(&self, turn: &mut Turn, at: Instant, timer: Timer) {
        let (index, fork) = self.line.place;
        turn.wake.push((at, Wake::Change(index, fork, timer)));
    }

    fn request(&mut self, method: &str, cseq: u32) -> Message {
        self.branches += 1;
        let line = &self.line;
        let own = line.from.split(";tag=").nth(1).unwrap_or_default();
        let branch = format!(
            "z9hG4bKchange-{own}-{}-{}",
            line.address.ip(),
            self.branches
        );
        request(&Head {
            method,
            uri: &format!("sip:{ENGINE}"),
            source: line.address,
            branch: &branch,
            from: &line.from,
            to: &line.to,
            call_id: &line.call_id,
            cseq,
        })
    }

    /// Whether a request of this end's waits for its final response, or its ACK was put off.
    pub(crate) fn is_asking(&self) -> bool {
        let open = |ask: &Ask| ask.final_status.is_none() || (ask.oks > 0 && ask.ack.is_none());
        self.asks.iter().any(open)
    }

    /// A description that differs from the last, mostly a hold or its end.
    pub(crate) fn draw_own(&mut self) -> Own {
        let held = self.own.direction != "sendrecv";
        let direction = match held && self.chance.percent(70) {
            true => "sendrecv",
            false => self
                .chance
                .pick(&["sendonly", "sendonly", "inactive", "sendrecv", "recvonly"]),
        };
        let mut own = Own {
            direction,
            ..self.own.clone()
        };
        if self.chance.percent(20) {
            own.port += 10;
        }
        self.number(own)
    }

    /// The version counts descriptions that differ (RFC 3264 §8).
    pub(crate) fn number(&mut self, own: Own) -> Own {
        if own == self.own {
            return own;
        }
        self.versions += 1;
        let version = self.versions;
        Own { version, ..own }
    }

    pub(crate) fn body(&self, own: &Own) -> Vec<u8> {
        let ip = self.line.address.ip();
        description(ip, own.version, own.port, &own.formats, own.direction)
    }

    fn ask(&mut self, now: Instant, turn: &mut Turn, cseq: &mut u32) {
        let busy = self.is_asking() || self.served.iter().any(|one| one.is_open());
        // RFC 3261 §14.1 forbids a second one; not everybody has read it.
        let may = !busy || self.chance.percent(15);
        if self.over || !may || *cseq > 1_000 + ASKS_MAX || self.asks.len() >= ASKS_MAX as usize {
            return;
        }
        let kind = self.chance.between(0, 99);
        let own = match kind {
            0..=54 | 79..=90 => self.draw_own(),
            _ => self.own.clone(),
        };
        let (method, late) = match kind {
            0..=66 => ("INVITE", false),
            67..=78 => ("INVITE", true),
            79..=90 => ("UPDATE", false),
            _ => ("UPDATE", true),
        };
        *cseq += 1;
        let mut message = self.request(method, *cseq);
        message.headers.push("Max-Forwards", "70");
        message.headers.push("Contact", &self.line.contact.clone());
        if !late {
            message = with_sdp(message, self.body(&own));
        }
        let bytes = message.to_bytes();
        let is_invite = method == "INVITE";
        let repeat = match is_invite {
            true => Repeat::invite(now, bytes),
            false => Repeat::other(now, bytes),
        };
        let repeat = self.repeat(now, turn, repeat);
        if is_invite && self.chance.percent(22) {
            let latest = self.chance.pick(&[50, 500, 4_000]);
            let at = now + self.chance.ms(0, latest);
            self.wake(turn, at, Timer::Cancel(self.asks.len()));
        }
        self.asks.push(Ask {
            branch: branch_of(&message),
            request: message,
            own,
            late,
            repeat,
            cancel: None,
            provisional: false,
            final_status: None,
            acks_skipped: match self.chance.between(0, 99) {
                0..=79 => 0,
                80..=92 => self.chance.between(1, 4),
                _ => 100,
            },
            ack_after: self.chance.percent(10).then(|| self.chance.ms(0, 6_000)),
            oks: 0,
            ack: None,
        });
    }

    fn cancel(&mut self, now: Instant, turn: &mut Turn, index: usize) {
        let ask = &mut self.asks[index];
        if ask.final_status.is_some() || matches!(ask.cancel, Some(Cancel::Sent(_))) || self.over {
            return;
        }
        ask.cancel = Some(Cancel::Wanted);
        if !ask.provisional {
            return;
        }
        let cancel = hop(&ask.request, "CANCEL", header(&ask.request, "To"));
        let id = self.repeat(now, turn, Repeat::other(now, cancel.to_bytes()));
        self.asks[index].cancel = Some(Cancel::Sent(id));
    }

    /// Whether a response is to a request of this end.
    pub fn is_mine(&self, response: &Message) -> bool {
        let branch = branch_of(response);
        self.asks.iter().any(|ask| ask.branch == branch)
    }

    pub fn on_response(&mut self, now: Instant, turn: &mut Turn, response: &Message) {
        let branch = branch_of(response);
        let Some(index) = self.asks.iter().position(|ask| ask.branch == branch) else {
            return;
        };
        let status = response.status().unwrap_or(0);
        let (_, method) = cseq_of(response);
        let ask = &mut self.asks[index];
        if method == Method::Cancel {
            if let Some(Cancel::Sent(id)) = ask.cancel {
                self.repeats.stop(id);
            }
            return turn.check(matches!(status, 200 | 481), "an odd answer to CANCEL");
        }
        let is_invite = method == Method::Invite;
        if is_invite || status >= 200 {
            self.repeats.stop(ask.repeat);
        }
        if status < 200 {
            ask.provisional = true;
            if ask.cancel == Some(Cancel::Wanted) {
                self.cancel(now, turn, index);
            }
            return;
        }
        let first = ask.final_status.is_none();
        let same = *ask.final_status.get_or_insert(status) == status;
        turn.check(same, "two final responses to a change");
        match status {
            200 => self.on_ok(now, turn, index, first, response),
            _ => self.on_refusal(now, turn, index, first, response),
        }
    }

    fn on_ok(
        &mut self,
        now: Instant,
        turn: &mut Turn,
        index: usize,
        first: bool,
        response: &Message,
    ) {
        let ask = &mut self.asks[index];
        ask.oks += 1;
        let is_invite = ask.request.method() == Some(&Method::Invite);
        let told = described(&response.body);
        let wants_body = is_invite || !ask.late;
        turn.check(told.is_some() == wants_body, "a 200 with the wrong body");
        let (oks, skipped, after) = (ask.oks, ask.acks_skipped, ask.ack_after);
        if let Some(told) = told.filter(|_| first) {
            self.take(now, turn, index, &told);
        }
        if !is_invite || oks <= skipped {
            return;
        }
        if let (true, Some(after)) = (first, after) {
            return self.wake(turn, now + after, Timer::Ack(index));
        }
        if after.is_none() || self.asks[index].ack.is_some() {
            self.acknowledge(turn, index);
        }
    }

    /// The other end's description: an answer, or the offer that was asked for.
    fn take(&mut self, now: Instant, turn: &mut Turn, index: usize, told: &Described) {
        let ask = &self.asks[index];
        if ask.late {
            let own = self.answering(told);
            self.asks[index].own = own;
        } else {
            turn.check(
                told.answers(&ask.own.formats, ask.own.direction),
                "an answer that does not fit",
            );
        }
        self.own = self.asks[index].own.clone();
        if self.own.direction != "sendrecv" && self.chance.percent(85) {
            let at = now + self.chance.ms(300, 12_000);
            self.wake(turn, at, Timer::Ask);
        }
    }

    /// This end's answer to an offer: what it has of it, and now and then less.
    pub(crate) fn answering(&mut self, offer: &Described) -> Own {
        let direction = match (self.chance.percent(8), reversed(offer.direction)) {
            (true, _) => "inactive",
            (false, direction) => direction,
        };
        let law = offer.formats.iter().find(|one| *one == "0" || *one == "8");
        let mut formats = law.cloned().unwrap_or_default();
        if offer.formats.iter().any(|one| one == "101") {
            formats.push_str(" 101");
        }
        let port = self.own.port;
        self.number(Own {
            version: self.own.version,
            port,
            formats,
            direction,
        })
    }

    fn acknowledge(&mut self, turn: &mut Turn, index: usize) {
        if self.asks[index].ack.is_none() {
            let number = cseq_of(&self.asks[index].request).0;
            let mut ack = self.request("ACK", number);
            if self.asks[index].late {
                ack = with_sdp(ack, self.body(&self.asks[index].own));
            }
            self.asks[index].ack = Some(ack.to_bytes());
        }
        turn.send.extend(self.asks[index].ack.clone());
    }

    fn on_refusal(
        &mut self,
        now: Instant,
        turn: &mut Turn,
        index: usize,
        first: bool,
        response: &Message,
    ) {
        let status = response.status().unwrap_or(0);
        let ask = &self.asks[index];
        if ask.request.method() == Some(&Method::Invite) {
            let mut ack = hop(&ask.request, "ACK", header(response, "To"));
            ack.headers.set("Via", header(response, "Via"));
            turn.send.push(ack.to_bytes());
        }
        let known = [486, 481, 487, 488, 491, 500, 603];
        turn.check(known.contains(&status), format!("a change got {status}"));
        let wait = match status {
            491 => self.chance.ms(0, 4_000),
            500 => {
                // One that a newer request overtook has none (RFC 3261 §12.2.2); the watch knows which is which.
                let after = header(response, "Retry-After").parse().unwrap_or(0);
                crate::says::secs(after)
            }
            _ => return,
        };
        if first && !self.over {
            self.wake(turn, now + wait, Timer::Ask);
        }
    }

    /// The dialog is over: nothing is repeated any more, and what is still asked gets 487 (RFC 3261 §15.1.2).
    pub fn end(&mut self, now: Instant, turn: &mut Turn) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.stop();
        for index in 0..self.served.len() {
            if self.served[index].is_owed() {
                self.answer(now, turn, index, 487);
            }
        }
    }

    /// It has gone, without a word.
    pub fn vanish(&mut self) {
        self.over = true;
        self.stop();
    }

    fn stop(&mut self) {
        let mut ids: Vec<u32> = self.asks.iter().map(|ask| ask.repeat).collect();
        for ask in &self.asks {
            if let Some(Cancel::Sent(id)) = ask.cancel {
                ids.push(id);
            }
        }
        ids.extend(self.served.iter().map(|one| one.repeat));
        for id in ids {
            self.repeats.stop(id);
        }
    }
}
