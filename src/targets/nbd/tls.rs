//! TLS for the door: certificates from files, TLS 1.2 and later, client certificates on request.
//!
//! What was loaded can be loaded again while the door is open; sessions that exist keep what they have.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::door::socket::Socket;

/// Whether clients show certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// They are not asked.
    Ignored,
    /// They are asked; one that is shown must be good.
    Optional,
    /// Only with a good one.
    Required,
}

/// Where certificates and keys are, all PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// The server's private key.
    pub key: PathBuf,
    /// The authorities whose clients are let in.
    pub client_authority: Option<PathBuf>,
    /// Whether clients show certificates.
    pub client_certificates: ClientCertificates,
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no {wanted}")]
    Missing {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// Client certificates cannot be checked without an authority.
    #[error("client certificates need a file with the authorities that sign them")]
    NoAuthority,
    /// What the files hold does not make a server.
    #[error("set up TLS: {0}")]
    Unusable(String),
}

/// TLS, set up.
pub struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({:?})", self.files)
    }
}

impl Tls {
    /// Reads the files and checks that they fit together.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let config = RwLock::new(Arc::new(configure(&files)?));
        Ok(Self { files, config })
    }

    /// Reads the files again. Connections from now on get what they hold; on error all stays as it is.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = Arc::new(configure(&self.files)?);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Does the server's part of a TLS handshake.
    ///
    /// # Errors
    /// What the socket or the handshake gives.
    pub async fn accept(&self, socket: Socket) -> io::Result<TlsStream<Socket>> {
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(socket).await
    }
}

fn configure(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(unusable)?;
    let builder = match files.client_certificates {
        ClientCertificates::Ignored => builder.with_no_client_auth(),
        ClientCertificates::Optional | ClientCertificates::Required => {
            builder.with_client_cert_verifier(verifier(files, provider)?)
        }
    };
    let certificates = certificates(&files.certificate)?;
    builder.with_single_cert(certificates, key(&files.key)?).map_err(unusable)
}

fn verifier(
    files: &TlsFiles,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let path = files.client_authority.as_ref().ok_or(TlsError::NoAuthority)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::Unusable(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match files.client_certificates {
        ClientCertificates::Required => builder,
        _ => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| TlsError::Unusable(error.to_string()))
}

fn open(path: &Path) -> Result<BufReader<File>, TlsError> {
    let read = |source| TlsError::Read { path: path.to_owned(), source };
    File::open(path).map(BufReader::new).map_err(read)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |source| TlsError::Read { path: path.to_owned(), source };
    let found: Vec<_> =
        rustls_pemfile::certs(&mut open(path)?).collect::<Result<_, _>>().map_err(read)?;
    if found.is_empty() {
        return Err(TlsError::Missing { path: path.to_owned(), wanted: "certificate" });
    }
    Ok(found)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let read = |source| TlsError::Read { path: path.to_owned(), source };
    let found = rustls_pemfile::private_key(&mut open(path)?).map_err(read)?;
    found.ok_or_else(|| TlsError::Missing { path: path.to_owned(), wanted: "private key" })
}
