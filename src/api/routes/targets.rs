//! `/targets`: make, look at, set, remove.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use base::name::Name;
use control::Appliance;
use control::status::TargetStatus;

use super::{Answer, List, Office, to_the_end};
use crate::extract::{Asked, Body, Named};
use crate::model::{NewTarget, Removal, Removed, TargetChange};
use crate::paged::{Paged, Paging};
use crate::problem::Problem;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/targets", get(list).post(create))
        .route("/targets/{name}", get(show).patch(change).delete(remove))
}

async fn list(State(office): Office, Asked(paging): Asked<Paging>) -> List<TargetStatus> {
    Ok(Paged::of(office.targets(), &paging, |one| one.name.to_string())?)
}

async fn create(
    State(office): Office,
    Body(new): Body<NewTarget>,
) -> Result<(StatusCode, Json<TargetStatus>), Problem> {
    let made = to_the_end(async move { office.create_target(new).await }).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn show(State(office): Office, Named(name): Named<Name>) -> Answer<TargetStatus> {
    Ok(Json(office.target(&name)?))
}

async fn change(
    State(office): Office,
    Named(name): Named<Name>,
    Body(change): Body<TargetChange>,
) -> Answer<TargetStatus> {
    Ok(Json(to_the_end(async move { office.set_target(&name, change).await }).await?))
}

async fn remove(
    State(office): Office,
    Named(name): Named<Name>,
    Asked(how): Asked<Removal>,
) -> Answer<Removed> {
    let removed = Removed { removed: name.to_string() };
    to_the_end(async move { office.remove_target(&name, how.into()).await }).await?;
    Ok(Json(removed))
}
