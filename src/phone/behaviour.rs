//! What a phone does by itself: rings, answers, refuses, gives up, hangs up, and when.
//!
//! Plain settings; nothing here acts. Times run from the INVITE or from the answer, never from a packet of audio.

use std::time::Duration;

/// What a phone does with calls that come in, and with its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// Calls to us.
    pub incoming: Incoming,
    /// Calls of our own.
    pub outgoing: Outgoing,
}

/// As user agent server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// How it rings.
    pub ring: Ring,
    /// How it ends ringing.
    pub reply: Reply,
    /// We hang up this long after our answer; `None`: the caller does.
    pub hang_up_after: Option<Duration>,
}

/// The first provisional response after 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// Only 100.
    Never,
    /// 180, this long after the INVITE.
    After(Duration),
    /// 183 with our answer in it, this long after the INVITE.
    EarlyMedia(Duration),
}

/// The final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 200, this long after the INVITE.
    Answer(Duration),
    /// A status of 300 to 699, this long after the INVITE.
    Refuse(Duration, u16),
    /// None: it rings until the caller gives up.
    Never,
}

/// As user agent client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// We hang up this long after the answer; `None`: the other end does, or a command.
    pub hang_up_after: Option<Duration>,
    /// CANCEL this long after the INVITE if there is no answer; at the latest after [`UNANSWERED_MAX`].
    pub give_up_after: Option<Duration>,
}

/// No call rings longer: a peer that rang and then vanished must not keep a call for ever.
///
/// Source: RFC 3261 §16.6 (11), timer C of a proxy, which is longer than three minutes.
pub const UNANSWERED_MAX: Duration = Duration::from_secs(190);

impl Default for Incoming {
    /// Rings and answers at once; the caller hangs up.
    fn default() -> Self {
        Incoming {
            ring: Ring::After(Duration::ZERO),
            reply: Reply::Answer(Duration::ZERO),
            hang_up_after: None,
        }
    }
}
