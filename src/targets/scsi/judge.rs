//! Judges a command as it arrives: everything that can be said before its data is here.
//!
//! In this order: known, not in conflict with a reservation, nothing to be told first, no wrong bit, a
//! medium, an access state that lets it through, not protected, and then whatever the command itself asks.
//!
//! Source: SAM-5 5.3.3 and 5.14 for the order.

use std::sync::Arc;

use base::units::{Extent, SECTOR_LEN};
use disk::{AnyDisk, Geometry};

use super::cdb::{Blocks, Cdb};
use super::command::{Command, Plan};
use super::command_table::{self, Access, Entry};
use super::limits::TRANSFER_LEN_MAX;
use super::nexus::{Nexus, TaskAttribute};
use super::path::Path;
use super::rights;
use super::sense::Sense;

/// Why a command was not let in.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another nexus has reserved the unit.
    Conflict,
    /// For another reason.
    Sense(Sense),
}

impl From<Sense> for Refusal {
    fn from(sense: Sense) -> Self {
        Self::Sense(sense)
    }
}

/// A disk and its size.
pub(super) struct Medium {
    /// The disk.
    pub disk: AnyDisk,
    /// What it is like.
    pub geometry: Geometry,
    /// Sectors in a logical block.
    pub per_block: u64,
}

impl Medium {
    /// How many logical blocks it has.
    pub const fn capacity(&self) -> u64 {
        self.geometry.sectors / self.per_block
    }

    /// The sectors of blocks that lie within it.
    pub const fn extent(&self, blocks: Blocks) -> Extent {
        Extent::new(blocks.lba * self.per_block, blocks.count * self.per_block)
    }

    /// Bytes in a logical block.
    pub const fn block_len(&self) -> u64 {
        self.per_block * SECTOR_LEN as u64
    }

    /// Logical blocks in one physical block.
    pub fn blocks_per_physical(&self) -> u32 {
        let per_physical = u64::from(self.geometry.physical_block_len) / self.block_len().max(1);
        u32::try_from(per_physical).unwrap_or(u32::MAX).max(1)
    }

    /// The blocks of a CDB, as sectors: within the disk, and not more than one command may move.
    ///
    /// # Errors
    /// LOGICAL BLOCK ADDRESS OUT OF RANGE, or INVALID FIELD IN CDB where they are too many.
    pub fn transfer(&self, cdb: &Cdb) -> Result<Extent, Sense> {
        let extent = self.extent(cdb.blocks().within(self.capacity())?);
        if extent.bytes() > TRANSFER_LEN_MAX {
            return Err(Sense::cdb_byte(cdb.count_at()));
        }
        Ok(extent)
    }
}

/// What is asked, of whom.
pub(super) struct Asked<'a> {
    /// The nexus through which it came.
    pub nexus: &'a Nexus,
    /// The nexus and the unit.
    pub path: &'a Arc<Path>,
    /// The command.
    pub cdb: &'a Cdb,
    medium: Option<Medium>,
}

impl Asked<'_> {
    /// The medium, which commands that need one have.
    ///
    /// # Errors
    /// LOGICAL UNIT NOT READY where there is none.
    pub fn medium(&self) -> Result<&Medium, Sense> {
        self.medium.as_ref().ok_or(Sense::not_ready(0x03))
    }
}

/// Judges a command.
///
/// # Errors
/// Why it is not let in.
pub(super) fn judge(
    nexus: &Nexus,
    path: Arc<Path>,
    cdb: &Cdb,
    attribute: TaskAttribute,
) -> Result<Command, (Arc<Path>, Refusal)> {
    match plan(nexus, &path, cdb, attribute) {
        Ok(plan) => {
            let is_ordered = matches!(attribute, TaskAttribute::Ordered);
            Ok(Command::new(path, plan, is_ordered))
        }
        Err(refusal) => Err((path, refusal)),
    }
}

fn plan(
    nexus: &Nexus,
    path: &Arc<Path>,
    cdb: &Cdb,
    attribute: TaskAttribute,
) -> Result<Plan, Refusal> {
    let entry = command_table::find(cdb)?;
    if matches!(attribute, TaskAttribute::Aca) {
        // NACA is refused, so that there never is one.
        return Err(Sense::new(super::sense::Key::AbortedCommand, 0x49, 0).into());
    }
    if path.unit.is_reserved() && !rights::allow(path, entry, access(entry, cdb)) {
        return Err(Refusal::Conflict);
    }
    let medium = path.unit.medium();
    if let Some(medium) = &medium {
        path.see_capacity(medium.capacity());
    }
    if entry.is_stopped_by_attention()
        && let Some(attention) = path.take_attention()
    {
        return Err(attention.sense().into());
    }
    entry.check(cdb)?;
    path.unit.admit(entry, path, medium.is_some())?;
    path.access().admit(entry)?;
    if entry.is_change() {
        writable(path, medium.as_ref())?;
    }
    Ok((entry.begin)(&Asked { nexus, path, cdb, medium })?)
}

/// What a command does, where its row alone cannot say.
fn access(entry: &Entry, cdb: &Cdb) -> Access {
    let is_free = match entry.access {
        Access::Prevent => cdb.byte(4) & 0x03 == 0,
        Access::StartStop => cdb.byte(4) & 0xf3 == 0x01,
        _ => return entry.access,
    };
    if is_free { Access::Free } else { Access::Write }
}

/// That the unit may be changed on this way.
///
/// # Errors
/// WRITE PROTECTED, of one kind or the other.
pub(super) fn writable(path: &Path, medium: Option<&Medium>) -> Result<(), Sense> {
    if path.is_read_only || medium.is_some_and(|medium| medium.geometry.is_read_only) {
        return Err(Sense::write_protected());
    }
    if path.unit.is_software_protected() {
        return Err(Sense::software_write_protected());
    }
    Ok(())
}
