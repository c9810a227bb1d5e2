//! The API over HTTPS: who may come in is decided for each request ([`crate::guard`]); here is only what a stranger
//! may cost before that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::{Extension, Router};
use base::clock::SystemClock;
use control::config::TlsMode;
use control::status::DoorStatus;
use control::{Appliance, ControlError};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificates;
use crate::guard::Way;
use crate::guests::{Guests, Place};
use crate::problem::Problem;
use crate::server::{self, BODY_DEADLINE, router};

/// How long a TLS handshake may take.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// How long the head of a request may take to arrive, and a connection may be idle between two.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const HEAD_LEN_MAX: usize = 16 * 1024;
/// How long requests that are being answered may take when the daemon stops.
const STOP_DEADLINE: Duration = Duration::from_secs(3);
/// Connections that were taken and not yet looked at.
const ARRIVALS_MAX: usize = 16;
/// How long nobody is let in after the system had no connection to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that is open.
pub struct Https {
    listeners: Vec<TcpListener>,
    certificates: Arc<Certificates>,
    addresses: Vec<SocketAddr>,
}

impl Https {
    /// Opens it as the appliance is configured; `None` where it is to listen nowhere. Must be called within a runtime.
    ///
    /// # Errors
    /// `Listen` where an address cannot be had, or what is wrong with the certificate.
    pub async fn open(appliance: &Appliance) -> Result<Option<Self>, ControlError> {
        let config = appliance.api_config();
        let (wanted, is_port_flexible) = config.addresses();
        if wanted.is_empty() {
            return Ok(None);
        }
        let certificates = Arc::new(Certificates::of(appliance)?);
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for address in wanted {
            let failed = |error: std::io::Error| ControlError::Listen {
                address: address.clone(),
                option: "--api",
                why: error.to_string(),
            };
            let listener = match TcpListener::bind(&address).await {
                Err(error) if is_port_flexible && error.kind() == std::io::ErrorKind::AddrInUse => {
                    let host = address.rsplit_once(':').map_or("127.0.0.1", |(host, _)| host);
                    TcpListener::bind(format!("{host}:0")).await.map_err(failed)?
                }
                bound => bound.map_err(failed)?,
            };
            addresses.push(listener.local_addr().map_err(failed)?);
            listeners.push(listener);
        }
        appliance.set_api_doors(addresses.iter().map(door).collect());
        appliance.set_api_fingerprint(&certificates.fingerprint());
        Ok(Some(Self { listeners, certificates, addresses }))
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// SHA-256 over its certificate, as browsers show it.
    pub fn fingerprint(&self) -> String {
        self.certificates.fingerprint()
    }

    /// Its certificates, to be loaded again.
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// Answers requests until `stop` is through; then those that are being answered are finished, for a while.
    pub async fn serve(self, appliance: Arc<Appliance>, stop: impl Future<Output = ()> + Send) {
        let shared = Arc::new(Shared {
            certificates: self.certificates,
            router: router(appliance),
            guests: Arc::new(Guests::new(Arc::new(SystemClock::default()))),
        });
        let (arrived, mut arrivals) = mpsc::channel(ARRIVALS_MAX);
        let mut accepting = JoinSet::new();
        for listener in self.listeners {
            accepting.spawn(accept(listener, arrived.clone()));
        }
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let (stream, peer) = tokio::select! {
                () = &mut stop => break,
                Some(arrival) = arrivals.recv() => arrival,
            };
            if let Some(place) = shared.guests.enter(peer.ip().to_canonical()) {
                tokio::spawn(Arc::clone(&shared).one(stream, peer, graceful.watcher(), place));
            }
        }
        accepting.shutdown().await;
        let _ = tokio::time::timeout(STOP_DEADLINE, graceful.shutdown()).await;
    }
}

/// Takes connections, for as long as it runs.
async fn accept(listener: TcpListener, arrived: mpsc::Sender<(TcpStream, SocketAddr)>) {
    loop {
        match listener.accept().await {
            Ok(arrival) => {
                if arrived.send(arrival).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "accept a connection to the API");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

struct Shared {
    certificates: Arc<Certificates>,
    router: Router,
    guests: Arc<Guests>,
}

impl Shared {
    async fn one(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
        place: Place,
    ) {
        // Answers are small and wanted at once; without this they are only slower.
        let _ = stream.set_nodelay(true);
        let place = Arc::new(place);
        let served = Arc::clone(&self).serve_one(stream, peer, watcher, Arc::clone(&place));
        tokio::select! {
            () = served => {}
            () = place.is_wanted() => tracing::debug!(%peer, "an idle connection gave way to a new one"),
        }
    }

    async fn serve_one(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
        place: Arc<Place>,
    ) {
        let handshake = tokio::time::timeout(
            HANDSHAKE_DEADLINE,
            TlsAcceptor::from(self.certificates.tls()).accept(stream),
        );
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "TLS handshake");
                return;
            }
            Err(_) => return,
        };
        // Whoever sends a body slowly has nothing to do yet: what they want is not known.
        let busy = middleware::from_fn(move |request: Request, next: Next| {
            let place = Arc::clone(&place);
            async move {
                let request = server::whole(request, BODY_DEADLINE).await?;
                let work = place.begin();
                Ok::<_, Problem>(work.until_told(next.run(request).await))
            }
        });
        let way = Extension(Way::Https(peer.ip().to_canonical()));
        let router = server::with_body_limit(self.router.clone().layer(way).layer(busy));
        let router = server::with_security_headers(router);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE)
            .max_buf_size(HEAD_LEN_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%peer, %error, "connection to the API");
        }
    }
}

fn door(address: &SocketAddr) -> DoorStatus {
    DoorStatus {
        protocol: "https".into(),
        address: address.to_string(),
        tls: TlsMode::Required,
        group: None,
        fingerprint: None,
    }
}
