//! URIs. Those of SIP are taken apart; others (`tel:`, `urn:`, `isbn:`) are kept as they are.
//!
//! Escapes stay as they were written, so that nothing is unescaped twice; [`Uri::user`] is unescaped once.
//! Source: RFC 3261 §19.1, §25.1; RFC 5118 (IPv6).

use super::fault::PeerFault;
use super::host::Host;
use super::params::Params;
use super::text;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A URI. Equal means: the same parts, written alike but for the case of the scheme.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uri {
    /// In lower case.
    scheme: String,
    rest: Rest,
}

/// What is behind the scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rest {
    Sip {
        user: Option<String>,
        password: Option<String>,
        host: Host,
        port: Option<u16>,
        params: Params,
        headers: Option<String>,
    },
    Opaque(String),
}

impl Uri {
    /// Reads a URI without brackets or blanks around it.
    ///
    /// # Errors
    /// No scheme, a character that no URI has, or a `sip:` URI whose parts are malformed.
    pub fn parse(text: &str) -> Result<Uri, PeerFault> {
        Self::read(text).ok_or(PeerFault::Malformed("URI"))
    }

    fn read(text: &str) -> Option<Uri> {
        let (scheme, rest) = text.split_once(':')?;
        let foreign = |c: char| c.is_ascii_control() || matches!(c, ' ' | '<' | '>' | '"');
        if !is_scheme(scheme) || rest.is_empty() || rest.contains(foreign) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let rest = match scheme.as_str() {
            "sip" | "sips" => read_sip(rest)?,
            _ => Rest::Opaque(rest.to_owned()),
        };
        Some(Uri { scheme, rest })
    }

    /// The URI of a user at an address; what a user part may not hold is escaped.
    pub fn sip(user: Option<&str>, host: SocketAddr) -> Uri {
        let rest = Rest::Sip {
            user: user.filter(|user| !user.is_empty()).map(escape_user),
            password: None,
            host: Host::Ip(host.ip()),
            port: Some(host.port()),
            params: Params::default(),
            headers: None,
        };
        Uri {
            scheme: "sip".to_owned(),
            rest,
        }
    }

    /// Any text as a Request-URI that could not be read; used only in what is refused.
    pub(super) fn unreadable(text: &str) -> Uri {
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        Uri {
            scheme: scheme.to_owned(),
            rest: Rest::Opaque(rest.to_owned()),
        }
    }

    /// In lower case: `sip`, `sips`, `tel` …
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether it is `sip:` or `sips:`.
    pub fn is_sip(&self) -> bool {
        matches!(self.rest, Rest::Sip { .. })
    }

    /// The user, unescaped once. A byte that is not UTF-8 is kept as in [`text`].
    pub fn user(&self) -> Option<String> {
        match &self.rest {
            Rest::Sip { user, .. } => user.as_deref().map(unescape),
            Rest::Opaque(_) => None,
        }
    }

    /// The number that it stands for: a SIP user part or a tel number, without its parameters
    /// (RFC 3261 §19.1.6, RFC 3966 §3).
    pub fn number(&self) -> Option<String> {
        let whole = match &self.rest {
            Rest::Sip { .. } => self.user()?,
            Rest::Opaque(rest) if self.scheme == "tel" => rest.clone(),
            Rest::Opaque(_) => return None,
        };
        Some(whole.split(';').next().unwrap_or_default().to_owned())
    }

    /// The password, unescaped once.
    pub fn password(&self) -> Option<String> {
        match &self.rest {
            Rest::Sip { password, .. } => password.as_deref().map(unescape),
            Rest::Opaque(_) => None,
        }
    }

    /// The host of a SIP URI.
    pub fn host(&self) -> Option<&Host> {
        match &self.rest {
            Rest::Sip { host, .. } => Some(host),
            Rest::Opaque(_) => None,
        }
    }

    /// The host, if it is an address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host()?.ip()
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        match &self.rest {
            Rest::Sip { port, .. } => *port,
            Rest::Opaque(_) => None,
        }
    }

    /// Whether a SIP URI has such a parameter.
    pub fn has_param(&self, name: &str) -> bool {
        self.params().is_some_and(|params| params.has(name))
    }

    /// The value of a parameter, escapes as written.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params()?.value(name)
    }

    fn params(&self) -> Option<&Params> {
        match &self.rest {
            Rest::Sip { params, .. } => Some(params),
            Rest::Opaque(_) => None,
        }
    }

    /// What is behind `?`, as written. These headers are never put into a message.
    pub fn headers(&self) -> Option<&str> {
        match &self.rest {
            Rest::Sip { headers, .. } => headers.as_deref(),
            Rest::Opaque(_) => None,
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// `[user[:password]@]host[:port][;params][?headers]`. A user may hold `;`, `?` and `/`, but no `@`.
fn read_sip(text: &str) -> Option<Rest> {
    let (userinfo, place) = match text.split_once('@') {
        Some((userinfo, place)) => (Some(userinfo), place),
        None => (None, text),
    };
    let (user, password) = match userinfo.map(|info| info.split_once(':').ok_or(info)) {
        Some(Ok((user, password))) => (Some(user), Some(password)),
        Some(Err(user)) => (Some(user), None),
        None => (None, None),
    };
    if user == Some("") {
        return None;
    }
    let (place, headers) = match place.split_once('?') {
        Some((place, headers)) => (place, Some(headers)),
        None => (place, None),
    };
    let (hostport, params) = place.split_once(';').unwrap_or((place, ""));
    let (host, port) = Host::parse_with_port(hostport)?;
    let own = |text: Option<&str>| text.map(str::to_owned);
    let params = Params::parse_uri(params)?;
    Some(Rest::Sip {
        user: own(user),
        password: own(password),
        host,
        port,
        params,
        headers: own(headers),
    })
}

/// Undoes each `%` and two hexadecimal digits, once; any other `%` stands for itself.
fn unescape(text: &str) -> String {
    let bytes = text::bytes(text);
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| hex(bytes.get(at + 1..at + 3)?))
            .flatten();
        out.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    text::read(&out).into_owned()
}

fn hex(digits: &[u8]) -> Option<u8> {
    let mut value = 0;
    for digit in digits {
        value = value * 16 + char::from(*digit).to_digit(16)?;
    }
    u8::try_from(value).ok()
}

fn escape_user(user: &str) -> String {
    let mut out = String::with_capacity(user.len());
    for byte in text::bytes(user) {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        let (user, password, host, port, params, headers) = match &self.rest {
            Rest::Opaque(rest) => return f.write_str(rest),
            Rest::Sip {
                user,
                password,
                host,
                port,
                params,
                headers,
            } => (user, password, host, port, params, headers),
        };
        if let Some(user) = user {
            f.write_str(user)?;
            if let Some(password) = password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        write!(f, "{host}")?;
        if let Some(port) = port {
            write!(f, ":{port}")?;
        }
        write!(f, "{params}")?;
        headers
            .as_ref()
            .map_or(Ok(()), |headers| write!(f, "?{headers}"))
    }
}

impl TryFrom<String> for Uri {
    type Error = PeerFault;

    fn try_from(text: String) -> Result<Uri, PeerFault> {
        Uri::parse(&text)
    }
}

impl From<Uri> for String {
    fn from(uri: Uri) -> String {
        uri.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        Uri::parse(text).unwrap_or_else(|_| panic!("a URI: {text}"))
    }

    #[test]
    fn uris_are_written_as_they_were_read() {
        for text in [
            "sip:john.doe@example.com",
            "sip:j.d:pw@example.com:5070",
            "sips:[2001:db8::1]:5061;lr",
            "tel:+8610-1;x=y",
            "sip:a@b;user=phone?x=y",
            "sip:b@h?Replaces=x",
            "sip:a@b;gr=urn:uuid:1;x=a/b",
            "urn:service:sos",
            "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
            "sip:user;par=u%40example.net@example.com",
            "sip:%00@h.example.com;value%41=x",
        ] {
            assert_eq!(uri(text).to_string(), text);
        }
    }

    #[test]
    fn the_user_is_unescaped_once() {
        assert_eq!(
            uri("sip:sips%3Auser%2540x@a").user().as_deref(),
            Some("sips:user%40x")
        );
        assert_eq!(
            uri("sip:null-%00-null@a").user().as_deref(),
            Some("null-\0-null")
        );
        assert_eq!(uri("sip:a%ZZb%4@a").user().as_deref(), Some("a%ZZb%4"));
        assert_eq!(
            uri("sip:user;par=u%40b.net@a").user().as_deref(),
            Some("user;par=u@b.net")
        );
    }

    #[test]
    fn a_user_of_ours_is_escaped() {
        let host = "[2001:db8::1]:5062".parse().expect("an address");
        let made = Uri::sip(Some("a@b 张%"), host);
        assert_eq!(
            made.to_string(),
            "sip:a%40b%20%E5%BC%A0%25@[2001:db8::1]:5062"
        );
        assert_eq!(uri(&made.to_string()).user().as_deref(), Some("a@b 张%"));
    }

    #[test]
    fn parts_are_found() {
        let uri = uri("SIP:a:b@192.0.2.1:5070;lr;transport=udp?Route=%3Cx%3E");
        assert_eq!(
            (uri.scheme(), uri.ip(), uri.port()),
            ("sip", Some([192, 0, 2, 1].into()), Some(5070))
        );
        assert_eq!(
            (uri.password().as_deref(), uri.headers()),
            (Some("b"), Some("Route=%3Cx%3E"))
        );
        assert!(uri.has_param("LR"));
        assert_eq!(uri.param("transport"), Some("udp"));
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in [
            "",
            "sip:",
            "<sip:a@b>",
            "sip:a b@c",
            "sip:2001:db8::10",
            "sip:@h",
            "a@b",
            "sip:a@b@c",
            "sip:a@",
        ] {
            assert!(Uri::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_uri_is_stored_as_a_string() {
        let json = serde_json::to_string(&uri("sip:a@b;lr")).expect("JSON");
        assert_eq!(json, "\"sip:a@b;lr\"");
        assert_eq!(
            serde_json::from_str::<Uri>(&json).expect("a URI"),
            uri("sip:a@b;lr")
        );
    }
}
