//! What of a SIP message may be shown: numbers, names and addresses in SDP are masked where the policy says so, credentials and keys
//! always.
//!
//! It works on lines, so that a broken message is masked as well; what it cannot read in a header that names a person is masked whole. Blind
//! spot, on purpose: text that a peer puts where it does not belong (Subject, User-Agent, an unknown header).
//! Source: RFC 3261 §20, RFC 3325, RFC 5806, RFC 7044, RFC 3892 (who is named where); RFC 8866 §5 and §9, RFC 4568 (SDP).

use crate::sip::wire::NameAddr;

/// In place of what is not shown.
const MASK: &str = "***";

/// Headers that name a person, in long and compact form.
const NAMING: [&str; 17] = [
    "from",
    "f",
    "to",
    "t",
    "contact",
    "m",
    "p-asserted-identity",
    "p-preferred-identity",
    "p-called-party-id",
    "remote-party-id",
    "diversion",
    "history-info",
    "referred-by",
    "b",
    "refer-to",
    "r",
    "reply-to",
];

/// Headers whose values let a password be guessed (RFC 3261 §20.6, §20.7, §20.28).
const CREDENTIALS: [&str; 3] = [
    "authorization",
    "proxy-authorization",
    "authentication-info",
];

/// A message as it may be shown. `people`: numbers, names and addresses are masked too.
pub fn masked(bytes: &[u8], people: bool) -> String {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = match text.find("\r\n\r\n") {
        Some(end) => (&text[..end], Some(&text[end + 4..])),
        None => (&*text, None),
    };
    let mut lines = unfolded(head).into_iter();
    let mut shown = match (lines.next(), people) {
        (Some(start), true) => start_line(&start),
        (start, _) => start.unwrap_or_default(),
    };
    let mut is_sdp = false;
    for line in lines {
        is_sdp |= says_sdp(&line);
        shown.push_str("\r\n");
        shown.push_str(&header(&line, people));
    }
    if let Some(body) = body {
        shown.push_str("\r\n\r\n");
        shown.push_str(&self::body(body, is_sdp, people));
    }
    shown
}

/// Header lines with their continuations (RFC 3261 §7.3.1).
fn unfolded(head: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in head.split("\r\n").flat_map(|line| line.split('\n')) {
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

fn start_line(line: &str) -> String {
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(rest)) if !method.starts_with("SIP/") => {
            format!("{method} {} {rest}", uri(target))
        }
        _ => line.to_owned(),
    }
}

fn header(line: &str, people: bool) -> String {
    let Some((name, value)) = line.split_once(':') else {
        return line.to_owned();
    };
    let known = name.trim().to_ascii_lowercase();
    if CREDENTIALS.contains(&known.as_str()) {
        let scheme = value.split_whitespace().next().unwrap_or_default();
        let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
        return format!("{name}: {} {MASK}", if is_scheme { scheme } else { "" });
    }
    if people && NAMING.contains(&known.as_str()) {
        return format!("{name}: {}", named(value));
    }
    line.to_owned()
}

/// The addresses of a header, without names and user parts. Tags and other parameters stay.
fn named(value: &str) -> String {
    if value.trim() == "*" {
        return "*".to_owned();
    }
    let Ok(all) = NameAddr::parse_list(value) else {
        return MASK.to_owned();
    };
    let one = |address: &NameAddr| {
        let display = address.display.as_ref().map_or("", |_| "\"***\" ");
        format!(
            "{display}<{}>{}",
            uri(&address.uri.to_string()),
            address.params
        )
    };
    all.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A URI without its user part; of what is no SIP URI only the scheme is left.
fn uri(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once(':') else {
        return MASK.to_owned();
    };
    if !["sip", "sips"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return format!("{scheme}:{MASK}");
    }
    // From the last @ on: whatever was before it may have been a number.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}:{MASK}@{}", without_headers(host)),
        None => format!("{scheme}:{}", without_headers(rest)),
    }
}

/// Headers in a URI name people too (RFC 3261 §19.1.1).
fn without_headers(host: &str) -> String {
    match host.split_once('?') {
        Some((host, _)) => format!("{host}?{MASK}"),
        None => host.to_owned(),
    }
}

fn says_sdp(line: &str) -> bool {
    line.split_once(':').is_some_and(|(name, value)| {
        let name = name.trim();
        let is_type = name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("c");
        is_type
            && value
                .trim()
                .to_ascii_lowercase()
                .starts_with("application/sdp")
    })
}

/// A body that is no SDP may be a text or the digits that a caller pressed: where people are masked, only its length is shown.
fn body(text: &str, is_sdp: bool, people: bool) -> String {
    if !is_sdp {
        return match people && !text.is_empty() {
            true => format!("[{} bytes]", text.len()),
            false => text.to_owned(),
        };
    }
    let line = |line: &str| match line.strip_suffix('\r') {
        Some(line) => sdp_line(line, people) + "\r",
        None => sdp_line(line, people),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn sdp_line(line: &str, people: bool) -> String {
    let lower = line.to_ascii_lowercase();
    if lower.starts_with("a=crypto:") || lower.starts_with("k=") {
        let until = line.find("inline:").map_or(2, |at| at + "inline:".len());
        return format!("{}{MASK}", line.get(..until).unwrap_or_default());
    }
    if !people {
        return line.to_owned();
    }
    let mut words: Vec<&str> = line.split(' ').collect();
    let kind = lower.get(..2).unwrap_or_default();
    match kind {
        // <username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>
        "o=" if words.len() >= 6 => {
            words[0] = "o=***";
            words[5] = MASK;
        }
        // An address of all zeros is nobody's: it says hold.
        "c=" if words.last().is_none_or(|last| *last != "0.0.0.0") => {
            if let Some(last) = words.last_mut() {
                *last = MASK;
            }
        }
        "e=" | "p=" | "u=" | "i=" | "s=" if line.len() > 3 => words = vec![kind, MASK],
        "a=" if has_address(&lower) => {
            let name = line.split_once(':').map_or(line, |(name, _)| name);
            return format!("{name}:{MASK}");
        }
        _ => {}
    }
    match kind {
        "e=" | "p=" | "u=" | "i=" | "s=" => words.concat(),
        _ => words.join(" "),
    }
}

/// Attributes that hold an address (RFC 8839, RFC 3605, RFC 4570), or a password of ICE.
fn has_address(lower: &str) -> bool {
    let names = [
        "a=candidate:",
        "a=remote-candidates:",
        "a=rtcp:",
        "a=source-filter:",
        "a=ice-pwd:",
        "a=ssrc:",
    ];
    names.iter().any(|name| lower.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:4006000121@192.0.2.1:5060;user=phone SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
        f: \"Zhang San\" <sip:13800001111@trunk.example>;tag=a1\r\n\
        To: sip:4006000121@192.0.2.1;tag=b2\r\n\
        Contact:\r\n <sip:13800001111@192.0.2.9:5070;transport=udp>;q=1\r\n\
        P-Asserted-Identity: <tel:+8613800001111>, \"Zhang\" <sip:+8613800001111@x.example>\r\n\
        Diversion: <sip:13900002222@x.example?Reason=13900003333>;reason=unknown\r\n\
        Refer-To: not an address 13900004444\r\n\
        Authorization: Digest username=\"13800001111\", response=\"0123\"\r\n\
        Call-ID: a@b\r\nContent-Type: application/sdp\r\n\r\n\
        v=0\r\no=13800001111 1 1 IN IP4 198.51.100.7\r\ns=Zhang\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 8\r\nc=IN IP4 0.0.0.0\r\na=rtcp:4001 IN IP4 198.51.100.7\r\n\
        a=candidate:1 1 UDP 1 198.51.100.7 4000 typ host\r\na=sendrecv\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\n";

    #[test]
    fn who_calls_is_masked_and_what_the_ladder_needs_stays() {
        let expected = "INVITE sip:***@192.0.2.1:5060;user=phone SIP/2.0\r\n\
            Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
            f: \"***\" <sip:***@trunk.example>;tag=a1\r\n\
            To: <sip:***@192.0.2.1>;tag=b2\r\n\
            Contact: <sip:***@192.0.2.9:5070;transport=udp>;q=1\r\n\
            P-Asserted-Identity: <tel:***>, \"***\" <sip:***@x.example>\r\n\
            Diversion: <sip:***@x.example?***>;reason=unknown\r\n\
            Refer-To: ***\r\n\
            Authorization: Digest ***\r\n\
            Call-ID: a@b\r\nContent-Type: application/sdp\r\n\r\n\
            v=0\r\no=*** 1 1 IN IP4 ***\r\ns=***\r\nc=IN IP4 ***\r\nt=0 0\r\n\
            m=audio 4000 RTP/AVP 8\r\nc=IN IP4 0.0.0.0\r\na=rtcp:***\r\n\
            a=candidate:***\r\na=sendrecv\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***\r\n";
        assert_eq!(masked(INVITE.as_bytes(), true), expected);
    }

    #[test]
    fn without_the_policy_only_credentials_and_keys_are_masked() {
        let shown = masked(INVITE.as_bytes(), false);
        assert!(shown.contains("sip:13800001111@trunk.example") && shown.contains("198.51.100.7"));
        assert!(shown.contains("Authorization: Digest ***\r\n"), "{shown}");
        assert!(shown.contains("inline:***\r\n"), "{shown}");
        assert!(
            !shown.contains("0123") && !shown.contains("c2VjcmV0"),
            "{shown}"
        );
    }

    #[test]
    fn a_body_that_is_no_sdp_is_shown_by_its_length() {
        let info =
            "INFO sip:a@b SIP/2.0\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=5\r\n";
        assert!(masked(info.as_bytes(), true).ends_with("\r\n\r\n[10 bytes]"));
        assert!(masked(info.as_bytes(), false).ends_with("\r\n\r\nSignal=5\r\n"));
    }

    #[test]
    fn every_header_that_names_a_person_is_masked_in_both_forms() {
        for name in NAMING {
            let line = format!("{name}: \"Zhang\" <sip:13800001111@x.example>;tag=1");
            let expected = format!("{name}: \"***\" <sip:***@x.example>;tag=1");
            assert_eq!(header(&line, true), expected);
        }
        for name in ["f", "t", "m", "b", "r"] {
            assert!(NAMING.contains(&name), "{name}");
        }
    }

    #[test]
    fn a_broken_message_is_masked_too() {
        let broken = b"INVITE sip:13800001111@x SIP/2.0\nFrom: 13800001111\xff\nTo: \"13800001111";
        let shown = masked(broken, true);
        assert!(!shown.contains("1380000"), "{shown}");
    }
}
