//! Names as initiators and targets have them, and as administrators type them. Texts from outside become
//! these types here and nowhere else.

use std::fmt;
use std::str::FromStr;

use base::name::Name;
use serde::{Deserialize, Serialize};

/// Bytes of an iSCSI name.
///
/// Source: RFC 7143 4.2.7.1.
const ISCSI_NAME_LEN_MAX: usize = 223;
/// Bytes of a CHAP user's name: what initiators keep.
const CHAP_USER_LEN_MAX: usize = 255;
/// What stands before the name of a target to make an iSCSI name of it.
const OWN_PREFIX: &str = "iqn.2026-11.dev.tidemark:";

/// A text that is no name of this kind.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is no {what}: {why}")]
pub struct BadIscsiName {
    text: String,
    what: &'static str,
    why: &'static str,
}

fn bad(what: &'static str, text: &str, why: &'static str) -> BadIscsiName {
    BadIscsiName { text: text.chars().take(80).collect(), what, why }
}

/// The iSCSI name of an initiator or target, in lower case.
///
/// Source: RFC 7143 4.2.7.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IscsiName(String);

impl IscsiName {
    /// The name of a target that was given none of its own.
    pub fn of_target(name: &Name) -> Self {
        Self(format!("{OWN_PREFIX}{}", name.as_str().to_ascii_lowercase().replace('_', "-")))
    }

    /// It as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

base::text_schema!(
    IscsiName,
    "IscsiName",
    r"^([iI][qQ][nN]\.[0-9]{4}-(0[1-9]|1[0-2])\.[A-Za-z0-9_-][A-Za-z0-9_.:-]*|[eE][uU][iI]\.[0-9A-Fa-f]{16}|[nN][aA][aA]\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32}))$",
    13..=ISCSI_NAME_LEN_MAX,
    "The iSCSI name of an initiator or target; in lower case where it is told."
);

impl FromStr for IscsiName {
    type Err = BadIscsiName;

    fn from_str(text: &str) -> Result<Self, BadIscsiName> {
        let refuse = |why| Err(bad("iSCSI name", text, why));
        let name = text.to_ascii_lowercase();
        if name.len() > ISCSI_NAME_LEN_MAX {
            return refuse("it has more than 223 bytes");
        }
        // Underscores are not in the standard and in the names of many hosts.
        let is_taken = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:_".contains(c);
        if !name.chars().all(is_taken) {
            return refuse("it has letters, digits, and - . : only");
        }
        let hex = |rest: &str| rest.chars().all(|c| c.is_ascii_hexdigit());
        let is_whole = match name.split_once('.') {
            Some(("iqn", rest)) => is_dated(rest),
            Some(("eui", rest)) => rest.len() == 16 && hex(rest),
            Some(("naa", rest)) => (rest.len() == 16 || rest.len() == 32) && hex(rest),
            _ => return refuse("it begins with iqn., eui. or naa."),
        };
        if !is_whole {
            return refuse(
                "write iqn.YYYY-MM.DOMAIN:NAME, eui. and 16 or naa. and 16 or 32 digits",
            );
        }
        Ok(Self(name))
    }
}

/// Whether it is a year, a month and a domain: `2026-11.dev.tidemark` and perhaps more.
fn is_dated(rest: &str) -> bool {
    let Some((date, owner)) = rest.split_once('.') else { return false };
    let digits =
        |text: &str, len: usize| text.len() == len && text.chars().all(|c| c.is_ascii_digit());
    let is_date = date.split_once('-').is_some_and(|(year, month)| {
        digits(year, 4) && digits(month, 2) && ("01"..="12").contains(&month)
    });
    is_date && !owner.is_empty() && !owner.starts_with([':', '.'])
}

impl TryFrom<String> for IscsiName {
    type Error = BadIscsiName;

    fn try_from(text: String) -> Result<Self, BadIscsiName> {
        text.parse()
    }
}

impl From<IscsiName> for String {
    fn from(name: IscsiName) -> Self {
        name.0
    }
}

impl fmt::Display for IscsiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom a rule lets in: one initiator, or whoever comes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Initiator {
    /// Whoever comes.
    Any,
    /// This one.
    Named(IscsiName),
}

base::text_schema!(
    Initiator,
    "Initiator",
    r"^([aA][nN][yY]|([iI][qQ][nN]\.[0-9]{4}-(0[1-9]|1[0-2])\.[A-Za-z0-9_-][A-Za-z0-9_.:-]*|[eE][uU][iI]\.[0-9A-Fa-f]{16}|[nN][aA][aA]\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})))$",
    3..=ISCSI_NAME_LEN_MAX,
    "Whom a rule lets in: an iSCSI name, or any."
);

impl FromStr for Initiator {
    type Err = BadIscsiName;

    fn from_str(text: &str) -> Result<Self, BadIscsiName> {
        if text.eq_ignore_ascii_case("any") { Ok(Self::Any) } else { text.parse().map(Self::Named) }
    }
}

impl TryFrom<String> for Initiator {
    type Error = BadIscsiName;

    fn try_from(text: String) -> Result<Self, BadIscsiName> {
        text.parse()
    }
}

impl From<Initiator> for String {
    fn from(initiator: Initiator) -> Self {
        initiator.to_string()
    }
}

impl fmt::Display for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Named(name) => name.fmt(f),
        }
    }
}

/// The name of a CHAP account.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChapUser(String);

impl ChapUser {
    /// It as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

base::text_schema!(
    ChapUser,
    "ChapUser",
    r"^[^\s\x00-\x1f\x7f-\x9f]+$",
    1..=CHAP_USER_LEN_MAX,
    "The name of a CHAP account, without spaces."
);

impl FromStr for ChapUser {
    type Err = BadIscsiName;

    fn from_str(text: &str) -> Result<Self, BadIscsiName> {
        let refuse = |why| Err(bad("CHAP user", text, why));
        if text.is_empty() || text.len() > CHAP_USER_LEN_MAX {
            return refuse("it has 1 to 255 bytes");
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return refuse("it has no spaces and no control characters");
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ChapUser {
    type Error = BadIscsiName;

    fn try_from(text: String) -> Result<Self, BadIscsiName> {
        text.parse()
    }
}

impl From<ChapUser> for String {
    fn from(user: ChapUser) -> Self {
        user.0
    }
}

impl fmt::Display for ChapUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who sees a LUN: an initiator, or whoever has logged in as a CHAP user, written `chap:USER`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Viewer {
    /// The initiator of this name.
    Initiator(IscsiName),
    /// Whoever has this account.
    Chap(ChapUser),
}

base::text_schema!(
    Viewer,
    "Viewer",
    r"^(chap:[^\s\x00-\x1f\x7f-\x9f]+|([iI][qQ][nN]\.[0-9]{4}-(0[1-9]|1[0-2])\.[A-Za-z0-9_-][A-Za-z0-9_.:-]*|[eE][uU][iI]\.[0-9A-Fa-f]{16}|[nN][aA][aA]\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})))$",
    6..=CHAP_USER_LEN_MAX + 5,
    "Who sees a LUN: an iSCSI name, or chap:USER."
);

impl FromStr for Viewer {
    type Err = BadIscsiName;

    fn from_str(text: &str) -> Result<Self, BadIscsiName> {
        match text.strip_prefix("chap:") {
            Some(user) => user.parse().map(Self::Chap),
            None => text.parse().map(Self::Initiator),
        }
    }
}

impl TryFrom<String> for Viewer {
    type Error = BadIscsiName;

    fn try_from(text: String) -> Result<Self, BadIscsiName> {
        text.parse()
    }
}

impl From<Viewer> for String {
    fn from(viewer: Viewer) -> Self {
        viewer.to_string()
    }
}

impl fmt::Display for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Initiator(name) => name.fmt(f),
            Self::Chap(user) => write!(f, "chap:{user}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_standard_are_taken_in_lower_case() {
        for text in [
            "iqn.1993-08.org.debian:01:abc",
            "iqn.1991-05.com.microsoft:MAIL-1.example.org",
            "eui.02004567A425678D",
            "naa.52004567AC64678D",
            "naa.62004567BA64678D0123456789ABCDEF",
        ] {
            let name: IscsiName = text.parse().unwrap();
            assert_eq!(name.as_str(), text.to_ascii_lowercase());
        }
    }

    #[test]
    fn what_is_no_name_is_refused_and_named() {
        let long = format!("iqn.2026-11.dev.tidemark:{}", "x".repeat(220));
        for text in [
            "",
            "iqn",
            "iqn.",
            "iqn.2026-13.a",
            "iqn.26-11.a",
            "iqn.2026-11",
            "iqn.2026-11.:a",
            "iqn.2026-11.a b",
            "iqn.2026-11.a,b",
            "eui.12",
            "naa.zz",
            "any",
            "mail",
            long.as_str(),
        ] {
            let error = text.parse::<IscsiName>().unwrap_err().to_string();
            assert!(error.contains("no iSCSI name"), "{text}: {error}");
        }
        assert!("a b".parse::<ChapUser>().is_err() && "".parse::<ChapUser>().is_err());
    }

    #[test]
    fn a_targets_own_name_is_an_iscsi_name() {
        let name = IscsiName::of_target(&"Mail_1".parse().unwrap());
        assert_eq!(name.as_str(), "iqn.2026-11.dev.tidemark:mail-1");
        assert_eq!(name.as_str().parse::<IscsiName>().as_ref(), Ok(&name));
    }

    #[test]
    fn a_viewer_is_an_initiator_or_an_account_and_reads_back() {
        for text in ["iqn.2026-11.org.example:a", "chap:Anna"] {
            assert_eq!(text.parse::<Viewer>().unwrap().to_string(), text);
        }
        assert_eq!("ANY".parse::<Initiator>(), Ok(Initiator::Any));
        assert!("chap:".parse::<Viewer>().is_err() && "anna".parse::<Viewer>().is_err());
    }
}
