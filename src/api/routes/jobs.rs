//! `/jobs`: work that takes long.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use control::Appliance;
use control::status::JobStatus;

use super::{Answer, List, Office};
use crate::extract::{Asked, Named};
use crate::paged::{Paged, Paging, rising};

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new().route("/jobs", get(list)).route("/jobs/{id}", get(show).delete(cancel))
}

async fn list(State(office): Office, Asked(paging): Asked<Paging>) -> List<JobStatus> {
    Ok(Paged::of(office.jobs().list(), &paging, |one| rising(one.id))?)
}

async fn show(State(office): Office, Named(id): Named<u64>) -> Answer<JobStatus> {
    Ok(Json(office.jobs().get(id)?))
}

async fn cancel(State(office): Office, Named(id): Named<u64>) -> Answer<JobStatus> {
    Ok(Json(office.jobs().cancel(id)?))
}
