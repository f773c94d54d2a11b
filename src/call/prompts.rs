//! Which prompts the media threads have: the engine speaks of them by number.

use super::doors::PromptId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Numbers of the loaded prompts by voice (`zh-female`) and name (`silent-connected`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptNames(BTreeMap<String, BTreeMap<String, PromptId>>);

impl PromptNames {
    /// Notes a loaded prompt.
    pub fn insert(&mut self, voice: &str, name: &str, id: PromptId) {
        self.0
            .entry(voice.to_owned())
            .or_default()
            .insert(name.to_owned(), id);
    }

    /// The number of a prompt.
    pub fn id(&self, voice: &str, name: &str) -> Option<PromptId> {
        self.0.get(voice)?.get(name).copied()
    }
}
