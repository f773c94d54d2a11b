//! What goes out, and whether it may.

use super::script::Script;
use super::session::Session;
use super::{Attempt, Seen, Watch};
use crate::machine::PROMPTS;
use crate::net::GIVE_UP;
use crate::says::{audio_of, branch_of, cseq_of, header, tag_of};
use qingjiang::base::ids::{CallKey, Leg};
use qingjiang::base::time::Instant;
use qingjiang::call::desk::Action;
use qingjiang::call::doors::Command;
use qingjiang::config::AnswerMeans;
use qingjiang::engine::{Engine, Input};
use qingjiang::hotline::record::{AttemptOutcome, EndedBy, EndedCall};
use qingjiang::sip::wire::{Message, Method, parse_datagram};
use std::collections::BTreeMap;
use std::net::SocketAddr;

impl Watch {
    pub fn on_actions(&mut self, input: &Input, actions: &[Action], engine: &Engine) {
        let closed = |action: &Action| match action {
            Action::Media {
                command: Command::Close { call },
                ..
            } => Some(*call),
            _ => None,
        };
        self.closing = actions.iter().filter_map(closed).collect();
        let after = engine.gauges(self.now).targets;
        self.up = [std::mem::replace(&mut self.up[1], after.clone()), after];
        // Datagrams come last in the tray, but they are what the rest is about.
        for action in actions {
            if let Action::Media {
                command: Command::Open { call, ports, .. },
                ..
            } = action
            {
                self.on_open(*call, *ports);
            }
        }
        for action in actions {
            if let Action::SendSip { path, bytes } = action {
                self.sip_out += 1;
                match parse_datagram(bytes) {
                    Ok(message) => self.on_sip(path.remote, &message),
                    // What answers rubbish can be no better than that.
                    Err(_) if path.remote == crate::says::rubbish() => {}
                    Err(fault) => self.fault(format!("sent what is no SIP message: {fault:?}")),
                }
            }
        }
        self.on_holds();
        for action in actions {
            match action {
                Action::Media { command, .. } => self.on_command(command),
                Action::Record(record) => self.on_record(record),
                Action::SendSip { .. } => {}
            }
        }
        self.after(input, engine);
    }

    fn on_sip(&mut self, remote: SocketAddr, message: &Message) {
        match message.method().cloned() {
            None => self.on_response_out(remote, message),
            Some(Method::Invite) if tag_of(header(message, "To")).is_some() => {
                self.on_reinvite_out(remote, message);
            }
            Some(Method::Invite) => self.on_invite_out(remote, message),
            Some(Method::Ack) => self.on_ack_out(message),
            Some(Method::Cancel) => self.on_cancel_out(message),
            Some(Method::Bye) => self.on_bye_out(message),
            // INFO of one end, passed on to the other.
            Some(Method::Info) => {}
            Some(Method::Options) => {
                let asks = !self.config.health.every.is_zero();
                self.check(asks, "a target is asked where none is to be");
            }
            Some(_) => self.fault("sent an odd method"),
        }
    }

    fn on_response_out(&mut self, remote: SocketAddr, response: &Message) {
        let key = (remote, branch_of(response));
        let (_, method) = cseq_of(response);
        let (now, status) = (self.now, response.status().unwrap_or(0));
        if matches!(method, Method::Invite | Method::Update) {
            self.on_ask_answered(&key, response);
        }
        let Some(asked) = self
            .asked
            .get_mut(&key)
            .filter(|_| method == Method::Invite)
        else {
            return;
        };
        let mut fault = None;
        if status < 200 {
            if asked.final_status.is_some() {
                fault = Some("a provisional response after the final one");
            }
        } else if asked.final_status.is_none() {
            asked.final_status = Some(status);
            asked.final_bytes = response.to_bytes();
        } else if asked.final_bytes != response.to_bytes() {
            fault = Some("a second final response");
        }
        if let Some(fault) = fault {
            self.fault(fault);
        }
        if let Some(index) = self.asked[&key].call {
            let fresh = self.calls[index].told.is_none();
            self.on_call_response(index, status, now, response);
            if fresh {
                self.on_described(index, Leg::Caller, &response.body);
            }
            if status == 200 && self.calls[index].legs[0].agreed.is_none() {
                self.agree_first(index);
            }
        }
    }

    fn on_call_response(&mut self, index: usize, status: u16, now: Instant, response: &Message) {
        let tag = tag_of(header(response, "To")).map(str::to_owned);
        let call = &mut self.calls[index];
        let mut faults = Vec::new();
        if status > 100 {
            if call.our_tag.is_some() && call.our_tag != tag {
                faults.push("two To tags towards the caller");
            }
            call.our_tag = tag;
            call.first_ring.get_or_insert(now);
        }
        if status >= 200 {
            call.final_status.get_or_insert((status, now));
        }
        if !response.body.is_empty() {
            if call
                .told
                .as_ref()
                .is_some_and(|told| *told != response.body)
            {
                faults.push("the caller was told two answers");
            }
            call.told = Some(response.body.clone());
            let port = audio_of(&response.body).map(|(port, _)| port);
            if port != Some(call.caller_port) {
                faults.push("the caller's answer has a port that is not the call's");
            }
        }
        self.faults.extend(faults.into_iter().map(String::from));
    }

    fn on_invite_out(&mut self, remote: SocketAddr, invite: &Message) {
        let branch = branch_of(invite);
        if let Some(&(index, place)) = self.by_branch.get(&branch) {
            let repeats = !self.calls[index].attempts[place].provisional;
            return self.check(repeats, "an INVITE repeated after a provisional response");
        }
        let id = header(invite, "X-Qingjiang-Call").to_owned();
        self.check(!id.is_empty(), "an INVITE without X-Qingjiang-Call");
        let values = invite.headers.all("X-Qingjiang-Call").count();
        self.check(values == 1, "X-Qingjiang-Call of a trunk was let through");
        let by_id = self
            .calls
            .iter()
            .position(|call| call.id.as_ref() == Some(&id));
        let fresh = self
            .calls
            .len()
            .checked_sub(1)
            .filter(|_| self.fresh.is_some());
        let Some(index) = by_id.or(fresh.filter(|last| self.calls[*last].id.is_none())) else {
            return self.fault("an INVITE for no call");
        };
        self.calls[index].id = Some(id);
        self.on_described(index, Leg::Agent, &invite.body);
        self.check_invite(index, remote, invite);
        let call = &self.calls[index];
        let hotline = &self.config.hotlines[call.hotline];
        let place = call.attempts.len();
        let first = call.attempts.last().map_or(0, |last| last.target + 1);
        // One that is down may be passed over, and one target be in the list twice: the first that may be meant is.
        let is_meant =
            |at: &usize| hotline.targets[*at].address == remote && self.may_call(hotline, *at);
        let Some(chosen) = (first..hotline.targets.len()).find(is_meant) else {
            return self.fault("a target is called that is not next, or that is down");
        };
        let passed_over = first..chosen;
        let skips = !passed_over.is_empty();
        let in_order = passed_over
            .into_iter()
            .all(|at| self.may_pass_over(hotline, at));
        let target = &hotline.targets[chosen];
        let attempt = Attempt {
            target: chosen,
            call_id: invite.call_id().to_owned(),
            from_tag: tag_of(header(invite, "From"))
                .unwrap_or_default()
                .to_owned(),
            name: target.name.clone(),
            is_person: target.answer_means == AnswerMeans::Person,
            ringing_183: target.ringing_183,
            offered: audio_of(&invite.body).map_or_else(Vec::new, |(_, formats)| formats),
            invited_at: self.now,
            provisional: false,
            early_sdp: false,
            rang_at: None,
            cancelled_at: None,
            end: None,
            status_for_caller: 480,
            first_2xx: None,
            refused: false,
            dead: false,
            forks: BTreeMap::new(),
            winner: None,
            cseq_high: 0,
        };
        let one_at_a_time = call.attempts.iter().all(|attempt| !attempt.is_open());
        let wanted = call.over.is_none() && call.ended.is_none();
        self.passed_over |= skips;
        self.check(in_order, "targets are not hunted in order");
        self.check(one_at_a_time, "two targets are called at once");
        self.check(wanted, "a target is called for a call that is over");
        self.calls[index].attempts.push(attempt);
        self.by_branch.insert(branch, (index, place));
        self.by_target
            .insert(invite.call_id().to_owned(), (index, place));
    }

    /// Own Call-ID, tag, hops and ports on the other leg.
    fn check_invite(&mut self, index: usize, _: SocketAddr, invite: &Message) {
        let call = &self.calls[index];
        let hops: u8 = header(invite, "Max-Forwards").parse().unwrap_or(0);
        let tag = tag_of(header(invite, "From")).unwrap_or_default();
        let fresh_tag = tag != call.from_tag && call.our_tag.as_deref() != Some(tag);
        let fresh_id =
            invite.call_id() != call.call_id && !self.by_target.contains_key(invite.call_id());
        let port = audio_of(&invite.body).map(|(port, _)| port);
        let checks = [
            (hops + 1 == call.hops, "Max-Forwards was not counted down"),
            (fresh_tag && !tag.is_empty(), "the legs share a tag"),
            (fresh_id, "the legs share a Call-ID"),
            (
                port == Some(call.agent_port),
                "the offer's port is not the call's",
            ),
        ];
        for (holds, fault) in checks {
            self.check(holds, fault);
        }
    }

    fn on_ack_out(&mut self, ack: &Message) {
        if self.by_branch.contains_key(&branch_of(ack)) {
            return; // Of a refusal.
        }
        if self.on_change_acked(ack) {
            return;
        }
        let tag = tag_of(header(ack, "To")).unwrap_or_default().to_owned();
        let known = self.by_target.get(ack.call_id()).copied();
        let fork =
            known.and_then(|(index, place)| self.calls[index].attempts[place].forks.get_mut(&tag));
        match fork {
            Some(fork) => fork.acks += 1,
            None => self.fault("an ACK without a 200"),
        }
    }

    fn on_cancel_out(&mut self, cancel: &Message) {
        if self.on_change_cancelled(&branch_of(cancel)) {
            return;
        }
        let Some(&(index, place)) = self.by_branch.get(&branch_of(cancel)) else {
            return self.fault("a CANCEL for no INVITE");
        };
        let now = self.now;
        let attempt = &mut self.calls[index].attempts[place];
        let (may, wanted) = (attempt.provisional, !attempt.is_open());
        attempt.cancelled_at.get_or_insert(now);
        self.check(may, "a CANCEL before any provisional response");
        let shuts_down = self.shutting_down;
        self.check(wanted || shuts_down, "a CANCEL that nobody wanted");
    }

    fn on_bye_out(&mut self, bye: &Message) {
        let now = self.now;
        if let Some(&index) = self.by_caller.get(bye.call_id()) {
            let call = &mut self.calls[index];
            let owed = call.is_answered() && !call.caller_bye_in;
            let unacked = call.final_status.is_some_and(|(_, at)| now >= at + GIVE_UP);
            let may = call.acked.is_some() || unacked;
            let again = call.caller_bye_out.is_some();
            call.caller_bye_out.get_or_insert(now);
            self.check(owed || again, "a BYE to a caller that needs none");
            return self.check(may, "a BYE to the caller before its ACK");
        }
        let tag = tag_of(header(bye, "To")).unwrap_or_default().to_owned();
        let known = self.by_target.get(bye.call_id()).copied();
        let fork =
            known.and_then(|(index, place)| self.calls[index].attempts[place].forks.get_mut(&tag));
        match fork {
            Some(fork) => {
                let acked = fork.acks > 0;
                fork.bye_out.get_or_insert(now);
                self.check(acked, "a BYE to a target before the ACK");
            }
            None => self.fault("a BYE for no dialog"),
        }
    }

    fn on_command(&mut self, command: &Command) {
        match command {
            Command::Listen { call } => self.on_listen(*call),
            Command::Play { call, prompt, .. } => {
                let name = PROMPTS[usize::from(prompt.0)];
                self.on_play(*call, name);
            }
            Command::ConfirmSilence { call, .. } => {
                let now = self.now;
                let script = self.by_key.get(call).copied();
                let script = script.and_then(|index| self.calls[index].script.as_mut());
                let due = script.and_then(|script| {
                    script.confirming = true;
                    script.confirm_due()
                });
                let due = due.is_some_and(|due| due <= now);
                self.check(due, "the end is asked for before it is due");
            }
            Command::Update { call, leg, stream } => {
                if let Some(&index) = self.by_key.get(call) {
                    self.calls[index].legs[leg.index()].told = Some(*stream);
                }
            }
            Command::Stop { call } => {
                if let Some(&index) = self.by_key.get(call) {
                    self.calls[index].stop_owed = false;
                }
            }
            Command::Close { call } => {
                if let Some(&index) = self.by_key.get(call) {
                    self.on_over(index);
                }
            }
            _ => {}
        }
    }

    fn on_open(&mut self, key: CallKey, ports: [u16; 2]) {
        for port in ports {
            let free = self.lent.insert(port);
            self.check(free, "a port is lent twice");
        }
        self.begin(Some(key), ports);
    }

    /// The INVITE that is being handled is an offered call.
    fn begin(&mut self, key: Option<CallKey>, [caller_port, agent_port]: [u16; 2]) {
        let Some(fresh) = &mut self.fresh else {
            return self.fault("a call begins without an INVITE");
        };
        if std::mem::replace(&mut fresh.record, true) {
            return self.fault("an INVITE begins two calls");
        }
        let index = self.calls.len();
        let hotlines = &self.config.hotlines;
        let hotline = hotlines
            .iter()
            .position(|hotline| hotline.numbers.contains(&fresh.number));
        let ip = fresh.remote.ip();
        let trunk = self
            .config
            .trunks
            .iter()
            .find(|trunk| trunk.from.iter().any(|net| net.contains(ip)));
        let (Some(hotline), Some(trunk)) = (hotline, trunk) else {
            return self.fault("a call of an unknown number or source");
        };
        self.calls.push(Seen {
            call_id: fresh.call_id.clone(),
            from_tag: fresh.from_tag.clone(),
            branch: fresh.branch.clone(),
            offered_at: self.now,
            hotline,
            trunk: trunk.name.clone(),
            hops: fresh.hops,
            key,
            id: None,
            our_tag: None,
            cseq_high: fresh.cseq,
            caller_port,
            agent_port,
            attempts: Vec::new(),
            first_ring: None,
            final_status: None,
            told: None,
            acked: None,
            ended: None,
            over: None,
            rest_is_down: false,
            record: None,
            listening: false,
            script: None,
            first_speech: None,
            caller_bye_in: false,
            caller_bye_out: None,
            closed: false,
            legs: [Session::of_offer(fresh.offer.take()), Session::default()],
            held: false,
            holds_in_script: 0,
            stop_owed: false,
            prompts_held: 0,
            asked_after_hold: false,
        });
        let asked = (fresh.remote, fresh.branch.clone());
        let twice = self.by_caller.insert(fresh.call_id.clone(), index);
        if let Some(asked) = self.asked.get_mut(&asked) {
            asked.call = Some(index);
            let (call, now) = (&mut self.calls[index], self.now);
            call.final_status = asked.final_status.map(|status| (status, now));
            call.first_ring = asked.final_status.map(|_| now);
        }
        if let Some(key) = key {
            self.by_key.insert(key, index);
        }
        self.check(twice.is_none(), "one INVITE, two calls");
    }

    fn on_listen(&mut self, key: CallKey) {
        let now = self.now;
        let Some(&index) = self.by_key.get(&key) else {
            return self.fault("Listen for no call");
        };
        let profile = self.config.hotlines[self.calls[index].hotline]
            .profile
            .clone();
        let call = &mut self.calls[index];
        call.listening = true;
        let person = call.attempts.last().is_some_and(|last| last.is_person);
        call.script = person.then(|| Script::new(&profile, now));
        let answered = call.is_answered();
        self.check(answered, "listens before the answer");
    }

    fn on_play(&mut self, key: CallKey, name: &str) {
        let now = self.now;
        let Some(&index) = self.by_key.get(&key) else {
            return self.fault("a prompt for no call");
        };
        let call = &mut self.calls[index];
        let Some(script) = call.script.as_mut().filter(|_| call.listening) else {
            return self.fault("a prompt where no person answered");
        };
        let (right, due) = (script.next_prompt() == name, script.due());
        let held = call.held;
        call.asked_after_hold |= call.holds_in_script > 0;
        let (spoke, over) = (script.spoke || call.first_speech.is_some(), script.over);
        script.on_asked();
        self.check(!held, "a prompt while one of the two is on hold");
        self.check(!spoke, "a prompt after the caller's speech was told");
        self.check(spoke || !over, "a prompt after one was refused or stopped");
        let in_time = due.is_some_and(|due| now >= due);
        self.check(over || in_time, "a prompt before it was due");
        self.check(right, "the wrong prompt");
    }

    fn on_record(&mut self, record: &EndedCall) {
        let by_id = |call: &Seen| call.id.as_ref() == Some(&record.id);
        let found = self.calls.iter().position(by_id);
        // A call without any INVITE to a target is named by its own INVITE, which is being handled.
        let fresh = self.fresh.is_some() && found.is_none();
        let opened = self
            .calls
            .last()
            .is_some_and(|last| last.offered_at == self.now);
        let index = match (found, fresh) {
            (Some(index), _) => index,
            (None, true) => {
                if !opened {
                    self.begin(None, [0, 0]);
                }
                self.calls.len().wrapping_sub(1)
            }
            (None, false) => return self.fault("a record of no call"),
        };
        if index >= self.calls.len() {
            return;
        }
        if self.calls[index].record.is_some() {
            return self.fault("a second record of a call");
        }
        if self.calls[index].over.is_none() {
            self.on_over(index);
        }
        self.check_end(index, record);
        self.calls[index].record = Some(record.clone());
        if self.calls[index].key.is_none() {
            self.calls[index].closed = true;
        }
    }

    fn on_over(&mut self, index: usize) {
        if self.shutting_down {
            self.settle(index, AttemptOutcome::Cancelled);
        }
        self.calls[index].over = Some(self.now);
        self.calls[index].rest_is_down = self.rest_is_down(&self.calls[index]);
    }

    /// Whether no target is left to be tried: those behind the last one may be passed over now.
    fn rest_is_down(&self, call: &Seen) -> bool {
        let hotline = &self.config.hotlines[call.hotline];
        let first = call.attempts.last().map_or(0, |last| last.target + 1);
        (first..hotline.targets.len()).all(|at| self.may_pass_over(hotline, at))
    }

    /// When and by whom: a peer's act ends the call at once; else it must be our own turn to end it.
    fn check_end(&mut self, index: usize, record: &EndedCall) {
        let call = &self.calls[index];
        let now = call.over.unwrap_or(self.now);
        let at_once = record.ended_at == now && call.ended.is_none_or(|(at, _)| at == now);
        let unacked = call.acked.is_none()
            && call
                .final_status
                .is_some_and(|(status, at)| status == 200 && now >= at + GIVE_UP);
        let script_over = call
            .script
            .as_ref()
            .and_then(Script::hang_up_due)
            .is_some_and(|due| now >= due);
        let right = match (call.ended, record.ended_by) {
            (Some((_, by)), said) => by == said,
            (None, EndedBy::Unknown) => unacked || self.is_lost(index),
            (None, EndedBy::Qingjiang) => self.shutting_down || !call.is_answered() || script_over,
            (None, _) => false,
        };
        self.check(at_once, "a call did not end when a peer ended it");
        let by = record.ended_by;
        self.check(right, format!("ended by {by:?}, which nobody saw"));
        self.check_refusal(index);
    }

    /// Only when all targets were tried is the caller refused, and the last result decides (contract, "Refusals").
    fn check_refusal(&mut self, index: usize) {
        let call = &self.calls[index];
        let decided = call.ended.is_some() || call.is_answered() || call.key.is_none();
        if decided || self.shutting_down {
            return;
        }
        let all = call.rest_is_down;
        let over = call.attempts.iter().all(|attempt| !attempt.is_open());
        let last = call.attempts.last().map(|last| last.status_for_caller);
        let right = call.final_status.map(|(status, _)| status) == last;
        self.check(all && over, "refused while a target was left");
        self.check(right, "the last result does not decide");
    }
}
