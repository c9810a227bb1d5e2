//! Where policies and what came of their runs are kept: in the catalogue, a row each. A change is one transaction.
//!
//! Where the catalogue cannot be used, what its copy in the pool has of policies is used until it can be, so that
//! marks are taken meanwhile. What a version before kept in files is taken in once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::id::Id;
use base::name::Name;
use rusqlite::{Connection, Transaction, params};

use super::rules::{POLICIES_MAX, Policy, Rules};
use super::runs::{RUNS_MAX, RunStatus};
use super::taken::{self, OldFiles, Taken};
use crate::catalogue::Catalogue;
use crate::error::ControlError;

/// The last runs of each policy, oldest first.
pub(super) type Runs = BTreeMap<Id, Vec<RunStatus>>;

/// Where policies are kept. Its calls block.
#[derive(Clone)]
pub(super) struct Kept {
    dir: PathBuf,
    catalogue: Arc<Catalogue>,
}

/// What was kept.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub policies: BTreeMap<Name, Policy>,
    pub runs: Runs,
    /// Policies that cannot be read, each with the reason.
    pub unreadable: BTreeMap<String, String>,
    /// Why all this does not come from the catalogue, where it does not. Then nothing can be changed.
    pub stands_in: Option<String>,
    /// What else a person should know.
    pub told: Option<String>,
}

impl Kept {
    pub(super) fn new(dir: &Path, catalogue: Arc<Catalogue>) -> Self {
        Self { dir: dir.to_owned(), catalogue }
    }

    /// What was kept, wherever it can be read.
    ///
    /// # Errors
    /// `Catalogue` where nothing can be read, `Conflict` where a file of an earlier version is damaged.
    pub(super) fn load(&self) -> Result<Loaded, ControlError> {
        let mut told = None;
        if let Some(old) = OldFiles::find(&self.dir)? {
            match self.take_in(&old) {
                Ok(Taken::Now | Taken::Before) => told = self.put_aside(&old),
                Ok(Taken::Other) => told = Some(old.is_another()),
                Err(ControlError::Catalogue { why }) => {
                    let (policies, runs) = old.contents()?;
                    let stands_in = Some(why);
                    return Ok(Loaded { policies, runs, stands_in, ..Loaded::default() });
                }
                Err(error) => return Err(error),
            }
        }
        match self.catalogue.read(read) {
            Ok(loaded) => Ok(Loaded { told, ..loaded }),
            Err(ControlError::Catalogue { why }) => match self.catalogue.read_copy(read) {
                Ok(loaded) => Ok(Loaded { stands_in: Some(why), ..loaded }),
                Err(error) => {
                    tracing::debug!(%error, "look for policies in the copy of the catalogue");
                    Err(ControlError::Catalogue { why })
                }
            },
            Err(error) => Err(error),
        }
    }

    fn take_in(&self, old: &OldFiles) -> Result<Taken, ControlError> {
        self.catalogue.change(|change| {
            let taken = taken::is_taken(change, old)?;
            if taken == Taken::Now {
                let (policies, runs) = old.contents()?;
                for policy in policies.values() {
                    put(change, policy)?;
                    add_runs(change, policy.id, runs.get(&policy.id).map_or(&[], Vec::as_slice))?;
                }
                taken::note(change, old)?;
                tracing::info!(
                    policies = policies.len(),
                    "policies of an earlier version are in the catalogue now"
                );
            }
            Ok(taken)
        })
    }

    /// Puts the old files aside, once the copy has what was in them too.
    fn put_aside(&self, old: &OldFiles) -> Option<String> {
        let done = self.catalogue.keep_copy().and_then(|()| old.put_aside());
        done.err().map(|error| {
            tracing::warn!(%error, "put the files of policies aside");
            format!("{} is in the catalogue, and still there: {error}", old.path().display())
        })
    }

    /// Keeps a policy as it is now.
    ///
    /// # Errors
    /// `Catalogue`; then what was kept before is.
    pub(super) fn save(&self, policy: &Policy) -> Result<(), ControlError> {
        self.catalogue.change(|change| put(change, policy))
    }

    /// Forgets a policy and its runs.
    ///
    /// # Errors
    /// `Catalogue`.
    pub(super) fn remove(&self, name: &str) -> Result<(), ControlError> {
        self.catalogue.change(|change| {
            change.execute("DELETE FROM policy WHERE name = ?1", [name])?;
            Ok(())
        })
    }

    /// Adds what came of runs, all at once, and forgets the oldest.
    ///
    /// # Errors
    /// `Catalogue`; then none of them is kept.
    pub(super) fn add_runs(&self, runs: &[(Id, Vec<RunStatus>)]) -> Result<(), ControlError> {
        self.catalogue.add_history(|change| {
            for (policy, runs) in runs {
                add_runs(change, *policy, runs)?;
            }
            Ok(())
        })
    }
}

fn put(change: &Transaction<'_>, policy: &Policy) -> Result<(), ControlError> {
    let sql = "INSERT INTO policy (id, name, since_ms, rules) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (id) DO UPDATE SET name = excluded.name, since_ms = excluded.since_ms, \
               rules = excluded.rules";
    let Policy { rules, id, since_ms } = policy;
    let text = json(rules)?;
    change.prepare_cached(sql)?.execute(params![
        id.to_string(),
        rules.name.as_str(),
        since_ms,
        text
    ])?;
    Ok(())
}

/// Adds runs of one policy, if it is still there.
fn add_runs(change: &Transaction<'_>, policy: Id, runs: &[RunStatus]) -> Result<(), ControlError> {
    let id = policy.to_string();
    let mut insert = change.prepare_cached(
        "INSERT INTO policy_run (policy, status) SELECT id, ?2 FROM policy WHERE id = ?1",
    )?;
    for run in runs {
        insert.execute(params![id, json(run)?])?;
    }
    let sql = "DELETE FROM policy_run WHERE policy = ?1 AND number <= (SELECT number FROM policy_run \
               WHERE policy = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)";
    change.prepare_cached(sql)?.execute(params![id, RUNS_MAX])?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String, ControlError> {
    serde_json::to_string(value)
        .map_err(|error| ControlError::Catalogue { why: format!("write a policy: {error}") })
}

fn read(database: &Connection) -> Result<Loaded, ControlError> {
    let mut loaded = Loaded::default();
    let mut all = database
        .prepare(&format!("SELECT id, name, since_ms, rules FROM policy LIMIT {POLICIES_MAX}"))?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let (id, name): (String, String) = (row.get(0)?, row.get(1)?);
        match policy(&id, row.get(2)?, &row.get::<_, String>(3)?) {
            Ok(policy) => {
                loaded.policies.insert(policy.rules.name.clone(), policy);
            }
            Err(why) => {
                tracing::error!(policy = name, why, "a policy cannot be read, and does not run");
                loaded.unreadable.insert(name, why);
            }
        }
    }
    let mut all = database.prepare("SELECT policy, status FROM policy_run ORDER BY number")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let (id, text): (String, String) = (row.get(0)?, row.get(1)?);
        match (id.parse::<Id>(), serde_json::from_str::<RunStatus>(&text)) {
            (Ok(id), Ok(run)) => loaded.runs.entry(id).or_default().push(run),
            _ => tracing::warn!(policy = id, "a run of the history cannot be read"),
        }
    }
    Ok(loaded)
}

fn policy(id: &str, since_ms: u64, rules: &str) -> Result<Policy, String> {
    let id = id.parse().map_err(|error: base::id::BadId| error.to_string())?;
    let rules: Rules = serde_json::from_str(rules).map_err(|error| error.to_string())?;
    rules.check().map_err(|error| error.to_string())?;
    Ok(Policy { rules, id, since_ms })
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
