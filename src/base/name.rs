//! Names of volumes, marks, views and groups, and references such as `VOLUME@MARK`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::NAME_LEN_MAX;

/// A name: 1 to 64 of `A-Z a-z 0-9 . _ -`, starting with a letter or a digit.
///
/// The set leaves `@`, `/`, `,` and `:` free for references and export names, and is safe in a path,
/// a URL and a shell.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

crate::text_schema!(
    Name,
    "Name",
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
    1..=NAME_LEN_MAX,
    "A name: letters, digits, '.', '_' and '-', a letter or digit first."
);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing there.
    #[error("a name is needed and none was given")]
    Empty,
    /// Over 64 characters.
    #[error("the name {0:?} is longer than 64 characters")]
    Long(String),
    /// A character that names do not have, or a first one that is neither letter nor digit.
    #[error(
        "the name {text:?} cannot have {found:?} there: a name is made of letters, digits, '.', '_' and '-', and starts with a letter or a digit"
    )]
    Character {
        /// The whole text.
        text: String,
        /// The first character that does not fit.
        found: char,
    },
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.is_empty() {
            return Err(BadName::Empty);
        }
        let fits = |(index, c): (usize, char)| {
            c.is_ascii_alphanumeric() || (index > 0 && matches!(c, '.' | '_' | '-'))
        };
        if let Some((_, found)) = text.char_indices().find(|at| !fits(*at)) {
            return Err(BadName::Character { text: text.chars().take(80).collect(), found });
        }
        if text.len() > NAME_LEN_MAX {
            return Err(BadName::Long(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// One mark of one volume: `VOLUME@MARK`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MarkRef {
    /// The volume.
    pub volume: Name,
    /// The mark's name.
    pub mark: Name,
}

crate::text_schema!(
    MarkRef,
    "MarkRef",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}@[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
    3..=2 * NAME_LEN_MAX + 1,
    "One mark of one volume: VOLUME@MARK."
);

/// Why a text is not a `VOLUME@MARK`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMarkRef {
    /// There is no `@`.
    #[error("{0:?} does not name a mark: write VOLUME@MARK")]
    NoMark(String),
    /// One of its parts is not a name.
    #[error(transparent)]
    Name(#[from] BadName),
}

impl FromStr for MarkRef {
    type Err = BadMarkRef;

    fn from_str(text: &str) -> Result<Self, BadMarkRef> {
        let (volume, mark) = text
            .split_once('@')
            .ok_or_else(|| BadMarkRef::NoMark(text.chars().take(80).collect()))?;
        Ok(Self { volume: volume.parse()?, mark: mark.parse()? })
    }
}

impl TryFrom<String> for MarkRef {
    type Error = BadMarkRef;

    fn try_from(text: String) -> Result<Self, BadMarkRef> {
        text.parse()
    }
}

impl From<MarkRef> for String {
    fn from(mark: MarkRef) -> Self {
        mark.to_string()
    }
}

impl fmt::Display for MarkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.volume, self.mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_characters_are_refused_and_named() {
        for text in ["", "-a", ".a", "a/b", "a@b", "a b", "a,b", "ä", "a\0", "\u{202e}x"] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
        assert!("x".repeat(65).parse::<Name>().is_err());
        assert!("a".repeat(64).parse::<Name>().is_ok());
        let error = "a b".parse::<Name>().unwrap_err().to_string();
        assert!(error.contains("' '"), "{error}");
    }

    #[test]
    fn a_mark_reference_has_two_names() {
        let mark: MarkRef = "mail@monday".parse().unwrap();
        assert_eq!(mark.to_string(), "mail@monday");
        assert!("mail".parse::<MarkRef>().is_err());
        assert!("mail@".parse::<MarkRef>().is_err());
    }
}
