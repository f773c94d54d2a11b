//! The four transaction machines as tables: state × event → state × effect.
//!
//! Source: RFC 3261 §17.1.1 (figure 5), §17.1.2 (figure 6), §17.2.1 (figure 7), §17.2.2 (figure 8), as
//! changed by RFC 6026 §7.1 and §8. A cell that is not written is [`Unexpected`]: the caller counts it as a bug of ours.

use serde::{Deserialize, Serialize};

/// What the owner of a transaction does after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Nothing leaves, nobody is told.
    Absorb,
    /// Sends the message that the transaction user gave, and keeps it for repetition.
    Send,
    /// Sends the kept message again.
    Resend,
    /// Hands the message to the transaction user.
    Pass,
    /// Hands a failure to the transaction user and acknowledges it (RFC 3261 §17.1.1.3).
    PassAndAck,
    /// Acknowledges a repeated failure.
    AckAgain,
    /// Tells the transaction user that the peer never answered (timers B and F) or never
    /// acknowledged (timer H).
    TimedOut,
    /// Tells the transaction user that the message cannot be sent.
    Unreachable,
}

/// Timers of RFC 3261 §17 (table 4) and RFC 6026.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Timer {
    /// INVITE request repetition, unreliable transport.
    A,
    /// INVITE time-out; also 64 × T1 after a CANCEL (RFC 3261 §9.1).
    B,
    /// Wait for repeated failures after ours was acknowledged.
    D,
    /// Request repetition, unreliable transport.
    E,
    /// Request time-out.
    F,
    /// Failure repetition.
    G,
    /// Wait for the ACK.
    H,
    /// Wait for repeated ACKs.
    I,
    /// Wait for repeated requests.
    J,
    /// Wait for repeated responses.
    K,
    /// Wait for repeated INVITEs after a 2xx (RFC 6026 §8.7).
    L,
    /// Wait for repeated 2xx (RFC 6026 §8.4).
    M,
}

/// A cell that the RFC's figures do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a transaction met an event that its state does not know")]
pub struct Unexpected;

/// The INVITE client transaction.
pub mod invite_client {
    use super::{Deserialize, Effect, Effect::*, Serialize, Unexpected};

    /// RFC 3261 figure 5 with RFC 6026 figure 2 (Accepted).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub enum State {
        /// Sent, nothing came back.
        Calling,
        /// A provisional response came.
        Proceeding,
        /// A failure came and was acknowledged.
        Completed,
        /// A 2xx came; more of them may, from other branches too.
        Accepted,
        /// Over.
        Terminated,
    }

    /// What can happen to it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Event {
        /// 1xx.
        Provisional,
        /// 2xx.
        Success,
        /// 300 to 699.
        Failure,
        /// Time to repeat.
        TimerA,
        /// 64 × T1 without an answer.
        TimerB,
        /// No more repeated failures are awaited.
        TimerD,
        /// No more 2xx are awaited.
        TimerM,
        /// The request could not be sent.
        TransportError,
    }

    /// One step of the INVITE client transaction.
    pub fn step(state: State, event: Event) -> Result<(State, Effect), Unexpected> {
        use Event::*;
        use State::*;
        Ok(match (state, event) {
            (Calling | Proceeding, Provisional) => (Proceeding, Pass),
            (Calling | Proceeding, Success) => (Accepted, Pass),
            (Calling | Proceeding, Failure) => (Completed, PassAndAck),
            (Calling, TimerA) => (Calling, Resend),
            // In Proceeding B runs only after a CANCEL.
            (Calling | Proceeding, TimerB) => (Terminated, TimedOut),
            (Calling, TransportError) => (Terminated, Unreachable),
            (Proceeding, TransportError) => (Proceeding, Absorb),
            (Completed, Failure) => (Completed, AckAgain),
            (Completed, Provisional | Success) => (Completed, Absorb),
            (Completed, TimerD) => (Terminated, Absorb),
            (Completed, TransportError) => (Terminated, Unreachable),
            (Accepted, Success) => (Accepted, Pass),
            (Accepted, Provisional | Failure) => (Accepted, Absorb),
            (Accepted, TimerM) => (Terminated, Absorb),
            (Accepted, TransportError) => (Accepted, Absorb),
            _ => return Err(Unexpected),
        })
    }
}

/// The non-INVITE client transaction.
pub mod client {
    use super::{Deserialize, Effect, Effect::*, Serialize, Unexpected};

    /// RFC 3261 figure 6.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub enum State {
        /// Sent, nothing came back.
        Trying,
        /// A provisional response came.
        Proceeding,
        /// The final response came.
        Completed,
        /// Over.
        Terminated,
    }

    /// What can happen to it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Event {
        /// 1xx.
        Provisional,
        /// 200 to 699.
        Final,
        /// Time to repeat.
        TimerE,
        /// 64 × T1 without an answer.
        TimerF,
        /// No more repeated responses are awaited.
        TimerK,
        /// The request could not be sent.
        TransportError,
    }

    /// One step of the non-INVITE client transaction.
    pub fn step(state: State, event: Event) -> Result<(State, Effect), Unexpected> {
        use Event::*;
        use State::*;
        Ok(match (state, event) {
            (Trying | Proceeding, Provisional) => (Proceeding, Pass),
            (Trying | Proceeding, Final) => (Completed, Pass),
            (Trying, TimerE) => (Trying, Resend),
            (Proceeding, TimerE) => (Proceeding, Resend),
            (Trying | Proceeding, TimerF) => (Terminated, TimedOut),
            (Trying | Proceeding, TransportError) => (Terminated, Unreachable),
            (Completed, Provisional | Final) => (Completed, Absorb),
            (Completed, TimerK) => (Terminated, Absorb),
            (Completed, TransportError) => (Completed, Absorb),
            _ => return Err(Unexpected),
        })
    }
}

/// The INVITE server transaction.
pub mod invite_server {
    use super::{Deserialize, Effect, Effect::*, Serialize, Unexpected};

    /// RFC 3261 figure 7 with RFC 6026 figure 1 (Accepted).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub enum State {
        /// No final response yet.
        Proceeding,
        /// A failure was sent; the ACK is awaited.
        Completed,
        /// The ACK came.
        Confirmed,
        /// A 2xx was sent; the transaction user repeats it until its ACK.
        Accepted,
        /// Over.
        Terminated,
    }

    /// What can happen to it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Event {
        /// The INVITE came again.
        InviteAgain,
        /// The transaction user sends 1xx.
        Provisional,
        /// The transaction user sends 2xx.
        Success,
        /// The transaction user sends 300 to 699.
        Failure,
        /// The ACK of a failure.
        Ack,
        /// Time to repeat the failure.
        TimerG,
        /// 64 × T1 without an ACK.
        TimerH,
        /// No more repeated ACKs are awaited.
        TimerI,
        /// No more repeated INVITEs are awaited.
        TimerL,
        /// The response could not be sent.
        TransportError,
    }

    /// One step of the INVITE server transaction.
    pub fn step(state: State, event: Event) -> Result<(State, Effect), Unexpected> {
        use Event::*;
        use State::*;
        Ok(match (state, event) {
            (Proceeding, InviteAgain) => (Proceeding, Resend),
            (Proceeding, Provisional) => (Proceeding, Send),
            (Proceeding, Success) => (Accepted, Send),
            (Proceeding, Failure) => (Completed, Send),
            (Proceeding, TransportError) => (Proceeding, Unreachable),
            (Completed, InviteAgain | TimerG) => (Completed, Resend),
            (Completed, Ack) => (Confirmed, Absorb),
            (Completed, TimerH) => (Terminated, TimedOut),
            (Completed, TransportError) => (Completed, Unreachable),
            (Confirmed, Ack | InviteAgain) => (Confirmed, Absorb),
            (Confirmed, TimerI) => (Terminated, Absorb),
            (Accepted, InviteAgain) => (Accepted, Absorb),
            (Accepted, Success) => (Accepted, Send),
            (Accepted, Ack) => (Accepted, Pass),
            (Accepted, TimerL) => (Terminated, Absorb),
            (Accepted, TransportError) => (Accepted, Unreachable),
            _ => return Err(Unexpected),
        })
    }
}

/// The non-INVITE server transaction.
pub mod server {
    use super::{Deserialize, Effect, Effect::*, Serialize, Unexpected};

    /// RFC 3261 figure 8.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub enum State {
        /// Received, nothing was answered.
        Trying,
        /// A provisional response was sent.
        Proceeding,
        /// The final response was sent.
        Completed,
        /// Over.
        Terminated,
    }

    /// What can happen to it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Event {
        /// The request came again.
        RequestAgain,
        /// The transaction user sends 1xx.
        Provisional,
        /// The transaction user sends 200 to 699.
        Final,
        /// No more repeated requests are awaited.
        TimerJ,
        /// The response could not be sent.
        TransportError,
    }

    /// One step of the non-INVITE server transaction.
    pub fn step(state: State, event: Event) -> Result<(State, Effect), Unexpected> {
        use Event::*;
        use State::*;
        Ok(match (state, event) {
            (Trying, RequestAgain) => (Trying, Absorb),
            (Trying | Proceeding, Provisional) => (Proceeding, Send),
            (Trying | Proceeding, Final) => (Completed, Send),
            (Proceeding | Completed, RequestAgain) => (state, Resend),
            (Completed, Final) => (Completed, Absorb),
            (Completed, TimerJ) => (Terminated, Absorb),
            (Proceeding | Completed, TransportError) => (Terminated, Unreachable),
            _ => return Err(Unexpected),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every cell of every machine, written by hand from the figures: `-` is no cell.
    /// Rows are states, columns events, in the order of the enums.
    fn check<S: Copy + PartialEq + std::fmt::Debug, E: Copy + std::fmt::Debug>(
        states: &[S],
        events: &[E],
        step: fn(S, E) -> Result<(S, Effect), Unexpected>,
        expected: &[&str],
    ) {
        assert_eq!(states.len(), expected.len());
        for (state, row) in states.iter().zip(expected) {
            let cells: Vec<&str> = row.split_whitespace().collect();
            assert_eq!(cells.len(), events.len(), "{row}");
            for (event, cell) in events.iter().zip(cells) {
                let got = match step(*state, *event) {
                    Err(Unexpected) => "-".to_owned(),
                    Ok((next, effect)) => format!("{next:?}:{effect:?}"),
                };
                assert_eq!(got, cell, "{state:?} × {event:?}");
            }
        }
    }

    #[test]
    fn invite_client_is_figure_5_with_rfc_6026() {
        use invite_client::{Event::*, State::*, step};
        check(
            &[Calling, Proceeding, Completed, Accepted, Terminated],
            &[
                Provisional,
                Success,
                Failure,
                TimerA,
                TimerB,
                TimerD,
                TimerM,
                TransportError,
            ],
            step,
            &[
                "Proceeding:Pass Accepted:Pass Completed:PassAndAck Calling:Resend Terminated:TimedOut - - Terminated:Unreachable",
                "Proceeding:Pass Accepted:Pass Completed:PassAndAck - Terminated:TimedOut - - Proceeding:Absorb",
                "Completed:Absorb Completed:Absorb Completed:AckAgain - - Terminated:Absorb - Terminated:Unreachable",
                "Accepted:Absorb Accepted:Pass Accepted:Absorb - - - Terminated:Absorb Accepted:Absorb",
                "- - - - - - - -",
            ],
        );
    }

    #[test]
    fn client_is_figure_6() {
        use client::{Event::*, State::*, step};
        check(
            &[Trying, Proceeding, Completed, Terminated],
            &[Provisional, Final, TimerE, TimerF, TimerK, TransportError],
            step,
            &[
                "Proceeding:Pass Completed:Pass Trying:Resend Terminated:TimedOut - Terminated:Unreachable",
                "Proceeding:Pass Completed:Pass Proceeding:Resend Terminated:TimedOut - Terminated:Unreachable",
                "Completed:Absorb Completed:Absorb - - Terminated:Absorb Completed:Absorb",
                "- - - - - -",
            ],
        );
    }

    #[test]
    fn invite_server_is_figure_7_with_rfc_6026() {
        use invite_server::{Event::*, State::*, step};
        check(
            &[Proceeding, Completed, Confirmed, Accepted, Terminated],
            &[
                InviteAgain,
                Provisional,
                Success,
                Failure,
                Ack,
                TimerG,
                TimerH,
                TimerI,
                TimerL,
                TransportError,
            ],
            step,
            &[
                "Proceeding:Resend Proceeding:Send Accepted:Send Completed:Send - - - - - Proceeding:Unreachable",
                "Completed:Resend - - - Confirmed:Absorb Completed:Resend Terminated:TimedOut - - Completed:Unreachable",
                "Confirmed:Absorb - - - Confirmed:Absorb - - Terminated:Absorb - -",
                "Accepted:Absorb - Accepted:Send - Accepted:Pass - - - Terminated:Absorb Accepted:Unreachable",
                "- - - - - - - - - -",
            ],
        );
    }

    #[test]
    fn server_is_figure_8() {
        use server::{Event::*, State::*, step};
        check(
            &[Trying, Proceeding, Completed, Terminated],
            &[RequestAgain, Provisional, Final, TimerJ, TransportError],
            step,
            &[
                "Trying:Absorb Proceeding:Send Completed:Send - -",
                "Proceeding:Resend Proceeding:Send Completed:Send - Terminated:Unreachable",
                "Completed:Resend - Completed:Absorb Terminated:Absorb Terminated:Unreachable",
                "- - - - -",
            ],
        );
    }
}
