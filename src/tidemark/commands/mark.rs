//! `mark`.

use api::model::{MarkChange, NewMark, Removed};
use base::name::{MarkRef, Name};
use control::status::MarkStatus;

use super::Desk;
use super::volume::word;
use crate::args::MarkCommand;
use crate::client::part;
use crate::failure::CliError;
use crate::output::{Shown, confirm};
use crate::table::{names, numbers, sheet, table, time, words, yes};

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
        MarkCommand::Rm { marks, force } => remove(desk, &marks, force).await,
        MarkCommand::Hold { mark } => hold(desk, &mark, true).await,
        MarkCommand::Release { mark } => hold(desk, &mark, false).await,
        MarkCommand::Rename { mark, to } => {
            let change = MarkChange { name: Some(to), is_held: None };
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

async fn hold(desk: &Desk, mark: &MarkRef, is_held: bool) -> Result<Shown, CliError> {
    let change = MarkChange { name: None, is_held: Some(is_held) };
    let changed: MarkStatus = desk.client.patch(address(mark), &change).await?;
    let human = match is_held {
        true => format!("mark {mark} is held; `mark release {mark}` lets it go"),
        false => format!("mark {mark} is no longer held"),
    };
    Shown::new(&changed, human)
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
        words("HELD"),
        words("VIEWS"),
    ];
    let rows = marks.iter().map(|mark| {
        vec![
            mark.name.to_string(),
            time(mark.taken_ms, now_ms),
            word(&mark.grade),
            word(&mark.proof),
            mark.size.to_string(),
            yes(mark.is_held),
            names(&mark.views),
        ]
    });
    let empty = format!("{volume} has no marks yet; `mark take {volume}` takes one");
    table(&columns, rows.collect(), &empty)
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
        ("held", yes(mark.is_held)),
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
            views: vec!["look".parse().unwrap()],
            group: None,
        };
        let shown = mark_table(&mark.volume, std::slice::from_ref(&mark), mark.taken_ms + 120_000);
        let line = shown.lines().nth(1).unwrap();
        for word in ["monday", "(2 min ago)", "filesystem", "unverified", "4G", "yes", "look"] {
            assert!(line.contains(word), "{word}: {line}");
        }
        assert!(mark_table(&mark.volume, &[], 0).contains("mark take mail"));
    }
}
