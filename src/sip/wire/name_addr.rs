//! From, To, Contact, Route and their like: a display name, a URI, parameters.
//!
//! Source: RFC 3261 §20 (without brackets, parameters are the header's), §20.10, §25.1.

use super::fault::PeerFault;
use super::params::Params;
use super::scan::{quote, split, unquote};
use super::text::trim;
use super::uri::Uri;
use std::fmt;

/// One address of a header. Written, it has brackets always and a display name in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// What the display name says, without quotes; `None` if there is none or it is empty.
    pub display: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// Parameters of the header, not of the URI.
    pub params: Params,
}

impl NameAddr {
    /// An address without display name and parameters.
    pub fn new(uri: Uri) -> NameAddr {
        NameAddr {
            display: None,
            uri,
            params: Params::default(),
        }
    }

    /// Reads one address.
    ///
    /// # Errors
    /// It is malformed, or `*`, or more than one.
    pub fn parse(text: &str) -> Result<NameAddr, PeerFault> {
        Self::read(trim(text)).ok_or(PeerFault::Malformed("address"))
    }

    /// Reads addresses with commas between them; an empty one is passed over.
    ///
    /// # Errors
    /// One of them is malformed.
    pub fn parse_list(text: &str) -> Result<Vec<NameAddr>, PeerFault> {
        split(text, ',')
            .into_iter()
            .filter(|one| !one.is_empty())
            .map(NameAddr::parse)
            .collect()
    }

    fn read(text: &str) -> Option<NameAddr> {
        let (display, behind) = if text.starts_with('"') {
            let (display, behind) = unquote(text)?;
            (Some(display), trim(behind).strip_prefix('<')?)
        } else if let Some((display, behind)) = text.split_once('<') {
            (Some(bare_display(trim(display))?), behind)
        } else {
            return Self::read_bare(text);
        };
        let (uri, behind) = behind.split_once('>')?;
        let uri = Uri::parse(trim(uri)).ok()?;
        let params = match trim(behind) {
            "" => Params::default(),
            behind => Params::parse(behind.strip_prefix(';')?, true)?,
        };
        Some(NameAddr {
            display: display.filter(|display| !display.is_empty()),
            uri,
            params,
        })
    }

    /// Without brackets all parameters are the header's, and `?` is not allowed in the URI.
    fn read_bare(text: &str) -> Option<NameAddr> {
        let (uri, params) = text.split_once(';').unwrap_or((text, ""));
        let uri = trim(uri);
        if uri.contains('?') || uri.contains(',') {
            return None;
        }
        let params = Params::parse(params, true)?;
        Some(NameAddr {
            display: None,
            uri: Uri::parse(uri).ok()?,
            params,
        })
    }

    /// The `tag`; an empty one is none.
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }

    /// The same with this tag.
    pub fn with_tag(&self, tag: &str) -> NameAddr {
        let mut tagged = self.clone();
        tagged.params.set("tag", tag);
        tagged
    }

    /// The value of a header parameter, as it was written.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.value(name)
    }
}

/// A display name without quotes: any text but what separates. Phones send more than tokens.
fn bare_display(text: &str) -> Option<String> {
    (!text.contains(['"', ',', ';', '>'])).then(|| text.to_owned())
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", quote(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> NameAddr {
        NameAddr::parse(text).unwrap_or_else(|_| panic!("an address: {text}"))
    }

    #[test]
    fn without_brackets_parameters_are_the_headers() {
        let bare = read("sip:vivekg@example.com ;   tag    = 1918181833n");
        assert_eq!(
            (bare.tag(), bare.uri.has_param("tag")),
            (Some("1918181833n"), false)
        );
        let bracketed = read("<sip:a@b;tag=x>");
        assert_eq!(
            (bracketed.tag(), bracketed.uri.param("tag")),
            (None, Some("x"))
        );
    }

    #[test]
    fn display_names_are_read_in_every_form() {
        assert_eq!(
            read("\"Smith, <John> \\\"J\\\"\" <sip:a@b>")
                .display
                .as_deref(),
            Some("Smith, <John> \"J\"")
        );
        assert_eq!(
            read("caller<sip:a@b>;tag=1").display.as_deref(),
            Some("caller")
        );
        assert_eq!(read("张 三 <sip:a@b>").display.as_deref(), Some("张 三"));
        assert_eq!(read("\"\" < sip:a@b >").display, None);
    }

    #[test]
    fn an_address_is_written_so_that_it_reads_the_same() {
        for text in [
            "\"a \\\"b\\\" \\\\ \\\u{7}\" <sip:a@b;lr>;tag=a/b=c;+sip.instance=\"<urn:uuid:1>\"",
            "sip:a@b;tag=x",
            "<tel:+1;phone-context=x>;q=0.3",
            "isbn:2983792873",
        ] {
            let address = read(text);
            assert_eq!(read(&address.to_string()), address, "{text}");
        }
    }

    #[test]
    fn a_list_is_split_outside_of_quotes_and_brackets() {
        let list =
            NameAddr::parse_list("\"a,b\" <sip:x,y@z>, <sip:c;lr>;q=1,,sip:d@e").expect("a list");
        assert_eq!(list.len(), 3);
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "",
            "*",
            "\"open <sip:a@b>",
            "Bell, Alexander <sip:a@b>",
            "sip:a@b?Route=x",
            "<sip:a@b",
            "<sip:a@b> x",
            "\"a\" sip:a@b",
            "a \"b\" <sip:c@d>",
            "<sip:a@b>;a b=c",
        ] {
            assert!(NameAddr::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tag_is_set_at_its_place() {
        assert_eq!(
            read("<sip:a@b>;x=1").with_tag("t").to_string(),
            "<sip:a@b>;x=1;tag=t"
        );
        assert_eq!(
            read("<sip:a@b>;tag=old;x").with_tag("t").to_string(),
            "<sip:a@b>;tag=t;x"
        );
    }
}
