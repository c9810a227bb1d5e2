//! CHAP accounts of targets and of discovery.

use base::name::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::book::{Book, BookError, unknown};
use super::names::ChapUser;
use super::secret::{Accounts, OwnAccount, SecretText, Secrets};
use super::status::ChapStatus;
use crate::appliance::Appliance;
use crate::error::ControlError;

/// An account to be set. It is only ever sent to the daemon, never back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// Its name.
    pub user: ChapUser,
    /// Its secret.
    pub secret: SecretText,
    /// Whether it is the target's own, for mutual authentication.
    #[serde(default)]
    pub is_mutual: bool,
}

impl Appliance {
    /// The accounts of a target, or of discovery where none is named.
    ///
    /// # Errors
    /// `Unknown`, or `Secrets` where they cannot be read.
    pub fn chap(&self, target: Option<&Name>) -> Result<Vec<ChapStatus>, ControlError> {
        let current = self.iscsi().read();
        if let Some(locked) = &current.locked {
            return Err(locked.clone());
        }
        let accounts = match target {
            None => Some(&current.secrets.discovery),
            Some(name) => {
                current.book.target(name)?;
                current.secrets.targets.get(name)
            }
        };
        let told = |user: &ChapUser, is_mutual| ChapStatus {
            target: target.cloned(),
            user: user.clone(),
            is_mutual,
        };
        let Some(accounts) = accounts else { return Ok(Vec::new()) };
        let mut all: Vec<_> = accounts.users.keys().map(|user| told(user, false)).collect();
        all.extend(accounts.own.as_ref().map(|own| told(&own.user, true)));
        Ok(all)
    }

    /// Sets the secret of an account, and makes the account where it is new. Counts from the next login on.
    ///
    /// # Errors
    /// `Unknown`, `Conflict`; `Book`, `State`.
    pub async fn set_chap(
        &self,
        target: Option<&Name>,
        new: NewSecret,
    ) -> Result<Vec<ChapStatus>, ControlError> {
        let NewSecret { user, secret, is_mutual } = new;
        let set = user.clone();
        self.iscsi()
            .change(move |book, secrets| {
                let accounts = accounts_of(book, secrets, target)?;
                match is_mutual {
                    true => accounts.set_own(OwnAccount { user: set, secret }),
                    false => accounts.set_user(set, secret),
                }
            })
            .await?;
        tracing::info!(target = ?target, %user, is_mutual, "CHAP secret set");
        self.chap(target)
    }

    /// Removes an account, and ends the sessions that logged in with it.
    ///
    /// # Errors
    /// `Unknown`; `Book`, `State`.
    pub async fn remove_chap(
        &self,
        target: Option<&Name>,
        user: &ChapUser,
    ) -> Result<(), ControlError> {
        self.iscsi()
            .change(|book, secrets| {
                let accounts = accounts_of(book, secrets, target)?;
                if !accounts.remove(user) {
                    let what = format!("there is no CHAP user {user}");
                    return Err(unknown(what, "`chap ls` shows those that are there"));
                }
                if let Some(name) = target.filter(|_| accounts.is_empty()) {
                    secrets.targets.remove(name);
                }
                Ok(())
            })
            .await?;
        self.end_forbidden_sessions();
        tracing::info!(target = ?target, %user, "CHAP user removed");
        Ok(())
    }
}

fn accounts_of<'a>(
    book: &Book,
    secrets: &'a mut Secrets,
    target: Option<&Name>,
) -> Result<&'a mut Accounts, BookError> {
    match target {
        None => Ok(&mut secrets.discovery),
        Some(name) => {
            book.target(name)?;
            Ok(secrets.targets.entry(name.clone()).or_default())
        }
    }
}
