//! The two files in the state directory: the book of targets, and the secrets apart and sealed, both for their owner
//! alone. A file is replaced whole or not at all, whatever happens meanwhile. Secrets that an earlier version left in
//! the clear are sealed when they are read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::book::Book;
use super::secret::Secrets;
use crate::error::ControlError;
use crate::files;
use crate::secrets::Vault;

const BOOK: &str = "iscsi-targets.toml";
const SECRETS: &str = "iscsi-secrets.toml";
const HEADING: &str = "# Kept by tidemarkd. Stop it before you change anything here.\n";
/// Bytes of a file: far above what the limits of the book can make.
const FILE_LEN_MAX: u64 = 256 << 20;

/// The version of the file whose secrets are sealed.
const SEALED_VERSION: u32 = 2;
/// What the secrets are sealed for.
const PURPOSE: &str = "CHAP secrets";

/// Where they are.
#[derive(Clone)]
pub(super) struct Files {
    dir: PathBuf,
    vault: Arc<Vault>,
}

/// The version of a file, whatever else is in it.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// The file of secrets.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedFile {
    version: u32,
    sealed: String,
}

/// What the file of secrets holds.
enum Kept {
    Clear(Secrets),
    Sealed(String),
}

/// The secrets, or why they cannot be read though the file is whole.
pub(super) type Opened = Result<Secrets, ControlError>;

impl Files {
    pub(super) fn new(dir: &Path, vault: Arc<Vault>) -> Self {
        Self { dir: dir.to_owned(), vault }
    }

    /// What the files say; nothing, where there are none. Secrets that are sealed with a key that is not here are
    /// apart, since who needs none must not wait for them.
    ///
    /// # Errors
    /// `Book`, naming the file and what is wrong in it.
    pub(super) fn load(&self) -> Result<(Book, Opened), ControlError> {
        self.close_to_others(BOOK)?;
        let book: Book = parse(&self.dir, BOOK)?;
        book.check().map_err(|why| damaged(&self.dir, BOOK, why))?;
        self.close_to_others(SECRETS)?;
        let secrets = self.open(kept(&self.dir)?).map(|mut secrets| {
            // Left where the daemon died between removing a target and its secrets.
            secrets.targets.retain(|name, _| book.targets.contains_key(name));
            secrets
        });
        match secrets {
            Err(error @ ControlError::Book { .. }) => Err(error),
            opened => Ok((book, opened)),
        }
    }

    /// Looks for the key again, where it was not to be had.
    pub(super) fn look_for_key(&self) {
        self.vault.load_again();
    }

    /// Opens what is sealed, and seals what is not, or with another key than now.
    fn open(&self, kept: Kept) -> Opened {
        let (secrets, is_as_it_should_be) = match kept {
            Kept::Clear(secrets) => {
                let is_empty = secrets == Secrets::default();
                (secrets, is_empty)
            }
            Kept::Sealed(sealed) => {
                let clear = self.vault.unseal(PURPOSE, &sealed)?;
                let text = String::from_utf8_lossy(&clear);
                (checked(&self.dir, &text)?, self.vault.is_of_this_key(&sealed))
            }
        };
        if !is_as_it_should_be {
            match self.save_secrets(&secrets) {
                Ok(()) => tracing::info!("CHAP secrets are sealed with the key that is here now"),
                Err(error) => tracing::warn!(%error, "CHAP secrets stay as they lie there"),
            }
        }
        Ok(secrets)
    }

    pub(super) fn save_book(&self, book: &Book) -> Result<(), ControlError> {
        self.write(BOOK, book)
    }

    /// # Errors
    /// `Secrets` where they cannot be sealed, or `State`.
    pub(super) fn save_secrets(&self, secrets: &Secrets) -> Result<(), ControlError> {
        let clear = toml::to_string(secrets)
            .map_err(|error| damaged(&self.dir, SECRETS, error.to_string()))?;
        let sealed = self.vault.seal(PURPOSE, clear.as_bytes())?;
        self.write(SECRETS, &SealedFile { version: SEALED_VERSION, sealed })
    }

    fn close_to_others(&self, name: &str) -> Result<(), ControlError> {
        let path = self.dir.join(name);
        let mode = fs::metadata(&path).map_or(0, |found| found.permissions().mode());
        if mode & 0o077 != 0 {
            tracing::warn!(file = %path.display(), "others could read it; it is for its owner alone now");
            fs::set_permissions(&path, Permissions::from_mode(0o600))
                .map_err(|error| damaged(&self.dir, name, error.to_string()))?;
        }
        Ok(())
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), ControlError> {
        let path = self.dir.join(name);
        let text =
            toml::to_string(value).map_err(|error| damaged(&self.dir, name, error.to_string()))?;
        files::replace(&path, format!("{HEADING}{text}").as_bytes())
            .map_err(|error| ControlError::state(format!("write {}", path.display()), &error))
    }
}

/// Says what is wrong with the files, as far as that is seen without the key, and changes nothing.
///
/// # Errors
/// As [`Files::load`].
pub(super) fn look(dir: &Path) -> Result<(), ControlError> {
    let book: Book = parse(dir, BOOK)?;
    book.check().map_err(|why| damaged(dir, BOOK, why))?;
    kept(dir).map(drop)
}

/// What the file of secrets holds.
fn kept(dir: &Path) -> Result<Kept, ControlError> {
    let Some(text) = text_of(dir, SECRETS)? else { return Ok(Kept::Clear(Secrets::default())) };
    let Versioned { version } = parsed(dir, SECRETS, &text)?;
    match version {
        SEALED_VERSION => {
            let file: SealedFile = parsed(dir, SECRETS, &text)?;
            Ok(Kept::Sealed(file.sealed))
        }
        _ => checked(dir, &text).map(Kept::Clear),
    }
}

fn checked(dir: &Path, text: &str) -> Result<Secrets, ControlError> {
    let secrets: Secrets = parsed(dir, SECRETS, text)?;
    secrets.check().map_err(|why| damaged(dir, SECRETS, why))?;
    Ok(secrets)
}

fn parse<T: DeserializeOwned + Default>(dir: &Path, name: &str) -> Result<T, ControlError> {
    match text_of(dir, name)? {
        Some(text) => parsed(dir, name, &text),
        None => Ok(T::default()),
    }
}

fn text_of(dir: &Path, name: &str) -> Result<Option<String>, ControlError> {
    let path = dir.join(name);
    let found = match fs::metadata(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(damaged(dir, name, error.to_string())),
    };
    if found.len() > FILE_LEN_MAX {
        return Err(damaged(dir, name, "it is too long to be what tidemarkd wrote"));
    }
    fs::read_to_string(&path).map(Some).map_err(|error| damaged(dir, name, error.to_string()))
}

fn parsed<T: DeserializeOwned>(dir: &Path, name: &str, text: &str) -> Result<T, ControlError> {
    toml::from_str(text).map_err(|error| damaged(dir, name, without_values(&error, text)))
}

fn damaged(dir: &Path, name: &str, why: impl Into<String>) -> ControlError {
    ControlError::Book { path: dir.join(name), why: why.into() }
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
        fs::create_dir(temp.path().join("vault")).unwrap();
        let files = Files::new(temp.path(), vault(temp.path()));
        (temp, files)
    }

    fn vault(dir: &Path) -> Arc<Vault> {
        Arc::new(Vault::open_with(&dir.join("vault"), None))
    }

    fn loaded(files: &Files) -> (Book, Secrets) {
        let (book, secrets) = files.load().unwrap();
        (book, secrets.unwrap())
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
        assert_eq!(loaded(&files), (Book::default(), Secrets::default()));
        files.save_book(&Book::default()).unwrap();
        fs::write(temp.path().join("iscsi-secrets.toml.new"), "left by a crash").unwrap();
        files.save_secrets(&secrets()).unwrap();
        assert_eq!(loaded(&files), (Book::default(), secrets()));
        for name in [BOOK, SECRETS] {
            let mode = fs::metadata(temp.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 3, "something was left");
        let text = fs::read_to_string(temp.path().join(SECRETS)).unwrap();
        assert!(!text.contains("anna") && !text.contains("sesame"), "{text}");
    }

    #[test]
    fn a_file_that_others_could_read_is_closed_to_them() {
        let (temp, files) = files();
        files.save_secrets(&secrets()).unwrap();
        let path = temp.path().join(SECRETS);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        loaded(&files);
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
            ("version = 3\n", "version is 3"),
            ("version = 2\n", "sealed"),
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
        assert!(loaded(&files).1.targets.is_empty());
    }

    #[test]
    fn secrets_in_the_clear_are_sealed_when_they_are_read() {
        let (temp, files) = files();
        let path = temp.path().join(SECRETS);
        fs::write(&path, toml::to_string(&secrets()).unwrap()).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("sesame"));
        assert_eq!(loaded(&files).1, secrets());
        assert!(!fs::read_to_string(&path).unwrap().contains("sesame"));
        assert_eq!(loaded(&files).1, secrets());
    }

    #[test]
    fn without_their_key_secrets_stay_closed_and_the_book_does_not() {
        let (temp, files) = files();
        files.save_secrets(&secrets()).unwrap();
        let sealed = fs::read(temp.path().join(SECRETS)).unwrap();
        fs::remove_file(temp.path().join("vault/secrets.key")).unwrap();
        let files = Files::new(temp.path(), vault(temp.path()));
        let error = files.load().unwrap().1.unwrap_err();
        assert!(matches!(error, ControlError::Secrets { .. }), "{error}");
        assert!(files.save_secrets(&Secrets::default()).is_err());
        assert_eq!(fs::read(temp.path().join(SECRETS)).unwrap(), sealed);
    }
}
