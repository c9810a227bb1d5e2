//! The API for the daemon itself. What it asks passes the guard and the audit log like everything else; there is only
//! no wire between.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use axum::{Extension, Router};
use control::{Appliance, ControlError};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;

use crate::guard::Way;
use crate::problem::Problem;
use crate::server::router;

/// Bytes of an answer: the longest list that there is.
const ANSWER_LEN_MAX: usize = 16 << 20;

/// Somebody who asks from inside: the owner, or the maker of a token.
#[derive(Clone)]
pub struct Inside {
    service: TowerToHyperService<Router>,
    token: Option<String>,
}

impl Inside {
    /// The owner of the appliance.
    pub fn owner(appliance: &Arc<Appliance>) -> Self {
        let router = router(Arc::clone(appliance)).layer(Extension(Way::Inside));
        Self { service: TowerToHyperService::new(router), token: None }
    }

    /// Whoever made this token.
    #[must_use]
    pub fn with_token(&self, token: String) -> Self {
        Self { service: self.service.clone(), token: Some(token) }
    }

    /// Asks for something below `/api/v1`; what comes back is `Null` where nothing does.
    ///
    /// # Errors
    /// What the API answers where it does not do it.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Problem> {
        let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body).map_err(|error| {
            Problem::bad_request(StatusCode::BAD_REQUEST, format!("{path}: {error}"))
        })?;
        let Ok(response) = self.service.call(request).await;
        let is_done = response.status().is_success();
        let bytes = to_bytes(response.into_body(), ANSWER_LEN_MAX).await;
        let bytes = bytes.map_err(|error| broken(path, &error.to_string()))?;
        if !is_done {
            let problem = serde_json::from_slice(&bytes);
            return Err(problem.unwrap_or_else(|error| broken(path, &error.to_string())));
        }
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

fn broken(path: &str, why: &str) -> Problem {
    Problem::from(ControlError::State { what: format!("ask for {path}"), why: why.into() })
}
