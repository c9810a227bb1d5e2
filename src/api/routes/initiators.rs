//! `/targets/{name}/initiators`: who is let in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};
use base::name::Name;
use control::Appliance;
use control::status::{Initiator, InitiatorStatus};

use super::{Answer, Office, to_the_end};
use crate::extract::{Body, Named};
use crate::model::NewInitiator;
use crate::problem::Problem;

type Everyone = Vec<InitiatorStatus>;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/targets/{name}/initiators", get(list).post(allow))
        .route("/targets/{name}/initiators/{who}", delete(deny))
}

async fn list(State(office): Office, Named(target): Named<Name>) -> Answer<Everyone> {
    Ok(Json(office.initiators(&target)?))
}

async fn allow(
    State(office): Office,
    Named(target): Named<Name>,
    Body(new): Body<NewInitiator>,
) -> Result<(StatusCode, Json<Everyone>), Problem> {
    let all = to_the_end(async move { office.allow_initiator(&target, new.initiator).await });
    Ok((StatusCode::CREATED, Json(all.await?)))
}

async fn deny(
    State(office): Office,
    Named((target, who)): Named<(Name, Initiator)>,
) -> Answer<Everyone> {
    Ok(Json(to_the_end(async move { office.deny_initiator(&target, &who).await }).await?))
}
