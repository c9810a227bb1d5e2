//! Whose certificates are trusted where a channel speaks TLS: this machine's authorities, or those that a channel
//! names.

use std::io::BufReader;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// The authorities in this PEM, or this machine's where there is none.
///
/// # Errors
/// In words: why there are none.
pub(super) fn roots(pem: Option<&str>) -> Result<Vec<CertificateDer<'static>>, String> {
    let Some(pem) = pem else {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(format!("this machine trusts no authority{why}"));
        }
        return Ok(found.certs);
    };
    let all: Result<Vec<_>, _> =
        rustls_pemfile::certs(&mut BufReader::new(pem.as_bytes())).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err("its authorities hold no certificate".into()),
        Err(error) => Err(format!("its authorities cannot be read: {error}")),
    }
}

/// TLS as a client that trusts these.
///
/// # Errors
/// As [`roots`].
pub(super) fn client(pem: Option<&str>) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    let (taken, refused) = store.add_parsable_certificates(roots(pem)?);
    if taken == 0 {
        return Err(format!("none of {refused} authorities can be used"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(store).with_no_client_auth()))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// The authority that signed the server's certificate, good until 2126.
    const AUTHORITY: &str = include_str!("certificates/authority.pem");

    /// A server for `localhost` and 127.0.0.1, and the authority by which it is trusted.
    pub(in super::super) fn server() -> (TlsAcceptor, String) {
        let chain = roots(Some(include_str!("certificates/server.pem"))).unwrap();
        let key =
            PrivateKeyDer::from_pem_slice(include_bytes!("certificates/server-key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        (TlsAcceptor::from(Arc::new(config)), AUTHORITY.to_owned())
    }

    #[test]
    fn authorities_are_taken_from_what_is_named_alone() {
        assert_eq!(roots(Some(AUTHORITY)).unwrap().len(), 1);
        assert!(client(Some(AUTHORITY)).is_ok());
        assert!(roots(Some("")).unwrap_err().contains("no certificate"));
        let cut = AUTHORITY.replace("-----END CERTIFICATE-----", "");
        assert!(roots(Some(&cut)).is_err());
    }
}
