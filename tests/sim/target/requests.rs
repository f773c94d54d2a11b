//! What a target asks inside its dialogs: BYE, changes of the session, and what nobody expects.

use super::{State, Target};
use crate::net::Repeat;
use crate::reinvite::{Changes, Line, Own, Timer};
use crate::says::{Head, Stray, Turn, Wake, audio_of, cseq_of, header, request, uri_in};
use qingjiang::base::time::Instant;

impl Target {
    pub(super) fn change(
        &mut self,
        now: Instant,
        turn: &mut Turn,
        index: usize,
        fork: usize,
        timer: Timer,
    ) {
        if self.served[index].vanished {
            return;
        }
        let one = self.fork(index, fork);
        one.changes.on_wake(now, turn, timer, &mut one.cseq);
        if std::mem::take(&mut one.changes.wants_bye) {
            self.hang_up(now, turn, index, fork);
        }
    }

    /// From its 200 on the session may change.
    pub(super) fn begin_changes(
        &mut self,
        now: Instant,
        turn: &mut Turn,
        (index, fork): (usize, usize),
        body: &[u8],
    ) -> Changes {
        let call = &self.served[index];
        let line = Line {
            place: (index, fork),
            address: self.address,
            from: format!(
                "{};tag={}",
                header(&call.invite, "To"),
                self.tag(index, fork)
            ),
            to: header(&call.invite, "From").to_owned(),
            call_id: call.invite.call_id().to_owned(),
            contact: format!("<sip:desk@{}>", self.address),
        };
        let told = audio_of(body).filter(|(port, _)| *port > 0);
        let (port, formats) = told.unwrap_or((50_000, vec!["8".to_owned()]));
        let own = Own {
            version: 1,
            port,
            formats: formats.join(" "),
            direction: "sendrecv",
        };
        for after in &call.manner.changes {
            let wake = Wake::Change(index, fork, Timer::Ask);
            turn.wake.push((now + *after, wake));
        }
        let cseq = cseq_of(&call.invite).0;
        Changes::new(line, own, cseq, self.chance.branch_off())
    }

    pub(super) fn hang_up(&mut self, now: Instant, turn: &mut Turn, index: usize, fork: usize) {
        if !self.served[index].vanished && self.fork(index, fork).state == State::Up {
            self.fork(index, fork).state = State::ByeSent;
            self.bye(now, turn, index, fork);
        }
    }

    pub(super) fn bye(&mut self, now: Instant, turn: &mut Turn, index: usize, fork: usize) {
        self.fork(index, fork).changes.end(now, turn);
        let cseq = self.next_cseq(index, fork);
        self.ask(now, turn, (index, fork), "BYE", cseq, None);
    }

    fn next_cseq(&mut self, index: usize, fork: usize) -> u32 {
        let one = self.fork(index, fork);
        one.cseq += 1;
        one.cseq
    }

    pub(super) fn stray(&mut self, now: Instant, turn: &mut Turn, index: usize) {
        let call = &self.served[index];
        let Some((fork, _)) = call.forks.iter().find(|(_, fork)| fork.state == State::Up) else {
            return;
        };
        let (fork, stray) = (*fork, call.manner.strays[0].1);
        if call.vanished {
            return;
        }
        // A CSeq is old only when a newer one was seen.
        if stray == Stray::OldBye {
            let newer = self.next_cseq(index, fork);
            let options = Stray::Options;
            self.ask(now, turn, (index, fork), "OPTIONS", newer, Some(options));
        }
        let cseq = match stray {
            Stray::OldBye => 1,
            _ => self.next_cseq(index, fork),
        };
        self.ask(now, turn, (index, fork), stray.method(), cseq, Some(stray));
    }

    /// Sends a request in one of its dialogs.
    fn ask(
        &mut self,
        now: Instant,
        turn: &mut Turn,
        (index, fork): (usize, usize),
        method: &str,
        cseq: u32,
        stray: Option<Stray>,
    ) {
        self.branches += 1;
        let branch = format!("z9hG4bKtarget{}-{}", self.address.ip(), self.branches);
        let call = &self.served[index];
        let tag = match stray {
            Some(Stray::ForeignBye) => "nobody",
            _ => &call.forks[&fork].tag,
        };
        let from = format!("{};tag={tag}", header(&call.invite, "To"));
        let message = request(&Head {
            method,
            uri: uri_in(header(&call.invite, "Contact")),
            source: self.address,
            branch: &branch,
            from: &from,
            to: header(&call.invite, "From"),
            call_id: call.invite.call_id(),
            cseq,
        });
        let repeat = Repeat::other(now, message.to_bytes());
        let id = self.repeats.start(now, turn, repeat);
        self.asked.insert(branch, (index, fork, stray, id));
    }
}
