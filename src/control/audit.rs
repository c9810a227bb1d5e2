//! The audit log: who did what, from where, and what came of it. Each entry holds a hash over itself and the one
//! before it, so that one that was changed, taken out or put in is found; and the newest hash stands in a file beside
//! the database, so that an end that was cut off or put on is found too. The file is written before an entry, with the
//! hash that it will have, and again after it: a daemon that ends in between leaves a file that knows both.
//!
//! ```text
//! DIR/audit.head   NUMBER HASH   the newest entry
//!                  NUMBER HASH   while one is written: that one
//! ```
//!
//! What does not fit the file when the next entry is written becomes an entry of its own, so that the log says for good
//! that it is not what was written.
//!
//! Whoever may write both files can make a chain anew: copy the newest hash to another machine from time to time, as
//! `audit verify` prints it.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, fs};

use base::clock::Clock;
use rusqlite::{Connection, OptionalExtension, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::catalogue::Catalogue;
use crate::error::ControlError;
use crate::files;

/// Bytes of each text of an entry; what is longer is cut.
const TEXT_LEN_MAX: usize = 512;
/// Entries of one answer.
pub const PAGE_MAX: usize = 1000;
/// What the first entry takes for the hash before it.
const BEGIN: [u8; 32] = [0; 32];

/// Something that was done, or tried.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Deed {
    /// The user, or `local`.
    pub who: String,
    /// Their role.
    pub role: String,
    /// From where: an address, or `socket`.
    pub origin: String,
    /// What: method and address of the operation, such as `DELETE /volumes/{name}`.
    pub operation: String,
    /// To what: the address itself.
    pub object: String,
    /// What was asked for, without secrets.
    pub detail: String,
    /// What came of it: `done`, or the word and the text of a problem.
    pub outcome: String,
}

/// An entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Its number, from 1.
    pub number: u64,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// The user, or `local`.
    pub who: String,
    /// Their role then.
    pub role: String,
    /// From where.
    pub origin: String,
    /// The operation.
    pub operation: String,
    /// Of what.
    pub object: String,
    /// What was asked for, without secrets.
    pub detail: String,
    /// What came of it.
    pub outcome: String,
    /// The hash over this entry and the one before it, in hexadecimal digits.
    pub hash: String,
}

/// What `audit verify` found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AuditVerdict {
    /// Whether everything is as it was written.
    pub is_whole: bool,
    /// How many entries there are.
    pub entries: u64,
    /// The newest hash, to be kept elsewhere.
    pub head: String,
    /// The first thing that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
}

/// The log.
pub struct Audit {
    catalogue: Arc<Catalogue>,
    clock: Arc<dyn Clock>,
    head: PathBuf,
    /// Entries and the file beside them are written by one at a time.
    writing: Mutex<()>,
}

const COLUMNS: &str = "number, at_ms, who, role, origin, operation, object, detail, outcome, hash";

impl Audit {
    /// The log in this catalogue of this state directory.
    pub fn new(catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>, state: &Path) -> Self {
        Self { catalogue, clock, head: state.join("audit.head"), writing: Mutex::default() }
    }

    /// Writes down a deed. Where that cannot be done it goes to the program's log instead, and the catalogue's trouble
    /// is told by the status. Blocks.
    pub fn note(&self, deed: Deed) {
        if let Err(error) = self.try_note(&deed) {
            tracing::error!(?deed, %error, "audit");
        }
    }

    fn try_note(&self, deed: &Deed) -> Result<(), ControlError> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = self.catalogue.read(newest)?;
        if let Some(what) = against_head(&self.read_head(), &newest) {
            // The next entry would hide it.
            self.append(&Deed { outcome: what, ..broken() })?;
        }
        self.append(deed)
    }

    fn append(&self, deed: &Deed) -> Result<(), ControlError> {
        let at_ms = self.clock.wall_ms();
        let written = self.catalogue.change(|change| {
            let before = newest(change)?;
            let mut entry = AuditEntry {
                number: before.number + 1,
                at_ms,
                who: cut(&deed.who),
                role: cut(&deed.role),
                origin: cut(&deed.origin),
                operation: cut(&deed.operation),
                object: cut(&deed.object),
                detail: cut(&deed.detail),
                outcome: cut(&deed.outcome),
                hash: String::new(),
            };
            let hash = link(before.hash, &entry);
            entry.hash = crate::access::hex(&hash);
            let written = Newest { number: entry.number, hash };
            self.write_head(&[&before, &written])?;
            change.execute(
                &format!(
                    "INSERT INTO audit ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
                ),
                params![
                    entry.number,
                    entry.at_ms,
                    entry.who,
                    entry.role,
                    entry.origin,
                    entry.operation,
                    entry.object,
                    entry.detail,
                    entry.outcome,
                    hash
                ],
            )?;
            Ok(written)
        })?;
        self.write_head(&[&written])
    }

    /// Entries before this number, newest first; the newest where no number is given. Blocks.
    ///
    /// # Errors
    /// `Catalogue`.
    pub fn entries(
        &self,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<AuditEntry>, ControlError> {
        let before = before.unwrap_or(i64::MAX.unsigned_abs());
        self.catalogue.read(|database| {
            let sql = format!(
                "SELECT {COLUMNS} FROM audit WHERE number < ?1 ORDER BY number DESC LIMIT ?2"
            );
            let mut all = database.prepare_cached(&sql)?;
            let before = i64::try_from(before).unwrap_or(i64::MAX);
            let rows =
                all.query_map(params![before, most.min(PAGE_MAX)], |row| Ok(entry(row)?.0))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        })
    }

    /// Reads the whole log and says what is wrong with it. Blocks.
    ///
    /// # Errors
    /// `Catalogue`.
    pub fn verify(&self) -> Result<AuditVerdict, ControlError> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.read_head();
        self.catalogue.read(|database| {
            let mut all =
                database.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY number"))?;
            let mut rows = all.query([])?;
            let (mut newest, mut count, mut finding) = (Newest::none(), 0, None);
            while let Some(row) = rows.next()? {
                count += 1;
                let found = match entry(row) {
                    Ok((entry, hash)) => {
                        let found = wrong_with(&entry, &hash, newest.hash, count);
                        newest = Newest { number: entry.number, hash };
                        found
                    }
                    Err(error) => Some(format!("entry {count} is not what was written: {error}")),
                };
                finding = finding.or(found);
            }
            let finding = finding.or_else(|| against_head(&kept, &newest));
            Ok(AuditVerdict {
                is_whole: finding.is_none(),
                entries: count,
                head: crate::access::hex(&newest.hash),
                finding,
            })
        })
    }

    fn write_head(&self, all: &[&Newest]) -> Result<(), ControlError> {
        let text: String = all.iter().map(|one| format!("{one}\n")).collect();
        files::replace(&self.head, text.as_bytes())
            .map_err(|error| ControlError::state(format!("write {}", self.head.display()), &error))
    }

    /// What the file says that the newest entry is, or would be; why not, where it does not say.
    fn read_head(&self) -> Result<Vec<String>, String> {
        match fs::read_to_string(&self.head) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(vec![Newest::none().to_string()])
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What is wrong with an entry, or with its place.
fn wrong_with(entry: &AuditEntry, hash: &[u8; 32], before: [u8; 32], place: u64) -> Option<String> {
    let number = entry.number;
    if number != place {
        return Some(format!("entry {place} is missing: the next one has number {number}"));
    }
    if link(before, entry) != *hash {
        return Some(format!(
            "entry {number} is not what was written, or the one before it is not"
        ));
    }
    let is_broken = entry.operation == broken().operation && entry.who == broken().who;
    is_broken.then(|| format!("entry {number} tells what was found before it: {}", entry.outcome))
}

/// What the file beside the database says against its newest entry.
fn against_head(kept: &Result<Vec<String>, String>, newest: &Newest) -> Option<String> {
    let kept = match kept {
        Ok(kept) => kept,
        Err(why) => return Some(format!("audit.head cannot be read: {why}")),
    };
    if kept.contains(&newest.to_string()) {
        return None;
    }
    let last = kept.last().and_then(|line| line.split_once(' '));
    let Some(Ok(last)) = last.map(|(number, _)| number.parse::<u64>()) else {
        return Some("audit.head is not as it was written".into());
    };
    let number = newest.number;
    Some(match number.cmp(&last) {
        Ordering::Less => format!("entries {} to {last} are missing at the end", number + 1),
        Ordering::Equal => {
            format!("entry {number} is not the one of which audit.head has the hash")
        }
        Ordering::Greater => format!(
            "entries after {last} were not written by tidemarkd: audit.head does not know them"
        ),
    })
}

/// An entry of the log about itself, but for what was found.
fn broken() -> Deed {
    Deed { who: "tidemarkd".into(), operation: "audit".into(), ..Deed::default() }
}

/// The newest entry, as the file beside the database has it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Newest {
    number: u64,
    hash: [u8; 32],
}

impl Newest {
    /// Of a log without entries.
    const fn none() -> Self {
        Self { number: 0, hash: BEGIN }
    }
}

impl fmt::Display for Newest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, crate::access::hex(&self.hash))
    }
}

fn newest(database: &Connection) -> Result<Newest, ControlError> {
    let sql = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1";
    let found = database
        .query_row(sql, [], |row| Ok(Newest { number: row.get(0)?, hash: row.get(1)? }))
        .optional()?;
    Ok(found.unwrap_or(Newest::none()))
}

/// The hash of an entry: over the hash before it and its fields as a JSON array.
fn link(before: [u8; 32], entry: &AuditEntry) -> [u8; 32] {
    let AuditEntry {
        number,
        at_ms,
        who,
        role,
        origin,
        operation,
        object,
        detail,
        outcome,
        hash: _,
    } = entry;
    let fields =
        serde_json::json!([number, at_ms, who, role, origin, operation, object, detail, outcome]);
    Sha256::new().chain_update(before).chain_update(fields.to_string()).finalize().into()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<(AuditEntry, [u8; 32])> {
    let hash: [u8; 32] = row.get(9)?;
    let entry = AuditEntry {
        number: row.get(0)?,
        at_ms: row.get(1)?,
        who: row.get(2)?,
        role: row.get(3)?,
        origin: row.get(4)?,
        operation: row.get(5)?,
        object: row.get(6)?,
        detail: row.get(7)?,
        outcome: row.get(8)?,
        hash: crate::access::hex(&hash),
    };
    Ok((entry, hash))
}

fn cut(text: &str) -> String {
    match text.char_indices().find(|(at, c)| at + c.len_utf8() > TEXT_LEN_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use base::clock::ManualClock;
    use tempfile::TempDir;

    use super::*;

    struct Place {
        dir: TempDir,
        catalogue: Arc<Catalogue>,
        audit: Audit,
    }

    impl Place {
        fn with_entries(count: usize) -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("pool")).unwrap();
            let catalogue = Arc::new(Catalogue::open(dir.path(), &dir.path().join("pool")));
            let audit =
                Audit::new(Arc::clone(&catalogue), Arc::new(ManualClock::default()), dir.path());
            for n in 0..count {
                audit.note(Deed {
                    who: "anna".into(),
                    operation: "DELETE /volumes/{name}".into(),
                    object: format!("/volumes/v{n}"),
                    outcome: "done".into(),
                    ..Deed::default()
                });
            }
            Self { dir, catalogue, audit }
        }

        fn tamper(&self, sql: &str) {
            self.catalogue.change(|change| Ok(change.execute_batch(sql)?)).unwrap();
        }

        fn finding(&self) -> String {
            let verdict = self.audit.verify().unwrap();
            assert!(!verdict.is_whole, "{verdict:?}");
            verdict.finding.unwrap()
        }
    }

    #[test]
    fn a_log_that_nobody_touched_is_whole() {
        for count in [0, 1, 7] {
            let place = Place::with_entries(count);
            let verdict = place.audit.verify().unwrap();
            assert_eq!((verdict.is_whole, verdict.entries), (true, count as u64), "{verdict:?}");
        }
    }

    #[test]
    fn pages_go_back_from_the_newest() {
        let place = Place::with_entries(7);
        let page = place.audit.entries(None, 3).unwrap();
        assert_eq!(page.iter().map(|entry| entry.number).collect::<Vec<_>>(), [7, 6, 5]);
        let page = place.audit.entries(Some(5), 100).unwrap();
        assert_eq!(page.iter().map(|entry| entry.number).collect::<Vec<_>>(), [4, 3, 2, 1]);
        assert_eq!(page[3].object, "/volumes/v0");
    }

    #[test]
    fn every_way_to_tamper_is_found_and_named() {
        for (sql, finding) in [
            ("UPDATE audit SET who = 'ben' WHERE number = 3", "entry 3 is not what was written"),
            ("UPDATE audit SET at_ms = 5 WHERE number = 1", "entry 1 is not what was written"),
            ("UPDATE audit SET hash = zeroblob(32) WHERE number = 7", "entry 7 is not what was written"),
            ("DELETE FROM audit WHERE number = 3", "entry 3 is missing"),
            ("DELETE FROM audit WHERE number >= 6", "entries 6 to 7 are missing at the end"),
            ("DELETE FROM audit", "entries 1 to 7 are missing at the end"),
            (
                "INSERT INTO audit SELECT 8, at_ms, who, role, origin, operation, object, detail, outcome, hash
                 FROM audit WHERE number = 7",
                "entry 8 is not what was written",
            ),
        ] {
            let place = Place::with_entries(7);
            place.tamper(sql);
            assert!(place.finding().contains(finding), "{sql}: {}", place.finding());
        }
    }

    #[test]
    fn a_chain_that_was_made_anew_does_not_fit_the_head() {
        let (place, other) = (Place::with_entries(7), Place::with_entries(0));
        let forged = Place::with_entries(0);
        for _ in 0..7 {
            forged.audit.note(Deed { who: "nobody".into(), ..Deed::default() });
        }
        fs::copy(place.dir.path().join("audit.head"), forged.dir.path().join("audit.head"))
            .unwrap();
        assert!(forged.finding().contains("entry 7 is not the one"), "{}", forged.finding());
        fs::write(other.dir.path().join("audit.head"), "nonsense").unwrap();
        assert!(other.finding().contains("audit.head"));
    }

    /// Puts an entry in the place of that of its number, or at the end, with the hash that fits.
    fn forge(place: &Place, number: u64) {
        let before = place.audit.entries(Some(number), 1).unwrap();
        let hash = before.first().map_or(BEGIN, |entry| {
            let pairs = entry.hash.as_bytes().chunks(2);
            let bytes = pairs
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
            bytes.collect::<Vec<_>>().try_into().unwrap()
        });
        let mut forged = before.first().unwrap().clone();
        (forged.number, forged.who) = (number, "nobody".into());
        let hash = crate::access::hex(&link(hash, &forged));
        let AuditEntry { at_ms, role, origin, operation, object, detail, outcome, .. } = forged;
        place.tamper(&format!(
            "INSERT OR REPLACE INTO audit VALUES ({number}, {at_ms}, 'nobody', '{role}', '{origin}',
             '{operation}', '{object}', '{detail}', '{outcome}', x'{hash}')"
        ));
    }

    #[test]
    fn what_was_found_is_not_hidden_by_what_is_written_later() {
        let cut_off = |place: &Place| place.tamper("DELETE FROM audit WHERE number >= 5");
        let without_head =
            |place: &Place| fs::remove_file(place.dir.path().join("audit.head")).unwrap();
        type Tamper<'a> = &'a dyn Fn(&Place);
        let trials: [(Tamper<'_>, &str); 4] = [
            (&cut_off, "entries 5 to 7 are missing at the end"),
            (&|place| forge(place, 7), "entry 7 is not the one"),
            (&|place| forge(place, 8), "entries after 7 were not written by tidemarkd"),
            (&without_head, "entries after 0 were not written by tidemarkd"),
        ];
        for (tamper, finding) in trials {
            let place = Place::with_entries(7);
            tamper(&place);
            assert!(place.finding().contains(finding), "{finding}: {}", place.finding());
            for _ in 0..2 {
                place.audit.note(Deed { who: "ben".into(), ..Deed::default() });
                assert!(place.finding().contains(finding), "{finding}: {}", place.finding());
            }
            let entries = place.audit.entries(None, 3).unwrap();
            assert_eq!((entries[0].who.as_str(), entries[2].who.as_str()), ("ben", "tidemarkd"));
        }
    }

    #[test]
    fn a_daemon_that_ended_while_it_wrote_leaves_a_log_that_is_whole() {
        let place = Place::with_entries(7);
        let head = place.dir.path().join("audit.head");
        let before = fs::read_to_string(&head).unwrap();
        place.audit.note(Deed::default());
        let both = before + &fs::read_to_string(&head).unwrap();
        fs::write(&head, &both).unwrap();
        assert!(place.audit.verify().unwrap().is_whole, "it ended after the entry");
        place.tamper("DELETE FROM audit WHERE number = 8");
        assert!(place.audit.verify().unwrap().is_whole, "it ended before the entry");
        place.audit.note(Deed::default());
        let verdict = place.audit.verify().unwrap();
        assert_eq!((verdict.is_whole, verdict.entries), (true, 8), "{verdict:?}");
        assert_eq!(fs::read_to_string(&head).unwrap().lines().count(), 1);
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_a_finding() {
        let place = Place::with_entries(7);
        place.tamper("UPDATE audit SET hash = zeroblob(31) WHERE number = 3");
        assert!(place.finding().contains("entry 3 is not what was written"), "{}", place.finding());
    }

    #[test]
    fn long_texts_are_cut_and_the_chain_holds() {
        let place = Place::with_entries(1);
        place.audit.note(Deed { detail: "ü".repeat(5000), ..Deed::default() });
        let entry = place.audit.entries(None, 1).unwrap().remove(0);
        assert!(entry.detail.len() <= TEXT_LEN_MAX + 3 && entry.detail.ends_with("..."));
        assert!(place.audit.verify().unwrap().is_whole);
    }

    #[test]
    fn without_a_catalogue_a_deed_is_not_lost_silently() {
        let place = Place::with_entries(1);
        let lock = Connection::open(place.dir.path().join("catalogue.sqlite")).unwrap();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        place.audit.note(Deed::default());
        assert!(place.catalogue.trouble().unwrap().contains("locked"));
    }
}
