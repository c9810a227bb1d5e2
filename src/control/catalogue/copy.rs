//! The copy of the catalogue in the pool's directory, and what becomes of a damaged one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::error::ControlError;

/// Damaged catalogues that may lie beside the good one.
const ASIDE_MAX: u32 = 1000;

/// Writes the database to `to`, which is replaced whole or not at all.
pub(super) fn write(database: &Connection, to: &Path) -> Result<(), ControlError> {
    let fresh = beside(to, ".new");
    let written = || -> Result<(), ControlError> {
        remove(&fresh).map_err(|error| failed(&error))?;
        make(&fresh).map_err(|error| failed(&error))?;
        let mut copy = Connection::open(&fresh)?;
        // All at once: whoever changes the catalogue waits for it anyway.
        if Backup::new(database, &mut copy)?.step(-1)? != StepResult::Done {
            return Err(ControlError::Catalogue {
                why: "it was locked while it was copied".into(),
            });
        }
        // The copy is one file, whatever the journal mode of the original.
        copy.pragma_update(None, "journal_mode", "DELETE")?;
        copy.close().map_err(|(_, error)| error)?;
        File::open(&fresh)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&fresh, to))
            .and_then(|()| sync_folder_of(to))
            .map_err(|error| failed(&error))
    };
    written().inspect_err(|_| {
        let _ = fs::remove_file(&fresh);
    })
}

/// Puts the copy where the database belongs.
pub(super) fn take(copy: &Path, to: &Path) -> io::Result<()> {
    let fresh = beside(to, ".new");
    remove(&fresh)?;
    let mut file = make(&fresh)?;
    io::copy(&mut File::open(copy)?, &mut file)?;
    file.sync_all()?;
    fs::rename(&fresh, to)?;
    sync_folder_of(to)
}

/// Gives a damaged database, and what SQLite keeps beside it, other names; the name of the first, if there was
/// one.
pub(super) fn put_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    if !path.exists() {
        return Ok(None);
    }
    let names = (1..=ASIDE_MAX).map(|n| beside(path, &format!(".damaged-{n}")));
    let free = names.into_iter().find(|name| !name.exists());
    let aside = free.ok_or_else(|| io::Error::other("there are too many damaged ones already"))?;
    for with in ["-wal", "-shm"] {
        match fs::rename(beside(path, with), beside(&aside, with)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, &aside)?;
    Ok(Some(aside))
}

fn failed(error: &io::Error) -> ControlError {
    ControlError::Catalogue { why: format!("copy it into the pool: {error}") }
}

fn beside(path: &Path, with: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(with);
    name.into()
}

fn make(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
