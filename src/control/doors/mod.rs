//! The doors through which clients come in: NBD and iSCSI. They open with the appliance, follow its
//! configuration while sessions go on, and close first when it ends. Sessions of all doors are one list with
//! one numbering.

mod iscsi;
mod nbd;
mod session;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use store::World;
use targets::door::{Address, SessionNumbers};

pub use iscsi::IscsiDoor;
pub use nbd::NbdDoor;
pub use session::{IscsiSession, Protocol, SessionStatus};

use crate::config::{Config, ListenAddress};
use crate::error::ControlError;
use crate::exports::PoolExports;
use crate::iscsi::Iscsi;
use crate::status::DoorStatus;

/// How long sessions may take to end what they were asked to do.
const CLOSE_GRACE: Duration = Duration::from_secs(10);
/// How long an address may take to be free after this daemon has left it.
const FREE_DEADLINE: Duration = Duration::from_secs(2);
/// How often it is tried meanwhile.
const FREE_INTERVAL: Duration = Duration::from_millis(20);

/// All doors.
pub struct Doors {
    nbd: NbdDoor,
    iscsi: IscsiDoor,
}

impl Doors {
    /// Opens the doors.
    ///
    /// # Errors
    /// `Listen` where an address cannot be had, `Config` where certificates cannot be used.
    pub async fn open(
        exports: Arc<PoolExports>,
        iscsi: Arc<Iscsi>,
        config: &Config,
        world: &World,
    ) -> Result<Self, ControlError> {
        let numbers = SessionNumbers::default();
        let doors = Self {
            nbd: NbdDoor::new(exports, Arc::clone(&world.clock), numbers.clone()),
            iscsi: IscsiDoor::new(iscsi, world, numbers),
        };
        match doors.reload(config).await {
            Ok(()) => Ok(doors),
            Err(error) => {
                doors.close().await;
                Err(error)
            }
        }
    }

    /// Makes the doors as this configuration wants them. Sessions go on.
    ///
    /// # Errors
    /// As [`Doors::open`]; the doors that can be had are as asked then.
    pub async fn reload(&self, config: &Config) -> Result<(), ControlError> {
        let nbd = self.nbd.reload(&config.nbd).await;
        let iscsi = self.iscsi.reload(&config.iscsi).await;
        nbd.and(iscsi)
    }

    /// Where they listen.
    pub fn status(&self) -> Vec<DoorStatus> {
        [self.nbd.status(), self.iscsi.status()].concat()
    }

    /// Who is connected, oldest first.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        let mut all = [self.nbd.sessions(), self.iscsi.sessions()].concat();
        all.sort_by_key(|session| session.id);
        all
    }

    /// Ends a session at once.
    ///
    /// # Errors
    /// `UnknownSession`.
    pub fn end(&self, id: u64) -> Result<(), ControlError> {
        if self.nbd.kill(id) || self.iscsi.kill(id) {
            Ok(())
        } else {
            Err(ControlError::UnknownSession(id))
        }
    }

    /// The iSCSI door.
    pub fn iscsi(&self) -> &IscsiDoor {
        &self.iscsi
    }

    /// Closes the doors: what was asked before is answered, for a while.
    pub async fn close(&self) {
        tokio::join!(self.nbd.close(), self.iscsi.close());
    }
}

/// What to do where an address is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Patience {
    /// Wait a moment: this daemon may have left it just now.
    Wait,
    /// Take any port that is free.
    OtherPort,
    /// Give up.
    Never,
}

/// Listens, as far as patience goes.
async fn listen_patiently<L: Future<Output = std::io::Result<Address>>>(
    mut address: Address,
    patience: Patience,
    listen: impl Fn(Address) -> L,
) -> std::io::Result<Address> {
    let attempts = FREE_DEADLINE.as_millis() / FREE_INTERVAL.as_millis();
    for _ in 0..attempts {
        match listen(address.clone()).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            other => return other,
        }
        match (&mut address, patience) {
            (_, Patience::Never) => break,
            (Address::Tcp(taken), Patience::OtherPort) => taken.set_port(0),
            (Address::Tcp(_) | Address::Unix(_), _) => tokio::time::sleep(FREE_INTERVAL).await,
        }
    }
    Err(std::io::ErrorKind::AddrInUse.into())
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

/// The port groups that have a portal.
fn groups_of(portals: &[(String, u16)]) -> BTreeSet<u16> {
    portals.iter().map(|(_, group)| *group).collect()
}
