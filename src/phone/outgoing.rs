//! A call of our own until its answer.
//!
//! Decides how an INVITE of ours is sent, watched and given up; never whether to call.
//! Source: RFC 3261 §9.1 (CANCEL waits for a provisional response), §13.2; early media: RFC 3960.

use super::desk::Desk;
use super::{CallId, Dial, Event, Media};
use crate::base::time::Instant;
use crate::sip::dialog::{Dialog, DialogKey};
use crate::sip::inviting::Inviting;
use crate::sip::offer_answer::{self, AudioOffer, write_offer};
use crate::sip::transaction::{Path, TxId};
use crate::sip::wire::{Message, Method, NameAddr, Uri};

/// A call of our own.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    id: CallId,
    tx: TxId,
    invite: Message,
    offer: AudioOffer,
    /// The answer that came before the 2xx.
    early: Option<Media>,
    rang: bool,
    state: Inviting,
}

/// What a final response makes of the call.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// Answered; not acknowledged yet.
    Answered(Box<Dialog>, Media),
    /// Answered, but of no use: to be acknowledged and ended. With the status that says why.
    Unwanted(Box<Dialog>, u16),
    /// Refused, or answered without a Contact.
    Refused(u16),
}

impl Outgoing {
    /// Sends the INVITE. `None`: the addresses make no request.
    pub fn start(
        desk: &mut Desk,
        now: Instant,
        id: CallId,
        port: u16,
        dial: &Dial,
    ) -> Option<Outgoing> {
        let offer = AudioOffer::ours(dial.codecs.clone());
        let local = desk.local_media(port);
        let mut invite = invite(desk, dial);
        invite.headers.push("Content-Type", "application/sdp");
        invite.body = write_offer(&local, &offer);
        let path = Path::udp(0, dial.address);
        let local_tag = invite.from().ok()?.tag()?.to_owned();
        let call_id = invite.call_id().to_owned();
        let tx = desk.request(now, id, path, invite.clone())?;
        desk.dialogs.insert(DialogKey { call_id, local_tag }, id);
        Some(Outgoing {
            id,
            tx,
            invite,
            offer,
            early: None,
            rang: false,
            state: Inviting::Calling,
        })
    }

    /// Whether it was given up.
    pub fn is_given_up(&self) -> bool {
        self.state.is_given_up()
    }

    pub fn is_about(&self, tx: TxId) -> bool {
        self.tx == tx
    }

    /// CANCEL at once, or as soon as a provisional response allows it.
    pub fn give_up(&mut self, desk: &mut Desk, now: Instant) {
        self.state.give_up(&mut desk.transactions, now, self.tx);
    }

    /// 100 to 199.
    pub fn on_provisional(&mut self, desk: &mut Desk, now: Instant, response: &Message) {
        self.state
            .on_provisional(&mut desk.transactions, now, self.tx);
        if self.is_given_up() {
            return;
        }
        if response.status() == Some(180) && !self.rang {
            self.rang = true;
            desk.tell(self.id, Event::Ringing);
        }
        let media = self.answer_in(response);
        if media.is_some() && media != self.early {
            self.early = media;
            media
                .into_iter()
                .for_each(|media| desk.tell(self.id, Event::EarlyMedia(media)));
        }
    }

    /// 200 to 699.
    pub fn on_final(&self, path: Path, response: &Message) -> Verdict {
        let status = response.status().unwrap_or(500);
        if status >= 300 {
            return Verdict::Refused(status);
        }
        let Ok(dialog) = Dialog::as_uac(&self.invite, response, path) else {
            return Verdict::Refused(502);
        };
        let dialog = Box::new(dialog);
        // The answer crossed our CANCEL (RFC 3261 §15, §9.1).
        if self.is_given_up() {
            return Verdict::Unwanted(dialog, 487);
        }
        // Without a body the 18x's answer stands, if there was one.
        let early = self.early.filter(|_| response.body.is_empty());
        match self.answer_in(response).or(early) {
            Some(media) => Verdict::Answered(dialog, media),
            None => Verdict::Unwanted(dialog, 488),
        }
    }

    fn answer_in(&self, response: &Message) -> Option<Media> {
        let is_sdp = response
            .content_type()
            .is_some_and(|t| t == "application/sdp");
        if !is_sdp || response.body.is_empty() {
            return None;
        }
        let answer = offer_answer::read_answer(&response.body, &self.offer).ok()?;
        Some(Media {
            remote: answer.remote,
            codec: answer.codec,
            event: answer.event,
            to_peer: answer.direction.receives(),
            from_peer: answer.direction.sends(),
        })
    }
}

/// The INVITE, but for Via, Contact and body.
fn invite(desk: &mut Desk, dial: &Dial) -> Message {
    let from = NameAddr {
        display: dial.display.clone(),
        ..NameAddr::new(Uri::sip(Some(&dial.number), desk.settings.sip))
    };
    let from = from.with_tag(&desk.token());
    let call_id = format!("{}@{}", desk.token(), desk.settings.sip.ip());
    let mut invite = Message::request(Method::Invite, dial.to.clone());
    invite.headers.push("Max-Forwards", "70");
    invite.headers.push("From", &from.to_string());
    invite.headers.push("To", &format!("<{}>", dial.to));
    invite.headers.push("Call-ID", &call_id);
    invite.headers.push("CSeq", "1 INVITE");
    invite
}
