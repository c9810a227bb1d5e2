//! SEND DIAGNOSTIC: the default self-test, which reads the first block.
//!
//! Source: SPC-4 6.42.

use base::units::Extent;

use super::command::{Plan, Run};
use super::failure;
use super::judge::Asked;
use super::sense::Sense;

/// SEND DIAGNOSTIC.
///
/// # Errors
/// None: the table lets only the default self-test through.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    if !asked.cdb.has(1, 0x04) {
        return Ok(Plan::good());
    }
    let medium = asked.medium()?;
    let (disk, first) = (medium.disk.clone(), Extent::new(0, medium.per_block));
    Ok(Plan::later(0, move |run: Run| async move {
        let read = disk.read(first).await;
        read.map(drop).map_err(|error| failure::sense(&error, &run.path.unit))
    }))
}
