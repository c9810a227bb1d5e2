//! CHAP secrets. They come in, are written to the file of secrets and handed to the door; they never go
//! anywhere else, and are not shown where something that holds one is printed.

use std::collections::BTreeMap;
use std::fmt;

use base::name::Name;
use serde::{Deserialize, Serialize};

use super::book::{BookError, problem};
use super::names::ChapUser;

/// Bytes of the shortest secret: what is shorter can be found by trying, once a login was overheard.
///
/// Source: RFC 7143 9.2.1.
pub const SECRET_LEN_MIN: usize = 12;
/// Bytes of the longest secret: what initiators keep.
pub const SECRET_LEN_MAX: usize = 255;
/// Accounts of a target: far above what a person looks after.
pub const CHAP_USERS_MAX: usize = 256;
/// The version of the file.
const VERSION: u32 = 1;

/// A secret, as it was typed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretText(String);

base::text_schema!(
    SecretText,
    "SecretText",
    r"^[^\x00-\x1f\x7f-\x9f]*$",
    SECRET_LEN_MIN..=SECRET_LEN_MAX,
    "A CHAP secret."
);

/// Why a text is no secret. It does not repeat the text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a CHAP secret has {SECRET_LEN_MIN} to {SECRET_LEN_MAX} bytes in one line, and this one {0}"
)]
pub struct BadSecret(String);

impl SecretText {
    /// This text as a secret.
    ///
    /// # Errors
    /// `BadSecret` where it is too short, too long, or more than a line.
    pub fn new(text: String) -> Result<Self, BadSecret> {
        if !(SECRET_LEN_MIN..=SECRET_LEN_MAX).contains(&text.len()) {
            return Err(BadSecret(format!("has {}", text.len())));
        }
        if text.chars().any(char::is_control) {
            return Err(BadSecret("holds control characters".into()));
        }
        Ok(Self(text))
    }

    /// Its bytes, for whoever checks answers with them.
    pub fn reveal(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl TryFrom<String> for SecretText {
    type Error = BadSecret;

    fn try_from(text: String) -> Result<Self, BadSecret> {
        Self::new(text)
    }
}

impl From<SecretText> for String {
    fn from(secret: SecretText) -> Self {
        secret.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The account by which a target shows an initiator that it is the right one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnAccount {
    /// Its name.
    pub user: ChapUser,
    /// Its secret.
    pub secret: SecretText,
}

/// The accounts of a target, or of discovery.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Accounts {
    /// Who may log in, by name.
    pub users: BTreeMap<ChapUser, SecretText>,
    /// For mutual authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own: Option<OwnAccount>,
}

/// All accounts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    version: u32,
    /// Those for discovery.
    #[serde(default)]
    pub discovery: Accounts,
    /// Those of targets, by the target's name.
    #[serde(default)]
    pub targets: BTreeMap<Name, Accounts>,
}

impl Default for Secrets {
    fn default() -> Self {
        Self { version: VERSION, discovery: Accounts::default(), targets: BTreeMap::new() }
    }
}

impl Secrets {
    /// Says what makes no sense, naming the key.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("version is {}, and this program knows {VERSION}", self.version));
        }
        Ok(())
    }
}

impl Accounts {
    /// Sets the secret of a user.
    ///
    /// # Errors
    /// Where there are as many as there may be, or the secret is the target's own: who overhears one
    /// side could answer with it on the other.
    pub fn set_user(&mut self, user: ChapUser, secret: SecretText) -> Result<(), BookError> {
        if self.own.as_ref().is_some_and(|own| own.secret == secret) {
            return Err(same_secret());
        }
        if self.users.len() >= CHAP_USERS_MAX && !self.users.contains_key(&user) {
            let why = format!("there are {CHAP_USERS_MAX} CHAP users, which is the most");
            return Err(problem(why, "remove one first with `chap rm`"));
        }
        self.users.insert(user, secret);
        Ok(())
    }

    /// Sets the account for mutual authentication.
    ///
    /// # Errors
    /// As for users.
    pub fn set_own(&mut self, own: OwnAccount) -> Result<(), BookError> {
        if self.users.values().any(|secret| *secret == own.secret) {
            return Err(same_secret());
        }
        self.own = Some(own);
        Ok(())
    }

    /// Removes an account of this name, the own one too; says whether there was one.
    pub fn remove(&mut self, user: &ChapUser) -> bool {
        let was_user = self.users.remove(user).is_some();
        let own = self.own.take_if(|own| own.user == *user);
        was_user || own.is_some()
    }

    /// Whether nobody has an account.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.own.is_none()
    }
}

fn same_secret() -> BookError {
    problem(
        "the two sides of a mutual login have the same secret".into(),
        "give each side a secret of its own, or who hears one side can answer for the other",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretText {
        SecretText::new(text.into()).unwrap()
    }

    #[test]
    fn secrets_that_can_be_guessed_are_refused_and_none_is_ever_printed() {
        for text in ["", "elevenbytes", "twelve\nbytes", &"x".repeat(256)] {
            let error = SecretText::new(text.to_owned()).unwrap_err().to_string();
            assert!(error.contains("12 to 255"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        let own =
            OwnAccount { user: "us".parse().unwrap(), secret: secret("opensesame-opensesame") };
        let accounts = Accounts { own: Some(own), ..Accounts::default() };
        assert!(!format!("{accounts:?}").contains("sesame"));
    }

    #[test]
    fn the_two_sides_of_a_mutual_login_have_different_secrets() {
        let mut accounts = Accounts::default();
        let user: ChapUser = "anna".parse().unwrap();
        accounts.set_user(user.clone(), secret("twelve-bytes")).unwrap();
        let same = OwnAccount { user: "us".parse().unwrap(), secret: secret("twelve-bytes") };
        assert!(accounts.set_own(same).is_err());
        let other = OwnAccount { user: "us".parse().unwrap(), secret: secret("thirteen-bytes") };
        accounts.set_own(other).unwrap();
        assert!(accounts.set_user(user.clone(), secret("thirteen-bytes")).is_err());
        assert!(accounts.remove(&user) && !accounts.remove(&user));
        assert!(accounts.remove(&"us".parse().unwrap()) && accounts.is_empty());
    }
}
