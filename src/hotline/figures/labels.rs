//! The closed sets of labels that the figures know beside findings and records.

use crate::hotline::words::closed_set;

closed_set! {
    /// When the caller gave up.
    pub enum Abandon {
        /// Below the short-abandon limit: counted apart.
        Short = "short",
        /// Later.
        Normal = "normal",
    }
}

closed_set! {
    /// Why a call was not admitted.
    pub enum Refusal {
        /// No hotline has the number: 404.
        UnknownNumber = "unknown_number",
        /// No trunk has the address: 403.
        UnknownSource = "unknown_source",
        /// Credentials that are wrong: 401.
        Unauthorized = "unauthorized",
        /// Calls, ports, transactions or the store's queue are at their limit: 503.
        Capacity = "capacity",
        /// The service takes no new calls before it stops: 503.
        Draining = "draining",
        /// The request is against SIP: 400, 483 and the like.
        BadRequest = "bad_request",
        /// An extension that is not supported: 420, 421.
        Extension = "extension",
        /// No audio that we speak: 488.
        Media = "media",
    }
}

closed_set! {
    /// How we are known to a registrar.
    pub enum RegistrationState {
        /// It sends us calls.
        Registered = "registered",
        /// It is being asked for the first time.
        Trying = "trying",
        /// It has refused us, or does not answer, and what it granted before has run out.
        Failed = "failed",
    }
}

closed_set! {
    /// Seen from us.
    pub enum Direction {
        /// Received.
        In = "in",
        /// Sent.
        Out = "out",
    }
}

closed_set! {
    /// Why an RTP packet was not passed on.
    pub enum DropReason {
        /// Not RTP, or an unknown payload type.
        Malformed = "malformed",
        /// Not from the source that the stream is latched to.
        Source = "source",
        /// Nowhere to send it.
        NoRoute = "no_route",
        /// Belongs before a splice.
        Late = "late",
    }
}

closed_set! {
    /// A request's method or a response's class.
    pub enum SipKind {
        /// RFC 3261
        Invite = "INVITE",
        /// RFC 3261
        Ack = "ACK",
        /// RFC 3261
        Bye = "BYE",
        /// RFC 3261
        Cancel = "CANCEL",
        /// RFC 3261
        Options = "OPTIONS",
        /// RFC 3261
        Register = "REGISTER",
        /// RFC 3262
        Prack = "PRACK",
        /// RFC 3311
        Update = "UPDATE",
        /// RFC 6086
        Info = "INFO",
        /// RFC 6665
        Subscribe = "SUBSCRIBE",
        /// RFC 6665
        Notify = "NOTIFY",
        /// RFC 3515
        Refer = "REFER",
        /// RFC 3428
        Message = "MESSAGE",
        /// RFC 3903
        Publish = "PUBLISH",
        /// Any other method, and what is no SIP at all.
        Other = "other",
        /// Provisional.
        Class1 = "1xx",
        /// Success.
        Class2 = "2xx",
        /// Redirection.
        Class3 = "3xx",
        /// Request failure.
        Class4 = "4xx",
        /// Server failure.
        Class5 = "5xx",
        /// Global failure.
        Class6 = "6xx",
    }
}

impl SipKind {
    /// The label of a request. Methods are case-sensitive (RFC 3261 §7.1).
    pub fn of_method(method: &str) -> SipKind {
        let known = &SipKind::ALL[..SipKind::Other.index()];
        let same = known.iter().find(|kind| kind.name() == method);
        same.copied().unwrap_or(SipKind::Other)
    }

    /// The label of a response.
    pub fn of_status(status: u16) -> SipKind {
        match status / 100 {
            1 => SipKind::Class1,
            2 => SipKind::Class2,
            3 => SipKind::Class3,
            4 => SipKind::Class4,
            5 => SipKind::Class5,
            6 => SipKind::Class6,
            _ => SipKind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_method_never_becomes_a_label_of_its_own() {
        assert_eq!(SipKind::of_method("INVITE"), SipKind::Invite);
        for method in ["invite", "x", "", "2xx", "other", "BYE\"} 1\n"] {
            assert_eq!(SipKind::of_method(method), SipKind::Other);
        }
        assert_eq!(SipKind::of_status(487), SipKind::Class4);
        assert_eq!(SipKind::of_status(42), SipKind::Other);
    }
}
