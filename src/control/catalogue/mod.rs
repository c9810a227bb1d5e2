//! The catalogue: one embedded database of what the appliance remembers beside its pool: who may come in, what was
//! done, the policies and their runs, and which pool, volumes and targets there were when it looked last. The journal
//! of the pool stays the truth about volumes and marks, the book of targets that about targets.
//!
//! ```text
//! DIR/catalogue.sqlite        0600, with -wal and -shm beside it while it is open
//! DIR/pool/catalogue.sqlite   0600, a copy, at most a minute old, of mere history an hour; taken where the first is
//!                             lost or damaged
//! ```
//!
//! Nothing here stops the appliance. A catalogue that cannot be used is a trouble that the status tells; volumes
//! go on, and the API's socket lets its owner in without it. Calls block on a disk, so they are made on threads
//! for that ([`Catalogue::read`], [`Catalogue::change`]), never in the data path.

mod copy;
mod peek;
mod schema;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use crate::error::ControlError;

/// How long a call waits for another program that has the database locked.
const BUSY_DEADLINE: Duration = Duration::from_secs(2);
/// Name of the file, in the state directory and in the pool's.
const FILE: &str = "catalogue.sqlite";
/// What a catalogue is called that cannot be read.
const DAMAGED: &str = "damaged";
/// What is to be done where nothing is left of a catalogue.
const ANEW: &str = "users, tokens and policies are to be made anew: `user add`, `policy create`";

/// The catalogue.
pub struct Catalogue {
    path: PathBuf,
    copy: PathBuf,
    inside: Mutex<Inside>,
    /// What is wrong with it, until a call succeeds. Apart, so that whoever tells it never waits for a disk.
    trouble: Mutex<Option<String>>,
    /// Why the copy is not what it should be, until one succeeds.
    copying: Mutex<Option<String>>,
    /// What happened when it was opened.
    opening: Mutex<Option<String>>,
    /// Whether it was made when it was opened: nothing that was in an earlier one is in it.
    is_new: AtomicBool,
}

struct Inside {
    database: Option<Connection>,
    /// Whether the copy is behind.
    has_changed: bool,
    /// Whether it is behind by history alone.
    has_history: bool,
}

/// A database, and how it was come by.
struct Opened {
    database: Connection,
    is_new: bool,
    /// What a person should know about that.
    told: Option<String>,
}

impl Catalogue {
    /// Opens the catalogue of a state directory; makes it where there is none; takes the copy in the pool's
    /// directory where it is lost or damaged. Blocks.
    pub fn open(state: &Path, pool: &Path) -> Self {
        let catalogue = Self {
            path: state.join(FILE),
            copy: pool.join(FILE),
            inside: Mutex::new(Inside { database: None, has_changed: true, has_history: false }),
            trouble: Mutex::default(),
            copying: Mutex::default(),
            opening: Mutex::default(),
            is_new: AtomicBool::new(false),
        };
        catalogue.open_again();
        catalogue
    }

    /// Opens it, where that was not possible before. Blocks.
    pub fn open_again(&self) {
        let mut inside = self.inside();
        if inside.database.is_some() {
            return;
        }
        let told = match open_or_restore(&self.path, &self.copy) {
            Ok(Opened { database, is_new, told }) => {
                inside.database = Some(database);
                self.is_new.store(is_new, Ordering::Relaxed);
                *self.told() = None;
                told
            }
            Err(why) => Some(why),
        };
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(what) = told.as_ref().filter(|what| opening.as_ref() != Some(what)) {
            tracing::error!(file = %self.path.display(), "{what}");
        }
        *opening = told;
    }

    /// Whether it was made when it was opened, so that it knows nothing of earlier days.
    pub fn is_new(&self) -> bool {
        self.is_new.load(Ordering::Relaxed)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks something up. Blocks.
    ///
    /// # Errors
    /// `Catalogue` where the database cannot be used, or what `work` says.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let inside = self.inside();
        let result = work(self.database(&inside)?);
        // What can be read may still be full or locked for those who write.
        if result.is_err() {
            self.note(&result);
        }
        result
    }

    /// Changes something, whole or not at all, and durably. Blocks.
    ///
    /// # Errors
    /// `Catalogue` where the database cannot be used, or what `work` says.
    pub fn change<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let mut inside = self.inside();
        let result = self.changed(&inside, work);
        inside.has_changed |= result.is_ok();
        result
    }

    /// Adds to what is mere history, as [`Catalogue::change`] does; the copy need not have it at once. Blocks.
    ///
    /// # Errors
    /// As [`Catalogue::change`].
    pub fn add_history<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let mut inside = self.inside();
        let result = self.changed(&inside, work);
        inside.has_history |= result.is_ok();
        result
    }

    fn changed<T>(
        &self,
        inside: &Inside,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let database = self.database(inside)?;
        let result = (|| {
            let change = Transaction::new_unchecked(database, TransactionBehavior::Immediate)?;
            let done = work(&change)?;
            change.commit()?;
            Ok(done)
        })();
        self.note(&result);
        result
    }

    /// Looks something up in the copy, for what cannot wait until the catalogue can be used. Blocks.
    ///
    /// # Errors
    /// `Catalogue` where there is no copy that can be read, or what `work` says.
    pub fn read_copy<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        peek::read(&self.copy, work)?
            .ok_or_else(|| ControlError::Catalogue { why: "there is no copy in the pool".into() })
    }

    /// What a person should know about it: what is wrong now, or what was found when it was opened.
    pub fn trouble(&self) -> Option<String> {
        let now = self.told().clone();
        let copying = || self.copying.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let what = now.or_else(copying).or_else(|| self.opening())?;
        Some(format!("{}: {what}", self.path.display()))
    }

    /// Brings the copy in the pool's directory up to date, where something has changed. Blocks.
    ///
    /// # Errors
    /// `Catalogue` where it cannot be written.
    pub fn keep_copy(&self) -> Result<(), ControlError> {
        let mut inside = self.inside();
        if !inside.has_changed && !inside.has_history {
            return Ok(());
        }
        let result = copy::write(self.database(&inside)?, &self.copy);
        let why = result.as_ref().err().map(ToString::to_string);
        *self.copying.lock().unwrap_or_else(PoisonError::into_inner) = why;
        inside.has_changed = result.is_err();
        inside.has_history &= result.is_err();
        result
    }

    /// The same, where more than history has changed. Blocks.
    ///
    /// # Errors
    /// As [`Catalogue::keep_copy`].
    pub fn keep_copy_of_changes(&self) -> Result<(), ControlError> {
        if self.inside().has_changed { self.keep_copy() } else { Ok(()) }
    }

    /// Gives the copy another name: it is of another pool. Blocks.
    ///
    /// # Errors
    /// `Catalogue` where that does not work.
    pub fn put_copy_aside(&self) -> Result<(), ControlError> {
        let aside = copy::put_aside(&self.copy, "other").map_err(|error| {
            ControlError::Catalogue { why: format!("put the copy of another pool aside: {error}") }
        })?;
        if let Some(aside) = aside {
            tracing::warn!(file = %aside.display(), "the catalogue of another pool is kept there");
        }
        self.inside().has_changed = true;
        Ok(())
    }

    fn database<'a>(&self, inside: &'a Inside) -> Result<&'a Connection, ControlError> {
        inside.database.as_ref().ok_or_else(|| ControlError::Catalogue {
            why: self.opening().unwrap_or_else(|| "it is not open".into()),
        })
    }

    fn opening(&self) -> Option<String> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers whether the database works; what else a call refuses is no trouble.
    fn note<T>(&self, result: &Result<T, ControlError>) {
        match result {
            Ok(_) => *self.told() = None,
            Err(ControlError::Catalogue { why }) => *self.told() = Some(why.clone()),
            Err(_) => {}
        }
    }

    fn told(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks something up in the catalogue of a state directory, whether a daemon runs on it or not; nothing where there is
/// none. Changes nothing. Blocks.
///
/// # Errors
/// `Catalogue` where it cannot be read, or what `work` says.
pub fn peek<T>(
    state: &Path,
    work: impl FnOnce(&Connection) -> Result<T, ControlError>,
) -> Result<Option<T>, ControlError> {
    peek::read(&state.join(FILE), work)
}

/// Does work on a catalogue, or on what holds one, on a thread that may wait for a disk.
///
/// # Errors
/// What the work says.
pub async fn on_a_thread<S, T>(
    it: &Arc<S>,
    work: impl FnOnce(&S) -> Result<T, ControlError> + Send + 'static,
) -> Result<T, ControlError>
where
    S: Send + Sync + 'static,
    T: Send + 'static,
{
    let it = Arc::clone(it);
    match tokio::task::spawn_blocking(move || work(&it)).await {
        Ok(result) => result,
        Err(error) => Err(ControlError::Catalogue { why: format!("the work broke off: {error}") }),
    }
}

/// The database, and what a person should know about how it was come by.
fn open_or_restore(path: &Path, copy: &Path) -> Result<Opened, String> {
    let is_gone = !path.exists();
    if is_gone {
        let aside = copy::put_aside(path, DAMAGED);
        aside.map_err(|error| format!("put aside what was beside it: {error}"))?;
    }
    let is_lost = is_gone && copy.exists();
    let why = match is_lost {
        true => "it was not there".to_owned(),
        false => match open(path) {
            Ok((database, is_new)) => return Ok(Opened { database, is_new, told: None }),
            Err(Unusable::Now(why)) => return Err(why),
            Err(Unusable::Damaged(why)) => why,
        },
    };
    let aside =
        copy::put_aside(path, DAMAGED).map_err(|error| format!("{why}; put it aside: {error}"))?;
    let kept = aside.map(|aside| format!(" (it is {} now)", aside.display())).unwrap_or_default();
    let restored = copy.exists() && copy::take(copy, path).is_ok();
    let told = match restored {
        true => format!(
            "{why}{kept}; the copy in the pool took its place, so changes of its last minute may be lost"
        ),
        false => format!("{why}{kept}, and there is no copy; {ANEW}"),
    };
    match open(path) {
        Ok((database, is_new)) => Ok(Opened { database, is_new, told: Some(told) }),
        Err(Unusable::Now(error)) => Err(error),
        Err(Unusable::Damaged(error)) => {
            // The copy is damaged too: begin anew, and leave it where it is for somebody to look at.
            copy::put_aside(path, DAMAGED)
                .map_err(|error| format!("{why}; put it aside: {error}"))?;
            let (database, is_new) = open(path).map_err(|unusable| unusable.why())?;
            let told =
                format!("{why}{kept}, and the copy in the pool is no better ({error}); {ANEW}");
            Ok(Opened { database, is_new, told: Some(told) })
        }
    }
}

/// Why a database does not open.
enum Unusable {
    /// It may be good, but not now: locked, no space, no right, a newer version.
    Now(String),
    /// It is not what was written.
    Damaged(String),
}

impl Unusable {
    fn why(self) -> String {
        match self {
            Self::Now(why) | Self::Damaged(why) => why,
        }
    }
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Now(error.to_string()),
        }
    }
}

/// Opens a database, and says whether it is a new one.
fn open(path: &Path) -> Result<(Connection, bool), Unusable> {
    // SQLite gives the files beside it the same mode.
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| Unusable::Now(error.to_string()))?;
    let mut database = Connection::open(path)?;
    database.busy_timeout(BUSY_DEADLINE)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update(None, "foreign_keys", true)?;
    database.pragma_update(None, "trusted_schema", false)?;
    if let Some(why) = copy::damage(&database)? {
        return Err(Unusable::Damaged(why));
    }
    let version = schema::bring_up_to_date(&mut database).map_err(|error| match error {
        schema::SchemaError::Database(error) => error.into(),
        newer @ schema::SchemaError::Newer(_) => Unusable::Now(newer.to_string()),
    })?;
    Ok((database, version == 0))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileExt, PermissionsExt};

    use tempfile::TempDir;

    use super::*;

    struct Place {
        dir: TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("pool")).unwrap();
            Self { dir }
        }

        fn open(&self) -> Catalogue {
            Catalogue::open(self.dir.path(), &self.dir.path().join("pool"))
        }

        fn file(&self) -> PathBuf {
            self.dir.path().join(FILE)
        }
    }

    fn add(catalogue: &Catalogue, name: &str) -> Result<(), ControlError> {
        catalogue.change(|change| {
            let sql = "INSERT INTO user VALUES (?1, 'admin', 'x', 0, 0, 0, NULL)";
            change.execute(sql, [name])?;
            Ok(())
        })
    }

    fn users(catalogue: &Catalogue) -> u64 {
        catalogue
            .read(|database| {
                Ok(database.query_row("SELECT count(*) FROM user", [], |row| row.get(0))?)
            })
            .unwrap()
    }

    #[test]
    fn what_was_changed_is_there_again_and_for_its_owner_alone() {
        let place = Place::new();
        let catalogue = place.open();
        add(&catalogue, "anna").unwrap();
        catalogue.keep_copy().unwrap();
        assert_eq!(catalogue.trouble(), None);
        for name in [FILE, "catalogue.sqlite-wal", "pool/catalogue.sqlite"] {
            let mode = fs::metadata(place.dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        drop(catalogue);
        assert_eq!(users(&place.open()), 1);
    }

    #[test]
    fn a_change_that_is_refused_leaves_nothing_behind() {
        let place = Place::new();
        let catalogue = place.open();
        let refused: Result<(), _> = catalogue.change(|change| {
            change.execute("INSERT INTO user VALUES ('x', 'admin', 'x', 0, 0, 0, NULL)", [])?;
            Err(ControlError::UnknownJob(1))
        });
        assert!(matches!(refused, Err(ControlError::UnknownJob(1))));
        assert_eq!((users(&catalogue), catalogue.trouble()), (0, None));
    }

    #[test]
    fn a_damaged_catalogue_is_put_aside_and_the_copy_takes_its_place() {
        let place = Place::new();
        let catalogue = place.open();
        add(&catalogue, "anna").unwrap();
        catalogue.keep_copy().unwrap();
        drop(catalogue);
        fs::write(place.file(), "this is no database, however long one looks at it").unwrap();
        let catalogue = place.open();
        assert_eq!(users(&catalogue), 1);
        let trouble = catalogue.trouble().unwrap();
        assert!(trouble.contains("copy in the pool took its place"), "{trouble}");
        let aside = fs::read_dir(place.dir.path()).unwrap().flatten();
        assert_eq!(
            aside.filter(|e| e.file_name().to_string_lossy().contains("damaged")).count(),
            1
        );
    }

    #[test]
    fn a_catalogue_damaged_while_it_is_open_does_not_replace_the_copy() {
        let place = Place::new();
        let catalogue = place.open();
        for n in 0..200 {
            add(&catalogue, &format!("u{n:0>200}")).unwrap();
        }
        catalogue.keep_copy().unwrap();
        let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
        catalogue.read(|database| Ok(database.query_row(truncate, [], |_| Ok(()))?)).unwrap();
        // The last pages are of users; what else there is still answers.
        let pages = fs::metadata(place.file()).unwrap().len() / 4096;
        let file = OpenOptions::new().write(true).open(place.file()).unwrap();
        for page in pages / 2..pages {
            file.write_all_at(&[0xa5; 4096], page * 4096).unwrap();
        }
        // What it still has in memory is good.
        let forget = "PRAGMA shrink_memory";
        catalogue.read(|database| Ok(database.execute_batch(forget)?)).unwrap();
        catalogue.inside().has_changed = true;
        let error = catalogue.keep_copy().unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
        let told = catalogue.read(|_| Ok(())).map(|()| catalogue.trouble().unwrap());
        assert!(told.unwrap().contains("the copy in the pool stays as it was"));
        drop(catalogue);
        assert_eq!(users(&place.open()), 200);
    }

    #[test]
    fn what_a_dead_daemon_left_beside_a_catalogue_that_is_gone_is_not_taken_for_part_of_the_copy() {
        let place = Place::new();
        let catalogue = place.open();
        add(&catalogue, "anna").unwrap();
        catalogue.keep_copy().unwrap();
        add(&catalogue, "ben").unwrap();
        let log = place.dir.path().join("catalogue.sqlite-wal");
        let left = fs::read(&log).unwrap();
        drop(catalogue);
        fs::remove_file(place.file()).unwrap();
        fs::write(&log, left).unwrap();
        let catalogue = place.open();
        assert_eq!(users(&catalogue), 1);
        let aside = place.dir.path().join("catalogue.sqlite.damaged-1-wal");
        assert!(aside.exists() && catalogue.trouble().unwrap().contains("took its place"));
    }

    #[test]
    fn a_catalogue_that_is_gone_comes_back_from_the_copy() {
        let place = Place::new();
        let catalogue = place.open();
        add(&catalogue, "anna").unwrap();
        catalogue.keep_copy().unwrap();
        drop(catalogue);
        fs::remove_file(place.file()).unwrap();
        assert_eq!(users(&place.open()), 1);
    }

    #[test]
    fn with_the_copy_damaged_as_well_it_begins_anew_and_says_so() {
        let place = Place::new();
        for path in [place.file(), place.dir.path().join("pool").join(FILE)] {
            fs::write(path, "no database at all, but long enough to look at").unwrap();
        }
        let catalogue = place.open();
        assert_eq!(users(&catalogue), 0);
        assert!(catalogue.trouble().unwrap().contains("user add"));
    }

    #[test]
    fn a_locked_catalogue_says_so_and_works_when_the_lock_is_gone() {
        let place = Place::new();
        let catalogue = place.open();
        let other = Connection::open(place.file()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = add(&catalogue, "anna").unwrap_err();
        assert!(error.to_string().contains("locked"), "{error}");
        assert!(catalogue.trouble().unwrap().contains("locked"));
        other.execute_batch("ROLLBACK").unwrap();
        add(&catalogue, "anna").unwrap();
        assert_eq!(catalogue.trouble(), None);
    }

    #[test]
    fn its_trouble_is_told_while_a_call_waits_for_the_disk() {
        let place = Place::new();
        let catalogue = place.open();
        let told = catalogue.read(|_| Ok(catalogue.trouble()));
        assert_eq!(told.unwrap(), None);
    }

    #[test]
    fn a_full_disk_is_told_and_nothing_is_half_written() {
        let place = Place::new();
        let catalogue = place.open();
        let pages = catalogue.read(|database| {
            let pages: u64 = database.pragma_query_value(None, "page_count", |row| row.get(0))?;
            database.pragma_update(None, "max_page_count", pages)?;
            Ok(pages)
        });
        pages.unwrap();
        let failed = (0..100).find_map(|n| add(&catalogue, &format!("u{n:0>900}")).err());
        assert!(failed.unwrap().to_string().contains("full"));
        assert!(catalogue.trouble().unwrap().contains("full"));
        let verdict = catalogue.read(|database| {
            Ok(database.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))?)
        });
        assert_eq!(verdict.unwrap(), "ok");
    }
}
