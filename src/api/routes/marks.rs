//! `/marks` and `/volumes/{name}/marks`: take, look at, rename, hold, remove.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use base::name::{MarkRef, Name};
use control::Appliance;
use control::marks::Hold;
use control::status::MarkStatus;

use super::{Answer, List, Office, to_the_end};
use crate::extract::{Asked, Body, Named};
use crate::model::{MarkChange, NewMark, Removal, Removed};
use crate::paged::{Paged, Paging, rising};
use crate::problem::Problem;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/marks", post(take))
        .route("/volumes/{name}/marks", get(list))
        .route("/volumes/{name}/marks/{mark}", get(show).patch(change).delete(remove))
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
        if let Some(is_held) = change.is_held {
            let hold = if is_held { Hold::Held } else { Hold::Free };
            office.set_held(&mark, hold).await?;
        }
        match change.name {
            Some(name) => office.rename_mark(&mark, &name).await,
            None => office.mark(&mark),
        }
    });
    Ok(Json(changed.await?))
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
