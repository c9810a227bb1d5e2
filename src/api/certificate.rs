//! The certificate of the console: the owner's own, or one that signs itself and is made at the first start.

use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use control::config::ApiConfig;
use control::{Appliance, ControlError, StateDir, files};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

/// TLS as it is set up, and by what people know it.
pub struct Identity {
    /// For connections from now on.
    pub tls: Arc<ServerConfig>,
    /// SHA-256 over the certificate, as browsers show it.
    pub fingerprint: String,
    /// When the first certificate of the chain to do so ends, milliseconds since 1970, as far as that can be read.
    pub end_ms: Option<u64>,
}

/// The identity that is in force, which can be loaded again while connections go on.
pub struct Certificates(RwLock<Identity>);

impl Certificates {
    /// As the appliance is configured.
    ///
    /// # Errors
    /// As [`load`].
    pub fn of(appliance: &Appliance) -> Result<Self, ControlError> {
        let identity = load(appliance.state(), &appliance.api_config())?;
        appliance.alerts().set_certificate_end(identity.end_ms);
        Ok(Self(RwLock::new(identity)))
    }

    /// Reads the files again. Connections from now on get what they hold; where they cannot be used, all stays as it
    /// is, and the status tells why.
    pub fn reload(&self, appliance: &Appliance) {
        match load(appliance.state(), &appliance.api_config()) {
            Ok(identity) => {
                appliance.alerts().set_certificate_end(identity.end_ms);
                *self.0.write().unwrap_or_else(PoisonError::into_inner) = identity;
                appliance.set_api_fingerprint(&self.fingerprint());
                appliance.set_api_trouble(None);
            }
            Err(error) => {
                tracing::error!(%error, "the console keeps the certificate that it has");
                appliance.set_api_trouble(Some(format!("{error}; it keeps the one that it has")));
            }
        }
    }

    /// For a connection that begins now.
    pub fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).tls)
    }

    /// SHA-256 over the certificate, as browsers show it.
    pub fn fingerprint(&self) -> String {
        self.0.read().unwrap_or_else(PoisonError::into_inner).fingerprint.clone()
    }
}

/// Loads the certificate and the key; makes them where nobody has named any and there are none yet.
///
/// # Errors
/// `Config` where those that were named cannot be used, `State` where none can be made.
pub fn load(state: &StateDir, config: &ApiConfig) -> Result<Identity, ControlError> {
    let (certificate, key) = match (&config.certificate, &config.key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => own(state.path())?,
    };
    let failed = |path: &Path, why: String| ControlError::Config { path: path.to_owned(), why };
    let chain =
        read_chain(&certificate).map_err(|error| failed(&certificate, error.to_string()))?;
    let first =
        chain.first().ok_or_else(|| failed(&certificate, "it holds no certificate".into()))?;
    let fingerprint = fingerprint(first);
    let end_ms = chain.iter().filter_map(end_of).min();
    let secret = read_key(&key).map_err(|error| failed(&key, error.to_string()))?;
    let secret = secret.ok_or_else(|| failed(&key, "it holds no private key".into()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_no_client_auth().with_single_cert(chain, secret));
    let mut tls = match tls {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) | Err(error) => return Err(failed(&certificate, error.to_string())),
    };
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity { tls: Arc::new(tls), fingerprint, end_ms })
}

/// Where the one lies that signs itself; makes it where it is not there.
fn own(dir: &Path) -> Result<(PathBuf, PathBuf), ControlError> {
    let (certificate, key) = (dir.join("api-certificate.pem"), dir.join("api-key.pem"));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let failed = |why: String| ControlError::State { what: "make a certificate".into(), why };
    let names =
        ["localhost".to_owned(), "127.0.0.1".into(), "::1".into()].into_iter().chain(host_name());
    let mut wanted = rcgen::CertificateParams::new(names.collect::<Vec<_>>())
        .map_err(|error| failed(error.to_string()))?;
    wanted.distinguished_name = rcgen::DistinguishedName::new();
    wanted.distinguished_name.push(rcgen::DnType::CommonName, "Tidemark console");
    wanted.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let pair = rcgen::KeyPair::generate().map_err(|error| failed(error.to_string()))?;
    let made = wanted.self_signed(&pair).map_err(|error| failed(error.to_string()))?;
    // The key first: a certificate alone would never be used.
    for (path, text) in [(&key, pair.serialize_pem()), (&certificate, made.pem())] {
        files::replace(path, text.as_bytes())
            .map_err(|error| failed(format!("write {}: {error}", path.display())))?;
    }
    Ok((certificate, key))
}

/// The name of this host, where it can stand in a certificate.
fn host_name() -> Option<String> {
    let name = control::config::host_name()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    (name.len() < 64 && name.chars().all(fits) && name != "localhost").then_some(name)
}

fn read_chain(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    rustls_pemfile::certs(&mut BufReader::new(fs::File::open(path)?)).collect()
}

fn read_key(path: &Path) -> io::Result<Option<PrivateKeyDer<'static>>> {
    rustls_pemfile::private_key(&mut BufReader::new(fs::File::open(path)?))
}

/// When a certificate ends, milliseconds since 1970.
fn end_of(certificate: &CertificateDer<'_>) -> Option<u64> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    u64::try_from(parsed.validity().not_after.timestamp()).ok()?.checked_mul(1000)
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let bytes = Sha256::digest(certificate);
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_of_its_own_is_made_once_and_kept() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path());
        let first = load(&state, &ApiConfig::default()).unwrap();
        let again = load(&state, &ApiConfig::default()).unwrap();
        assert_eq!(first.fingerprint, again.fingerprint);
        assert_eq!(first.fingerprint.len(), 95);
        let mode = fs::metadata(temp.path().join("api-key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_end_of_a_certificate_is_read_from_it() {
        let mut wanted = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        wanted.not_after = rcgen::date_time_ymd(2030, 1, 2);
        let pair = rcgen::KeyPair::generate().unwrap();
        let made = wanted.self_signed(&pair).unwrap();
        assert_eq!(end_of(made.der()), Some(1_893_542_400_000));
        assert_eq!(end_of(&CertificateDer::from(vec![0x30, 0x82])), None);
        let temp = tempfile::tempdir().unwrap();
        let own = load(&StateDir::new(temp.path()), &ApiConfig::default()).unwrap();
        assert!(own.end_ms.unwrap() > 1_893_542_400_000);
    }

    #[test]
    fn files_that_were_named_are_used_or_what_is_wrong_with_them_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path());
        load(&state, &ApiConfig::default()).unwrap();
        let at = |name: &str| Some(temp.path().join(name));
        let config = |certificate: &str, key: &str| ApiConfig {
            certificate: at(certificate),
            key: at(key),
            ..ApiConfig::default()
        };
        load(&state, &config("api-certificate.pem", "api-key.pem")).unwrap();
        fs::write(temp.path().join("empty"), "").unwrap();
        for (config, named) in [
            (config("none.pem", "api-key.pem"), "none.pem"),
            (config("empty", "api-key.pem"), "no certificate"),
            (config("api-certificate.pem", "empty"), "no private key"),
        ] {
            let error = load(&state, &config).err().unwrap().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
