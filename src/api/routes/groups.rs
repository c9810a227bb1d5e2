//! `/groups`: name sets of volumes, mark them at one instant.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use base::name::Name;
use control::Appliance;
use control::status::{GroupStatus, MarkStatus};

use super::{Answer, List, Office, to_the_end};
use crate::extract::{Asked, Body, Named};
use crate::model::{NewGroup, NewGroupMark, Removed};
use crate::paged::{Paged, Paging};
use crate::problem::Problem;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/groups", get(list).post(create))
        .route("/groups/{name}", delete(remove))
        .route("/groups/{name}/marks", post(mark))
}

async fn list(State(office): Office, Asked(paging): Asked<Paging>) -> List<GroupStatus> {
    Ok(Paged::of(office.groups(), &paging, |one| one.name.to_string())?)
}

async fn create(
    State(office): Office,
    Body(new): Body<NewGroup>,
) -> Result<(StatusCode, Json<GroupStatus>), Problem> {
    let made = to_the_end(async move { office.create_group(&new.name, &new.volumes).await });
    Ok((StatusCode::CREATED, Json(made.await?)))
}

async fn remove(State(office): Office, Named(name): Named<Name>) -> Answer<Removed> {
    let removed = Removed { removed: name.to_string() };
    to_the_end(async move { office.remove_group(&name).await }).await?;
    Ok(Json(removed))
}

async fn mark(
    State(office): Office,
    Named(group): Named<Name>,
    Body(new): Body<NewGroupMark>,
) -> Result<(StatusCode, Json<Vec<MarkStatus>>), Problem> {
    let taken = to_the_end(async move { office.mark_group(&group, new.name, new.grade).await });
    Ok((StatusCode::CREATED, Json(taken.await?)))
}
