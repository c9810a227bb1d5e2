//! `/views`: make, look at, promote, drop.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use base::name::Name;
use control::Appliance;
use control::status::{JobStatus, ViewStatus};

use super::{Answer, List, Office, to_the_end};
use crate::extract::{Asked, Body, Named};
use crate::model::{NewView, Removal, Removed};
use crate::paged::{Paged, Paging};
use crate::problem::Problem;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/views", get(list).post(create))
        .route("/views/{name}", get(show).delete(remove))
        .route("/views/{name}/promote", post(promote))
}

async fn list(State(office): Office, Asked(paging): Asked<Paging>) -> List<ViewStatus> {
    Ok(Paged::of(office.pool().views(), &paging, |one| one.name.to_string())?)
}

async fn create(
    State(office): Office,
    Body(new): Body<NewView>,
) -> Result<(StatusCode, Json<ViewStatus>), Problem> {
    let made = to_the_end(async move { office.create_view(&new.name, &new.of).await }).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn show(State(office): Office, Named(name): Named<Name>) -> Answer<ViewStatus> {
    Ok(Json(office.view(&name)?))
}

async fn remove(
    State(office): Office,
    Named(name): Named<Name>,
    Asked(how): Asked<Removal>,
) -> Answer<Removed> {
    let removed = Removed { removed: format!("view/{name}") };
    to_the_end(async move { office.remove_view(&name, how.into()).await }).await?;
    Ok(Json(removed))
}

async fn promote(
    State(office): Office,
    Named(name): Named<Name>,
) -> Result<(StatusCode, Json<JobStatus>), Problem> {
    let job = to_the_end(async move { office.promote_view(&name).await }).await?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}
