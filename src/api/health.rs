//! `/healthz`, `/readyz` and `/metrics`: what watches this daemon asks for, outside `/api/v1`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use control::Appliance;
use control::status::{Failure, PoolState, Trouble};

use crate::guard;
use crate::metrics::{self, Form};
use crate::problem::Problem;

/// What has troubles that keep clients from working, whichever disk they use.
const OF_ALL: [&str; 2] = ["pool", "iscsi"];

/// The addresses. Whether it lives is told to anybody; figures to viewers, a monitoring system by its token.
pub fn routes(appliance: &Arc<Appliance>) -> Router<Arc<Appliance>> {
    let figures = get(measured);
    let viewers = middleware::from_fn_with_state(Arc::clone(appliance), guard::viewers);
    Router::new()
        .route("/metrics", figures.layer(viewers))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
}

async fn ready(State(office): State<Arc<Appliance>>) -> Result<&'static str, Problem> {
    let status = office.status();
    let reasons = not_ready(&status.pool.state, &status.troubles);
    if reasons.is_empty() {
        return Ok("ready\n");
    }
    let failure = Failure {
        code: "failed".into(),
        detail: reasons.join("; "),
        way_out: Some("`status` shows what needs a look".into()),
    };
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Not ready", failure))
}

/// Why clients cannot work here.
fn not_ready(pool: &PoolState, troubles: &[Trouble]) -> Vec<String> {
    let mut reasons = Vec::new();
    if *pool == PoolState::Closed {
        reasons.push("the pool is closed".into());
    }
    let failures = troubles.iter().filter(|trouble| trouble.is_failure);
    let of_all = failures.filter(|trouble| OF_ALL.contains(&trouble.of.as_str()));
    reasons.extend(of_all.map(|trouble| format!("{}: {}", trouble.of, trouble.what)));
    reasons
}

async fn measured(
    State(office): State<Arc<Appliance>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let form = Form::accepted(&headers);
    let text = metrics::of(&office, form)?;
    Ok(([(header::CONTENT_TYPE, form.content_type())], text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_disk_that_fails_does_not_keep_others_from_working() {
        let trouble =
            |of: &str, is_failure| Trouble { of: of.into(), what: "it is gone".into(), is_failure };
        let open = |troubles: &[Trouble]| not_ready(&PoolState::Open, troubles);
        assert!(open(&[trouble("mail", true), trouble("pool", false)]).is_empty());
        assert_eq!(open(&[trouble("pool", true)]), ["pool: it is gone"]);
        assert_eq!(open(&[trouble("iscsi", true)]).len(), 1);
        assert_eq!(not_ready(&PoolState::Closed, &[]), ["the pool is closed"]);
    }
}
