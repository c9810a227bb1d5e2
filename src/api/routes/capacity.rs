//! `/capacity`: what is taken, when it will be full, and what grows by itself.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, patch};
use axum::{Json, Router};
use base::name::Name;
use control::Appliance;
use control::capacity::told::{CapacityHistory, CapacityStatus, PreservedCapacity, VolumeCapacity};

use super::{Answer, Office, to_the_end};
use crate::extract::{Asked, Body, Named};
use crate::model::{DaysBack, Growth, PreservedRule, Removed};

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/capacity", get(show))
        .route("/capacity/history", get(history))
        .route("/capacity/preserved", patch(limit).delete(unlimit))
        .route("/capacity/volumes/{name}", patch(set).delete(unset))
        .route("/capacity/volumes/{name}/history", get(history_of))
}

async fn show(State(office): Office) -> Json<CapacityStatus> {
    Json(office.capacity())
}

async fn history(State(office): Office, Asked(span): Asked<DaysBack>) -> Answer<CapacityHistory> {
    Ok(Json(office.capacity_history(None, span.days)?))
}

async fn history_of(
    State(office): Office,
    Named(name): Named<Name>,
    Asked(span): Asked<DaysBack>,
) -> Answer<CapacityHistory> {
    Ok(Json(office.capacity_history(Some(&name), span.days)?))
}

async fn limit(
    State(office): Office,
    Body(rule): Body<PreservedRule>,
) -> Answer<PreservedCapacity> {
    let limited = to_the_end(async move { office.limit_preserved(rule).await });
    Ok(Json(limited.await?))
}

async fn unlimit(State(office): Office) -> Answer<Removed> {
    let removed = Removed { removed: "the limit of preserved blocks".into() };
    to_the_end(async move { office.unlimit_preserved().await }).await?;
    Ok(Json(removed))
}

async fn set(
    State(office): Office,
    Named(name): Named<Name>,
    Body(growth): Body<Growth>,
) -> Answer<VolumeCapacity> {
    let set = to_the_end(async move { office.set_growth(&name, growth).await });
    Ok(Json(set.await?))
}

async fn unset(State(office): Office, Named(name): Named<Name>) -> Answer<Removed> {
    let removed = Removed { removed: format!("the rule of {name}") };
    to_the_end(async move { office.remove_growth(&name).await }).await?;
    Ok(Json(removed))
}
