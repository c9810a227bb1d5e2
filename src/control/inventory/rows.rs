//! The inventory in the catalogue. Its calls block.

use std::collections::BTreeMap;

use base::id::Id;
use base::name::Name;
use base::size::ByteSize;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::known::{Known, KnownVolume, Noted};
use crate::error::ControlError;

/// Reads it all.
///
/// # Errors
/// `Catalogue`.
pub(super) fn read(database: &Connection) -> Result<Known, ControlError> {
    let mut known = Known { pool: read_pool(database)?, ..Known::default() };
    let sql = "SELECT seen_ms, is_leaving, missing_ms, id, name, base, size_bytes FROM volume";
    let mut all = database.prepare(sql)?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let id: Id = parsed("the id of a volume", row.get(3)?)?;
        let name = parsed("the name of a volume", row.get(4)?)?;
        let (base, size) = (row.get(5)?, ByteSize(row.get(6)?));
        known.volumes.insert(id, KnownVolume { name, base, size, noted: noted(row)? });
    }
    let sql = "SELECT seen_ms, is_leaving, missing_ms, name FROM target";
    let mut all = database.prepare(sql)?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let name: Name = parsed("the name of a target", row.get(3)?)?;
        known.targets.insert(name, noted(row)?);
    }
    let mut all = database.prepare("SELECT what, since_ms FROM lost")?;
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    known.lost = rows.collect::<Result<BTreeMap<_, _>, _>>()?;
    Ok(known)
}

/// The pool that it is of.
///
/// # Errors
/// `Catalogue`.
pub(super) fn read_pool(database: &Connection) -> Result<Option<Id>, ControlError> {
    let id = database.query_row("SELECT id FROM pool", [], |row| row.get(0)).optional()?;
    id.map(|id| parsed("the id of the pool", id)).transpose()
}

/// Whether there is no policy.
///
/// # Errors
/// `Catalogue`.
pub(super) fn has_no_policy(database: &Connection) -> Result<bool, ControlError> {
    let count: u64 = database.query_row("SELECT count(*) FROM policy", [], |row| row.get(0))?;
    Ok(count == 0)
}

/// Writes what is other than before.
///
/// # Errors
/// `Catalogue`.
pub(super) fn write(
    change: &Transaction<'_>,
    before: &Known,
    next: &Known,
) -> Result<(), ControlError> {
    if let Some(pool) = next.pool.filter(|_| next.pool != before.pool) {
        change.execute("INSERT OR REPLACE INTO pool VALUES (1, ?1)", [pool.to_string()])?;
    }
    for id in before.volumes.keys().filter(|id| !next.volumes.contains_key(id)) {
        change.execute("DELETE FROM volume WHERE id = ?1", [id.to_string()])?;
    }
    let sql = "INSERT OR REPLACE INTO volume (id, name, base, size_bytes, seen_ms, is_leaving, missing_ms) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut put = change.prepare_cached(sql)?;
    for (id, one) in next.volumes.iter().filter(|(id, one)| before.volumes.get(id) != Some(one)) {
        let Noted { seen_ms, is_leaving, missing_ms } = one.noted;
        let (id, name) = (id.to_string(), one.name.as_str());
        put.execute(params![id, name, one.base, one.size.0, seen_ms, is_leaving, missing_ms])?;
    }
    for name in before.targets.keys().filter(|name| !next.targets.contains_key(name)) {
        change.execute("DELETE FROM target WHERE name = ?1", [name.as_str()])?;
    }
    let sql = "INSERT OR REPLACE INTO target (name, seen_ms, is_leaving, missing_ms) VALUES (?1, ?2, ?3, ?4)";
    let mut put = change.prepare_cached(sql)?;
    let targets = next.targets.iter();
    for (name, noted) in targets.filter(|(name, noted)| before.targets.get(name) != Some(noted)) {
        let Noted { seen_ms, is_leaving, missing_ms } = noted;
        put.execute(params![name.as_str(), seen_ms, is_leaving, missing_ms])?;
    }
    for what in before.lost.keys().filter(|what| !next.lost.contains_key(*what)) {
        change.execute("DELETE FROM lost WHERE what = ?1", [what])?;
    }
    for (what, since_ms) in next.lost.iter().filter(|(what, _)| !before.lost.contains_key(*what)) {
        change.execute("INSERT INTO lost VALUES (?1, ?2)", params![what, since_ms])?;
    }
    Ok(())
}

fn noted(row: &Row<'_>) -> rusqlite::Result<Noted> {
    Ok(Noted { seen_ms: row.get(0)?, is_leaving: row.get(1)?, missing_ms: row.get(2)? })
}

fn parsed<T: std::str::FromStr>(what: &str, text: String) -> Result<T, ControlError> {
    let damaged = |_| ControlError::Catalogue { why: format!("{what} is {text:?}, which is none") };
    text.parse().map_err(damaged)
}
