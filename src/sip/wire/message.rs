//! A message: its start line, headers and body, and the headers that everybody asks for.
//!
//! Source: RFC 3261 §7, §8.2.6 (what a response copies), §20.

use super::fault::PeerFault;
use super::headers::{Headers, known_name};
use super::method::{CSeq, Method};
use super::name_addr::NameAddr;
use super::reason;
use super::scan::{digits, split};
use super::text::{trim, write_line};
use super::uri::Uri;
use super::via::Via;

/// A SIP message. Stored by serde as its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Request line or status line.
    pub start: Start,
    /// Headers, without Content-Length.
    pub headers: Headers,
    /// Any bytes.
    pub body: Vec<u8>,
}

/// The first line.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// Of a request.
    Request {
        /// What is asked.
        method: Method,
        /// Of whom; the scheme may be any.
        uri: Uri,
    },
    /// Of a response.
    Response {
        /// 100 to 699.
        status: u16,
        /// The phrase, for humans.
        reason: String,
    },
}

impl Message {
    /// A request without headers.
    pub fn request(method: Method, uri: Uri) -> Message {
        Message {
            start: Start::Request { method, uri },
            headers: Headers::default(),
            body: Vec::new(),
        }
    }

    /// A response without headers; without a reason, with the usual one.
    pub fn response(status: u16, reason: Option<&str>) -> Message {
        let reason = super::text::clean(reason.unwrap_or_else(|| reason::phrase(status)));
        Message {
            start: Start::Response { status, reason },
            headers: Headers::default(),
            body: Vec::new(),
        }
    }

    /// The response to this request: Via, From, To, Call-ID and CSeq as they are, Timestamp in a 100 (RFC 3261 §8.2.6).
    /// The To tag is up to the caller.
    pub fn reply(&self, status: u16, reason: Option<&str>) -> Message {
        let mut response = Message::response(status, reason);
        let timestamp = (status == 100).then_some("Timestamp");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"]
            .into_iter()
            .chain(timestamp)
        {
            for value in self.headers.all(name) {
                response.headers.push(name, value);
            }
        }
        response
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        match &self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(*status),
        }
    }

    /// The first Via.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn top_via(&self) -> Result<Via, PeerFault> {
        let mut values = self.headers.all("Via").flat_map(|line| split(line, ','));
        let first = values.find(|one| !one.is_empty());
        Via::parse(first.ok_or(PeerFault::MissingHeader("Via"))?)
    }

    /// All Via values, those of comma lists too.
    ///
    /// # Errors
    /// One is malformed.
    pub fn vias(&self) -> Result<Vec<Via>, PeerFault> {
        let mut vias = Vec::new();
        for line in self.headers.all("Via") {
            vias.extend(Via::parse_list(line)?);
        }
        Ok(vias)
    }

    /// Replaces all Via headers by these, one a line, before all other headers.
    pub fn set_vias(&mut self, vias: &[Via]) {
        self.headers
            .set_first("Via", vias.iter().map(Via::to_string));
    }

    /// From.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn from(&self) -> Result<NameAddr, PeerFault> {
        NameAddr::parse(self.needed("From")?).map_err(|_| PeerFault::Malformed("From"))
    }

    /// To.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn to(&self) -> Result<NameAddr, PeerFault> {
        NameAddr::parse(self.needed("To")?).map_err(|_| PeerFault::Malformed("To"))
    }

    /// Call-ID; empty if it is missing.
    pub fn call_id(&self) -> &str {
        self.headers.first("Call-ID").unwrap_or_default()
    }

    /// CSeq.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn cseq(&self) -> Result<CSeq, PeerFault> {
        CSeq::parse(self.needed("CSeq")?)
    }

    /// The first Contact; `None` for `*` ([`Self::contact_is_star`]) and where there is none.
    ///
    /// # Errors
    /// It is malformed.
    pub fn contact(&self) -> Result<Option<NameAddr>, PeerFault> {
        if self.contact_is_star() {
            return Ok(None);
        }
        let first = self
            .headers
            .all("Contact")
            .flat_map(|line| split(line, ','))
            .find(|one| !one.is_empty());
        first
            .map(|one| NameAddr::parse(one).map_err(|_| PeerFault::Malformed("Contact")))
            .transpose()
    }

    /// Whether Contact is `*`: all bindings of a registration (RFC 3261 §10.2.2).
    pub fn contact_is_star(&self) -> bool {
        self.headers.first("Contact") == Some("*")
    }

    /// All addresses of a header such as Route, those of comma lists too.
    ///
    /// # Errors
    /// One is malformed.
    pub fn name_addrs(&self, name: &str) -> Result<Vec<NameAddr>, PeerFault> {
        let mut list = Vec::new();
        for line in self.headers.all(name) {
            list.extend(
                NameAddr::parse_list(line).map_err(|_| PeerFault::Malformed(known_name(name)))?,
            );
        }
        Ok(list)
    }

    /// Max-Forwards, if it is there.
    ///
    /// # Errors
    /// It is not a number up to 255 (RFC 3261 §20.22).
    pub fn max_forwards(&self) -> Result<Option<u8>, PeerFault> {
        let Some(value) = self.headers.first("Max-Forwards") else {
            return Ok(None);
        };
        let hops = digits(value).and_then(|hops| u8::try_from(hops).ok());
        hops.map(Some).ok_or(PeerFault::Malformed("Max-Forwards"))
    }

    /// `type/subtype` in lower case, without parameters.
    pub fn content_type(&self) -> Option<String> {
        let value = self.headers.first("Content-Type")?;
        let media = value.split(';').next()?.to_ascii_lowercase();
        Some(media.replace([' ', '\t'], ""))
    }

    /// The elements of a header that is a list with commas, such as Supported.
    pub fn tokens(&self, name: &str) -> Vec<&str> {
        let lines = self
            .headers
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name));
        lines
            .flat_map(|(_, line)| split(line, ','))
            .filter(|one| !one.is_empty())
            .map(trim)
            .collect()
    }

    fn needed(&self, name: &'static str) -> Result<&str, PeerFault> {
        self.headers
            .first(name)
            .ok_or(PeerFault::MissingHeader(name))
    }

    /// The bytes to send. Content-Length is the body's, once, whatever the headers say.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024 + self.body.len());
        write_line(&self.start_line(), &mut out);
        for (name, value) in self.headers.iter() {
            if name.eq_ignore_ascii_case("Content-Length") {
                continue;
            }
            out.extend_from_slice(b"\r\n");
            write_line(name, &mut out);
            out.extend_from_slice(b": ");
            write_line(value, &mut out);
        }
        out.extend_from_slice(
            format!("\r\nContent-Length: {}\r\n\r\n", self.body.len()).as_bytes(),
        );
        out.extend_from_slice(&self.body);
        out
    }

    fn start_line(&self) -> String {
        match &self.start {
            Start::Request { method, uri } => format!("{method} {uri} SIP/2.0"),
            Start::Response { status, reason } => format!("SIP/2.0 {status:03} {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::parse_datagram;

    const INVITE: &str = "INVITE sip:h@192.0.2.1 SIP/2.0\r\n\
        v: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1;rport, SIP/2.0/TCP b\r\n\
        f: \"A\"  <sip:a@192.0.2.9>;tag=peer\r\nt: <sip:h@192.0.2.1>\r\nVia: SIP/2.0/UDP c\r\n\
        i: c1\r\nCSeq: 7  INVITE\r\nContact: <sip:a@x>, <sip:b@x>\r\nTimestamp: 54 \r\n\
        Max-Forwards: 0070\r\nSupported: timer , 100rel\r\nk: x,,\r\n\
        c: Application / SDP ;charset=x\r\nl: 4\r\n\r\nv=0\nrest";

    fn invite() -> Message {
        parse_datagram(INVITE.as_bytes()).expect("a valid INVITE")
    }

    #[test]
    fn the_headers_that_everybody_asks_for_are_found() {
        let invite = invite();
        assert_eq!(invite.body, b"v=0\n");
        assert_eq!(
            (invite.call_id(), invite.max_forwards()),
            ("c1", Ok(Some(70)))
        );
        assert_eq!(invite.tokens("supported"), ["timer", "100rel", "x"]);
        assert_eq!(invite.content_type().as_deref(), Some("application/sdp"));
        assert_eq!(invite.vias().expect("Vias").len(), 3);
        assert_eq!(invite.name_addrs("Contact").expect("Contacts").len(), 2);
        assert_eq!(
            invite
                .contact()
                .expect("Contact")
                .expect("one")
                .uri
                .user()
                .as_deref(),
            Some("a")
        );
    }

    #[test]
    fn a_reply_copies_what_the_rfc_says_as_it_is() {
        let text = String::from_utf8(invite().reply(100, None).to_bytes()).expect("UTF-8");
        assert_eq!(
            text,
            "SIP/2.0 100 Trying\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1;rport, SIP/2.0/TCP b\r\n\
            Via: SIP/2.0/UDP c\r\nFrom: \"A\"  <sip:a@192.0.2.9>;tag=peer\r\nTo: <sip:h@192.0.2.1>\r\nCall-ID: c1\r\n\
            CSeq: 7  INVITE\r\nTimestamp: 54\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(invite().reply(183, None).headers.first("Timestamp"), None);
        assert!(
            invite()
                .reply(183, None)
                .to_bytes()
                .starts_with(b"SIP/2.0 183 Session Progress\r\n")
        );
    }

    #[test]
    fn vias_are_set_one_a_line_before_all_else() {
        let mut invite = invite();
        let vias = invite.vias().expect("Vias");
        invite.headers.push_front("Subject", "x");
        invite.set_vias(&vias);
        let names: Vec<&str> = invite
            .headers
            .iter()
            .map(|(name, _)| name)
            .take(4)
            .collect();
        assert_eq!(names, ["Via", "Via", "Via", "Subject"]);
        assert_eq!(invite.vias().expect("Vias"), vias);
    }

    #[test]
    fn the_top_via_is_the_first_that_is_not_empty() {
        let mut invite = invite();
        invite.headers.push_front("Via", " , ");
        assert_eq!(invite.top_via(), Ok(invite.vias().expect("Vias").remove(0)));
    }

    #[test]
    fn content_length_is_the_bodys_whatever_a_header_says() {
        let mut invite = invite();
        invite.headers.push("l", "99");
        let text = String::from_utf8(invite.to_bytes()).expect("UTF-8");
        assert_eq!(text.matches("Content-Length").count(), 1);
        assert!(text.ends_with("\r\nContent-Length: 4\r\n\r\nv=0\n"));
    }

    #[test]
    fn no_value_starts_a_new_header() {
        let mut response = invite().reply(200, Some("OK\r\nX-Evil: 1"));
        response
            .headers
            .push("Subject", "a\nX-Evil: 2\r\rX-Evil: 3");
        response.start = Start::Response {
            status: 200,
            reason: "a\r\nX-Evil: 4".to_owned(),
        };
        let written = parse_datagram(&response.to_bytes()).expect("a valid response");
        assert_eq!(written.headers.first("X-Evil"), None);
    }

    #[test]
    fn a_star_is_no_contact() {
        let mut register = invite();
        register.headers.set("Contact", "*");
        assert_eq!(
            (register.contact(), register.contact_is_star()),
            (Ok(None), true)
        );
    }

    #[test]
    fn a_malformed_optional_header_is_a_fault_only_when_it_is_read() {
        let text = INVITE.replace("Contact: ", "Contact: <sip:b>>,;Date: x");
        let message = parse_datagram(text.as_bytes()).expect("a valid INVITE");
        assert_eq!(message.contact(), Err(PeerFault::Malformed("Contact")));
    }
}
