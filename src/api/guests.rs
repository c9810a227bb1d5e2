//! Who is connected over HTTPS: so many in all and so many from one address. Where there are too many, the one that has
//! had nothing to do for longest gives way to the one that comes, so that connections which only lie there keep nobody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use base::clock::Clock;
use control::access::network;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;

/// Connections from one address: browsers open six, and several people may sit behind one. More than may listen to
/// events, so that those who listen leave room for others.
const CONNECTIONS_OF_ADDRESS_MAX: usize = 128;
/// Connections in all.
const CONNECTIONS_MAX: usize = 512;
/// How long a connection has had nothing to do when it gives way: one that was made just now is about to ask.
const IDLE_MIN: Duration = Duration::from_secs(1);
/// Who is connected.
pub(crate) struct Guests {
    clock: Arc<dyn Clock>,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    all: HashMap<u64, Guest>,
    last: u64,
}

struct Guest {
    network: IpAddr,
    /// Requests that are being answered.
    busy: usize,
    /// By the monotonic clock.
    idle_since: Duration,
    wanted: Arc<Notify>,
}

impl Guests {
    /// Nobody yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, inside: Mutex::default() }
    }

    /// A place for one that comes from this address, if need be that of another.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let (network, now) = (network(address), self.clock.monotonic());
        let mut inside = self.inside();
        let is_near = |guest: &Guest| guest.network == network;
        let of = inside.all.values().filter(|guest| is_near(guest)).count();
        let is_full_here = of >= CONNECTIONS_OF_ADDRESS_MAX;
        if is_full_here || inside.all.len() >= CONNECTIONS_MAX {
            let idle = inside.all.iter().filter(|(_, guest)| {
                guest.busy == 0
                    && now.saturating_sub(guest.idle_since) >= IDLE_MIN
                    && (is_near(guest) || !is_full_here)
            });
            let (number, _) = idle.min_by_key(|(_, guest)| guest.idle_since)?;
            let number = *number;
            inside.all.remove(&number)?.wanted.notify_one();
        }
        inside.last += 1;
        let number = inside.last;
        let wanted = Arc::new(Notify::new());
        let guest = Guest { network, busy: 0, idle_since: now, wanted: Arc::clone(&wanted) };
        inside.all.insert(number, guest);
        Some(Place { guests: Arc::clone(self), number, wanted })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A guest's place, until it is dropped.
pub(crate) struct Place {
    guests: Arc<Guests>,
    number: u64,
    wanted: Arc<Notify>,
}

impl Place {
    /// Waits until somebody else needs the place.
    pub(crate) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }

    /// The guest has something to do, until what is returned is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Work {
        if let Some(guest) = self.guests.inside().all.get_mut(&self.number) {
            guest.busy += 1;
        }
        Work(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.guests.inside().all.remove(&self.number);
    }
}

/// Something that a guest has to do.
pub(crate) struct Work(Arc<Place>);

impl Work {
    /// The same answer, which is being worked on until all of it is told.
    pub(crate) fn until_told(self, response: Response) -> Response {
        response.map(|body| Body::new(Telling { body, _work: self }))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let Place { guests, number, .. } = &*self.0;
        let now = guests.clock.monotonic();
        if let Some(guest) = guests.inside().all.get_mut(number) {
            guest.busy -= 1;
            guest.idle_since = now;
        }
    }
}

struct Telling {
    body: Body,
    _work: Work,
}

impl HttpBody for Telling {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use base::clock::ManualClock;

    use super::*;

    fn nobody() -> (Arc<ManualClock>, Arc<Guests>) {
        let clock = Arc::new(ManualClock::default());
        (Arc::clone(&clock), Arc::new(Guests::new(clock)))
    }

    fn here() -> IpAddr {
        IpAddr::from([192, 0, 2, 1])
    }

    #[test]
    fn an_address_has_so_many_places_and_gives_them_back() {
        let (_, guests) = nobody();
        let places: Vec<_> = std::iter::from_fn(|| guests.enter(here())).collect();
        assert_eq!(places.len(), CONNECTIONS_OF_ADDRESS_MAX);
        assert!(guests.enter(IpAddr::from([192, 0, 2, 2])).is_some());
        drop(places);
        assert!(guests.inside().all.is_empty());
        let all = (0..=255).flat_map(|n| {
            let guests = &guests;
            std::iter::from_fn(move || guests.enter(IpAddr::from([198, 51, 100, n])))
        });
        assert_eq!(all.collect::<Vec<_>>().len(), CONNECTIONS_MAX);
    }

    #[tokio::test]
    async fn who_has_had_nothing_to_do_for_longest_gives_way() {
        let (clock, guests) = nobody();
        let mut places = Vec::new();
        for _ in 0..CONNECTIONS_OF_ADDRESS_MAX {
            places.push(Arc::new(guests.enter(here()).unwrap()));
            clock.advance(Duration::from_millis(20));
        }
        let works: Vec<_> = places[1..].iter().map(Place::begin).collect();
        let newcomer = guests.enter(here()).expect("the first has had nothing to do");
        places[0].is_wanted().await;
        assert!(
            guests.enter(here()).is_none(),
            "all others have something to do, or came just now"
        );
        drop(works);
        assert!(guests.enter(here()).is_none(), "they had until now");
        clock.advance(IDLE_MIN);
        let another = guests.enter(here()).unwrap();
        assert_eq!(guests.inside().all.len(), CONNECTIONS_OF_ADDRESS_MAX);
        drop((newcomer, another, places));
        assert!(guests.inside().all.is_empty());
    }

    #[tokio::test]
    async fn an_answer_is_work_until_it_is_told_and_is_the_same() {
        let (_, guests) = nobody();
        let place = Arc::new(guests.enter(here()).unwrap());
        let busy = || guests.inside().all[&place.number].busy;
        let response = place.begin().until_told(Response::new(Body::from("told")));
        assert_eq!(busy(), 1);
        assert_eq!(response.body().size_hint().exact(), Some(4));
        assert_eq!(axum::body::to_bytes(response.into_body(), 10).await.unwrap(), "told");
        assert_eq!(busy(), 0);
    }

    #[test]
    fn a_host_is_one_address_whichever_of_its_network_it_takes() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
