//! A configuration that is read again while the service runs.
//!
//! Decides what of it takes effect: trunks, hotlines, profiles, limits, passwords, registrations and health checks, for calls that come from now on. What
//! sockets, threads and files were made from stays as it is until a restart, and is named.

use super::Config;
use std::collections::BTreeSet;

/// A renewed configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Renewed {
    /// The new one, with the running one's sections where only a restart changes anything.
    pub config: Config,
    /// Keys that differ and wait for a restart.
    pub waiting: Vec<&'static str>,
}

/// Prompts that the new configuration asks for and that were not there when the service started: `voice/id`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("prompts that were added after the start need a restart: {}", .0.iter().cloned().collect::<Vec<_>>().join(", "))]
pub struct NotLoaded(pub BTreeSet<String>);

/// What a service that runs with `running` does with the file's `new` form. `is_loaded` knows the prompts in memory, by
/// voice and id.
///
/// # Errors
/// A script would find no prompt to play; nothing is renewed.
pub fn renew(
    running: &Config,
    new: Config,
    is_loaded: impl Fn(&str, &str) -> bool,
) -> Result<Renewed, NotLoaded> {
    let missing: BTreeSet<String> = new
        .hotlines
        .iter()
        .flat_map(|hotline| {
            let script = &hotline.profile;
            let prompts = script.steps.iter().chain([&script.r#final]);
            prompts.map(|prompt| (hotline.voice.as_str(), prompt.as_str()))
        })
        .filter(|(voice, prompt)| !is_loaded(voice, prompt))
        .map(|(voice, prompt)| format!("{voice}/{prompt}"))
        .collect();
    if !missing.is_empty() {
        return Err(NotLoaded(missing));
    }
    let differs = [
        ("sip", running.sip != new.sip),
        ("media", running.media != new.media),
        ("web", running.web != new.web),
        ("store", running.store != new.store),
        ("prompts", running.prompts != new.prompts),
        ("log", running.log != new.log),
        ("trace", running.trace != new.trace),
        ("hep", running.hep != new.hep),
    ];
    let waiting = differs
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect();
    let Config {
        limits,
        auth,
        health,
        trunks,
        hotlines,
        registrations,
        ..
    } = new;
    let config = Config {
        limits,
        auth,
        health,
        trunks,
        hotlines,
        registrations,
        ..running.clone()
    };
    Ok(Renewed { config, waiting })
}

#[cfg(test)]
mod tests {
    use super::super::{PromptTo, World, read};
    use super::*;
    use std::net::IpAddr;
    use std::path::Path;

    struct Nowhere;

    impl World for Nowhere {
        fn resolve(&self, _: &str) -> Vec<IpAddr> {
            Vec::new()
        }

        fn prompts(&self, _: Option<&Path>, _: &str) -> BTreeSet<String> {
            [
                "silent-connected",
                "silent-can-you-hear",
                "silent-redial-other-phone",
                "our-own",
            ]
            .map(str::to_owned)
            .into()
        }

        fn is_folder(&self, _: &Path) -> bool {
            true
        }

        fn cores(&self) -> u16 {
            1
        }
    }

    fn config(log: &str, rest: &str) -> Config {
        let text = format!(
            "[sip]\nlisten = [\"udp:192.0.2.1:5060\"]\n[media]\naddress = \"192.0.2.1\"\nports = \"20000-29999\"\n\
             [log]\nfilter = \"{log}\"\n[[trunk]]\nname = \"carrier\"\nfrom = [\"192.0.2.9\"]\n\
             [[hotline]]\nname = \"weather\"\nnumbers = [\"*\"]\ntargets = [\"sip:1000@192.0.2.5\"]\n{rest}"
        );
        read(&text, "test.toml", &Nowhere).expect("a good configuration")
    }

    const OWN: &str =
        "profile = \"own\"\n[profile.own]\nbase = \"after-sales\"\nsteps = [\"our-own\"]\n";

    #[test]
    fn routes_change_at_once_and_sections_that_made_something_wait_and_are_named() {
        let running = config("info", "");
        let renewed = renew(&running, config("debug", ""), |_, _| true).unwrap();
        assert_eq!(renewed.waiting, ["log"]);
        assert_eq!(renewed.config, running);
        let script =
            "profile = \"own\"\n[profile.own]\nbase = \"after-sales\"\nprompt_to = \"caller\"\n";
        let renewed = renew(&running, config("info", script), |_, _| true).unwrap();
        assert!(renewed.waiting.is_empty());
        assert_eq!(
            renewed.config.hotlines[0].profile.prompt_to,
            PromptTo::Caller
        );
        assert_eq!(renewed.config.sip, running.sip);
    }

    #[test]
    fn a_script_whose_prompt_is_not_in_memory_renews_nothing() {
        let loaded = |voice: &str, prompt: &str| voice == "zh-female" && prompt != "our-own";
        let running = config("info", "");
        let missing = renew(&running, config("info", OWN), loaded).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "prompts that were added after the start need a restart: zh-female/our-own"
        );
    }
}
