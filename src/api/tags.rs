//! ETags: answers that are told once, and changes only of what somebody has seen. The one place where they are made
//! and compared.
//!
//! A tag is strong: the same tag, the same bytes. That of a thing that can be changed has two parts, `"SET-WHOLE"`:
//! figures that move by themselves are only in the second, and `If-Match` compares the first. So a change meets a
//! conflict where somebody else has changed the thing, and not because a client writes to it.
//!
//! Source: RFC 9110 8.8.3, 13.1.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use control::access::Caller;
use control::status::Failure;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::guard::Way;
use crate::operations;
use crate::problem::Problem;

/// Bytes of a digest that stand in a tag: enough that two answers never share them by chance.
const DIGEST_LEN: usize = 12;

/// Figures that move by themselves, wherever they stand in an answer.
const MOVING: &[&str] = &[
    "allocated_bytes",
    "done_bytes",
    "expires_ms",
    "is_ready",
    "is_running",
    "last_run",
    "marks",
    "next_ms",
    "preserved_bytes",
    "promotion",
    "rollback",
    "sessions",
    "total_bytes",
    "trouble",
    "unapplied_bytes",
];

/// What the changes of the API go by.
#[derive(Clone)]
pub struct Tags {
    /// Reads what is about to be changed.
    reader: Router,
    /// One change at a time of each address, among those that compare.
    turns: Arc<Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>>,
}

impl Tags {
    /// Reads by these routes.
    pub fn new(reader: Router) -> Self {
        Self { reader, turns: Arc::default() }
    }

    fn turn(&self, path: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(path).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(tokio::sync::Mutex::default());
        turns.insert(path.to_owned(), Arc::downgrade(&turn));
        turn
    }

    /// The tag of what is read so now.
    async fn now(&self, read: Request) -> Option<String> {
        let response = TowerToHyperService::new(self.reader.clone()).call(read).await.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        let bytes = to_bytes(response.into_body(), usize::MAX).await.ok()?;
        Some(tag_of(&bytes, true))
    }
}

/// Asks for what a request is about to change, as whoever makes it.
fn reading(request: &Request) -> Request {
    let mut read = Request::new(Body::empty());
    // A path is a whole address.
    *read.uri_mut() = request.uri().path().parse().unwrap_or_default();
    if let Some(caller) = request.extensions().get::<Caller>() {
        read.extensions_mut().insert(caller.clone());
    }
    if let Some(way) = request.extensions().get::<Way>() {
        read.extensions_mut().insert(*way);
    }
    read
}

/// Tags what is read, and lets through what changes only what was read.
pub async fn tags(
    State(tags): State<Tags>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let has_changes = ["PATCH", "PUT", "DELETE"]
        .into_iter()
        .any(|method| operations::of_route(method, path.as_str()).is_some());
    match *request.method() {
        Method::GET | Method::HEAD => {
            let seen = listed(request.headers(), &header::IF_NONE_MATCH);
            tagged(next.run(request).await, seen, has_changes).await
        }
        Method::PATCH | Method::PUT | Method::DELETE => {
            let Some(meant) = listed(request.headers(), &header::IF_MATCH) else {
                return next.run(request).await;
            };
            let (turn, read) = (tags.turn(request.uri().path()), reading(&request));
            let _turn = turn.lock().await;
            match is_meant(&meant, tags.now(read).await.as_deref()) {
                Ok(()) => next.run(request).await,
                Err(problem) => problem.into_response(),
            }
        }
        _ => next.run(request).await,
    }
}

/// An answer with its tag, or a word that it is as it was.
async fn tagged(response: Response, seen: Option<Vec<String>>, has_changes: bool) -> Response {
    let is_json = |headers: &HeaderMap| {
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json")
    };
    if response.status() != StatusCode::OK || !is_json(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_else(|_| Bytes::new());
    // The answer to HEAD has nothing to be tagged by.
    if bytes.is_empty() {
        return Response::from_parts(parts, Body::empty());
    }
    let tag = tag_of(&bytes, has_changes);
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, value);
    }
    let is_seen = |one: &String| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag;
    if seen.is_some_and(|seen| seen.iter().any(is_seen)) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// The tags of a header, where there is one.
fn listed(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<String>> {
    let lines = headers.get_all(name);
    lines.iter().next()?;
    let lines = lines.iter().filter_map(|line| line.to_str().ok());
    Some(lines.flat_map(|line| line.split(',')).map(|one| one.trim().to_owned()).collect())
}

fn tag_of(bytes: &[u8], has_changes: bool) -> String {
    let whole = digest(bytes);
    if !has_changes {
        return format!("\"{whole}\"");
    }
    let mut value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    still(&mut value);
    format!("\"{}-{whole}\"", digest(value.to_string().as_bytes()))
}

/// Leaves out what moves by itself.
fn still(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !MOVING.contains(&name.as_str()));
            fields.values_mut().for_each(still);
        }
        Value::Array(all) => all.iter_mut().for_each(still),
        _ => {}
    }
}

fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(DIGEST_LEN).map(|byte| format!("{byte:02x}")).collect()
}

/// What of a tag a change compares.
fn set_part(tag: &str) -> &str {
    tag.split_once('-').map_or(tag, |(set, _)| set)
}

/// Whether what is there is what somebody has seen.
fn is_meant(meant: &[String], now: Option<&str>) -> Result<(), Box<Problem>> {
    let failed = |detail: &str, way_out: &str| {
        let failure = Failure {
            code: "conflict".into(),
            detail: detail.into(),
            way_out: Some(way_out.into()),
        };
        let title = "It is not what you have seen";
        Err(Box::new(Problem::new(StatusCode::PRECONDITION_FAILED, title, failure)))
    };
    let Some(now) = now else {
        return failed(
            "nothing is read at this address, so nothing has the ETag that was named",
            "see whether it is still there; where only a list shows it, leave If-Match out",
        );
    };
    if meant.iter().any(|one| one == "*" || set_part(one) == set_part(now)) {
        return Ok(());
    }
    failed(
        "it has been changed since it was read",
        "read it again, see whether the change still makes sense, and name its new ETag",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Json;
    use serde_json::json;

    fn tag(value: &Value) -> String {
        tag_of(value.to_string().as_bytes(), true)
    }

    #[test]
    fn a_change_compares_what_was_set_and_not_what_moves() {
        let before = json!({"name": "mail", "sync": "always", "allocated_bytes": 1});
        let moved = json!({"name": "mail", "sync": "always", "allocated_bytes": 2});
        let set = json!({"name": "mail", "sync": "volatile", "allocated_bytes": 2});
        assert_ne!(tag(&before), tag(&moved));
        let meant = [tag(&before)];
        assert!(is_meant(&meant, Some(&tag(&moved))).is_ok());
        assert_eq!(is_meant(&meant, Some(&tag(&set))).unwrap_err().status, 412);
        assert!(is_meant(&["*".into()], Some(&tag(&set))).is_ok());
        assert_eq!(is_meant(&["*".into()], None).unwrap_err().status, 412);
        let weak = [format!("W/{}", tag(&before))];
        assert!(is_meant(&weak, Some(&tag(&before))).is_err(), "a weak tag proves nothing");
    }

    #[tokio::test]
    async fn what_was_seen_is_not_told_again() {
        let answer = || Json(json!([1, 2])).into_response();
        let first = tagged(answer(), None, false).await;
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        for seen in [tag.clone(), format!("W/{tag}"), "*".into()] {
            let again = tagged(answer(), Some(vec!["\"0\"".into(), seen]), false).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(again.headers()[header::ETAG], tag.as_str());
            assert!(to_bytes(again.into_body(), 10).await.unwrap().is_empty());
        }
        let other = tagged(answer(), Some(vec!["\"0\"".into()]), false).await;
        assert_eq!(to_bytes(other.into_body(), 10).await.unwrap(), "[1,2]");
        let problem = tagged(Problem::no_route().into_response(), None, false).await;
        assert!(problem.headers().get(header::ETAG).is_none());
    }

    #[test]
    fn what_moves_is_a_field_of_something() {
        let document = crate::openapi::document().to_string();
        for name in MOVING {
            assert!(document.contains(&format!("\"{name}\":")), "{name}");
        }
    }
}
