//! Claims about TLS.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::*;
use super::{memory, serve, soon};
use crate::nbd::{Address, ClientCertificates, Security, Server, Tls, TlsError, TlsFiles};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("trials/certificates").join(name)
}

fn files(client_certificates: ClientCertificates) -> TlsFiles {
    TlsFiles {
        certificate: file("server.pem"),
        key: file("server-key.pem"),
        client_authority: Some(file("authority.pem")),
        client_certificates,
    }
}

/// A server that listens with TLS.
async fn secured(
    clients: ClientCertificates,
    security: impl FnOnce(Arc<Tls>) -> Security,
) -> (Server, std::net::SocketAddr) {
    let server = serve(memory());
    let security = security(Arc::new(Tls::load(files(clients)).unwrap()));
    match server.listen(&"127.0.0.1:0".parse().unwrap(), security).await.unwrap() {
        Address::Tcp(address) => (server, address),
        other => panic!("{other}"),
    }
}

async fn greet(address: std::net::SocketAddr) -> Client<TcpStream> {
    Client::greet(TcpStream::connect(address).await.unwrap(), 3).await.unwrap()
}

/// Goes on within TLS, with a certificate of this name or without one.
async fn start_tls(
    mut client: Client<TcpStream>,
    certificate: Option<&str>,
    version: &'static rustls::SupportedProtocolVersion,
) -> io::Result<Client<TlsStream<TcpStream>>> {
    assert_eq!(client.last(OPT_STARTTLS, b"").await, ACK);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("authority.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = vec![CertificateDer::from_pem_file(file(&format!("{name}.pem"))).unwrap()];
            let key = PrivateKeyDer::from_pem_file(file(&format!("{name}-key.pem"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, client.stream).await?;
    Ok(Client::within(stream))
}

/// Whether a client with this certificate gets as far as a list.
async fn is_let_in(address: std::net::SocketAddr, certificate: Option<&str>) -> bool {
    match start_tls(greet(address).await, certificate, &rustls::version::TLS13).await {
        Ok(mut client) => client.option(OPT_LIST, b"").await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn a_session_runs_within_tls_of_both_versions() {
    let (server, address) = secured(ClientCertificates::Ignored, Security::Required).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut client = start_tls(greet(address).await, None, version).await.unwrap();
        client.agree(Form::Structured).await;
        client.go("mail").await;
        let data: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[1] | 1).collect();
        soon(client.write(5, &data)).await;
        assert!(soon(client.read(5, 3_000_000)).await == data);
        assert!(server.sessions().iter().all(|session| session.is_secured));
        client.send((DISC, 0, 0, 0), b"").await;
        // A farewell within TLS, not a cut: that would be an error.
        assert_eq!(soon(client.stream.read(&mut [0; 1])).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn nothing_is_served_in_plain_where_tls_is_required() {
    let (_server, address) = secured(ClientCertificates::Ignored, Security::Required).await;
    let mut client = greet(address).await;
    assert_eq!(client.last(OPT_GO, &info("mail")).await, 0x8000_0005);
    client.stream.write_all(&option(OPT_EXPORT_NAME, b"mail")).await.unwrap();
    assert!(soon(client.is_closed()).await);
    let (_server, address) = secured(ClientCertificates::Ignored, Security::Offered).await;
    let mut client = greet(address).await;
    client.go("mail").await;
    client.read(0, 512).await;
}

#[tokio::test]
async fn client_certificates_are_checked() {
    let (_server, address) = secured(ClientCertificates::Required, Security::Required).await;
    assert!(is_let_in(address, Some("client")).await);
    assert!(!is_let_in(address, Some("stranger")).await);
    assert!(!is_let_in(address, None).await);
    let (_server, address) = secured(ClientCertificates::Optional, Security::Required).await;
    assert!(is_let_in(address, Some("client")).await);
    assert!(!is_let_in(address, Some("stranger")).await);
    assert!(is_let_in(address, None).await);
}

#[tokio::test]
async fn what_is_sent_in_plain_behind_starttls_ends_the_connection() {
    let (_server, address) = secured(ClientCertificates::Ignored, Security::Offered).await;
    let mut client = greet(address).await;
    let both = [option(OPT_STARTTLS, b""), option(OPT_LIST, b"")].concat();
    client.stream.write_all(&both).await.unwrap();
    let mut ack = [0; 20];
    client.stream.read_exact(&mut ack).await.unwrap();
    assert_eq!(ack[12..], [0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(soon(client.stream.read(&mut [0; 1])).await.unwrap_or(0), 0);
    let mut client = greet(address).await;
    assert_eq!(client.last(OPT_STARTTLS, b"").await, ACK);
    client.stream.write_all(&b"GET / HTTP/1.0\r\n\r\n".repeat(4)).await.unwrap();
    assert!(soon(client.is_closed()).await);
}

#[tokio::test]
async fn what_was_agreed_in_plain_is_not_carried_over() {
    let (_server, address) = secured(ClientCertificates::Ignored, Security::Offered).await;
    let mut client = greet(address).await;
    client.agree(Form::Structured).await;
    let version = &rustls::version::TLS13;
    let mut client = start_tls(client, None, version).await.unwrap();
    assert_eq!(client.last(OPT_STARTTLS, b"").await, 0x8000_0003);
    client.go("mail").await;
    assert_eq!(client.read(0, 512).await, [0; 512], "a simple reply");
}

#[tokio::test]
async fn files_that_are_wrong_are_named_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    std::fs::copy(file("server.pem"), &certificate).unwrap();
    let mine = TlsFiles { certificate: certificate.clone(), ..files(ClientCertificates::Ignored) };
    let tls = Tls::load(mine.clone()).unwrap();
    tls.reload().unwrap();
    std::fs::write(&certificate, "nothing").unwrap();
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.contains("certificate.pem holds no certificate"), "{error}");
    std::fs::copy(file("client.pem"), &certificate).unwrap();
    assert!(matches!(tls.reload(), Err(TlsError::Unusable(_))), "another one's key");
    std::fs::remove_file(&certificate).unwrap();
    assert!(matches!(Tls::load(mine), Err(TlsError::Read { .. })));
    let alone = TlsFiles { client_authority: None, ..files(ClientCertificates::Required) };
    assert!(matches!(Tls::load(alone), Err(TlsError::NoAuthority)));
}
