//! What was agreed on each leg, by offers and answers, and who may send and hear.
//!
//! Source: RFC 3264 §5 to §8 (`o=` versions in §8), rule R1 for holds.

use super::{Seen, Watch};
use crate::says::{Described, described, receives, sends};
use qingjiang::base::codec::Codec;
use qingjiang::base::ids::Leg;
use qingjiang::call::doors::Stream;

/// One leg's session.
#[derive(Default)]
pub(super) struct Session {
    /// The peer's first offer.
    pub offered: Option<Described>,
    /// The peer's description and ours, of the last exchange that came to its end.
    pub agreed: Option<(Described, Described)>,
    /// The last description of ours.
    ours: Option<Described>,
    /// What the media thread was told.
    pub told: Option<Stream>,
    /// Exchanges that put it on hold.
    pub holds: u32,
}

impl Session {
    pub fn of_offer(offered: Option<Described>) -> Session {
        Session {
            offered,
            ..Session::default()
        }
    }

    /// Whether the peer is sent to, and whether it sends.
    fn ways(&self) -> (bool, bool) {
        let Some((peer, ours)) = &self.agreed else {
            return (true, true);
        };
        (
            receives(peer.direction) && sends(ours.direction),
            sends(peer.direction) && receives(ours.direction),
        )
    }

    /// Whether the media thread knows what was agreed.
    fn is_told(&self) -> bool {
        let (Some((peer, _)), Some(told)) = (&self.agreed, &self.told) else {
            return true;
        };
        let format = match told.codec {
            Codec::Pcmu => "0",
            Codec::Pcma => "8",
        };
        told.remote == Some(peer.address)
            && (told.to_peer, told.from_peer) == self.ways()
            && peer.formats.iter().any(|one| one == format)
    }
}

impl Seen {
    pub(super) fn is_two_way(&self) -> bool {
        self.legs.iter().all(|leg| leg.ways() == (true, true))
    }
}

impl Watch {
    /// A description of ours goes out for the first time: the same session, the version one more if it differs from
    /// the last and else the same, our own port.
    pub(super) fn on_described(
        &mut self,
        index: usize,
        leg: Leg,
        body: &[u8],
    ) -> Option<Described> {
        let told = described(body)?;
        let call = &mut self.calls[index];
        let port = match leg {
            Leg::Caller => call.caller_port,
            Leg::Agent => call.agent_port,
        };
        let before = call.legs[leg.index()].ours.replace(told.clone());
        self.check(told.address.port() == port, "a port that is not the call's");
        if let Some(before) = before {
            let more = u64::from(before.rest != told.rest);
            self.check(before.session == told.session, "another session in o=");
            let fits = told.version == before.version + more;
            self.check(fits, "a version in o= that does not count descriptions");
        }
        Some(told)
    }

    /// An exchange came to its end; `ours` is the answer unless `is_offer`.
    pub(super) fn agree(
        &mut self,
        index: usize,
        leg: Leg,
        peer: Described,
        ours: Described,
        is_offer: bool,
    ) {
        let fits = is_offer || ours.answers(&peer.formats.join(" "), peer.direction);
        self.check(fits, "an answer of ours that does not fit its offer");
        let session = &mut self.calls[index].legs[leg.index()];
        let before = session.ways();
        session.agreed = Some((peer, ours));
        session.holds += u32::from(before == (true, true) && session.ways() != before);
    }

    /// The first exchange with the caller is over.
    pub(super) fn agree_first(&mut self, index: usize) {
        let call = &mut self.calls[index];
        let told = call.told.as_deref().and_then(described);
        let session = &mut call.legs[Leg::Caller.index()];
        session.agreed = session.offered.clone().zip(told);
    }

    /// Holds stop a script, and their ends begin its window anew.
    pub(super) fn on_holds(&mut self) {
        let now = self.now;
        for call in &mut self.calls {
            let held = !call.is_two_way();
            // What the end of a call answers for a late offer is no hold.
            let closes = call.key.is_some_and(|key| self.closing.contains(&key));
            if call.over.is_some() || closes || call.held == held {
                continue;
            }
            call.held = held;
            let Some(script) = &mut call.script else {
                continue;
            };
            match held {
                true => {
                    call.holds_in_script += u32::from(!script.over);
                    call.stop_owed = script.on_held();
                    call.prompts_held += u32::from(call.stop_owed);
                }
                false => script.on_resumed(now),
            }
        }
    }

    pub(super) fn after_sessions(&mut self) {
        let mut faults = Vec::new();
        for call in self.calls.iter().filter(|call| call.over.is_none()) {
            if call.is_answered() && !call.legs.iter().all(Session::is_told) {
                faults.push(format!(
                    "{}: the media thread knows another session",
                    call.call_id
                ));
            }
            if call.stop_owed {
                faults.push(format!("{}: a prompt plays on in a hold", call.call_id));
            }
        }
        self.faults.extend(faults);
    }
}
