//! `/events`: what changes, as server-sent events, for as long as the client stays.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::routing::get;
use control::Appliance;
use control::events::Event;
use futures_util::stream::{Stream, unfold};

use super::Office;
use crate::problem::Problem;

/// How often a client that hears nothing is told that the daemon is there: below the minute after which
/// proxies give up.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new().route("/events", get(follow))
}

async fn follow(
    State(office): Office,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    let listener = office.events().listen()?;
    let events = unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((Ok(sent(&event)), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL)))
}

fn sent(event: &Event) -> Sent {
    let named = Sent::default().event(event.kind.word());
    // Words and numbers are always JSON; an event without data would still say what kind it is.
    named.clone().json_data(event).unwrap_or(named)
}
