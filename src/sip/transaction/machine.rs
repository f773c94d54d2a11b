//! Any of the four machines as one: what happened is the same for all, each knows its own part of it.
//!
//! Source: RFC 3261 §17 (the timers of each state), RFC 6026 §7.1.

use super::table::Timer::{self, A, B, D, E, F, G, H, I, J, K, L, M};
use super::table::{Effect, Unexpected, client, invite_client, invite_server, server};
use super::{T1, T4, TIMEOUT};
use crate::sip::wire::Method;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The state of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Machine {
    InviteClient(invite_client::State),
    Client(client::State),
    InviteServer(invite_server::State),
    Server(server::State),
}

/// What can happen to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The request came again.
    RequestAgain,
    /// The ACK came.
    Ack,
    /// A response of this status came, or is sent.
    Status(u16),
    /// This timer has run out.
    Timer(Timer),
    /// The message could not be sent.
    TransportError,
}

impl Machine {
    /// The machine of a request that we send.
    pub fn of_ours(method: Option<&Method>) -> Machine {
        match method {
            Some(Method::Invite) => Machine::InviteClient(invite_client::State::Calling),
            _ => Machine::Client(client::State::Trying),
        }
    }

    /// The machine of a request that came.
    pub fn of_peers(method: Option<&Method>) -> Machine {
        match method {
            Some(Method::Invite) => Machine::InviteServer(invite_server::State::Proceeding),
            _ => Machine::Server(server::State::Trying),
        }
    }

    /// One step, as the machine's own table has it.
    pub fn step(self, event: Event) -> Result<(Machine, Effect), Unexpected> {
        Ok(match self {
            Machine::InviteClient(state) => {
                let (next, effect) = invite_client::step(state, to_invite_client(event)?)?;
                (Machine::InviteClient(next), effect)
            }
            Machine::Client(state) => {
                let (next, effect) = client::step(state, to_client(event)?)?;
                (Machine::Client(next), effect)
            }
            Machine::InviteServer(state) => {
                let (next, effect) = invite_server::step(state, to_invite_server(event)?)?;
                (Machine::InviteServer(next), effect)
            }
            Machine::Server(state) => {
                let (next, effect) = server::step(state, to_server(event)?)?;
                (Machine::Server(next), effect)
            }
        })
    }

    pub fn is_terminated(self) -> bool {
        matches!(
            self,
            Machine::InviteClient(invite_client::State::Terminated)
                | Machine::Client(client::State::Terminated)
                | Machine::InviteServer(invite_server::State::Terminated)
                | Machine::Server(server::State::Terminated)
        )
    }

    /// The timers that run in a state, each with its time from when the state was entered. Between two states
    /// with the same timers they run on. Over a reliable transport nothing is repeated, so that A, E and G never run,
    /// and nothing repeated is awaited, so that D, I, J and K are over at once (RFC 3261 table 4); the 2xx of an
    /// INVITE is repeated from end to end, so that L and M stay (RFC 6026 §8).
    pub fn waits(self, reliable: bool) -> &'static [(Timer, Duration)] {
        use {client::State as C, invite_client::State as IC};
        use {invite_server::State as IS, server::State as S};
        const AT_ONCE: Duration = Duration::ZERO;
        match self {
            Machine::InviteClient(IC::Calling) if reliable => &[(B, TIMEOUT)],
            Machine::InviteClient(IC::Calling) => &[(A, T1), (B, TIMEOUT)],
            // B runs here too, but only from a CANCEL on.
            Machine::InviteClient(IC::Proceeding | IC::Terminated) => &[],
            Machine::InviteClient(IC::Completed) if reliable => &[(D, AT_ONCE)],
            Machine::InviteClient(IC::Completed) => &[(D, TIMEOUT)],
            Machine::InviteClient(IC::Accepted) => &[(M, TIMEOUT)],
            Machine::Client(C::Trying | C::Proceeding) if reliable => &[(F, TIMEOUT)],
            Machine::Client(C::Trying | C::Proceeding) => &[(E, T1), (F, TIMEOUT)],
            Machine::Client(C::Completed) if reliable => &[(K, AT_ONCE)],
            Machine::Client(C::Completed) => &[(K, T4)],
            Machine::Client(C::Terminated) => &[],
            Machine::InviteServer(IS::Proceeding | IS::Terminated) => &[],
            Machine::InviteServer(IS::Completed) if reliable => &[(H, TIMEOUT)],
            Machine::InviteServer(IS::Completed) => &[(G, T1), (H, TIMEOUT)],
            Machine::InviteServer(IS::Confirmed) if reliable => &[(I, AT_ONCE)],
            Machine::InviteServer(IS::Confirmed) => &[(I, T4)],
            Machine::InviteServer(IS::Accepted) => &[(L, TIMEOUT)],
            Machine::Server(S::Trying | S::Proceeding | S::Terminated) => &[],
            Machine::Server(S::Completed) if reliable => &[(J, AT_ONCE)],
            Machine::Server(S::Completed) => &[(J, TIMEOUT)],
        }
    }

    /// All timers that a machine of this kind can have.
    pub fn timers(self) -> &'static [Timer] {
        match self {
            Machine::InviteClient(_) => &[A, B, D, M],
            Machine::Client(_) => &[E, F, K],
            Machine::InviteServer(_) => &[G, H, I, L],
            Machine::Server(_) => &[J],
        }
    }
}

fn to_invite_client(event: Event) -> Result<invite_client::Event, Unexpected> {
    use invite_client::Event::*;
    Ok(match event {
        Event::Status(100..=199) => Provisional,
        Event::Status(200..=299) => Success,
        Event::Status(_) => Failure,
        Event::Timer(A) => TimerA,
        Event::Timer(B) => TimerB,
        Event::Timer(D) => TimerD,
        Event::Timer(M) => TimerM,
        Event::TransportError => TransportError,
        _ => return Err(Unexpected),
    })
}

fn to_client(event: Event) -> Result<client::Event, Unexpected> {
    use client::Event::*;
    Ok(match event {
        Event::Status(100..=199) => Provisional,
        Event::Status(_) => Final,
        Event::Timer(E) => TimerE,
        Event::Timer(F) => TimerF,
        Event::Timer(K) => TimerK,
        Event::TransportError => TransportError,
        _ => return Err(Unexpected),
    })
}

fn to_invite_server(event: Event) -> Result<invite_server::Event, Unexpected> {
    use invite_server::Event::*;
    Ok(match event {
        Event::RequestAgain => InviteAgain,
        Event::Ack => Ack,
        Event::Status(100..=199) => Provisional,
        Event::Status(200..=299) => Success,
        Event::Status(_) => Failure,
        Event::Timer(G) => TimerG,
        Event::Timer(H) => TimerH,
        Event::Timer(I) => TimerI,
        Event::Timer(L) => TimerL,
        Event::TransportError => TransportError,
        Event::Timer(_) => return Err(Unexpected),
    })
}

fn to_server(event: Event) -> Result<server::Event, Unexpected> {
    use server::Event::*;
    Ok(match event {
        Event::RequestAgain => RequestAgain,
        Event::Status(100..=199) => Provisional,
        Event::Status(_) => Final,
        Event::Timer(J) => TimerJ,
        Event::TransportError => TransportError,
        _ => return Err(Unexpected),
    })
}
