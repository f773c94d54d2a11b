//! An INVITE of ours until its final response.
//!
//! Decides when it may be cancelled; never whether. Source: RFC 3261 §9.1.

use super::transaction::{Transactions, TxId};
use crate::base::time::Instant;
use serde::{Deserialize, Serialize};

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inviting {
    /// Nothing came back.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// Given up; the CANCEL waits for a provisional response.
    CancelWanted,
    /// Given up and cancelled; its final response is awaited.
    Cancelled,
}

impl Inviting {
    /// Whether it was given up.
    pub fn is_given_up(self) -> bool {
        matches!(self, Inviting::CancelWanted | Inviting::Cancelled)
    }

    /// Gives up: CANCEL at once, or as soon as a provisional response allows it.
    pub fn give_up(&mut self, transactions: &mut Transactions, now: Instant, invite: TxId) {
        match self {
            Inviting::Calling => *self = Inviting::CancelWanted,
            Inviting::Proceeding => {
                transactions.cancel(now, invite);
                *self = Inviting::Cancelled;
            }
            Inviting::CancelWanted | Inviting::Cancelled => {}
        }
    }

    /// 100 to 199 came; a CANCEL that waited for it goes out.
    pub fn on_provisional(&mut self, transactions: &mut Transactions, now: Instant, invite: TxId) {
        match self {
            Inviting::Calling => *self = Inviting::Proceeding,
            Inviting::CancelWanted => {
                transactions.cancel(now, invite);
                *self = Inviting::Cancelled;
            }
            Inviting::Proceeding | Inviting::Cancelled => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transaction::Path;
    use crate::sip::wire::{Message, parse_datagram};

    fn invite() -> Message {
        let text = "INVITE sip:1@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
            From: <sip:a@192.0.2.1>;tag=x\r\nTo: <sip:1@192.0.2.9>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
            Content-Length: 0\r\n\r\n";
        parse_datagram(text.as_bytes()).expect("a valid INVITE")
    }

    /// How many CANCELs went out.
    fn cancels(transactions: &mut Transactions) -> usize {
        std::iter::from_fn(|| transactions.poll_send())
            .filter(|datagram| datagram.bytes.starts_with(b"CANCEL "))
            .count()
    }

    #[test]
    fn a_cancel_waits_for_a_provisional_response_and_goes_out_once() {
        for ringing_first in [false, true] {
            let (now, mut all) = (Instant::from_millis(1), Transactions::default());
            let remote = "192.0.2.9:5060".parse().expect("an address");
            let path = Path::udp(0, remote);
            let tx = all.request(now, path, invite()).expect("a transaction");
            let mut inviting = Inviting::Calling;
            let ring = |all: &mut Transactions, inviting: &mut Inviting| {
                all.on_message(now, path, invite().reply(180, None))
                    .expect("a response");
                inviting.on_provisional(all, now, tx);
            };
            if ringing_first {
                ring(&mut all, &mut inviting);
            }
            assert!(!inviting.is_given_up());
            inviting.give_up(&mut all, now, tx);
            assert_eq!(cancels(&mut all), usize::from(ringing_first));
            ring(&mut all, &mut inviting);
            assert_eq!(cancels(&mut all), usize::from(!ringing_first));
            ring(&mut all, &mut inviting);
            inviting.give_up(&mut all, now, tx);
            assert_eq!(cancels(&mut all), 0);
            assert_eq!(inviting, Inviting::Cancelled);
        }
    }
}
