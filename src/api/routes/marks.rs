//! `/marks` and `/volumes/{name}/marks`: take, look at, rename, hold, remove.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use base::name::{MarkRef, Name};
use control::Appliance;
use control::ControlError;
use control::marks::Hold;
use control::status::{MarkStatus, RemovalPreview};

use super::{Answer, List, Office, to_the_end};
use crate::extract::{Asked, Body, Named};
use crate::model::{MarkChange, MarkList, NewLock, NewMark, Removal, Removed};
use crate::paged::{Paged, Paging, rising};
use crate::problem::Problem;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/marks", post(take))
        .route("/volumes/{name}/marks", get(list))
        .route("/volumes/{name}/marks/{mark}", get(show).patch(change).delete(remove))
        .route("/volumes/{name}/marks/{mark}/lock", post(lock))
        .route("/volumes/{name}/removal-preview", get(preview))
}

async fn take(
    State(office): Office,
    Body(new): Body<NewMark>,
) -> Result<(StatusCode, Json<Vec<MarkStatus>>), Problem> {
    let taken =
        to_the_end(async move { office.take_mark(&new.volumes, new.name, new.grade).await });
    Ok((StatusCode::CREATED, Json(taken.await?)))
}

async fn list(
    State(office): Office,
    Named(volume): Named<Name>,
    Asked(paging): Asked<Paging>,
) -> List<MarkStatus> {
    Ok(Paged::of(office.marks(&volume)?, &paging, |one| rising(one.sequence))?)
}

async fn show(State(office): Office, Named(at): Named<(Name, Name)>) -> Answer<MarkStatus> {
    Ok(Json(office.mark(&reference(at))?))
}

async fn change(
    State(office): Office,
    Named(at): Named<(Name, Name)>,
    Body(change): Body<MarkChange>,
) -> Answer<MarkStatus> {
    let mark = reference(at);
    let changed = to_the_end(async move {
        if let Some(hold) = hold_of(&office, &change)? {
            office.set_held(&mark, hold).await?;
        }
        match change.name {
            Some(name) => office.rename_mark(&mark, &name).await,
            None => office.mark(&mark),
        }
    });
    Ok(Json(changed.await?))
}

/// What a change says of the hold.
///
/// # Errors
/// `Invalid` where it says two things.
fn hold_of(office: &Appliance, change: &MarkChange) -> Result<Option<Hold>, ControlError> {
    let span = match (change.hold_for, &change.hold_until) {
        (None, None) => None,
        (Some(span), None) => Some(span),
        (None, Some(until)) => Some(office.span_until(until)?),
        (Some(_), Some(_)) => return Err(not_both("hold_for and hold_until", "name one of them")),
    };
    match (change.is_held, span) {
        (Some(false), Some(_)) => Err(not_both("an end and no hold", "leave the end out")),
        (Some(false), None) => Ok(Some(Hold::Free)),
        (_, Some(span)) => Ok(Some(Hold::For(span))),
        (Some(true), None) => Ok(Some(Hold::Held)),
        (None, None) => Ok(None),
    }
}

fn not_both(what: &str, way_out: &str) -> ControlError {
    let why = format!("the change names {what}");
    ControlError::Invalid { why, way_out: way_out.into() }
}

async fn lock(
    State(office): Office,
    Named(at): Named<(Name, Name)>,
    Body(NewLock { lock_for }): Body<NewLock>,
) -> Answer<MarkStatus> {
    let mark = reference(at);
    let locked = to_the_end(async move { office.lock_mark(&mark, lock_for).await });
    Ok(Json(locked.await?))
}

async fn preview(
    State(office): Office,
    Named(volume): Named<Name>,
    Asked(MarkList { marks }): Asked<MarkList>,
) -> Answer<RemovalPreview> {
    let names = marks.split(',').map(|name| name.trim().parse::<Name>());
    let names = names.collect::<Result<Vec<_>, _>>().map_err(|bad| ControlError::Invalid {
        why: bad.to_string(),
        way_out: "write names of marks with commas between".into(),
    })?;
    Ok(Json(office.preview_removal(&volume, &names).await?))
}

async fn remove(
    State(office): Office,
    Named(at): Named<(Name, Name)>,
    Asked(how): Asked<Removal>,
) -> Answer<Removed> {
    let mark = reference(at);
    let removed = Removed { removed: mark.to_string() };
    to_the_end(async move { office.remove_mark(&mark, how.into()).await }).await?;
    Ok(Json(removed))
}

fn reference((volume, mark): (Name, Name)) -> MarkRef {
    MarkRef { volume, mark }
}
