//! The iSCSI door: portals in port groups, as the configuration wants them.
//!
//! It stays closed where the book of targets is damaged. Where nobody has chosen an address and the usual
//! one is taken, it stays closed too, and says so: another target on this host is no reason not to start.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::World;
use targets::door::{Address, SessionNumbers};
use targets::iscsi::Server;

use super::{CLOSE_GRACE, Patience, SessionStatus, groups_of, listen_patiently, resolve};
use crate::config::{IscsiConfig, ListenAddress, PortalAddress, TlsMode};
use crate::error::ControlError;
use crate::iscsi::Iscsi;
use crate::status::DoorStatus;

/// The iSCSI door.
pub struct IscsiDoor {
    office: Arc<Iscsi>,
    server: Server,
    /// Held over a change, so that two never mix.
    changing: tokio::sync::Mutex<()>,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    portals: Vec<Portal>,
    /// Why the usual portal is not there.
    missing: Option<String>,
}

#[derive(Clone)]
struct Portal {
    asked: PortalAddress,
    got: Address,
}

impl IscsiDoor {
    pub(super) fn new(office: Arc<Iscsi>, world: &World, numbers: SessionNumbers) -> Self {
        let (clock, rng) = (Arc::clone(&world.clock), Arc::clone(&world.rng));
        let server = Server::new(Arc::clone(&office) as _, clock, rng, numbers);
        Self { office, server, changing: tokio::sync::Mutex::default(), current: Mutex::default() }
    }

    /// Makes the door as this configuration wants it. Sessions go on.
    ///
    /// # Errors
    /// `Listen` where an address that was chosen cannot be had; the others are as asked.
    pub async fn reload(&self, config: &IscsiConfig) -> Result<(), ControlError> {
        let _one_at_a_time = self.changing.lock().await;
        self.office.load_again();
        let wanted = match self.office.damage() {
            Some(_) => Vec::new(),
            None => config.portals(),
        };
        self.leave(|portal| !wanted.contains(&portal.asked));
        self.current().missing = None;
        let patience = match (config.is_port_flexible, config.listen.is_some()) {
            (true, _) => Patience::OtherPort,
            (false, true) => Patience::Wait,
            (false, false) => Patience::Never,
        };
        let mut outcome = Ok(());
        for asked in &wanted {
            if self.current().portals.iter().any(|portal| portal.asked == *asked) {
                continue;
            }
            match self.listen(asked, patience).await {
                Ok(got) => {
                    tracing::info!(address = %got, group = asked.group, "iSCSI door open");
                    self.current().portals.push(Portal { asked: asked.clone(), got });
                }
                Err(error) if config.listen.is_none() => {
                    tracing::warn!(%error, "iSCSI stays closed");
                    self.current().missing = Some(error.to_string());
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        self.office.set_portals(groups_of(&self.portals()), config.discovery_chap_md5);
        let told = config.announce.iter().map(|portal| (portal.address.clone(), portal.group));
        self.server.announce(told.collect());
        outcome
    }

    /// Where it listens, and each portal's group.
    pub fn portals(&self) -> Vec<(String, u16)> {
        let current = self.current();
        current.portals.iter().map(|one| (one.got.to_string(), one.asked.group)).collect()
    }

    /// Why the usual portal is not there.
    pub fn missing(&self) -> Option<String> {
        self.current().missing.clone()
    }

    /// Ends the sessions of targets that are meant: asked by target, initiator and CHAP user.
    pub fn end_where(&self, is_meant: &dyn Fn(&str, &str, Option<&str>) -> bool) {
        self.server.end_where(&|session| {
            let (target, user) = (session.target.as_str(), session.chap_user.as_deref());
            !target.is_empty() && is_meant(target, &session.initiator, user)
        });
    }

    pub(super) fn status(&self) -> Vec<DoorStatus> {
        let door = |(address, group)| DoorStatus {
            protocol: "iscsi".into(),
            address,
            tls: TlsMode::Off,
            group: Some(group),
            fingerprint: None,
        };
        self.portals().into_iter().map(door).collect()
    }

    pub(super) fn sessions(&self) -> Vec<SessionStatus> {
        self.server.sessions().into_iter().map(SessionStatus::from).collect()
    }

    pub(super) fn kill(&self, id: u64) -> bool {
        self.server.kill(id)
    }

    pub(super) async fn close(&self) {
        self.current().portals.clear();
        self.server.shutdown(CLOSE_GRACE).await;
    }

    fn leave(&self, which: impl Fn(&Portal) -> bool) {
        let mut current = self.current();
        for portal in current.portals.extract_if(.., |portal| which(portal)) {
            self.server.unlisten(&portal.got);
            tracing::info!(address = %portal.got, "iSCSI door closed");
        }
    }

    async fn listen(
        &self,
        asked: &PortalAddress,
        patience: Patience,
    ) -> Result<Address, ControlError> {
        let failed = |error: std::io::Error| ControlError::Listen {
            address: asked.address.clone(),
            option: "--iscsi",
            why: error.to_string(),
        };
        let address = resolve(&ListenAddress::Tcp(asked.address.clone())).await.map_err(failed)?;
        let listen = |address| async move { self.server.listen(&address, asked.group).await };
        listen_patiently(address, patience, listen).await.map_err(failed)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
