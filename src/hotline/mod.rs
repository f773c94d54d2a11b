//! The hotline's own rules: the silent caller's script, a call's record, the figures.
//!
//! Sees findings and times, never packets or messages. Sources: the operators' rule books
//! (`R1` … `R24` in the README) and the definitions of the figures.

pub mod figures;
pub mod finding;
pub mod health;
pub mod hunt;
pub mod number;
pub mod record;
pub mod route;
pub mod treat;
mod words;
