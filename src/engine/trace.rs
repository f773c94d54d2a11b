//! The SIP messages of the newest calls, kept to be shown as ladders.
//!
//! Bounded by calls, by messages a call and by bytes in all ([`crate::base::limits`]); the oldest call goes first, and INVITEs that
//! never became a call push out no call. It keeps bytes as they came; what may be shown of them is decided in [`mask`].

pub mod mask;

use crate::base::limits::{TRACE_BYTES_MAX, TRACE_MESSAGES_MAX, TRACE_REFUSED_PERCENT};
use crate::call::tracer::{Membership, Traced};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a message takes besides its bytes.
const MESSAGE_BYTES: usize = 256;

/// How much may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ladders.
    pub ladders: usize,
    /// Messages of one ladder.
    pub messages: usize,
    /// Bytes of all ladders.
    pub bytes: usize,
}

impl Limits {
    /// So many ladders, within the limits of [`crate::base::limits`].
    pub fn ladders(ladders: usize) -> Limits {
        Limits {
            ladders,
            messages: TRACE_MESSAGES_MAX,
            bytes: TRACE_BYTES_MAX,
        }
    }
}

// One ladder of the longest messages fits.
const _: () = assert!(TRACE_MESSAGES_MAX * (MESSAGE_BYTES + 65_535) <= TRACE_BYTES_MAX);

/// The messages of one call.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// The call's public id.
    pub id: Arc<str>,
    /// It never became a call: there is no record of it.
    pub is_refused: bool,
    /// In the order in which they came and went.
    pub messages: Vec<Arc<Traced>>,
    /// Messages that are missing, all of them before the one at this place.
    pub left_out: Option<(usize, u64)>,
}

/// What was looked for.
#[derive(Debug)]
pub enum Found<'r> {
    /// This one.
    One(&'r Ladder),
    /// None is kept.
    Unknown,
    /// More than one.
    Ambiguous,
}

/// The ladders.
#[derive(Debug)]
pub struct Ring {
    limits: Limits,
    /// By the order in which they began.
    ladders: BTreeMap<u64, Ladder>,
    by_id: BTreeMap<Arc<str>, u64>,
    next: u64,
    refused: usize,
    bytes: usize,
}

impl Ring {
    /// An empty one.
    pub fn new(limits: Limits) -> Ring {
        Ring {
            limits,
            ladders: BTreeMap::new(),
            by_id: BTreeMap::new(),
            next: 0,
            refused: 0,
            bytes: 0,
        }
    }

    /// Ladders kept.
    pub fn len(&self) -> usize {
        self.ladders.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.ladders.is_empty()
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a message, if it belongs to a call: to one that is kept, or as its first.
    pub fn keep(&mut self, message: Arc<Traced>) {
        let Some(call) = &message.call else { return };
        if call.begins {
            self.begin(call);
        }
        let Some(place) = self.by_id.get(&call.id) else {
            return; // Its ladder had to go.
        };
        if let Some(ladder) = self.ladders.get_mut(place) {
            self.bytes += size(&message);
            ladder.messages.push(message);
            if ladder.messages.len() > self.limits.messages {
                self.bytes -= ladder.leave_out(self.limits.messages / 2);
            }
        }
        self.make_room();
    }

    fn begin(&mut self, call: &Membership) {
        let earlier = call.continues.as_ref().and_then(|id| self.remove_by_id(id));
        let (messages, left_out) =
            earlier.map_or_else(Default::default, |old| (old.messages, old.left_out));
        self.bytes += messages.iter().map(|message| size(message)).sum::<usize>();
        self.refused += usize::from(call.is_refused);
        self.next += 1;
        self.by_id.insert(Arc::clone(&call.id), self.next);
        let ladder = Ladder {
            id: Arc::clone(&call.id),
            is_refused: call.is_refused,
            messages,
            left_out,
        };
        self.ladders.insert(self.next, ladder);
    }

    fn make_room(&mut self) {
        let refused_max = (self.limits.ladders * TRACE_REFUSED_PERCENT).div_ceil(100);
        while self.refused > refused_max {
            self.remove_oldest(true);
        }
        while self.ladders.len() > self.limits.ladders {
            self.remove_oldest(false);
        }
        while self.bytes > self.limits.bytes && !self.ladders.is_empty() {
            self.remove_oldest(self.refused > 0);
        }
    }

    /// Removes the oldest ladder, or the oldest of what never became a call.
    fn remove_oldest(&mut self, refused: bool) {
        let mut ladders = self.ladders.values();
        let oldest = ladders.find(|ladder| ladder.is_refused || !refused);
        if let Some(id) = oldest.map(|ladder| Arc::clone(&ladder.id)) {
            self.remove_by_id(&id);
        }
    }

    fn remove_by_id(&mut self, id: &str) -> Option<Ladder> {
        let ladder = self.ladders.remove(&self.by_id.remove(id)?)?;
        self.bytes -= ladder
            .messages
            .iter()
            .map(|message| size(message))
            .sum::<usize>();
        self.refused -= usize::from(ladder.is_refused);
        Some(ladder)
    }

    /// The ladder with this id, or the only one whose id begins with it, or else the newest with this Call-ID on one of its legs.
    pub fn find(&self, name: &str) -> Found<'_> {
        if name.is_empty() {
            return Found::Unknown;
        }
        let mut with_prefix = self
            .by_id
            .range::<str, _>((std::ops::Bound::Included(name), std::ops::Bound::Unbounded))
            .take_while(|(id, _)| id.starts_with(name))
            .filter_map(|(_, place)| self.ladders.get(place));
        match (with_prefix.next(), with_prefix.next()) {
            (Some(first), None) => Found::One(first),
            (Some(first), Some(_)) if &*first.id == name => Found::One(first),
            (Some(_), Some(_)) => Found::Ambiguous,
            (None, _) => self.find_call_id(name).map_or(Found::Unknown, Found::One),
        }
    }

    fn find_call_id(&self, call_id: &str) -> Option<&Ladder> {
        let has_it = |ladder: &&Ladder| ladder.messages.iter().any(|one| one.call_id == call_id);
        self.ladders.values().rev().find(has_it)
    }

    /// All of them, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Ladder> {
        self.ladders.values().rev()
    }
}

impl Ladder {
    /// Leaves out the message at this place; what it took is given back.
    fn leave_out(&mut self, place: usize) -> usize {
        let (_, count) = self.left_out.unwrap_or_default();
        self.left_out = Some((place, count + 1));
        size(&self.messages.remove(place))
    }
}

fn size(message: &Traced) -> usize {
    message.bytes.len() + MESSAGE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Leg;
    use crate::base::time::Instant;
    use crate::hotline::figures::Direction;
    use crate::sip::transaction::Path;

    const SMALL: Limits = Limits {
        ladders: 4,
        messages: 4,
        bytes: 100_000,
    };

    fn message(id: &str, is_refused: bool, begins: bool, text: &str) -> Arc<Traced> {
        Arc::new(Traced {
            at: Instant::ZERO,
            direction: Direction::In,
            path: Path::udp(0, "192.0.2.9:5060".parse().expect("an address")),
            call_id: format!("{id}@trunk"),
            call: Some(Membership {
                id: Arc::from(id),
                leg: Leg::Caller,
                is_refused,
                begins,
                continues: None,
            }),
            bytes: text.as_bytes().to_vec(),
        })
    }

    fn ids(ring: &Ring) -> Vec<&str> {
        ring.newest().map(|ladder| &*ladder.id).collect()
    }

    fn texts(ladder: &Ladder) -> Vec<String> {
        let text = |one: &Arc<Traced>| String::from_utf8_lossy(&one.bytes).into_owned();
        ladder.messages.iter().map(text).collect()
    }

    #[test]
    fn the_oldest_call_goes_first_and_does_not_come_back_in_part() {
        let mut ring = Ring::new(SMALL);
        for id in ["a", "b", "c", "d", "e"] {
            ring.keep(message(id, false, true, "INVITE"));
        }
        assert_eq!(ids(&ring), ["e", "d", "c", "b"]);
        ring.keep(message("a", false, false, "BYE"));
        assert_eq!(ids(&ring), ["e", "d", "c", "b"]);
        ring.keep(message("c", false, false, "BYE"));
        let Found::One(ladder) = ring.find("c") else {
            panic!("no c");
        };
        assert_eq!(texts(ladder), ["INVITE", "BYE"]);
    }

    #[test]
    fn refused_invites_push_out_no_call() {
        let mut ring = Ring::new(SMALL);
        ring.keep(message("call", false, true, "INVITE"));
        for number in 0..10 {
            ring.keep(message(&format!("refused{number}"), true, true, "INVITE"));
        }
        assert_eq!(ids(&ring), ["refused9", "call"]);
        assert_eq!(ring.refused, 1);
    }

    #[test]
    fn bytes_are_bounded_and_all_given_back() {
        let long = "x".repeat(40_000);
        let mut ring = Ring::new(SMALL);
        for id in ["a", "b", "c"] {
            ring.keep(message(id, false, true, &long));
            assert!(ring.bytes() <= SMALL.bytes);
        }
        assert_eq!(ids(&ring), ["c", "b"]);
        let small = Limits {
            bytes: 10_000,
            ..SMALL
        };
        let mut ring = Ring::new(small);
        ring.keep(message("a", true, true, &long));
        assert!(ring.is_empty());
        assert_eq!((ring.bytes(), ring.refused, ring.by_id.len()), (0, 0, 0));
    }

    #[test]
    fn of_a_long_call_the_beginning_and_the_end_are_kept() {
        let mut ring = Ring::new(SMALL);
        for number in 0..9 {
            ring.keep(message("a", false, number == 0, &number.to_string()));
        }
        let Found::One(ladder) = ring.find("a") else {
            panic!("no a");
        };
        assert_eq!(texts(ladder), ["0", "1", "7", "8"]);
        assert_eq!(ladder.left_out, Some((2, 5)));
        assert_eq!(ring.bytes(), 4 * (1 + MESSAGE_BYTES));
    }

    #[test]
    fn a_call_is_found_by_its_id_by_a_beginning_that_no_other_has_and_by_its_call_id() {
        let mut ring = Ring::new(SMALL);
        for id in ["abc", "abd", "ab"] {
            ring.keep(message(id, false, true, "INVITE"));
        }
        let found = |name: &str| match ring.find(name) {
            Found::One(ladder) => ladder.id.to_string(),
            Found::Unknown => "unknown".to_owned(),
            Found::Ambiguous => "ambiguous".to_owned(),
        };
        for (name, expected) in [
            ("abc", "abc"),
            ("ab", "ab"),
            ("a", "ambiguous"),
            ("abd@trunk", "abd"),
            ("b", "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(found(name), expected, "{name}");
        }
    }

    #[test]
    fn a_call_that_was_challenged_first_goes_on_with_the_refusal() {
        let mut ring = Ring::new(SMALL);
        ring.keep(message("refused", true, true, "INVITE 1"));
        let mut second = Arc::unwrap_or_clone(message("call", false, true, "INVITE 2"));
        let call = second.call.as_mut().expect("a call");
        call.continues = Some(Arc::from("refused"));
        ring.keep(Arc::new(second));
        assert_eq!(ids(&ring), ["call"]);
        let Found::One(ladder) = ring.find("call") else {
            panic!("no call");
        };
        assert_eq!(texts(ladder), ["INVITE 1", "INVITE 2"]);
        assert_eq!((ring.refused, ring.bytes()), (0, 16 + 2 * MESSAGE_BYTES));
    }
}
