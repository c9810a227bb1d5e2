//! Errors as the API tells them: problem details with a code for machines and a way out for people.
//!
//! Source: RFC 9457.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use control::status::Failure;
use control::{ControlError, ErrorKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The content type of a problem.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// A problem.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What kind of problem, as a URN.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The kind as one word, and what is wrong and what to do about it.
    #[serde(flatten)]
    pub failure: Failure,
    /// Whether nobody has a name here yet, so that the first one is to be made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_fresh: bool,
    /// Seconds after which it is worth trying again; a header of the answer.
    #[serde(skip)]
    pub after_s: Option<u64>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(status: StatusCode, title: &str, failure: Failure) -> Self {
        Self {
            kind: format!("urn:tidemark:problem:{}", failure.code),
            title: title.into(),
            status: status.as_u16(),
            failure,
            is_fresh: false,
            after_s: None,
        }
    }

    /// A request that cannot be understood.
    pub fn bad_request(status: StatusCode, detail: impl Into<String>) -> Self {
        let way_out = match status {
            StatusCode::METHOD_NOT_ALLOWED => "the header `Allow` names the methods that it takes",
            StatusCode::REQUEST_TIMEOUT => "send the request again, at once",
            StatusCode::PAYLOAD_TOO_LARGE => {
                "send less at once; no request that makes sense is longer"
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                "send JSON, and say so with the header `Content-Type: application/json`"
            }
            _ => {
                "`GET /api/v1/openapi.json`, or `tidemark api openapi`, says what is to be sent here"
            }
        };
        let failure = Failure {
            code: "invalid".into(),
            detail: detail.into(),
            way_out: Some(way_out.into()),
        };
        Self::new(status, "The request makes no sense", failure)
    }

    /// Somebody who is known and may not.
    pub fn forbidden(detail: String, way_out: String) -> Self {
        let code = control::status::FORBIDDEN.into();
        let failure = Failure { code, detail, way_out: Some(way_out) };
        Self::new(StatusCode::FORBIDDEN, "Not allowed", failure)
    }

    /// A method that an address does not take.
    pub fn no_method() -> Self {
        let what = "this address of the API does not take this method";
        Self::bad_request(StatusCode::METHOD_NOT_ALLOWED, what)
    }

    /// No such address.
    pub fn no_route() -> Self {
        let failure = Failure {
            code: "not-found".into(),
            detail: "there is nothing at this address of the API".into(),
            way_out: Some("see whether the program that asked fits this version".into()),
        };
        Self::new(StatusCode::NOT_FOUND, "Not found", failure)
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let (status, title) = match &error {
            ControlError::NotKnown { .. } => (StatusCode::UNAUTHORIZED, "Not logged in"),
            ControlError::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, "Too many tries"),
            ControlError::Catalogue { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "The catalogue cannot be used")
            }
            ControlError::Secrets { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "The key of secrets cannot be used")
            }
            _ => of_kind(error.kind()),
        };
        let after_s = match &error {
            ControlError::TooMany { after_s, .. } => Some(*after_s),
            _ => None,
        };
        if status.is_server_error() {
            tracing::error!(%error, "request failed");
        }
        Self { after_s, ..Self::new(status, title, Failure::of(&error)) }
    }
}

fn of_kind(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        ErrorKind::Conflict => (StatusCode::CONFLICT, "In the way of something else"),
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, "The request makes no sense"),
        ErrorKind::NoSpace => (StatusCode::INSUFFICIENT_STORAGE, "No space left"),
        ErrorKind::Damaged => (StatusCode::INTERNAL_SERVER_ERROR, "Damaged"),
        ErrorKind::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "It did not work"),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let after_s = self.after_s;
        let mut response = (status, Json(self)).into_response();
        if let Some(after_s) = after_s {
            response.headers_mut().insert(header::RETRY_AFTER, after_s.into());
        }
        let kind = HeaderValue::from_static(PROBLEM_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
