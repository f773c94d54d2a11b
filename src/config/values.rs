//! Single values: text → checked value, or what is allowed in its place.

use super::{Listen, Network};
use crate::base::transport::Transport;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Longest name, in characters: it becomes a metric's label and a column of every report.
const NAME_CHARS_MAX: usize = 64;

/// Longest number, in characters; E.164 has 15 digits, but a user part may be a word.
const NUMBER_CHARS_MAX: usize = 64;

/// `250ms`, `3s`, `1m`, `1h`: a whole number and one unit.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    // `u64` would take a sign.
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let milliseconds = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    count.checked_mul(milliseconds).map(Duration::from_millis)
}

/// The way back, in the largest unit that people would use.
pub(super) fn duration_text(duration: Duration) -> String {
    let (seconds, ms) = (duration.as_secs(), duration.as_millis());
    if duration.subsec_millis() != 0 {
        format!("{ms}ms")
    } else if seconds >= 3_600 && seconds % 3_600 == 0 {
        format!("{}h", seconds / 3_600)
    } else if seconds > 120 && seconds % 60 == 0 {
        format!("{}m", seconds / 60)
    } else {
        format!("{seconds}s")
    }
}

/// A name for records, metrics and reports: any script, no control characters, no blanks around it.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = (1..=NAME_CHARS_MAX).contains(&text.chars().count());
    if fits && text.trim() == text && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "must be 1 to {NAME_CHARS_MAX} characters, without blanks around it or control characters"
    ))
}

/// The user part of a Request-URI, or `*` (RFC 3261 §25.1, `user` without escapes).
pub(super) fn number(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~'()&=+$,;?/#".contains(&b);
    let fits = (1..=NUMBER_CHARS_MAX).contains(&text.len());
    if text == "*" || (fits && text.bytes().all(allowed)) {
        return Ok(text.to_owned());
    }
    Err("must be the user part of a SIP URI, such as \"4006000121\" or \"hotline\", or \"*\" for all".into())
}

/// A country code of E.164: one to three digits, the first no zero.
pub(super) fn country_code(text: &str) -> Result<String, String> {
    let fits = (1..=3).contains(&text.len()) && !text.starts_with('0');
    match fits && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("must be a country code in quotes, such as \"86\"".into()),
    }
}

/// `udp:ADDRESS:PORT`, `tcp:` or `tls:`.
pub(super) fn listener(text: &str) -> Result<Listen, String> {
    const MUST: &str = "must be udp:, tcp: or tls: with ADDRESS:PORT, such as \"udp:192.0.2.1:5060\" or \"tcp:[2001:db8::1]:5060\"";
    let (name, address) = text.split_once(':').ok_or(MUST)?;
    if let "ws" | "wss" = name {
        return Err(format!("{name}: is not supported yet in this version"));
    }
    let lower_case = |transport: &Transport| transport.name() == name;
    let transport = Transport::ALL.into_iter().find(lower_case).ok_or(MUST)?;
    let address = address.parse().map_err(|_| MUST)?;
    Ok(Listen { transport, address })
}

/// A differentiated services code point (RFC 2474 §3).
pub(super) const DSCP_MAX: u32 = 63;

/// `ADDRESS:PORT` of a web listener.
pub(super) fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "must be \"ADDRESS:PORT\" such as \"127.0.0.1:8080\" or \"[::1]:8080\"".into())
}

/// An address of this machine or of the NAT before it.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(address) if !address.is_multicast() => Ok(address),
        _ => Err("must be an IP address such as \"192.0.2.1\" or \"2001:db8::1\"".into()),
    }
}

/// `FIRST-LAST`: pairs of an even RTP port and the odd RTCP port above it (RFC 3550 §11).
pub(super) fn ports(text: &str) -> Result<(u16, u16), String> {
    const MUST: &str = "must be \"FIRST-LAST\" within 1024-65535, such as \"20000-29999\"";
    let (first, last) = text.split_once('-').ok_or(MUST)?;
    let (Ok(first), Ok(last)) = (first.trim().parse::<u16>(), last.trim().parse::<u16>()) else {
        return Err(MUST.into());
    };
    if first < 1024 || last <= first {
        Err(MUST.into())
    } else if first % 2 != 0 {
        Err("the first port must be even: RTP takes the even ports".into())
    } else if last % 2 != 1 {
        Err("the last port must be odd: RTCP takes the odd port above each RTP port".into())
    } else if last - first < 3 {
        Err("must hold four ports at least: one call takes four".into())
    } else {
        Ok((first, last))
    }
}

/// `10.1.0.0/16`, `2001:db8::/32`, or a single address.
pub(super) fn network(text: &str) -> Result<Network, String> {
    const MUST: &str =
        "must be a network such as \"10.1.0.0/16\" or \"2001:db8::/32\", or a single address";
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| MUST)?;
    if address.to_canonical() != address {
        return Err("must be written as an IPv4 network".into());
    }
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix
        .map_or(Ok(width), str::parse::<u8>)
        .map_err(|_| MUST)?;
    if prefix > width {
        return Err(format!("the prefix must be 0 to {width}"));
    }
    let network = Network { address, prefix };
    let first = first_of(network);
    if first != address {
        return Err(format!(
            "has address bits behind its prefix; \"{first}/{prefix}\" is meant, or \"{address}\""
        ));
    }
    Ok(network)
}

/// The network's first address.
fn first_of(network: Network) -> IpAddr {
    let prefix = u32::from(network.prefix);
    match network.address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// Levels, and `target=level`, joined by commas: the part of `tracing`'s syntax that cannot be misread.
/// (There a mistyped level is taken as a target and logs everything of it.)
pub(super) fn filter(text: &str) -> Result<String, String> {
    let is_level = |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word);
    let is_target = |word: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b':' || b == b'-';
        !word.is_empty() && word.bytes().all(plain)
    };
    let is_directive = |word: &str| match word.split_once('=') {
        Some((target, level)) => is_target(target) && is_level(level),
        None => is_level(word),
    };
    if text.split(',').all(|word| is_directive(word.trim())) {
        return Ok(text.to_owned());
    }
    Err(
        "must be off, error, warn, info, debug or trace, or such as \"info,qingjiang::sip=debug\""
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_number_and_one_unit() {
        let ms = |text: &str| duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("250ms"), Some(250));
        assert_eq!(ms("3s"), Some(3_000));
        assert_eq!(ms("1m"), Some(60_000));
        assert_eq!(ms("1h"), Some(3_600_000));
        for bad in [
            "",
            "3",
            "s",
            "+3s",
            "-3s",
            "3 s",
            "2.5s",
            "1h30m",
            "3d",
            "3秒",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_written_as_people_would() {
        for text in ["250ms", "2500ms", "3s", "120s", "5m", "1h", "24h", "0s"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn ports_begin_even_end_odd_and_hold_a_call() {
        assert_eq!(ports("20000-29999"), Ok((20_000, 29_999)));
        assert_eq!(ports("20000-20003"), Ok((20_000, 20_003)));
        for bad in [
            "20000",
            "20001-29999",
            "20000-29998",
            "20000-20001",
            "80-99",
            "3-1",
            "20000-70001",
            "a-b",
        ] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_have_no_bits_behind_their_prefix() {
        for good in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "192.0.2.7",
            "192.0.2.7/32",
            "::/0",
            "2001:db8::/32",
        ] {
            assert!(network(good).is_ok(), "{good}");
        }
        for bad in [
            "10.1.2.3/8",
            "10.0.0.0/33",
            "2001:db8::1/32",
            "::/129",
            "localhost",
            "10.0.0.0/",
            "/8",
        ] {
            assert!(network(bad).is_err(), "{bad}");
        }
        assert!(network("10.1.2.3/8").unwrap_err().contains("10.0.0.0/8"));
    }

    #[test]
    fn a_filter_is_levels_and_targets() {
        for good in [
            "info",
            "off",
            "warn,qingjiang=debug",
            "qingjiang::sip=trace, error",
        ] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["", "loud", "inf", "qingjiang", "a=b=info", "=info", "info,"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_numbers_are_kept_to_what_labels_and_uris_can_carry() {
        assert!(name("天气 hotline").is_ok());
        for bad in ["", " a", "a\n", &"a".repeat(65)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        for good in ["*", "4006000121", "+864006000121", "hot.line"] {
            assert!(number(good).is_ok(), "{good}");
        }
        for bad in ["", "400 600", "a@b", "4*", "热线", "<1>"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }
}
