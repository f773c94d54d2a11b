//! A call to us until its final response.
//!
//! Decides what of an INVITE can be taken, and how it is rung, answered and refused; never when.
//! Source: RFC 3261 §8.2 (checks in their order), §12.1.1, §13.3.1; RFC 3264.

use super::desk::Desk;
use super::talk::Talk;
use super::{CallId, Media};
use crate::base::time::Instant;
use crate::sip::dialog::Dialog;
use crate::sip::offer_answer::{self, AudioOffer, Choice, LocalMedia, write_answer};
use crate::sip::sdp::Direction;
use crate::sip::transaction::{Datagram, Path, TxId};
use crate::sip::user_agent::{Advertised, answer_to_invite, signed};
use crate::sip::wire::Message;

/// A call to us.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    id: CallId,
    tx: TxId,
    path: Path,
    invite: Message,
    local_tag: String,
    dialog: Dialog,
    offer: AudioOffer,
    choice: Choice,
    local: LocalMedia,
}

/// Why an INVITE is refused, and the header that explains it.
pub(super) struct Refused(pub u16, pub Option<(&'static str, String)>);

impl Incoming {
    /// Looks at an INVITE; what can be taken is a call from now on, known by its dialog.
    pub fn take(
        desk: &mut Desk,
        id: CallId,
        tx: TxId,
        path: Path,
        invite: &Message,
    ) -> Result<(Incoming, u16), Refused> {
        check(invite)?;
        let offer = offer_answer::offer(&invite.body).map_err(|fault| refused(fault.status()))?;
        let ours = &desk.settings.codecs;
        let codec = offer
            .codecs
            .iter()
            .copied()
            .find(|codec| ours.contains(codec));
        let codec = codec.ok_or(refused(488))?;
        if !offer.reachable_from(desk.settings.media_address) {
            return Err(refused(488));
        }
        let local_tag = desk.token();
        let dialog = Dialog::as_uas(invite, &local_tag, path).map_err(|_| refused(400))?;
        let port = desk.ports.pop_front().ok_or(refused(486))?;
        desk.own(id, tx);
        desk.dialogs.insert(dialog.key(), id);
        let choice = Choice {
            codec,
            event: true,
            direction: Direction::SendRecv,
            ptime: Some(20),
        };
        let (invite, local) = (invite.clone(), desk.local_media(port));
        let call = Incoming {
            id,
            tx,
            path,
            invite,
            local_tag,
            dialog,
            offer,
            choice,
            local,
        };
        Ok((call, port))
    }

    /// What the offer asks of us.
    pub fn media(&self) -> Media {
        Media {
            remote: self.offer.remote,
            codec: self.choice.codec,
            event: self.offer.event,
            to_peer: self.offer.direction.receives(),
            from_peer: self.offer.direction.sends(),
        }
    }

    /// A provisional response, with our answer in it for early media.
    pub fn ring(&self, desk: &mut Desk, now: Instant, status: u16, early_media: bool) {
        let response = self.response(desk, status, early_media);
        desk.respond(now, self.tx, response);
    }

    /// 200 with our answer.
    pub fn accept(&self, desk: &mut Desk, now: Instant) -> Talk {
        let response = self.response(desk, 200, true);
        let sent = Datagram::answering(&self.invite, self.path, &signed(response.clone()));
        desk.respond(now, self.tx, response);
        Talk::answered_by_us(desk, now, self.id, self.dialog.clone(), sent)
    }

    /// Any other final response; the transaction repeats it until its ACK.
    pub fn refuse(&self, desk: &mut Desk, now: Instant, status: u16) {
        let response = self.response(desk, status, false);
        desk.respond(now, self.tx, response);
    }

    fn response(&self, desk: &Desk, status: u16, with_answer: bool) -> Message {
        let sdp = with_answer.then(|| write_answer(&self.local, &self.offer, &self.choice));
        let address = Advertised::udp(desk.settings.sip);
        answer_to_invite(
            &self.invite,
            status,
            &self.local_tag,
            address,
            sdp.as_deref(),
        )
    }
}

/// Extensions, then content. An INVITE without an offer wants ours in the 200 (RFC 3264 §4): not taken.
fn check(invite: &Message) -> Result<(), Refused> {
    let required = invite.tokens("Require");
    if !required.is_empty() {
        return Err(Refused(420, Some(("Unsupported", required.join(", ")))));
    }
    if invite.body.is_empty() {
        return Err(refused(488));
    }
    match invite.content_type().as_deref() {
        Some("application/sdp") => Ok(()),
        _ => Err(Refused(415, Some(("Accept", "application/sdp".to_owned())))),
    }
}

fn refused(status: u16) -> Refused {
    Refused(status, None)
}
