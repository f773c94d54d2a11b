//! A caller: a small user agent client, written from RFC 3261 and not from our own SIP core.
//!
//! It knows nothing of qingjiang but what it is told in messages, and notes what it saw.

mod requests;

use crate::chance::Chance;
use crate::net::{GIVE_UP, Repeat};
use crate::reinvite::Changes;
use crate::says::{
    ENGINE, Head, Repeats, Stray, Turn, Wake, branch_of, cseq_of, header, hop, is_usable, request,
    sdp, tag_of, uri_in, with_sdp,
};
use qingjiang::base::time::Instant;
use qingjiang::sip::wire::{Message, Method};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The CSeq of every caller's INVITE.
pub const INVITE_CSEQ: u32 = 10;

/// What is wrong with an INVITE, so that it is no offered call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    None,
    UnknownNumber,
    UnknownSource,
    Requires,
    NoHops,
    NoCodec,
    BrokenSdp,
}

impl Defect {
    /// The status that the contract and RFC 3261 want for it.
    pub fn status(self) -> Option<u16> {
        match self {
            Defect::None => None,
            Defect::UnknownNumber => Some(404),
            Defect::UnknownSource => Some(403),
            Defect::Requires => Some(420),
            Defect::NoHops => Some(483),
            Defect::NoCodec => Some(488),
            Defect::BrokenSdp => Some(400),
        }
    }
}

/// How a caller loses patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// CANCEL, after a provisional response as RFC 3261 §9.1 wants it.
    Cancel,
    /// CANCEL at once, whatever came.
    RudeCancel,
    /// BYE on the early dialog (§15).
    EarlyBye,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub address: SocketAddr,
    pub start: Instant,
    pub number: String,
    pub defect: Defect,
    pub max_forwards: u8,
    pub record_route: bool,
    pub formats: &'static str,
    pub leaving: Option<(Duration, Leaving)>,
    /// From the 200 to its BYE.
    pub talk: Duration,
    /// How many 200s go without an ACK; more than there are: never one.
    pub acks_skipped: u32,
    pub vanish: Option<Duration>,
    pub answers_bye: bool,
    pub strays: Vec<(Duration, Stray)>,
    /// When it asks for a change of the session, after the 200.
    pub changes: Vec<Duration>,
    /// Sends its INVITE over a second way too (RFC 3261 §8.2.2.2).
    pub merged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Idle,
    Calling,
    Proceeding,
    /// The CANCEL or early BYE is out.
    Leaving,
    Up,
    ByeSent,
    /// It has nothing to do any more; qingjiang may still repeat itself.
    Done,
    Vanished,
}

pub struct Caller {
    pub plan: Plan,
    pub state: State,
    pub call_id: String,
    pub final_status: Option<u16>,
    pub got_bye: bool,
    final_bytes: Vec<u8>,
    from: String,
    /// Of its INVITE.
    pub branch: String,
    invite: Option<Message>,
    to_tag: Option<String>,
    target: String,
    cseq: u32,
    oks: u32,
    repeats: Repeats,
    inviting: u32,
    /// What our other requests wait for: branch → what it was, and its repetition.
    asked: BTreeMap<String, (Asked, u32)>,
    branches: u32,
    wants_to_leave: Option<Leaving>,
    /// Its own time had run out before the 200 came: it takes no notice of it.
    was_gone: bool,
    chance: Chance,
    /// From the 200 on.
    changes: Option<Changes>,
    bye_cseq: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Cancel,
    Bye,
    Stray(Stray),
    Merged,
}

impl Caller {
    pub fn new(plan: Plan, token: &str, chance: Chance) -> Caller {
        Caller {
            state: State::Idle,
            call_id: format!("caller-{token}@{}", plan.address.ip()),
            final_status: None,
            got_bye: false,
            final_bytes: Vec::new(),
            from: format!("\"C\" <sip:13800{token}@{}>;tag=c{token}", plan.address),
            branch: String::new(),
            invite: None,
            to_tag: None,
            target: format!("sip:{}@{ENGINE}", plan.number),
            cseq: INVITE_CSEQ,
            oks: 0,
            repeats: Repeats::default(),
            inviting: 0,
            asked: BTreeMap::new(),
            branches: 0,
            wants_to_leave: None,
            was_gone: false,
            chance,
            changes: None,
            bye_cseq: None,
            plan,
        }
    }

    pub fn on_wake(&mut self, now: Instant, turn: &mut Turn, wake: Wake) {
        if self.state == State::Vanished {
            return;
        }
        match wake {
            Wake::Start => self.invite(now, turn),
            Wake::Repeat(id) => {
                if self.repeats.on_wake(now, turn, id) {
                    self.on_expired(id);
                }
            }
            Wake::GiveUp => {
                self.wants_to_leave = self.plan.leaving.map(|(_, how)| how);
                self.leave(now, turn);
            }
            Wake::HangUp(..) => self.hang_up(now, turn),
            Wake::Vanish(_) => self.state = State::Vanished,
            Wake::Change(_, _, timer) => {
                if let Some(changes) = &mut self.changes {
                    changes.on_wake(now, turn, timer, &mut self.cseq);
                    if std::mem::take(&mut changes.wants_bye) {
                        self.hang_up(now, turn);
                    }
                }
            }
            Wake::Stray(index) => {
                let stray = self.plan.strays[index].1;
                if self.to_tag.is_some() && self.state == State::Up {
                    self.ask(now, turn, Asked::Stray(stray), stray.method());
                }
            }
            Wake::Step(..) if self.state == State::Leaving => self.state = State::Done,
            Wake::Step(..) => {}
        }
    }

    fn invite(&mut self, now: Instant, turn: &mut Turn) {
        self.branch = self.new_branch();
        let mut invite = self.request("INVITE", &self.branch, self.cseq, None);
        self.fill(&mut invite);
        self.inviting = self
            .repeats
            .start(now, turn, Repeat::invite(now, invite.to_bytes()));
        self.invite = Some(invite);
        self.state = State::Calling;
        if let Some((after, _)) = self.plan.leaving {
            turn.wake.push((now + after, Wake::GiveUp));
        }
        if let Some(after) = self.plan.vanish {
            turn.wake.push((now + after, Wake::Vanish(0)));
        }
    }

    fn fill(&self, invite: &mut Message) {
        let address = self.plan.address;
        let contact = format!("<sip:caller@{address}>");
        invite.headers.push("Contact", &contact);
        invite
            .headers
            .push("X-Qingjiang-Call", "forged-by-the-caller");
        let hops = match self.plan.defect {
            Defect::NoHops => 0,
            _ => self.plan.max_forwards,
        };
        invite.headers.push("Max-Forwards", &hops.to_string());
        if self.plan.record_route {
            invite
                .headers
                .push("Record-Route", &format!("<sip:{address};lr>"));
        }
        if self.plan.defect == Defect::Requires {
            invite.headers.push("Require", "100rel");
        }
        let body = match self.plan.defect {
            Defect::BrokenSdp => b"no description".to_vec(),
            Defect::NoCodec => sdp(address.ip(), 40_000, "18 101"),
            _ => sdp(address.ip(), 40_000, self.plan.formats),
        };
        *invite = with_sdp(invite.clone(), body);
    }

    /// A request of this caller's; `to_tag` puts it into the dialog.
    fn request(&self, method: &str, branch: &str, cseq: u32, to_tag: Option<&str>) -> Message {
        let bare = format!("<sip:{}@{ENGINE}>", self.plan.number);
        let to = match to_tag {
            Some(tag) => format!("{bare};tag={tag}"),
            None => bare,
        };
        request(&Head {
            method,
            uri: &self.target,
            source: self.plan.address,
            branch,
            from: &self.from,
            to: &to,
            call_id: &self.call_id,
            cseq,
        })
    }

    fn new_branch(&mut self) -> String {
        self.branches += 1;
        format!("z9hG4bK{}-{}", self.call_id, self.branches)
    }

    fn leave(&mut self, now: Instant, turn: &mut Turn) {
        let Some(how) = self.wants_to_leave else {
            return;
        };
        let may = match (how, self.state) {
            (_, State::Proceeding) => how != Leaving::EarlyBye || self.to_tag.is_some(),
            (Leaving::RudeCancel, State::Calling) => true,
            _ => false,
        };
        if !may {
            return;
        }
        self.state = State::Leaving;
        if how == Leaving::EarlyBye {
            return self.ask(now, turn, Asked::Bye, "BYE");
        }
        let Some(invite) = &self.invite else { return };
        let cancel = hop(invite, "CANCEL", header(invite, "To"));
        let id = self
            .repeats
            .start(now, turn, Repeat::other(now, cancel.to_bytes()));
        self.asked
            .insert(format!("CANCEL {}", self.branch), (Asked::Cancel, id));
    }

    fn hang_up(&mut self, now: Instant, turn: &mut Turn) {
        if self.state == State::Up {
            self.state = State::ByeSent;
            if let Some(changes) = &mut self.changes {
                changes.end(now, turn);
            }
            self.ask(now, turn, Asked::Bye, "BYE");
        }
    }

    /// Sends a request inside the dialog, or one that only looks so.
    fn ask(&mut self, now: Instant, turn: &mut Turn, what: Asked, method: &str) {
        let mut to_tag = self.to_tag.clone().unwrap_or_default();
        let mut cseq = self.cseq + 1;
        match what {
            Asked::Stray(Stray::ForeignBye) => to_tag = "nobody".to_owned(),
            Asked::Stray(Stray::OldBye) => cseq = 1,
            _ => self.cseq += 1,
        }
        let branch = self.new_branch();
        let message = self.request(method, &branch, cseq, Some(&to_tag));
        let id = self
            .repeats
            .start(now, turn, Repeat::other(now, message.to_bytes()));
        self.asked.insert(branch, (what, id));
    }

    fn on_expired(&mut self, id: u32) {
        let is_bye = self
            .asked
            .values()
            .any(|(what, its)| *its == id && *what == Asked::Bye);
        let is_cancel = self
            .asked
            .values()
            .any(|(what, its)| *its == id && *what == Asked::Cancel);
        if id == self.inviting || is_bye || is_cancel {
            self.state = State::Done;
        }
    }

    pub fn on_message(&mut self, now: Instant, turn: &mut Turn, message: &Message) {
        if self.state == State::Vanished {
            return;
        }
        turn.check(message.call_id() == self.call_id, "a foreign Call-ID");
        match message.method() {
            None => self.on_response(now, turn, message),
            Some(method) => self.on_request(now, turn, method.clone(), message),
        }
    }

    fn on_response(&mut self, now: Instant, turn: &mut Turn, response: &Message) {
        let (_, method) = cseq_of(response);
        let status = response.status().unwrap_or(0);
        let branch = branch_of(response);
        turn.check(
            response.vias().map(|vias| vias.len()) == Ok(1),
            "a response with other Vias",
        );
        if method == Method::Invite && branch == self.branch {
            return self.on_invite_response(now, turn, status, response);
        }
        if let Some(changes) = &mut self.changes
            && changes.is_mine(response)
        {
            return changes.on_response(now, turn, response);
        }
        let key = match method {
            Method::Cancel => format!("CANCEL {branch}"),
            _ => branch,
        };
        let Some((what, id)) = self.asked.get(&key).copied() else {
            return turn.fault("a response to nothing");
        };
        if status >= 200 {
            self.repeats.stop(id);
            self.on_answer(now, turn, what, status);
            if what == Asked::Merged {
                self.acknowledge_failure(turn, response);
            }
        }
    }

    fn on_answer(&mut self, now: Instant, turn: &mut Turn, what: Asked, status: u16) {
        match what {
            Asked::Cancel => {
                let stranger = self.plan.defect == Defect::UnknownSource;
                let expected = matches!(status, 200 | 481) || (stranger && status == 403);
                turn.check(expected, "an odd answer to CANCEL");
                // It overtook its INVITE. Another one would only be its repetition (same branch).
                if status == 481 && self.state == State::Leaving {
                    self.state = State::Proceeding;
                    self.wants_to_leave = None;
                }
            }
            // A request with a higher CSeq overtook it (RFC 3261 §12.2.2): once more.
            Asked::Bye if status == 500 && self.state == State::ByeSent => {
                self.state = State::Up;
                self.hang_up(now, turn);
            }
            Asked::Bye => {
                turn.check(matches!(status, 200 | 481 | 500), "an odd answer to BYE");
                match self.state {
                    State::ByeSent => self.state = State::Done,
                    // An early one: the INVITE's final response may still come, or is lost for good.
                    _ => turn.wake.push((now + GIVE_UP, Wake::Step(0, 0))),
                }
            }
            Asked::Merged => turn.check(status == 482, "a merged request was not refused"),
            Asked::Stray(stray) => {
                turn.check(stray.may_get(status), "an odd answer to a stray");
            }
        }
    }

    fn on_invite_response(
        &mut self,
        now: Instant,
        turn: &mut Turn,
        status: u16,
        response: &Message,
    ) {
        self.repeats.stop(self.inviting);
        let tag = tag_of(header(response, "To")).map(str::to_owned);
        if status > 100 {
            turn.check(tag.is_some(), "a response without a To tag");
            let known = self.to_tag.is_none() || self.to_tag == tag;
            turn.check(known, "another To tag than before");
            self.to_tag = tag;
        }
        match status {
            100..=199 => self.on_provisional(now, turn, response),
            _ => self.on_final(now, turn, status, response),
        }
    }

    fn on_provisional(&mut self, now: Instant, turn: &mut Turn, response: &Message) {
        if self.state == State::Calling {
            self.state = State::Proceeding;
            if self.plan.merged {
                self.merge(turn);
            }
        }
        if response.status() > Some(100) {
            self.learn_target(turn, response);
        }
        self.leave(now, turn);
    }

    /// The same INVITE with another branch, as over another proxy. Not repeated: a copy that comes after the
    /// first one's transaction is over is a new call by RFC 3261.
    fn merge(&mut self, turn: &mut Turn) {
        let branch = self.new_branch();
        let mut copy = self.request("INVITE", &branch, self.cseq, None);
        self.fill(&mut copy);
        turn.send.push(copy.to_bytes());
        self.asked.insert(branch, (Asked::Merged, 0));
    }

    fn learn_target(&mut self, turn: &mut Turn, response: &Message) {
        let contact = header(response, "Contact");
        turn.check(
            contact == format!("<sip:{ENGINE}>"),
            "not qingjiang's Contact",
        );
        self.target = uri_in(contact).to_owned();
    }

    fn on_final(&mut self, now: Instant, turn: &mut Turn, status: u16, response: &Message) {
        let bytes = response.to_bytes();
        match self.final_status {
            None => {
                self.final_status = Some(status);
                self.final_bytes = bytes;
                self.on_first_final(now, turn, status, response);
            }
            Some(_) => turn.check(bytes == self.final_bytes, "another final response"),
        }
        if status >= 300 {
            return self.acknowledge_failure(turn, response);
        }
        self.oks += 1;
        let tag = self.to_tag.clone();
        if self.oks > self.plan.acks_skipped && !self.was_gone {
            let branch = self.new_branch();
            // The ACK's CSeq is the INVITE's (RFC 3261 §13.2.2.4).
            let ack = self.request("ACK", &branch, INVITE_CSEQ, tag.as_deref());
            turn.send.push(ack.to_bytes());
        }
    }

    fn on_first_final(&mut self, now: Instant, turn: &mut Turn, status: u16, response: &Message) {
        self.was_gone = self.state == State::Done;
        if status >= 300 {
            self.state = State::Done;
            return;
        }
        self.learn_target(turn, response);
        let offered: Vec<String> = self.plan.formats.split(' ').map(str::to_owned).collect();
        let usable = is_usable(&response.body, &offered);
        turn.check(usable, "a 200 without a usable answer");
        if self.was_gone {
            return;
        }
        let left = self.state == State::Leaving;
        self.state = State::Up;
        self.begin_changes(now, turn);
        if left {
            return self.hang_up(now, turn);
        }
        turn.wake.push((now + self.plan.talk, Wake::HangUp(0, 0)));
        for (index, (after, _)) in self.plan.strays.iter().enumerate() {
            turn.wake.push((now + *after, Wake::Stray(index)));
        }
    }

    fn acknowledge_failure(&self, turn: &mut Turn, response: &Message) {
        let invite = self.invite.as_ref().expect("it was sent");
        let mut ack = hop(invite, "ACK", header(response, "To"));
        ack.headers.set("Via", header(response, "Via"));
        let cseq = format!("{} ACK", cseq_of(response).0);
        ack.headers.set("CSeq", &cseq);
        turn.send.push(ack.to_bytes());
    }
}
