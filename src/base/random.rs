//! Seeded randomness: tags, branches, Call-IDs and SSRCs that a peer cannot guess and a test
//! can replay.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// A stream of unpredictable numbers from a 32-byte seed (ChaCha, 12 rounds).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Random(ChaCha12Rng);

impl Random {
    /// The shell seeds from the operating system; tests from a number.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Random(ChaCha12Rng::from_seed(seed))
    }

    /// A short seed for tests and simulations.
    pub fn from_number(seed: u64) -> Self {
        Random(ChaCha12Rng::seed_from_u64(seed))
    }

    /// 32 bits.
    pub fn bits32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 bits.
    pub fn bits64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 for a bound of 0. The modulo bias (below 2^-32) does not matter here.
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 {
            0
        } else {
            (self.bits64() % u64::from(bound)) as u32
        }
    }

    /// A token that is always the same for the same key and parts; without the key it cannot be guessed.
    pub fn token_of(key: u64, parts: &[&str]) -> String {
        // FNV-1a gathers the parts, the ChaCha stream hides what it gathered.
        let gather = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xFF]));
        Random::from_number(bytes.fold(key ^ 0xcbf2_9ce4_8422_2325, gather)).token()
    }

    /// 16 hex digits: 64 bits, twice what RFC 3261 §19.3 asks of a tag.
    pub fn token(&mut self) -> String {
        format!("{:016x}", self.bits64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_the_same_parts_is_the_same_and_of_others_is_not() {
        let token = Random::token_of(1, &["a", "b"]);
        assert_eq!(token, Random::token_of(1, &["a", "b"]));
        assert_ne!(token, Random::token_of(2, &["a", "b"]));
        assert_ne!(token, Random::token_of(1, &["ab", ""]));
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens() {
        let (mut a, mut b) = (Random::from_number(7), Random::from_number(7));
        assert_eq!(a.token(), b.token());
        assert_ne!(a.token(), a.token());
    }
}
