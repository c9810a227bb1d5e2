//! VERIFY and WRITE AND VERIFY: that blocks can be read, or are what the data says.
//!
//! BYTCHK 00b reads, 01b compares with all of the data, 11b compares each block with one block of data.
//!
//! Source: SBC-4 5.33, 5.42.

use std::sync::Arc;

use base::units::{Extent, SECTOR_LEN};
use disk::{AnyDisk, Payload};

use super::command::{Plan, Run, arrived};
use super::compare_write::first_difference;
use super::failure;
use super::judge::Asked;
use super::limits::STEP_LEN;
use super::path::Path;
use super::sense::Sense;

/// Reads what lies in `extent`, in steps, and has each looked at; `look` gets the offset in bytes.
async fn each(
    path: &Arc<Path>,
    disk: &AnyDisk,
    extent: Extent,
    mut look: impl FnMut(u64, &[u8]) -> Result<(), Sense> + Send,
) -> Result<(), Sense> {
    let step = STEP_LEN / SECTOR_LEN as u64;
    let mut done = 0;
    while done < extent.sectors {
        let part = Extent::new(extent.start + done, step.min(extent.sectors - done));
        let held = path.unit.ranges.share(part).await;
        let read = disk.read(part).await;
        path.unit.ranges.unshare(held);
        let buffer = read.map_err(|error| failure::sense(&error, &path.unit))?;
        look(done * SECTOR_LEN as u64, &buffer)?;
        done += part.sectors;
    }
    Ok(())
}

/// VERIFY.
///
/// # Errors
/// Where the blocks are not there or too many, or BYTCHK is 10b.
pub(super) fn verify(asked: &Asked) -> Result<Plan, Sense> {
    let medium = asked.medium()?;
    let blocks = asked.cdb.blocks().within(medium.capacity())?;
    let (disk, extent) = (medium.disk.clone(), medium.extent(blocks));
    match asked.cdb.byte(1) >> 1 & 0x03 {
        0 => Ok(Plan::later(0, move |run: Run| async move {
            each(&run.path, &disk, extent, |_, _| {
                // An aborted command stops at the next step.
                if run.abort.is_aborted() { Err(Sense::failure()) } else { Ok(()) }
            })
            .await
        })),
        1 => {
            let extent = medium.transfer(asked.cdb)?;
            Ok(Plan::later(extent.bytes(), move |run: Run| async move {
                let (extent, data) = arrived(&run.path, extent, run.data)?;
                compare(&run.path, &disk, extent, data).await
            }))
        }
        3 => {
            let block_len = if extent.is_empty() { 0 } else { medium.block_len() };
            Ok(Plan::later(block_len, move |run: Run| async move {
                let pattern = run.list(block_len).map_err(|_| Sense::wrong_data_len())?;
                compare_each(&run.path, &disk, extent, &pattern).await
            }))
        }
        _ => Err(Sense::cdb_bit(1, 2)),
    }
}

/// WRITE AND VERIFY.
///
/// # Errors
/// Where the blocks are not there or too many, or BYTCHK is neither 00b nor 01b.
pub(super) fn write_and_verify(asked: &Asked) -> Result<Plan, Sense> {
    let medium = asked.medium()?;
    let extent = medium.transfer(asked.cdb)?;
    let compares = match asked.cdb.byte(1) >> 1 & 0x03 {
        0 => false,
        1 => true,
        _ => return Err(Sense::cdb_bit(1, 2)),
    };
    let disk = medium.disk.clone();
    Ok(Plan::later(extent.bytes(), move |run: Run| async move {
        let (path, abort) = (run.path, run.abort);
        let (extent, data) = arrived(&path, extent, run.data)?;
        if extent.is_empty() {
            return Ok(());
        }
        let held = path.unit.ranges.share(extent).await;
        let written = if abort.is_aborted() {
            Ok(())
        } else {
            disk.write(extent.start, data.clone(), disk::Durability::Stable).await
        };
        path.unit.ranges.unshare(held);
        written.map_err(|error| failure::sense(&error, &path.unit))?;
        if compares {
            compare(&path, &disk, extent, data).await
        } else {
            each(&path, &disk, extent, |_, _| Ok(())).await
        }
    }))
}

async fn compare(
    path: &Arc<Path>,
    disk: &AnyDisk,
    extent: Extent,
    data: Vec<Payload>,
) -> Result<(), Sense> {
    let mut pieces = data;
    each(path, disk, extent, move |at, found| {
        if let Some(offset) = first_difference(found, &pieces) {
            return Err(Sense::miscompare(at + offset));
        }
        let mut skip = (found.len() / SECTOR_LEN) as u64;
        pieces.retain_mut(|piece| {
            let skipped = skip.min(piece.sectors());
            skip -= skipped;
            *piece = piece.slice(skipped, piece.sectors() - skipped);
            piece.sectors() > 0
        });
        Ok(())
    })
    .await
}

async fn compare_each(
    path: &Arc<Path>,
    disk: &AnyDisk,
    extent: Extent,
    pattern: &[u8],
) -> Result<(), Sense> {
    each(path, disk, extent, |at, found| {
        let differs = |(found, pattern): (&u8, &u8)| found != pattern;
        match found.iter().zip(pattern.iter().cycle()).position(differs) {
            Some(offset) => Err(Sense::miscompare(at + offset as u64)),
            None => Ok(()),
        }
    })
    .await
}
