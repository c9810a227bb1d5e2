//! WRITE SAME, of 10 and 16 bytes: one block of data over many blocks, or their mapping given up.
//!
//! With UNMAP the blocks read as zeroes afterwards, whatever the data says: what is unmapped here always does.
//! No blocks means all to the end.
//!
//! Source: SBC-4 5.50, 5.51.

use std::sync::Arc;

use base::units::{Extent, SECTOR_LEN};
use disk::{AnyDisk, Buffer, Durability, Keep};

use super::cdb::Blocks;
use super::command::{Abort, Plan, Run};
use super::failure;
use super::judge::Asked;
use super::limits::{STEP_LEN, WRITE_SAME_LEN_MAX};
use super::path::Path;
use super::sense::Sense;

const UNMAP: u8 = 0x08;
const ANCHOR: u8 = 0x10;
const NO_DATA: u8 = 0x01;

/// WRITE SAME.
///
/// # Errors
/// Where the blocks are not there or too many, or ANCHOR is set without UNMAP.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let (cdb, medium) = (asked.cdb, asked.medium()?);
    let unmaps = cdb.has(1, UNMAP);
    if cdb.has(1, ANCHOR) && !unmaps {
        return Err(Sense::cdb_bit(1, 4));
    }
    let mut blocks = cdb.blocks();
    if blocks.count == 0 {
        blocks.count = medium.capacity().saturating_sub(blocks.lba);
    }
    let extent = medium.extent(Blocks { ..blocks }.within(medium.capacity())?);
    if extent.bytes() > WRITE_SAME_LEN_MAX {
        return Err(Sense::cdb_byte(cdb.count_at()));
    }
    let keep = if unmaps && !cdb.has(1, ANCHOR) { Keep::Nothing } else { Keep::Space };
    let has_data = !(cdb.code() == 0x93 && cdb.has(1, NO_DATA));
    let wanted = if has_data { medium.block_len() } else { 0 };
    let disk = medium.disk.clone();
    Ok(Plan::later(wanted, move |run: Run| async move {
        if run.data.offered > wanted && has_data {
            return Err(Sense::wrong_data_len());
        }
        let pattern = run.list(wanted).map_err(|_| Sense::wrong_data_len())?;
        if unmaps || pattern.iter().all(|byte| *byte == 0) {
            return zero(&run.path, &disk, extent, keep).await;
        }
        fill(&run.path, &disk, extent, &pattern, &run.abort).await
    }))
}

/// Makes sectors read as zeroes.
///
/// # Errors
/// What the disk says.
pub(super) async fn zero(
    path: &Arc<Path>,
    disk: &AnyDisk,
    extent: Extent,
    keep: Keep,
) -> Result<(), Sense> {
    let held = path.unit.ranges.share(extent).await;
    let done = disk.write_zeroes(extent, keep).await;
    path.unit.ranges.unshare(held);
    done.map_err(|error| failure::sense(&error, &path.unit))
}

/// Writes `pattern`, which divides a logical block, over and over.
///
/// # Errors
/// What the disk says.
async fn fill(
    path: &Arc<Path>,
    disk: &AnyDisk,
    extent: Extent,
    pattern: &[u8],
    abort: &Abort,
) -> Result<(), Sense> {
    let failed = |error| failure::sense(&error, &path.unit);
    let step = (STEP_LEN / SECTOR_LEN as u64).min(extent.sectors);
    let payload = repeated(pattern, step).map_err(failed)?.freeze();
    let mut done = 0;
    while done < extent.sectors && !abort.is_aborted() {
        let part = Extent::new(extent.start + done, step.min(extent.sectors - done));
        let held = path.unit.ranges.share(part).await;
        let data = vec![payload.slice(0, part.sectors)];
        let written = disk.write(part.start, data, Durability::Volatile).await;
        path.unit.ranges.unshare(held);
        written.map_err(failed)?;
        done += part.sectors;
    }
    Ok(())
}

/// So many sectors of a pattern, which starts anew with each of its own length.
///
/// # Errors
/// `TooLarge` where that is more than a buffer may hold.
pub(super) fn repeated(pattern: &[u8], sectors: u64) -> Result<Buffer, disk::DiskError> {
    let mut buffer = Buffer::sectors_to_fill(sectors)?;
    for piece in buffer.chunks_mut(pattern.len().max(1)) {
        piece.copy_from_slice(&pattern[..piece.len()]);
    }
    Ok(buffer)
}
