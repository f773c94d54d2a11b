//! Who may call, and where calls go: `[[trunk]]`, `[[hotline]]` and their targets.

use super::auth::credentials;
use super::file::{At, Table, Value};
use super::profiles::{DEFAULT, Profiles};
use super::target::{Host, place};
use super::values::{country_code, name, network, number};
use super::{AnswerMeans, Hotline, Listen, Network, Target, Trunk, VOICES, World};
use crate::base::transport::Transport;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Networks of one trunk; all are compared with each new call's source.
const NETWORKS_MAX: usize = 256;

/// Numbers of one hotline.
const NUMBERS_MAX: usize = 1_000;

/// Targets of one hotline; at 30 s each nobody waits for more.
const TARGETS_MAX: usize = 32;

/// The `agent` label of a target without a name.
const UNNAMED: &str = "pbx";

const ANSWER_MEANS: [(&str, AnswerMeans); 2] = [
    ("person", AnswerMeans::Person),
    ("queue", AnswerMeans::Queue),
];

/// All trunks and hotlines, with the places of what may not occur twice.
#[derive(Default)]
pub(super) struct Routes {
    /// `None` in place of one with a problem.
    pub trunks: Vec<Option<Trunk>>,
    /// `None` in place of one with a problem.
    pub hotlines: Vec<Option<Hotline>>,
    pub trunk_names: Vec<At<String>>,
    pub networks: Vec<At<Network>>,
    pub hotline_names: Vec<At<String>>,
    pub numbers: Vec<At<String>>,
    pub targets: Vec<At<Way>>,
    /// Prompts that a hotline's voice must have.
    pub voices: Vec<At<Script>>,
}

/// Where a target's calls are sent, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub address: SocketAddr,
    pub transport: Transport,
}

/// A hotline's prompts in its voice.
pub(super) struct Script {
    pub voice: &'static str,
    pub prompts: Vec<String>,
}

/// What the routes stand on.
pub(super) struct Ground<'g> {
    pub world: &'g dyn World,
    pub profiles: &'g Profiles,
    /// The SIP sockets; empty if the file's cannot be read.
    pub listen: &'g [At<Listen>],
}

pub(super) fn read(root: &Table<'_>, ground: &Ground<'_>) -> Routes {
    let mut routes = Routes::default();
    root.required("trunk", "one [[trunk]] at least, that says who may call");
    for table in root.tables("trunk") {
        let trunk = routes.trunk(&table, ground);
        routes.trunks.push(trunk);
    }
    root.required("hotline", "one [[hotline]] at least");
    for table in root.tables("hotline") {
        let hotline = routes.hotline(&table, ground);
        routes.hotlines.push(hotline);
    }
    routes
}

impl Routes {
    fn trunk(&mut self, table: &Table<'_>, ground: &Ground<'_>) -> Option<Trunk> {
        let name = named(table);
        let auth = credentials(table, ground.world);
        let what = "a list of networks such as [\"192.0.2.0/24\"]";
        let from = match (table.value("from"), &auth) {
            // Whoever knows a password may call from anywhere; if something is wrong with that, it has been said.
            (None, None | Some(Some(_))) => Vec::new(),
            _ => table.list("from", what, NETWORKS_MAX, network),
        };
        let code = table.value("country_code");
        let code = code.and_then(|value| value.read("be a country code in quotes", country_code));
        table.finish(&["listen", "media_address"]);
        let networks = from.iter().map(|network| network.it).collect();
        self.trunk_names.extend(name.clone());
        self.networks.extend(from);
        Some(Trunk {
            name: name?.it,
            from: networks,
            country_code: code,
            auth: auth?,
        })
    }

    fn hotline(&mut self, table: &Table<'_>, ground: &Ground<'_>) -> Option<Hotline> {
        let name = named(table);
        let what = "a list of numbers in quotes such as [\"4006000121\"]";
        let numbers = table.list("numbers", what, NUMBERS_MAX, number);
        let what = "a list of SIP URIs such as [\"sip:1000@192.0.2.10\"]";
        let targets = table.items("targets", what, TARGETS_MAX);
        let targets: Vec<_> = targets
            .iter()
            .map(|value| self.target(value, ground))
            .collect();
        complain_of_names(table, &targets);
        let profile = profile(table, ground.profiles);
        let voice = voice(table);
        let times = Times::read(table);
        table.finish(&["strategy", "hours", "queue", "country_code"]);

        self.hotline_names.extend(name.clone());
        self.numbers.extend(numbers.iter().cloned());
        let (profile, voice) = (profile?, voice?);
        let prompts = profile.it.steps.iter().chain([&profile.it.r#final]);
        self.voices.push(At {
            it: Script {
                voice,
                prompts: prompts.cloned().collect(),
            },
            spot: profile.spot,
        });
        Some(Hotline {
            name: name?.it,
            numbers: numbers.into_iter().map(|number| number.it).collect(),
            targets: targets
                .into_iter()
                .map(|target| target.map(|target| target.it))
                .collect::<Option<_>>()?,
            profile: profile.it,
            voice: voice.into(),
            ring_timeout: times.ring_timeout,
            ring_cadence: times.ring_cadence,
            short_abandon: times.short_abandon,
        })
    }

    /// A URI, or a table with one.
    fn target(&mut self, value: &Value<'_>, ground: &Ground<'_>) -> Option<At<Target>> {
        let must = "be a SIP URI in quotes, or { uri = \"sip:…\", name = \"desk-1\" }";
        if !value.is_table() {
            let address = self.send_to(value, must, ground)?;
            return Some(At {
                it: Target {
                    uri: address.it.0,
                    address: address.it.1.address,
                    transport: address.it.1.transport,
                    name: UNNAMED.into(),
                    answer_means: AnswerMeans::Person,
                    ringing_183: false,
                    auth: None,
                },
                spot: address.spot,
            });
        }
        let table = value.table(must);
        let uri = table.required("uri", "a SIP URI such as \"sip:1000@192.0.2.10\"");
        let address = uri.and_then(|uri| self.send_to(&uri, "be a SIP URI in quotes", ground));
        let label = table.value("name");
        let label = label.map(|value| value.read_at("be text in quotes", name));
        let answer_means = table.word("answer_means", &ANSWER_MEANS, AnswerMeans::Person);
        let ringing_183 = table.flag("ringing_183", false);
        let auth = credentials(&table, ground.world);
        table.finish(&[]);
        let (address, auth) = (address?, auth?);
        let (label, spot) = match label {
            None => (UNNAMED.into(), address.spot),
            Some(label) => label.map(|label| (label.it, label.spot))?,
        };
        Some(At {
            it: Target {
                uri: address.it.0,
                address: address.it.1.address,
                transport: address.it.1.transport,
                name: label,
                answer_means,
                ringing_183,
                auth,
            },
            spot,
        })
    }

    /// The URI, and where what it names is sent.
    fn send_to(
        &mut self,
        value: &Value<'_>,
        must: &str,
        ground: &Ground<'_>,
    ) -> Option<At<(String, Way)>> {
        let found = value.read_at(must, |uri| Ok((uri.to_owned(), resolved(uri, ground)?)))?;
        self.targets.push(At {
            it: found.it.1,
            spot: found.spot.clone(),
        });
        Some(found)
    }
}

/// The times of a hotline.
struct Times {
    ring_timeout: Duration,
    ring_cadence: Duration,
    short_abandon: Duration,
}

impl Times {
    fn read(table: &Table<'_>) -> Self {
        let s = Duration::from_secs;
        Times {
            ring_timeout: table.duration("ring_timeout", s(30), s(1)..=s(300)),
            ring_cadence: table.duration("ring_cadence", s(5), s(1)..=s(10)),
            short_abandon: table.duration("short_abandon", s(5), s(0)..=s(60)),
        }
    }
}

fn named(table: &Table<'_>) -> Option<At<String>> {
    let value = table.required("name", "the name in records and metrics")?;
    value.read_at("be text in quotes", name)
}

/// Two targets of one name would be one in the figures; those without a name are meant to be.
fn complain_of_names(table: &Table<'_>, targets: &[Option<At<Target>>]) {
    let mut seen: Vec<&At<Target>> = Vec::new();
    for target in targets
        .iter()
        .flatten()
        .filter(|target| target.it.name != UNNAMED)
    {
        if let Some(first) = seen.iter().find(|first| first.it.name == target.it.name) {
            let says = format!("another target has this name, in line {}", first.spot.line);
            table.walk.complain(&target.spot, says);
        }
        seen.push(target);
    }
}

fn profile(table: &Table<'_>, profiles: &Profiles) -> Option<At<super::Profile>> {
    let find = |name: &str| profiles.named(name).cloned();
    match table.value("profile") {
        Some(value) => value.read_at("be a profile's name in quotes", find),
        None => Some(At {
            it: find(DEFAULT).ok()?,
            spot: table.spot.clone(),
        }),
    }
}

/// `language` and `voice` together name the folder of prompts.
fn voice(table: &Table<'_>) -> Option<&'static str> {
    let languages = [("zh", "zh"), ("en", "en")];
    let voices = [("female", "female"), ("male", "male")];
    let language = table.word("language", &languages, "zh");
    let voice = table.word("voice", &voices, "female");
    let folder = format!("{language}-{voice}");
    let found = VOICES.into_iter().find(|known| *known == folder);
    if let (None, Some(value)) = (found, table.value("voice")) {
        value.complain(format!(
            "there is no {folder}: the voices are {}",
            VOICES.join(", ")
        ));
    }
    found
}

/// Where a URI is sent, and how: its address, or the first of its host's that a SIP socket of its transport can send to.
pub(super) fn resolved(uri: &str, ground: &Ground<'_>) -> Result<Way, String> {
    let place = place(uri)?;
    let transport = place.transport;
    let addresses: Vec<IpAddr> = match place.host {
        Host::Address(address) => vec![address],
        Host::Name(host) => ground.world.resolve(host),
    };
    let reachable = |address: &&IpAddr| {
        let same_kind = |listen: &At<Listen>| {
            listen.it.address.is_ipv4() == address.is_ipv4() && listen.it.transport == transport
        };
        ground.listen.is_empty() || ground.listen.iter().any(same_kind)
    };
    match addresses.iter().find(reachable) {
        Some(&address) => Ok(Way {
            address: SocketAddr::new(address, place.port),
            transport,
        }),
        None if addresses.is_empty() => Err("its host name has no address".into()),
        None => Err(format!(
            "no {}: socket in sip.listen has the address family of its host",
            transport.name()
        )),
    }
}
