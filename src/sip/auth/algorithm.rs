//! What is hashed, and with what.
//!
//! Source: RFC 7616 §3.4.1 to §3.4.3 (RFC 2617 §3.2.2 for MD5), §6.1 (names).

use crate::sip::wire::text;
use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// The hash, and whether the nonces go into the hash of the password (`-sess`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// RFC 2617; what is meant where no algorithm is named.
    Md5,
    /// RFC 2617.
    Md5Sess,
    /// RFC 7616.
    Sha256,
    /// RFC 7616.
    Sha256Sess,
}

impl Algorithm {
    /// All that are understood.
    pub const ALL: [Algorithm; 4] = [
        Algorithm::Md5,
        Algorithm::Md5Sess,
        Algorithm::Sha256,
        Algorithm::Sha256Sess,
    ];

    /// Its name in the headers.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Md5Sess => "MD5-sess",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha256Sess => "SHA-256-sess",
        }
    }

    /// The algorithm of this name, in any case; `None` for one that we do not have, such as SHA-512-256.
    pub fn named(name: &str) -> Option<Algorithm> {
        let same = |algorithm: &Algorithm| algorithm.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(same)
    }

    const fn is_session(self) -> bool {
        matches!(self, Algorithm::Md5Sess | Algorithm::Sha256Sess)
    }

    /// The hash of these parts with colons between them, in small hexadecimal digits.
    fn hash(self, parts: &[&str]) -> String {
        let joined = text::bytes(&parts.join(":"));
        match self {
            Algorithm::Md5 | Algorithm::Md5Sess => hex(&Md5::digest(joined)),
            Algorithm::Sha256 | Algorithm::Sha256Sess => hex(&Sha256::digest(joined)),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What goes into a response besides the password. The order of the fields is that of RFC 7616 §3.4.1.
#[derive(Clone, Copy, Debug)]
pub struct Answering<'a> {
    /// Which hash.
    pub algorithm: Algorithm,
    /// The user.
    pub user: &'a str,
    /// The realm, as it stood between its quotes.
    pub realm: &'a str,
    /// The nonce, likewise.
    pub nonce: &'a str,
    /// With qop `auth`: the count and the client's nonce; `None` without qop.
    pub counted: Option<(&'a str, &'a str)>,
    /// The method of the request.
    pub method: &'a str,
    /// The URI that the credentials name.
    pub uri: &'a str,
}

impl Answering<'_> {
    /// The response of somebody who knows this password. A session algorithm without a client's nonce is hashed with
    /// an empty one.
    pub fn response(&self, password: &str) -> String {
        let hash = |parts: &[&str]| self.algorithm.hash(parts);
        let mut secret = hash(&[self.user, self.realm, password]);
        if self.algorithm.is_session() {
            let cnonce = self.counted.map_or("", |(_, cnonce)| cnonce);
            secret = hash(&[&secret, self.nonce, cnonce]);
        }
        let asked = hash(&[self.method, self.uri]);
        match self.counted {
            Some((count, cnonce)) => hash(&[&secret, self.nonce, count, cnonce, "auth", &asked]),
            None => hash(&[&secret, self.nonce, &asked]),
        }
    }
}

/// A keyed hash: without the key nobody can make the token of other parts. The parts must be of fixed length, or
/// hold no colon.
pub(super) fn token(key: &[u8; 32], parts: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(parts.as_bytes());
    // Half of it: enough not to be guessed, and cut short it cannot be gone on from.
    hex(&hash.finalize()[..16])
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub(super) fn same(a: &str, b: &str) -> bool {
    let differ = a
        .bytes()
        .zip(b.bytes())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(differ) == 0 && a.len() == b.len()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616 §3.9.1. The session and count-less forms are not in the RFC; they were computed with
    /// Python's hashlib.
    #[test]
    fn the_examples_of_rfc_7616_come_out() {
        let answering = |algorithm, with_count: bool| {
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let answering = Answering {
                algorithm,
                user: "Mufasa",
                realm: "http-auth@example.org",
                nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                counted: with_count.then_some(("00000001", cnonce)),
                method: "GET",
                uri: "/dir/index.html",
            };
            answering.response("Circle of Life")
        };
        for (algorithm, with_count, response) in [
            (Algorithm::Md5, true, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                Algorithm::Sha256,
                true,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
            (Algorithm::Md5Sess, true, "e783283f46242139c486a698fec7211d"),
            (
                Algorithm::Sha256Sess,
                true,
                "2fd51b3a77ad75bad6afad6003e818d767133c46d9e2749e7f5232ae1ea3efd7",
            ),
            (Algorithm::Md5, false, "7b2cc3b30e75b4777ea31027084363fd"),
            (
                Algorithm::Sha256,
                false,
                "a1306b0595a6c7fe96c448631fb5cfbd5107bd1fe1da729d978dd7446b812363",
            ),
        ] {
            assert_eq!(answering(algorithm, with_count), response, "{algorithm}");
        }
    }

    #[test]
    fn the_example_of_rfc_2617_comes_out() {
        let answering = Answering {
            algorithm: Algorithm::Md5,
            user: "Mufasa",
            realm: "testrealm@host.com",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            counted: Some(("00000001", "0a4f113b")),
            method: "GET",
            uri: "/dir/index.html",
        };
        assert_eq!(
            answering.response("Circle Of Life"),
            "6629fae49393a05397450978507c4ef1"
        );
    }

    #[test]
    fn algorithms_are_named_without_regard_to_case_and_others_are_none() {
        for algorithm in Algorithm::ALL {
            let name = algorithm.name();
            assert_eq!(Algorithm::named(&name.to_lowercase()), Some(algorithm));
        }
        for name in ["SHA-512-256", "AKAv1-MD5", "", "SHA256"] {
            assert_eq!(Algorithm::named(name), None, "{name}");
        }
    }

    #[test]
    fn only_the_same_is_the_same() {
        assert!(same("abc", "abc") && same("", ""));
        for (a, b) in [("abc", "abd"), ("abc", "ab"), ("", "a"), ("abc", "abcd")] {
            assert!(!same(a, b) && !same(b, a), "{a} {b}");
        }
    }
}
