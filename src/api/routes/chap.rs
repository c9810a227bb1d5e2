//! `/targets/{name}/chap` and `/discovery/chap`: accounts. Secrets come in and never go out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};
use base::name::Name;
use control::Appliance;
use control::status::{ChapStatus, ChapUser};

use super::{Answer, Office, to_the_end};
use crate::extract::{Body, Named};
use crate::model::{NewSecret, Removed};
use crate::problem::Problem;

type Everyone = Vec<ChapStatus>;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/targets/{name}/chap", get(list).post(set))
        .route("/targets/{name}/chap/{user}", delete(remove))
        .route("/discovery/chap", get(list_of_discovery).post(set_of_discovery))
        .route("/discovery/chap/{user}", delete(remove_of_discovery))
}

async fn list(State(office): Office, Named(target): Named<Name>) -> Answer<Everyone> {
    Ok(Json(office.chap(Some(&target))?))
}

async fn set(
    State(office): Office,
    Named(target): Named<Name>,
    Body(new): Body<NewSecret>,
) -> Result<(StatusCode, Json<Everyone>), Problem> {
    let all = to_the_end(async move { office.set_chap(Some(&target), new).await }).await?;
    Ok((StatusCode::CREATED, Json(all)))
}

async fn remove(
    State(office): Office,
    Named((target, user)): Named<(Name, ChapUser)>,
) -> Answer<Removed> {
    let removed = Removed { removed: user.to_string() };
    to_the_end(async move { office.remove_chap(Some(&target), &user).await }).await?;
    Ok(Json(removed))
}

async fn list_of_discovery(State(office): Office) -> Answer<Everyone> {
    Ok(Json(office.chap(None)?))
}

async fn set_of_discovery(
    State(office): Office,
    Body(new): Body<NewSecret>,
) -> Result<(StatusCode, Json<Everyone>), Problem> {
    let all = to_the_end(async move { office.set_chap(None, new).await }).await?;
    Ok((StatusCode::CREATED, Json(all)))
}

async fn remove_of_discovery(
    State(office): Office,
    Named(user): Named<ChapUser>,
) -> Answer<Removed> {
    let removed = Removed { removed: user.to_string() };
    to_the_end(async move { office.remove_chap(None, &user).await }).await?;
    Ok(Json(removed))
}
