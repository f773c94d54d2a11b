//! One call: two legs, one life.

pub mod anchor;
pub mod doors;
