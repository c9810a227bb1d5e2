//! What the iSCSI door asks the office: which targets somebody may see, how they show who they are, and
//! whether they may come in.
//!
//! A target that is not there and one that does not let an initiator in look alike to that initiator.

use std::sync::Arc;

use targets::iscsi::{
    Authentication, ChapBook, ChapDigest, OpenTarget, Secret, TargetRefusal, TargetSummary, Targets,
};

use super::book::{Auth, TargetEntry};
use super::names::ChapUser;
use super::secret::Accounts;
use super::{Current, Iscsi};

/// The accounts of a target at the moment somebody logs in.
struct Door {
    accounts: Accounts,
    is_md5_allowed: bool,
}

impl ChapBook for Door {
    fn secret(&self, user: &str) -> Option<Secret> {
        let user: ChapUser = user.parse().ok()?;
        Some(Secret::new(self.accounts.users.get(&user)?.reveal().to_vec()))
    }

    fn own(&self) -> Option<(String, Secret)> {
        let own = self.accounts.own.as_ref()?;
        Some((own.user.to_string(), Secret::new(own.secret.reveal().to_vec())))
    }

    fn digests(&self) -> Vec<ChapDigest> {
        let mut all = vec![ChapDigest::Sha3_256, ChapDigest::Sha256];
        if self.is_md5_allowed {
            // Who takes the weakest takes the one between as well.
            all.extend([ChapDigest::Sha1, ChapDigest::Md5]);
        }
        all
    }
}

impl Current {
    fn entry_for(
        &self,
        target: &str,
        initiator: &str,
    ) -> Option<(&base::name::Name, &TargetEntry)> {
        self.book.of_iqn(target).filter(|(_, entry)| entry.lets_in(initiator))
    }

    /// Whether a session of these three may be.
    pub(super) fn lets_in(&self, target: &str, initiator: &str, user: Option<&str>) -> bool {
        let Some((name, entry)) = self.entry_for(target, initiator) else { return false };
        match (entry.auth, user) {
            (Auth::None, None) => true,
            (Auth::Chap, None) => false,
            // Who has shown an account keeps it as long as the account is there.
            (Auth::None | Auth::Chap, Some(user)) => user
                .parse()
                .ok()
                .zip(self.secrets.targets.get(name))
                .is_some_and(|(user, accounts)| accounts.users.contains_key::<ChapUser>(&user)),
        }
    }
}

impl Targets for Iscsi {
    fn list(&self, initiator: &str, _chap_user: Option<&str>) -> Vec<TargetSummary> {
        let current = self.read();
        let seen = current.book.targets.values().filter(|entry| entry.lets_in(initiator));
        seen.map(|entry| TargetSummary { name: entry.iqn.to_string(), alias: entry.alias.clone() })
            .collect()
    }

    fn discovery(&self) -> Authentication {
        let current = self.read();
        // Secrets that cannot be read may be there: then nobody has one to show.
        if current.secrets.discovery.users.is_empty() && current.locked.is_none() {
            return Authentication::None;
        }
        Authentication::Chap(Arc::new(Door {
            accounts: current.secrets.discovery.clone(),
            is_md5_allowed: current.is_discovery_md5_allowed,
        }))
    }

    fn authentication(
        &self,
        target: &str,
        initiator: &str,
    ) -> Result<Authentication, TargetRefusal> {
        let current = self.read();
        let Some((name, entry)) = current.entry_for(target, initiator) else {
            tracing::debug!(target, initiator, "no such target, or the initiator is not let in");
            return Err(TargetRefusal::NotFound);
        };
        Ok(match entry.auth {
            Auth::None => Authentication::None,
            Auth::Chap => Authentication::Chap(Arc::new(Door {
                accounts: current.secrets.targets.get(name).cloned().unwrap_or_default(),
                is_md5_allowed: entry.is_md5_allowed,
            })),
        })
    }

    fn open(
        &self,
        target: &str,
        initiator: &str,
        chap_user: Option<&str>,
    ) -> Result<OpenTarget, TargetRefusal> {
        let current = self.read();
        // Things may have changed since the login began.
        if !current.lets_in(target, initiator, chap_user) {
            return Err(TargetRefusal::NotFound);
        }
        let found = current.book.of_iqn(target);
        let (name, entry) = found.ok_or(TargetRefusal::NotFound)?;
        let target = current.targets.get(name).ok_or(TargetRefusal::Unavailable)?;
        Ok(OpenTarget { target: Arc::clone(target), alias: entry.alias.clone(), guard: None })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::iscsi::book::Book;
    use crate::iscsi::secret::SecretText;

    const TARGET: &str = "iqn.2026-11.a:mail";
    const OURS: &str = "iqn.2026-11.b:ours";

    fn current(auth: Auth) -> Current {
        let entry = TargetEntry {
            iqn: TARGET.parse().unwrap(),
            alias: String::new(),
            auth,
            is_md5_allowed: false,
            initiators: BTreeSet::from([OURS.parse().unwrap()]),
            luns: Vec::new(),
        };
        let mut book = Book::default();
        book.add_target(&"mail".parse().unwrap(), entry).unwrap();
        let mut current = Current { book, ..Current::default() };
        let mut accounts = Accounts::default();
        let secret = SecretText::new("twelve-bytes".into()).unwrap();
        accounts.set_user("anna".parse().unwrap(), secret).unwrap();
        current.secrets.targets.insert("mail".parse().unwrap(), accounts);
        current
    }

    #[test]
    fn a_session_may_be_as_long_as_target_initiator_and_account_are_there() {
        let open = current(Auth::None);
        assert!(open.lets_in(TARGET, OURS, None) && open.lets_in(TARGET, OURS, Some("anna")));
        assert!(!open.lets_in(TARGET, "iqn.2026-11.b:theirs", None));
        assert!(!open.lets_in("iqn.2026-11.a:other", OURS, None));
        let chap = current(Auth::Chap);
        assert!(chap.lets_in(TARGET, OURS, Some("anna")));
        assert!(!chap.lets_in(TARGET, OURS, None), "who has shown nothing must");
        assert!(!chap.lets_in(TARGET, OURS, Some("ben")));
        assert!(!chap.lets_in(TARGET, "iqn.2026-11.b:theirs", Some("anna")));
    }

    #[test]
    fn md5_is_offered_only_where_it_was_allowed_and_last() {
        let door = |is_md5_allowed| Door { accounts: Accounts::default(), is_md5_allowed };
        assert!(!door(false).digests().contains(&ChapDigest::Md5));
        assert_eq!(door(true).digests().last(), Some(&ChapDigest::Md5));
        let mut with_user = door(false);
        let secret = SecretText::new("twelve-bytes".into()).unwrap();
        with_user.accounts.set_user("anna".parse().unwrap(), secret).unwrap();
        assert!(with_user.secret("anna").is_some());
        assert!(with_user.secret("ben").is_none() && with_user.secret("").is_none());
        assert!(with_user.own().is_none());
    }
}
