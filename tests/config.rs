//! Goal: a file that is shipped works, the reference says all there is to say, and a bad file is told
//! everything that is wrong with it at once.
//! Method: the shipped files and a bad one go through the reader with a world made up for the test.

#[path = "common/machine.rs"]
mod machine;

use machine::Machine;
use qingjiang::base::transport::Transport;
use qingjiang::config::{Config, Problems, PromptTo, known_keys, read};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SHIPPED: [&str; 5] = ["qingjiang", "asterisk", "freeswitch", "agents", "demo"];

fn at_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text_of(path: &str) -> String {
    fs::read_to_string(at_root(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn shipped(name: &str) -> Result<Config, Problems> {
    let path = format!("config/{name}.toml");
    read(&text_of(&path), &path, &Machine)
}

/// A sound file, to be spoilt or extended by a test.
const SOUND: &str = r#"
[sip]
listen = ["udp:127.0.0.1:5060"]
[media]
address = "127.0.0.1"
ports = "20000-29999"
[[trunk]]
name = "carrier"
from = ["127.0.0.0/8"]
[[hotline]]
name = "weather"
numbers = ["*"]
targets = ["sip:1000@127.0.0.1:5090"]
"#;

fn sound_with(changes: &[(&str, &str)], more: &str) -> Result<Config, Problems> {
    let mut text = SOUND.to_owned();
    for (old, new) in changes {
        assert!(text.contains(old), "{old} is not in the sound file");
        text = text.replace(old, new);
    }
    read(&(text + more), "test.toml", &Machine)
}

/// What is said of a sound file with these changes, one line a problem.
fn said(changes: &[(&str, &str)], more: &str) -> String {
    match sound_with(changes, more) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn every_shipped_file_is_sound() {
    for name in SHIPPED {
        if let Err(problems) = shipped(name) {
            panic!("\n{problems}");
        }
    }
    let mut files: Vec<_> = fs::read_dir(at_root("config")).unwrap().flatten().collect();
    files.retain(|file| file.path().extension().is_some_and(|end| end == "toml"));
    assert_eq!(files.len(), SHIPPED.len(), "a file that no test reads");
}

/// The reference with every key that is left out put in.
fn reference_in_full() -> String {
    let is_key = |line: &&str| {
        let key = line.strip_prefix('#');
        key.is_some_and(|key| {
            key.starts_with(|c: char| c.is_ascii_lowercase() || c == '[' || c == '{')
        })
    };
    let text = text_of("config/qingjiang.toml");
    let lines = text.lines().map(|line| match is_key(&line) {
        true => &line[1..],
        false => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Key paths without names and indices, as `known_keys` has them.
fn keys_in(table: &toml::Table, path: &str, keys: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        let tables: Vec<&toml::Value> = match value {
            toml::Value::Array(items) => items.iter().collect(),
            toml::Value::Table(named) if path == "profile" => named.values().collect(),
            value => vec![value],
        };
        for table in tables.into_iter().filter_map(toml::Value::as_table) {
            keys_in(table, &path, keys);
        }
        keys.insert(path);
    }
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let mut keys = BTreeSet::new();
    keys_in(&reference_in_full().parse().unwrap(), "", &mut keys);
    assert_eq!(keys, known_keys());
}

#[test]
fn what_the_reference_calls_a_default_is_one() {
    let short = shipped("qingjiang").unwrap();
    let mut full = read(&reference_in_full(), "reference in full", &Machine)
        .unwrap_or_else(|problems| panic!("\n{problems}"));
    assert_eq!(
        full.sip.advertise.take(),
        Some("203.0.113.10".parse().unwrap())
    );
    assert_eq!(full.media.threads, 2);
    assert!(full.web.listen.take().is_some() && full.prompts.path.take().is_some());
    let tls = full.sip.tls.take().expect("[sip.tls]");
    assert!(tls.ca.is_some() && !tls.verify_client);
    assert!(
        full.hep
            .take()
            .is_some_and(|hep| hep.password.is_some() && !hep.mask)
    );
    full.media.threads = short.media.threads;
    assert_eq!(full.trunks[0].country_code.take().as_deref(), Some("86"));
    // Examples of what has no default.
    assert_eq!(full.trunks.split_off(1).len(), 2);
    assert_eq!(std::mem::take(&mut full.registrations).len(), 2);
    let targets = &mut Arc::make_mut(&mut full.hotlines[0]).targets;
    assert_eq!(targets.split_off(2).len(), 2);
    assert_eq!(full, short);
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = sound_with(&[], "").unwrap();
    assert_eq!(config.sip.drain_timeout, Duration::from_secs(3_600));
    assert_eq!(
        (config.media.ports, config.media.threads),
        ((20_000, 29_999), 4)
    );
    assert_eq!((config.web.listen, config.prompts.path), (None, None));
    assert_eq!(config.store.path, Path::new("qingjiang"));
    assert_eq!((config.trace.calls, config.trace.mask), (200, true));
    assert_eq!((config.hep, config.health.every.as_secs()), (None, 0));
    assert_eq!(
        (config.limits.calls, config.log.filter.as_str()),
        (2_000, "info")
    );
    let [hotline] = &config.hotlines[..] else {
        panic!("one hotline");
    };
    assert_eq!(
        (hotline.voice.as_str(), hotline.profile.name.as_str()),
        ("zh-female", "after-sales")
    );
    let seconds = [
        hotline.ring_timeout,
        hotline.ring_cadence,
        hotline.short_abandon,
    ];
    assert_eq!(seconds.map(|d| d.as_secs()), [30, 5, 5]);
    assert_eq!(
        (
            hotline.targets[0].name.as_str(),
            hotline.targets[0].address.port()
        ),
        ("pbx", 5090)
    );
}

/// Source: the second table of the rule books' scripts (R1).
#[test]
fn the_built_in_scripts_are_those_of_the_rule_books() {
    for (name, silence_ms, steps, gap_ms, last) in [
        (
            "after-sales",
            3_000,
            ["silent-connected", "silent-can-you-hear"],
            3_000,
            "silent-redial-other-phone",
        ),
        (
            "call-centre",
            2_500,
            ["silent-please-speak", "silent-please-speak"],
            2_500,
            "silent-redial",
        ),
        (
            "vas-operator",
            3_000,
            ["silent-connected", "silent-connected"],
            2_000,
            "silent-hanging-up",
        ),
    ] {
        let line = format!("profile = \"{name}\"\n");
        let profile = sound_with(&[], &line).unwrap().hotlines[0].profile.clone();
        assert_eq!(profile.name, name);
        assert_eq!(profile.silence_after.as_millis(), silence_ms);
        assert_eq!(
            (profile.steps, profile.r#final.as_str()),
            (steps.map(String::from).to_vec(), last)
        );
        assert_eq!(profile.repeat_after.as_millis(), gap_ms);
        assert_eq!(
            (
                profile.hang_up_after.as_secs(),
                profile.agent_greeting_max.as_secs()
            ),
            (2, 4)
        );
        assert_eq!((profile.hang_up, profile.prompt_to), (true, PromptTo::Both));
    }
}

#[test]
fn a_profile_changes_its_base_whatever_the_order_in_the_file() {
    let more = r#"
profile = "c"
[profile.c]
base = "b"
hang_up = false
[profile.b]
base = "call-centre"
silence_after = "4s"
steps = ["silent-connected"]
"#;
    let profile = sound_with(&[], more).unwrap().hotlines[0].profile.clone();
    assert_eq!((profile.name.as_str(), profile.hang_up), ("c", false));
    assert_eq!(profile.silence_after.as_millis(), 4_000);
    assert_eq!(profile.steps, ["silent-connected"]);
    assert_eq!(
        (profile.repeat_after.as_millis(), profile.r#final.as_str()),
        (2_500, "silent-redial")
    );
}

/// With `QINGJIANG_WRITE_EXPECTED` set, it writes what is said, to be read through and committed.
#[test]
fn a_bad_file_is_told_everything_at_once() {
    let name = "fixtures/config/bad.toml";
    let problems = read(&text_of(name), name, &Machine).unwrap_err();
    let said = format!("{problems}\n");
    let expected = "fixtures/config/bad.expected";
    if std::env::var_os("QINGJIANG_WRITE_EXPECTED").is_some() {
        fs::write(at_root(expected), &said).unwrap();
    }
    assert_eq!(said, text_of(expected));
    assert!(problems.list.len() >= 20);
}

#[test]
fn a_collector_is_an_address_or_a_name_by_udp() {
    let hep = |keys: &str| sound_with(&[], &format!("[hep]\n{keys}\n"));
    let config = hep("to = \"udp:pbx.example.org:9060\"").unwrap();
    assert_eq!(config.hep.unwrap().to.to_string(), "[2001:db8::7]:9060");
    let said = |keys: &str| hep(keys).unwrap_err().to_string();
    assert!(said("capture_id = 1").contains("hep.to: is missing: where the collector listens"));
    for wrong in [
        "tcp:192.0.2.1:9060",
        "udp:192.0.2.1",
        "udp:0.0.0.0:1",
        "udp:192.0.2.1:0",
    ] {
        let said = said(&format!("to = \"{wrong}\""));
        assert!(said.contains("must be \"udp:ADDRESS:PORT\""), "{said}");
    }
    let secret = said("to = \"udp:192.0.2.1:9060\"\npassword = 4711");
    assert!(
        secret.contains("hep.password: must be text") && !secret.contains("4711"),
        "{secret}"
    );
}

#[test]
fn what_may_be_a_secret_is_never_repeated() {
    let said = read(&text_of("fixtures/config/bad.toml"), "bad.toml", &Machine).unwrap_err();
    assert!(!said.to_string().contains("secret"), "{said}");
}

#[test]
fn the_message_is_the_one_that_the_style_guide_shows() {
    let more = "[profile.my-own]\nsilence_after = \"5ms\"\n";
    assert_eq!(
        said(&[], more),
        "profile.my-own.silence_after = \"5ms\": must be 500ms to 120s   (test.toml:15)"
    );
}

#[test]
fn a_mistyped_key_is_told_the_nearest_one() {
    let meant = |old, new| said(&[(old, new)], "");
    assert!(meant("listen =", "listn =").contains("sip.listn: unknown key; is `listen` meant?"));
    assert!(meant("[media]", "[medai]").contains("medai: unknown key; is `media` meant?"));
    assert!(meant("ports =", "port =").contains("is `ports` meant?"));
    let far = said(&[("ports =", "colour = 1\nports =")], "");
    assert_eq!(
        far,
        "media.colour: unknown key; known here: address, ports, threads   (test.toml:6)"
    );
}

#[test]
fn keys_of_later_versions_are_not_called_unknown() {
    for (changes, more) in [
        (&[("udp:127", "ws:127")][..], ""),
        (&[("from =", "listen = \"udp:127.0.0.1:5062\"\nfrom =")], ""),
        (&[], "[sink.postgres]\nurl = \"postgres://\""),
    ] {
        let said = said(changes, more);
        assert!(said.contains("not supported yet in this version"), "{said}");
        assert!(!said.contains("unknown"), "{said}");
    }
}

/// Goal: a password is read from where it is, and nothing that may be one is ever shown.
#[test]
fn passwords_are_read_and_never_shown() {
    let auth = |auth: &str| [("from = [\"127.0.0.0/8\"]", format!("auth = {auth}"))];
    let config = |text: &str| {
        let [(old, new)] = auth(text);
        sound_with(&[(old, &new)], "")
    };
    for (text, password) in [
        (
            "{ user = \"a\", password = \"secret \\\" 1\" }",
            "secret \" 1",
        ),
        (
            "{ user = \"a\", password_file = \"/some/file\" }",
            "the first line of /some/file",
        ),
    ] {
        let config = config(text).unwrap_or_else(|problems| panic!("{problems}"));
        let trunk = &config.trunks[0];
        let known = trunk.auth.as_ref().expect("auth");
        assert_eq!(
            (known.user.as_str(), known.password.reveal()),
            ("a", password)
        );
        assert!(trunk.from.is_empty());
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("first line"),
            "{shown}"
        );
    }
    for (text, says) in [
        ("\"a:secret\"", "trunk.carrier.auth: must be a table"),
        (
            "{ user = \"a\", password = 5678 }",
            "auth.password: must be text",
        ),
        (
            "{ user = \"a\", password = \"\" }",
            "auth.password: must be 1 to 256 bytes",
        ),
        (
            "{ user = \"a\", password = [\"secret\"] }",
            "auth.password: must be text",
        ),
        (
            "{ user = \"a\", pasword = \"secret\" }",
            "is `password` meant?",
        ),
        ("{ user = \"a\" }", "auth.password: is missing"),
        ("{ password = \"secret\" }", "auth.user: is missing"),
        ("{ user = \"a\\\"\", password = \"secret\" }", "auth.user"),
        (
            "{ user = \"a\", password = \"secret\", password_file = \"x\" }",
            "there is a password already",
        ),
        (
            "{ user = \"a\", password_file = \"/nowhere\" }",
            "is no file that can be read",
        ),
    ] {
        let said = config(text).unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
        assert!(!said.contains("secret") && !said.contains("5678"), "{said}");
    }
    let neither = said(&[("from = [\"127.0.0.0/8\"]", "")], "");
    assert!(
        neither.contains("trunk.carrier.from: is missing"),
        "{neither}"
    );
}

#[test]
fn a_registration_has_its_defaults_and_a_name_of_its_own() {
    let one = "[[registration]]\nregistrar = \"sip:pbx.example.org\"\nuser = \"400\"\npassword = \"secret\"\n";
    let config = sound_with(&[], one).unwrap();
    let [registration] = &config.registrations[..] else {
        panic!("one registration");
    };
    assert_eq!(registration.name, "sip:pbx.example.org");
    assert_eq!(registration.address.to_string(), "192.0.2.7:5060");
    assert_eq!(
        (
            registration.contact.as_str(),
            registration.credentials.user.as_str()
        ),
        ("400", "400")
    );
    assert_eq!(registration.expires, Duration::from_secs(3_600));
    let twice = said(&[], &one.repeat(2));
    assert!(
        twice.contains("another registration has this name, in line 15"),
        "{twice}"
    );
    for (old, new, says) in [
        ("sip:pbx", "sip:400@pbx", "must have no user"),
        ("sip:pbx", "sips:pbx", "no tls: socket in sip.listen"),
        ("\"400\"", "\"4 0\"", "must be the user part"),
        ("\"secret\"", "77", "registration[1].password: must be text"),
        ("user =", "expires = \"59s\"\nuser =", "must be 60s to 24h"),
        ("user =", "refresh = 1\nuser =", "unknown key"),
    ] {
        let said = said(&[], &one.replace(old, new));
        assert!(said.contains(says) && !said.contains("77"), "{said}");
    }
}

#[test]
fn how_we_challenge_can_be_told() {
    let config = sound_with(&[], "[auth]\nrealm = \"a b\"\nalgorithms = [\"MD5\"]\n").unwrap();
    assert_eq!(
        (config.auth.realm.as_str(), config.auth.algorithms.len()),
        ("a b", 1)
    );
    let said = said(
        &[],
        "[auth]\nrealm = \"a\\\"b\"\nalgorithms = [\"SHA-1\"]\n",
    );
    assert!(
        said.contains("auth.realm") && said.contains("auth.algorithms[1] = \"SHA-1\""),
        "{said}"
    );
}

#[test]
fn a_syntax_error_has_its_line_and_stands_alone() {
    let said = said(&[("name = \"carrier\"", "name = carrier")], "");
    assert!(
        said.starts_with("not TOML: ") && said.contains("(test.toml:8)"),
        "{said}"
    );
    let twice = read("[sip]\na = 1\na = 2\n", "test.toml", &Machine).unwrap_err();
    assert!(twice.to_string().contains("(test.toml:3)"), "{twice}");
}

#[test]
fn an_empty_file_is_told_what_it_needs() {
    let problems = read("", "test.toml", &Machine).unwrap_err();
    let keys: Vec<&str> = problems
        .list
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(keys, ["hotline", "media", "sip", "trunk"]);
}

#[test]
fn an_address_that_nobody_can_send_to_needs_another_to_tell() {
    let all = ("udp:127.0.0.1:5060", "udp:0.0.0.0:5060");
    assert!(said(&[all], "").contains("sip.advertise must say which"));
    let told = ("[media]", "advertise = \"203.0.113.10\"\n[media]");
    assert_eq!(said(&[all, told], ""), "");
    let media = ("address = \"127.0.0.1\"", "address = \"0.0.0.0\"");
    assert!(said(&[media], "").contains("media.address = \"0.0.0.0\": receives on all addresses"));
    let v6 = ("[media]", "advertise = \"2001:db8::1\"\n[media]");
    assert!(said(&[v6], "").contains("of the same address family"));
}

/// A file with TLS, but for what is left out.
fn with_tls(listen: &str, target: &str, tls: &str) -> Result<Config, String> {
    let changes = [
        ("\"udp:127.0.0.1:5060\"", listen),
        ("sip:1000@127.0.0.1:5090", target),
    ];
    let tls = tls.replace("[sip.tls]", "[sip.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"");
    sound_with(&changes, &tls).map_err(|problems| problems.to_string())
}

#[test]
fn a_target_is_called_over_the_transport_that_its_uri_says() {
    let all = r#""udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "tls:127.0.0.1:5061""#;
    let tls = "[sip.tls]\nca = \"ca.pem\"\n";
    for (target, transport, address) in [
        ("sip:1000@127.0.0.9", Transport::Udp, "127.0.0.9:5060"),
        (
            "sip:1000@127.0.0.9;transport=TCP",
            Transport::Tcp,
            "127.0.0.9:5060",
        ),
        ("sips:1000@127.0.0.9", Transport::Tls, "127.0.0.9:5061"),
    ] {
        let config = with_tls(all, target, tls).unwrap();
        let found = &config.hotlines[0].targets[0];
        let expected = (transport, address.to_owned());
        assert_eq!((found.transport, found.address.to_string()), expected);
    }
    let udp = "\"udp:127.0.0.1:5060\"";
    let said = with_tls(udp, "sip:1000@127.0.0.9;transport=tcp", "").unwrap_err();
    assert!(said.contains("no tcp: socket in sip.listen"), "{said}");
}

#[test]
fn tls_needs_a_certificate_and_who_is_believed_where_somebody_is_asked() {
    let listen = "\"tls:127.0.0.1:5061\"";
    let target = "sips:1000@127.0.0.9";
    let said = |target, tls| with_tls(listen, target, tls).err().unwrap_or_default();
    assert!(said(target, "").contains("[sip.tls] with cert and key is needed"));
    assert!(said(target, "[sip.tls]\n").contains("sip.tls.ca must say"));
    assert_eq!(said(target, "[sip.tls]\nca = \"ca.pem\"\n"), "");
    let asked = "[sip.tls]\nverify_client = true\n";
    assert!(said(target, asked).contains("verify_client needs ca"));
}

#[test]
fn a_host_name_is_sent_to_in_the_family_of_our_sockets() {
    let target = ("sip:1000@127.0.0.1:5090", "sip:1000@pbx.example.org");
    let address = |config: Config| config.hotlines[0].targets[0].address.to_string();
    assert_eq!(
        address(sound_with(&[target], "").unwrap()),
        "192.0.2.7:5060"
    );
    let v6 = ("udp:127.0.0.1:5060", "udp:[::1]:5060");
    assert_eq!(
        address(sound_with(&[target, v6], "").unwrap()),
        "[2001:db8::7]:5060"
    );
    let only_v6 = ("sip:1000@127.0.0.1:5090", "sip:1000@[2001:db8::7]");
    assert!(said(&[only_v6], "").contains("address family"));
}

#[test]
fn ports_and_calls_must_fit_each_other() {
    let few = ("20000-29999", "20000-20399");
    assert_eq!(sound_with(&[few], "").unwrap().limits.calls, 100);
    assert!(said(&[few], "[limits]\ncalls = 101\n").contains("media.ports carry 100 calls"));
    let one = ("20000-29999", "20000-20003");
    assert_eq!(sound_with(&[one], "").unwrap().media.threads, 1);
    let threads = ("address", "threads = 2\naddress");
    assert!(said(&[one, threads], "").contains("media.threads = 2: media.ports carry 1 calls"));
    let inside = ("udp:127.0.0.1:5060", "udp:127.0.0.1:20001");
    assert!(said(&[inside], "").contains("its port lies in media.ports, 20000-29999"));
}

#[test]
fn a_call_to_ourselves_is_found_before_it_is_made() {
    let own = ("127.0.0.1:5090", "127.0.0.1:5060");
    assert!(said(&[own], "").contains("is our own address"));
    let told = ("[media]", "advertise = \"203.0.113.10\"\n[media]");
    let back = ("127.0.0.1:5090", "203.0.113.10");
    assert!(said(&[told, back], "").contains("is our own address"));
}

#[test]
fn a_prompt_of_ones_own_needs_a_recording_in_the_hotlines_voice() {
    let own = "profile = \"p\"\nvoice = \"VOICE\"\n[prompts]\npath = \"/own\"\n[profile.p]\nfinal = \"own-words\"\n";
    assert_eq!(said(&[], &own.replace("VOICE", "male")), "");
    let female = said(&[], &own.replace("VOICE", "female"));
    assert!(
        female.contains("its prompt \"own-words\" does not exist in the voice zh-female"),
        "{female}"
    );
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_do_no_harm() {
    let text = format!("\u{feff}{}", SOUND.replace('\n', "\r\n"));
    assert!(read(&text, "test.toml", &Machine).is_ok());
    let bad = text.replace("5090", "0");
    let said = read(&bad, "test.toml", &Machine).unwrap_err().to_string();
    assert!(said.contains("(test.toml:13)"), "{said}");
}

proptest::proptest! {
    /// A file is written by people, but a panic would hide what they did wrong.
    #[test]
    fn no_text_makes_the_reader_panic(
        more in "(\\[{0,2}(sip|trunk|hotline|profile|media)(\\.[a-z]{1,3})?\\]{0,2}|(base|from|name|targets|ports|steps) ?= ?(-?[0-9]{1,12}|\"[ -~]{0,12}\"|\\[[\"a, ]{0,6}\\]|\\{\\}|true)|[ -~é]{0,20}|\n){0,12}",
    ) {
        let _ = read(&more, "test.toml", &Machine);
        let _ = sound_with(&[], &more);
        let _ = sound_with(&[("\"127.0.0.1\"", &more)], "");
    }
}
