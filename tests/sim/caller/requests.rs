//! What a caller is asked inside its dialog: BYE, and changes of the session.

use super::{Caller, State};
use crate::reinvite::{Changes, Line, Own, Timer};
use crate::says::{ENGINE, Turn, Wake, cseq_of, header, tag_of};
use qingjiang::base::time::Instant;
use qingjiang::sip::wire::{Message, Method};

impl Caller {
    /// From its 200 on the session may change.
    pub(super) fn begin_changes(&mut self, now: Instant, turn: &mut Turn) {
        let bare = format!("<sip:{}@{ENGINE}>", self.plan.number);
        let tag = self.to_tag.clone().unwrap_or_default();
        let line = Line {
            place: (0, 0),
            address: self.plan.address,
            from: self.from.clone(),
            to: format!("{bare};tag={tag}"),
            call_id: self.call_id.clone(),
            contact: format!("<sip:caller@{}>", self.plan.address),
        };
        let own = Own {
            version: 1,
            port: 40_000,
            formats: self.plan.formats.to_owned(),
            direction: "sendrecv",
        };
        self.changes = Some(Changes::new(line, own, 0, self.chance.branch_off()));
        for after in &self.plan.changes {
            turn.wake
                .push((now + *after, Wake::Change(0, 0, Timer::Ask)));
        }
    }

    pub(super) fn on_request(
        &mut self,
        now: Instant,
        turn: &mut Turn,
        method: Method,
        request: &Message,
    ) {
        let ours = tag_of(header(request, "To")) == tag_of(&self.from);
        let theirs = tag_of(header(request, "From")) == self.to_tag.as_deref();
        turn.check(ours && theirs, "a request with foreign tags");
        if method != Method::Cancel {
            self.check_route(turn, request);
        }
        match (method, &mut self.changes) {
            (Method::Bye, _) => self.on_bye(now, turn, request),
            (Method::Info, _) => turn.send.push(request.reply(200, None).to_bytes()),
            (_, None) => turn.fault("a request to a caller that has not answered"),
            (Method::Invite, Some(changes)) => changes.on_invite(now, turn, request),
            (Method::Cancel, Some(changes)) => changes.on_cancel(now, turn, request),
            (Method::Ack, Some(changes)) => {
                let known = changes.on_ack(turn, request);
                turn.check(known, "an ACK of nothing");
            }
            _ => turn.fault("a method that qingjiang does not send"),
        }
    }

    /// To our Contact, by the route set (RFC 3261 §12.2.1.1).
    fn check_route(&self, turn: &mut Turn, request: &Message) {
        let route = format!("<sip:{};lr>", self.plan.address);
        let routed = header(request, "Route") == route;
        turn.check(routed == self.plan.record_route, "a route set not followed");
        let text = request.to_bytes();
        let line = text.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let asks_us = String::from_utf8_lossy(line).contains(" sip:caller@");
        turn.check(asks_us, "a request that is not to our Contact");
    }

    fn on_bye(&mut self, now: Instant, turn: &mut Turn, request: &Message) {
        self.got_bye = true;
        if self.state >= State::Up {
            self.state = State::Done;
        }
        if let Some(changes) = &mut self.changes {
            let number = cseq_of(request).0;
            let known = self.bye_cseq.replace(number);
            let again = known == Some(number);
            turn.check(
                again || number > changes.remote_cseq,
                "a BYE with an old CSeq",
            );
            changes.end(now, turn);
        }
        if self.plan.answers_bye {
            turn.send.push(request.reply(200, None).to_bytes());
        }
    }
}
