//! The NBD door: listeners and what they do about TLS, as the configuration wants them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::clock::Clock;
use targets::door::SessionNumbers;
use targets::nbd::{Address, ClientCertificates, Security, Server, Tls, TlsFiles};

use super::{CLOSE_GRACE, Patience, SessionStatus, listen_patiently, resolve};
use crate::config::{ListenAddress, NbdConfig, TlsMode};
use crate::error::ControlError;
use crate::exports::PoolExports;
use crate::status::DoorStatus;

/// The NBD door.
pub struct NbdDoor {
    server: Server,
    /// Held over a change, so that two never mix.
    changing: tokio::sync::Mutex<()>,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    /// The files and the mode that listeners were opened with.
    rule: Option<Rule>,
    tls: Option<Arc<Tls>>,
    listeners: Vec<Listener>,
}

#[derive(Clone)]
struct Listener {
    asked: ListenAddress,
    got: Address,
}

/// What listeners do about TLS.
#[derive(Clone, PartialEq, Eq)]
struct Rule {
    mode: TlsMode,
    files: Option<TlsFiles>,
}

impl NbdDoor {
    pub(super) fn new(
        exports: Arc<PoolExports>,
        clock: Arc<dyn Clock>,
        numbers: SessionNumbers,
    ) -> Self {
        let server = Server::new(exports, clock, numbers);
        Self { server, changing: tokio::sync::Mutex::default(), current: Mutex::default() }
    }

    /// Makes the door as this configuration wants it. Sessions go on; certificates are read again.
    ///
    /// # Errors
    /// `Listen` where an address cannot be had, `Config` where certificates cannot be used. Where certificates cannot be used nothing changes; where an address cannot be
    /// had, the others are as asked.
    pub async fn reload(&self, config: &NbdConfig) -> Result<(), ControlError> {
        let _one_at_a_time = self.changing.lock().await;
        let rule = Rule::of(config);
        let is_same_rule = self.current().rule.as_ref() == Some(&rule);
        let known = self.current().tls.clone().filter(|_| is_same_rule);
        let tls = match (known, &rule.files) {
            (Some(tls), _) => tls.reload().map(|()| Some(tls)),
            (None, Some(files)) => Tls::load(files.clone()).map(|tls| Some(Arc::new(tls))),
            (None, None) => Ok(None),
        };
        let tls = tls.map_err(|error| {
            let path = config.certificate.clone().unwrap_or_default();
            ControlError::Config { path, why: error.to_string() }
        })?;
        let security = rule.security(tls.clone());
        self.leave(|listener| !is_same_rule || !config.listen.contains(&listener.asked));
        {
            let mut current = self.current();
            current.rule = Some(rule);
            current.tls = tls;
        }
        let patience = if config.is_port_flexible { Patience::OtherPort } else { Patience::Wait };
        let mut outcome = Ok(());
        for asked in &config.listen {
            if self.current().listeners.iter().any(|listener| listener.asked == *asked) {
                continue;
            }
            match self.listen(asked, &security, patience).await {
                Ok(got) => {
                    tracing::info!(address = %got, "NBD door open");
                    self.current().listeners.push(Listener { asked: asked.clone(), got });
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    pub(super) fn status(&self) -> Vec<DoorStatus> {
        let current = self.current();
        let tls = current.rule.as_ref().map_or(TlsMode::Off, |rule| rule.mode);
        let door = |listener: &Listener| DoorStatus {
            protocol: "nbd".into(),
            address: listener.got.to_string(),
            tls,
            group: None,
            fingerprint: None,
        };
        current.listeners.iter().map(door).collect()
    }

    pub(super) fn sessions(&self) -> Vec<SessionStatus> {
        self.server.sessions().into_iter().map(SessionStatus::from).collect()
    }

    pub(super) fn kill(&self, id: u64) -> bool {
        self.server.kill(id)
    }

    pub(super) async fn close(&self) {
        self.current().listeners.clear();
        self.server.shutdown(CLOSE_GRACE).await;
    }

    fn leave(&self, which: impl Fn(&Listener) -> bool) {
        let mut current = self.current();
        for listener in current.listeners.extract_if(.., |listener| which(listener)) {
            self.server.unlisten(&listener.got);
            tracing::info!(address = %listener.got, "NBD door closed");
        }
    }

    async fn listen(
        &self,
        asked: &ListenAddress,
        security: &Security,
        patience: Patience,
    ) -> Result<Address, ControlError> {
        let failed = |error: std::io::Error| ControlError::Listen {
            address: asked.to_string(),
            option: "--nbd",
            why: error.to_string(),
        };
        let address = resolve(asked).await.map_err(failed)?;
        let listen = |address| async move { self.server.listen(&address, security.clone()).await };
        listen_patiently(address, patience, listen).await.map_err(failed)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn of(config: &NbdConfig) -> Self {
        let files = match (&config.certificate, &config.key) {
            (Some(certificate), Some(key)) if config.tls != TlsMode::Off => Some(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                client_authority: config.client_ca.clone(),
                client_certificates: match config.client_ca {
                    Some(_) => ClientCertificates::Required,
                    None => ClientCertificates::Ignored,
                },
            }),
            _ => None,
        };
        Self { mode: config.tls, files }
    }

    fn security(&self, tls: Option<Arc<Tls>>) -> Security {
        match (self.mode, tls) {
            (TlsMode::On, Some(tls)) => Security::Offered(tls),
            (TlsMode::Required, Some(tls)) => Security::Required(tls),
            // The configuration was checked: TLS without certificates does not come here.
            (TlsMode::Off | TlsMode::On | TlsMode::Required, _) => Security::Plain,
        }
    }
}
