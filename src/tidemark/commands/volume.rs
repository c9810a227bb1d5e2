//! `volume`, `rollback`, `undo`, `scrub`.

use std::path::Path;

use api::model::{NewRollback, NewVolume, Removed, VolumeChange};
use base::name::{MarkRef, Name};
use control::candidates::Candidate;
use control::status::{
    DiskRef, JobKind, JobState, JobStatus, RollbackStarted, ScrubReport, VolumeKind, VolumeState,
    VolumeStatus,
};

use super::{Desk, Outcome};
use crate::args::{VolumeCommand, VolumeSet};
use crate::client::part;
use crate::failure::{CliError, DAMAGED};
use crate::output::{Shown, confirm};
use crate::progress::follow;
use crate::table::{numbers, percent, sheet, size, table, time, words};

pub(super) async fn run(desk: &Desk, command: VolumeCommand) -> Result<Shown, CliError> {
    match command {
        VolumeCommand::Create { name, size } => {
            make(desk, NewVolume { name, size: Some(size), adopt: None }).await
        }
        VolumeCommand::Adopt { name, path } => {
            let adopt = Some(std::path::absolute(path)?);
            make(desk, NewVolume { name, size: None, adopt }).await
        }
        VolumeCommand::Candidates { path } => candidates(desk, path.as_deref()).await,
        VolumeCommand::Release { name, force } => release(desk, &name, force).await,
        VolumeCommand::Grow { name, size } => {
            change(desk, &name, VolumeChange { size: Some(size), ..VolumeChange::default() }).await
        }
        VolumeCommand::Ls => list(desk).await,
        VolumeCommand::Show { name } => {
            let volume: VolumeStatus = desk.client.get(address(&name)).await?;
            Shown::new(&volume, about(&volume, desk.now_ms))
        }
        VolumeCommand::Rm { name, force } => remove(desk, &name, force).await,
        VolumeCommand::Set(VolumeSet { name, sync, when_marks_full, when_store_full }) => {
            let to = VolumeChange {
                size: None,
                sync: sync.map(Into::into),
                when_marks_full: when_marks_full.map(Into::into),
                when_store_full: when_store_full.map(Into::into),
            };
            change(desk, &name, to).await
        }
    }
}

fn address(name: &Name) -> String {
    format!("/volumes/{}", part(name))
}

async fn candidates(desk: &Desk, path: Option<&Path>) -> Result<Shown, CliError> {
    let query = match path {
        Some(path) => format!("?path={}", part(&std::path::absolute(path)?.display())),
        None => String::new(),
    };
    let all: Vec<Candidate> = desk.client.get(format!("/candidates{query}")).await?;
    let columns = [words("PATH"), numbers("SIZE"), words("MODEL"), words("IN THE WAY")];
    let rows = all.iter().map(|one| {
        let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let obstacle = one.obstacle.as_deref().unwrap_or_default();
        vec![one.path.display().to_string(), one.size.to_string(), dash(&one.model), dash(obstacle)]
    });
    let empty = "no disks; images are looked at by path: `volume candidates /srv/mail.img`";
    Shown::new(&all, table(&columns, rows.collect(), empty))
}

async fn make(desk: &Desk, new: NewVolume) -> Result<Shown, CliError> {
    let volume: VolumeStatus = desk.client.post("/volumes", Some(&new)).await?;
    let (name, size) = (&volume.name, volume.size);
    let human = match &volume.kind {
        VolumeKind::Thin => format!("created volume {name}, {size}; its NBD export is {name}"),
        VolumeKind::Adopted { path } => {
            format!("adopted {path} as volume {name}, {size}; its NBD export is {name}")
        }
    };
    Shown::new(&volume, human)
}

async fn change(desk: &Desk, name: &Name, change: VolumeChange) -> Result<Shown, CliError> {
    let volume: VolumeStatus = desk.client.patch(address(name), &change).await?;
    let human = match change.size {
        Some(_) => format!("volume {name} has {} now", volume.size),
        None => format!(
            "volume {name}: sync {}, when marks are full {}, when the store is full {}",
            word(&volume.sync),
            word(&volume.when_marks_full),
            word(&volume.when_store_full)
        ),
    };
    Shown::new(&volume, human)
}

async fn list(desk: &Desk) -> Result<Shown, CliError> {
    let volumes: Vec<VolumeStatus> = desk.client.list("/volumes").await?;
    Shown::new(&volumes, volume_table(&volumes))
}

/// The volumes, a line each.
pub(super) fn volume_table(volumes: &[VolumeStatus]) -> String {
    let columns = [
        words("NAME"),
        words("KIND"),
        numbers("SIZE"),
        numbers("USED"),
        numbers("PRESERVED"),
        numbers("MARKS"),
        words("STATE"),
    ];
    let rows = volumes.iter().map(|volume| {
        vec![
            volume.name.to_string(),
            match volume.kind {
                VolumeKind::Thin => "thin".into(),
                VolumeKind::Adopted { .. } => "adopted".into(),
            },
            volume.size.to_string(),
            size(volume.allocated_bytes),
            size(volume.preserved_bytes),
            volume.marks.to_string(),
            doing(volume),
        ]
    });
    table(&columns, rows.collect(), "no volumes yet; `volume create NAME --size 4G` makes one")
}

fn doing(volume: &VolumeStatus) -> String {
    match (&volume.state, &volume.rollback) {
        (VolumeState::Ready, Some(copy)) => {
            format!("rolling back, {}", percent(copy.done_blocks, copy.total_blocks))
        }
        (state, _) => state_word(state).into(),
    }
}

/// A state in a word.
pub(super) fn state_word(state: &VolumeState) -> &'static str {
    match state {
        VolumeState::Ready => "ready",
        VolumeState::ReadOnly { .. } => "read-only",
        VolumeState::FailStop { .. } => "failed",
    }
}

/// The word that the API uses for a value.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    let word = serde_json::to_value(value).ok();
    word.as_ref().and_then(|word| word.as_str()).unwrap_or("?").replace('_', "-")
}

fn about(volume: &VolumeStatus, now_ms: u64) -> String {
    let mut lines = vec![
        ("name", volume.name.to_string()),
        ("id", volume.id.to_string()),
        (
            "kind",
            match &volume.kind {
                VolumeKind::Thin => "thin".into(),
                VolumeKind::Adopted { path } => format!("adopted, {path}"),
            },
        ),
        ("size", volume.size.to_string()),
        ("used", size(volume.allocated_bytes)),
        ("preserved for marks", size(volume.preserved_bytes)),
        ("not yet applied", size(volume.unapplied_bytes)),
        ("marks", volume.marks.to_string()),
        ("state", doing(volume)),
        ("sync", word(&volume.sync)),
        ("when marks are full", word(&volume.when_marks_full)),
        ("when the store is full", word(&volume.when_store_full)),
        ("atomic write", volume.atomic_write_len.to_string()),
        ("created", time(volume.created_ms, now_ms)),
    ];
    if let VolumeState::ReadOnly { reason } | VolumeState::FailStop { reason } = &volume.state {
        lines.push(("because", reason.clone()));
    }
    if let Some(copy) = &volume.rollback {
        lines.push(("rollback", format!("to {}, undone by {}", copy.to, copy.safety)));
    }
    sheet(&lines)
}

async fn remove(desk: &Desk, name: &Name, force: bool) -> Result<Shown, CliError> {
    let volume: VolumeStatus = desk.client.get(address(name)).await?;
    let question = format!(
        "Remove volume {name} with {} of contents and {} marks?",
        size(volume.allocated_bytes),
        volume.marks
    );
    confirm(&question, desk.is_sure)?;
    let removed: Removed = desk.client.delete(format!("{}?force={force}", address(name))).await?;
    Shown::new(&removed, format!("removed volume {name}"))
}

async fn release(desk: &Desk, name: &Name, force: bool) -> Result<Shown, CliError> {
    let begun = desk.client.post(format!("{}/release?force={force}", address(name)), None::<&()>);
    let job = follow(&desk.client, begun.await?).await?;
    let path = job.result.as_ref().and_then(|result| result["path"].as_str());
    let path = Path::new(path.unwrap_or("its disk"));
    let human = format!("released volume {name}: {} is a plain disk again", path.display());
    Shown::new(&job, human)
}

pub(super) async fn rollback(desk: &Desk, to: &MarkRef, wait: bool) -> Result<Shown, CliError> {
    let question = format!("Make volume {} what it was at {}?", to.volume, to.mark);
    confirm(&question, desk.is_sure)?;
    end_of_rollback(desk, &to.volume).await?;
    let new = NewRollback { mark: to.mark.clone() };
    let begun = desk.client.post(format!("{}/rollback", address(&to.volume)), Some(&new));
    rolled_back(desk, &to.volume, begun.await?, wait).await
}

pub(super) async fn undo(desk: &Desk, volume: &Name, wait: bool) -> Result<Shown, CliError> {
    end_of_rollback(desk, volume).await?;
    let begun = desk.client.post(format!("{}/undo", address(volume)), None::<&()>);
    rolled_back(desk, volume, begun.await?, wait).await
}

/// Waits for an earlier rollback that is still being copied: only one at a time is.
async fn end_of_rollback(desk: &Desk, volume: &Name) -> Result<(), CliError> {
    let jobs: Vec<JobStatus> = desk.client.list("/jobs").await?;
    let is_it = |job: &JobStatus| {
        job.kind == JobKind::Rollback
            && job.state == JobState::Running
            && job.of == DiskRef::Volume(volume.clone())
    };
    if let Some(job) = jobs.into_iter().find(is_it) {
        follow(&desk.client, job).await?;
    }
    Ok(())
}

async fn rolled_back(
    desk: &Desk,
    volume: &Name,
    mut begun: RollbackStarted,
    wait: bool,
) -> Result<Shown, CliError> {
    if wait {
        begun.job = follow(&desk.client, begun.job).await?;
    }
    let RollbackStarted { rollback, sessions, .. } = &begun;
    let mut human = format!(
        "volume {volume} reads as at {} now; what was there before is {volume}@{}, and `undo {volume}` goes back to it",
        rollback.to, rollback.safety
    );
    if *sessions > 0 {
        human.push_str(&format!(
            "\nnote: clients have it open in {sessions} sessions; they may hold old contents in their caches and should reconnect"
        ));
    }
    Shown::new(&begun, human)
}

pub(super) async fn scrub(desk: &Desk, volume: &Name, no_wait: bool) -> Outcome {
    let begun = desk.client.post(format!("{}/scrub", address(volume)), None::<&()>);
    let job: JobStatus = begun.await?;
    if no_wait {
        let human =
            format!("scrub of {volume} begun as job {}; `job ls` shows how far it is", job.id);
        return Ok((Shown::new(&job, human)?, None));
    }
    let job = follow(&desk.client, job).await?;
    let report: ScrubReport = serde_json::from_value(job.result.unwrap_or_default())
        .map_err(|error| CliError::Answer(error.to_string()))?;
    let found = (!report.damaged.is_empty()).then(|| CliError::Found {
        detail: format!("{} damaged extents found in {volume}", report.damaged.len()),
        exit_code: DAMAGED,
    });
    Ok((Shown::new(&report, scrub_text(volume, &report))?, found))
}

fn scrub_text(volume: &Name, report: &ScrubReport) -> String {
    let ScrubReport { blocks_read, blocks_unverified, damaged, repaired } = report;
    let mut text = format!("scrubbed {volume}: {blocks_read} blocks read");
    if *blocks_unverified > 0 {
        text.push_str(&format!(", {blocks_unverified} without a checksum until now"));
    }
    if *repaired > 0 {
        text.push_str(&format!(", {repaired} damaged copies restored"));
    }
    if damaged.is_empty() {
        return text + ", no damage";
    }
    let columns = [words("WHERE"), numbers("FIRST SECTOR"), numbers("SECTORS"), words("WHY")];
    let rows = damaged.iter().map(|found| {
        let (start, sectors) = (found.extent.start.to_string(), found.extent.sectors.to_string());
        vec![found.place.clone(), start, sectors, found.why.clone()]
    });
    format!("{text}, DAMAGE:\n{}", table(&columns, rows.collect(), ""))
}

#[cfg(test)]
mod tests {
    use base::units::Extent;
    use control::status::ScrubFinding;

    use super::*;

    #[test]
    fn a_scrub_tells_every_damaged_extent() {
        let volume: Name = "mail".parse().unwrap();
        let whole = ScrubReport { blocks_read: 9, ..ScrubReport::default() };
        assert_eq!(scrub_text(&volume, &whole), "scrubbed mail: 9 blocks read, no damage");
        let found = ScrubFinding {
            place: "mail@monday".into(),
            extent: Extent::new(8, 16),
            why: "checksum differs".into(),
        };
        let text = scrub_text(&volume, &ScrubReport { damaged: vec![found], ..whole });
        assert!(text.contains("DAMAGE"), "{text}");
        assert!(text.lines().last().unwrap().starts_with("mail@monday"), "{text}");
    }

    #[test]
    fn words_are_those_of_the_command_line() {
        use control::status::StoreFullPolicy;
        assert_eq!(word(&StoreFullPolicy::DropOldest), "drop-oldest");
    }
}
