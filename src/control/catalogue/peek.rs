//! A look into a database that others may be using: it is opened for reading alone, and nothing is left beside it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::BUSY_DEADLINE;
use super::schema::STEPS;
use crate::error::ControlError;
use crate::files::beside;

/// Looks something up in the database at `path`; nothing where there is none.
///
/// # Errors
/// `Catalogue` where it cannot be read or is of another version, or what `work` says.
pub(super) fn read<T>(
    path: &Path,
    work: impl FnOnce(&Connection) -> Result<T, ControlError>,
) -> Result<Option<T>, ControlError> {
    if !path.exists() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    // Without a log of changes beside it the file is all there is, and nobody has it open.
    let is_whole = !beside(path, "-wal").exists();
    let uri = format!("file:{}{}", escaped(path), if is_whole { "?immutable=1" } else { "" });
    let database = Connection::open_with_flags(uri, flags)?;
    database.busy_timeout(BUSY_DEADLINE)?;
    let version: usize = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != STEPS.len() {
        let why = format!("{} is of another version, {version}", path.display());
        return Err(ControlError::Catalogue { why });
    }
    work(&database).map(Some)
}

/// A path as it stands in a URI.
fn escaped(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    let escape = |byte: &u8| match byte {
        b'/' | b'.' | b'-' | b'_' => char::from(*byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    bytes.map(escape).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::catalogue::Catalogue;

    fn pools(database: &Connection) -> Result<u64, ControlError> {
        Ok(database.query_row("SELECT count(*) FROM pool", [], |row| row.get(0))?)
    }

    #[test]
    fn a_look_sees_what_an_open_catalogue_holds_and_leaves_nothing_beside_a_closed_one() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a state? 100%#");
        fs::create_dir_all(state.join("pool")).unwrap();
        let path = state.join("catalogue.sqlite");
        assert_eq!(read(&path, pools).unwrap(), None);
        let catalogue = Catalogue::open(&state, &state.join("pool"));
        let add = |change: &rusqlite::Transaction<'_>| {
            Ok(change.execute("INSERT INTO pool VALUES (1, 'x')", [])?)
        };
        catalogue.change(add).unwrap();
        assert_eq!(read(&path, pools).unwrap(), Some(1));
        drop(catalogue);
        assert_eq!(read(&path, pools).unwrap(), Some(1));
        assert_eq!(fs::read_dir(&state).unwrap().count(), 2);
        fs::write(&path, "this is no database").unwrap();
        assert!(matches!(read(&path, pools), Err(ControlError::Catalogue { .. })));
    }
}
