//! ORWRITE(16): what is on the medium or in the data, bit by bit, atomically over all paths.
//!
//! Source: SBC-4 5.12.

use disk::Buffer;

use super::command::{Plan, Run};
use super::failure;
use super::judge::Asked;
use super::read_write::durability;
use super::sense::Sense;

/// ORWRITE(16).
///
/// # Errors
/// Where the blocks are not there, or too many.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let medium = asked.medium()?;
    let extent = medium.transfer(asked.cdb)?;
    let (disk, durability) = (medium.disk.clone(), durability(asked.cdb));
    Ok(Plan::later(extent.bytes(), move |run: Run| async move {
        let path = run.path;
        let (extent, data) = super::command::arrived(&path, extent, run.data)?;
        if extent.is_empty() {
            return Ok(());
        }
        let failed = |error| failure::sense(&error, &path.unit);
        let _alone = path.unit.ranges.alone(extent).await;
        let mut buffer: Buffer = disk.read(extent).await.map_err(failed)?;
        let new = data.iter().flat_map(|piece| piece.iter());
        for (old, new) in buffer.iter_mut().zip(new) {
            *old |= new;
        }
        if run.abort.is_aborted() {
            return Ok(());
        }
        disk.write(extent.start, vec![buffer.freeze()], durability).await.map_err(failed)
    }))
}
