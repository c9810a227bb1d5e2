//! Alerts in the catalogue: those that are open, so that a restart does not tell them again, and those that were.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::life::{Acknowledged, AlertStatus};
use super::rule::Severity;
use crate::catalogue::Catalogue;
use crate::error::ControlError;

/// Alerts that are remembered after they resolved; the oldest go first. Some 400 bytes each.
pub(super) const HISTORY_MAX: usize = 5000;
/// Alerts of one answer.
const PAGE_MAX: usize = 1000;

const COLUMNS: &str = "id, rule, thing, severity, what, way_out, first_ms, last_ms, count, resolved_ms, \
                       acknowledged_by, acknowledged_ms, told_ms";

/// The alerts of a catalogue. Its calls block.
#[derive(Clone)]
pub(super) struct Record(Arc<Catalogue>);

impl Record {
    pub(super) fn new(catalogue: Arc<Catalogue>) -> Self {
        Self(catalogue)
    }

    /// Those that are open, and the highest number of all.
    ///
    /// # Errors
    /// `Catalogue`.
    pub(super) fn open(&self) -> Result<(Vec<AlertStatus>, u64), ControlError> {
        self.0.read(|database| {
            let sql = format!("SELECT {COLUMNS} FROM alert WHERE resolved_ms IS NULL ORDER BY id");
            let open = rows(database, &sql, [])?;
            let last = database
                .query_row("SELECT coalesce(max(id), 0) FROM alert", [], |row| row.get(0))?;
            Ok((open, last))
        })
    }

    /// Writes these as they are now, and forgets the oldest of what resolved where there is too much of it.
    ///
    /// # Errors
    /// `Catalogue`.
    pub(super) fn write(&self, alerts: &[AlertStatus]) -> Result<(), ControlError> {
        self.0.change(|change| {
            let sql = format!(
                "INSERT OR REPLACE INTO alert ({COLUMNS}) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
            );
            let mut insert = change.prepare_cached(&sql)?;
            for alert in alerts {
                let noted = alert.acknowledged.as_ref();
                insert.execute(params![
                    alert.id,
                    alert.rule.word(),
                    alert.of,
                    alert.severity.word(),
                    alert.what,
                    alert.way_out,
                    alert.first_ms,
                    alert.last_ms,
                    alert.count,
                    alert.resolved_ms,
                    noted.map(|noted| noted.by.as_str()),
                    noted.map(|noted| noted.at_ms),
                    alert.told_ms,
                ])?;
            }
            change.execute(
                "DELETE FROM alert WHERE resolved_ms IS NOT NULL AND id <= (SELECT id FROM alert \
                 WHERE resolved_ms IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET ?1)",
                [HISTORY_MAX],
            )?;
            Ok(())
        })
    }

    /// Those that resolved, with numbers below this one, newest first.
    ///
    /// # Errors
    /// `Catalogue`.
    pub(super) fn history(
        &self,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<AlertStatus>, ControlError> {
        let before = before.and_then(|id| i64::try_from(id).ok()).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT {COLUMNS} FROM alert WHERE resolved_ms IS NOT NULL AND id < ?1 ORDER BY id DESC LIMIT ?2"
        );
        self.0.read(|database| rows(database, &sql, params![before, most.min(PAGE_MAX)]))
    }

    /// One that resolved.
    ///
    /// # Errors
    /// `Catalogue`.
    pub(super) fn find(&self, id: u64) -> Result<Option<AlertStatus>, ControlError> {
        let Ok(id) = i64::try_from(id) else { return Ok(None) };
        let sql = format!("SELECT {COLUMNS} FROM alert WHERE id = ?1");
        self.0.read(|database| Ok(database.query_row(&sql, [id], alert).optional()?))
    }
}

fn rows(
    database: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<AlertStatus>, ControlError> {
    let mut all = database.prepare_cached(sql)?;
    let rows = all.query_map(parameters, alert)?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?)
}

fn alert(row: &Row<'_>) -> rusqlite::Result<AlertStatus> {
    let unknown = |column: usize| {
        let why = "it is of a newer tidemarkd".into();
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why)
    };
    let (rule, severity): (String, String) = (row.get(1)?, row.get(3)?);
    let by: Option<String> = row.get(10)?;
    let at_ms: Option<u64> = row.get(11)?;
    Ok(AlertStatus {
        id: row.get(0)?,
        rule: rule.parse().map_err(|()| unknown(1))?,
        of: row.get(2)?,
        severity: Severity::ALL
            .into_iter()
            .find(|known| known.word() == severity)
            .ok_or_else(|| unknown(3))?,
        what: row.get(4)?,
        way_out: row.get(5)?,
        first_ms: row.get(6)?,
        last_ms: row.get(7)?,
        count: row.get(8)?,
        resolved_ms: row.get(9)?,
        acknowledged: by.zip(at_ms).map(|(by, at_ms)| Acknowledged { by, at_ms }),
        silenced_until_ms: None,
        told_ms: row.get(12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::message::NoticeKind;
    use super::super::message::tests::notice;
    use super::*;

    fn record(dir: &tempfile::TempDir) -> Record {
        let pool = dir.path().join("pool");
        std::fs::create_dir_all(&pool).unwrap();
        Record::new(Arc::new(Catalogue::open(dir.path(), &pool)))
    }

    fn numbered(id: u64, resolved_ms: Option<u64>) -> AlertStatus {
        let alert = notice(NoticeKind::Fired, "mail", Severity::Critical).alert;
        let acknowledged = Some(Acknowledged { by: "anna".into(), at_ms: 5 });
        AlertStatus { id, resolved_ms, acknowledged, told_ms: Some(6), ..alert }
    }

    #[test]
    fn what_is_written_is_read_back_after_a_restart_and_the_open_ones_apart() {
        let dir = tempfile::tempdir().unwrap();
        let alerts = [numbered(1, Some(9)), numbered(2, None)];
        record(&dir).write(&alerts).unwrap();
        let record = record(&dir);
        assert_eq!(record.open().unwrap(), (vec![alerts[1].clone()], 2));
        assert_eq!(record.history(None, 10).unwrap(), [alerts[0].clone()]);
        assert_eq!(record.find(2).unwrap(), Some(alerts[1].clone()));
        assert_eq!((record.find(3).unwrap(), record.find(u64::MAX).unwrap()), (None, None));
        record.write(&[numbered(2, Some(10))]).unwrap();
        assert!(record.open().unwrap().0.is_empty());
        let ids: Vec<_> = record.history(Some(2), 10).unwrap().iter().map(|one| one.id).collect();
        assert_eq!(ids, [1]);
    }

    #[test]
    fn only_so_many_are_remembered_and_open_ones_never_go() {
        let dir = tempfile::tempdir().unwrap();
        let record = record(&dir);
        let mut alerts = vec![numbered(1, None)];
        alerts.extend((2..HISTORY_MAX as u64 + 12).map(|id| numbered(id, Some(id))));
        record.write(&alerts).unwrap();
        assert_eq!(record.open().unwrap().0.len(), 1);
        let oldest = record.history(Some(14), 100).unwrap();
        assert_eq!(oldest.last().unwrap().id, 12, "the ten oldest went");
    }
}
