//! How a peer answers the changes that it is asked for: 200, refusals, 491, late, or not at all.
//!
//! Source: RFC 3261 §14.2, RFC 3264 §6 and §8, RFC 6337 §3.

use crate::net::Repeat;
use crate::reinvite::{Changes, Own, Timer};
use crate::says::{ENGINE, Turn, branch_of, cseq_of, described, header, with_sdp};
use qingjiang::base::time::Instant;
use qingjiang::sip::wire::Message;

/// A re-INVITE that came.
pub(crate) struct Served {
    branch: String,
    invite: Message,
    /// The last that was said to it.
    last: Vec<u8>,
    status: Option<u16>,
    pub repeat: u32,
    acked: bool,
    /// It is never answered.
    mute: bool,
    /// What it was told; a late offer's answer comes with the ACK.
    own: Option<Own>,
}

impl Served {
    pub fn is_ok(&self) -> bool {
        self.status == Some(200) && !self.acked
    }

    /// No final response was sent, or its ACK did not come.
    pub fn is_open(&self) -> bool {
        self.status.is_none() || self.is_ok()
    }

    /// A final response is owed.
    pub fn is_owed(&self) -> bool {
        self.status.is_none() && !self.mute
    }
}

impl Changes {
    pub fn on_invite(&mut self, now: Instant, turn: &mut Turn, invite: &Message) {
        let branch = branch_of(invite);
        if let Some(known) = self.served.iter().find(|one| one.branch == branch) {
            if !known.last.is_empty() {
                turn.send.push(known.last.clone());
            }
            return;
        }
        let contact = header(invite, "Contact") == format!("<sip:{ENGINE}>");
        turn.check(contact, "a re-INVITE without qingjiang's Contact");
        let number = cseq_of(invite).0;
        let (in_order, index) = (number > self.remote_cseq, self.served.len());
        self.remote_cseq = self.remote_cseq.max(number);
        let busy = self.is_asking() || self.served.iter().any(Served::is_open);
        self.served.push(Served {
            branch,
            invite: invite.clone(),
            last: Vec::new(),
            status: None,
            repeat: 0,
            acked: false,
            mute: false,
            own: None,
        });
        match (self.over, in_order, busy) {
            (true, ..) => self.answer(now, turn, index, 481),
            (_, false, _) => self.answer(now, turn, index, 500),
            (.., true) => self.answer(now, turn, index, 491),
            _ => self.react(now, turn, index),
        }
    }

    fn react(&mut self, now: Instant, turn: &mut Turn, index: usize) {
        let kind = self.chance.between(0, 99);
        let status = match kind {
            0..=59 => 200,
            // Late: it asks somebody.
            60..=76 => 200,
            77..=86 => self.chance.pick(&[488, 488, 486, 603]),
            87..=91 => 491,
            92..=93 => 481,
            94..=95 => 488,
            96..=97 => 503,
            _ => {
                self.served[index].mute = true;
                return;
            }
        };
        if !matches!(kind, 60..=76 | 94..=95) && self.chance.percent(90) {
            return self.answer(now, turn, index, status);
        }
        let at = now + self.chance.ms(100, 7_000);
        self.wake(turn, at, Timer::Answer(index, status));
        if self.chance.percent(70) {
            let ringing = self.served[index].invite.reply(100, None).to_bytes();
            self.served[index].last = ringing.clone();
            turn.send.push(ringing);
        }
    }

    pub(crate) fn answer(&mut self, now: Instant, turn: &mut Turn, index: usize, status: u16) {
        if self.served[index].status.is_some() {
            return;
        }
        let mut response = self.served[index].invite.reply(status, None);
        if status == 200 {
            response.headers.push("Contact", &self.line.contact.clone());
            let own = match described(&self.served[index].invite.body) {
                Some(offer) => {
                    let own = self.answering(&offer);
                    self.own = own.clone();
                    own
                }
                None if self.chance.percent(30) => self.draw_own(),
                None => self.own.clone(),
            };
            response = with_sdp(response, self.body(&own));
            self.served[index].own = Some(own);
        }
        let bytes = response.to_bytes();
        let repeat = self.repeat(now, turn, Repeat::other(now, bytes.clone()));
        let one = &mut self.served[index];
        one.status = Some(status);
        one.last = bytes;
        one.repeat = repeat;
    }

    pub fn on_cancel(&mut self, now: Instant, turn: &mut Turn, cancel: &Message) {
        let branch = branch_of(cancel);
        let Some(index) = self.served.iter().position(|one| one.branch == branch) else {
            return turn.fault("a CANCEL for no re-INVITE");
        };
        turn.send.push(cancel.reply(200, None).to_bytes());
        let spoke = !self.served[index].last.is_empty();
        turn.check(spoke, "a CANCEL without a provisional response");
        match self.chance.between(0, 9) {
            0..=4 => self.answer(now, turn, index, 200),
            5 => {}
            _ => self.answer(now, turn, index, 487),
        }
    }

    /// `false` if this ACK is of no re-INVITE.
    pub fn on_ack(&mut self, turn: &mut Turn, ack: &Message) -> bool {
        let (branch, number) = (branch_of(ack), cseq_of(ack).0);
        let of_refusal = self.served.iter().position(|one| one.branch == branch);
        let of_ok = || {
            let mut served = self.served.iter();
            served.position(|one| cseq_of(&one.invite).0 == number && one.status == Some(200))
        };
        let Some(index) = of_refusal.or_else(of_ok) else {
            return false;
        };
        let one = &mut self.served[index];
        let refused = one.status.is_some_and(|status| status >= 300);
        turn.check(refused == of_refusal.is_some(), "an ACK of the wrong kind");
        self.repeats.stop(one.repeat);
        if one.status == Some(200) && !std::mem::replace(&mut one.acked, true) {
            let late = one.invite.body.is_empty();
            let answer = described(&ack.body);
            // One without the answer to a late offer is the watch's matter: a BYE may be on its way.
            turn.check(late || answer.is_none(), "an ACK with an answer to nothing");
            if let (Some(answer), Some(own)) = (answer, one.own.clone()) {
                let fits = answer.answers(&own.formats, own.direction);
                turn.check(fits, "an answer in an ACK that does not fit");
                self.own = own;
            }
        }
        true
    }
}
