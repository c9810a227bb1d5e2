//! `/volumes`: make, adopt, grow, set, remove, release, scrub, roll back.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use base::name::{MarkRef, Name};
use control::candidates::Candidate;
use control::status::{JobStatus, RollbackStarted, VolumeSettings, VolumeStatus};
use control::{Appliance, ControlError};

use super::{Answer, List, Office, to_the_end};
use crate::extract::{Asked, Body, Named};
use crate::model::{At, NewRollback, NewVolume, Removal, Removed, VolumeChange};
use crate::paged::{Paged, Paging};
use crate::problem::Problem;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/volumes", get(list).post(create))
        .route("/candidates", get(candidates))
        .route("/volumes/{name}", get(show).patch(change).delete(remove))
        .route("/volumes/{name}/release", post(release))
        .route("/volumes/{name}/scrub", post(scrub))
        .route("/volumes/{name}/rollback", post(rollback))
        .route("/volumes/{name}/undo", post(undo))
}

async fn list(State(office): Office, Asked(paging): Asked<Paging>) -> List<VolumeStatus> {
    Ok(Paged::of(office.pool().volumes(), &paging, |one| one.name.to_string())?)
}

async fn candidates(State(office): Office, Asked(at): Asked<At>) -> Answer<Vec<Candidate>> {
    // Looking at the host may wait for it.
    let looked = tokio::task::spawn_blocking(move || office.candidates(at.path.as_deref())).await;
    let looked = looked.map_err(|error| ControlError::State {
        what: "look at the disks of this host".into(),
        why: error.to_string(),
    })?;
    Ok(Json(looked?))
}

async fn create(
    State(office): Office,
    Body(new): Body<NewVolume>,
) -> Result<(StatusCode, Json<VolumeStatus>), Problem> {
    let made = to_the_end(async move {
        match (new.size, new.adopt) {
            (Some(size), None) => office.create_volume(&new.name, size).await,
            (None, Some(path)) => office.adopt_volume(&new.name, &path).await,
            (Some(_), Some(_)) | (None, None) => Err(ControlError::Invalid {
                why: "a volume has either a size or a disk to adopt".into(),
                way_out: "give one of size and adopt".into(),
            }),
        }
    });
    Ok((StatusCode::CREATED, Json(made.await?)))
}

async fn show(State(office): Office, Named(name): Named<Name>) -> Answer<VolumeStatus> {
    Ok(Json(office.volume(&name)?))
}

async fn change(
    State(office): Office,
    Named(name): Named<Name>,
    Body(change): Body<VolumeChange>,
) -> Answer<VolumeStatus> {
    let VolumeChange { size, sync, when_marks_full, when_store_full } = change;
    let settings = VolumeSettings { sync, when_marks_full, when_store_full };
    let has_settings = sync.is_some() || when_marks_full.is_some() || when_store_full.is_some();
    let changed = to_the_end(async move {
        if let Some(size) = size {
            office.grow_volume(&name, size).await?;
        }
        if has_settings {
            office.set_volume(&name, settings).await?;
        }
        office.volume(&name)
    });
    Ok(Json(changed.await?))
}

async fn remove(
    State(office): Office,
    Named(name): Named<Name>,
    Asked(how): Asked<Removal>,
) -> Answer<Removed> {
    let removed = Removed { removed: name.to_string() };
    to_the_end(async move { office.remove_volume(&name, how.into()).await }).await?;
    Ok(Json(removed))
}

async fn release(
    State(office): Office,
    Named(name): Named<Name>,
    Asked(how): Asked<Removal>,
) -> Result<(StatusCode, Json<JobStatus>), Problem> {
    let job = to_the_end(async move { office.release_volume(&name, how.into()).await }).await?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

async fn scrub(
    State(office): Office,
    Named(name): Named<Name>,
) -> Result<(StatusCode, Json<JobStatus>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(office.scrub(&name)?)))
}

async fn rollback(
    State(office): Office,
    Named(volume): Named<Name>,
    Body(new): Body<NewRollback>,
) -> Result<(StatusCode, Json<RollbackStarted>), Problem> {
    let to = MarkRef { volume, mark: new.mark };
    let started = to_the_end(async move { office.rollback(&to).await }).await?;
    Ok((StatusCode::ACCEPTED, Json(started)))
}

async fn undo(
    State(office): Office,
    Named(volume): Named<Name>,
) -> Result<(StatusCode, Json<RollbackStarted>), Problem> {
    let started = to_the_end(async move { office.undo_rollback(&volume).await }).await?;
    Ok((StatusCode::ACCEPTED, Json(started)))
}
