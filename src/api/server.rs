//! The API on a Unix socket. Who may open the socket may do everything.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use control::Appliance;

use crate::problem::Problem;
use crate::{health, routes};

/// Bytes of a request's body: the largest names 64 volumes.
pub const BODY_LEN_MAX: usize = 64 * 1024;

/// Answers requests until `stop` is through; then those that are being answered are finished. Must be
/// called within a runtime.
///
/// # Errors
/// What the operating system says about the socket.
pub async fn serve(
    listener: std::os::unix::net::UnixListener,
    appliance: Arc<Appliance>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let events = appliance.events().clone();
    let stop = async move {
        stop.await;
        // Whoever follows them would never be through.
        events.close();
    };
    axum::serve(listener, router(appliance)).with_graceful_shutdown(stop).await
}

/// All addresses of the API.
pub fn router(appliance: Arc<Appliance>) -> Router {
    Router::new()
        .nest("/api/v1", routes::all())
        .merge(health::routes())
        .fallback(async || Problem::no_route())
        .method_not_allowed_fallback(async || {
            let status = axum::http::StatusCode::METHOD_NOT_ALLOWED;
            Problem::bad_request(status, "this address of the API does not take this method")
        })
        .layer(middleware::from_fn(read_whole))
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .with_state(appliance)
}

/// Reads a request's body before anything is judged. A refusal that leaves it unread would end the connection under a
/// client that is about to use it again.
async fn read_whole(request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let whole = Bytes::from_request(Request::from_parts(parts.clone(), body), &()).await;
    let whole = whole.map_err(|error| Problem::bad_request(error.status(), error.body_text()))?;
    Ok(next.run(Request::from_parts(parts, Body::from(whole))).await)
}
