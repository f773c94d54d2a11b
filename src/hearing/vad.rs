//! What every voice activity detector must be able to do.

use super::Frame;

/// An opinion of single frames. It may remember earlier ones.
pub trait Vad {
    /// Whether this frame sounds like speech.
    fn is_speech(&mut self, frame: &Frame) -> bool;

    /// Forgets all earlier frames.
    fn reset(&mut self);
}
