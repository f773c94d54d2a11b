//! What comes in, and what RFC 3261 says that it means.

use super::{Asked, Attempt, Fresh, Watch};
use crate::caller::INVITE_CSEQ;
use crate::net::GIVE_UP;
use crate::says::{branch_of, cseq_of, described, header, is_usable, tag_of};
use qingjiang::base::ids::{CallKey, Leg};
use qingjiang::base::time::Instant;
use qingjiang::call::doors::Fact;
use qingjiang::engine::Input;
use qingjiang::hotline::record::{AttemptOutcome, EndedBy};
use qingjiang::sip::wire::{Message, Method, Start, parse_datagram};
use std::net::SocketAddr;

impl Watch {
    pub fn on_input(&mut self, now: Instant, input: &Input) {
        self.now = now;
        self.fresh = None;
        match input {
            Input::Sip { path, bytes } => {
                self.sip_in += 1;
                if let Ok(message) = parse_datagram(bytes) {
                    match message.method().cloned() {
                        Some(method) => self.on_request(path.remote, &method, &message),
                        None => self.on_response(&message),
                    }
                }
            }
            Input::SipUnreachable { bytes } => self.on_unreachable(bytes),
            Input::Media { call, fact } => self.on_fact(*call, fact),
            Input::Ports(pairs) => self.ports_total += pairs.len(),
            Input::Deadline => self.on_deadline(),
            Input::Pressure(pressed) => self.pressed = *pressed,
            // These worlds renew only what changes nothing for them.
            Input::Renew(_) => {}
            Input::Drain => self.draining = true,
            Input::ShutDown => {
                self.draining = true;
                self.shutting_down = true;
            }
        }
    }

    fn on_request(&mut self, remote: SocketAddr, method: &Method, message: &Message) {
        let branch = branch_of(message);
        let method_of_tx = match method {
            Method::Ack => "ACK".to_owned(),
            method => method.to_string(),
        };
        let again = !self.seen.insert((remote, branch.clone(), method_of_tx));
        match method {
            Method::Invite if !again => self.on_invite(remote, branch, message),
            Method::Ack => self.on_ack(message),
            Method::Cancel if !again => self.on_cancel(remote, &branch),
            Method::Invite | Method::Cancel => {}
            _ if !again => self.on_in_dialog(remote, method, message),
            _ => {}
        }
    }

    fn on_invite(&mut self, remote: SocketAddr, branch: String, invite: &Message) {
        let asked = Asked {
            at: self.now,
            final_status: None,
            final_bytes: Vec::new(),
            call: None,
        };
        self.asked.insert((remote, branch.clone()), asked);
        if tag_of(header(invite, "To")).is_some() {
            return self.on_in_dialog(remote, &Method::Invite, invite);
        }
        let Start::Request { uri, .. } = &invite.start else {
            return;
        };
        self.fresh = Some(Fresh {
            remote,
            branch,
            call_id: invite.call_id().to_owned(),
            from_tag: tag_of(header(invite, "From"))
                .unwrap_or_default()
                .to_owned(),
            number: uri.user().unwrap_or_default(),
            hops: header(invite, "Max-Forwards").parse().unwrap_or(0),
            cseq: cseq_of(invite).0,
            offer: described(&invite.body),
            record: false,
        });
    }

    fn on_ack(&mut self, ack: &Message) {
        let now = self.now;
        self.on_ask_acked(ack);
        let Some(&index) = self.by_caller.get(ack.call_id()) else {
            return;
        };
        let call = &mut self.calls[index];
        let is_of_200 = call.is_answered() && branch_of(ack) != call.branch;
        let ours = tag_of(header(ack, "To")).map(str::to_owned) == call.our_tag;
        if is_of_200 && ours && cseq_of(ack).0 == INVITE_CSEQ {
            call.acked.get_or_insert(now);
        }
    }

    /// A CANCEL is about the INVITE of its own branch; after the final response it changes nothing.
    fn on_cancel(&mut self, remote: SocketAddr, branch: &str) {
        self.on_ask_cancelled(&(remote, branch.to_owned()));
        let asked = self.asked.get(&(remote, branch.to_owned()));
        if let Some(index) = asked.and_then(|asked| asked.call)
            && self.calls[index].final_status.is_none()
        {
            self.end(index, EndedBy::Caller);
            self.settle(index, AttemptOutcome::Cancelled);
        }
    }

    /// Requests that are in a dialog of ours, or look so; a BYE that is in one ends the call.
    fn on_in_dialog(&mut self, remote: SocketAddr, method: &Method, request: &Message) {
        let (to, from) = (header(request, "To"), header(request, "From"));
        let (to, from) = (
            tag_of(to).map(str::to_owned),
            tag_of(from).map(str::to_owned),
        );
        let number = cseq_of(request).0;
        let asks = matches!(method, Method::Invite | Method::Update);
        if let Some(&index) = self.by_caller.get(request.call_id()) {
            let call = &mut self.calls[index];
            let is_in = to == call.our_tag && from.as_deref() == Some(&call.from_tag);
            if !is_in || number < call.cseq_high {
                return;
            }
            call.cseq_high = number;
            if *method == Method::Bye {
                call.caller_bye_in = true;
                if call.final_status.is_none() {
                    self.settle(index, AttemptOutcome::Cancelled);
                }
                self.end(index, EndedBy::Caller);
            } else if asks {
                self.on_ask(index, Leg::Caller, remote, request);
            }
        } else if let Some(&(index, place)) = self.by_target.get(request.call_id()) {
            let attempt = &mut self.calls[index].attempts[place];
            let is_in = to.as_ref() == Some(&attempt.from_tag) && from == attempt.winner;
            if *method == Method::Bye
                && let Some(fork) = from.as_ref().and_then(|tag| attempt.forks.get_mut(tag))
            {
                // It may be refused; but the target knows that it is over.
                fork.bye_in = true;
            }
            if !is_in || attempt.winner.is_none() || number < attempt.cseq_high {
                return;
            }
            attempt.cseq_high = number;
            if *method == Method::Bye {
                self.end(index, EndedBy::Agent);
            } else if asks {
                self.on_ask(index, Leg::Agent, remote, request);
            }
        }
    }

    fn end(&mut self, index: usize, by: EndedBy) {
        let now = self.now;
        let call = &mut self.calls[index];
        if call.over.is_none() {
            call.ended.get_or_insert((now, by));
        }
    }

    /// Closes the account of the current attempt.
    pub(super) fn settle(&mut self, index: usize, outcome: AttemptOutcome) {
        let now = self.now;
        if let Some(attempt) = self.calls[index].last()
            && attempt.is_open()
        {
            attempt.end = Some((now, outcome));
        }
    }

    fn on_response(&mut self, response: &Message) {
        let (_, method) = cseq_of(response);
        let status = response.status().unwrap_or(0);
        if method != Method::Invite {
            return;
        }
        self.on_ours_answered(response);
        let Some(&(index, place)) = self.by_branch.get(&branch_of(response)) else {
            return;
        };
        let now = self.now;
        let attempt = &mut self.calls[index].attempts[place];
        match status {
            0..200 => attempt.on_provisional(now, status, &response.body),
            200..300 => attempt.on_ok(now, response),
            _ => attempt.on_refusal(now, status),
        }
    }

    fn on_unreachable(&mut self, bytes: &[u8]) {
        let now = self.now;
        let Ok(unsent) = parse_datagram(bytes) else {
            return;
        };
        if unsent.method() != Some(&Method::Invite) {
            return;
        }
        let Some(&(index, place)) = self.by_branch.get(&branch_of(&unsent)) else {
            return;
        };
        let attempt = &mut self.calls[index].attempts[place];
        let waits = !attempt.provisional && attempt.takes_2xx() && attempt.first_2xx.is_none();
        if waits {
            attempt.dead = true;
            attempt.lose(now, AttemptOutcome::Failed, 480);
        }
    }

    fn on_fact(&mut self, key: CallKey, fact: &Fact) {
        let Some(&index) = self.by_key.get(&key) else {
            return self.fault("a fact of a call that is not known");
        };
        let call = &mut self.calls[index];
        if *fact == Fact::Closed {
            call.closed = true;
            let ports = [call.caller_port, call.agent_port];
            for port in ports {
                self.lent.remove(&port);
            }
            return;
        }
        if call.over.is_some() {
            return;
        }
        if let (
            Fact::SpeechBegan {
                leg: Leg::Caller,
                at,
            },
            true,
        ) = (fact, call.listening)
        {
            call.first_speech.get_or_insert(*at);
        }
        let now = self.now;
        if let Some(script) = &mut call.script {
            script.on_fact(now, fact);
        }
    }

    /// Time-outs of RFC 3261 and of the contract.
    fn on_deadline(&mut self) {
        let now = self.now;
        self.on_change_deadline();
        for index in 0..self.calls.len() {
            let ring_timeout = self.config.hotlines[self.calls[index].hotline].ring_timeout;
            for attempt in &mut self.calls[index].attempts {
                attempt.on_deadline(now, ring_timeout);
            }
        }
    }
}

impl Attempt {
    fn on_provisional(&mut self, now: Instant, status: u16, body: &[u8]) {
        if !self.takes_2xx() || self.first_2xx.is_some() {
            return;
        }
        self.provisional = true;
        if !self.is_open() {
            return;
        }
        if status == 180 || (status == 183 && self.ringing_183) {
            self.rang_at.get_or_insert(now);
        }
        if status > 100 && is_usable(body, &self.offered) {
            self.early_sdp = true;
        }
    }

    fn on_ok(&mut self, now: Instant, response: &Message) {
        if !self.takes_2xx() {
            return;
        }
        self.first_2xx.get_or_insert(now);
        let tag = tag_of(header(response, "To"))
            .unwrap_or_default()
            .to_owned();
        self.forks.entry(tag.clone()).or_default().oks += 1;
        if !self.is_open() {
            return;
        }
        let body = &response.body;
        if is_usable(body, &self.offered) || (body.is_empty() && self.early_sdp) {
            self.end = Some((now, AttemptOutcome::Answered));
            self.winner = Some(tag);
        } else {
            self.lose(now, AttemptOutcome::Failed, 488);
        }
    }

    fn on_refusal(&mut self, now: Instant, status: u16) {
        if !self.takes_2xx() || self.first_2xx.is_some() {
            return;
        }
        self.refused = true;
        let (outcome, passed) = match status {
            486 => (AttemptOutcome::Busy, 486),
            480 => (AttemptOutcome::NoAnswer, 480),
            503 => (AttemptOutcome::Failed, 500),
            status => (AttemptOutcome::Refused, status),
        };
        self.lose(now, outcome, passed);
    }

    fn lose(&mut self, now: Instant, outcome: AttemptOutcome, status_for_caller: u16) {
        if self.is_open() {
            self.end = Some((now, outcome));
            self.status_for_caller = status_for_caller;
        }
    }

    fn on_deadline(&mut self, now: Instant, ring_timeout: std::time::Duration) {
        let over = |since: Option<Instant>| since.is_some_and(|at| now >= at + GIVE_UP);
        let unheard = !self.provisional && self.first_2xx.is_none();
        let never_heard = unheard && over(Some(self.invited_at));
        let cancelled = self.first_2xx.is_none() && over(self.cancelled_at);
        if !self.refused && (never_heard || cancelled || over(self.first_2xx)) {
            self.dead = true;
        }
        if never_heard {
            self.lose(now, AttemptOutcome::Failed, 480);
        }
        if now >= self.invited_at + ring_timeout {
            self.lose(now, AttemptOutcome::NoAnswer, 480);
        }
    }
}
