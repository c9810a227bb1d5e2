//! The two files in the state directory: the policies, and what came of their runs. A file is replaced whole or
//! not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::id::Id;
use base::name::Name;
use serde::{Deserialize, Serialize};

use super::rules::{POLICIES_MAX, Policy};
use super::runs::RunStatus;
use crate::error::ControlError;
use crate::files;

const POLICIES: &str = "policies.toml";
const RUNS: &str = "policy-runs.json";
const HEADING: &str = "# Kept by tidemarkd. Stop it before you change anything here.\n";
const VERSION: u32 = 1;
/// Bytes of a file: four times what the limits can make of policies and their runs.
const FILE_LEN_MAX: u64 = 256 << 20;

/// Where they are.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    version: u32,
    #[serde(default)]
    policies: Vec<Policy>,
}

/// The last runs of each policy.
pub(super) type Runs = BTreeMap<Id, Vec<RunStatus>>;

impl Kept {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The policies that were kept; none, where there is no file.
    ///
    /// # Errors
    /// `Conflict`, naming the file and what is wrong in it.
    pub(super) fn policies(&self) -> Result<BTreeMap<Name, Policy>, ControlError> {
        let path = self.dir.join(POLICIES);
        let Some(text) = read(&path).map_err(|why| damaged(&path, &why))? else {
            return Ok(BTreeMap::new());
        };
        let book: Book =
            toml::from_str(&text).map_err(|error| damaged(&path, &error.to_string()))?;
        if book.version != VERSION {
            let why = format!("its version is {}, and this program knows {VERSION}", book.version);
            return Err(damaged(&path, &why));
        }
        if book.policies.len() > POLICIES_MAX {
            return Err(damaged(&path, &format!("it has more than {POLICIES_MAX} policies")));
        }
        let mut all = BTreeMap::new();
        for policy in book.policies {
            policy.rules.check().map_err(|error| damaged(&path, &error.to_string()))?;
            let name = policy.rules.name.clone();
            if all.insert(name.clone(), policy).is_some() {
                return Err(damaged(&path, &format!("policy {name} is there twice")));
            }
        }
        Ok(all)
    }

    /// # Errors
    /// `State`, with what the operating system says; then what was kept before is.
    pub(super) fn save_policies<'a>(
        &self,
        policies: impl Iterator<Item = &'a Policy>,
    ) -> Result<(), ControlError> {
        let book = Book { version: VERSION, policies: policies.cloned().collect() };
        let path = self.dir.join(POLICIES);
        let text = toml::to_string(&book).map_err(|error| damaged(&path, &error.to_string()))?;
        Self::write(&path, &format!("{HEADING}{text}"))
    }

    /// What came of the last runs. History that cannot be read is told in the log and begins anew.
    pub(super) fn runs(&self) -> Runs {
        let path = self.dir.join(RUNS);
        let parsed = read(&path).and_then(|text| match text {
            Some(text) => serde_json::from_str(&text).map_err(|error| error.to_string()),
            None => Ok(Runs::new()),
        });
        parsed.unwrap_or_else(|why| {
            tracing::warn!(file = %path.display(), %why, "the history of policies begins anew");
            Runs::new()
        })
    }

    /// # Errors
    /// `State`, with what the operating system says.
    pub(super) fn save_runs(&self, runs: &Runs) -> Result<(), ControlError> {
        let path = self.dir.join(RUNS);
        let text =
            serde_json::to_string(runs).map_err(|error| damaged(&path, &error.to_string()))?;
        Self::write(&path, &text)
    }

    fn write(path: &Path, text: &str) -> Result<(), ControlError> {
        files::replace(path, text.as_bytes())
            .map_err(|error| ControlError::state(format!("write {}", path.display()), &error))
    }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::policy::rules::Rules;

    fn policy(name: &str) -> Policy {
        let text =
            format!("name = '{name}'\nvolumes = ['mail']\nevery = '5m'\nkeep = {{last = 3}}");
        let rules: Rules = toml::from_str(&text).unwrap();
        Policy { rules, id: Id(7), since_ms: 5 }
    }

    #[test]
    fn what_is_written_is_read_back_and_only_its_owner_may() {
        let temp = tempfile::tempdir().unwrap();
        let kept = Kept::new(temp.path());
        assert!(kept.policies().unwrap().is_empty() && kept.runs().is_empty());
        fs::write(temp.path().join("policies.new"), "left by a crash").unwrap();
        kept.save_policies([policy("a"), policy("b")].iter()).unwrap();
        let read: Vec<_> = kept.policies().unwrap().into_values().collect();
        assert_eq!(read, [policy("a"), policy("b")]);
        let mode = fs::metadata(temp.path().join(POLICIES)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn damage_is_named_and_history_alone_stops_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let kept = Kept::new(temp.path());
        kept.save_policies([policy("a"), policy("a")].iter()).unwrap();
        for text in
            [None, Some("version = 2"), Some("version = 1\n[[policies]]\nname = 1"), Some("=")]
        {
            if let Some(text) = text {
                fs::write(temp.path().join(POLICIES), text).unwrap();
            }
            let error = kept.policies().unwrap_err();
            assert!(error.to_string().contains(POLICIES), "{error}");
            assert!(error.way_out().unwrap().contains("restart"));
        }
        fs::write(temp.path().join(RUNS), "{").unwrap();
        assert!(kept.runs().is_empty());
    }
}
