//! Our own requests: who challenged us, and how often each nonce was used.
//!
//! Decides whether a refused request is worth repeating, and what it says then. One [`Login`] is kept for all requests to
//! one target, so that the next call carries credentials at once and saves the round trip (RFC 7616 §3.3, `nonce`).
//!
//! Source: RFC 3261 §22.1 (never again what was just rejected), §22.2 and §22.3, §8.1.3.5 (the repeated request).

use super::challenge::{Challenge, Side};
use super::credentials::{Counted, Credentials, asked};
use crate::base::random::Random;
use crate::sip::wire::{Message, PeerFault};
use serde::{Deserialize, Serialize};

/// How often one request is repeated for challenges, whatever they say: a proxy's, then the other end's, each of
/// which may find its nonce too old once.
pub const REPEATS_MAX: u8 = 4;

/// Protection spaces that one target is known to have.
const SPACES_MAX: usize = 8;

/// Who we are for somebody.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// Our name there.
    pub user: &'a str,
    /// What proves it.
    pub password: &'a str,
}

/// What one target's challenges said last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    spaces: Vec<Space>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Space {
    challenge: Challenge,
    /// One a nonce: the session algorithms hash it only once.
    cnonce: String,
    /// Requests so far with this nonce.
    count: u32,
}

impl Login {
    /// Takes the challenges of a 401 or 407 to a request of ours, which was repeated so many times before. Whether it is
    /// worth repeating, signed anew: not if its credentials were rejected, nor if nothing in the response can be answered.
    pub fn take(
        &mut self,
        refused: &Message,
        response: &Message,
        repeats: u8,
        random: &mut Random,
    ) -> bool {
        if !matches!(response.status(), Some(401 | 407)) || repeats >= REPEATS_MAX {
            return false;
        }
        let challenges = Challenge::of_response(response);
        let rejected = |one: &&Challenge| is_rejected(refused, one, repeats);
        if let Some(rejected) = challenges.iter().find(rejected) {
            self.spaces
                .retain(|space| !space.challenge.is_of_same_realm(rejected));
            return false;
        }
        let any = !challenges.is_empty();
        for challenge in challenges {
            self.learn(challenge, random);
        }
        any
    }

    fn learn(&mut self, challenge: Challenge, random: &mut Random) {
        let mut spaces = self.spaces.iter_mut();
        let known = spaces.find(|space| space.challenge.is_of_same_realm(&challenge));
        match known {
            // The count of a nonce never goes back.
            Some(space) if space.challenge.nonce == challenge.nonce => space.challenge = challenge,
            Some(space) => *space = Space::new(challenge, random),
            None => {
                if self.spaces.len() >= SPACES_MAX {
                    self.spaces.remove(0);
                }
                self.spaces.push(Space::new(challenge, random));
            }
        }
    }

    /// Puts credentials into a request, for all that has challenged us and may do so again. Those of other realms
    /// stay as they are.
    pub fn sign(&mut self, request: &mut Message, account: Account<'_>) {
        for space in &mut self.spaces {
            if let Some(credentials) = space.next(request, account) {
                replace(request, space.challenge.side, &credentials);
            }
        }
        // Without a count nobody can tell a second use from a replay: such a nonce is used once.
        self.spaces.retain(|space| space.challenge.counts);
    }
}

impl Space {
    fn new(challenge: Challenge, random: &mut Random) -> Space {
        Space {
            challenge,
            cnonce: random.token(),
            count: 0,
        }
    }

    fn next(&mut self, request: &Message, account: Account<'_>) -> Option<Credentials> {
        let (method, uri) = asked(request)?;
        self.count = self.count.saturating_add(1);
        let counted = Counted {
            count: self.count,
            cnonce: self.cnonce.clone(),
        };
        let (user, password) = (account.user, account.password);
        let asked = (method, uri.as_str());
        let challenge = &self.challenge;
        Some(Credentials::answering(
            challenge,
            user,
            password,
            asked,
            Some(counted),
        ))
    }
}

/// Whether the request had an answer to such a challenge already, that was not merely too old: a nonce that was kept
/// from an earlier request may have run out without a word of `stale`.
fn is_rejected(refused: &Message, challenge: &Challenge, repeats: u8) -> bool {
    let sent = Credentials::of_request(refused, challenge.side);
    let same_realm = |one: &&Credentials| one.realm == challenge.realm;
    sent.iter().find(same_realm).is_some_and(|sent| {
        let was_kept = sent.counted.as_ref().is_some_and(|one| one.count > 1);
        let is_new = sent.nonce != challenge.nonce;
        !(challenge.stale || was_kept && (is_new || repeats == 0))
    })
}

fn replace(request: &mut Message, side: Side, credentials: &Credentials) {
    let name = side.answers_in();
    let is_other = |line: &&str| {
        let mut only_it = Message::response(200, None);
        only_it.headers.push(name, line);
        let read = Credentials::of_request(&only_it, side);
        !read.iter().any(|one| one.realm == credentials.realm)
    };
    let others: Vec<String> = request
        .headers
        .all(name)
        .filter(is_other)
        .map(str::to_owned)
        .collect();
    request.headers.remove(name);
    for other in others {
        request.headers.push(name, &other);
    }
    request.headers.push(name, &credentials.to_value());
}

/// The request that comes after one that was challenged: the same, Call-ID and From tag too, with the next CSeq, and
/// without what is written on it when it is sent (RFC 3261 §8.1.3.5).
///
/// # Errors
/// Its CSeq cannot be read.
pub fn repeated(refused: &Message) -> Result<Message, PeerFault> {
    let mut request = refused.clone();
    let cseq = refused.cseq()?;
    let next = format!("{} {}", cseq.number.saturating_add(1), cseq.method);
    for name in ["Via", "Contact", "Allow", "User-Agent"] {
        request.headers.remove(name);
    }
    request.headers.set("CSeq", &next);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::{Method, Uri};

    const ACCOUNT: Account<'_> = Account {
        user: "b2bua",
        password: "secret",
    };

    fn invite() -> Message {
        let uri = Uri::parse("sip:1@192.0.2.9").expect("a URI");
        let mut invite = Message::request(Method::Invite, uri);
        for (name, value) in [
            ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
            ("From", "<sip:a@192.0.2.1>;tag=x"),
            ("Call-ID", "c"),
            ("CSeq", "1 INVITE"),
            ("Contact", "<sip:192.0.2.1>"),
        ] {
            invite.headers.push(name, value);
        }
        invite
    }

    fn challenged(status: u16, realm: &str, rest: &str) -> Message {
        let name = if status == 401 {
            "WWW-Authenticate"
        } else {
            "Proxy-Authenticate"
        };
        let mut response = Message::response(status, None);
        let value = format!("Digest realm=\"{realm}\", {rest}");
        response.headers.push(name, &value);
        response
    }

    struct World {
        login: Login,
        random: Random,
        request: Message,
        repeats: u8,
    }

    impl World {
        fn new() -> World {
            World {
                login: Login::default(),
                random: Random::from_number(1),
                request: invite(),
                repeats: 0,
            }
        }

        /// Another request to the same target.
        fn next_request(&mut self) {
            self.request = invite();
            self.repeats = 0;
            self.login.sign(&mut self.request, ACCOUNT);
        }

        fn meets(&mut self, response: &Message) -> bool {
            let World { login, random, .. } = self;
            if !login.take(&self.request, response, self.repeats, random) {
                return false;
            }
            self.request = repeated(&self.request).expect("a request");
            self.repeats += 1;
            self.login.sign(&mut self.request, ACCOUNT);
            true
        }

        fn sent(&self, side: Side) -> Vec<(String, String, u32)> {
            let sent = Credentials::of_request(&self.request, side);
            assert!(
                sent.iter()
                    .all(|one| one.is_right(&Method::Invite, "secret"))
            );
            let shown = |one: Credentials| {
                let count = one.counted.map_or(0, |one| one.count);
                (one.realm, one.nonce, count)
            };
            sent.into_iter().map(shown).collect()
        }
    }

    fn row(realm: &str, nonce: &str, count: u32) -> (String, String, u32) {
        (realm.to_owned(), nonce.to_owned(), count)
    }

    #[test]
    fn a_challenge_is_answered_once_and_a_rejection_is_final() {
        for status in [401, 407] {
            let mut world = World::new();
            let side = if status == 401 {
                Side::End
            } else {
                Side::Proxy
            };
            assert!(world.meets(&challenged(status, "r", "nonce=\"1\", qop=\"auth\"")));
            assert_eq!(world.sent(side), [row("r", "1", 1)]);
            let cseq = world.request.cseq().expect("CSeq").number;
            assert_eq!((cseq, world.request.call_id()), (2, "c"));
            assert_eq!(world.request.from().expect("From").tag(), Some("x"));
            assert_eq!(world.request.headers.first("Via"), None);
            assert!(!world.meets(&challenged(status, "r", "nonce=\"2\", qop=\"auth\"")));
            world.next_request();
            assert_eq!(world.sent(side), [], "what was rejected is not sent again");
        }
    }

    #[test]
    fn a_stale_nonce_is_replaced_but_not_for_ever() {
        let mut world = World::new();
        assert!(world.meets(&challenged(401, "r", "nonce=\"0\", qop=\"auth\"")));
        let mut repeats = 1;
        while world.meets(&challenged(
            401,
            "r",
            &format!("nonce=\"{repeats}\", qop=\"auth\", stale=TRUE"),
        )) {
            assert_eq!(world.sent(Side::End), [row("r", &repeats.to_string(), 1)]);
            repeats += 1;
            assert!(repeats < 100);
        }
        assert_eq!(repeats, REPEATS_MAX);
    }

    #[test]
    fn a_proxy_and_the_end_behind_it_both_get_theirs() {
        let mut world = World::new();
        assert!(world.meets(&challenged(407, "p", "nonce=\"1\"")));
        assert!(world.meets(&challenged(401, "e", "nonce=\"2\", qop=\"auth\"")));
        assert_eq!(world.sent(Side::Proxy), [row("p", "1", 0)]);
        assert_eq!(world.sent(Side::End), [row("e", "2", 1)]);
        assert!(!world.meets(&challenged(401, "e", "nonce=\"3\", qop=\"auth\"")));
    }

    #[test]
    fn a_kept_nonce_is_used_at_once_and_counted() {
        let mut world = World::new();
        assert!(world.meets(&challenged(401, "r", "nonce=\"1\", qop=\"auth\"")));
        for count in 2..5 {
            world.next_request();
            assert_eq!(world.sent(Side::End), [row("r", "1", count)]);
        }
        // It may have run out without a word of it; then it is worth one more.
        assert!(world.meets(&challenged(401, "r", "nonce=\"2\", qop=\"auth\"")));
        assert_eq!(world.sent(Side::End), [row("r", "2", 1)]);
        assert!(!world.meets(&challenged(401, "r", "nonce=\"3\", qop=\"auth\"")));
    }

    #[test]
    fn a_nonce_that_never_changes_is_counted_on_and_makes_no_loop() {
        let mut world = World::new();
        let same = challenged(401, "r", "nonce=\"1\", qop=\"auth\"");
        assert!(world.meets(&same));
        world.next_request();
        assert!(world.meets(&same));
        assert_eq!(world.sent(Side::End), [row("r", "1", 3)]);
        assert!(!world.meets(&same));
    }

    #[test]
    fn a_nonce_without_a_count_is_used_once() {
        let mut world = World::new();
        assert!(world.meets(&challenged(401, "r", "nonce=\"1\"")));
        assert_eq!(world.sent(Side::End), [row("r", "1", 0)]);
        world.next_request();
        assert_eq!(world.sent(Side::End), []);
    }

    #[test]
    fn other_refusals_and_what_we_cannot_answer_are_not_repeated() {
        let mut world = World::new();
        let mut forbidden = challenged(401, "r", "nonce=\"1\"");
        forbidden.start = Message::response(403, None).start;
        assert!(!world.meets(&forbidden));
        assert!(!world.meets(&challenged(401, "r", "nonce=\"1\", algorithm=SHA-512-256")));
        assert!(!world.meets(&Message::response(401, None)));
    }
}
