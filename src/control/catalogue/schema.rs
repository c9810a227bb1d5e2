//! The tables, as steps from each version to the next. A step that was released is never changed.

use rusqlite::{Connection, TransactionBehavior};

/// What leads from each version to the next; the first makes everything from nothing.
pub(super) const STEPS: &[&str] = &[
    "
    CREATE TABLE user (
        name        TEXT PRIMARY KEY,
        role        TEXT NOT NULL,
        password    TEXT NOT NULL,
        is_locked   INTEGER NOT NULL DEFAULT 0,
        made_ms     INTEGER NOT NULL,
        password_ms INTEGER NOT NULL,
        login_ms    INTEGER
    ) STRICT;
    CREATE TABLE session (
        digest  BLOB PRIMARY KEY,
        user    TEXT NOT NULL REFERENCES user (name) ON DELETE CASCADE,
        csrf    TEXT NOT NULL,
        origin  TEXT NOT NULL,
        made_ms INTEGER NOT NULL,
        used_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX session_of_user ON session (user);
    CREATE TABLE token (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        label      TEXT NOT NULL,
        digest     BLOB NOT NULL UNIQUE,
        user       TEXT NOT NULL,
        role       TEXT NOT NULL,
        made_ms    INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL,
        used_ms    INTEGER
    ) STRICT;
    CREATE TABLE audit (
        number    INTEGER PRIMARY KEY,
        at_ms     INTEGER NOT NULL,
        who       TEXT NOT NULL,
        role      TEXT NOT NULL,
        origin    TEXT NOT NULL,
        operation TEXT NOT NULL,
        object    TEXT NOT NULL,
        detail    TEXT NOT NULL,
        outcome   TEXT NOT NULL,
        hash      BLOB NOT NULL
    ) STRICT;
    ",
    "
    CREATE TABLE answer (
        number   INTEGER PRIMARY KEY AUTOINCREMENT,
        who      TEXT NOT NULL,
        key      TEXT NOT NULL,
        request  BLOB NOT NULL,
        began_ms INTEGER NOT NULL,
        status   INTEGER,
        body     TEXT,
        UNIQUE (who, key)
    ) STRICT;
    CREATE INDEX answer_by_age ON answer (began_ms);
    ",
    "
    CREATE TABLE job (
        id     INTEGER PRIMARY KEY,
        status TEXT NOT NULL
    ) STRICT;
    ",
    "
    CREATE TABLE alert (
        id              INTEGER PRIMARY KEY,
        rule            TEXT NOT NULL,
        thing           TEXT NOT NULL,
        severity        TEXT NOT NULL,
        what            TEXT NOT NULL,
        way_out         TEXT,
        first_ms        INTEGER NOT NULL,
        last_ms         INTEGER NOT NULL,
        count           INTEGER NOT NULL,
        resolved_ms     INTEGER,
        acknowledged_by TEXT,
        acknowledged_ms INTEGER,
        told_ms         INTEGER
    ) STRICT;
    CREATE INDEX alert_open ON alert (id) WHERE resolved_ms IS NULL;
    ",
    "
    CREATE TABLE policy (
        id       TEXT PRIMARY KEY,
        name     TEXT NOT NULL UNIQUE,
        since_ms INTEGER NOT NULL,
        rules    TEXT NOT NULL
    ) STRICT;
    CREATE TABLE policy_run (
        number INTEGER PRIMARY KEY,
        policy TEXT NOT NULL REFERENCES policy (id) ON DELETE CASCADE,
        status TEXT NOT NULL
    ) STRICT;
    CREATE INDEX policy_run_of ON policy_run (policy, number);
    CREATE TABLE taken_file (
        name   TEXT PRIMARY KEY,
        digest BLOB NOT NULL
    ) STRICT;
    CREATE TABLE pool (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        id   TEXT NOT NULL
    ) STRICT;
    CREATE TABLE volume (
        id         TEXT PRIMARY KEY,
        name       TEXT NOT NULL,
        base       TEXT,
        size_bytes INTEGER NOT NULL,
        seen_ms    INTEGER NOT NULL,
        is_leaving INTEGER NOT NULL DEFAULT 0,
        missing_ms INTEGER
    ) STRICT;
    CREATE TABLE target (
        name       TEXT PRIMARY KEY,
        seen_ms    INTEGER NOT NULL,
        is_leaving INTEGER NOT NULL DEFAULT 0,
        missing_ms INTEGER
    ) STRICT;
    CREATE TABLE lost (
        what     TEXT PRIMARY KEY,
        since_ms INTEGER NOT NULL
    ) STRICT;
    ",
];

/// Why a database is not brought up to date.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("it is of version {0}, made by a newer tidemarkd; this one knows {known}", known = STEPS.len())]
    Newer(usize),
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

/// Brings a database up to date, each step whole or not at all; gives the version that it had, 0 for a new one.
pub(super) fn bring_up_to_date(database: &mut Connection) -> Result<usize, SchemaError> {
    let done: usize = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if done > STEPS.len() {
        return Err(SchemaError::Newer(done));
    }
    for (version, step) in (1..).zip(STEPS).skip(done) {
        let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute_batch(step)?;
        change.pragma_update(None, "user_version", version)?;
        change.commit()?;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_taken_once_and_a_newer_database_is_left_alone() {
        let mut database = Connection::open_in_memory().unwrap();
        assert_eq!(bring_up_to_date(&mut database).unwrap(), 0);
        assert_eq!(bring_up_to_date(&mut database).unwrap(), STEPS.len());
        database.pragma_update(None, "user_version", STEPS.len() + 1).unwrap();
        let error = bring_up_to_date(&mut database).unwrap_err();
        assert!(error.to_string().contains("newer tidemarkd"), "{error}");
    }
}
