//! The shelf of a simulated machine and its disks.
//!
//! A disk that was created or grown stays so when that was answered. A disk that was removed may be there
//! again after a power loss, until another one was created.

use std::path::Path;
use std::sync::Arc;

use base::units::Extent;

use super::fault::{OpKind, What};
use super::machine::{Handle, Machine, ShelfChange, failure, no_space};
use super::medium::Medium;
use super::world::SimWorld;
use crate::error::DiskError;
use crate::request::Request;
use crate::shelf::{Shelf, Space, Usage};
use crate::{AnyDisk, Disk, Geometry};

/// The shelf of a simulated machine.
#[derive(Debug)]
pub struct SimShelf {
    world: SimWorld,
}

/// An open disk of a simulated machine.
#[derive(Debug)]
pub struct SimDisk {
    world: SimWorld,
    handle: Handle,
    /// Held while a disk that lies elsewhere is in use.
    _user: Option<Arc<()>>,
}

impl Disk for SimDisk {
    fn geometry(&self) -> Geometry {
        self.world.lock().geometry(self.handle.disk)
    }

    fn submit(&self, batch: Vec<Request>) {
        self.world.with(|machine| machine.submit(self.handle, batch));
        self.world.wake();
    }
}

impl SimShelf {
    pub(super) fn new(world: SimWorld) -> Self {
        Self { world }
    }

    fn handle(&self, machine: &mut Machine, disk: usize) -> AnyDisk {
        let handle = machine.open(disk);
        Arc::new(SimDisk { world: self.world.clone(), handle, _user: None })
    }
}

impl Machine {
    fn find(&self, name: &str) -> Result<usize, DiskError> {
        if self.is_off {
            return Err(DiskError::Closed);
        }
        self.on_shelf.get(name).copied().ok_or_else(|| DiskError::NotFound(name.into()))
    }

    /// Takes the step of a shelf change, or fails as the faults say. Where the power goes at it, it is
    /// left undecided.
    fn shelf_step(
        &mut self,
        disk: usize,
        verb: &'static str,
        change: Option<ShelfChange>,
    ) -> Result<(), DiskError> {
        match self.fault(disk, OpKind::Shelf, None) {
            Some(What::NoSpace) => return Err(no_space()),
            Some(What::Error | What::ErrorForGood) => return Err(failure(verb)),
            _ => {}
        }
        if !self.step() {
            self.note(disk, verb, "is in flight when the power goes");
            self.shelf_changes.extend(change.map(|change| (self.steps, change)));
            return Err(DiskError::Closed);
        }
        self.note(disk, verb, "done");
        Ok(())
    }

    fn create(&mut self, name: &str, sectors: u64) -> Result<usize, DiskError> {
        if self.is_off {
            return Err(DiskError::Closed);
        }
        if self.on_shelf.contains_key(name) {
            return Err(DiskError::Busy(name.into()));
        }
        let disk = self.media.len();
        self.media.push(Medium::new(name, sectors));
        if let Err(error) = self.shelf_step(disk, "create", Some(ShelfChange::Create { disk })) {
            let is_undecided = matches!(error, DiskError::Closed);
            self.media[disk].is_removed = !is_undecided;
            return Err(error);
        }
        // The directory was made stable, and with it everything it was told before.
        self.shelf_changes.clear();
        self.on_shelf.insert(name.to_owned(), disk);
        Ok(disk)
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        let disk = match self.find(name) {
            Ok(disk) => disk,
            Err(DiskError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let change = ShelfChange::Remove { disk };
        self.shelf_step(disk, "remove", Some(change))?;
        self.shelf_changes.push((self.steps - 1, change));
        self.on_shelf.remove(name);
        self.media[disk].is_removed = true;
        Ok(())
    }
}

impl Shelf for SimShelf {
    fn create(&self, name: &str, sectors: u64, _usage: Usage) -> Result<AnyDisk, DiskError> {
        self.world.with(|machine| {
            let disk = machine.create(name, sectors)?;
            Ok(self.handle(machine, disk))
        })
    }

    fn open(&self, name: &str, _usage: Usage) -> Result<AnyDisk, DiskError> {
        self.world.with(|machine| {
            let disk = machine.find(name)?;
            Ok(self.handle(machine, disk))
        })
    }

    fn grow(&self, name: &str, sectors: u64) -> Result<(), DiskError> {
        self.world.with(|machine| {
            let disk = machine.find(name)?;
            machine.shelf_step(disk, "grow", Some(ShelfChange::Grow { disk, sectors }))?;
            let medium = &mut machine.media[disk];
            medium.sectors = medium.sectors.max(sectors);
            Ok(())
        })
    }

    fn reserve(&self, name: &str, extent: Extent) -> Result<(), DiskError> {
        self.world.with(|machine| {
            let disk = machine.find(name)?;
            let capacity = machine.media[disk].sectors;
            if !extent.fits(capacity) {
                return Err(DiskError::OutOfBounds { extent, capacity });
            }
            if !machine.has_room(disk, extent) {
                return Err(no_space());
            }
            machine.shelf_step(disk, "reserve", None)?;
            let step = machine.steps - 1;
            machine.media[disk].reserve(extent, step);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.world.with(|machine| machine.remove(name))
    }

    fn list(&self) -> Result<Vec<String>, DiskError> {
        let machine = self.world.lock();
        if machine.is_off {
            return Err(DiskError::Closed);
        }
        Ok(machine.on_shelf.keys().cloned().collect())
    }

    fn adopt(&self, path: &Path) -> Result<AnyDisk, DiskError> {
        let shown = path.display().to_string();
        let disk = self.world.disk_at(path);
        let disk = disk.ok_or_else(|| DiskError::NotFound(shown.as_str().into()))?;
        let mut machine = self.world.lock();
        if machine.is_off {
            return Err(DiskError::Closed);
        }
        let fault = machine.fault(disk, OpKind::Shelf, None);
        if let Some(What::Error | What::ErrorForGood) = fault {
            return Err(failure("open"));
        }
        if machine.media[disk].user.strong_count() > 0 {
            return Err(DiskError::Busy(shown.into()));
        }
        let user = Arc::new(());
        machine.media[disk].user = Arc::downgrade(&user);
        let handle = machine.open(disk);
        Ok(Arc::new(SimDisk { world: self.world.clone(), handle, _user: Some(user) }))
    }

    fn space(&self) -> Result<Space, DiskError> {
        let machine = self.world.lock();
        if machine.is_off { Err(DiskError::Closed) } else { Ok(machine.space()) }
    }
}
