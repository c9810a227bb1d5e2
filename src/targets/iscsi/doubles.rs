//! Targets for tests: some by name, some behind CHAP, some that refuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chap::{ChapBook, ChapDigest, Secret};
use super::targets::{Authentication, OpenTarget, TargetRefusal, TargetSummary, Targets};
use crate::scsi::{AccessState, PortGroups, Target};

/// The target that anybody may use.
pub const OPEN: &str = "iqn.2026-11.dev.tidemark:open";
/// The target that wants a secret.
pub const CLOSED: &str = "iqn.2026-11.dev.tidemark:closed";
/// The target that nobody may use.
pub const FORBIDDEN: &str = "iqn.2026-11.dev.tidemark:forbidden";
/// The user who may use the closed target.
pub const USER: &str = "mail";
/// The user's secret.
pub const SECRET: &[u8] = b"twelve bytes";
/// The closed target's own secret.
pub const OWN_SECRET: &[u8] = b"another secret";

/// Secrets of one user.
pub struct Book;

impl ChapBook for Book {
    fn secret(&self, user: &str) -> Option<Secret> {
        (user == USER).then(|| Secret::new(SECRET.to_vec()))
    }

    fn own(&self) -> Option<(String, Secret)> {
        Some(("appliance".to_owned(), Secret::new(OWN_SECRET.to_vec())))
    }

    fn digests(&self) -> Vec<ChapDigest> {
        vec![ChapDigest::Sha3_256, ChapDigest::Sha256, ChapDigest::Md5]
    }
}

/// Targets by name.
pub struct Catalogue(pub BTreeMap<String, Arc<Target>>);

impl Default for Catalogue {
    fn default() -> Self {
        let groups = PortGroups::new(vec![(1, AccessState::Optimized)]);
        let target =
            |name: &str| (name.to_owned(), Target::new(name.to_owned(), Arc::clone(&groups)));
        Self([OPEN, CLOSED].map(target).into())
    }
}

impl Targets for Catalogue {
    fn list(&self, _initiator: &str, _chap_user: Option<&str>) -> Vec<TargetSummary> {
        let summary = |name: &String| TargetSummary { name: name.clone(), alias: String::new() };
        self.0.keys().map(summary).collect()
    }

    fn discovery(&self) -> Authentication {
        Authentication::None
    }

    fn authentication(
        &self,
        target: &str,
        _initiator: &str,
    ) -> Result<Authentication, TargetRefusal> {
        match target {
            FORBIDDEN => Err(TargetRefusal::Forbidden),
            CLOSED => Ok(Authentication::Chap(Arc::new(Book))),
            _ if self.0.contains_key(target) => Ok(Authentication::None),
            _ => Err(TargetRefusal::NotFound),
        }
    }

    fn open(
        &self,
        target: &str,
        _initiator: &str,
        chap_user: Option<&str>,
    ) -> Result<OpenTarget, TargetRefusal> {
        assert_eq!(chap_user.is_some(), target == CLOSED, "proved what had to be");
        let target = self.0.get(target).ok_or(TargetRefusal::NotFound)?;
        Ok(OpenTarget { target: Arc::clone(target), alias: "a line".to_owned(), guard: None })
    }
}
