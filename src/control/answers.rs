//! What was answered to requests that carry a key, so that one whose answer was lost is asked again without being
//! carried out twice. It lies in the catalogue, since a daemon that ends in between is what this is for.
//!
//! A request is noted before it is carried out and its answer after it. Where the daemon ended between the two nobody
//! knows what came of it, and whoever asks again is told so. Answers may hold a token, and requests a password: the
//! ones are sealed, of the others only a digest with the vault's key is kept.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::clock::Clock;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::catalogue::Catalogue;
use crate::error::ControlError;
use crate::secrets::Vault;

/// How long an answer is remembered, in milliseconds: a day, within which a program that retries has given up.
pub const KEPT_MS: u64 = 24 * 60 * 60_000;
/// Bytes of an answer that is remembered: above that of a mark of 64 volumes.
const ANSWER_LEN_MAX: usize = 256 * 1024;
/// Answers that are remembered; the oldest go first. One each ten seconds, for a day.
const ANSWERS_MAX: u64 = 10_000;
/// Bytes of all of them: what a copy of the catalogue each minute bears.
const BYTES_MAX: u64 = 64 << 20;
/// After how many requests it is looked whether there are too many: looking reads them all.
const LOOK_EACH: u64 = 100;

/// A request with a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Who asks: a key means nothing for anybody else.
    pub who: String,
    /// The key.
    pub key: String,
    /// What is asked, in bytes that are others when something else is.
    pub request: Vec<u8>,
}

/// What was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Begun {
    /// It is to be carried out, and its answer handed to [`Answers::end`].
    First(Ticket),
    /// It was answered so.
    Before(Answered),
    /// Its key was used for another one.
    Other,
}

/// One request that is being carried out; when it is dropped, it is not any more.
#[derive(Debug)]
pub struct Ticket {
    name: Name,
    running: Running,
}

type Name = (String, String);
type Running = Arc<Mutex<BTreeSet<Name>>>;

/// All answers. Its calls block, on the catalogue.
pub struct Answers {
    catalogue: Arc<Catalogue>,
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    running: Running,
    begun: AtomicU64,
}

impl Answers {
    /// What this catalogue has of them.
    pub fn new(catalogue: &Arc<Catalogue>, vault: &Arc<Vault>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            catalogue: Arc::clone(catalogue),
            vault: Arc::clone(vault),
            clock: Arc::clone(clock),
            running: Running::default(),
            begun: AtomicU64::new(0),
        }
    }

    /// Notes that a request is about to be carried out, or finds what was answered to it.
    ///
    /// # Errors
    /// `Conflict` where it goes on, or nobody knows what came of it; `Catalogue`, `Secrets`.
    pub fn begin(&self, asked: &Asked) -> Result<Begun, ControlError> {
        let name = (asked.who.clone(), asked.key.clone());
        if !lock(&self.running).insert(name.clone()) {
            return Err(ControlError::Conflict {
                why: "the first request with this key goes on".into(),
                way_out: "ask again in a moment".into(),
            });
        }
        let ticket = Ticket { name, running: Arc::clone(&self.running) };
        let digest = self.vault.digest("a request", &asked.request)?;
        let now = self.clock.wall_ms();
        let is_to_look = self.begun.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_EACH);
        let found = self.catalogue.change(|change| {
            let sql = "DELETE FROM answer WHERE began_ms < ?1";
            change.execute(sql, [now.saturating_sub(KEPT_MS)])?;
            if is_to_look {
                forget_most(change)?;
            }
            let sql = "SELECT request, status, body FROM answer WHERE who = ?1 AND key = ?2";
            let found = change.query_row(sql, params![asked.who, asked.key], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?))
            });
            let found: Option<(Vec<u8>, Option<u16>, Option<String>)> = found.optional()?;
            if found.is_none() {
                let sql =
                    "INSERT INTO answer (who, key, request, began_ms) VALUES (?1, ?2, ?3, ?4)";
                change.execute(sql, params![asked.who, asked.key, digest, now])?;
            }
            Ok(found)
        })?;
        match found {
            None => Ok(Begun::First(ticket)),
            Some((request, ..)) if request != digest => Ok(Begun::Other),
            Some((_, Some(status), Some(body))) => {
                let body = self.vault.unseal(&purpose(&ticket.name), &body)?;
                Ok(Begun::Before(Answered { status, body }))
            }
            Some((_, status, _)) => Err(lost(status)),
        }
    }

    /// Notes what was answered; nothing, where the request may be tried again as if it had not been.
    ///
    /// # Errors
    /// `Catalogue`, `Secrets`. Then nobody knows what came of it, when it is asked again.
    pub fn end(&self, ticket: &Ticket, answered: Option<&Answered>) -> Result<(), ControlError> {
        let (who, key) = &ticket.name;
        let Some(Answered { status, body }) = answered else {
            return self.catalogue.change(|change| {
                let sql = "DELETE FROM answer WHERE who = ?1 AND key = ?2";
                change.execute(sql, [who, key])?;
                Ok(())
            });
        };
        let sealed = match body.len() <= ANSWER_LEN_MAX {
            true => Some(self.vault.seal(&purpose(&ticket.name), body)?),
            false => None,
        };
        self.catalogue.change(|change| {
            let sql = "UPDATE answer SET status = ?3, body = ?4 WHERE who = ?1 AND key = ?2";
            change.execute(sql, params![who, key, status, sealed])?;
            Ok(())
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.name);
    }
}

fn lock(running: &Running) -> MutexGuard<'_, BTreeSet<Name>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who and which, so that an answer never passes for that of somebody else.
fn purpose((who, key): &Name) -> String {
    format!("an answer to {who}, {key}")
}

fn lost(status: Option<u16>) -> ControlError {
    ControlError::Conflict {
        why: match status {
            Some(_) => "it was carried out, and its answer was too long to be remembered".into(),
            None => {
                "it was begun and broken off: nobody knows whether it was carried out".to_owned()
            }
        },
        way_out: "look whether it is there; if it is not, ask with another key".into(),
    }
}

/// Leaves the newest of them, as many and as long as may be.
fn forget_most(change: &Transaction<'_>) -> Result<(), ControlError> {
    change.execute(
        "DELETE FROM answer WHERE number IN (SELECT number FROM (SELECT number,
             sum(length(body)) OVER newest AS bytes, row_number() OVER newest AS place
             FROM answer WINDOW newest AS (ORDER BY number DESC)) WHERE bytes > ?1 OR place > ?2)",
        [BYTES_MAX, ANSWERS_MAX],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::clock::ManualClock;
    use tempfile::TempDir;

    use super::*;

    fn open(dir: &TempDir, clock: &Arc<ManualClock>) -> Answers {
        let catalogue = Arc::new(Catalogue::open(dir.path(), dir.path()));
        let vault = Arc::new(Vault::open_with(dir.path(), None));
        Answers::new(&catalogue, &vault, &(Arc::clone(clock) as Arc<dyn Clock>))
    }

    fn asked(key: &str, request: &[u8]) -> Asked {
        Asked { who: "anna".into(), key: key.into(), request: request.to_vec() }
    }

    fn first(answers: &Answers, asked: &Asked) -> Ticket {
        match answers.begin(asked).unwrap() {
            Begun::First(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_is_answered_the_same_over_a_restart_and_for_a_day() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::default()));
        clock.advance(Duration::from_millis(KEPT_MS * 2));
        let answers = open(&dir, &clock);
        let made = Answered { status: 201, body: b"{\"token\":\"tmk_1\"}".to_vec() };
        let ticket = first(&answers, &asked("k", b"one"));
        let error = answers.begin(&asked("k", b"one")).unwrap_err();
        assert!(error.to_string().contains("goes on"), "{error}");
        answers.end(&ticket, Some(&made)).unwrap();
        drop((ticket, answers));
        let answers = open(&dir, &clock);
        let Begun::Before(before) = answers.begin(&asked("k", b"one")).unwrap() else {
            panic!("it was forgotten");
        };
        assert_eq!(before, made);
        assert!(matches!(answers.begin(&asked("k", b"two")).unwrap(), Begun::Other));
        let other = Asked { who: "ben".into(), ..asked("k", b"one") };
        drop(first(&answers, &other));
        let bytes = std::fs::read(dir.path().join("catalogue.sqlite-wal")).unwrap();
        assert!(!bytes.windows(5).any(|five| five == b"tmk_1"), "a token lies in the clear");
        clock.advance(Duration::from_millis(KEPT_MS + 1));
        drop(first(&answers, &asked("k", b"two")));
    }

    #[test]
    fn what_was_broken_off_is_told_and_what_failed_may_be_tried_again() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::default()));
        let answers = open(&dir, &clock);
        drop(first(&answers, &asked("k", b"one")));
        let error = answers.begin(&asked("k", b"one")).unwrap_err();
        assert!(error.to_string().contains("nobody knows"), "{error}");
        let ticket = first(&answers, &asked("l", b"one"));
        answers.end(&ticket, None).unwrap();
        drop(ticket);
        let ticket = first(&answers, &asked("l", b"one"));
        let long = Answered { status: 200, body: vec![b' '; ANSWER_LEN_MAX + 1] };
        answers.end(&ticket, Some(&long)).unwrap();
        drop(ticket);
        let error = answers.begin(&asked("l", b"one")).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many() {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(ManualClock::default()));
        let answers = open(&dir, &clock);
        let count = |answers: &Answers| -> u64 {
            let sql = "SELECT count(*) FROM answer";
            answers.catalogue.read(|it| Ok(it.query_row(sql, [], |row| row.get(0))?)).unwrap()
        };
        let filled = answers.catalogue.change(|change| {
            change.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= ?1)
                 INSERT INTO answer (who, key, request, began_ms) SELECT 'x', i, x'00', 0 FROM n",
                [ANSWERS_MAX],
            )?;
            Ok(())
        });
        filled.unwrap();
        assert_eq!(count(&answers), ANSWERS_MAX + 1);
        drop(first(&answers, &asked("k", b"one")));
        assert_eq!(
            count(&answers),
            ANSWERS_MAX + 1,
            "the newest is there, and two of the old are not"
        );
    }
}
