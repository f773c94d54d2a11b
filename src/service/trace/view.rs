//! A ladder as JSON: what `/api/v1/calls/{id}/trace` answers and `qingjiang trace` reads.

use super::Ladders;
use crate::base::ids::Leg;
use crate::call::tracer::Traced;
use crate::engine::trace::Ladder;
use crate::engine::trace::mask::masked;
use crate::hotline::figures::Direction;
use crate::hotline::record::{Stamp, WallClock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A ladder to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceView {
    /// The call's id, as in its record.
    pub id: String,
    /// The INVITE was refused without becoming a call: there is no record of it.
    pub refused: bool,
    /// Whether numbers, names and addresses in SDP are masked.
    pub masked: bool,
    /// When its first message came.
    pub began_at: Stamp,
    /// Messages that were left out of the middle of a long call.
    pub left_out: u64,
    /// In the order in which they came and went.
    pub messages: Vec<MessageView>,
}

/// A message to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageView {
    /// When it came or went.
    pub at: Stamp,
    /// Microseconds since the call's first message.
    pub offset_us: u64,
    /// As seen from us.
    pub direction: Way,
    /// The leg.
    pub leg: Leg,
    /// Our socket.
    pub listener: String,
    /// Who sent it, or got it.
    pub peer: String,
    /// A request's method; of a response the status with its reason.
    pub what: String,
    /// Number and method.
    pub cseq: String,
    /// Its Call-ID.
    pub call_id: String,
    /// The same bytes went the same way before.
    pub again: bool,
    /// The whole of it, masked.
    pub text: String,
}

/// Received or sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// One line of the list of ladders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// The call's id, as in its record.
    pub id: String,
    /// It never became a call.
    pub refused: bool,
    /// When its first message came.
    pub began_at: Stamp,
    /// How many messages are kept.
    pub messages: usize,
    /// The final response that its INVITE got, if it has one yet.
    pub final_status: Option<u16>,
}

impl Ladders {
    /// A ladder for readers.
    pub fn view(&self, ladder: &Ladder, wall: WallClock) -> TraceView {
        let first = ladder.messages.first().map(|message| message.at);
        let first = first.unwrap_or_default();
        let mut seen = BTreeSet::new();
        let view = |message: &std::sync::Arc<Traced>| {
            let is_in = message.direction == Direction::In;
            let key = (is_in, message.path.remote, message.bytes.clone());
            let (what, cseq) = brief(&message.bytes);
            let listener = self.listeners.get(usize::from(message.path.listener));
            MessageView {
                at: wall.stamp(message.at),
                offset_us: message.at.since(first).as_micros() as u64,
                direction: if is_in { Way::In } else { Way::Out },
                leg: message.call.as_ref().map_or(Leg::Caller, |call| call.leg),
                listener: listener.map_or_else(String::new, |bound| {
                    format!("{}:{bound}", message.path.transport.name())
                }),
                peer: message.path.remote.to_string(),
                what,
                cseq,
                call_id: message.call_id.clone(),
                again: !seen.insert(key),
                text: masked(&message.bytes, self.mask),
            }
        };
        TraceView {
            id: ladder.id.to_string(),
            refused: ladder.is_refused,
            masked: self.mask,
            began_at: wall.stamp(first),
            left_out: ladder.left_out.map_or(0, |(_, count)| count),
            messages: ladder.messages.iter().map(view).collect(),
        }
    }

    /// The newest ladders, a line each.
    pub fn list(&self, most: usize, wall: WallClock) -> Vec<TraceSummary> {
        let summary = |ladder: Ladder| TraceSummary {
            id: ladder.id.to_string(),
            refused: ladder.is_refused,
            began_at: wall.stamp(
                ladder
                    .messages
                    .first()
                    .map_or_else(Default::default, |one| one.at),
            ),
            messages: ladder.messages.len(),
            final_status: ladder
                .messages
                .iter()
                .rev()
                .find_map(|one| final_status(one)),
        };
        self.newest(most).into_iter().map(summary).collect()
    }
}

/// What we answered to the caller's INVITE, if it was our last word.
fn final_status(message: &Traced) -> Option<u16> {
    let leg = message.call.as_ref()?.leg;
    let (what, cseq) = brief(&message.bytes);
    let is_ours = message.direction == Direction::Out && leg == Leg::Caller;
    let status: u16 = what.split(' ').next()?.parse().ok()?;
    (is_ours && status >= 200 && cseq.ends_with(" INVITE")).then_some(status)
}

/// Method, or status and reason; and the CSeq. Read from the lines, for a broken message too.
fn brief(bytes: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(bytes);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines = head.lines();
    let start = lines.next().unwrap_or_default();
    let what = match start.strip_prefix("SIP/2.0 ") {
        Some(status) => status,
        None => start.split(' ').next().unwrap_or_default(),
    };
    let is_cseq = |line: &&str| {
        line.get(..5)
            .is_some_and(|name| name.eq_ignore_ascii_case("cseq:"))
    };
    let cseq = lines.find(is_cseq).map_or("", |line| line[5..].trim());
    (what.trim().to_owned(), cseq.to_owned())
}
