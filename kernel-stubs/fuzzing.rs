//! Entry points for fuzzers: the start of a disk as anybody may have written it.

use crate::filesystem::{self, Found};
use crate::mount_plan::{Host, Origin, plan};

/// The start of a disk, after four bytes: its sectors. What is found there must lie on the disk, and
/// there must be a plan for mounting it or a reason against.
pub fn file_system(bytes: &[u8]) {
    let Some((sectors, head)) = bytes.split_first_chunk() else { return };
    let sectors = u64::from(u32::from_le_bytes(*sectors));
    let found = filesystem::found(head, sectors);
    assert!(!found.to_string().is_empty());
    if let Found::Partitions(table) = &found {
        for partition in &table.partitions {
            assert!(partition.extent.fits(sectors), "{partition:?} of a disk of {sectors} sectors");
            assert_eq!(table.find(partition.number), Some(partition.extent));
        }
    }
    for is_read_only in [false, true] {
        for is_copy in [false, true] {
            let origin = Origin { is_read_only, is_copy };
            let host = Host { kernel: (6, 1), is_fsid_mounted: is_copy };
            let _ = plan(&found, origin, host);
        }
    }
}
