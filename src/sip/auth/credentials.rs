//! Authorization and Proxy-Authorization.
//!
//! Source: RFC 7616 §3.4 (the fields), RFC 3261 §22.4 (what SIP changes of it).

use super::algorithm::{Algorithm, Answering, same};
use super::challenge::{Challenge, Side};
use super::fields::Fields;
use crate::sip::wire::{Message, Method, Start};

/// What somebody answered to a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Who it is, as it stood between its quotes; the same holds for all texts here.
    pub user: String,
    /// What it is for.
    pub realm: String,
    /// The challenge's nonce.
    pub nonce: String,
    /// The URI that was hashed. A proxy on the way may have changed the request's own.
    pub uri: String,
    /// Which hash.
    pub algorithm: Algorithm,
    /// The hash.
    pub response: String,
    /// With `qop=auth`.
    pub counted: Option<Counted>,
    /// The challenge's opaque.
    pub opaque: Option<String>,
}

/// What `qop=auth` adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// How many requests the client has sent with this nonce, from 1; eight digits in the header.
    pub count: u32,
    /// The client's own nonce.
    pub cnonce: String,
}

impl Credentials {
    /// The answer to a challenge.
    pub fn answering(
        challenge: &Challenge,
        user: &str,
        password: &str,
        request: (&Method, &str),
        counted: Option<Counted>,
    ) -> Credentials {
        let (method, uri) = request;
        let mut credentials = Credentials {
            user: user.to_owned(),
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            uri: uri.to_owned(),
            algorithm: challenge.algorithm,
            response: String::new(),
            counted: counted.filter(|_| challenge.counts),
            opaque: challenge.opaque.clone(),
        };
        credentials.response = credentials.response_with(method, password);
        credentials
    }

    /// Those of a request, in the order of its headers.
    pub fn of_request(request: &Message, side: Side) -> Vec<Credentials> {
        let lines = request.headers.all(side.answers_in());
        let digests = lines.flat_map(Fields::read).filter(Fields::is_digest);
        digests
            .filter_map(|fields| Credentials::of(&fields))
            .collect()
    }

    fn of(fields: &Fields) -> Option<Credentials> {
        let own = |name| fields.value(name).map(str::to_owned);
        let algorithm = fields
            .value("algorithm")
            .map_or(Some(Algorithm::Md5), Algorithm::named);
        Some(Credentials {
            user: own("username")?,
            realm: own("realm")?,
            nonce: own("nonce")?,
            uri: own("uri")?,
            algorithm: algorithm?,
            response: own("response")?,
            counted: match fields.value("qop") {
                Some(qop) if qop.eq_ignore_ascii_case("auth") => Some(Counted {
                    count: count(fields.value("nc")?)?,
                    cnonce: own("cnonce")?,
                }),
                Some(_) => return None,
                None => None,
            },
            opaque: own("opaque"),
        })
    }

    /// Whether they were made by somebody who knows the password, for a request of this method. Takes as long for a
    /// wrong one as for the right one.
    pub fn is_right(&self, method: &Method, password: &str) -> bool {
        let right = self.response_with(method, password);
        same(&right, &self.response.to_ascii_lowercase())
    }

    fn response_with(&self, method: &Method, password: &str) -> String {
        let counted = self.counted.as_ref();
        let counted = counted.map(|one| (format!("{:08x}", one.count), &one.cnonce));
        let answering = Answering {
            algorithm: self.algorithm,
            user: &self.user,
            realm: &self.realm,
            nonce: &self.nonce,
            counted: counted
                .as_ref()
                .map(|(count, cnonce)| (count.as_str(), cnonce.as_str())),
            method: method.as_str(),
            uri: &self.uri,
        };
        answering.response(password)
    }

    /// The header's value. Quotes stand where RFC 7616 §3.4 wants them.
    pub fn to_value(&self) -> String {
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{}\", algorithm={}",
            self.user, self.realm, self.nonce, self.uri, self.response, self.algorithm
        );
        if let Some(Counted { count, cnonce }) = &self.counted {
            value += &format!(", qop=auth, nc={count:08x}, cnonce=\"{cnonce}\"");
        }
        if let Some(opaque) = &self.opaque {
            value += &format!(", opaque=\"{opaque}\"");
        }
        value
    }
}

/// What of a request is hashed.
pub(super) fn asked(request: &Message) -> Option<(&Method, String)> {
    match &request.start {
        Start::Request { method, uri } => Some((method, uri.to_string())),
        Start::Response { .. } => None,
    }
}

/// Eight hexadecimal digits (RFC 7616 §3.4, `nc`). Read as a number, so that its digits may be in either case; what
/// was hashed is small (RFC 3261 §25.1, `LHEX`).
fn count(text: &str) -> Option<u32> {
    let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(value: &str) -> Option<Credentials> {
        let uri = crate::sip::wire::Uri::parse("sip:1@192.0.2.1").expect("a URI");
        let mut request = Message::request(Method::Invite, uri);
        request.headers.push("Authorization", value);
        Credentials::of_request(&request, Side::End).pop()
    }

    #[test]
    fn the_header_of_rfc_7616_is_read_and_right() {
        let value = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
            algorithm=SHA-256, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
            cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
            response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", \
            opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        let read = read(value).expect("credentials");
        let get = Method::from("GET");
        assert!(read.is_right(&get, "Circle of Life"));
        assert!(!read.is_right(&get, "Circle of life"));
        assert!(!read.is_right(&Method::from("POST"), "Circle of Life"));
        assert_eq!(read.counted.as_ref().map(|one| one.count), Some(1));
    }

    #[test]
    fn what_lacks_a_field_or_has_a_strange_one_is_none() {
        let good = "Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"d\", response=\"e\", \
            algorithm=MD5, qop=auth, nc=0000000A, cnonce=\"f\"";
        assert_eq!(
            read(good)
                .expect("credentials")
                .counted
                .expect("a count")
                .count,
            10
        );
        for name in [
            "username", "realm", "nonce", "uri", "response", "nc", "cnonce",
        ] {
            assert_eq!(
                read(&good.replace(&format!("{name}="), "x=")),
                None,
                "{name}"
            );
        }
        for (old, new) in [
            ("Digest", "Basic"),
            ("MD5", "SHA-512-256"),
            ("qop=auth", "qop=auth-int"),
            ("0000000A", "1"),
            ("0000000A", "+000000A"),
        ] {
            assert_eq!(read(&good.replace(old, new)), None, "{new}");
        }
    }

    fn challenge() -> impl Strategy<Value = Challenge> {
        let algorithm = (0..4_usize).prop_map(|at| Algorithm::ALL[at]);
        let text = "[ !#-\\[\\]-~é请]{1,12}";
        let opaque = proptest::option::of(text);
        (text, text, opaque, algorithm, any::<bool>()).prop_map(
            |(realm, nonce, opaque, algorithm, counts)| Challenge {
                side: Side::End,
                realm,
                nonce,
                opaque,
                algorithm,
                counts,
                stale: false,
            },
        )
    }

    proptest! {
        /// What we write is read back as it was, and is right with the password and with no other.
        #[test]
        fn what_our_client_writes_is_right_for_who_knows_the_password(
            challenge in challenge(),
            (user, password) in ("[ !#-\\[\\]-~é请]{1,12}", "\\PC{0,12}"),
            (count, cnonce) in (1..u32::MAX, "[0-9a-f]{16}"),
        ) {
            let asked = (&Method::Invite, "sip:4006000121@192.0.2.1:5060");
            let counted = Some(Counted { count, cnonce });
            let made = Credentials::answering(&challenge, &user, &password, asked, counted);
            let read = read(&made.to_value()).expect("credentials");
            prop_assert_eq!(&read, &made);
            prop_assert!(read.is_right(&Method::Invite, &password));
            let other = format!("{password}x");
            prop_assert!(!read.is_right(&Method::Invite, &other));
            prop_assert!(!read.is_right(&Method::Bye, &password));
        }
    }
}
