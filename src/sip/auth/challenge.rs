//! WWW-Authenticate and Proxy-Authenticate.
//!
//! Source: RFC 7616 §3.3 (the fields), RFC 3261 §22.2 and §22.3 (401 and 407), RFC 8760 §2.4 (which of several).

use super::algorithm::Algorithm;
use super::fields::Fields;
use crate::sip::wire::Message;
use serde::{Deserialize, Serialize};

/// Realms of one response that are answered: a request that forked over proxies may meet several
/// (RFC 3261 §22.3).
const REALMS_MAX: usize = 4;

/// Who challenges: the other end, or a proxy on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// 401.
    End,
    /// 407.
    Proxy,
}

impl Side {
    /// Both.
    pub const BOTH: [Side; 2] = [Side::End, Side::Proxy];

    /// The header that challenges.
    pub const fn challenges_in(self) -> &'static str {
        match self {
            Side::End => "WWW-Authenticate",
            Side::Proxy => "Proxy-Authenticate",
        }
    }

    /// The header that answers.
    pub const fn answers_in(self) -> &'static str {
        match self {
            Side::End => "Authorization",
            Side::Proxy => "Proxy-Authorization",
        }
    }
}

/// A challenge that can be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Whose it is.
    pub side: Side,
    /// What it protects, as it stood between its quotes.
    pub realm: String,
    /// Likewise.
    pub nonce: String,
    /// To be sent back as it is.
    pub opaque: Option<String>,
    /// Which hash.
    pub algorithm: Algorithm,
    /// Whether it takes `qop=auth`; without it there is no qop at all.
    pub counts: bool,
    /// The credentials were right, but for a nonce that is too old.
    pub stale: bool,
}

impl Challenge {
    /// The challenges of a 401 or 407 that are to be answered: of each realm the topmost one that we can
    /// (RFC 8760 §2.4).
    pub fn of_response(response: &Message) -> Vec<Challenge> {
        let mut chosen: Vec<Challenge> = Vec::new();
        for side in Side::BOTH {
            let lines = response.headers.all(side.challenges_in());
            let readable = lines.flat_map(Fields::read);
            for challenge in readable.filter_map(|fields| Challenge::of(side, &fields)) {
                if !chosen
                    .iter()
                    .any(|known| known.is_of_same_realm(&challenge))
                {
                    chosen.push(challenge);
                }
            }
        }
        chosen.truncate(REALMS_MAX);
        chosen
    }

    fn of(side: Side, fields: &Fields) -> Option<Challenge> {
        let own = |name| fields.value(name).map(str::to_owned);
        let algorithm = fields
            .value("algorithm")
            .map_or(Some(Algorithm::Md5), Algorithm::named);
        let counts = match fields.value("qop") {
            Some(list) => {
                let mut words = list.split(',').map(str::trim);
                // Only auth-int, or something newer: not for us.
                words
                    .any(|word| word.eq_ignore_ascii_case("auth"))
                    .then_some(true)
            }
            None => Some(false),
        };
        let stale = fields.value("stale");
        (fields.is_digest()).then_some(Challenge {
            side,
            realm: own("realm")?,
            nonce: own("nonce")?,
            opaque: own("opaque"),
            algorithm: algorithm?,
            counts: counts?,
            stale: stale.is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// Whether two challenges are of one protection space.
    pub fn is_of_same_realm(&self, other: &Challenge) -> bool {
        (self.side, &self.realm) == (other.side, &other.realm)
    }

    /// The header's value.
    pub fn to_value(&self) -> String {
        let mut value = format!(
            "Digest realm=\"{}\", nonce=\"{}\", algorithm={}",
            self.realm, self.nonce, self.algorithm
        );
        if let Some(opaque) = &self.opaque {
            value += &format!(", opaque=\"{opaque}\"");
        }
        if self.counts {
            value += ", qop=\"auth\"";
        }
        if self.stale {
            value += ", stale=true";
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)]) -> Message {
        let mut response = Message::response(status, None);
        for (name, value) in headers {
            response.headers.push(name, value);
        }
        response
    }

    fn one(value: &str) -> Option<Challenge> {
        let found = Challenge::of_response(&response(401, &[("WWW-Authenticate", value)]));
        assert!(found.len() <= 1);
        found.into_iter().next()
    }

    #[test]
    fn a_challenge_is_read_and_written() {
        let text = "Digest realm=\"up.example\", nonce=\"b5d8\", algorithm=SHA-256, opaque=\"o\", qop=\"auth\", stale=true";
        let challenge = one(text).expect("a challenge");
        assert_eq!(challenge.algorithm, Algorithm::Sha256);
        assert!(challenge.counts && challenge.stale);
        assert_eq!(challenge.opaque.as_deref(), Some("o"));
        assert_eq!(challenge.to_value(), text);
        let oldest = one("digest nonce=n,realm=r").expect("a challenge");
        assert_eq!((oldest.algorithm, oldest.counts), (Algorithm::Md5, false));
        assert!(!oldest.stale);
    }

    #[test]
    fn what_we_cannot_answer_is_no_challenge() {
        for value in [
            "Basic realm=\"a\"",
            "Digest realm=\"a\"",
            "Digest nonce=\"a\"",
            "Digest realm=\"a\", nonce=\"b\", algorithm=SHA-512-256",
            "Digest realm=\"a\", nonce=\"b\", qop=\"auth-int\"",
        ] {
            assert_eq!(one(value), None, "{value}");
        }
        let both = one("Digest realm=\"a\", nonce=\"b\", qop=\"auth-int, auth\"");
        assert!(both.expect("a challenge").counts);
    }

    /// RFC 8760 §2.4: the topmost that is supported, and not the strongest.
    #[test]
    fn of_each_realm_the_topmost_that_we_can_is_answered() {
        let headers = [
            (
                "Proxy-Authenticate",
                "Digest realm=\"p\", nonce=\"1\", algorithm=SHA-512-256",
            ),
            (
                "Proxy-Authenticate",
                "Digest realm=\"p\", nonce=\"2\", algorithm=SHA-256",
            ),
            (
                "Proxy-Authenticate",
                "Digest realm=\"p\", nonce=\"3\", algorithm=MD5",
            ),
            (
                "Proxy-Authenticate",
                "Digest realm=\"q\", nonce=\"4\", algorithm=MD5",
            ),
            (
                "WWW-Authenticate",
                "Digest realm=\"p\", nonce=\"5\", algorithm=MD5",
            ),
        ];
        let chosen = Challenge::of_response(&response(407, &headers));
        let nonces: Vec<&str> = chosen.iter().map(|one| one.nonce.as_str()).collect();
        assert_eq!(nonces, ["5", "2", "4"]);
    }
}
