//! One call: two legs, one life.

pub mod doors;
