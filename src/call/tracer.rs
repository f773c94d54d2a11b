//! Which call a SIP message belongs to, for those who watch: ladders and HEP.
//!
//! Every message that comes in or goes out is handed on with its call, if it has one: known by the Call-IDs of the caller's INVITE and of
//! each request that the call sent (RFC 3261 §12: a dialog, and all transactions of one request, share it). An INVITE that
//! never became a call gets a name too, so that a refusal can be looked into. It changes nothing of what a call does, and does
//! nothing at all where nobody watches.

use crate::base::ids::{CallKey, Leg};
use crate::base::limits::TRACE_PARTED_MAX;
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::hotline::figures::Direction;
use crate::sip::transaction::Path;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// So long after a call is over its late messages are still known as its own: the longest transaction and a little.
const PARTED_FOR: Duration = Duration::from_secs(40);

/// A SIP message that came in or went out.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    /// When it was read, or handed to the socket.
    pub at: Instant,
    /// Which way.
    pub direction: Direction,
    /// Which of our sockets, and who is at the other end.
    pub path: Path,
    /// Its Call-ID; empty where it has none.
    pub call_id: String,
    /// Its call.
    pub call: Option<Membership>,
    /// As it was on the wire.
    pub bytes: Vec<u8>,
}

/// What a message is to its call.
#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    /// The call's public id.
    pub id: Arc<str>,
    /// The leg.
    pub leg: Leg,
    /// The INVITE was refused without becoming a call: there is no record of it.
    pub is_refused: bool,
    /// The first message of the call.
    pub begins: bool,
    /// What was refused before under this Call-ID, and belongs to this call: an INVITE that was challenged.
    pub continues: Option<Arc<str>>,
}

/// Knows the calls by their Call-IDs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tracer {
    is_on: bool,
    /// Makes names for what never became a call.
    key: u64,
    now: Instant,
    known: BTreeMap<String, Known>,
    calls: BTreeMap<CallKey, Live>,
    /// Call-IDs of what is over, the oldest first, and until when they are known.
    parted: VecDeque<(Instant, String)>,
    #[serde(skip)]
    outbox: VecDeque<Traced>,
}

/// Whose a Call-ID is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    id: Arc<str>,
    /// `None`: never a call.
    call: Option<CallKey>,
    leg: Leg,
    is_refused: bool,
    is_begun: bool,
    continues: Option<Arc<str>>,
    /// When it is forgotten; `None` while its call lives.
    until: Option<Instant>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Live {
    id: Arc<str>,
    call_ids: Vec<String>,
}

impl Tracer {
    /// One that watches, or does nothing.
    pub fn new(is_on: bool, key: u64) -> Tracer {
        Tracer {
            is_on,
            key,
            now: Instant::ZERO,
            known: BTreeMap::new(),
            calls: BTreeMap::new(),
            parted: VecDeque::new(),
            outbox: VecDeque::new(),
        }
    }

    /// Whether anybody watches.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Another input begins. What nobody took of the last one is gone: who does not watch need not empty anything.
    pub fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        self.outbox.clear();
        let is_due = |parted: &VecDeque<(Instant, String)>| {
            parted.front().is_some_and(|(until, _)| *until <= now)
        };
        while is_due(&self.parted) {
            self.forget_oldest();
        }
    }

    /// Takes the next message, in the order in which they came and went.
    pub fn poll(&mut self) -> Option<Traced> {
        self.outbox.pop_front()
    }

    /// The INVITE with this Call-ID became a call.
    pub fn begin_call(&mut self, call: CallKey, call_id: &str, id: &str) {
        if !self.is_on {
            return;
        }
        let id: Arc<str> = Arc::from(id);
        let earlier = self.known.get(call_id).filter(|known| known.is_refused);
        let known = Known {
            id: Arc::clone(&id),
            call: Some(call),
            leg: Leg::Caller,
            is_refused: false,
            is_begun: false,
            continues: earlier.map(|known| Arc::clone(&known.id)),
            until: None,
        };
        self.known.insert(call_id.to_owned(), known);
        let call_ids = vec![call_id.to_owned()];
        self.calls.insert(call, Live { id, call_ids });
    }

    /// The INVITE with this Call-ID was turned away, and has a record under this id.
    pub fn turn_away(&mut self, call_id: &str, id: &str) {
        self.note_over(call_id, Arc::from(id), false);
    }

    /// A call sends a request with this Call-ID.
    pub fn join(&mut self, call: CallKey, call_id: &str) {
        if !self.is_on || self.known.contains_key(call_id) {
            return;
        }
        if let Some(live) = self.calls.get_mut(&call) {
            live.call_ids.push(call_id.to_owned());
            let known = Known {
                id: Arc::clone(&live.id),
                call: Some(call),
                leg: Leg::Agent,
                is_refused: false,
                is_begun: true,
                continues: None,
                until: None,
            };
            self.known.insert(call_id.to_owned(), known);
        }
    }

    /// A call is over: its Call-IDs are known for a little while yet.
    pub fn part(&mut self, call: CallKey) {
        for call_id in self
            .calls
            .remove(&call)
            .into_iter()
            .flat_map(|live| live.call_ids)
        {
            let is_its = |known: &Known| known.call == Some(call);
            if self.known.get(&call_id).is_some_and(is_its) {
                self.remember(call_id);
            }
        }
    }

    /// A message came in; `opens`: an INVITE outside of a dialog. To be told when it has been dealt with.
    pub fn came(&mut self, path: Path, call_id: String, opens: bool, bytes: Vec<u8>) {
        if opens && !call_id.is_empty() && !self.known.contains_key(&call_id) {
            let at = self.now.as_nanos().to_string();
            let id = Random::token_of(self.key, &[&call_id, &at]);
            self.note_over(&call_id, Arc::from(id), true);
        }
        self.hand_on(Direction::In, path, call_id, bytes);
    }

    /// A message goes out.
    pub fn goes(&mut self, path: Path, bytes: &[u8]) {
        if self.is_on {
            let call_id = call_id_of(bytes).unwrap_or_default().to_owned();
            self.hand_on(Direction::Out, path, call_id, bytes.to_vec());
        }
    }

    fn hand_on(&mut self, direction: Direction, path: Path, call_id: String, bytes: Vec<u8>) {
        let call = self.known.get_mut(&call_id).map(|known| Membership {
            id: Arc::clone(&known.id),
            leg: known.leg,
            is_refused: known.is_refused,
            begins: !std::mem::replace(&mut known.is_begun, true),
            continues: known.continues.take(),
        });
        self.outbox.push_back(Traced {
            at: self.now,
            direction,
            path,
            call_id,
            call,
            bytes,
        });
    }

    fn note_over(&mut self, call_id: &str, id: Arc<str>, is_refused: bool) {
        if !self.is_on {
            return;
        }
        let known = Known {
            id,
            call: None,
            leg: Leg::Caller,
            is_refused,
            is_begun: false,
            continues: None,
            until: None,
        };
        self.known.insert(call_id.to_owned(), known);
        self.remember(call_id.to_owned());
    }

    fn remember(&mut self, call_id: String) {
        let until = self.now + PARTED_FOR;
        if let Some(known) = self.known.get_mut(&call_id) {
            known.until = Some(until);
        }
        self.parted.push_back((until, call_id));
        if self.parted.len() > TRACE_PARTED_MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((until, call_id)) = self.parted.pop_front() else {
            return;
        };
        // It may be a live call's again, or be known for longer by now.
        if self
            .known
            .get(&call_id)
            .is_some_and(|known| known.until == Some(until))
        {
            self.known.remove(&call_id);
        }
    }
}

/// The Call-ID of a message of ours, which has the header in its long form, unfolded.
fn call_id_of(bytes: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"call-id:";
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let line = lines
        .by_ref()
        .take_while(|line| !matches!(line, [] | [b'\r']))
        .find(|line| {
            line.get(..NAME.len())
                .is_some_and(|name| name.eq_ignore_ascii_case(NAME))
        })?;
    Some(std::str::from_utf8(&line[NAME.len()..]).ok()?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> Path {
        Path::udp(0, "192.0.2.9:5060".parse().expect("an address"))
    }

    fn message(call_id: &str) -> Vec<u8> {
        format!("BYE sip:a SIP/2.0\r\nVia: x\r\nCall-ID: {call_id}\r\n\r\nCall-ID: body")
            .into_bytes()
    }

    /// One message out, and the call that it is said to belong to.
    fn sent(tracer: &mut Tracer, now: Instant, call_id: &str) -> Option<Membership> {
        tracer.begin_turn(now);
        tracer.goes(path(), &message(call_id));
        let traced = tracer.poll().expect("a message");
        assert_eq!(traced.call_id, call_id);
        traced.call
    }

    #[test]
    fn both_legs_are_one_call_and_are_known_a_little_longer_than_it_lives() {
        let mut tracer = Tracer::new(true, 1);
        let (call, start) = (CallKey(1), Instant::from_millis(5));
        tracer.begin_turn(start);
        tracer.begin_call(call, "a", "id");
        tracer.join(call, "b");
        let first = sent(&mut tracer, start, "a").expect("a call");
        assert!(first.begins && first.leg == Leg::Caller && &*first.id == "id");
        let second = sent(&mut tracer, start, "b").expect("a call");
        assert!(!second.begins && second.leg == Leg::Agent && &*second.id == "id");
        assert_eq!(sent(&mut tracer, start, "c"), None);
        tracer.part(call);
        assert!(sent(&mut tracer, start + PARTED_FOR / 2, "b").is_some());
        assert_eq!(sent(&mut tracer, start + PARTED_FOR, "a"), None);
        assert_eq!((tracer.known.len(), tracer.parted.len()), (0, 0));
    }

    #[test]
    fn what_was_refused_has_a_name_and_a_later_call_of_the_same_call_id_goes_on_with_it() {
        let mut tracer = Tracer::new(true, 1);
        let came = |tracer: &mut Tracer| {
            tracer.came(path(), "a".to_owned(), true, message("a"));
            tracer
                .poll()
                .and_then(|traced| traced.call)
                .expect("a call")
        };
        tracer.begin_turn(Instant::ZERO);
        let refused = came(&mut tracer);
        assert!(refused.is_refused && refused.begins);
        assert!(!came(&mut tracer).begins, "its repetition");
        tracer.begin_call(CallKey(1), "a", "id");
        let call = came(&mut tracer);
        assert!(call.begins && !call.is_refused);
        assert_eq!(call.continues, Some(refused.id));
    }

    #[test]
    fn a_flood_of_refused_invites_does_not_fill_the_memory() {
        let mut tracer = Tracer::new(true, 1);
        for number in 0..=TRACE_PARTED_MAX {
            tracer.begin_turn(Instant::ZERO);
            tracer.came(path(), number.to_string(), true, Vec::new());
        }
        assert_eq!(tracer.known.len(), TRACE_PARTED_MAX);
        assert_eq!(tracer.outbox.len(), 1, "what nobody took is gone");
    }

    #[test]
    fn who_is_off_keeps_nothing() {
        let mut tracer = Tracer::new(false, 1);
        tracer.begin_call(CallKey(1), "a", "id");
        tracer.join(CallKey(1), "b");
        tracer.goes(path(), &message("a"));
        tracer.turn_away("c", "x");
        assert!(tracer.poll().is_none());
        assert!(tracer.known.is_empty() && tracer.calls.is_empty() && tracer.parted.is_empty());
    }
}
