//! The copy of the catalogue in the pool's directory, and what becomes of a damaged one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode};

use crate::error::ControlError;
use crate::files::{beside, make, put, replace_with};

/// What is said of a catalogue that is damaged while it is open.
const DAMAGED_NOW: &str = "it is damaged, so the copy in the pool stays as it was; \
                           restart tidemarkd, and the copy takes its place";

/// Catalogues that may lie aside beside the good one.
const ASIDE_MAX: u32 = 1000;

/// Writes the database to `to`, which is replaced whole or not at all; and not by a damaged one, which still answers as
/// long as nobody asks for the pages that are.
pub(super) fn write(database: &Connection, to: &Path) -> Result<(), ControlError> {
    let fresh = beside(to, ".new");
    let written = || -> Result<(), ControlError> {
        make(&fresh).map_err(|error| failed(&error))?;
        let mut copy = Connection::open(&fresh)?;
        // All at once: whoever changes the catalogue waits for it anyway.
        if Backup::new(database, &mut copy)?.step(-1)? != StepResult::Done {
            return Err(ControlError::Catalogue {
                why: "it was locked while it was copied".into(),
            });
        }
        if let Some(why) = damage(&copy)? {
            return Err(ControlError::Catalogue { why: format!("{DAMAGED_NOW}: {why}") });
        }
        // The copy is one file, whatever the journal mode of the original.
        copy.pragma_update(None, "journal_mode", "DELETE")?;
        copy.close().map_err(|(_, error)| error)?;
        File::open(&fresh)
            .and_then(|file| file.sync_all())
            .and_then(|()| put(&fresh, to))
            .map_err(|error| failed(&error))
    };
    written().inspect_err(|_| {
        let _ = fs::remove_file(&fresh);
    })
}

/// What is wrong with a database, where something is: the first of it.
pub(super) fn damage(database: &Connection) -> Result<Option<String>, rusqlite::Error> {
    let found = database
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))
        .or_else(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Ok(error.to_string()),
            _ => Err(error),
        })?;
    Ok((found != "ok").then_some(found))
}

/// Puts the copy where the database belongs.
pub(super) fn take(copy: &Path, to: &Path) -> io::Result<()> {
    replace_with(to, |file| io::copy(&mut File::open(copy)?, file).map(drop))
}

/// Gives a database that is damaged, or another pool's, and what SQLite keeps beside it, other names; the name of the
/// first, if there was one.
pub(super) fn put_aside(path: &Path, as_what: &str) -> io::Result<Option<PathBuf>> {
    // What is left beside one that is gone would be taken for part of the next.
    let is_there = |with: &str| beside(path, with).exists();
    if !["", "-wal", "-shm"].into_iter().any(is_there) {
        return Ok(None);
    }
    let names = (1..=ASIDE_MAX).map(|n| beside(path, &format!(".{as_what}-{n}")));
    let free = names.into_iter().find(|name| !name.exists());
    let aside = free.ok_or_else(|| io::Error::other("there are too many already"))?;
    for with in ["-wal", "-shm"] {
        match fs::rename(beside(path, with), beside(&aside, with)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::rename(path, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(error: &io::Error) -> ControlError {
    ControlError::Catalogue { why: format!("copy it into the pool: {error}") }
}
