//! The commands: arguments → one function each.

pub mod calls;
