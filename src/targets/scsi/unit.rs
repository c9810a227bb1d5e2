//! A logical unit: one for each disk, shared by all targets, LUNs, nexuses and paths that lead to it.
//!
//! What all of them share is here: the disk, the reservations, the mode parameters, whether the medium is
//! loaded. What one of them has for itself is in `path`.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use base::units::SECTOR_LEN;
use disk::{AnyDisk, DiskError};

use super::attention::Attention;
use super::command_table::Entry;
use super::copy_results::CopyResults;
use super::identity::Identity;
use super::judge::Medium;
use super::path::Path;
use super::ranges::Ranges;
use super::registrations::Registry;
use super::sanitize::Sanitizing;
use super::sense::{Format, Sense};
use super::{kept, reservation_status};

pub use super::reservation_status::{RegistrationStatus, ReservationStatus};

/// What a logical unit is, for as long as it lives.
#[derive(Clone, Debug)]
pub struct UnitSettings {
    /// Who it is.
    pub identity: Identity,
    /// Bytes of a logical block: 512 or 4096.
    pub logical_block_len: u32,
    /// Whether its medium can be taken out.
    pub is_removable: bool,
}

/// Whether what was handed over is kept.
pub type Kept = Pin<Box<dyn Future<Output = Result<(), DiskError>> + Send>>;

/// Keeps the persistent reservations of a logical unit over restarts (APTPL).
pub trait Keeper: Send + Sync + 'static {
    /// Whether it can keep anything.
    fn can_keep(&self) -> bool;
    /// What was kept last.
    fn kept(&self) -> Option<Vec<u8>>;
    /// Keeps this, durably when it answers; `None` forgets.
    fn keep(&self, bytes: Option<Vec<u8>>) -> Kept;
}

/// A keeper that keeps nothing.
#[derive(Debug)]
pub struct NoKeeper;

impl Keeper for NoKeeper {
    fn can_keep(&self) -> bool {
        false
    }

    fn kept(&self) -> Option<Vec<u8>> {
        None
    }

    fn keep(&self, _bytes: Option<Vec<u8>>) -> Kept {
        Box::pin(async { Ok(()) })
    }
}

/// Whether the medium is there, and who wants it to stay: nexuses by their numbers.
#[derive(Debug, Default)]
pub(super) struct Loading {
    pub is_ejected: bool,
    pub preventing: Vec<u64>,
}

/// Who has reserved the unit by RESERVE(6) or RESERVE(10).
#[derive(Clone, Debug)]
pub(super) struct Reserved {
    /// The nexus's number.
    pub nexus: u64,
    /// The initiator port, for people.
    pub name: String,
}

/// The reservations of both kinds.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    /// Persistent ones.
    pub registry: Registry,
    /// The other kind.
    pub reserved: Option<Reserved>,
}

/// A logical unit.
pub struct LogicalUnit {
    settings: UnitSettings,
    disk: RwLock<Option<AnyDisk>>,
    /// What keeps the reservations.
    pub(super) keeper: Arc<dyn Keeper>,
    /// Held while reservations are changed and kept.
    pub(super) gate: tokio::sync::Mutex<()>,
    /// Keeps commands apart that must be alone.
    pub(super) ranges: Ranges,
    /// What a sanitize is doing.
    pub(super) sanitizing: Sanitizing,
    reservations: Mutex<Reservations>,
    is_reserved: AtomicBool,
    reservations_version: AtomicU64,
    loading: Mutex<Loading>,
    is_ejected: AtomicBool,
    is_sense_descriptor: AtomicBool,
    is_software_protected: AtomicBool,
    copies: Mutex<CopyResults>,
    paths: Mutex<Vec<Weak<Path>>>,
}

impl std::fmt::Debug for LogicalUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogicalUnit({})", self.settings.identity.id)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogicalUnit {
    /// A logical unit in front of `disk`; without one it is not ready. Reservations that `keeper` kept are
    /// there again.
    pub fn new(
        settings: UnitSettings,
        disk: Option<AnyDisk>,
        keeper: Arc<dyn Keeper>,
    ) -> Arc<Self> {
        let registry = keeper.kept().map_or_else(Registry::default, |bytes| {
            kept::decode(&bytes).unwrap_or_else(|error| {
                tracing::error!(unit = %settings.identity.id, %error, "restore kept reservations");
                Registry::default()
            })
        });
        let unit = Self {
            settings,
            disk: RwLock::new(disk),
            keeper,
            gate: tokio::sync::Mutex::new(()),
            ranges: Ranges::default(),
            sanitizing: Sanitizing::default(),
            is_reserved: AtomicBool::new(false),
            reservations: Mutex::new(Reservations { registry, reserved: None }),
            reservations_version: AtomicU64::new(1),
            loading: Mutex::default(),
            is_ejected: AtomicBool::new(false),
            is_sense_descriptor: AtomicBool::new(false),
            is_software_protected: AtomicBool::new(false),
            copies: Mutex::default(),
            paths: Mutex::default(),
        };
        unit.change_reservations(|_| ());
        Arc::new(unit)
    }

    /// Puts another disk behind it, or none.
    pub fn set_disk(&self, disk: Option<AnyDisk>) {
        *self.disk.write().unwrap_or_else(PoisonError::into_inner) = disk;
    }

    /// What it is.
    pub fn settings(&self) -> &UnitSettings {
        &self.settings
    }

    /// How many logical blocks it has.
    pub fn capacity(&self) -> u64 {
        self.medium().map_or(0, |medium| medium.capacity())
    }

    /// Who has reserved it, and who has registered.
    pub fn reservations(&self) -> ReservationStatus {
        reservation_status::of(&lock(&self.reservations))
    }

    /// The disk as it is now, whether it is loaded or not.
    pub(super) fn medium(&self) -> Option<Medium> {
        let disk = self.disk.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let per_block = u64::from(self.settings.logical_block_len) / SECTOR_LEN as u64;
        Some(Medium { geometry: disk.geometry(), disk, per_block: per_block.max(1) })
    }

    /// Whether its state lets a command through.
    ///
    /// # Errors
    /// NOT READY, or MEDIUM ERROR after a sanitize that failed.
    pub(super) fn admit(&self, entry: &Entry, path: &Path, has_disk: bool) -> Result<(), Sense> {
        self.sanitizing.admit(entry, path)?;
        if entry.needs_medium() && self.is_ejected.load(Ordering::Acquire) {
            return Err(Sense::no_medium());
        }
        if entry.needs_medium() && !has_disk {
            return Err(Sense::not_ready(0x03));
        }
        Ok(())
    }

    /// Whether its medium is out, or being sanitized.
    pub(super) fn is_busy(&self) -> bool {
        self.is_ejected.load(Ordering::Acquire) || self.sanitizing.sense().is_some()
    }

    /// Whether anybody has reserved it, in one way or the other.
    pub(super) fn is_reserved(&self) -> bool {
        self.is_reserved.load(Ordering::Acquire)
    }

    /// Rises with each change of the reservations; never 0.
    pub(super) fn reservations_version(&self) -> u64 {
        self.reservations_version.load(Ordering::Acquire)
    }

    /// Looks at the reservations.
    pub(super) fn see_reservations<T>(&self, see: impl FnOnce(&Reservations) -> T) -> T {
        see(&lock(&self.reservations))
    }

    /// Changes the reservations.
    pub(super) fn change_reservations<T>(&self, change: impl FnOnce(&mut Reservations) -> T) -> T {
        let mut reservations = lock(&self.reservations);
        let changed = change(&mut reservations);
        let is_reserved =
            reservations.reserved.is_some() || reservations.registry.holding().is_some();
        self.reservations_version.fetch_add(1, Ordering::AcqRel);
        self.is_reserved.store(is_reserved, Ordering::Release);
        changed
    }

    /// Looks at or changes what is loaded.
    pub(super) fn with_loading<T>(&self, with: impl FnOnce(&mut Loading) -> T) -> T {
        let mut loading = lock(&self.loading);
        let done = with(&mut loading);
        self.is_ejected.store(loading.is_ejected, Ordering::Release);
        done
    }

    /// Looks at or changes the results of copies.
    pub(super) fn with_copies<T>(&self, with: impl FnOnce(&mut CopyResults) -> T) -> T {
        with(&mut lock(&self.copies))
    }

    /// The format of sense data.
    pub(super) fn sense_format(&self) -> Format {
        if self.is_sense_descriptor.load(Ordering::Relaxed) {
            Format::Descriptor
        } else {
            Format::Fixed
        }
    }

    /// Sets the format of sense data.
    pub(super) fn set_sense_format(&self, format: Format) {
        self.is_sense_descriptor.store(format == Format::Descriptor, Ordering::Relaxed);
    }

    /// Whether an initiator has protected it from being written.
    pub(super) fn is_software_protected(&self) -> bool {
        self.is_software_protected.load(Ordering::Acquire)
    }

    /// Protects it from being written, or no longer.
    pub(super) fn set_software_protected(&self, is_protected: bool) {
        self.is_software_protected.store(is_protected, Ordering::Release);
    }

    /// Makes a path known.
    pub(super) fn add_path(&self, path: &Arc<Path>) {
        let mut paths = lock(&self.paths);
        paths.retain(|known| known.strong_count() > 0);
        paths.push(Arc::downgrade(path));
    }

    /// All paths that lead here.
    pub(super) fn paths(&self) -> Vec<Arc<Path>> {
        lock(&self.paths).iter().filter_map(Weak::upgrade).collect()
    }

    /// Tells all paths but that of `except` of something.
    pub(super) fn raise(&self, attention: Attention, except: Option<&Path>) {
        for path in self.paths() {
            if except.is_none_or(|except| !std::ptr::eq(except, &raw const *path)) {
                path.raise(attention);
            }
        }
    }

    /// A nexus has ended: what belonged to it alone is over.
    pub(super) fn forget_nexus(&self, nexus: u64) {
        let is_holder = |reserved: &Reserved| reserved.nexus == nexus;
        if self.see_reservations(|all| all.reserved.as_ref().is_some_and(is_holder)) {
            self.change_reservations(|all| all.reserved = None);
        }
        self.with_loading(|loading| loading.preventing.retain(|other| *other != nexus));
    }

    /// A logical unit reset: everything but the persistent reservations and a sanitize is as at the start.
    /// The paths whose commands were aborted are given back.
    pub(super) fn reset(&self) -> Vec<Arc<Path>> {
        self.change_reservations(|all| all.reserved = None);
        self.with_loading(|loading| loading.preventing.clear());
        self.set_sense_format(Format::Fixed);
        self.set_software_protected(false);
        let paths = self.paths();
        for path in &paths {
            path.abort_all();
            path.raise(Attention::Reset);
        }
        paths
    }
}
