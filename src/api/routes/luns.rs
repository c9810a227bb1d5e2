//! `/targets/{name}/luns`: map, look at, set, unmap.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use base::name::Name;
use control::Appliance;
use control::status::LunStatus;

use super::{Answer, List, Office, to_the_end};
use crate::extract::{Asked, Body, Named};
use crate::model::{LunChange, NewLun, Removal, Removed};
use crate::paged::{Paged, Paging, rising};
use crate::problem::Problem;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/targets/{name}/luns", get(list).post(map))
        .route("/targets/{name}/luns/{lun}", get(show).patch(change).delete(unmap))
}

async fn list(
    State(office): Office,
    Named(target): Named<Name>,
    Asked(paging): Asked<Paging>,
) -> List<LunStatus> {
    Ok(Paged::of(office.target(&target)?.luns, &paging, |one| rising(one.lun))?)
}

async fn map(
    State(office): Office,
    Named(target): Named<Name>,
    Body(new): Body<NewLun>,
) -> Result<(StatusCode, Json<LunStatus>), Problem> {
    let mapped = to_the_end(async move { office.map_lun(&target, new).await }).await?;
    Ok((StatusCode::CREATED, Json(mapped)))
}

async fn show(
    State(office): Office,
    Named((target, lun)): Named<(Name, u16)>,
) -> Answer<LunStatus> {
    Ok(Json(office.lun(&target, lun)?))
}

async fn change(
    State(office): Office,
    Named((target, lun)): Named<(Name, u16)>,
    Body(change): Body<LunChange>,
) -> Answer<LunStatus> {
    Ok(Json(to_the_end(async move { office.set_lun(&target, lun, change).await }).await?))
}

async fn unmap(
    State(office): Office,
    Named((target, lun)): Named<(Name, u16)>,
    Asked(how): Asked<Removal>,
) -> Answer<Removed> {
    let of = target.clone();
    let gone = to_the_end(async move { office.unmap_lun(&of, lun, how.into()).await }).await?;
    Ok(Json(Removed { removed: format!("{} from LUN {lun} of {target}", gone.disk) }))
}
