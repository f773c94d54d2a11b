//! Audio codecs. So far G.711's two laws.

pub mod g711;
