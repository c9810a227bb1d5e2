//! `/portals`: where iSCSI listens, and the states of port groups.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, patch};
use axum::{Json, Router};
use control::Appliance;
use control::status::PortalStatus;

use super::{Answer, Office, to_the_end};
use crate::extract::{Body, Named};
use crate::model::GroupChange;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new().route("/portals", get(list)).route("/portals/{group}", patch(set))
}

async fn list(State(office): Office) -> Json<Vec<PortalStatus>> {
    Json(office.portals())
}

async fn set(
    State(office): Office,
    Named(group): Named<u16>,
    Body(change): Body<GroupChange>,
) -> Answer<Vec<PortalStatus>> {
    let all = to_the_end(async move { office.set_portal_group(group, change.state).await });
    Ok(Json(all.await?))
}
