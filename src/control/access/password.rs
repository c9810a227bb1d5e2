//! Passwords: what they must be, and what is kept of them.

use std::fmt;
use std::sync::OnceLock;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use serde::{Deserialize, Serialize};

use crate::error::ControlError;

/// Characters of the shortest password.
pub const PASSWORD_LEN_MIN: usize = 12;
/// Bytes of the longest one.
pub const PASSWORD_LEN_MAX: usize = 256;

/// A password, as it was typed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Password(String);

base::text_schema!(
    Password,
    "Password",
    r"^[^\x00-\x1f\x7f-\x9f]*$",
    PASSWORD_LEN_MIN..=PASSWORD_LEN_MAX,
    "A password."
);

/// Why a text is no password. It does not repeat the text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a password has at least {PASSWORD_LEN_MIN} characters and at most {PASSWORD_LEN_MAX} bytes in one line"
)]
pub struct BadPassword;

impl Password {
    /// This text as a password.
    ///
    /// # Errors
    /// `BadPassword` where it is too short, too long, or more than a line.
    pub fn new(text: String) -> Result<Self, BadPassword> {
        let fits = text.chars().count() >= PASSWORD_LEN_MIN
            && text.len() <= PASSWORD_LEN_MAX
            && !text.chars().any(char::is_control);
        if fits { Ok(Self(text)) } else { Err(BadPassword) }
    }

    /// What is kept of it: argon2id, with a salt, as RFC 9106 writes it for little memory (19 MiB, two passes).
    ///
    /// # Errors
    /// `State` where it cannot be computed.
    pub(super) fn keep(&self) -> Result<String, ControlError> {
        let failed = |error: argon2::password_hash::Error| ControlError::State {
            what: "keep the password".into(),
            why: error.to_string(),
        };
        let salt = SaltString::encode_b64(&base::rng::unguessable::<16>()).map_err(failed)?;
        let kept = Argon2::default().hash_password(self.0.as_bytes(), &salt).map_err(failed)?;
        Ok(kept.to_string())
    }

    /// Whether it is the one of which this is kept. Where nothing is kept it takes as long, so that the time does
    /// not tell who has an account.
    pub(super) fn is(&self, kept: Option<&str>) -> bool {
        static NOBODYS: OnceLock<String> = OnceLock::new();
        let nobodys =
            || NOBODYS.get_or_init(|| Self("nobody's password".into()).keep().unwrap_or_default());
        let compared = kept.unwrap_or_else(|| nobodys());
        let parsed = PasswordHash::new(compared);
        let is_right = parsed.is_ok_and(|right| {
            Argon2::default().verify_password(self.0.as_bytes(), &right).is_ok()
        });
        kept.is_some() && is_right
    }
}

impl TryFrom<String> for Password {
    type Error = BadPassword;

    fn try_from(text: String) -> Result<Self, BadPassword> {
        Self::new(text)
    }
}

impl From<Password> for String {
    fn from(password: Password) -> Self {
        password.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(password)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_fits_and_nothing_fits_nobody() {
        let right = Password::new("correct horse battery".into()).unwrap();
        let wrong = Password::new("correct horse batters".into()).unwrap();
        let kept = right.keep().unwrap();
        assert!(kept.starts_with("$argon2id$") && !kept.contains("horse"), "{kept}");
        assert!(right.is(Some(&kept)) && !wrong.is(Some(&kept)));
        assert!(!right.is(None) && !right.is(Some("nonsense")));
        assert!(!Password("nobody's password".into()).is(None));
        assert_ne!(kept, right.keep().unwrap());
    }

    #[test]
    fn a_password_that_is_none_is_refused_without_being_repeated() {
        for text in ["short", &"x".repeat(257), "twelve chars\n and a line"] {
            let error = Password::new(text.into()).unwrap_err().to_string();
            assert!(error.contains("12 characters") && !error.contains(text), "{error}");
        }
        let shown = format!("{:?}", Password::new("correct horse battery".into()).unwrap());
        assert!(!shown.contains("horse"));
    }
}
