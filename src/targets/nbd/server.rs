//! The door itself: listeners, who is let in, the sessions there are, and the end of them all.
//!
//! Every connection is one task whose failure stays its own. A listener has its own rule about TLS.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::clock::Clock;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::agreement::Agreement;
use super::handshake::{Ended, negotiate};
use super::negotiation::{Availability, Negotiation, TlsPolicy, greeting};
use super::reply::ReplyForm;
use super::service::{Service, Shared};
use super::session::Session;
use super::tls::Tls;
use super::unaligned::EdgeLocks;
use crate::door::admission::{Admission, Source};
use crate::door::completions::Order;
use crate::door::limits::{NEGOTIATION_TIME_MAX, SESSIONS_MAX};
use crate::door::listener::{self, Bound};
use crate::door::numbers::SessionNumbers;
use crate::door::socket::{Socket, Stream};
use crate::door::tally::{Counts, Tally};
use crate::export::Exports;

pub use crate::door::listener::Address;

/// What a listener does about TLS.
#[derive(Clone, Debug)]
pub enum Security {
    /// There is none.
    Plain,
    /// A client may ask for it.
    Offered(Arc<Tls>),
    /// Nothing is told or opened without it.
    Required(Arc<Tls>),
}

impl Security {
    const fn policy(&self) -> TlsPolicy {
        match self {
            Self::Plain => TlsPolicy::Off,
            Self::Offered(_) => TlsPolicy::Offered,
            Self::Required(_) => TlsPolicy::Required,
        }
    }
}

/// A session, to look at.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct SessionStatus {
    /// Its number.
    pub id: u64,
    /// Where the client is.
    pub peer: String,
    /// The canonical name of its export.
    pub export: String,
    /// Whether the client may not change it.
    pub is_read_only: bool,
    /// Whether it runs within TLS.
    pub is_secured: bool,
    /// The form of replies: `simple`, `structured` or `extended`.
    pub replies: &'static str,
    /// The contexts that it has selected.
    pub contexts: Vec<String>,
    /// When it began, in milliseconds since 1970.
    pub since_wall_ms: u64,
    /// What it has done.
    pub counts: Counts,
}

/// What a server has done since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Totals {
    /// Connections that came.
    pub connections: u64,
    /// Connections that are negotiating now.
    pub negotiating: u64,
    /// Connections that ended without a session.
    pub turned_away: u64,
    /// Sessions that have begun.
    pub sessions: u64,
    /// What all sessions have done.
    pub counts: Counts,
}

struct Entry {
    status: SessionStatus,
    shared: Arc<Shared>,
}

struct Inner {
    exports: Arc<dyn Exports>,
    clock: Arc<dyn Clock>,
    admission: Admission,
    edges: EdgeLocks,
    sessions: Mutex<BTreeMap<u64, Entry>>,
    listeners: Mutex<Vec<Bound>>,
    is_closing: AtomicBool,
    numbers: SessionNumbers,
    begun: AtomicU64,
    connections: AtomicU64,
    turned_away: AtomicU64,
    ended: Tally,
    /// Cloned into every connection; when the last clone is gone, all have ended.
    alive: Mutex<Option<mpsc::Sender<Infallible>>>,
    all_ended: tokio::sync::Mutex<mpsc::Receiver<Infallible>>,
}

/// The NBD door. Clones are the same door.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

impl Server {
    /// A door to `exports` that listens nowhere yet. Its sessions are numbered by `numbers`.
    pub fn new(exports: Arc<dyn Exports>, clock: Arc<dyn Clock>, numbers: SessionNumbers) -> Self {
        let (alive, all_ended) = mpsc::channel(1);
        let inner = Inner {
            exports,
            clock,
            admission: Admission::default(),
            edges: EdgeLocks::default(),
            sessions: Mutex::default(),
            listeners: Mutex::default(),
            is_closing: AtomicBool::new(false),
            numbers,
            begun: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
            ended: Tally::default(),
            alive: Mutex::new(Some(alive)),
            all_ended: tokio::sync::Mutex::new(all_ended),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Listens at `address` and serves who comes. Gives the address that it got: a port of 0 becomes a
    /// free one.
    ///
    /// # Errors
    /// What the operating system gives; a Unix socket that somebody listens at is `AddrInUse`.
    pub async fn listen(&self, address: &Address, security: Security) -> io::Result<Address> {
        let server = self.clone();
        let bound = listener::bind(address, move |socket, peer, source| {
            server.accept(socket, peer, source, security.clone());
        })
        .await?;
        let address = bound.address().clone();
        lock(&self.inner.listeners).push(bound);
        Ok(address)
    }

    /// Stops listening at `address`; its sessions go on. Says whether there was such a listener.
    pub fn unlisten(&self, address: &Address) -> bool {
        let mut listeners = lock(&self.inner.listeners);
        let before = listeners.len();
        listeners.retain(|bound| bound.address() != address);
        listeners.len() < before
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<Address> {
        lock(&self.inner.listeners).iter().map(|bound| bound.address().clone()).collect()
    }

    /// Serves a client that is connected already, without TLS: the other end of a socket pair. `peer`
    /// names it in the list of sessions.
    pub fn serve_connected(&self, stream: UnixStream, peer: String) {
        self.accept(Socket::Unix(stream), peer, Source::Local, Security::Plain);
    }

    /// The sessions there are, oldest first.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        let sessions = lock(&self.inner.sessions);
        let now = |entry: &Entry| SessionStatus {
            counts: entry.shared.tally.counts(),
            ..entry.status.clone()
        };
        sessions.values().map(now).collect()
    }

    /// Ends a session at once: what the disk has of it is carried out, nothing is answered. Says whether
    /// there was such a session.
    pub fn kill(&self, id: u64) -> bool {
        let sessions = lock(&self.inner.sessions);
        let found = sessions.get(&id);
        if let Some(entry) = found {
            entry.shared.completions.order(Order::Kill);
        }
        found.is_some()
    }

    /// What it has done.
    pub fn totals(&self) -> Totals {
        let sum = Tally::default();
        sum.add(&self.inner.ended.counts());
        let mut in_flight = 0;
        for entry in lock(&self.inner.sessions).values() {
            let counts = entry.shared.tally.counts();
            in_flight += counts.in_flight;
            sum.add(&counts);
        }
        Totals {
            connections: self.inner.connections.load(Ordering::Relaxed),
            negotiating: self.inner.admission.len() as u64,
            turned_away: self.inner.turned_away.load(Ordering::Relaxed),
            sessions: self.inner.begun.load(Ordering::Relaxed),
            counts: Counts { in_flight, ..sum.counts() },
        }
    }

    /// Ends: listens no more, refuses what clients ask from now on, and waits until what was asked
    /// before is answered. Sessions that take longer than `grace` are ended without an answer.
    pub async fn shutdown(&self, grace: Duration) {
        lock(&self.inner.listeners).clear();
        {
            let sessions = lock(&self.inner.sessions);
            self.inner.is_closing.store(true, Ordering::Relaxed);
            for entry in sessions.values() {
                entry.shared.completions.order(Order::Close);
            }
        }
        self.inner.admission.clear();
        lock(&self.inner.alive).take();
        if timeout(grace, self.all_ended()).await.is_err() {
            tracing::warn!("end NBD sessions that do not end by themselves");
            for entry in lock(&self.inner.sessions).values() {
                entry.shared.completions.order(Order::Kill);
            }
            if timeout(grace, self.all_ended()).await.is_err() {
                tracing::error!("NBD sessions wait for a disk that does not answer");
            }
        }
    }

    async fn all_ended(&self) {
        // Nothing is ever sent: the end of the channel is the message.
        while self.inner.all_ended.lock().await.recv().await.is_some() {}
    }

    fn accept(&self, socket: Socket, peer: String, source: Source, security: Security) {
        let Some(alive) = lock(&self.inner.alive).clone() else { return };
        self.inner.connections.fetch_add(1, Ordering::Relaxed);
        let server = self.clone();
        tokio::spawn(async move {
            let _alive = alive;
            if !server.connection(socket, &peer, source, security).await {
                server.inner.turned_away.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// Negotiates and serves. Says whether there was a session.
    async fn connection(
        &self,
        socket: Socket,
        peer: &str,
        source: Source,
        security: Security,
    ) -> bool {
        socket.tune();
        let mut pass = self.inner.admission.enter(source);
        let negotiated = tokio::select! {
            negotiated = timeout(NEGOTIATION_TIME_MAX, self.negotiate(socket, security)) => negotiated,
            () = pass.evicted() => {
                tracing::debug!(peer, "make room for another client");
                return false;
            }
        };
        let (stream, agreement, received) = match negotiated {
            Ok(Ok(Some(agreed))) => agreed,
            Ok(Ok(None)) => return false,
            Ok(Err(error)) => {
                tracing::debug!(peer, %error, "negotiate");
                return false;
            }
            Err(_) => {
                tracing::debug!(peer, "the client took too long to negotiate");
                return false;
            }
        };
        let Some(entry) = pass.leave().then(|| self.register(peer, &stream, &agreement)).flatten()
        else {
            return false;
        };
        let edges = self.inner.edges.of(&agreement.export.name);
        let shared = Arc::clone(&entry.shared);
        let service = Service::new(*agreement, edges, Arc::clone(&shared));
        let completions = Arc::clone(&shared.completions);
        Session::new(stream, &received, service, completions).run().await;
        true
    }

    async fn negotiate(
        &self,
        mut socket: Socket,
        security: Security,
    ) -> io::Result<Option<(Stream, Box<Agreement>, Vec<u8>)>> {
        let exports = Arc::clone(&self.inner.exports);
        let mut negotiation = Negotiation::new(exports, security.policy());
        let availability = || self.availability();
        tokio::io::AsyncWriteExt::write_all(&mut socket, &greeting()).await?;
        let tls = match (negotiate(&mut socket, &mut negotiation, availability).await?, security) {
            (Ended::Agreed(agreement, received), _) => {
                return Ok(Some((Stream::Plain(socket), agreement, received)));
            }
            (Ended::StartTls, Security::Offered(tls) | Security::Required(tls)) => tls,
            (Ended::Closed | Ended::StartTls, _) => return Ok(None),
        };
        let mut stream = tls.accept(socket).await?;
        negotiation.secure();
        match negotiate(&mut stream, &mut negotiation, availability).await? {
            Ended::Agreed(agreement, received) => {
                Ok(Some((Stream::Secured(Box::new(stream)), agreement, received)))
            }
            Ended::Closed | Ended::StartTls => {
                tokio::io::AsyncWriteExt::shutdown(&mut stream).await?;
                Ok(None)
            }
        }
    }

    fn availability(&self) -> Availability {
        if self.inner.is_closing.load(Ordering::Relaxed) {
            Availability::Closing
        } else if lock(&self.inner.sessions).len() >= SESSIONS_MAX {
            Availability::Full
        } else {
            Availability::Open
        }
    }

    fn register(&self, peer: &str, stream: &Stream, agreement: &Agreement) -> Option<Registered> {
        let shared = Arc::new(Shared::default());
        let mut sessions = lock(&self.inner.sessions);
        if self.inner.is_closing.load(Ordering::Relaxed) || sessions.len() >= SESSIONS_MAX {
            return None;
        }
        let id = self.inner.numbers.next();
        self.inner.begun.fetch_add(1, Ordering::Relaxed);
        let status = SessionStatus {
            id,
            peer: peer.to_owned(),
            export: agreement.export.name.clone(),
            is_read_only: agreement.export.is_read_only(),
            is_secured: matches!(stream, Stream::Secured(_)),
            replies: match agreement.form {
                ReplyForm::Simple => "simple",
                ReplyForm::Structured => "structured",
                ReplyForm::Extended => "extended",
            },
            contexts: agreement.contexts.iter().map(|one| one.context.name()).collect(),
            since_wall_ms: self.inner.clock.wall_ms(),
            counts: Counts::default(),
        };
        tracing::info!(session = id, peer, export = status.export, "open NBD session");
        sessions.insert(id, Entry { status, shared: Arc::clone(&shared) });
        Some(Registered { server: self.clone(), id, shared })
    }
}

/// A session's place in the list, until it is dropped.
struct Registered {
    server: Server,
    id: u64,
    shared: Arc<Shared>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let inner = &self.server.inner;
        inner.ended.add(&self.shared.tally.counts());
        lock(&inner.sessions).remove(&self.id);
        tracing::info!(session = self.id, "close NBD session");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
