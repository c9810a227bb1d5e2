//! The two files in the state directory: the book of targets, and the secrets apart, both for their owner
//! alone. A file is replaced whole or not at all, whatever happens meanwhile.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::book::Book;
use super::secret::Secrets;
use crate::error::ControlError;
use crate::files;

const BOOK: &str = "iscsi-targets.toml";
const SECRETS: &str = "iscsi-secrets.toml";
const HEADING: &str = "# Kept by tidemarkd. Stop it before you change anything here.\n";
/// Bytes of a file: far above what the limits of the book can make.
const FILE_LEN_MAX: u64 = 256 << 20;

/// Where they are.
#[derive(Clone, Debug)]
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// What the files say; nothing, where there are none.
    ///
    /// # Errors
    /// `Book`, naming the file and what is wrong in it.
    pub(super) fn load(&self) -> Result<(Book, Secrets), ControlError> {
        let book: Book = self.read(BOOK)?;
        book.check().map_err(|why| self.damaged(BOOK, why))?;
        let mut secrets: Secrets = self.read(SECRETS)?;
        secrets.check().map_err(|why| self.damaged(SECRETS, why))?;
        // Left where the daemon died between removing a target and its secrets.
        secrets.targets.retain(|name, _| book.targets.contains_key(name));
        Ok((book, secrets))
    }

    pub(super) fn save_book(&self, book: &Book) -> Result<(), ControlError> {
        self.write(BOOK, book)
    }

    pub(super) fn save_secrets(&self, secrets: &Secrets) -> Result<(), ControlError> {
        self.write(SECRETS, secrets)
    }

    fn damaged(&self, name: &str, why: impl Into<String>) -> ControlError {
        ControlError::Book { path: self.dir.join(name), why: why.into() }
    }

    /// Says what is wrong with the files, and changes nothing.
    ///
    /// # Errors
    /// As [`Files::load`].
    pub(super) fn look(&self) -> Result<(), ControlError> {
        let book: Book = self.parse(BOOK)?;
        book.check().map_err(|why| self.damaged(BOOK, why))?;
        let secrets: Secrets = self.parse(SECRETS)?;
        secrets.check().map_err(|why| self.damaged(SECRETS, why))
    }

    fn read<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, ControlError> {
        let path = self.dir.join(name);
        let mode = fs::metadata(&path).map_or(0, |found| found.permissions().mode());
        if mode & 0o077 != 0 {
            tracing::warn!(file = %path.display(), "others could read it; it is for its owner alone now");
            fs::set_permissions(&path, Permissions::from_mode(0o600))
                .map_err(|error| self.damaged(name, error.to_string()))?;
        }
        self.parse(name)
    }

    fn parse<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, ControlError> {
        let path = self.dir.join(name);
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(T::default()),
            Err(error) => return Err(self.damaged(name, error.to_string())),
        };
        if found.len() > FILE_LEN_MAX {
            return Err(self.damaged(name, "it is too long to be what tidemarkd wrote"));
        }
        let text =
            fs::read_to_string(&path).map_err(|error| self.damaged(name, error.to_string()))?;
        toml::from_str(&text).map_err(|error| self.damaged(name, without_values(&error, &text)))
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), ControlError> {
        let path = self.dir.join(name);
        let text = toml::to_string(value).map_err(|error| self.damaged(name, error.to_string()))?;
        files::replace(&path, format!("{HEADING}{text}").as_bytes())
            .map_err(|error| ControlError::state(format!("write {}", path.display()), &error))
    }
}

/// What is wrong and in which line, without repeating the line: it may hold a secret.
fn without_values(error: &toml::de::Error, text: &str) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let line = before.lines().count().max(1);
    let key = text.lines().nth(line - 1).and_then(|line| line.split_once('='));
    let key = key.map(|(key, _)| format!(", key {}", key.trim())).unwrap_or_default();
    // What is quoted in a message is what was found.
    let message: String = error.message().split('"').step_by(2).collect::<Vec<_>>().join("...");
    format!("line {line}{key}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iscsi::secret::{Accounts, SecretText};

    fn files() -> (tempfile::TempDir, Files) {
        let temp = tempfile::tempdir().unwrap();
        let files = Files::new(temp.path());
        (temp, files)
    }

    fn secrets() -> Secrets {
        let mut accounts = Accounts::default();
        let secret = SecretText::new("open sesame, open".into()).unwrap();
        accounts.set_user("anna".parse().unwrap(), secret).unwrap();
        let mut secrets = Secrets::default();
        secrets.discovery = accounts;
        secrets
    }

    #[test]
    fn what_is_written_is_read_back_and_only_its_owner_may() {
        let (temp, files) = files();
        assert_eq!(files.load().unwrap(), (Book::default(), Secrets::default()));
        files.save_book(&Book::default()).unwrap();
        fs::write(temp.path().join("iscsi-secrets.toml.new"), "left by a crash").unwrap();
        files.save_secrets(&secrets()).unwrap();
        assert_eq!(files.load().unwrap(), (Book::default(), secrets()));
        for name in [BOOK, SECRETS] {
            let mode = fs::metadata(temp.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_others_could_read_is_closed_to_them() {
        let (temp, files) = files();
        files.save_secrets(&secrets()).unwrap();
        let path = temp.path().join(SECRETS);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        files.load().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn damage_is_named_by_file_line_and_key_and_shows_no_secret() {
        let (temp, files) = files();
        let path = temp.path().join(SECRETS);
        for (text, named) in [
            ("version = 1\n[discovery.users]\nanna = 'sesame'\n", "anna"),
            ("version = 1\n[discovery]\nusers = 'sesame sesame'\n", "users"),
            ("version = 1\n[discovery]\nusers = {anna = sesame sesame}\n", "line 3"),
            ("version = 2\n", "version is 2"),
        ] {
            fs::write(&path, text).unwrap();
            let error = files.load().unwrap_err().to_string();
            assert!(error.contains(SECRETS) && error.contains(named), "{error}");
            assert!(!error.contains("sesame"), "{error}");
        }
    }

    #[test]
    fn secrets_of_a_target_that_is_gone_are_not_those_of_the_next_one() {
        let (_temp, files) = files();
        let mut all = secrets();
        all.targets.insert("gone".parse().unwrap(), all.discovery.clone());
        files.save_secrets(&all).unwrap();
        assert!(files.load().unwrap().1.targets.is_empty());
    }
}
