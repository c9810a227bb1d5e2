//! `/exports` and `/sessions`: what clients may open, and who is connected.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{delete, get};
use axum::{Json, Router};
use control::Appliance;
use control::doors::SessionStatus;
use control::status::ExportStatus;

use super::{Answer, List, Office};
use crate::extract::{Asked, Named};
use crate::model::Removed;
use crate::paged::{Paged, Paging, rising};

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/exports", get(exports))
        .route("/sessions", get(sessions))
        .route("/sessions/{id}", delete(end))
}

async fn exports(State(office): Office, Asked(paging): Asked<Paging>) -> List<ExportStatus> {
    // A page at a time also where none is asked for: every mark is an export.
    let (limit, after) = paging.page()?;
    let entries = office.exports(after.as_deref(), limit + 1)?;
    Ok(Paged::cut(entries, limit, |one| one.name.clone()))
}

async fn sessions(State(office): Office, Asked(paging): Asked<Paging>) -> List<SessionStatus> {
    Ok(Paged::of(office.sessions(), &paging, |one| rising(one.id))?)
}

async fn end(State(office): Office, Named(id): Named<u64>) -> Answer<Removed> {
    office.end_session(id)?;
    Ok(Json(Removed { removed: format!("session {id}") }))
}
