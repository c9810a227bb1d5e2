//! `/attachments`: block devices and mounts on this host.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};
use control::Appliance;
use control::attachments::AttachPlan;
use control::status::{AttachmentStatus, DiskRef};

use super::{Answer, List, Office, to_the_end};
use crate::extract::{Asked, Body, Named};
use crate::model::{NewAttachment, Removed};
use crate::paged::{Paged, Paging};
use crate::problem::Problem;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/attachments", get(list).post(attach))
        .route("/attachments/{of}", delete(detach))
}

async fn list(State(office): Office, Asked(paging): Asked<Paging>) -> List<AttachmentStatus> {
    Ok(Paged::of(office.attachments().list(), &paging, |one| one.of.to_string())?)
}

async fn attach(
    State(office): Office,
    Body(new): Body<NewAttachment>,
) -> Result<(StatusCode, Json<AttachmentStatus>), Problem> {
    let NewAttachment { of, mount, is_read_only, partition } = new;
    let plan = AttachPlan { of, mount, is_read_only, partition };
    let attached = to_the_end(async move { office.attach(plan).await }).await?;
    Ok((StatusCode::CREATED, Json(attached)))
}

async fn detach(State(office): Office, Named(of): Named<DiskRef>) -> Answer<Removed> {
    let removed = Removed { removed: of.to_string() };
    to_the_end(async move { office.detach(&of).await }).await?;
    Ok(Json(removed))
}
