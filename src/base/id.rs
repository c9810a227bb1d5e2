//! Global identities: 128 bits from chance, the same at every site, printed as 32 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use crate::rng::Rng;

/// The identity of a pool, a volume or a mark. Never zero, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u128);

impl Id {
    /// A fresh identity.
    pub fn fresh(rng: &dyn Rng) -> Self {
        loop {
            let id = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
            if id != 0 {
                return Self(id);
            }
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::text_schema!(Id, "Id", r"^[0-9a-f]{32}$", 32..=32, "An identity, the same at every site.");

/// Why a text is not an identity.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an identity: 32 hexadecimal digits")]
pub struct BadId(String);

impl FromStr for Id {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId(text.to_owned());
        if text.len() != 32 {
            return Err(bad());
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| bad())
    }
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
