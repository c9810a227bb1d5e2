//! A key: where it lies, how it is made, and what is derived from it.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::hmac;

use super::unhex;
use crate::access::hex;
use crate::error::ControlError;
use crate::files;

/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Bytes of a file of a key: its digits, and whatever blanks an editor leaves.
const FILE_LEN_MAX: u64 = 256;
/// Bytes of what a key is known by: enough that two are never confused, too few to say anything of it.
const ID_LEN: usize = 6;

/// A key.
pub(super) struct Key {
    id: String,
    cipher: LessSafeKey,
    digests: hmac::Key,
}

impl Key {
    fn of(bytes: &[u8]) -> Option<Self> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        // Each use has a key of its own, so that none says anything of another.
        let derived = |purpose: &str| hmac::sign(&root, purpose.as_bytes());
        let cipher = UnboundKey::new(&AES_256_GCM, derived("tidemark seal").as_ref()).ok()?;
        let id = derived("tidemark id");
        Some(Self {
            id: hex(id.as_ref().get(..ID_LEN)?),
            cipher: LessSafeKey::new(cipher),
            digests: hmac::Key::new(hmac::HMAC_SHA256, derived("tidemark digest").as_ref()),
        })
    }

    /// What it is known by.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn cipher(&self) -> &LessSafeKey {
        &self.cipher
    }

    pub(super) fn digest(&self, purpose: &str, clear: &[u8]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.digests);
        for part in [purpose.as_bytes(), &[0], clear] {
            context.update(part);
        }
        context.sign().as_ref().to_vec()
    }
}

/// The key in this file, where there is one.
///
/// # Errors
/// `Secrets` where there is a file and no key in it, or others could read it and that cannot be mended.
pub(super) fn read(path: &Path) -> Result<Option<Key>, ControlError> {
    let Some(text) = text_of(path)? else { return Ok(None) };
    let digits = text.trim();
    let bytes = unhex(digits).filter(|bytes| bytes.len() == KEY_LEN);
    bytes.and_then(|bytes| Key::of(&bytes)).map(Some).ok_or_else(|| ControlError::Secrets {
        why: format!("{} holds no key", path.display()),
        way_out: format!(
            "a key is {} hexadecimal digits, as `openssl rand -hex {KEY_LEN}` gives them",
            KEY_LEN * 2
        ),
    })
}

/// Makes a key in this file.
///
/// # Errors
/// `Secrets`, with what the operating system says.
pub(super) fn make(path: &Path) -> Result<Key, ControlError> {
    let bytes = base::rng::unguessable::<KEY_LEN>();
    let written = files::replace_with(path, |file| writeln!(file, "{}", hex(&bytes)));
    written.map_err(|error| failed("write", path, &error))?;
    Key::of(&bytes).ok_or_else(|| failed("use", path, &ErrorKind::InvalidData.into()))
}

/// What the key in use was known by when it was last there.
pub(super) fn known_as(path: &Path) -> Result<Option<String>, ControlError> {
    Ok(text_of(path)?.map(|text| text.trim().to_owned()))
}

pub(super) fn remember(path: &Path, id: &str) -> Result<(), ControlError> {
    files::replace(path, format!("{id}\n").as_bytes())
        .map_err(|error| failed("write", path, &error))
}

fn text_of(path: &Path) -> Result<Option<String>, ControlError> {
    let read = || -> std::io::Result<String> {
        let file = fs::File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 && file.set_permissions(fs::Permissions::from_mode(0o600)).is_ok() {
            tracing::warn!(file = %path.display(), "others could read it; it is for its owner alone now");
        }
        let mut text = String::new();
        file.take(FILE_LEN_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, &error)),
    }
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> ControlError {
    ControlError::Secrets {
        why: format!("{verb} {}: {error}", path.display()),
        way_out: "correct that and reload with SIGHUP".into(),
    }
}
