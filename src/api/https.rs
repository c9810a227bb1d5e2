//! The API over HTTPS: who may come in is decided for each request ([`crate::guard`]); here is only what a stranger
//! may cost before that.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
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
use crate::server::{self, router};

/// Connections from one address: browsers open six, and several people may sit behind one.
const CONNECTIONS_OF_ADDRESS_MAX: usize = 64;
/// Connections in all.
const CONNECTIONS_MAX: usize = 512;
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
            router: server::with_security_headers(router(appliance)),
            guests: Arc::default(),
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
        _place: Place,
    ) {
        // Answers are small and wanted at once; without this they are only slower.
        let _ = stream.set_nodelay(true);
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
        let router = self.router.clone().layer(Extension(Way::Https(peer.ip().to_canonical())));
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

/// Who is connected, by address.
#[derive(Default)]
struct Guests(Mutex<HashMap<IpAddr, usize>>);

impl Guests {
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut guests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if guests.values().sum::<usize>() >= CONNECTIONS_MAX {
            return None;
        }
        let of = guests.entry(address).or_default();
        if *of >= CONNECTIONS_OF_ADDRESS_MAX {
            return None;
        }
        *of += 1;
        Some(Place { guests: Arc::clone(self), address })
    }
}

/// A guest's place, until it is dropped.
struct Place {
    guests: Arc<Guests>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guests = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of) = guests.get_mut(&self.address) {
            *of -= 1;
            if *of == 0 {
                guests.remove(&self.address);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gives_them_back() {
        let guests = Arc::new(Guests::default());
        let here = IpAddr::from([192, 0, 2, 1]);
        let places: Vec<_> = std::iter::from_fn(|| guests.enter(here)).collect();
        assert_eq!(places.len(), CONNECTIONS_OF_ADDRESS_MAX);
        assert!(guests.enter(IpAddr::from([192, 0, 2, 2])).is_some());
        drop(places);
        assert!(guests.0.lock().unwrap().is_empty());
        let all = (0..=255).flat_map(|n| {
            let guests = &guests;
            std::iter::from_fn(move || guests.enter(IpAddr::from([198, 51, 100, n])))
        });
        assert_eq!(all.collect::<Vec<_>>().len(), CONNECTIONS_MAX);
    }
}
