//! The scripts of R1: the built-in ones, and a file's own as changes to another.
//!
//! Source of every figure: the second table of `hotline-rules.md` (R1, R7).

use super::file::{At, Table};
use super::problem::nearest;
use super::{Profile, PromptTo};
use std::collections::BTreeMap;
use std::time::Duration;

/// The profile of a hotline that names none, and the base of a profile that names none.
pub(super) const DEFAULT: &str = "after-sales";

/// Asking prompts of one script; the rule books have two.
const STEPS_MAX: usize = 8;

/// Windows and gaps of a script: shorter ones would talk into a breath, longer ones are no help to anybody.
const WINDOW: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(500)..=Duration::from_secs(120);

/// Waits that may be left out.
const WAIT: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);

/// The profiles that every installation has.
pub(super) fn built_in() -> [Profile; 3] {
    let script = |name: &str, silence_ms, steps: [&str; 2], gap_ms, last: &str| Profile {
        name: name.into(),
        silence_after: Duration::from_millis(silence_ms),
        repeat_after: Duration::from_millis(gap_ms),
        agent_greeting_max: Duration::from_secs(4),
        steps: steps.map(String::from).to_vec(),
        r#final: last.into(),
        hang_up_after: Duration::from_secs(2),
        hang_up: true,
        prompt_to: PromptTo::Both,
    };
    let after_sales = ["silent-connected", "silent-can-you-hear"];
    [
        script(
            "after-sales",
            3_000,
            after_sales,
            3_000,
            "silent-redial-other-phone",
        ),
        script(
            "call-centre",
            2_500,
            ["silent-please-speak"; 2],
            2_500,
            "silent-redial",
        ),
        script(
            "vas-operator",
            3_000,
            ["silent-connected"; 2],
            2_000,
            "silent-hanging-up",
        ),
    ]
}

/// All profiles of a file, and the prompts that it names for them.
pub(super) struct Profiles {
    by_name: BTreeMap<String, Profile>,
    /// Prompt ids in the file's own profiles.
    pub prompts: Vec<At<String>>,
}

impl Profiles {
    /// The profile of this name.
    pub fn named(&self, name: &str) -> Result<&Profile, String> {
        self.by_name
            .get(name)
            .ok_or_else(|| unknown(name, self.by_name.keys()))
    }
}

/// A profile of the file whose base is not yet known.
struct Open<'w> {
    name: String,
    base: String,
    base_at: super::problem::Spot,
    table: Table<'w>,
}

/// Reads `[profile.NAME]`, bases before what stands on them.
pub(super) fn read(root: &Table<'_>) -> Profiles {
    let section = root.table("profile");
    let mut open: Vec<Open<'_>> = section
        .named_tables()
        .into_iter()
        .filter_map(opened)
        .collect();
    let built_in = built_in().map(|profile| (profile.name.clone(), profile));
    let mut profiles = Profiles {
        by_name: BTreeMap::from(built_in),
        prompts: Vec::new(),
    };
    // Each round settles those whose base is settled; when one settles none, the rest has no base.
    loop {
        let is_ready = |one: &Open<'_>| profiles.by_name.contains_key(&one.base);
        let (ready, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(is_ready);
        open = rest;
        if ready.is_empty() {
            break;
        }
        for one in ready {
            let base = one.base.clone();
            profiles.settle(one, &base);
        }
    }
    complain_of_bases(&profiles, &open);
    for one in open {
        profiles.settle(one, DEFAULT);
    }
    profiles
}

fn opened((name, table): (At<String>, Table<'_>)) -> Option<Open<'_>> {
    let refuse = |says: String| {
        table.walk.complain(&name.spot, says);
        None
    };
    if let Err(says) = super::values::name(&name.it) {
        return refuse(format!("its name {says}"));
    }
    if built_in().iter().any(|profile| profile.name == name.it) {
        return refuse("is built in; take another name, and this one as its base".into());
    }
    let written = table.value("base").and_then(|value| {
        value.read_at("be a profile's name in quotes", |text| Ok(text.to_owned()))
    });
    let (base, base_at) = match written {
        Some(base) => (base.it, base.spot),
        None => (DEFAULT.to_owned(), table.spot.clone()),
    };
    Some(Open {
        name: name.it,
        base,
        base_at,
        table,
    })
}

impl Profiles {
    /// The base with the table's changes.
    fn settle(&mut self, open: Open<'_>, base: &str) {
        let Some(base) = self.by_name.get(base).cloned() else {
            return;
        };
        let table = &open.table;
        let steps = match table.value("steps") {
            None => base.steps,
            Some(_) => {
                let what = "a list of prompts such as [\"silent-connected\"]";
                self.named_prompts(table.list("steps", what, STEPS_MAX, prompt))
            }
        };
        let last = table.value("final");
        let last = last.and_then(|value| value.read_at("be a prompt's id in quotes", prompt));
        let profile = Profile {
            name: open.name,
            silence_after: table.duration("silence_after", base.silence_after, WINDOW),
            repeat_after: table.duration("repeat_after", base.repeat_after, WINDOW),
            agent_greeting_max: table.duration("agent_greeting_max", base.agent_greeting_max, WAIT),
            steps,
            r#final: last.as_ref().map_or(base.r#final, |last| last.it.clone()),
            hang_up_after: table.duration("hang_up_after", base.hang_up_after, WAIT),
            hang_up: table.flag("hang_up", base.hang_up),
            prompt_to: table.word("prompt_to", &PROMPT_TO, base.prompt_to),
        };
        table.finish(&[]);
        self.prompts.extend(last);
        self.by_name.insert(profile.name.clone(), profile);
    }

    fn named_prompts(&mut self, prompts: Vec<At<String>>) -> Vec<String> {
        let ids = prompts.iter().map(|prompt| prompt.it.clone()).collect();
        self.prompts.extend(prompts);
        ids
    }
}

const PROMPT_TO: [(&str, PromptTo); 2] = [("both", PromptTo::Both), ("caller", PromptTo::Caller)];

/// A prompt's id becomes a file name.
fn prompt(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    match (1..=64).contains(&text.len()) && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("must be a prompt's id: letters, digits, hyphens".into()),
    }
}

/// What keeps the rest from having a base: a name that is nobody's, or a circle.
fn complain_of_bases(profiles: &Profiles, open: &[Open<'_>]) {
    for one in open {
        let says = match open.iter().any(|other| other.name == one.base) {
            false => {
                let known = profiles.by_name.keys();
                unknown(&one.base, known.chain(open.iter().map(|open| &open.name)))
            }
            true => match circle(one, open) {
                Some(path) => format!("profiles stand on each other in a circle: {path}"),
                // Its base is at fault, and told so.
                None => continue,
            },
        };
        one.table.walk.complain(&one.base_at, says);
    }
}

/// The way from a profile back to itself, if there is one.
fn circle(start: &Open<'_>, open: &[Open<'_>]) -> Option<String> {
    let mut path = start.name.clone();
    let mut at = start;
    for _ in open {
        at = open.iter().find(|other| other.name == at.base)?;
        path = format!("{path} > {}", at.name);
        if at.name == start.name {
            return Some(path);
        }
    }
    None
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String> + Clone) -> String {
    match nearest(name, known.clone().map(String::as_str)) {
        Some(meant) => format!("no such profile; is \"{meant}\" meant?"),
        None => {
            let known: Vec<&str> = known.map(String::as_str).collect();
            format!("no such profile; there are {}", known.join(", "))
        }
    }
}
