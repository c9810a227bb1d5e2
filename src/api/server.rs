//! The API on a Unix socket, and the routes that it shares with HTTPS. Who may open the socket may do everything.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Router};
use control::Appliance;

use crate::extract::plain;
use crate::guard::{Way, guard};
use crate::once::once;
use crate::operations::BASE;
use crate::problem::Problem;
use crate::tags::{Tags, tags};
use crate::{health, routes};

/// Bytes of a request's body: the largest names 64 volumes.
pub const BODY_LEN_MAX: usize = 64 * 1024;

/// How long the body of a request may take to arrive, once its head has: a stranger who sends it byte by byte would
/// keep a connection for good, and a few of them every connection there is.
pub(crate) const BODY_DEADLINE: Duration = Duration::from_secs(20);

/// What a browser is told: load nothing from elsewhere, be in no frame, keep no answer, guess no type.
const SECURITY_HEADERS: &[(HeaderName, &str)] = &[
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         font-src 'self'; manifest-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
];

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
    let router = router(appliance).layer(Extension(Way::Socket));
    axum::serve(listener, router).with_graceful_shutdown(stop).await
}

/// All addresses of the API. Each request must carry the [`Way`] by which it came.
pub fn router(appliance: Arc<Appliance>) -> Router {
    let reader = Tags::new(routes::all().with_state(Arc::clone(&appliance)));
    let guarded = routes::all()
        .route_layer(middleware::from_fn_with_state(Arc::clone(&appliance), once))
        .route_layer(middleware::from_fn_with_state(reader, tags))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&appliance), guard));
    Router::new()
        .nest(BASE, guarded)
        .merge(health::routes(&appliance))
        .fallback(crate::assets::answer)
        .method_not_allowed_fallback(async || Problem::no_method())
        .layer(middleware::from_fn(read_whole))
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .with_state(appliance)
}

/// The same, for browsers.
pub(crate) fn with_security_headers(router: Router) -> Router {
    router.layer(middleware::from_fn(async |request: Request, next: Next| {
        let is_api = request.uri().path().starts_with("/api/");
        let mut response = next.run(request).await;
        let headers = response.headers_mut();
        for (name, value) in SECURITY_HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if is_api {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        response
    }))
}

/// The same, for which a body may be so long.
pub(crate) fn with_body_limit(router: Router) -> Router {
    router.layer(DefaultBodyLimit::max(BODY_LEN_MAX))
}

/// Reads a request's body before anything is judged. A refusal that leaves it unread would end the connection under a
/// client that is about to use it again.
async fn read_whole(request: Request, next: Next) -> Result<Response, Problem> {
    Ok(next.run(whole(request, BODY_DEADLINE).await?).await)
}

/// A request with its body in memory.
///
/// # Errors
/// 413 where it is too long, 408 where it does not arrive in time.
pub(crate) async fn whole(request: Request, deadline: Duration) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let read = Bytes::from_request(Request::from_parts(parts.clone(), body), &());
    let read = tokio::time::timeout(deadline, read).await.map_err(|_| {
        let what = format!("the request's body did not arrive within {} s", deadline.as_secs());
        Problem::bad_request(StatusCode::REQUEST_TIMEOUT, what)
    })?;
    let read =
        read.map_err(|error| Problem::bad_request(error.status(), plain(&error.body_text())))?;
    Ok(Request::from_parts(parts, Body::from(read)))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::{StreamExt, iter, pending};

    use super::*;

    #[tokio::test]
    async fn a_body_that_does_not_come_to_its_end_is_refused() {
        let first = iter([Ok::<_, Infallible>("{")]);
        let slow = Request::new(Body::from_stream(first.chain(pending())));
        let problem = whole(slow, Duration::from_millis(10)).await.unwrap_err();
        assert_eq!(problem.status, 408);
        let quick = Request::new(Body::from("{}"));
        let read = whole(quick, BODY_DEADLINE).await.unwrap().into_body();
        assert_eq!(axum::body::to_bytes(read, 10).await.unwrap(), "{}");
    }
}
