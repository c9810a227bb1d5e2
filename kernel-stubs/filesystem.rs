//! What a disk holds, by its superblocks: as much as a mount has to know.
//!
//! Nothing here trusts what it reads: a superblock is a handful of numbers, each checked where it is
//! used. Partition tables are found here and read in `partition`.
//!
//! Source: the kernel's documentation of ext4, "Super Block"; XFS Algorithms and Data Structures,
//! "Superblocks"; btrfs on-disk format, "Superblock".

use std::fmt;

use base::units::{Extent, SECTOR_LEN};
use disk::AnyDisk;

use crate::error::AttachError;
use crate::partition::{self, Table};

/// Bytes from the start of a disk that tell what it holds: up to the end of btrfs' first superblock, and
/// the usual place of a GUID partition table.
pub const HEAD_LEN: usize = 128 * 1024;

/// What a disk holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// ext2, ext3 or ext4.
    Ext(Ext),
    /// XFS.
    Xfs {
        /// Its identity.
        uuid: [u8; 16],
    },
    /// btrfs.
    Btrfs(Btrfs),
    /// A partition table.
    Partitions(Table),
    /// Something that is known and is no file system that Tidemark mounts.
    Other(&'static str),
    /// Nothing that is known.
    Unknown,
}

/// An ext file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ext {
    /// 2, 3 or 4.
    pub version: u8,
    /// Whether it has a journal.
    pub has_journal: bool,
    /// Whether the journal holds changes that are not in their places yet.
    pub needs_recovery: bool,
}

/// A btrfs file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Btrfs {
    /// Its identity, the same on all its devices.
    pub fsid: [u8; 16],
    /// How many devices it lies on.
    pub devices: u64,
    /// Whether its log holds changes that are not in its trees yet.
    pub has_log: bool,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ext(ext) => write!(f, "ext{}", ext.version),
            Self::Xfs { .. } => f.write_str("xfs"),
            Self::Btrfs(_) => f.write_str("btrfs"),
            Self::Partitions(table) => write!(f, "{table}"),
            Self::Other(what) => f.write_str(what),
            Self::Unknown => f.write_str("nothing known"),
        }
    }
}

/// Reads what `disk` holds.
///
/// # Errors
/// `Disk` where it cannot be read.
pub async fn on_disk(disk: &AnyDisk) -> Result<Found, AttachError> {
    let sectors = disk.geometry().sectors;
    let head = Extent::new(0, sectors.min((HEAD_LEN / SECTOR_LEN) as u64));
    let failed = |source| AttachError::Disk { what: "read the start of the disk", source };
    let head = disk.read(head).await.map_err(failed)?;
    Ok(found(&head, sectors))
}

/// Tells what a disk of `sectors` sectors that starts with `head` holds. `head` should have `HEAD_LEN`
/// bytes, if the disk has.
pub fn found(head: &[u8], sectors: u64) -> Found {
    // A table with checksums says more than a magic number that somebody left behind.
    if let Some(table) = partition::gpt(head, sectors) {
        return Found::Partitions(table);
    }
    let file_system =
        || xfs(head).or_else(|| ext(head)).or_else(|| btrfs(head)).or_else(|| other(head));
    let table = || partition::mbr(head, sectors).map(Found::Partitions);
    file_system().or_else(table).unwrap_or(Found::Unknown)
}

fn xfs(head: &[u8]) -> Option<Found> {
    if bytes::<4>(head, 0)? != *b"XFSB" {
        return None;
    }
    let block_len = u32::from_be_bytes(bytes(head, 4)?);
    let is_sane = block_len.is_power_of_two() && (512..=65536).contains(&block_len);
    is_sane.then_some(Found::Xfs { uuid: bytes(head, 32)? })
}

const EXT: usize = 1024;
const EXT_HAS_JOURNAL: u32 = 0x4;
const EXT_RECOVER: u32 = 0x4;
const EXT_JOURNAL_DEVICE: u32 = 0x8;
/// Incompatible features that ext3 knows: compression, file types, recovery, meta block groups.
const EXT3_INCOMPAT: u32 = 0x1 | 0x2 | EXT_RECOVER | 0x10;
/// Features that ext3 must know to write: sparse superblocks, large files, trees of directories.
const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;

fn ext(head: &[u8]) -> Option<Found> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes(head, EXT + at)?));
    let magic = u16::from_le_bytes(bytes(head, EXT + 0x38)?);
    // The magic number is short, so a few other fields have to make sense too.
    let has_inodes_and_blocks = number(0)? > 0 && number(4)? > 0;
    let is_sane = has_inodes_and_blocks && number(0x18)? <= 6 && number(0x4C)? <= 1;
    if magic != 0xEF53 || !is_sane {
        return None;
    }
    let (compat, incompat, ro_compat) = (number(0x5C)?, number(0x60)?, number(0x64)?);
    if incompat & EXT_JOURNAL_DEVICE != 0 {
        return Some(Found::Other("the journal of an ext4 file system that lies elsewhere"));
    }
    let has_journal = compat & EXT_HAS_JOURNAL != 0;
    let is_4 = incompat & !EXT3_INCOMPAT != 0 || ro_compat & !EXT3_RO_COMPAT != 0;
    let version = match (is_4, has_journal) {
        (true, _) => 4,
        (false, true) => 3,
        (false, false) => 2,
    };
    Some(Found::Ext(Ext { version, has_journal, needs_recovery: incompat & EXT_RECOVER != 0 }))
}

const BTRFS: usize = 64 * 1024;

fn btrfs(head: &[u8]) -> Option<Found> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes(head, BTRFS + at)?));
    // A superblock says where it lies, which tells the first from a copy that was moved.
    if bytes::<8>(head, BTRFS + 0x40)? != *b"_BHRfS_M" || number(0x30)? != BTRFS as u64 {
        return None;
    }
    Some(Found::Btrfs(Btrfs {
        fsid: bytes(head, BTRFS + 0x20)?,
        devices: number(0x88)?,
        has_log: number(0x60)? != 0,
    }))
}

fn other(head: &[u8]) -> Option<Found> {
    const KNOWN: [(usize, &[u8], &str); 9] = [
        (0, b"LUKS\xba\xbe", "a LUKS container"),
        (512, b"LABELONE", "an LVM physical volume"),
        (4096, b"\xfc\x4e\x2b\xa9", "a member of a RAID array"),
        (4086, b"SWAPSPACE2", "swap space"),
        (3, b"NTFS    ", "an NTFS file system"),
        (3, b"EXFAT   ", "an exFAT file system"),
        (0x36, b"FAT", "a FAT file system"),
        (0x52, b"FAT32", "a FAT file system"),
        (0x8001, b"CD001", "a CD image"),
    ];
    let is_there = |(at, magic, _): &&(usize, &[u8], &str)| {
        head.get(*at..).is_some_and(|rest| rest.starts_with(magic))
    };
    KNOWN.iter().find(is_there).map(|(_, _, what)| Found::Other(what))
}

fn bytes<const LEN: usize>(head: &[u8], at: usize) -> Option<[u8; LEN]> {
    head.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECTORS: u64 = 1 << 20;

    fn put(head: &mut [u8], at: usize, bytes: &[u8]) {
        head[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn ext_head(compat: u32, incompat: u32, ro_compat: u32) -> Vec<u8> {
        let mut head = vec![0; HEAD_LEN];
        put(&mut head, EXT, &[1, 0, 0, 0, 1, 0, 0, 0]);
        put(&mut head, EXT + 0x38, &[0x53, 0xEF]);
        put(&mut head, EXT + 0x5C, &compat.to_le_bytes());
        put(&mut head, EXT + 0x60, &incompat.to_le_bytes());
        put(&mut head, EXT + 0x64, &ro_compat.to_le_bytes());
        head
    }

    #[test]
    fn the_three_ext_are_told_apart_by_their_features() {
        let ext = |version, has_journal, needs_recovery| {
            Found::Ext(Ext { version, has_journal, needs_recovery })
        };
        assert_eq!(found(&ext_head(0, 0x2, 0x3), SECTORS), ext(2, false, false));
        assert_eq!(found(&ext_head(0x4, 0x2, 0x3), SECTORS), ext(3, true, false));
        assert_eq!(found(&ext_head(0x4, 0x6, 0x3), SECTORS), ext(3, true, true));
        assert_eq!(found(&ext_head(0x4, 0x42, 0x3), SECTORS), ext(4, true, false));
        assert_eq!(found(&ext_head(0, 0x2, 0x400), SECTORS), ext(4, false, false));
        assert!(matches!(found(&ext_head(0, 0x8, 0), SECTORS), Found::Other(_)));
    }

    #[test]
    fn a_magic_number_alone_is_not_ext() {
        let mut head = ext_head(0, 0, 0);
        put(&mut head, EXT, &[0; 4]);
        assert_eq!(found(&head, SECTORS), Found::Unknown);
    }

    #[test]
    fn a_moved_btrfs_superblock_is_not_one() {
        let mut head = vec![0; HEAD_LEN];
        put(&mut head, BTRFS + 0x40, b"_BHRfS_M");
        assert_eq!(found(&head, SECTORS), Found::Unknown);
        put(&mut head, BTRFS + 0x30, &65536u64.to_le_bytes());
        put(&mut head, BTRFS + 0x88, &2u64.to_le_bytes());
        let Found::Btrfs(btrfs) = found(&head, SECTORS) else { panic!() };
        assert_eq!((btrfs.devices, btrfs.has_log), (2, false));
    }

    #[test]
    fn what_is_no_file_system_is_named() {
        let mut head = vec![0; HEAD_LEN];
        assert_eq!(found(&head, SECTORS), Found::Unknown);
        put(&mut head, 4086, b"SWAPSPACE2");
        assert_eq!(found(&head, SECTORS), Found::Other("swap space"));
        put(&mut head, 0, b"LUKS\xba\xbe");
        assert_eq!(found(&head, SECTORS), Found::Other("a LUKS container"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            head in prop::collection::vec(any::<u8>(), 0..3000),
            magic in 0..4usize,
            sectors in any::<u64>(),
        ) {
            let mut head = head;
            let places: [(usize, &[u8]); 4] =
                [(0, b"XFSB"), (EXT + 0x38, b"\x53\xef"), (512, b"EFI PART"), (510, b"\x55\xaa")];
            let (at, bytes) = places[magic];
            if head.len() >= at + bytes.len() {
                put(&mut head, at, bytes);
            }
            found(&head, sectors);
        }
    }
}
