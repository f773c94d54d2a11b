//! Names of things inside one process life.

use serde::{Deserialize, Serialize};

/// One call, from its INVITE to the last answered BYE. Never used again in this process life.
///
/// The call's public id (records, `X-Qingjiang-Call`) is another one, random, so that it says
/// nothing of how many calls there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallKey(pub u64);

/// The two legs of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leg {
    /// The trunk's side: whoever dialled the hotline.
    Caller,
    /// The target's side: a PBX or an agent's phone.
    Agent,
}

impl Leg {
    /// Both, in the order in which they are always walked.
    pub const BOTH: [Leg; 2] = [Leg::Caller, Leg::Agent];

    /// The leg at the far end.
    pub const fn other(self) -> Leg {
        match self {
            Leg::Caller => Leg::Agent,
            Leg::Agent => Leg::Caller,
        }
    }

    /// Index into a `[T; 2]` that holds one thing a leg.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name that records, metrics and logs use.
    pub const fn name(self) -> &'static str {
        match self {
            Leg::Caller => "caller",
            Leg::Agent => "agent",
        }
    }
}
