//! `/audit`: what was done by whom, and whether the log is as it was written.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use control::Appliance;
use control::audit::{Audit, AuditEntry, AuditVerdict};
use control::catalogue::on_a_thread;

use super::{Answer, Office};
use crate::extract::Asked;
use crate::model::Page;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new().route("/audit", get(list)).route("/audit/verify", get(verify))
}

async fn list(State(office): Office, Asked(page): Asked<Page>) -> Answer<Vec<AuditEntry>> {
    let entries = on_a_thread(office.audit(), move |audit| audit.entries(page.before, page.limit));
    Ok(Json(entries.await?))
}

async fn verify(State(office): Office) -> Answer<AuditVerdict> {
    Ok(Json(on_a_thread(office.audit(), Audit::verify).await?))
}
