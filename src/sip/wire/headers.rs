//! The headers of a message, in order; the only place where `rsip` is used, as storage.
//!
//! Names are compared without regard to case; compact names are kept as the long ones (RFC 3261 §7.3.3).

use super::text::clean;
use rsip::Header;
use rsip::headers::UntypedHeader;

/// Header lines in order. Content-Length is never among those of a message that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(rsip::Headers);

macro_rules! known {
    ($($variant:ident $name:literal),* $(,)?) => {
        fn stored(name: &str, value: String) -> Header {
            $(if name.eq_ignore_ascii_case($name) {
                return Header::$variant(value.into());
            })*
            Header::Other(name.to_owned(), value)
        }

        fn parts(header: &Header) -> (&str, &str) {
            match header {
                $(Header::$variant(value) => ($name, value.value()),)*
                Header::Other(name, value) => (name, value),
            }
        }

        /// The usual writing of a name, to be named in a fault; `header` for one not known.
        pub(super) fn known_name(name: &str) -> &'static str {
            $(if name.eq_ignore_ascii_case($name) {
                return $name;
            })*
            "header"
        }
    };
}

known! {
    Via "Via", From "From", To "To", CallId "Call-ID", CSeq "CSeq", MaxForwards "Max-Forwards",
    Contact "Contact", Route "Route", RecordRoute "Record-Route", ContentType "Content-Type",
    ContentLength "Content-Length", Allow "Allow", Supported "Supported", Require "Require",
    ProxyRequire "Proxy-Require", Unsupported "Unsupported", UserAgent "User-Agent", Server "Server",
    Accept "Accept", AcceptEncoding "Accept-Encoding", AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info", AuthenticationInfo "Authentication-Info", Authorization "Authorization",
    CallInfo "Call-Info", ContentDisposition "Content-Disposition", ContentEncoding "Content-Encoding",
    ContentLanguage "Content-Language", Date "Date", ErrorInfo "Error-Info", Event "Event",
    Expires "Expires", InReplyTo "In-Reply-To", MimeVersion "MIME-Version", MinExpires "Min-Expires",
    Organization "Organization", Priority "Priority", ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization", ReplyTo "Reply-To", RetryAfter "Retry-After",
    Subject "Subject", SubscriptionState "Subscription-State", Timestamp "Timestamp",
    Warning "Warning", WwwAuthenticate "WWW-Authenticate",
}

/// The long name of a compact one (the SIP parameters registry of IANA); any other name as it is.
fn long_name(name: &str) -> &str {
    let [letter] = name.as_bytes() else {
        return name;
    };
    match letter.to_ascii_lowercase() {
        b'a' => "Accept-Contact",
        b'b' => "Referred-By",
        b'c' => "Content-Type",
        b'd' => "Request-Disposition",
        b'e' => "Content-Encoding",
        b'f' => "From",
        b'i' => "Call-ID",
        b'j' => "Reject-Contact",
        b'k' => "Supported",
        b'l' => "Content-Length",
        b'm' => "Contact",
        b'n' => "Identity-Info",
        b'o' => "Event",
        b'r' => "Refer-To",
        b's' => "Subject",
        b't' => "To",
        b'u' => "Allow-Events",
        b'v' => "Via",
        b'x' => "Session-Expires",
        b'y' => "Identity",
        _ => name,
    }
}

fn made(name: &str, value: &str) -> Header {
    stored(long_name(name), clean(value))
}

fn is_named(header: &Header, name: &str) -> bool {
    parts(header).0.eq_ignore_ascii_case(name)
}

impl Headers {
    /// The value of the first header of this (long) name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .map(parts)
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The values of all headers of this name, one a line.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(parts)
    }

    /// Adds a header behind the others. Blanks around the value go; a CR or LF in it becomes a space.
    pub fn push(&mut self, name: &str, value: &str) {
        self.0.push(made(name, value));
    }

    /// Adds a header before all others.
    pub fn push_front(&mut self, name: &str, value: &str) {
        self.put_first(vec![made(name, value)]);
    }

    /// Replaces all headers of a name by one, at the place of the first; adds it if there was none.
    pub fn set(&mut self, name: &str, value: &str) {
        let name = long_name(name);
        let mut new = Some(made(name, value));
        let old: Vec<Header> = std::mem::take(&mut self.0).into();
        let kept = old
            .into_iter()
            .filter_map(|header| match is_named(&header, name) {
                true => new.take(),
                false => Some(header),
            });
        let mut all: Vec<Header> = kept.collect();
        all.extend(new);
        self.0 = all.into();
    }

    /// Removes all headers of a name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|header| !is_named(header, long_name(name)));
    }

    /// Replaces all headers of a name by these, which come first.
    pub(super) fn set_first(&mut self, name: &str, values: impl Iterator<Item = String>) {
        self.remove(name);
        self.put_first(values.map(|value| made(name, &value)).collect());
    }

    fn put_first(&mut self, mut headers: Vec<Header>) {
        let behind: Vec<Header> = std::mem::take(&mut self.0).into();
        headers.extend(behind);
        self.0 = headers.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Headers {
        let mut headers = Headers::default();
        for (name, value) in [("v", "1"), ("X-Own", "2"), ("VIA", "3"), ("x", " 1800 ")] {
            headers.push(name, value);
        }
        headers
    }

    fn lines(headers: &Headers) -> Vec<String> {
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }

    #[test]
    fn compact_names_become_long_and_unknown_names_stay() {
        assert_eq!(
            lines(&some()),
            ["Via: 1", "X-Own: 2", "Via: 3", "Session-Expires: 1800"]
        );
    }

    #[test]
    fn names_are_found_without_regard_to_case() {
        assert_eq!(some().all("via").collect::<Vec<_>>(), ["1", "3"]);
        assert_eq!(some().first("x-own"), Some("2"));
        assert_eq!(some().first("Contact"), None);
    }

    #[test]
    fn setting_keeps_the_place_of_the_first_and_no_other() {
        let mut headers = some();
        headers.set("via", "9");
        headers.set("To", "<sip:a@b>");
        assert_eq!(
            lines(&headers),
            [
                "Via: 9",
                "X-Own: 2",
                "Session-Expires: 1800",
                "To: <sip:a@b>"
            ]
        );
    }

    #[test]
    fn headers_are_put_first_and_removed() {
        let mut headers = some();
        headers.push_front("v", "0");
        headers.remove("x-own");
        assert_eq!(
            lines(&headers),
            ["Via: 0", "Via: 1", "Via: 3", "Session-Expires: 1800"]
        );
        headers.set_first("Via", ["8".to_owned(), "9".to_owned()].into_iter());
        assert_eq!(
            lines(&headers),
            ["Via: 8", "Via: 9", "Session-Expires: 1800"]
        );
    }

    #[test]
    fn a_line_end_in_a_value_becomes_a_space() {
        let mut headers = Headers::default();
        headers.push("Subject", "a\r\nVia: evil");
        assert_eq!(lines(&headers), ["Subject: a  Via: evil"]);
    }
}
