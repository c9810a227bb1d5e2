//! COMPARE AND WRITE: the second half of the data is written where the first half is what is there,
//! atomically over all paths.
//!
//! Source: SBC-4 5.3.

use disk::Payload;

use base::units::SECTOR_LEN;

use super::cdb::Blocks;
use super::command::{Plan, Run};
use super::failure;
use super::judge::Asked;
use super::read_write::durability;
use super::sense::Sense;

/// COMPARE AND WRITE.
///
/// # Errors
/// Where the blocks are not there.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let medium = asked.medium()?;
    let blocks = Blocks { lba: asked.cdb.u64(2), count: u64::from(asked.cdb.byte(13)) };
    let extent = medium.extent(blocks.within(medium.capacity())?);
    let (disk, durability) = (medium.disk.clone(), durability(asked.cdb));
    let wanted = extent.bytes() * 2;
    Ok(Plan::later(wanted, move |run: Run| async move {
        if extent.is_empty() && run.data.offered > 0 {
            // A count that does not fit the CDB arrives as none, with data.
            return Err(Sense::cdb_byte(13));
        }
        if run.data.len != wanted || run.data.offered > wanted {
            return Err(Sense::wrong_data_len());
        }
        if extent.is_empty() {
            return Ok(());
        }
        let (path, pieces) = (run.path, run.data.pieces);
        let failed = |error| failure::sense(&error, &path.unit);
        let _alone = path.unit.ranges.alone(extent).await;
        let found = disk.read(extent).await.map_err(failed)?;
        if let Some(offset) = first_difference(&found, &pieces) {
            return Err(Sense::miscompare(offset));
        }
        if run.abort.is_aborted() {
            return Ok(());
        }
        let new = from(&pieces, extent.sectors);
        disk.write(extent.start, new, durability).await.map_err(failed)
    }))
}

/// The offset of the first byte in which `found` is not what the front of `pieces` is.
pub(super) fn first_difference(found: &[u8], pieces: &[Payload]) -> Option<u64> {
    let mut at = 0;
    for piece in pieces {
        let len = piece.len().min(found.len() - at);
        let (found, piece) = (&found[at..at + len], &piece[..len]);
        if found != piece {
            let within = found.iter().zip(piece).position(|(a, b)| a != b).unwrap_or(0);
            return u64::try_from(at + within).ok();
        }
        at += len;
    }
    None
}

/// What follows after so many sectors.
fn from(pieces: &[Payload], mut skip: u64) -> Vec<Payload> {
    let mut rest = Vec::new();
    for piece in pieces {
        let skipped = skip.min(piece.sectors());
        skip -= skipped;
        if piece.sectors() > skipped {
            rest.push(piece.slice(skipped, piece.sectors() - skipped));
        }
    }
    debug_assert!(rest.iter().all(|piece| piece.len() % SECTOR_LEN == 0));
    rest
}
