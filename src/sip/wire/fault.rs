//! What a peer did wrong on the wire, and the status that says so. Holds no text of the peer.

use super::message::Message;

/// A fault in a message of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// A keep-alive, another protocol or rubbish.
    #[error("not a SIP message")]
    NotSip,
    /// A response that cannot be used, whatever is wrong in it: nobody answers a response.
    #[error("a response that cannot be used")]
    BadResponse,
    /// Another version than SIP/2.0.
    #[error("the SIP version is not 2.0")]
    Version,
    /// The Request-Line is not three words with one space between them.
    #[error("the request line is malformed")]
    StartLine,
    /// The Request-URI is malformed. An unknown scheme is no fault here.
    #[error("the Request-URI is malformed")]
    RequestUri,
    /// A line of the head is no header.
    #[error("a line of the head is no header")]
    HeaderLine,
    /// A header that is needed is not there.
    #[error("the {0} header is missing")]
    MissingHeader(&'static str),
    /// A header that may be there once is there again.
    #[error("the {0} header is there more than once")]
    DoubledHeader(&'static str),
    /// A header that was read is malformed.
    #[error("the {0} header is malformed")]
    Malformed(&'static str),
    /// The method of CSeq is not the one of the request line.
    #[error("CSeq names another method than the request line")]
    MethodMismatch,
    /// Content-Length is no number, or there are two that differ.
    #[error("Content-Length is no single number")]
    ContentLength,
    /// Fewer bytes than Content-Length says, or no empty line behind the head.
    #[error("the message is cut short")]
    Truncated,
    /// More headers than [`crate::base::limits::SIP_HEADERS_MAX`].
    #[error("too many headers")]
    TooManyHeaders,
    /// More Via values than [`crate::base::limits::SIP_VIAS_MAX`].
    #[error("too many Via values")]
    TooManyVias,
    /// More bytes than [`crate::base::limits::SIP_MESSAGE_BYTES_MAX`].
    #[error("the message is too long")]
    TooLong,
}

impl PeerFault {
    /// The status of the answer; `None`: none is sent.
    pub fn status(self) -> Option<u16> {
        match self {
            PeerFault::NotSip | PeerFault::BadResponse => None,
            PeerFault::Version => Some(505),
            PeerFault::TooLong => Some(513),
            _ => Some(400),
        }
    }
}

/// A message that was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Why.
    pub fault: PeerFault,
    /// The request as far as it could be read; `None` where nothing is to be answered: rubbish, a response, an ACK.
    pub message: Option<Box<Message>>,
}

impl Refused {
    /// The answer to send without a transaction, Via, From, To, Call-ID and CSeq as they came.
    /// It goes to where the request came from. `None`: it is dropped, for a request without Via too.
    pub fn answer(&self) -> Option<Message> {
        let status = self.fault.status()?;
        let request = self.message.as_deref()?;
        request.headers.first("Via")?;
        Some(request.reply(status, None))
    }
}
