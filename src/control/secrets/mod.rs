//! What must stay secret on a disk is sealed: AES-256-GCM with a key that does not lie where the sealed things lie.
//!
//! ```text
//! $CREDENTIALS_DIRECTORY/tidemark-key   the key, where the service manager gives it (LoadCredentialEncrypted=)
//! DIR/secrets.key                       0600, the key otherwise, made at the first start
//! DIR/secrets.id                        0600, by what the key in use is known; nothing secret
//! ```
//!
//! A key is 64 hexadecimal digits. The credential goes before the file; while both are there, what the file's key has
//! sealed is still opened, and sealed anew by the credential's when it is next written. A key that is lost or another
//! one stops nothing but what needs sealed things: every call says so until the right one is back.
//!
//! A sealed text is `sealed:1:KEY:NONCE-CONTENTS-TAG` in hexadecimal digits. What it is for is part of what the tag
//! protects, so that one sealed thing never passes for another.

mod key;

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use ring::aead::{Aad, MAX_TAG_LEN, NONCE_LEN, Nonce};

use crate::access::hex;
use crate::error::ControlError;
use key::Key;

/// How a sealed text begins, with the version of what follows.
const PREFIX: &str = "sealed:1:";
/// The credential that a service manager may give.
const CREDENTIAL: &str = "tidemark-key";
/// The file of the key.
const KEY_FILE: &str = "secrets.key";
/// The file of what the key is known by.
const ID_FILE: &str = "secrets.id";

/// Seals and opens.
pub struct Vault {
    state: PathBuf,
    credentials: Option<PathBuf>,
    keys: RwLock<Result<Keys, ControlError>>,
}

/// The keys that are there: that which seals first.
struct Keys {
    sealing: Key,
    others: Vec<Key>,
}

impl Vault {
    /// The vault of a state directory; makes its key at the first start. Blocks.
    pub fn open(state: &Path) -> Self {
        Self::open_with(state, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from))
    }

    /// The same, with credentials from this directory.
    pub fn open_with(state: &Path, credentials: Option<PathBuf>) -> Self {
        let credentials = credentials.map(|dir| dir.join(CREDENTIAL));
        let state = state.to_owned();
        let unread = ControlError::State { what: "open the vault".into(), why: "not yet".into() };
        let vault = Self { state, credentials, keys: RwLock::new(Err(unread)) };
        vault.load();
        vault
    }

    /// Whether one was opened in this state directory before: a daemon does so when it has opened its pool.
    pub fn has_been_opened(state: &Path) -> bool {
        state.join(ID_FILE).exists()
    }

    /// Looks for the key again, where it could not be used before. Blocks.
    pub fn load_again(&self) {
        if self.trouble().is_some() {
            self.load();
        }
    }

    /// Why nothing can be sealed or opened, where that is so.
    pub fn trouble(&self) -> Option<ControlError> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).as_ref().err().cloned()
    }

    /// Seals something for one purpose.
    ///
    /// # Errors
    /// `Secrets` where the key cannot be used.
    pub fn seal(&self, purpose: &str, clear: &[u8]) -> Result<String, ControlError> {
        self.with_keys(|keys| {
            let nonce = base::rng::unguessable::<NONCE_LEN>();
            let mut bytes = Vec::with_capacity(NONCE_LEN + clear.len() + MAX_TAG_LEN);
            bytes.extend_from_slice(clear);
            let sealed = keys.sealing.cipher().seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose.as_bytes()),
                &mut bytes,
            );
            sealed.map_err(|_| self.refusal("it is too long to be sealed".into()))?;
            Ok(format!("{PREFIX}{}:{}{}", keys.sealing.id(), hex(&nonce), hex(&bytes)))
        })
    }

    /// Opens what was sealed for this purpose.
    ///
    /// # Errors
    /// `Secrets` where the key cannot be used, it was sealed with another, or this is not what was sealed.
    pub fn unseal(&self, purpose: &str, sealed: &str) -> Result<Vec<u8>, ControlError> {
        self.with_keys(|keys| {
            let damaged = || self.refusal(format!("what was sealed for {purpose} is damaged"));
            let rest = sealed.strip_prefix(PREFIX).ok_or_else(damaged)?;
            let (id, digits) = rest.split_once(':').ok_or_else(damaged)?;
            let key = keys.all().find(|key| key.id() == id).ok_or_else(|| {
                self.refusal(format!("{purpose} was sealed with another key, known as {id}"))
            })?;
            let mut bytes = unhex(digits).ok_or_else(damaged)?;
            let (nonce, rest) = bytes.split_at_mut_checked(NONCE_LEN).ok_or_else(damaged)?;
            let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
            let aad = Aad::from(purpose.as_bytes());
            let clear = key.cipher().open_in_place(nonce, aad, rest).map_err(|_| damaged())?;
            Ok(clear.to_vec())
        })
    }

    /// Whether a text was sealed with the key that seals now.
    pub fn is_of_this_key(&self, sealed: &str) -> bool {
        let id = sealed.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':'));
        self.with_keys(|keys| Ok(id.is_some_and(|(id, _)| id == keys.sealing.id())))
            .unwrap_or(false)
    }

    /// A digest of something that may hold a secret: without the key nobody can try what was digested.
    ///
    /// # Errors
    /// `Secrets` where the key cannot be used.
    pub fn digest(&self, purpose: &str, clear: &[u8]) -> Result<Vec<u8>, ControlError> {
        self.with_keys(|keys| Ok(keys.sealing.digest(purpose, clear)))
    }

    fn with_keys<T>(
        &self,
        work: impl FnOnce(&Keys) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        match &*self.keys.read().unwrap_or_else(PoisonError::into_inner) {
            Ok(keys) => work(keys),
            Err(error) => Err(error.clone()),
        }
    }

    fn load(&self) {
        let keys = self.find();
        if let Err(error) = &keys {
            tracing::error!(%error, "what is sealed stays so");
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn find(&self) -> Result<Keys, ControlError> {
        let known = key::known_as(&self.path(ID_FILE))?;
        let places = self.credentials.iter().cloned().chain([self.path(KEY_FILE)]);
        let mut found = Vec::new();
        for path in places {
            found.extend(key::read(&path)?);
        }
        if let Some(known) = &known
            && !found.iter().any(|key| key.id() == known)
        {
            let what = if found.is_empty() { "is not there" } else { "is another one" };
            return Err(self.refusal(format!("the key known as {known} {what}")));
        }
        if found.is_empty() {
            found.push(key::make(&self.path(KEY_FILE))?);
            tracing::info!(file = %self.path(KEY_FILE).display(), "made a key for secrets");
        }
        let sealing = found.remove(0);
        if known.as_deref() != Some(sealing.id()) {
            key::remember(&self.path(ID_FILE), sealing.id())?;
        }
        Ok(Keys { sealing, others: found })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    fn refusal(&self, why: String) -> ControlError {
        let (file, id) = (self.path(KEY_FILE), self.path(ID_FILE));
        ControlError::Secrets {
            why,
            way_out: format!(
                "put the right key into {} or the credential {CREDENTIAL} and reload with SIGHUP; where it is \
                 lost, remove {} and restart, and set what was sealed anew",
                file.display(),
                id.display()
            ),
        }
    }
}

impl Keys {
    fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.sealing).chain(&self.others)
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests;
