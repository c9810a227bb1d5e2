//! UNMAP: the mapping of many stretches of blocks is given up.
//!
//! Source: SBC-4 5.32.

use base::units::Extent;
use disk::Keep;

use super::cdb::Blocks;
use super::command::{Plan, Run};
use super::judge::Asked;
use super::limits::{UNMAP_BLOCKS_MAX, UNMAP_DESCRIPTORS_MAX};
use super::sense::Sense;
use super::write_same::zero;

const HEAD_LEN: usize = 8;
const DESCRIPTOR_LEN: usize = 16;

/// UNMAP.
///
/// # Errors
/// PARAMETER LIST LENGTH ERROR for a list too short to be one.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let medium = asked.medium()?;
    let len = asked.cdb.u16(7);
    if len == 0 {
        return Ok(Plan::good());
    }
    if usize::from(len) < HEAD_LEN {
        return Err(Sense::list_len());
    }
    let (disk, capacity, per_block) = (medium.disk.clone(), medium.capacity(), medium.per_block);
    // ANCHOR: the space stays.
    let keep = if asked.cdb.has(1, 1) { Keep::Space } else { Keep::Nothing };
    Ok(Plan::later(u64::from(len), move |run: Run| async move {
        let list = run.list(u64::from(len))?;
        for blocks in decode(&list)? {
            blocks.within(capacity)?;
        }
        for blocks in decode(&list)? {
            if run.abort.is_aborted() {
                break;
            }
            let extent = Extent::new(blocks.lba * per_block, blocks.count * per_block);
            zero(&run.path, &disk, extent, keep).await?;
        }
        Ok(())
    }))
}

/// The stretches in a parameter list. Those of no blocks are left out; their addresses do not matter.
///
/// # Errors
/// PARAMETER LIST LENGTH ERROR where the list is shorter than it says, INVALID FIELD IN PARAMETER LIST where it
/// names more than the limits allow.
pub(super) fn decode(list: &[u8]) -> Result<Vec<Blocks>, Sense> {
    if list.len() < HEAD_LEN {
        return Err(Sense::list_len());
    }
    let len = usize::from(u16::from_be_bytes([list[2], list[3]]));
    let descriptors = list[HEAD_LEN..].get(..len - len % DESCRIPTOR_LEN);
    let descriptors = descriptors.ok_or_else(Sense::list_len)?.chunks_exact(DESCRIPTOR_LEN);
    if descriptors.len() > usize::from(UNMAP_DESCRIPTORS_MAX) {
        return Err(Sense::list_byte(2));
    }
    let mut total = 0;
    let mut all = Vec::with_capacity(descriptors.len());
    for descriptor in descriptors {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let blocks = Blocks { lba: number(&descriptor[..8]), count: number(&descriptor[8..12]) };
        total += blocks.count;
        if total > u64::from(UNMAP_BLOCKS_MAX) {
            return Err(Sense::list_byte(HEAD_LEN + 8));
        }
        if blocks.count > 0 {
            all.push(blocks);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(descriptors: &[(u64, u32)]) -> Vec<u8> {
        let len = u16::try_from(descriptors.len() * 16).unwrap();
        let mut list = (len + 6).to_be_bytes().to_vec();
        list.extend_from_slice(&len.to_be_bytes());
        list.extend_from_slice(&[0; 4]);
        for (lba, count) in descriptors {
            list.extend_from_slice(&lba.to_be_bytes());
            list.extend_from_slice(&count.to_be_bytes());
            list.extend_from_slice(&[0; 4]);
        }
        list
    }

    #[test]
    fn stretches_are_read_and_empty_ones_left_out() {
        let blocks = decode(&list(&[(7, 3), (1 << 50, 0)])).unwrap();
        assert_eq!(blocks, [Blocks { lba: 7, count: 3 }]);
    }

    #[test]
    fn more_than_the_limits_is_refused() {
        assert!(decode(&list(&[(0, 1); 256])).is_ok());
        assert!(decode(&list(&[(0, 1); 257])).is_err());
        assert!(decode(&list(&[(0, UNMAP_BLOCKS_MAX)])).is_ok());
        assert!(decode(&list(&[(0, UNMAP_BLOCKS_MAX), (0, 1)])).is_err());
    }

    #[test]
    fn a_list_shorter_than_it_says_is_refused() {
        let list = list(&[(0, 1), (8, 1)]);
        assert_eq!(decode(&list[..list.len() - 1]), Err(Sense::list_len()));
    }
}
