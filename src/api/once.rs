//! Requests with a key are carried out once: the one place where every request to make something passes, after the
//! guard has let it through.
//!
//! Source: The Idempotency-Key HTTP Header Field, draft-ietf-httpapi-idempotency-key-header.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control::access::Caller;
use control::answers::{Answered, Asked, Begun};
use control::catalogue::on_a_thread;
use control::status::Failure;
use control::{Appliance, ControlError};

use crate::guard::name_of;
use crate::operations;
use crate::problem::{PROBLEM_TYPE, Problem};
use crate::server::BODY_LEN_MAX;

/// The header of a request that is to be carried out once.
pub const KEY_HEADER: &str = "idempotency-key";
/// Characters of a key: what random ones take several times.
pub const KEY_LEN_MAX: usize = 255;
/// The header of an answer that was given before.
pub const REPLAYED_HEADER: &str = "idempotency-replayed";

/// Carries a request with a key out, or answers what was answered to it.
pub async fn once(
    State(office): State<Arc<Appliance>>,
    path: MatchedPath,
    caller: Option<Extension<Caller>>,
    request: Request,
    next: Next,
) -> Response {
    let operation = operations::of_route(request.method().as_str(), path.as_str());
    let (Some(Extension(caller)), true) = (caller, operation.is_some_and(|one| one.is_once()))
    else {
        return next.run(request).await;
    };
    let key = match key_of(request.headers()) {
        Ok(Some(key)) => key,
        Ok(None) => return next.run(request).await,
        Err(error) => return Problem::from(error).into_response(),
    };
    // To the end also where the client hangs up: the one that asks again is the one whose answer was lost.
    let carried = tokio::spawn(carry_out(office, name_of(&caller), key, request, next)).await;
    match carried {
        Ok(answer) => answer.unwrap_or_else(IntoResponse::into_response),
        Err(error) => broken_off(&error).into_response(),
    }
}

async fn carry_out(
    office: Arc<Appliance>,
    who: String,
    key: String,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    // The guard has read it whole already.
    let body = to_bytes(body, BODY_LEN_MAX)
        .await
        .map_err(|error| Problem::bad_request(StatusCode::BAD_REQUEST, error.to_string()))?;
    let head = format!("{} {}\n", parts.method, parts.uri);
    let asked = Asked { who, key, request: [head.as_bytes(), &body].concat() };
    let begun = on_a_thread(office.answers(), move |answers| answers.begin(&asked)).await?;
    let ticket = match begun {
        Begun::First(ticket) => ticket,
        Begun::Before(answered) => return Ok(replayed(answered)),
        Begun::Other => return Err(used_for_another()),
    };
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = response.into_parts();
    // It was made whole before it came here. Where it was not, the key says that nobody knows what came of it.
    let body = to_bytes(body, usize::MAX).await.map_err(|error| broken_off(&error))?;
    // What failed here may be tried again; what was refused is refused again.
    let is_kept = !parts.status.is_server_error();
    let answered = is_kept.then(|| Answered { status: parts.status.as_u16(), body: body.to_vec() });
    let ended =
        on_a_thread(office.answers(), move |answers| answers.end(&ticket, answered.as_ref()));
    if let Err(error) = ended.await {
        tracing::warn!(%error, "remember an answer");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn broken_off(error: &dyn std::error::Error) -> Problem {
    tracing::error!(%error, "a request with a key broke off");
    let why = "it broke off; the log says where".into();
    ControlError::State { what: "answer the request".into(), why }.into()
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, ControlError> {
    let mut all = headers.get_all(KEY_HEADER).iter();
    let Some(key) = all.next() else { return Ok(None) };
    let key = key.to_str().unwrap_or_default().trim();
    if all.next().is_some() || key.is_empty() || key.len() > KEY_LEN_MAX {
        let why = format!("{KEY_HEADER} is one line of 1 to {KEY_LEN_MAX} ASCII characters");
        let way_out = "give each new thing a random key of its own, such as a UUID".into();
        return Err(ControlError::Invalid { why, way_out });
    }
    Ok(Some(key.to_owned()))
}

fn replayed(answered: Answered) -> Response {
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if status.is_success() { "application/json" } else { PROBLEM_TYPE };
    let mut response = (status, answered.body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(REPLAYED_HEADER, HeaderValue::from_static("true"));
    response
}

fn used_for_another() -> Problem {
    let failure = Failure {
        code: "invalid".into(),
        detail: "this key came with another request before".into(),
        way_out: Some("give each new thing a key of its own".into()),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "The key is taken", failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_line_of_ascii() {
        let key = |values: &[&[u8]]| {
            let values = values.iter().map(|value| {
                (KEY_HEADER.parse().unwrap(), HeaderValue::from_bytes(value).unwrap())
            });
            key_of(&values.collect::<HeaderMap>())
        };
        assert_eq!(key(&[]).unwrap(), None);
        assert_eq!(key(&[b"\"8e03978e\""]).unwrap().as_deref(), Some("\"8e03978e\""));
        let long = [b'k'; KEY_LEN_MAX + 1];
        for wrong in [&[&b""[..]][..], &[b"  "], &[b"a", b"b"], &[b"\xe9"], &[&long]] {
            assert_eq!(key(wrong).unwrap_err().kind(), control::ErrorKind::Invalid, "{wrong:?}");
        }
    }

    #[test]
    fn an_answer_that_is_given_again_says_so() {
        let response = replayed(Answered { status: 409, body: b"{}".to_vec() });
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_TYPE);
        assert_eq!(response.headers()[REPLAYED_HEADER], "true");
    }
}
