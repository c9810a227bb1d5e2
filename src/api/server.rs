//! The API on a Unix socket. Who may open the socket may do everything.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use control::Appliance;

use crate::problem::Problem;
use crate::routes;

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
    axum::serve(listener, router(appliance)).with_graceful_shutdown(stop).await
}

/// All addresses of the API.
pub fn router(appliance: Arc<Appliance>) -> Router {
    Router::new()
        .nest("/api/v1", routes::all())
        .fallback(crate::assets::answer)
        .method_not_allowed_fallback(async || {
            let status = axum::http::StatusCode::METHOD_NOT_ALLOWED;
            Problem::bad_request(status, "this address of the API does not take this method")
        })
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .with_state(appliance)
}
