//! GET LBA STATUS: which blocks are mapped, unmapped or anchored.
//!
//! That is known of physical blocks: an answer begins with the first whole one at or behind the address that
//! was asked for, where there is one.
//!
//! Source: SBC-4 5.8.

use base::units::Extent;
use disk::{AnyDisk, DiskError, MapExtent, MapKind};

use super::command::{Plan, Run};
use super::failure;
use super::judge::Asked;
use super::limits::STATUS_DESCRIPTORS_MAX;
use super::sense::Sense;

const HEAD_LEN: u64 = 8;
const DESCRIPTOR_LEN: u64 = 16;
/// Questions that are put to the disk for one answer: each brings at least one stretch.
const QUESTIONS_MAX: usize = 64;

/// GET LBA STATUS.
///
/// # Errors
/// LOGICAL BLOCK ADDRESS OUT OF RANGE where there is no block.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let medium = asked.medium()?;
    let (lba, allowed) = (asked.cdb.u64(2), u64::from(asked.cdb.u32(10)));
    if lba >= medium.capacity() {
        return Err(Sense::out_of_range(lba));
    }
    let lba = first_told(lba, u64::from(medium.blocks_per_physical()), medium.capacity());
    let (disk, per_block) = (medium.disk.clone(), medium.per_block);
    let extent = Extent::new(lba * per_block, (medium.capacity() - lba) * per_block);
    let count = allowed.saturating_sub(HEAD_LEN).div_ceil(DESCRIPTOR_LEN).max(1);
    let count_max = usize::try_from(count).unwrap_or(usize::MAX).min(STATUS_DESCRIPTORS_MAX);
    Ok(Plan::answer_later(allowed, move |run: Run| async move {
        let map = stretches(&disk, extent, count_max).await;
        let map = map.map_err(|error| failure::sense(&error, &run.path.unit))?;
        Ok(encode(lba, &in_blocks(&map, per_block), count_max))
    }))
}

/// The block that an answer begins with.
const fn first_told(lba: u64, per_physical: u64, capacity: u64) -> u64 {
    match lba.checked_next_multiple_of(per_physical) {
        Some(whole) if whole < capacity => whole,
        _ => lba,
    }
}

/// Neighbouring stretches of `extent` from its start on, merged where they are alike: one more than wanted
/// where there are more.
async fn stretches(
    disk: &AnyDisk,
    extent: Extent,
    count_max: usize,
) -> Result<Vec<MapExtent>, DiskError> {
    let mut all: Vec<MapExtent> = Vec::new();
    let mut at = extent.start;
    for _ in 0..QUESTIONS_MAX {
        if at >= extent.end() || all.len() > count_max {
            break;
        }
        for stretch in disk.map(Extent::new(at, extent.end() - at)).await? {
            at = stretch.extent.end();
            match all.last_mut() {
                Some(last) if last.kind == stretch.kind => {
                    last.extent.sectors += stretch.extent.sectors;
                }
                _ => all.push(stretch),
            }
        }
    }
    Ok(all)
}

/// The same in logical blocks, counted from the first: how many, and what they are. A block of which any part
/// is mapped is mapped.
fn in_blocks(map: &[MapExtent], per_block: u64) -> Vec<(u64, MapKind)> {
    let Some(first) = map.first() else { return Vec::new() };
    let (start, mut done) = (first.extent.start, 0);
    let mut all: Vec<(u64, MapKind)> = Vec::new();
    for stretch in map {
        let sectors = stretch.extent.end() - start;
        let end = match stretch.kind {
            MapKind::Data => sectors.div_ceil(per_block),
            MapKind::Zero | MapKind::Absent => sectors / per_block,
        };
        if end <= done {
            continue;
        }
        match all.last_mut() {
            Some((count, kind)) if *kind == stretch.kind => *count += end - done,
            _ => all.push((end - done, stretch.kind)),
        }
        done = end;
    }
    all
}

fn encode(lba: u64, stretches: &[(u64, MapKind)], count_max: usize) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    let mut at = lba;
    for (count, kind) in stretches.iter().take(count_max) {
        let count = u32::try_from(*count).unwrap_or(u32::MAX);
        let status = match kind {
            MapKind::Data => 0,
            MapKind::Absent => 1,
            MapKind::Zero => 2,
        };
        bytes.extend_from_slice(&at.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&[status, 0, 0, 0]);
        at += u64::from(count);
        if count == u32::MAX {
            // The rest of so long a stretch is told by the next answer.
            break;
        }
    }
    let len = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_begins_with_a_whole_physical_block_where_there_is_one() {
        assert_eq!([0, 8, 9, 15].map(|lba| first_told(lba, 8, 1000)), [0, 8, 16, 16]);
        assert_eq!(first_told(997, 8, 1000), 997);
        assert_eq!(first_told(9, 1, 1000), 9);
    }

    #[test]
    fn a_block_with_any_data_is_mapped() {
        let map = |start, sectors, kind| MapExtent { extent: Extent::new(start, sectors), kind };
        let stretches = [
            map(8, 12, MapKind::Absent),
            map(20, 1, MapKind::Data),
            map(21, 3, MapKind::Zero),
            map(24, 8, MapKind::Absent),
        ];
        let blocks = in_blocks(&stretches, 8);
        assert_eq!(blocks, [(1, MapKind::Absent), (1, MapKind::Data), (1, MapKind::Absent)]);
        assert_eq!(in_blocks(&stretches, 1).len(), 4);
    }
}
