//! EXTENDED COPY(LID1): copies blocks between units that the initiator sees, or within one.
//!
//! Source: SPC-4 5.16, 6.4.

use std::sync::Arc;

use base::units::{Extent, SECTOR_LEN};
use disk::{AnyDisk, Buffer, DiskError, Durability};

use super::command::{Abort, Plan, Run};
use super::command_table::Access;
use super::copy_list::{self, Amount, CopyList, Named, Place, Remember, Segment};
use super::copy_results::Outcome;
use super::judge::{Asked, writable};
use super::limits::{COPY_LIST_LEN_MAX, COPY_SEGMENT_LEN_MAX, STEP_LEN};
use super::path::Path;
use super::rights;
use super::sense::{Key, Sense};

/// EXTENDED COPY.
///
/// # Errors
/// PARAMETER LIST LENGTH ERROR for a list that cannot be right.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let len = asked.cdb.u32(10);
    if len == 0 {
        return Ok(Plan::good());
    }
    if len > COPY_LIST_LEN_MAX {
        return Err(Sense::list_len());
    }
    let paths = asked.nexus.paths();
    Ok(Plan::later(u64::from(len), move |run: Run| async move {
        let list = copy_list::decode(&run.list(u64::from(len))?)?;
        let mut outcome = Outcome::default();
        let done = all(&list, &paths, &run.abort, &mut outcome).await;
        if let Remember::Under(identifier) = list.remember {
            outcome.sense = done.err();
            let nexus = run.path.ends.id;
            run.path.unit.with_copies(|results| results.put(nexus, identifier, outcome));
        }
        done
    }))
}

const fn aborted(asc: u8, ascq: u8) -> Sense {
    Sense::new(Key::CopyAborted, asc, ascq)
}

/// UNREACHABLE COPY TARGET
const UNREACHABLE: Sense = aborted(0x08, 0x04);
/// COPY TARGET DEVICE NOT REACHABLE
const NOT_REACHABLE: Sense = aborted(0x0d, 0x02);
/// THIRD PARTY DEVICE FAILURE
const FAILURE: Sense = aborted(0x0d, 0x01);

async fn all(
    list: &CopyList,
    paths: &[Arc<Path>],
    abort: &Abort,
    outcome: &mut Outcome,
) -> Result<(), Sense> {
    for segment in &list.segments {
        let at = u16::try_from(segment.at).unwrap_or(u16::MAX);
        let moving = resolve(list, segment, paths).map_err(|sense| match sense.key {
            Key::CopyAborted => sense.with_segment(at),
            _ => sense,
        })?;
        moving.carry_out(abort).await.map_err(|()| FAILURE.with_segment(at))?;
        outcome.segments = outcome.segments.saturating_add(1);
        outcome.bytes = outcome.bytes.saturating_add(moving.len);
    }
    Ok(())
}

fn find<'a>(named: &Named, paths: &'a [Arc<Path>]) -> Option<&'a Arc<Path>> {
    let naa = named.naa?;
    paths.iter().find(|path| path.unit.settings().identity.naa() == naa)
}

struct End {
    path: Arc<Path>,
    disk: AnyDisk,
    /// The first byte.
    start: u64,
}

/// Bytes that are to be moved.
struct Moving {
    from: End,
    to: End,
    len: u64,
}

fn resolve(list: &CopyList, segment: &Segment, paths: &[Arc<Path>]) -> Result<Moving, Sense> {
    let path = |place: &Place| {
        let named = list.targets.get(usize::from(place.index)).ok_or(UNREACHABLE)?;
        find(named, paths).ok_or(NOT_REACHABLE)
    };
    let (from, to) = (path(&segment.from)?, path(&segment.to)?);
    let block_len = |path: &Path| u64::from(path.unit.settings().logical_block_len);
    let len = match segment.amount {
        Amount::SourceBlocks(count) => count * block_len(from),
        Amount::DestinationBlocks(count) => count * block_len(to),
        Amount::Bytes(bytes) => bytes,
    };
    if len > u64::from(COPY_SEGMENT_LEN_MAX) {
        return Err(Sense::list_byte(segment.at + 8));
    }
    let is_writable = |path: &Path| writable(path, path.unit.medium().as_ref()).is_ok();
    if !is_writable(to) {
        return Err(FAILURE);
    }
    Ok(Moving {
        from: end(from, &segment.from, len, Access::Read)?,
        to: end(to, &segment.to, len, Access::Write)?,
        len,
    })
}

fn end(path: &Arc<Path>, place: &Place, len: u64, access: Access) -> Result<End, Sense> {
    if !rights::allow_copy(path, access) || path.unit.is_busy() {
        return Err(FAILURE);
    }
    let medium = path.unit.medium().ok_or(FAILURE)?;
    let start = place.lba.checked_mul(medium.block_len()).and_then(|s| s.checked_add(place.offset));
    let end = start.and_then(|start| start.checked_add(len));
    let capacity = medium.capacity().saturating_mul(medium.block_len());
    match (start, end) {
        (Some(start), Some(end)) if end <= capacity => {
            Ok(End { path: Arc::clone(path), disk: medium.disk, start })
        }
        _ => Err(aborted(0, 0)),
    }
}

/// The sectors in which bytes lie, and how many bytes of the first one come before.
fn cover(start: u64, len: u64) -> (Extent, usize) {
    let sector = SECTOR_LEN as u64;
    let first = start / sector;
    let extent = Extent::new(first, (start + len).div_ceil(sector) - first);
    (extent, usize::try_from(start % sector).unwrap_or(0))
}

impl Moving {
    async fn carry_out(&self, abort: &Abort) -> Result<(), ()> {
        let mut done = 0;
        while done < self.len && !abort.is_aborted() {
            let len = STEP_LEN.min(self.len - done);
            self.step(done, len).await.map_err(|error| {
                tracing::debug!(unit = %self.to.path.unit.settings().identity.id, %error, "copy");
            })?;
            done += len;
        }
        Ok(())
    }

    async fn step(&self, done: u64, len: u64) -> Result<(), DiskError> {
        let (from, skipped) = cover(self.from.start + done, len);
        let held = self.from.path.unit.ranges.share(from).await;
        let read = self.from.disk.read(from).await;
        self.from.path.unit.ranges.unshare(held);
        let read = read?;
        let (to, offset) = cover(self.to.start + done, len);
        let is_whole = offset == 0 && len.is_multiple_of(SECTOR_LEN as u64);
        let (disk, ranges) = (&self.to.disk, &self.to.path.unit.ranges);
        let len = usize::try_from(len).unwrap_or(0);
        let bytes = &read[skipped..skipped + len];
        if is_whole {
            let data = vec![if skipped == 0 && read.len() == len {
                read.freeze()
            } else {
                Buffer::copy_of(bytes)?.freeze()
            }];
            let held = ranges.share(to).await;
            let written = disk.write(to.start, data, Durability::Volatile).await;
            ranges.unshare(held);
            return written;
        }
        let _alone = ranges.alone(to).await;
        let mut old = disk.read(to).await?;
        old[offset..offset + len].copy_from_slice(bytes);
        disk.write(to.start, vec![old.freeze()], Durability::Volatile).await
    }
}
