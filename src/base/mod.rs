//! What every room stands on: time as a value, ids, seeded randomness, limits.

pub mod codec;
pub mod ids;
pub mod limits;
pub mod random;
pub mod time;
pub mod timers;
pub mod transport;
