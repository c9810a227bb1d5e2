//! `/audit`: what was done by whom, and whether the log is as it was written.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use control::Appliance;
use control::audit::{Audit, AuditEntry, AuditVerdict};
use control::catalogue::on_a_thread;

use super::{Answer, List, Office};
use crate::extract::Asked;
use crate::model::Page;
use crate::paged::Paged;

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new().route("/audit", get(list)).route("/audit/verify", get(verify))
}

async fn list(State(office): Office, Asked(page): Asked<Page>) -> List<AuditEntry> {
    let entries = on_a_thread(office.audit(), move |audit| audit.entries(page.before, page.limit));
    let entries = entries.await?;
    // The first entry of all has the number 1.
    let last = entries.last().map(|entry| entry.number).filter(|number| *number > 1);
    let next = last.map(|number| format!("before={number}&limit={}", page.limit));
    Ok(Paged::with_next(entries, next))
}

async fn verify(State(office): Office) -> Answer<AuditVerdict> {
    Ok(Json(on_a_thread(office.audit(), Audit::verify).await?))
}
