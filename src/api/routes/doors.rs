//! `/exports` and `/sessions`: what clients may open, and who is connected.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{delete, get};
use axum::{Json, Router};
use control::Appliance;
use control::doors::SessionStatus;
use control::status::ExportStatus;

use super::{Answer, Office};
use crate::extract::Named;
use crate::model::Removed;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/exports", get(exports))
        .route("/sessions", get(sessions))
        .route("/sessions/{id}", delete(end))
}

async fn exports(State(office): Office) -> Json<Vec<ExportStatus>> {
    Json(office.exports())
}

async fn sessions(State(office): Office) -> Json<Vec<SessionStatus>> {
    Json(office.sessions())
}

async fn end(State(office): Office, Named(id): Named<u64>) -> Answer<Removed> {
    office.end_session(id)?;
    Ok(Json(Removed { removed: format!("session {id}") }))
}
