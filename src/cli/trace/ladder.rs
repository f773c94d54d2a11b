//! A ladder as text: the caller on the left, we in the middle, the target on the right.

use crate::base::ids::Leg;
use crate::cli::calls::layout::{aligned, local, printable};
use crate::service::trace::view::{MessageView, TraceSummary, TraceView, Way};
use jiff::tz::TimeZone;
use std::collections::BTreeSet;

/// Characters between two columns.
const GAP: usize = 34;

/// The width of the column of times.
const TIME: usize = 12;

/// The three columns, with who is at each end.
pub(super) fn ladder(trace: &TraceView) -> String {
    let peers = |leg: Leg| {
        let of_leg = trace.messages.iter().filter(|message| message.leg == leg);
        let peers: BTreeSet<&str> = of_leg.map(|message| message.peer.as_str()).collect();
        printable(&peers.into_iter().collect::<Vec<_>>().join(", "))
    };
    let kind = if trace.refused {
        "Refused INVITE"
    } else {
        "Call"
    };
    let mut text = format!("{kind} {}, {}\n", printable(&trace.id), trace.began_at);
    text += &format!(
        "caller: {}   target: {}\n\n",
        peers(Leg::Caller),
        peers(Leg::Agent)
    );
    let side = GAP - 4;
    text += &format!(
        "{:TIME$}{:<side$}{:^11}{:>side$}\n",
        "", "caller", "qingjiang", "target"
    );
    let gap = (trace.left_out > 0).then_some(trace.messages.len() / 2);
    let several = trace.messages.iter().filter(|one| one.leg == Leg::Agent);
    let several: BTreeSet<&str> = several.map(|one| one.peer.as_str()).collect();
    for (place, message) in trace.messages.iter().enumerate() {
        if gap == Some(place) {
            text += &format!("{:TIME$}… {} messages left out …\n", "", trace.left_out);
        }
        let mut line = rung(message);
        if several.len() > 1 && message.leg == Leg::Agent {
            line += &format!("  {}", printable(&message.peer));
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// One line: the time since the first message, and an arrow.
fn rung(message: &MessageView) -> String {
    let micros = message.offset_us;
    let time = format!("{}.{:03}s", micros / 1_000_000, micros / 1_000 % 1_000);
    let again = if message.again { " (again)" } else { "" };
    let label = format!("{}{again}", label(message));
    let to_right = (message.leg == Leg::Caller) == (message.direction == Way::In);
    let arrow = arrow(&label, to_right);
    let (left, right) = match message.leg {
        Leg::Caller => (arrow.as_str(), ""),
        Leg::Agent => ("", arrow.as_str()),
    };
    format!("{time:<TIME$}|{left:GAP$}|{right:GAP$}|")
}

/// `INVITE`; of a response the status with its reason, and the method that it answers where that is not INVITE.
fn label(message: &MessageView) -> String {
    let what = printable(&message.what);
    let method = message.cseq.rsplit(' ').next().unwrap_or_default();
    let is_response = what.starts_with(|first: char| first.is_ascii_digit());
    match is_response && method != "INVITE" {
        true => format!("{what} ({})", printable(method)),
        false => what,
    }
}

fn arrow(label: &str, to_right: bool) -> String {
    let most = GAP - 6;
    let label: String = label.chars().take(most).collect();
    let line = "-".repeat(GAP - 4 - label.chars().count());
    match to_right {
        true => format!(" {label} {line}> "),
        false => format!(" <{line} {label} "),
    }
}

/// All messages in full.
pub(super) fn messages(trace: &TraceView) -> String {
    let mut text = String::new();
    for message in &trace.messages {
        let (word, again) = match message.direction {
            Way::In => ("from", if message.again { ", again" } else { "" }),
            Way::Out => ("to", if message.again { ", again" } else { "" }),
        };
        let (listener, peer) = (printable(&message.listener), printable(&message.peer));
        text += &format!("\n── {} {word} {peer} by {listener}{again}\n", message.at);
        for line in message.text.lines() {
            text += &format!("{}\n", printable(line));
        }
    }
    text
}

/// The newest ladders.
pub(super) fn list(all: &[TraceSummary]) -> String {
    if all.is_empty() {
        return "No calls.\n".to_owned();
    }
    let zone = TimeZone::system();
    let head = ["TIME", "ID", "MESSAGES", "STATUS", ""].map(str::to_owned);
    let row = |one: &TraceSummary| {
        [
            local(one.began_at, &zone),
            printable(&one.id),
            one.messages.to_string(),
            one.final_status
                .map_or("-".to_owned(), |status| status.to_string()),
            if one.refused { "no call" } else { "" }.to_owned(),
        ]
    };
    let rows: Vec<[String; 5]> = [head].into_iter().chain(all.iter().map(row)).collect();
    aligned(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(offset_us: u64, direction: Way, leg: Leg, what: &str, cseq: &str) -> MessageView {
        MessageView {
            at: jiff::Timestamp::UNIX_EPOCH.into(),
            offset_us,
            direction,
            leg,
            listener: "udp:192.0.2.1:5060".into(),
            peer: if leg == Leg::Caller {
                "192.0.2.9:5060"
            } else {
                "192.0.2.5:5060"
            }
            .into(),
            what: what.into(),
            cseq: cseq.into(),
            call_id: "a".into(),
            again: offset_us == 500_000,
            text: format!("{what}\r\nX: \u{1b}[31m\r\n"),
        }
    }

    fn trace() -> TraceView {
        use Leg::{Agent, Caller};
        TraceView {
            id: "0123".into(),
            refused: false,
            masked: true,
            began_at: jiff::Timestamp::UNIX_EPOCH.into(),
            left_out: 0,
            messages: vec![
                message(0, Way::In, Caller, "INVITE", "1 INVITE"),
                message(412, Way::Out, Agent, "INVITE", "1 INVITE"),
                message(500_000, Way::Out, Agent, "INVITE", "1 INVITE"),
                message(1_234_567, Way::In, Agent, "200 OK", "1 INVITE"),
                message(61_000_000, Way::Out, Caller, "200 OK", "2 BYE"),
            ],
        }
    }

    #[test]
    fn a_ladder_has_three_columns_and_times_since_the_invite() {
        let expected = "\
Call 0123, 1970-01-01T00:00:00.000Z
caller: 192.0.2.9:5060   target: 192.0.2.5:5060

            caller                         qingjiang                         target
0.000s      | INVITE ------------------------> |                                  |
0.000s      |                                  | INVITE ------------------------> |
0.500s      |                                  | INVITE (again) ----------------> |
1.234s      |                                  | <------------------------ 200 OK |
61.000s     | <------------------ 200 OK (BYE) |                                  |
";
        assert_eq!(ladder(&trace()), expected);
    }

    #[test]
    fn messages_do_not_reach_the_terminal_as_they_came() {
        let text = messages(&trace());
        assert!(text.contains(
            "── 1970-01-01T00:00:00.000Z from 192.0.2.9:5060 by udp:192.0.2.1:5060\nINVITE\n"
        ));
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn what_was_left_out_of_the_middle_is_said() {
        let mut trace = trace();
        trace.left_out = 7;
        assert!(ladder(&trace).contains("… 7 messages left out …\n"));
    }
}
