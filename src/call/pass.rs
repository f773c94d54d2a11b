//! Requests of one leg that the other one answers: INFO (RFC 6086), as keys are sent by phones without RFC 4733.
//!
//! Decides what of such a request crosses over, and what its answer is. Source: RFC 6086 §4.2, §5; RFC 3261 §12.2.

use super::change::Asked;
use super::desk::Desk;
use super::{Call, Phase};
use crate::base::ids::Leg;
use crate::base::time::Instant;
use crate::hotline::record::EndedBy;
use crate::sip::dialog::answer;
use crate::sip::transaction::TxId;
use crate::sip::wire::{Message, Method};
use serde::{Deserialize, Serialize};

/// Such requests that may wait for their answers at once, of one call; one more gets 500 and may come again.
const PASSING_MAX: usize = 8;

/// What of an INFO is the sender's word to the other end.
const HEADERS: [&str; 3] = ["Info-Package", "Content-Type", "Content-Disposition"];

/// A request that waits for the other leg's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Passing {
    asked: Asked,
    /// Ours to the other leg.
    tx: TxId,
}

impl Call {
    /// An INFO, in order and of this dialog.
    pub(super) fn on_info(&mut self, desk: &mut Desk, now: Instant, asked: Asked) {
        let other = asked.leg.other();
        let may = matches!(self.phase, Phase::Talking(_))
            && self.is_free(other)
            && self.passing.len() < PASSING_MAX;
        let dialog = self.dialog_of(other).filter(|_| may);
        let Some(dialog) = dialog else {
            return self.answer_passed(desk, now, &asked, 500);
        };
        let (mut request, path) = (dialog.request(Method::Info), dialog.path());
        for name in HEADERS {
            for value in asked.request.headers.all(name) {
                request.headers.push(name, value);
            }
        }
        request.body = asked.request.body.clone();
        match desk.request(now, self.key, path, request) {
            Some(tx) => self.passing.push(Passing { asked, tx }),
            None => self.answer_passed(desk, now, &asked, 500),
        }
    }

    fn answer_passed(&self, desk: &mut Desk, now: Instant, asked: &Asked, status: u16) {
        let response = answer(&asked.request, status, "");
        desk.respond(now, asked.tx, response);
    }

    /// The other leg has answered, or never will (408).
    pub(super) fn on_passed_answer(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        tx: TxId,
        status: u16,
    ) {
        if status < 200 {
            return;
        }
        let Some(place) = self.passing.iter().position(|one| one.tx == tx) else {
            return;
        };
        let Passing { asked, .. } = self.passing.remove(place);
        let told = match status {
            // A challenge or redirection of one dialog is none of the other's.
            300..=399 | 401 | 407 | 503 => 500,
            status => status,
        };
        self.answer_passed(desk, now, &asked, told);
        if status == 481 {
            let by = match asked.leg.other() {
                Leg::Caller => EndedBy::Caller,
                Leg::Agent => EndedBy::Agent,
            };
            self.hang_up(desk, now, by);
        }
    }

    /// The call ends: nobody will answer any more (RFC 3261 §15.1.2).
    pub(super) fn end_passing(&mut self, desk: &mut Desk, now: Instant) {
        for Passing { asked, .. } in std::mem::take(&mut self.passing) {
            self.answer_passed(desk, now, &asked, 487);
        }
    }

    /// Whether a response is about something that is passed on.
    pub(super) fn is_passing(&self, response: &Message) -> bool {
        response
            .cseq()
            .is_ok_and(|cseq| cseq.method == Method::Info)
    }
}
