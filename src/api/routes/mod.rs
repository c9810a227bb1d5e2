//! The addresses of the API, one noun a file.

mod access;
mod alerts;
mod attachments;
mod audit;
mod capacity;
mod chap;
mod doors;
mod events;
mod groups;
mod initiators;
mod jobs;
mod luns;
mod marks;
mod policies;
mod portals;
mod targets;
mod traffic;
mod views;
mod volumes;

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router, extract::State};
use control::status::ApplianceStatus;
use control::volumes::Sessions;
use control::{Appliance, ControlError};

use crate::model::Removal;
use crate::paged::Paged;
use crate::problem::Problem;

/// What every handler has.
type Office = State<Arc<Appliance>>;
/// What every handler gives.
type Answer<T> = Result<Json<T>, Problem>;
/// What a handler of a list gives.
type List<T> = Result<Paged<T>, Problem>;

/// All routes below `/api/v1`.
pub fn all() -> Router<Arc<Appliance>> {
    Router::new()
        .route("/status", get(status))
        .route("/openapi.json", get(openapi))
        .merge(volumes::routes())
        .merge(marks::routes())
        .merge(views::routes())
        .merge(groups::routes())
        .merge(doors::routes())
        .merge(events::routes())
        .merge(targets::routes())
        .merge(luns::routes())
        .merge(initiators::routes())
        .merge(chap::routes())
        .merge(portals::routes())
        .merge(attachments::routes())
        .merge(jobs::routes())
        .merge(access::routes())
        .merge(audit::routes())
        .merge(policies::routes())
        .merge(alerts::routes())
        .merge(capacity::routes())
        .merge(traffic::routes())
}

async fn status(State(office): Office) -> Json<ApplianceStatus> {
    Json(office.status())
}

async fn openapi() -> Json<serde_json::Value> {
    Json(crate::openapi::document())
}

/// Carries a change through to its end even where the client goes away meanwhile: a handler's future is
/// dropped then, and a change must not be left half done by that.
async fn to_the_end<T, W>(work: W) -> Result<T, Problem>
where
    T: Send + 'static,
    W: Future<Output = Result<T, ControlError>> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(result) => Ok(result?),
        Err(error) => {
            tracing::error!(%error, "a request broke off");
            Err(ControlError::State {
                what: "answer the request".into(),
                why: "it broke off; the log says where".into(),
            }
            .into())
        }
    }
}

impl From<Removal> for Sessions {
    fn from(removal: Removal) -> Self {
        if removal.force { Self::End } else { Self::Respect }
    }
}
