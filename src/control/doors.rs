//! The doors through which clients come in: NBD now. They open with the appliance, follow its
//! configuration while sessions go on, and close first when it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::clock::Clock;
use serde::{Deserialize, Serialize};
use targets::door::SessionNumbers;
use targets::nbd::{Address, ClientCertificates, Security, Server, Tls, TlsFiles};

use crate::config::{ListenAddress, NbdConfig, TlsMode};
use crate::error::ControlError;
use crate::exports::PoolExports;
use crate::status::DoorStatus;

/// How long sessions may take to end what they were asked to do.
const CLOSE_GRACE: Duration = Duration::from_secs(10);
/// How long an address may take to be free after this daemon has left it.
const FREE_DEADLINE: Duration = Duration::from_secs(2);
/// How often it is tried meanwhile.
const FREE_INTERVAL: Duration = Duration::from_millis(20);

/// A session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its number.
    pub id: u64,
    /// Where the client is.
    pub peer: String,
    /// What it has open.
    pub export: String,
    /// Whether it takes no changes.
    pub is_read_only: bool,
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// The form of the replies that were agreed on: `simple`, `structured` or `extended`.
    pub replies: String,
    /// The contexts that the client has selected.
    pub contexts: Vec<String>,
    /// When it began, milliseconds since 1970.
    pub since_ms: u64,
    /// Requests that it has made.
    pub requests: u64,
    /// Requests that were answered with an error.
    pub failures: u64,
    /// Requests that are not answered yet.
    pub in_flight: u64,
    /// Bytes that it has read.
    pub read_bytes: u64,
    /// Bytes that it has written.
    pub written_bytes: u64,
}

/// All doors.
pub struct Doors {
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

impl Doors {
    /// Opens the doors.
    ///
    /// # Errors
    /// `Listen` where an address cannot be had, `Config` where certificates cannot be used.
    pub async fn open(
        exports: Arc<PoolExports>,
        config: &NbdConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ControlError> {
        let server = Server::new(exports, clock, SessionNumbers::default());
        let doors =
            Self { server, changing: tokio::sync::Mutex::default(), current: Mutex::default() };
        match doors.reload(config).await {
            Ok(()) => Ok(doors),
            Err(error) => {
                doors.close().await;
                Err(error)
            }
        }
    }

    /// Makes the doors as this configuration wants them. Sessions go on; certificates are read again.
    ///
    /// # Errors
    /// As [`Doors::open`]. Where certificates cannot be used nothing changes; where an address cannot be
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
        let mut outcome = Ok(());
        for asked in &config.listen {
            if self.current().listeners.iter().any(|listener| listener.asked == *asked) {
                continue;
            }
            match self.listen(asked, &security, config.is_port_flexible).await {
                Ok(got) => {
                    tracing::info!(address = %got, "NBD door open");
                    self.current().listeners.push(Listener { asked: asked.clone(), got });
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// Where they listen.
    pub fn status(&self) -> Vec<DoorStatus> {
        let current = self.current();
        let tls = current.rule.as_ref().map_or(TlsMode::Off, |rule| rule.mode);
        let door = |listener: &Listener| DoorStatus {
            protocol: "nbd".into(),
            address: listener.got.to_string(),
            tls,
        };
        current.listeners.iter().map(door).collect()
    }

    /// Who is connected, oldest first.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.server.sessions().into_iter().map(SessionStatus::from).collect()
    }

    /// Ends a session at once.
    ///
    /// # Errors
    /// `UnknownSession`.
    pub fn end(&self, id: u64) -> Result<(), ControlError> {
        if self.server.kill(id) { Ok(()) } else { Err(ControlError::UnknownSession(id)) }
    }

    /// Closes the doors: what was asked before is answered, for a while.
    pub async fn close(&self) {
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
        is_port_flexible: bool,
    ) -> Result<Address, ControlError> {
        let failed = |error: &std::io::Error| ControlError::Listen {
            address: asked.to_string(),
            why: error.to_string(),
        };
        let mut address = resolve(asked).await.map_err(|error| failed(&error))?;
        // A listener that was left a moment ago may still have its address.
        let attempts = FREE_DEADLINE.as_millis() / FREE_INTERVAL.as_millis();
        for _ in 0..attempts {
            match self.server.listen(&address, security.clone()).await {
                Ok(got) => return Ok(got),
                Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
                    return Err(failed(&error));
                }
                Err(_) => {}
            }
            match &mut address {
                Address::Tcp(taken) if is_port_flexible => taken.set_port(0),
                Address::Tcp(_) | Address::Unix(_) => tokio::time::sleep(FREE_INTERVAL).await,
            }
        }
        Err(failed(&std::io::ErrorKind::AddrInUse.into()))
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

impl From<targets::nbd::SessionStatus> for SessionStatus {
    fn from(session: targets::nbd::SessionStatus) -> Self {
        Self {
            id: session.id,
            peer: session.peer,
            export: session.export,
            is_read_only: session.is_read_only,
            is_tls: session.is_secured,
            replies: session.replies.into(),
            contexts: session.contexts,
            since_ms: session.since_wall_ms,
            requests: session.counts.requests,
            failures: session.counts.failures,
            in_flight: session.counts.in_flight,
            read_bytes: session.counts.read_bytes,
            written_bytes: session.counts.written_bytes,
        }
    }
}

async fn resolve(address: &ListenAddress) -> std::io::Result<Address> {
    match address {
        ListenAddress::Unix(path) => Ok(Address::Unix(path.clone())),
        ListenAddress::Tcp(text) => {
            let found = tokio::net::lookup_host(text).await?.next();
            found.map(Address::Tcp).ok_or_else(|| std::io::ErrorKind::NotFound.into())
        }
    }
}
