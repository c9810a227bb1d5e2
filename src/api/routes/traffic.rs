//! `/traffic`: what clients did in the last minutes, and how long they waited.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use base::name::Name;
use control::Appliance;
use control::traffic::recent::TrafficStatus;

use super::{Answer, Office};
use crate::extract::Named;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new().route("/traffic", get(all)).route("/volumes/{name}/traffic", get(of_volume))
}

async fn all(State(office): Office) -> Json<TrafficStatus> {
    Json(office.recent_traffic())
}

async fn of_volume(State(office): Office, Named(name): Named<Name>) -> Answer<TrafficStatus> {
    Ok(Json(office.recent_traffic_of(&name)?))
}
