//! `/events`: what changes, as server-sent events, for as long as the client stays.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::routing::get;
use control::events::Event;
use control::{Appliance, ControlError};
use futures_util::stream::{Stream, unfold};

use super::Office;
use crate::guard::{Way, still_asks};
use crate::problem::Problem;

/// How often a client that hears nothing is told that the daemon is there: below the minute after which
/// proxies give up.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// How often it is looked whether a client that hears nothing may still listen: its session may have ended by itself.
const LEAVE_INTERVAL: Duration = Duration::from_secs(10);

pub(super) fn routes() -> Router<Arc<Appliance>> {
    Router::new().route("/events", get(follow))
}

async fn follow(
    State(office): Office,
    Extension(way): Extension<Way>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    let listener = office.events().listen()?;
    let leave = Leave { put_out: office.access().put_out_count(), office, way, headers };
    let events = unfold((listener, leave), async |(mut listener, mut leave)| {
        loop {
            let next = tokio::time::timeout(LEAVE_INTERVAL, listener.next()).await;
            let is_quiet = next.is_err();
            // Whoever is out hears nothing more, and not even that the daemon is there.
            if (is_quiet || leave.may_have_ended()) && !leave.lasts().await {
                return None;
            }
            if let Ok(event) = next {
                return Some((Ok(sent(&event?)), (listener, leave)));
            }
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_INTERVAL)))
}

/// The leave of whoever listens: it may end before the connection does.
struct Leave {
    office: Arc<Appliance>,
    way: Way,
    headers: HeaderMap,
    /// How often somebody had been put out when it was looked at last.
    put_out: u64,
}

impl Leave {
    fn may_have_ended(&self) -> bool {
        self.office.access().put_out_count() != self.put_out
    }

    async fn lasts(&mut self) -> bool {
        self.put_out = self.office.access().put_out_count();
        !matches!(
            still_asks(&self.office, self.way, &self.headers).await,
            Ok(None) | Err(ControlError::NotKnown { .. })
        )
    }
}

fn sent(event: &Event) -> Sent {
    let named = Sent::default().event(event.kind.word());
    // Words and numbers are always JSON; an event without data would still say what kind it is.
    named.clone().json_data(event).unwrap_or(named)
}
