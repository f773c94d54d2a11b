//! A target: a small user agent server, written from RFC 3261 and not from our own SIP core.
//!
//! What it does with a call is drawn when its INVITE comes ([`Manner`]); what became of each of its dialogs is noted.

mod requests;

use crate::chance::Chance;
use crate::net::Repeat;
use crate::reinvite::Changes;
use crate::says::{Repeats, Stray, Turn, Wake, branch_of, cseq_of, header, sdp, tag_of, with_sdp};
use qingjiang::base::time::Instant;
use qingjiang::sip::wire::{Message, Method};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What a target does when it is asked to stop ringing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCancel {
    /// 487, as it should.
    Ends,
    /// It answers all the same: its 200 crosses the CANCEL.
    AnswersLate,
    /// It takes no notice.
    Ignores,
}

/// What a target does with one INVITE.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Nothing at all is answered.
    pub dead: bool,
    pub steps: Vec<(Duration, Step)>,
    pub on_cancel: OnCancel,
    /// From the ACK to its own BYE.
    pub talk: Duration,
    pub vanish: Option<Duration>,
    pub answers_bye: bool,
    pub strays: Vec<(Duration, Stray)>,
    /// When it asks for a change of the session, after its 200.
    pub changes: Vec<Duration>,
}

/// One thing that a target says to an INVITE. `fork`: which of its phones (To tag).
#[derive(Clone, Debug)]
pub enum Step {
    Provisional {
        status: u16,
        fork: usize,
        body: Vec<u8>,
    },
    Refuse(u16),
    Answer {
        fork: usize,
        body: Vec<u8>,
    },
}

/// Where one of a target's dialogs stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its 200 is repeated.
    Answered,
    Up,
    /// Its own BYE is out.
    ByeSent,
    /// It has got a BYE, or its own was answered.
    Ended,
    /// No ACK came for 64 × T1.
    NeverAcknowledged,
}

pub struct Fork {
    pub tag: String,
    pub state: State,
    /// A BYE of qingjiang's reached it.
    pub got_bye: bool,
    repeat: u32,
    remote_cseq: u32,
    cseq: u32,
    changes: Changes,
}

/// One call at a target.
pub struct Served {
    pub invite: Message,
    pub branch: String,
    pub manner: Manner,
    pub forks: BTreeMap<usize, Fork>,
    pub vanished: bool,
    pub cancelled: bool,
    /// Whether anything was answered at all: before that no CANCEL may come.
    spoke: bool,
    final_status: Option<u16>,
    last: Vec<u8>,
    refusing: u32,
    stray_sent: bool,
}

pub struct Target {
    pub address: SocketAddr,
    /// Whether its host says at once that nobody listens (ICMP), so that sending fails.
    pub unreachable: bool,
    pub served: Vec<Served>,
    chance: Chance,
    draw: fn(&mut Chance, SocketAddr) -> Manner,
    repeats: Repeats,
    /// Requests of its own that wait for an answer.
    asked: BTreeMap<String, (usize, usize, Option<Stray>, u32)>,
    branches: u32,
}

impl Target {
    pub fn new(
        address: SocketAddr,
        unreachable: bool,
        chance: Chance,
        draw: fn(&mut Chance, SocketAddr) -> Manner,
    ) -> Target {
        Target {
            address,
            unreachable,
            served: Vec::new(),
            chance,
            draw,
            repeats: Repeats::default(),
            asked: BTreeMap::new(),
            branches: 0,
        }
    }

    pub fn on_message(&mut self, now: Instant, turn: &mut Turn, message: &Message) {
        let branch = branch_of(message);
        match message.method() {
            None => self.on_response(now, turn, message),
            Some(Method::Invite) => self.on_invite(now, turn, branch, message),
            Some(Method::Ack) => self.on_ack(now, turn, &branch, message),
            Some(Method::Cancel) => self.on_cancel(now, turn, &branch, message),
            Some(Method::Bye) => self.on_bye(now, turn, message),
            Some(Method::Info) => self.on_info(turn, message),
            Some(Method::Options) => self.on_options(now, turn, message),
            Some(_) => turn.fault("a method that qingjiang does not send"),
        }
    }

    /// Some targets are deaf for a while to the question whether they are there, and some want to be left alone.
    fn on_options(&self, now: Instant, turn: &mut Turn, options: &Message) {
        let IpAddr::V4(ip) = self.address.ip() else {
            return;
        };
        let second = now.as_nanos() / 1_000_000_000;
        let (odd, first) = (ip.octets()[3] % 2 == 1, ip.octets()[3] == 1);
        match second {
            20..45 if odd => {}
            50..70 if !odd => {
                let mut busy = options.reply(503, None);
                busy.headers.push("Retry-After", "15");
                turn.send.push(busy.to_bytes());
            }
            80..100 if first => turn.send.push(options.reply(503, None).to_bytes()),
            _ => turn.send.push(options.reply(405, None).to_bytes()),
        }
    }

    fn on_invite(&mut self, now: Instant, turn: &mut Turn, branch: String, invite: &Message) {
        if tag_of(header(invite, "To")).is_some() {
            return match self.find(invite) {
                None => turn.fault("a re-INVITE for no dialog"),
                Some((index, _)) if self.served[index].vanished => {}
                Some((index, fork)) => {
                    let asks_us = invite.to_bytes().starts_with(b"INVITE sip:desk@");
                    turn.check(asks_us, "a re-INVITE that is not to our Contact");
                    let changes = &mut self.fork(index, fork).changes;
                    changes.on_invite(now, turn, invite);
                }
            };
        }
        if let Some(known) = self.served.iter().find(|call| call.branch == branch) {
            if !known.last.is_empty() && !known.vanished {
                turn.send.push(known.last.clone());
            }
            return;
        }
        let manner = (self.draw)(&mut self.chance, self.address);
        let index = self.served.len();
        for (step, (after, _)) in manner.steps.iter().enumerate() {
            turn.wake.push((now + *after, Wake::Step(index, step)));
        }
        if let Some(after) = manner.vanish {
            turn.wake.push((now + after, Wake::Vanish(index)));
        }
        self.served.push(Served {
            invite: invite.clone(),
            branch,
            manner,
            forks: BTreeMap::new(),
            vanished: false,
            cancelled: false,
            spoke: false,
            final_status: None,
            last: Vec::new(),
            refusing: 0,
            stray_sent: false,
        });
    }

    pub fn on_wake(&mut self, now: Instant, turn: &mut Turn, wake: Wake) {
        match wake {
            Wake::Step(index, step) => self.on_step(now, turn, index, step),
            Wake::Repeat(id) => {
                if !self.repeats.on_wake(now, turn, id) {
                    return;
                }
                self.on_expired(now, turn, id);
            }
            Wake::HangUp(index, fork) => self.hang_up(now, turn, index, fork),
            Wake::Stray(index) => self.stray(now, turn, index),
            Wake::Vanish(index) => self.vanish(index),
            Wake::Change(index, fork, timer) => self.change(now, turn, index, fork, timer),
            Wake::Start | Wake::GiveUp => {}
        }
    }

    fn vanish(&mut self, index: usize) {
        let call = &mut self.served[index];
        call.vanished = true;
        self.repeats.stop(call.refusing);
        for fork in call.forks.values_mut() {
            self.repeats.stop(fork.repeat);
            fork.changes.vanish();
        }
        let mine = self.asked.values().filter(|asked| asked.0 == index);
        for (.., id) in mine {
            self.repeats.stop(*id);
        }
    }

    fn on_step(&mut self, now: Instant, turn: &mut Turn, index: usize, step: usize) {
        let call = &self.served[index];
        if call.vanished {
            return;
        }
        let refused = call.final_status.is_some_and(|status| status >= 300);
        match call.manner.steps[step].1.clone() {
            _ if refused => {}
            Step::Answer { fork, body } => self.answer(now, turn, index, fork, body),
            _ if call.final_status.is_some() => {}
            Step::Provisional { status, fork, body } => {
                let tag = (status > 100).then(|| self.tag(index, fork));
                let response = self.response(index, status, tag.as_deref(), body);
                self.say(turn, index, response.to_bytes());
            }
            Step::Refuse(status) => self.refuse(now, turn, index, status),
        }
    }

    fn say(&mut self, turn: &mut Turn, index: usize, bytes: Vec<u8>) {
        self.served[index].spoke = true;
        self.served[index].last = bytes.clone();
        turn.send.push(bytes);
    }

    fn tag(&self, index: usize, fork: usize) -> String {
        format!("t{}-{index}-{fork}", self.address.ip())
    }

    fn response(&self, index: usize, status: u16, tag: Option<&str>, body: Vec<u8>) -> Message {
        let mut response = self.served[index].invite.reply(status, None);
        if let Some(tag) = tag {
            let to = format!("{};tag={tag}", header(&response, "To"));
            response.headers.set("To", &to);
            let contact = format!("<sip:desk@{}>", self.address);
            response.headers.push("Contact", &contact);
        }
        match body.is_empty() {
            true => response,
            false => with_sdp(response, body),
        }
    }

    fn refuse(&mut self, now: Instant, turn: &mut Turn, index: usize, status: u16) {
        let tag = self.tag(index, 0);
        let bytes = self
            .response(index, status, Some(&tag), Vec::new())
            .to_bytes();
        let call = &mut self.served[index];
        call.spoke = true;
        call.final_status = Some(status);
        call.last = bytes.clone();
        call.refusing = self.repeats.start(now, turn, Repeat::other(now, bytes));
    }

    fn answer(&mut self, now: Instant, turn: &mut Turn, index: usize, fork: usize, body: Vec<u8>) {
        if self.served[index].forks.contains_key(&fork) {
            return;
        }
        let tag = self.tag(index, fork);
        let changes = self.begin_changes(now, turn, (index, fork), &body);
        let bytes = self.response(index, 200, Some(&tag), body).to_bytes();
        let repeat = self
            .repeats
            .start(now, turn, Repeat::other(now, bytes.clone()));
        let call = &mut self.served[index];
        call.spoke = true;
        call.final_status = Some(200);
        call.last = bytes;
        let remote_cseq = cseq_of(&call.invite).0;
        call.forks.insert(
            fork,
            Fork {
                tag,
                state: State::Answered,
                got_bye: false,
                repeat,
                remote_cseq,
                cseq: 100,
                changes,
            },
        );
    }

    fn on_expired(&mut self, now: Instant, turn: &mut Turn, id: u32) {
        for index in 0..self.served.len() {
            let forks: Vec<usize> = self.served[index].forks.keys().copied().collect();
            for fork in forks {
                let one = self.served[index].forks.get_mut(&fork).expect("a fork");
                if one.repeat == id && one.state == State::Answered {
                    // RFC 3261 §13.3.1.4: without an ACK the dialog is ended with BYE.
                    self.bye(now, turn, index, fork);
                    self.fork(index, fork).state = State::NeverAcknowledged;
                }
            }
        }
        let bye = self.asked.values().find(|asked| asked.3 == id).cloned();
        if let Some((index, fork, None, _)) = bye
            && self.fork(index, fork).state == State::ByeSent
        {
            self.fork(index, fork).state = State::Ended;
        }
    }

    fn fork(&mut self, index: usize, fork: usize) -> &mut Fork {
        self.served[index].forks.get_mut(&fork).expect("a fork")
    }

    fn on_ack(&mut self, now: Instant, turn: &mut Turn, branch: &str, ack: &Message) {
        let (number, _) = cseq_of(ack);
        if let Some(index) = self.served.iter().position(|call| call.branch == branch) {
            let call = &self.served[index];
            let refused = call.final_status.is_some_and(|status| status >= 300);
            turn.check(refused, "an ACK with the INVITE's branch for a 200");
            turn.check(
                number == cseq_of(&call.invite).0,
                "an ACK with another CSeq",
            );
            self.repeats.stop(call.refusing);
            return;
        }
        let Some((index, fork)) = self.find(ack) else {
            return turn.fault("an ACK for no dialog");
        };
        if self.served[index].vanished || self.fork(index, fork).changes.on_ack(turn, ack) {
            return;
        }
        let call = &mut self.served[index];
        turn.check(
            number == cseq_of(&call.invite).0,
            "an ACK with another CSeq",
        );
        let one = call.forks.get_mut(&fork).expect("a fork");
        self.repeats.stop(one.repeat);
        if one.state != State::Answered {
            return;
        }
        one.state = State::Up;
        turn.wake
            .push((now + call.manner.talk, Wake::HangUp(index, fork)));
        if !call.stray_sent {
            call.stray_sent = true;
            for (after, _) in &call.manner.strays {
                turn.wake.push((now + *after, Wake::Stray(index)));
            }
        }
    }

    fn on_cancel(&mut self, now: Instant, turn: &mut Turn, branch: &str, cancel: &Message) {
        let Some(index) = self.served.iter().position(|call| call.branch == branch) else {
            return match self.find(cancel) {
                None => turn.fault("a CANCEL for no INVITE"),
                Some((index, _)) if self.served[index].vanished => {}
                Some((index, fork)) => {
                    let changes = &mut self.fork(index, fork).changes;
                    changes.on_cancel(now, turn, cancel);
                }
            };
        };
        let call = &mut self.served[index];
        if call.vanished || call.manner.dead {
            return turn.check(!call.manner.dead, "a CANCEL without a provisional response");
        }
        turn.check(call.spoke, "a CANCEL without a provisional response");
        let again = std::mem::replace(&mut call.cancelled, true);
        turn.send.push(cancel.reply(200, None).to_bytes());
        if again || call.final_status.is_some() {
            return;
        }
        match call.manner.on_cancel {
            OnCancel::Ends => self.refuse(now, turn, index, 487),
            OnCancel::AnswersLate => {
                let body = sdp(self.address.ip(), 50_000, "8 101");
                self.answer(now, turn, index, 0, body);
            }
            OnCancel::Ignores => {}
        }
    }

    /// INFO of the caller, passed on.
    fn on_info(&mut self, turn: &mut Turn, info: &Message) {
        let Some((index, _)) = self.find(info) else {
            return turn.fault("an INFO for no dialog");
        };
        if !self.served[index].vanished {
            turn.send.push(info.reply(200, None).to_bytes());
        }
    }

    /// The dialog of a request from qingjiang.
    fn find(&self, request: &Message) -> Option<(usize, usize)> {
        let tag = tag_of(header(request, "To"))?;
        let from = tag_of(header(request, "From"));
        self.served.iter().enumerate().find_map(|(index, call)| {
            let ours = call.invite.call_id() == request.call_id()
                && tag_of(header(&call.invite, "From")) == from;
            let fork = call.forks.iter().find(|(_, fork)| fork.tag == tag)?;
            ours.then_some((index, *fork.0))
        })
    }

    fn on_bye(&mut self, now: Instant, turn: &mut Turn, bye: &Message) {
        let Some((index, fork)) = self.find(bye) else {
            return turn.fault("a BYE for no dialog");
        };
        let call = &mut self.served[index];
        if call.vanished {
            return;
        }
        let one = call.forks.get_mut(&fork).expect("a fork");
        let asks_us = bye.to_bytes().starts_with(b"BYE sip:desk@");
        turn.check(asks_us, "a BYE that is not to our Contact");
        turn.check(cseq_of(bye).0 > one.remote_cseq, "a BYE with an old CSeq");
        self.repeats.stop(one.repeat);
        one.state = State::Ended;
        one.got_bye = true;
        one.changes.end(now, turn);
        if call.manner.answers_bye {
            turn.send.push(bye.reply(200, None).to_bytes());
        }
    }

    fn on_response(&mut self, now: Instant, turn: &mut Turn, response: &Message) {
        for call in &mut self.served {
            let mut forks = call.forks.values_mut();
            if let Some(fork) = forks.find(|fork| fork.changes.is_mine(response)) {
                if !call.vanished {
                    fork.changes.on_response(now, turn, response);
                }
                return;
            }
        }
        let Some((index, fork, stray, id)) = self.asked.get(&branch_of(response)).copied() else {
            return turn.fault("a response to nothing");
        };
        if self.served[index].vanished {
            return;
        }
        let status = response.status().unwrap_or(0);
        self.repeats.stop(id);
        match stray {
            // A request with a higher CSeq overtook it (RFC 3261 §12.2.2): once more.
            None if status == 500 && self.fork(index, fork).state == State::ByeSent => {
                self.fork(index, fork).state = State::Up;
                self.hang_up(now, turn, index, fork);
            }
            None => {
                turn.check(matches!(status, 200 | 481 | 500), "an odd answer to BYE");
                let one = self.fork(index, fork);
                if one.state == State::ByeSent {
                    one.state = State::Ended;
                }
            }
            Some(stray) => {
                // While its own BYE to us is out, qingjiang takes any BYE for a crossing one; and an old
                // one that overtook the newer request is not old.
                let taken = stray.method() == "BYE" && status == 200;
                let fits = stray.may_get(status) || taken;
                turn.check(fits, "an odd answer to a stray");
                if taken {
                    self.fork(index, fork).state = State::Ended;
                }
            }
        }
    }
}
