//! `mark`.

use std::collections::BTreeMap;

use api::model::{MarkChange, NewLock, NewMark, Removed};
use base::name::{MarkRef, Name};
use base::span::Span;
use control::status::{Freed, MarkStatus, RemovalPreview};

use super::Desk;
use super::volume::word;
use crate::args::MarkCommand;
use crate::client::part;
use crate::failure::CliError;
use crate::output::{Shown, confirm};
use crate::table::{names, numbers, sheet, size, table, time, words};

pub(super) async fn run(desk: &Desk, command: MarkCommand) -> Result<Shown, CliError> {
    match command {
        MarkCommand::Take { volumes, name, grade } => {
            let new = NewMark { volumes, name, grade: grade.into() };
            let taken: Vec<MarkStatus> = desk.client.post("/marks", Some(&new)).await?;
            Shown::new(&taken, taken_text(&taken))
        }
        MarkCommand::Ls { volume } => {
            let path = format!("/volumes/{}/marks", part(&volume));
            let marks: Vec<MarkStatus> = desk.client.list(path).await?;
            Shown::new(&marks, mark_table(&volume, &marks, desk.now_ms))
        }
        MarkCommand::Show { mark } => {
            let mark: MarkStatus = desk.client.get(address(&mark)).await?;
            Shown::new(&mark, about(&mark, desk.now_ms))
        }
        MarkCommand::Rm { marks, dry_run: true, .. } => preview(desk, &marks).await,
        MarkCommand::Rm { marks, force, .. } => remove(desk, &marks, force).await,
        MarkCommand::Hold { mark, span, until } => {
            let change = MarkChange {
                is_held: Some(true),
                hold_for: span,
                hold_until: until,
                ..MarkChange::default()
            };
            hold(desk, &mark, change).await
        }
        MarkCommand::Lock { mark, span } => lock(desk, &mark, span).await,
        MarkCommand::Release { mark } => {
            let change = MarkChange { is_held: Some(false), ..MarkChange::default() };
            hold(desk, &mark, change).await
        }
        MarkCommand::Rename { mark, to } => {
            let change = MarkChange { name: Some(to), ..MarkChange::default() };
            let renamed: MarkStatus = desk.client.patch(address(&mark), &change).await?;
            let human = format!("mark {mark} is {}@{} now", renamed.volume, renamed.name);
            Shown::new(&renamed, human)
        }
    }
}

fn address(mark: &MarkRef) -> String {
    format!("/volumes/{}/marks/{}", part(&mark.volume), part(&mark.mark))
}

/// What was taken, for people.
pub(super) fn taken_text(taken: &[MarkStatus]) -> String {
    let marks: Vec<_> = taken.iter().map(|mark| format!("{}@{}", mark.volume, mark.name)).collect();
    format!("took {}", names(&marks))
}

async fn hold(desk: &Desk, mark: &MarkRef, change: MarkChange) -> Result<Shown, CliError> {
    let changed: MarkStatus = desk.client.patch(address(mark), &change).await?;
    let human = match (changed.is_held, changed.held_until_ms) {
        (true, None) => format!("mark {mark} is held; `mark release {mark}` lets it go"),
        (true, Some(end)) => {
            let end = time(end, desk.now_ms);
            format!("mark {mark} is held until {end}; `mark release {mark}` lets it go before")
        }
        (false, _) if changed.is_locked => {
            format!("mark {mark} is no longer held, and still {}", locked(&changed, desk.now_ms))
        }
        (false, _) => format!("mark {mark} is no longer held"),
    };
    Shown::new(&changed, human)
}

async fn lock(desk: &Desk, mark: &MarkRef, span: Span) -> Result<Shown, CliError> {
    let question = format!("Lock {mark} for {span}? Nobody can take that back, you neither.");
    confirm(&question, desk.is_sure)?;
    let new = NewLock { lock_for: span };
    let path = format!("{}/lock", address(mark));
    let changed: MarkStatus = desk.client.post(path, Some(&new)).await?;
    let human =
        format!("mark {mark} is {}; nothing removes it before", locked(&changed, desk.now_ms));
    Shown::new(&changed, human)
}

fn locked(mark: &MarkStatus, now_ms: u64) -> String {
    mark.locked_until_ms.map_or_else(
        || "not locked".to_owned(),
        |end| format!("locked until {}", time(end, now_ms)),
    )
}

/// What the removal would do, volume by volume, as one answer.
async fn preview(desk: &Desk, marks: &[MarkRef]) -> Result<Shown, CliError> {
    let mut by_volume: BTreeMap<&Name, Vec<&Name>> = BTreeMap::new();
    for mark in marks {
        by_volume.entry(&mark.volume).or_default().push(&mark.mark);
    }
    let mut all = RemovalPreview::default();
    for (volume, of) in by_volume {
        let list: Vec<_> = of.iter().map(part).collect();
        let path = format!("/volumes/{}/removal-preview?marks={}", part(volume), list.join(","));
        let seen: RemovalPreview = desk.client.get(path).await?;
        all.freed.least_bytes += seen.freed.least_bytes;
        all.freed.most_bytes += seen.freed.most_bytes;
        all.obstacles.extend(seen.obstacles);
    }
    let count = marks.len() - all.obstacles.len();
    let mut lines =
        vec![format!("removing {count} of {} gives back {}", marks.len(), freed(all.freed))];
    lines.extend(all.obstacles.iter().cloned());
    Shown::new(&all, lines.join("\n"))
}

/// How much comes back, for people.
pub(super) fn freed(freed: Freed) -> String {
    match (freed.least_bytes, freed.most_bytes) {
        (least, most) if least == most => size(least),
        (least, most) => format!("{} to {}", size(least), size(most)),
    }
}

async fn remove(desk: &Desk, marks: &[MarkRef], force: bool) -> Result<Shown, CliError> {
    confirm(&format!("Remove {}?", names(marks)), desk.is_sure)?;
    let mut removed = Vec::new();
    for mark in marks {
        let path = format!("{}?force={force}", address(mark));
        let gone: Removed = desk.client.delete(path).await?;
        removed.push(gone);
    }
    let human = format!("removed {}", names(marks));
    match removed.as_slice() {
        [only] => Shown::new(only, human),
        several => Shown::new(&several, human),
    }
}

fn mark_table(volume: &Name, marks: &[MarkStatus], now_ms: u64) -> String {
    let columns = [
        words("NAME"),
        words("TAKEN"),
        words("GRADE"),
        words("PROOF"),
        numbers("SIZE"),
        numbers("FREES UP TO"),
        words("HELD"),
        words("LOCKED"),
        words("VIEWS"),
    ];
    let rows = marks.iter().map(|mark| {
        vec![
            mark.name.to_string(),
            time(mark.taken_ms, now_ms),
            word(&mark.grade),
            word(&mark.proof),
            mark.size.to_string(),
            size(mark.frees_most_bytes),
            until(mark.is_held, mark.held_until_ms, now_ms),
            until(mark.is_locked, mark.locked_until_ms, now_ms),
            names(&mark.views),
        ]
    });
    let empty = format!("{volume} has no marks yet; `mark take {volume}` takes one");
    table(&columns, rows.collect(), &empty)
}

/// Whether something keeps it, and until when.
fn until(is_kept: bool, end_ms: Option<u64>, now_ms: u64) -> String {
    match (is_kept, end_ms) {
        (false, _) => "-".to_owned(),
        (true, None) => "yes".to_owned(),
        (true, Some(end)) => format!("until {}", time(end, now_ms)),
    }
}

fn about(mark: &MarkStatus, now_ms: u64) -> String {
    let group = mark.group.map_or_else(|| "-".to_owned(), |group| group.to_string());
    sheet(&[
        ("name", format!("{}@{}", mark.volume, mark.name)),
        ("id", mark.id.to_string()),
        ("sequence", mark.sequence.to_string()),
        ("taken", time(mark.taken_ms, now_ms)),
        ("size", mark.size.to_string()),
        ("grade", word(&mark.grade)),
        ("proof", word(&mark.proof)),
        ("held", until(mark.is_held, mark.held_until_ms, now_ms)),
        ("locked", until(mark.is_locked, mark.locked_until_ms, now_ms)),
        ("frees up to", size(mark.frees_most_bytes)),
        ("views", names(&mark.views)),
        ("taken together", group),
    ])
}

#[cfg(test)]
mod tests {
    use base::id::Id;
    use base::size::ByteSize;
    use control::status::{Grade, Proof};

    use super::*;

    #[test]
    fn a_list_of_marks_shows_what_keeps_each() {
        let mark = MarkStatus {
            volume: "mail".parse().unwrap(),
            name: "monday".parse().unwrap(),
            id: Id(1),
            sequence: 3,
            taken_ms: 1_795_233_753_000,
            size: ByteSize(4 << 30),
            grade: Grade::Filesystem,
            proof: Proof::Unverified,
            is_held: true,
            held_until_ms: None,
            is_locked: true,
            locked_until_ms: Some(1_795_233_753_000 + 7_200_000),
            frees_most_bytes: 3 << 20,
            views: vec!["look".parse().unwrap()],
            group: None,
        };
        let shown = mark_table(&mark.volume, std::slice::from_ref(&mark), mark.taken_ms + 120_000);
        let line = shown.lines().nth(1).unwrap();
        for word in [
            "monday",
            "(2 min ago)",
            "filesystem",
            "unverified",
            "4G",
            "3M",
            "yes",
            "until",
            "in 1 h",
            "look",
        ] {
            assert!(line.contains(word), "{word}: {line}");
        }
        assert!(mark_table(&mark.volume, &[], 0).contains("mark take mail"));
    }
}
