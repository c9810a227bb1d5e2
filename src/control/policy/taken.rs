//! The files in which a version before kept policies and their runs: they are taken into the catalogue once, whole or
//! not at all, and then have another name. What was taken is noted there, so that a file that could not be put aside,
//! or that somebody puts back, never takes the place of what was changed since.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::name::Name;
use rusqlite::{OptionalExtension, Transaction, params};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::kept::Runs;
use super::rules::{POLICIES_MAX, Policy};
use crate::error::ControlError;
use crate::files::{beside, put};

const POLICIES: &str = "policies.toml";
const RUNS: &str = "policy-runs.json";
const VERSION: u32 = 1;
/// Bytes of a file: four times what the limits can make of policies and their runs.
const FILE_LEN_MAX: u64 = 256 << 20;

/// The file of policies that was found, and where that of their runs would be.
pub(super) struct OldFiles {
    path: PathBuf,
    text: String,
    runs: PathBuf,
}

/// Whether a file is in the catalogue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It is to be taken in now.
    Now,
    /// It was taken in.
    Before,
    /// Another was, or there are policies already.
    Other,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    version: u32,
    #[serde(default)]
    policies: Vec<Policy>,
}

impl OldFiles {
    /// What lies in this directory.
    ///
    /// # Errors
    /// `Conflict`, naming the file that cannot be read.
    pub(super) fn find(dir: &Path) -> Result<Option<Self>, ControlError> {
        let (path, runs) = (dir.join(POLICIES), dir.join(RUNS));
        let text = read(&path).map_err(|why| damaged(&path, &why))?;
        Ok(text.map(|text| Self { path, text, runs }))
    }

    /// Where that of policies is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The policies, and what came of their last runs. History that cannot be read is told in the log and begins anew.
    ///
    /// # Errors
    /// `Conflict`, naming the file and what is wrong in it.
    pub(super) fn contents(&self) -> Result<(BTreeMap<Name, Policy>, Runs), ControlError> {
        let failed = |why: &str| damaged(&self.path, why);
        let book: Book = toml::from_str(&self.text).map_err(|error| failed(&error.to_string()))?;
        if book.version != VERSION {
            let why = format!("its version is {}, and this program knows {VERSION}", book.version);
            return Err(failed(&why));
        }
        if book.policies.len() > POLICIES_MAX {
            return Err(failed(&format!("it has more than {POLICIES_MAX} policies")));
        }
        let mut all = BTreeMap::new();
        for policy in book.policies {
            policy.rules.check().map_err(|error| failed(&error.to_string()))?;
            let name = policy.rules.name.clone();
            if all.values().any(|other: &Policy| other.id == policy.id) {
                return Err(failed(&format!("policy {name} has the identity of another")));
            }
            if all.insert(name.clone(), policy).is_some() {
                return Err(failed(&format!("policy {name} is there twice")));
            }
        }
        Ok((all, self.history()))
    }

    fn history(&self) -> Runs {
        let parsed = read(&self.runs).and_then(|text| match text {
            Some(text) => serde_json::from_str(&text).map_err(|error| error.to_string()),
            None => Ok(Runs::new()),
        });
        parsed.unwrap_or_else(|why| {
            tracing::warn!(file = %self.runs.display(), %why, "the history of policies begins anew");
            Runs::new()
        })
    }

    /// Gives them other names.
    ///
    /// # Errors
    /// `State`, with what the operating system says.
    pub(super) fn put_aside(&self) -> Result<(), ControlError> {
        // That of policies last: while it is there, the other is not forgotten.
        for path in [&self.runs, &self.path] {
            match put(path, &beside(path, ".taken")) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(ControlError::state(format!("rename {}", path.display()), &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What a person should know of a file that is not taken in.
    pub(super) fn is_another(&self) -> String {
        format!(
            "{} is not read, because policies lie in the catalogue; `policy ls` shows those that run: make what is \
             missing there, and move the file away",
            self.path.display()
        )
    }

    fn digest(&self) -> Vec<u8> {
        Sha256::digest(self.text.as_bytes()).to_vec()
    }
}

/// Whether these are in the catalogue.
pub(super) fn is_taken(change: &Transaction<'_>, old: &OldFiles) -> Result<Taken, ControlError> {
    let sql = "SELECT digest FROM taken_file WHERE name = ?1";
    let noted: Option<Vec<u8>> = change.query_row(sql, [POLICIES], |row| row.get(0)).optional()?;
    let count: u64 = change.query_row("SELECT count(*) FROM policy", [], |row| row.get(0))?;
    Ok(match noted {
        Some(noted) if noted == old.digest() => Taken::Before,
        Some(_) => Taken::Other,
        None if count > 0 => Taken::Other,
        None => Taken::Now,
    })
}

/// Notes that these are in the catalogue.
pub(super) fn note(change: &Transaction<'_>, old: &OldFiles) -> Result<(), ControlError> {
    let sql = "INSERT INTO taken_file (name, digest) VALUES (?1, ?2)";
    change.execute(sql, params![POLICIES, old.digest()])?;
    Ok(())
}

fn read(path: &Path) -> Result<Option<String>, String> {
    match fs::metadata(path) {
        Ok(found) if found.len() > FILE_LEN_MAX => {
            Err("it is too long to be what tidemarkd wrote".into())
        }
        Ok(_) => fs::read_to_string(path).map(Some).map_err(|error| error.to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn damaged(path: &Path, why: &str) -> ControlError {
    ControlError::Conflict {
        why: format!("{}: {}", path.display(), why.trim_end()),
        way_out: "correct it, or move it away and make policies anew; then restart tidemarkd"
            .into(),
    }
}
