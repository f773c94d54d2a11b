//! What targets' challenges are answered with: the nonces that one call got serve the next.
//!
//! Decides nothing: [`crate::sip::auth`] does. Source: RFC 3261 §22.1 (credentials are kept for a realm), RFC 7616 §3.3.

use crate::base::random::Random;
use crate::config::{Credentials, Target};
use crate::sip::auth::client::repeated;
use crate::sip::auth::{Account, Login};
use crate::sip::wire::Message;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who we are for one target. A call keeps it: a renewed configuration is for new calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetAccount {
    uri: String,
    credentials: Credentials,
}

impl TargetAccount {
    /// That of a target which has one.
    pub fn of(target: &Target) -> Option<TargetAccount> {
        let credentials = target.auth.clone()?;
        let uri = target.uri.clone();
        Some(TargetAccount { uri, credentials })
    }

    fn account(&self) -> Account<'_> {
        Account {
            user: &self.credentials.user,
            password: self.credentials.password.reveal(),
        }
    }
}

/// The challenges of all targets, by URI and user. As many as the configuration has; a renewed one begins with none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logins(BTreeMap<(String, String), Login>);

impl Logins {
    /// Puts credentials into a request, if the target has challenged before.
    pub fn sign(&mut self, account: Option<&TargetAccount>, request: &mut Message) {
        if let Some(account) = account
            && let Some(login) = self.0.get_mut(&key(account))
        {
            login.sign(request, account.account());
        }
    }

    /// The request that follows one which was challenged, after so many of its kind; `None` if the response is its end.
    pub fn answer(
        &mut self,
        account: &TargetAccount,
        refused: &Message,
        response: &Message,
        repeats: u8,
        random: &mut Random,
    ) -> Option<Message> {
        let login = self.0.entry(key(account)).or_default();
        if !login.take(refused, response, repeats, random) {
            return None;
        }
        let mut request = repeated(refused).ok()?;
        login.sign(&mut request, account.account());
        Some(request)
    }

    /// Forgets all: passwords may have changed.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

fn key(account: &TargetAccount) -> (String, String) {
    (account.uri.clone(), account.credentials.user.clone())
}
