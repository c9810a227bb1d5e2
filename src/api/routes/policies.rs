//! `/policies`: what is protected when, and what stays.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use base::name::Name;
use control::Appliance;
use control::policy::runs::{PolicyStatus, RunStatus, VolumeOutlook};

use super::{Answer, List, Office, to_the_end};
use crate::extract::{Asked, Body, Named};
use crate::model::{Moment, PolicyChange, Removed, Rules};
use crate::paged::{Paged, Paging, falling};
use crate::problem::Problem;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/policies", get(list).post(create))
        .route("/policies/{name}", get(show).patch(change).delete(remove))
        .route("/policies/{name}/preview", get(preview))
        .route("/policy-preview", post(preview_new))
        .route("/policies/{name}/run", post(run))
        .route("/policies/{name}/runs", get(runs))
}

async fn list(State(office): Office, Asked(paging): Asked<Paging>) -> List<PolicyStatus> {
    Ok(Paged::of(office.policies()?, &paging, |one| one.policy.rules.name.to_string())?)
}

async fn create(
    State(office): Office,
    Body(new): Body<Rules>,
) -> Result<(StatusCode, Json<PolicyStatus>), Problem> {
    let made = to_the_end(async move { office.create_policy(new).await });
    Ok((StatusCode::CREATED, Json(made.await?)))
}

async fn show(State(office): Office, Named(name): Named<Name>) -> Answer<PolicyStatus> {
    Ok(Json(office.policy(&name)?))
}

async fn change(
    State(office): Office,
    Named(name): Named<Name>,
    Body(change): Body<PolicyChange>,
) -> Answer<PolicyStatus> {
    let changed = to_the_end(async move { office.change_policy(&name, change).await });
    Ok(Json(changed.await?))
}

async fn remove(State(office): Office, Named(name): Named<Name>) -> Answer<Removed> {
    let removed = Removed { removed: name.to_string() };
    to_the_end(async move { office.remove_policy(&name).await }).await?;
    Ok(Json(removed))
}

async fn preview(
    State(office): Office,
    Named(name): Named<Name>,
    Asked(moment): Asked<Moment>,
) -> Answer<Vec<VolumeOutlook>> {
    Ok(Json(office.preview_policy(&name, &moment.at).await?))
}

async fn preview_new(
    State(office): Office,
    Asked(moment): Asked<Moment>,
    Body(new): Body<Rules>,
) -> Answer<Vec<VolumeOutlook>> {
    Ok(Json(office.preview_rules(new, &moment.at).await?))
}

async fn run(State(office): Office, Named(name): Named<Name>) -> Answer<RunStatus> {
    let ran = to_the_end(async move { office.run_policy(&name).await });
    Ok(Json(ran.await?))
}

async fn runs(
    State(office): Office,
    Named(name): Named<Name>,
    Asked(paging): Asked<Paging>,
) -> List<RunStatus> {
    // The newest first. Two may begin in one millisecond, and then the later due goes first.
    Ok(Paged::of(office.policy_runs(&name)?, &paging, |one| {
        falling(one.began_ms) + &falling(one.due_ms) + &falling(one.ended_ms)
    })?)
}
