//! What an INVITE must be to become a call.
//!
//! Pure checks in the order of RFC 3261 §8.2: extensions, content, then the hotline. Who may call at all was
//! checked before. Source: RFC 3261 §8.2.2 to §8.2.3, §16.3 (Max-Forwards), RFC 3264; contract, "Refusals".

use crate::config::{Config, Hotline, Trunk};
use crate::hotline::figures::Refusal;
use crate::hotline::route;
use crate::sip::offer_answer::{self, AudioOffer};
use crate::sip::wire::{Message, Start};
use std::net::IpAddr;
use std::sync::Arc;

/// A refusal, with the header that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub status: u16,
    pub reason: Refusal,
    pub header: Option<(&'static str, String)>,
}

impl Refused {
    fn new(status: u16, reason: Refusal) -> Refused {
        Refused {
            status,
            reason,
            header: None,
        }
    }

    fn with(status: u16, reason: Refusal, name: &'static str, value: &str) -> Refused {
        Refused {
            status,
            reason,
            header: Some((name, value.to_owned())),
        }
    }
}

/// What every request outside of a dialog must be.
pub(super) fn check_general(request: &Message) -> Result<(), Refused> {
    let Start::Request { uri, .. } = &request.start else {
        return Err(Refused::new(400, Refusal::BadRequest));
    };
    if !uri.is_sip() && uri.scheme() != "tel" {
        return Err(Refused::new(416, Refusal::BadRequest));
    }
    // No extension is supported yet, so each that is required is refused (RFC 3261 §8.2.2.3).
    let required = request.tokens("Require");
    if !required.is_empty() {
        let options = required.join(", ");
        return Err(Refused::with(
            420,
            Refusal::Extension,
            "Unsupported",
            &options,
        ));
    }
    Ok(())
}

/// Everything that is asked of an INVITE. Gives the hotline, the offer, and the caller's Max-Forwards.
pub(super) fn check(
    config: &Config,
    trunk: &Trunk,
    media_address: IpAddr,
    invite: &Message,
) -> Result<(Arc<Hotline>, Option<AudioOffer>, u8), Refused> {
    check_general(invite)?;
    let bad = |_| Refused::new(400, Refusal::BadRequest);
    let max_forwards = invite.max_forwards().map_err(bad)?.unwrap_or(70);
    if max_forwards == 0 {
        return Err(Refused::new(483, Refusal::BadRequest));
    }
    check_content(invite)?;
    let Start::Request { uri, .. } = &invite.start else {
        return Err(Refused::new(400, Refusal::BadRequest));
    };
    let number = uri.number().unwrap_or_default();
    let hotline = route::hotline_of(config, trunk, &number)
        .ok_or(Refused::new(404, Refusal::UnknownNumber))?;
    // An INVITE without an offer wants ours in the 200 (RFC 3261 §13.2.1).
    if invite.body.is_empty() {
        return Ok((Arc::clone(hotline), None, max_forwards));
    }
    let offer = offer_answer::offer(&invite.body)
        .map_err(|fault| Refused::new(fault.status(), Refusal::Media))?;
    if !offer.reachable_from(media_address) {
        return Err(Refused::new(488, Refusal::Media));
    }
    Ok((Arc::clone(hotline), Some(offer), max_forwards))
}

/// A body must be SDP (415), and SDP must be welcome in return (406).
fn check_content(invite: &Message) -> Result<(), Refused> {
    let sdp = "application/sdp";
    let is_sdp = invite.content_type().is_some_and(|found| found == sdp);
    if !invite.body.is_empty() && !is_sdp {
        return Err(Refused::with(415, Refusal::Media, "Accept", sdp));
    }
    let encoded = invite.tokens("Content-Encoding");
    if encoded
        .iter()
        .any(|coding| !coding.eq_ignore_ascii_case("identity"))
    {
        return Err(Refused::with(
            415,
            Refusal::Media,
            "Accept-Encoding",
            "identity",
        ));
    }
    let accepts: Vec<String> = invite
        .tokens("Accept")
        .iter()
        .map(|t| media_range(t))
        .collect();
    let welcome =
        |range: &String| matches!(range.as_str(), "application/sdp" | "application/*" | "*/*");
    if !accepts.is_empty() && !accepts.iter().any(welcome) {
        return Err(Refused::new(406, Refusal::Media));
    }
    Ok(())
}

/// A media range without its parameters, in lower case.
fn media_range(token: &str) -> String {
    token
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}
