//! Who uses which disk right now: sessions at the doors and attachments.
//!
//! What must not be used while something happens to it is *closed* first: nobody comes in any more, and
//! those inside are waited for. Invariant: a disk is never entered while a closing covers it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::name::{MarkRef, Name};
use store::DiskRef;
use tokio::sync::watch;

use crate::error::ControlError;

/// How long those who are leaving anyway are waited for: a client that has just disconnected must not
/// make the next command fail.
const LEAVE_DEADLINE: Duration = Duration::from_secs(3);

/// Who came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum User {
    /// A session at a door.
    Session,
    /// An attachment to this host.
    Attachment,
    /// Somebody who is just mapping it under a LUN.
    Mapping,
}

/// Which disks a closing covers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The volume or view of this name, and all its marks.
    Whole(Name),
    /// One mark.
    Mark(MarkRef),
}

impl Scope {
    /// Whether it covers this disk.
    pub fn covers(&self, disk: &DiskRef) -> bool {
        match (self, disk) {
            (Self::Whole(name), DiskRef::Volume(of) | DiskRef::View(of)) => name == of,
            (Self::Whole(name), DiskRef::Mark(of)) => *name == of.volume,
            (Self::Mark(mark), DiskRef::Mark(of)) => mark == of,
            (Self::Mark(_), DiskRef::Volume(_) | DiskRef::View(_)) => false,
        }
    }
}

#[derive(Default)]
struct Book {
    inside: BTreeMap<u64, (DiskRef, User)>,
    closed: BTreeMap<u64, Scope>,
    next: u64,
}

/// The book of uses. Clones share it.
#[derive(Clone)]
pub struct Uses {
    book: Arc<Mutex<Book>>,
    changed: watch::Sender<()>,
}

/// Somebody is inside, until this is dropped.
pub struct Use {
    uses: Uses,
    number: u64,
}

/// Nobody comes in, until this is dropped.
pub struct Closing {
    uses: Uses,
    number: u64,
}

impl Default for Uses {
    fn default() -> Self {
        Self { book: Arc::default(), changed: watch::Sender::new(()) }
    }
}

impl Uses {
    /// Comes in.
    ///
    /// # Errors
    /// `InUse` while a closing covers the disk.
    pub fn enter(&self, disk: &DiskRef, user: User) -> Result<Use, ControlError> {
        let mut book = self.book();
        if book.closed.values().any(|scope| scope.covers(disk)) {
            return Err(ControlError::InUse {
                what: disk.to_string(),
                by: "a change that is going on".into(),
                way_out: "try again in a moment".into(),
            });
        }
        let number = book.next;
        book.next += 1;
        book.inside.insert(number, (disk.clone(), user));
        Ok(Use { uses: self.clone(), number })
    }

    /// Lets nobody in any more and waits a moment for those who are leaving.
    ///
    /// # Errors
    /// `InUse` where somebody stays; then the doors are open again.
    pub async fn close(&self, scope: Scope) -> Result<Closing, ControlError> {
        let mut changes = self.changed.subscribe();
        let closing = self.shut(scope.clone());
        let empty = async {
            while !self.inside(&scope).is_empty() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LEAVE_DEADLINE, empty).await;
        match in_use(self.inside(&scope)) {
            Some(error) => Err(error),
            None => Ok(closing),
        }
    }

    /// Who is inside.
    pub fn inside(&self, scope: &Scope) -> Vec<(DiskRef, User)> {
        self.book().inside.values().filter(|(disk, _)| scope.covers(disk)).cloned().collect()
    }

    fn shut(&self, scope: Scope) -> Closing {
        let mut book = self.book();
        let number = book.next;
        book.next += 1;
        book.closed.insert(number, scope);
        Closing { uses: self.clone(), number }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.uses.book().inside.remove(&self.number);
        self.uses.changed.send_replace(());
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.uses.book().closed.remove(&self.number);
    }
}

fn in_use(users: Vec<(DiskRef, User)>) -> Option<ControlError> {
    let (disk, first) = users.first()?;
    let alike = users.iter().filter(|(of, user)| of == disk && user == first).count();
    let (by, way_out) = match first {
        User::Session => (
            format!("{alike} NBD {}", if alike == 1 { "session" } else { "sessions" }),
            "disconnect the clients, end them with `session kill`, or ask again with --force"
                .into(),
        ),
        User::Attachment => {
            ("an attachment to this host".to_owned(), format!("`detach {disk}` first"))
        }
        User::Mapping => {
            ("a change that is going on".to_owned(), "try again in a moment".to_owned())
        }
    };
    Some(ControlError::InUse { what: disk.to_string(), by, way_out })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(text: &str) -> DiskRef {
        text.parse().unwrap()
    }

    fn whole(text: &str) -> Scope {
        Scope::Whole(text.parse().unwrap())
    }

    #[test]
    fn a_whole_volume_covers_its_marks_and_no_others() {
        assert!(whole("mail").covers(&disk("mail")));
        assert!(whole("mail").covers(&disk("mail@monday")));
        assert!(whole("mail").covers(&disk("view/mail")));
        assert!(!whole("mail").covers(&disk("mail2@monday")));
        let mark = Scope::Mark("mail@monday".parse().unwrap());
        assert!(mark.covers(&disk("mail@monday")));
        assert!(!mark.covers(&disk("mail")) && !mark.covers(&disk("mail@sunday")));
    }

    #[tokio::test(start_paused = true)]
    async fn who_stays_inside_keeps_it_from_closing_and_is_named() {
        let uses = Uses::default();
        let first = uses.enter(&disk("mail"), User::Session).unwrap();
        let Err(error) = uses.close(whole("mail")).await else { panic!("closed around a user") };
        assert_eq!(error.to_string(), "mail is in use by 1 NBD session");
        assert!(uses.enter(&disk("mail"), User::Session).is_ok());
        drop(first);
        assert!(uses.close(whole("mail")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_leaving_is_waited_for() {
        let uses = Uses::default();
        let inside = uses.enter(&disk("mail@monday"), User::Session).unwrap();
        let leaving = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            drop(inside);
        };
        let (closing, ()) = tokio::join!(uses.close(whole("mail")), leaving);
        assert!(closing.is_ok());
    }

    #[tokio::test]
    async fn nobody_enters_what_is_closed_until_it_is_open_again() {
        let uses = Uses::default();
        let closing = uses.close(whole("mail")).await.unwrap();
        assert!(uses.enter(&disk("mail"), User::Attachment).is_err());
        assert!(uses.enter(&disk("other"), User::Attachment).is_ok());
        drop(closing);
        assert!(uses.enter(&disk("mail"), User::Attachment).is_ok());
    }
}
