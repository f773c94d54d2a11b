//! Requests of others: nonces of ours, and whether one was used before.
//!
//! A nonce says itself when it was made and that we made it, so that a challenge leaves nothing behind, whoever
//! asked for it. Only a nonce that came back with the right password is remembered, until it is too old: that
//! is what a replay is told by.
//!
//! The URI of the credentials is not compared with the request's: proxies rewrite the latter (RFC 3261 §22.4, 7), and a
//! replay is told by its count, wherever it goes.
//!
//! Source: RFC 7616 §3.3 (nonce, `stale`), §3.4.4 and §5.4 (replay), §5.5; RFC 3261 §22.4; RFC 8760 §2.3 (several challenges).

use super::algorithm::{Algorithm, same, token};
use super::challenge::{Challenge, Side};
use super::credentials::Credentials;
use crate::base::limits::NONCES_MAX;
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::sip::wire::Method;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a nonce is good for.
pub const NONCE_LIFE: Duration = Duration::from_secs(300);

/// Characters of a nonce: time, number, token.
const TIME_DIGITS: usize = 16;
const NUMBER_DIGITS: usize = 8;

/// When a nonce was made, and which of that moment it is.
type Stamp = (u64, u32);

/// What keeps strangers out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    key: [u8; 32],
    made: u32,
    /// Counts that came with each nonce.
    used: BTreeMap<Stamp, Used>,
    /// Nonces up to this one are too old, because what was known of them had to make room.
    floor: Option<Stamp>,
}

/// What credentials are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is who it says.
    Right,
    /// The password is right, but the nonce is too old, not ours or was used before: challenge again, with `stale`.
    Stale,
    /// Unknown user, wrong password or realm, an algorithm that we did not offer.
    Wrong,
}

/// What is expected of credentials.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The realm of our challenge.
    pub realm: &'a str,
    /// What our challenge offered.
    pub algorithms: &'a [Algorithm],
    /// The method of the request.
    pub method: &'a Method,
    /// The password of the user that the credentials name; `None` if nobody has that name.
    pub password: Option<&'a str>,
}

/// The counts of one nonce: the highest, and which of the 64 below it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Used {
    highest: u32,
    below: u64,
}

impl Guard {
    /// With a key of its own.
    pub fn new(random: &mut Random) -> Guard {
        let mut key = [0; 32];
        for chunk in key.chunks_mut(8) {
            chunk.copy_from_slice(&random.bits64().to_be_bytes());
        }
        Guard {
            key,
            made: 0,
            used: BTreeMap::new(),
            floor: None,
        }
    }

    /// One challenge for each algorithm, in the order of our preference (RFC 8760 §2.3), with a nonce that they share.
    pub fn challenges(
        &mut self,
        now: Instant,
        realm: &str,
        algorithms: &[Algorithm],
        stale: bool,
    ) -> Vec<Challenge> {
        self.made = self.made.wrapping_add(1);
        let nonce = self.nonce((now.as_nanos(), self.made), realm);
        let challenge = |algorithm: &Algorithm| Challenge {
            side: Side::End,
            realm: realm.to_owned(),
            nonce: nonce.clone(),
            opaque: Some(token(&self.key, "opaque")),
            algorithm: *algorithm,
            counts: true,
            stale,
        };
        algorithms.iter().map(challenge).collect()
    }

    fn nonce(&self, (time, number): Stamp, realm: &str) -> String {
        let stamp = format!("{time:0TIME_DIGITS$x}{number:0NUMBER_DIGITS$x}");
        let token = token(&self.key, &format!("{stamp}:{realm}"));
        stamp + &token
    }

    /// What these credentials are worth. Right ones use up their count.
    pub fn check(
        &mut self,
        now: Instant,
        credentials: &Credentials,
        expected: Expected<'_>,
    ) -> Verdict {
        // Hashed for an unknown user too: how long it takes says nothing of who is known.
        let password = expected.password.unwrap_or_default();
        let is_right = credentials.is_right(expected.method, password);
        let is_meant = credentials.realm == expected.realm
            && expected.algorithms.contains(&credentials.algorithm);
        if !(is_right && is_meant && expected.password.is_some()) {
            return Verdict::Wrong;
        }
        let count = credentials.counted.as_ref().map_or(1, |one| one.count);
        match self.stamp_of(now, &credentials.nonce, expected.realm) {
            Some(stamp) if self.use_up(now, stamp, count) => Verdict::Right,
            _ => Verdict::Stale,
        }
    }

    /// The stamp of a nonce of ours that is not too old.
    fn stamp_of(&self, now: Instant, nonce: &str, realm: &str) -> Option<Stamp> {
        let time = u64::from_str_radix(nonce.get(..TIME_DIGITS)?, 16).ok()?;
        let number = nonce.get(TIME_DIGITS..TIME_DIGITS + NUMBER_DIGITS)?;
        let stamp = (time, u32::from_str_radix(number, 16).ok()?);
        let is_ours = same(&self.nonce(stamp, realm), nonce);
        let is_young = now - Instant::from_nanos(time) <= NONCE_LIFE;
        (is_ours && is_young && self.floor < Some(stamp)).then_some(stamp)
    }

    fn use_up(&mut self, now: Instant, stamp: Stamp, count: u32) -> bool {
        if !self.used.contains_key(&stamp) {
            self.make_room(now);
        }
        self.used.entry(stamp).or_default().take(count)
    }

    /// Forgets nonces that are too old anyway; where that is not enough, the oldest becomes too old.
    fn make_room(&mut self, now: Instant) {
        let end_of_life = now.before(NONCE_LIFE).as_nanos();
        while let Some((&oldest, _)) = self.used.first_key_value() {
            let is_dead = oldest.0 < end_of_life;
            if !is_dead && self.used.len() < NONCES_MAX {
                return;
            }
            self.used.pop_first();
            if !is_dead {
                self.floor = Some(oldest);
            }
        }
    }
}

impl Used {
    /// Notes a count; `false` if it came before, or is so far below the highest that nobody knows.
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let up = count - self.highest;
            let was_highest = if self.highest == 0 { 0 } else { 1 };
            self.below = self.below.checked_shl(up).unwrap_or(0)
                | (was_highest as u64).checked_shl(up - 1).unwrap_or(0);
            self.highest = count;
            return true;
        }
        let Some(bit) = (self.highest - count)
            .checked_sub(1)
            .and_then(|place| 1_u64.checked_shl(place))
        else {
            return false;
        };
        let is_new = count > 0 && self.below & bit == 0;
        self.below |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::super::credentials::Counted;
    use super::*;

    const NOW: Instant = Instant::from_millis(1_000_000);
    const BOTH: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Md5];

    fn answer(challenge: &Challenge, count: u32, password: &str) -> Credentials {
        let asked = (&Method::Invite, "sip:1@192.0.2.1");
        let cnonce = "c".to_owned();
        let counted = (count > 0).then_some(Counted { count, cnonce });
        Credentials::answering(challenge, "caller", password, asked, counted)
    }

    fn expected() -> Expected<'static> {
        Expected {
            realm: "r",
            algorithms: &BOTH,
            method: &Method::Invite,
            password: Some("secret"),
        }
    }

    fn guard() -> Guard {
        Guard::new(&mut Random::from_number(1))
    }

    #[test]
    fn every_algorithm_that_was_offered_may_be_answered() {
        let mut guard = guard();
        let offered = guard.challenges(NOW, "r", &BOTH, false);
        let names: Vec<&str> = offered.iter().map(|one| one.algorithm.name()).collect();
        assert_eq!(names, ["SHA-256", "MD5"]);
        for (count, challenge) in (1..).zip(&offered) {
            let credentials = answer(challenge, count, "secret");
            assert_eq!(guard.check(NOW, &credentials, expected()), Verdict::Right);
        }
        let mut session = offered[0].clone();
        session.algorithm = Algorithm::Sha256Sess;
        let credentials = answer(&session, 3, "secret");
        assert_eq!(guard.check(NOW, &credentials, expected()), Verdict::Wrong);
    }

    #[test]
    fn a_wrong_password_user_realm_or_method_is_wrong_and_leaves_nothing() {
        let mut guard = guard();
        let challenge = guard.challenges(NOW, "r", &BOTH, false).remove(0);
        let credentials = answer(&challenge, 1, "secret");
        let (realm, method) = ("other", &Method::Bye);
        for expected in [
            Expected {
                password: None,
                ..expected()
            },
            Expected {
                password: Some("Secret"),
                ..expected()
            },
            Expected {
                realm,
                ..expected()
            },
            Expected {
                method,
                ..expected()
            },
        ] {
            assert_eq!(guard.check(NOW, &credentials, expected), Verdict::Wrong);
        }
        let empty = answer(&challenge, 1, "");
        let nobody = Expected {
            password: None,
            ..expected()
        };
        assert_eq!(guard.check(NOW, &empty, nobody), Verdict::Wrong);
        assert!(guard.used.is_empty());
        assert_eq!(guard.check(NOW, &credentials, expected()), Verdict::Right);
    }

    #[test]
    fn a_nonce_lives_for_five_minutes() {
        let mut guard = guard();
        let challenge = guard.challenges(NOW, "r", &BOTH, false).remove(0);
        let (last, late) = (
            NOW + NONCE_LIFE,
            NOW + NONCE_LIFE + Duration::from_millis(1),
        );
        let check = |guard: &mut Guard, now, count| {
            guard.check(now, &answer(&challenge, count, "secret"), expected())
        };
        assert_eq!(check(&mut guard, last, 1), Verdict::Right);
        assert_eq!(check(&mut guard, late, 2), Verdict::Stale);
    }

    #[test]
    fn a_nonce_of_somebody_else_is_stale() {
        let mut guard = guard();
        let mut other = Guard::new(&mut Random::from_number(2));
        let mut foreign = other.challenges(NOW, "r", &BOTH, false).remove(0);
        for nonce in [foreign.nonce.clone(), String::new(), "é".repeat(20)] {
            foreign.nonce = nonce;
            let credentials = answer(&foreign, 1, "secret");
            assert_eq!(guard.check(NOW, &credentials, expected()), Verdict::Stale);
        }
    }

    #[test]
    fn no_count_is_taken_twice_in_whatever_order_they_come() {
        let mut guard = guard();
        let challenge = guard.challenges(NOW, "r", &BOTH, false).remove(0);
        let mut take = |count| {
            let credentials = answer(&challenge, count, "secret");
            guard.check(NOW, &credentials, expected()) == Verdict::Right
        };
        let rows = [
            (1, true),
            (1, false),
            (4, true),
            (2, true),
            (3, true),
            (2, false),
            (4, false),
            (68, true),
            (4, false),
            (5, true),
            (5, false),
            (3, false),
            (200, true),
            (67, false),
            (199, true),
            (u32::MAX, true),
            (u32::MAX, false),
        ];
        for (row, (count, is_new)) in rows.into_iter().enumerate() {
            assert_eq!(take(count), is_new, "row {row}: {count}");
        }
    }

    #[test]
    fn a_nonce_without_a_count_is_taken_once() {
        let mut guard = guard();
        let challenge = guard.challenges(NOW, "r", &BOTH, false).remove(0);
        let credentials = answer(&challenge, 0, "secret");
        assert_eq!(credentials.counted, None);
        assert_eq!(guard.check(NOW, &credentials, expected()), Verdict::Right);
        assert_eq!(guard.check(NOW, &credentials, expected()), Verdict::Stale);
    }

    /// Goal: memory is bounded, and making room opens no door for a replay.
    #[test]
    fn where_there_is_no_room_the_oldest_nonces_become_too_old() {
        let mut guard = guard();
        let challenge = guard.challenges(NOW, "r", &BOTH, false).remove(0);
        let first = answer(&challenge, 1, "secret");
        assert_eq!(guard.check(NOW, &first, expected()), Verdict::Right);
        for number in 0..NONCES_MAX as u32 {
            assert!(guard.use_up(NOW, (NOW.as_nanos(), 10 + number), 1));
        }
        assert_eq!(guard.used.len(), NONCES_MAX);
        assert_eq!(guard.check(NOW, &first, expected()), Verdict::Stale);
        let later = NOW + NONCE_LIFE + Duration::from_secs(1);
        let next = guard.challenges(later, "r", &BOTH, true).remove(0);
        assert!(next.stale);
        let next = answer(&next, 1, "secret");
        assert_eq!(guard.check(later, &next, expected()), Verdict::Right);
        assert_eq!(guard.used.len(), 1, "what is dead makes room");
    }
}
