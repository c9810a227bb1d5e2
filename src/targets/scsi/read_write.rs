//! READ, WRITE, WRITE ATOMIC, PRE-FETCH and SYNCHRONIZE CACHE.
//!
//! Source: SBC-4 5.

use disk::Durability;

use super::cdb::{Blocks, Cdb};
use super::command::{Other, Plan, Run, Work, arrived};
use super::failure;
use super::judge::{Asked, Medium};
use super::response::{Response, Status};
use super::sense::Sense;
use super::vpd;

/// How safe a write must be when it is answered: FUA.
pub(super) const fn durability(cdb: &Cdb) -> Durability {
    if cdb.code() & 0xe0 != 0 && cdb.has(1, 0x08) {
        Durability::Stable
    } else {
        Durability::Volatile
    }
}

/// READ.
///
/// # Errors
/// Where the blocks are not there, or too many.
pub(super) fn read(asked: &Asked) -> Result<Plan, Sense> {
    let medium = asked.medium()?;
    let extent = medium.transfer(asked.cdb)?;
    Ok(Plan::Read { disk: medium.disk.clone(), extent })
}

/// WRITE.
///
/// # Errors
/// As READ.
pub(super) fn write(asked: &Asked) -> Result<Plan, Sense> {
    let medium = asked.medium()?;
    let extent = medium.transfer(asked.cdb)?;
    Ok(Plan::Write { disk: medium.disk.clone(), extent, durability: durability(asked.cdb) })
}

/// WRITE ATOMIC(16): one operation of the disk, alone with its sectors.
///
/// # Errors
/// As READ, and where more is asked for than the disk promises, or parts of its physical blocks.
pub(super) fn write_atomic(asked: &Asked) -> Result<Plan, Sense> {
    let medium = asked.medium()?;
    let blocks = Blocks { lba: asked.cdb.u64(2), count: u64::from(asked.cdb.u16(12)) };
    let extent = medium.extent(blocks.within(medium.capacity())?);
    let granularity = u64::from(vpd::atomic_granularity(medium)).max(1);
    if blocks.count > u64::from(vpd::atomic_blocks_max(medium))
        || !blocks.count.is_multiple_of(granularity)
    {
        return Err(Sense::cdb_byte(12));
    }
    if !blocks.lba.is_multiple_of(granularity) {
        return Err(Sense::cdb_byte(2));
    }
    let (disk, durability) = (medium.disk.clone(), durability(asked.cdb));
    Ok(Plan::later(extent.bytes(), move |run: Run| async move {
        if run.data.len < extent.bytes() {
            return Err(Sense::wrong_data_len());
        }
        let path = run.path;
        let (extent, data) = arrived(&path, extent, run.data)?;
        let _alone = path.unit.ranges.alone(extent).await;
        if run.abort.is_aborted() || extent.is_empty() {
            return Ok(());
        }
        let written = disk.write(extent.start, data, durability).await;
        written.map_err(|error| failure::sense(&error, &path.unit))
    }))
}

/// PRE-FETCH: the blocks are there; whether they are in a cache is the disk's business.
///
/// # Errors
/// Where the blocks are not there.
pub(super) fn prefetch(asked: &Asked) -> Result<Plan, Sense> {
    let medium = asked.medium()?;
    to_end(asked.cdb, medium)?;
    let run = Box::new(|_| Work::Ended(Response::of(Status::Good)));
    Ok(Plan::Other(Other { data_out: 0, data_in: 0, run }))
}

/// SYNCHRONIZE CACHE: all of the disk, whichever blocks are named.
///
/// # Errors
/// Where the blocks are not there.
pub(super) fn synchronize(asked: &Asked) -> Result<Plan, Sense> {
    let medium = asked.medium()?;
    to_end(asked.cdb, medium)?;
    Ok(Plan::Flush { disk: medium.disk.clone() })
}

/// That blocks are there, none meaning all to the end.
fn to_end(cdb: &Cdb, medium: &Medium) -> Result<Blocks, Sense> {
    let blocks = cdb.blocks();
    let count =
        if blocks.count == 0 { medium.capacity().saturating_sub(blocks.lba) } else { blocks.count };
    Blocks { count, ..blocks }.within(medium.capacity())
}
