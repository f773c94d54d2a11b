//! SIP text as a peer wrote it, and SIPp's log of it.

use std::path::Path;

/// One SIP message.
#[derive(Clone, Debug)]
pub struct Message {
    /// When SIPp wrote it down, in seconds since 1970.
    pub at_s: f64,
    /// Whether SIPp sent it.
    pub sent: bool,
    /// The text, lines ended by `\n`.
    pub text: String,
}

impl Message {
    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        status(&self.text)
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&str> {
        let word = self.text.split(' ').next()?;
        (!word.starts_with("SIP/")).then_some(word)
    }

    /// Whether it answers a request of this method.
    pub fn answers(&self, method: &str) -> bool {
        self.status().is_some()
            && header(&self.text, "CSeq").is_some_and(|cseq| cseq.ends_with(method))
    }
}

/// The status of a response text.
pub fn status(text: &str) -> Option<u16> {
    text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// The first value of a header, by its long name.
pub fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .skip(1)
        .take_while(|line| !line.trim().is_empty())
        .find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
}

/// The `branch` of the topmost Via.
pub fn branch(text: &str) -> Option<&str> {
    let (_, after) = header(text, "Via")?.split_once("branch=")?;
    after.split([';', ',']).next()
}

/// Where its SDP wants audio.
pub fn audio_address(text: &str) -> Option<std::net::SocketAddr> {
    let host = text.lines().find_map(|line| {
        let kind = line.strip_prefix("c=IN IP")?;
        kind.strip_prefix("4 ").or(kind.strip_prefix("6 "))
    })?;
    let audio = text
        .lines()
        .find_map(|line| line.strip_prefix("m=audio "))?;
    let port: u16 = audio.split(' ').next()?.parse().ok()?;
    Some((host.trim().parse::<std::net::IpAddr>().ok()?, port).into())
}

/// The messages in a file of SIPp's `-trace_msg`, in order. A last one that is not whole yet is left out.
pub fn read_sipp_log(file: &Path) -> Vec<Message> {
    let bytes = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    text.split("-----------------------------------------------")
        .filter_map(read_entry)
        .collect()
}

/// `2026-11-22 17:17:04.511462\nUDP message sent (663 bytes):\n\nINVITE …`
fn read_entry(entry: &str) -> Option<Message> {
    let (stamp, rest) = entry.split_once('\n')?;
    let (what, text) = rest.split_once("\n\n")?;
    let length: usize = what
        .split(|c: char| !c.is_ascii_digit())
        .find(|word| !word.is_empty())?
        .parse()
        .ok()?;
    let crs = text.matches('\n').count();
    // SIPp writes a line end more after the message; the length says whether all of it is there.
    if text.len() + crs < length {
        return None;
    }
    let at = stamp.trim().parse::<jiff::civil::DateTime>().ok()?;
    let at_s = at
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?
        .timestamp()
        .as_microsecond() as f64
        / 1e6;
    Some(Message {
        at_s,
        sent: what.contains("sent"),
        text: text.to_owned(),
    })
}

#[test]
fn a_log_of_sipp_is_read() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let line = "-".repeat(47);
    let sip = "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 127.0.0.1:5;branch=z9-1;rport\r\nCSeq: 1 INVITE\r\n\r\n";
    let log = format!(
        "{line} 2026-11-22 17:17:04.511462\nUDP message received [{}] bytes :\n\n{sip}\n{line} 2026-11-22 17:17:05.0\nUDP message sent (999 bytes):\n\nINV",
        sip.len()
    );
    std::fs::write(file.path(), log).expect("written");
    let messages = read_sipp_log(file.path());
    assert_eq!(messages.len(), 1);
    assert!(!messages[0].sent && messages[0].answers("INVITE"));
    assert_eq!(messages[0].status(), Some(180));
    assert_eq!(branch(&messages[0].text), Some("z9-1"));
    assert!(
        (messages[0].at_s - 1_795_367_824.511_462).abs() < 1e-6,
        "{}",
        messages[0].at_s
    );
}
