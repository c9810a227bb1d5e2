//! What may be done to targets.

use std::collections::BTreeSet;

use base::name::Name;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::book::{Auth, TargetEntry, check_alias, problem};
use super::names::IscsiName;
use super::status::TargetStatus;
use super::{Current, Iscsi};
use crate::appliance::Appliance;
use crate::doors::SessionStatus;
use crate::error::ControlError;
use crate::inventory::Leaving;
use crate::volumes::Sessions;

/// A target to be made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTarget {
    /// Its short name.
    pub name: Name,
    /// Its iSCSI name; without one it is made from the short name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iqn: Option<IscsiName>,
    /// What people call it.
    #[serde(default)]
    pub alias: String,
    /// How initiators show who they are.
    #[serde(default)]
    pub auth: Auth,
    /// Whether CHAP with MD5 will do.
    #[serde(default)]
    pub is_md5_allowed: bool,
}

/// A change of a target: what is left out stays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TargetChange {
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// How initiators show who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Whether CHAP with MD5 will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_md5_allowed: Option<bool>,
}

impl Iscsi {
    pub(super) fn target_status(
        &self,
        current: &Current,
        name: &Name,
        sessions: &[SessionStatus],
    ) -> Option<TargetStatus> {
        let entry = current.book.targets.get(name)?;
        let accounts = current.secrets.targets.get(name);
        Some(TargetStatus {
            name: name.clone(),
            iqn: entry.iqn.clone(),
            alias: entry.alias.clone(),
            auth: entry.auth,
            is_md5_allowed: entry.is_md5_allowed,
            initiators: entry.initiators.iter().cloned().collect(),
            chap_users: accounts.map(|all| all.users.keys().cloned().collect()).unwrap_or_default(),
            mutual_user: accounts.and_then(|all| all.own.as_ref()).map(|own| own.user.clone()),
            luns: entry
                .luns
                .iter()
                .map(|lun| self.lun_status(name, entry, lun, sessions))
                .collect(),
            sessions: sessions.iter().filter(|one| one.is_of(entry.iqn.as_str())).count(),
        })
    }
}

impl Appliance {
    /// All targets, by name.
    pub fn targets(&self) -> Vec<TargetStatus> {
        let (iscsi, sessions) = (self.iscsi(), self.sessions());
        let current = iscsi.read();
        let names = current.book.targets.keys();
        names.filter_map(|name| iscsi.target_status(&current, name, &sessions)).collect()
    }

    /// One target.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn target(&self, name: &Name) -> Result<TargetStatus, ControlError> {
        let (iscsi, sessions) = (self.iscsi(), self.sessions());
        let current = iscsi.read();
        current.book.target(name)?;
        let status = iscsi.target_status(&current, name, &sessions);
        status.ok_or_else(|| super::book::unknown_target(name).into())
    }

    /// Makes a target. It lets nobody in yet.
    ///
    /// # Errors
    /// `Conflict` where a name is taken; `Book`, `State`.
    pub async fn create_target(&self, new: NewTarget) -> Result<TargetStatus, ControlError> {
        let NewTarget { name, iqn, alias, auth, is_md5_allowed } = new;
        let entry = TargetEntry {
            iqn: iqn.unwrap_or_else(|| IscsiName::of_target(&name)),
            alias,
            auth,
            is_md5_allowed,
            initiators: BTreeSet::new(),
            luns: Vec::new(),
        };
        let of = name.clone();
        self.iscsi()
            .change(move |book, secrets| {
                secrets.targets.remove(&of);
                book.add_target(&of, entry)
            })
            .await?;
        self.inventory().settled(Some(Leaving::Target(name.clone())));
        tracing::info!(target = %name, "target created");
        self.target(&name)
    }

    /// Changes a target. Sessions that may not be any more are ended.
    ///
    /// # Errors
    /// `Unknown`, `Conflict`; `Book`, `State`.
    pub async fn set_target(
        &self,
        name: &Name,
        change: TargetChange,
    ) -> Result<TargetStatus, ControlError> {
        let TargetChange { alias, auth, is_md5_allowed } = change;
        self.iscsi()
            .change(|book, _| {
                let target = book.target_mut(name)?;
                if let Some(alias) = alias {
                    check_alias(&alias).map_err(|why| problem(why, "choose another"))?;
                    target.alias = alias;
                }
                target.auth = auth.unwrap_or(target.auth);
                target.is_md5_allowed = is_md5_allowed.unwrap_or(target.is_md5_allowed);
                Ok(())
            })
            .await?;
        self.end_forbidden_sessions();
        tracing::info!(target = %name, "target set");
        self.target(name)
    }

    /// Removes a target with its LUNs and accounts; the disks stay.
    ///
    /// # Errors
    /// `InUse` where somebody has logged in; `Unknown`, `Book`, `State`.
    pub async fn remove_target(&self, name: &Name, them: Sessions) -> Result<(), ControlError> {
        let sessions = self.target(name)?.sessions;
        if sessions > 0 && them == Sessions::Respect {
            return Err(ControlError::InUse {
                what: format!("the target {name}"),
                by: sessions_word(sessions),
                way_out: "log the initiators out, or ask again with --force".into(),
            });
        }
        let leaving = Leaving::Target(name.clone());
        self.inventory().leaves(leaving.clone()).await;
        let removed = self.iscsi().change(|book, secrets| {
            book.target(name)?;
            book.targets.remove(name);
            secrets.targets.remove(name);
            Ok(())
        });
        let removed = removed.await;
        self.inventory().settled(removed.is_err().then_some(leaving));
        removed?;
        self.end_forbidden_sessions();
        tracing::info!(target = %name, "target removed");
        Ok(())
    }

    /// Ends the iSCSI sessions that could not begin as things are now.
    pub(super) fn end_forbidden_sessions(&self) {
        let iscsi = self.iscsi();
        self.doors()
            .iscsi()
            .end_where(&|target, initiator, user| !iscsi.read().lets_in(target, initiator, user));
    }
}

pub(super) fn sessions_word(count: usize) -> String {
    format!("{count} iSCSI {}", if count == 1 { "session" } else { "sessions" })
}
