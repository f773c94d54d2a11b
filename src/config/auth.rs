//! Who must say who they are, and who we are for others: `[auth]`, `auth = { … }` of trunks and targets, `[[registration]]`.
//!
//! Decides what such a key may say. No message repeats what stands in one: a password that was written
//! without quotes, or a table that is none, may be a secret all the same.

use super::file::{At, Table, Value};
use super::routes::Way;
use super::target::place;
use super::values::name;
use super::{Auth, Credentials, DigestAlgorithm, Registration, Secret, World};
use std::path::Path;
use std::time::Duration;

/// Longest user, password or realm, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Registrations of one file.
const REGISTRATIONS_MAX: usize = 64;

/// In the order of the default: clients that know MD5 only (SIPp 3.6 and many phones) read the first challenge and no
/// other, and fail where it is SHA-256.
const ALGORITHMS: [(&str, DigestAlgorithm); 2] = [
    ("MD5", DigestAlgorithm::Md5),
    ("SHA-256", DigestAlgorithm::Sha256),
];

/// `[auth]`: how we challenge.
pub(super) fn auth(root: &Table<'_>) -> Auth {
    let table = root.table("auth");
    let realm = table.value("realm");
    let realm = realm.and_then(|value| value.read("be text in quotes", plain));
    let algorithms = match table.value("algorithms") {
        Some(_) => {
            let what = "a list such as [\"MD5\", \"SHA-256\"]";
            let list = table.list("algorithms", what, ALGORITHMS.len(), algorithm);
            list.into_iter().map(|one| one.it).collect()
        }
        None => ALGORITHMS.map(|(_, algorithm)| algorithm).to_vec(),
    };
    table.finish(&[]);
    Auth {
        realm: realm.unwrap_or_else(|| "qingjiang".into()),
        algorithms,
    }
}

fn algorithm(text: &str) -> Result<DigestAlgorithm, String> {
    let found = ALGORITHMS.into_iter().find(|(name, _)| *name == text);
    let must = "must be \"MD5\" or \"SHA-256\"";
    found.map(|(_, algorithm)| algorithm).ok_or(must.into())
}

/// `auth = { user, password }` or `{ user, password_file }`. The outer `None`: it has a problem.
pub(super) fn credentials(table: &Table<'_>, world: &dyn World) -> Option<Option<Credentials>> {
    let must = "be a table, { user = \"…\", password = \"…\" }";
    let value = table.value("auth").map(Value::hidden);
    let auth = match &value {
        Some(value) => value.table(must),
        None => table.table("auth"),
    };
    let user = user_of(&auth);
    let password = password_of(&auth, world);
    auth.finish(&[]);
    match value {
        None => Some(None),
        Some(_) => Some(Some(Credentials {
            user: user?,
            password: password?,
        })),
    }
}

fn user_of(table: &Table<'_>) -> Option<String> {
    let user = table.required("user", "the name that is logged in with");
    user?.read("be text in quotes", plain)
}

/// `password`, or the first line of the file that `password_file` names.
fn password_of(table: &Table<'_>, world: &dyn World) -> Option<Secret> {
    let here = table.value("password").map(Value::hidden);
    let file = table.value("password_file");
    match (here, file) {
        (Some(value), None) => value.read("be text in quotes", password),
        (None, Some(value)) => {
            let read = |path: &str| match world.first_line(Path::new(path)) {
                Some(line) => password(&line),
                None => Err("is no file that can be read".into()),
            };
            value.read("be a file's path in quotes", read)
        }
        (Some(_), Some(file)) => {
            file.complain("there is a password already; one of the two is enough");
            None
        }
        (None, None) => {
            table.required(
                "password",
                "or password_file, a file whose first line it is",
            );
            None
        }
    }
}

/// Text that stands between quotes in SIP as it is.
fn plain(text: &str) -> Result<String, String> {
    let strange = |c: char| c.is_control() || matches!(c, '"' | '\\');
    match (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.contains(strange) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "must be 1 to {TEXT_BYTES_MAX} bytes, without quotes, backslashes or control characters"
        )),
    }
}

fn password(text: &str) -> Result<Secret, String> {
    match (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control) {
        true => Ok(Secret(text.to_owned())),
        false => Err(format!(
            "must be 1 to {TEXT_BYTES_MAX} bytes, without control characters"
        )),
    }
}

/// All of `[[registration]]`; `None` in place of one with a problem.
pub(super) fn registrations(
    root: &Table<'_>,
    resolve: impl Fn(&str) -> Result<Way, String>,
    world: &dyn World,
) -> Vec<Option<Registration>> {
    let tables = root.tables("registration");
    let mut names: Vec<At<String>> = Vec::new();
    let mut all = Vec::new();
    for table in &tables {
        let one = registration(table, &resolve, world, &mut names);
        all.push(one);
    }
    if all.len() > REGISTRATIONS_MAX
        && let Some(table) = tables.last()
    {
        let says = format!("there may be {REGISTRATIONS_MAX} registrations");
        root.walk.complain(&table.spot, says);
    }
    all
}

fn registration(
    table: &Table<'_>,
    resolve: impl Fn(&str) -> Result<Way, String>,
    world: &dyn World,
    names: &mut Vec<At<String>>,
) -> Option<Registration> {
    let what = "the registrar's URI such as \"sip:192.0.2.10\"";
    let registrar = table.required("registrar", what).and_then(|value| {
        value.read_at("be a SIP URI in quotes", |uri| {
            place(uri)?;
            match uri.contains('@') {
                true => Err("must have no user: the user is a key of its own".into()),
                false => Ok((uri.to_owned(), resolve(uri)?)),
            }
        })
    });
    let label = match table.value("name") {
        Some(value) => value.read_at("be text in quotes", name),
        // Its first characters will do: a name is for people.
        None => registrar.as_ref().map(|registrar| At {
            it: registrar.it.0.chars().take(64).collect(),
            spot: registrar.spot.clone(),
        }),
    };
    if let Some(label) = &label {
        if let Some(first) = names.iter().find(|first| first.it == label.it) {
            let line = first.spot.line;
            let says = format!("another registration has this name, in line {line}");
            table.walk.complain(&label.spot, says);
        }
        names.push(label.clone());
    }
    let user = table.required("user", "the user whose calls are to come here");
    let user = user.and_then(|value| value.read("be text in quotes", user_part));
    let login = table.value("login");
    let login = login.map(|value| value.read("be text in quotes", plain));
    let password = password_of(table, world);
    let contact = table.value("contact");
    let contact = contact.map(|value| value.read("be text in quotes", user_part));
    let expires = table.duration("expires", EXPIRES, Duration::from_secs(60)..=DAY);
    table.finish(&[]);
    let (registrar, way) = registrar?.it;
    let user = user?;
    Some(Registration {
        name: label?.it,
        registrar,
        address: way.address,
        transport: way.transport,
        credentials: Credentials {
            user: login.unwrap_or_else(|| Some(user.clone()))?,
            password: password?,
        },
        contact: contact.unwrap_or_else(|| Some(user.clone()))?,
        user,
        expires,
    })
}

const EXPIRES: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// What a user part may hold without escapes (RFC 3261 §25.1, `unreserved`).
fn user_part(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&b);
    match (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("must be the user part of a SIP URI, such as \"4006000121\"".into()),
    }
}
