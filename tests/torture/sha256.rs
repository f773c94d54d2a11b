//! SHA-256 (FIPS 180-4), so that no dependency is needed to tell that a fixture is what it was.

/// The digest in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let mut state: [u32; 8] = std::array::from_fn(|i| fraction(prime(i), 1.0 / 2.0));
    let keys: [u32; 64] = std::array::from_fn(|i| fraction(prime(i), 1.0 / 3.0));
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend((bytes.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        compress(&mut state, &keys, block);
    }
    state.iter().map(|word| format!("{word:08x}")).collect()
}

/// The first 32 bits behind the point of a root of a small number; exact, for an `f64` has 52.
fn fraction(number: u32, power: f64) -> u32 {
    (f64::from(number).powf(power).fract() * 4_294_967_296.0) as u32
}

fn prime(index: usize) -> u32 {
    let is_prime = |n: &u32| (2..*n).all(|d| !n.is_multiple_of(d));
    (2..).filter(is_prime).nth(index).unwrap_or(2)
}

fn compress(state: &mut [u32; 8], keys: &[u32; 64], block: &[u8]) {
    let mut w = [0u32; 64];
    for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
        *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    for t in 16..64 {
        let (x, y) = (w[t - 15], w[t - 2]);
        let small0 = x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3);
        let small1 = y.rotate_right(17) ^ y.rotate_right(19) ^ (y >> 10);
        let sum = w[t - 16].wrapping_add(small0).wrapping_add(w[t - 7]);
        w[t] = sum.wrapping_add(small1);
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for t in 0..64 {
        let big1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let sum = h.wrapping_add(big1).wrapping_add(choice);
        let first = sum.wrapping_add(keys[t]).wrapping_add(w[t]);
        let big0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let second = big0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
        (h, g, f, e) = (g, f, e, d.wrapping_add(first));
        (d, c, b, a) = (c, b, a, first.wrapping_add(second));
    }
    for (word, own) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(own);
    }
}

#[test]
fn the_digest_of_the_standards_example_is_right() {
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(sha256(b"abc"), digest);
}
