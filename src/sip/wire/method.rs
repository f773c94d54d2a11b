//! Methods and CSeq. A method is a token and case counts: `invite` is not INVITE (RFC 3261 §7.1).

use super::fault::PeerFault;
use super::scan::{digits, is_token};
use super::text::trim;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! methods {
    ($($variant:ident $name:literal $source:literal),* $(,)?) => {
        /// What a request asks for.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum Method {
            $(#[doc = $source] $variant,)*
            /// Any other.
            Other(String),
        }

        impl Method {
            /// As on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Method::$variant => $name,)*
                    Method::Other(name) => name,
                }
            }
        }

        impl From<&str> for Method {
            fn from(name: &str) -> Method {
                match name {
                    $($name => Method::$variant,)*
                    _ => Method::Other(name.to_owned()),
                }
            }
        }
    };
}

methods! {
    Invite "INVITE" "RFC 3261 §13",
    Ack "ACK" "RFC 3261 §17.1.1.3",
    Bye "BYE" "RFC 3261 §15",
    Cancel "CANCEL" "RFC 3261 §9",
    Options "OPTIONS" "RFC 3261 §11",
    Register "REGISTER" "RFC 3261 §10",
    Info "INFO" "RFC 6086",
    Update "UPDATE" "RFC 3311",
    Prack "PRACK" "RFC 3262",
    Refer "REFER" "RFC 3515",
    Notify "NOTIFY" "RFC 6665",
    Subscribe "SUBSCRIBE" "RFC 6665",
    Message "MESSAGE" "RFC 3428",
    Publish "PUBLISH" "RFC 3903",
}

impl Method {
    /// Reads a token; `None` if it is none.
    pub(super) fn parse(name: &str) -> Option<Method> {
        is_token(name).then(|| Method::from(name))
    }
}

impl From<String> for Method {
    fn from(name: String) -> Method {
        Method::from(name.as_str())
    }
}

impl From<Method> for String {
    fn from(method: Method) -> String {
        method.as_str().to_owned()
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The place of a request in its dialog, and its method (RFC 3261 §8.1.1.5, §20.16).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CSeq {
    /// Below 2^31.
    pub number: u32,
    /// Of the request; of the request that a response answers.
    pub method: Method,
}

impl CSeq {
    /// Reads the value of a CSeq header.
    ///
    /// # Errors
    /// It is not a number below 2^31 and a method.
    pub fn parse(value: &str) -> Result<CSeq, PeerFault> {
        const FAULT: PeerFault = PeerFault::Malformed("CSeq");
        let (number, method) = trim(value).split_once([' ', '\t']).ok_or(FAULT)?;
        let number = digits(number)
            .filter(|number| *number < 1 << 31)
            .ok_or(FAULT)?;
        let number = u32::try_from(number).map_err(|_| FAULT)?;
        Ok(CSeq {
            number,
            method: Method::parse(trim(method)).ok_or(FAULT)?,
        })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_in_lower_case_is_another_method() {
        assert_eq!(Method::from("INVITE"), Method::Invite);
        assert_eq!(Method::from("invite"), Method::Other("invite".to_owned()));
    }

    #[test]
    fn a_cseq_may_have_leading_zeros_and_more_blanks() {
        let cseq = CSeq::parse("0009  \t INVITE").expect("a CSeq");
        assert_eq!(
            cseq,
            CSeq {
                number: 9,
                method: Method::Invite
            }
        );
        assert_eq!(cseq.to_string(), "9 INVITE");
    }

    #[test]
    fn a_cseq_ends_below_two_to_the_31() {
        assert!(CSeq::parse("2147483647 BYE").is_ok());
        for value in [
            "2147483648 BYE",
            "36893488147419103232 BYE",
            "-1 BYE",
            "1",
            "BYE",
            "1 B(YE",
        ] {
            assert_eq!(
                CSeq::parse(value),
                Err(PeerFault::Malformed("CSeq")),
                "{value}"
            );
        }
    }
}
