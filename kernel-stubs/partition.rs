//! Partition tables: GPT and the four primary partitions of an MBR.
//!
//! Pure but for [`locate`] and [`open`]: bytes in, a table out. A GPT counts only with both its checksums right. Logical partitions of
//! an MBR lie in a chain all over the disk and are not read.
//!
//! Source: UEFI Specification 2.10, 5.2.1 "Legacy Master Boot Record" and 5.3 "GUID Partition Table".

use std::fmt;
use std::sync::Arc;

use base::size::ByteSize;
use base::units::{Extent, SECTOR_LEN};
use disk::AnyDisk;
use disk::slice::SliceDisk;

use crate::error::AttachError;
use crate::filesystem::{self, Found};

/// Entries that a table may have; the usual number is 128.
const ENTRIES_MAX: u32 = 1024;
/// Lengths of an LBA that disks have.
const LBA_LENS: [usize; 2] = [512, 4096];

/// A partition table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// GPT, or else MBR.
    pub is_gpt: bool,
    /// Its partitions, in the order of their numbers.
    pub partitions: Vec<Partition>,
}

/// A partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partition {
    /// Counts from 1, as in the kernel's names.
    pub number: u32,
    /// Which sectors.
    pub extent: Extent,
}

impl Table {
    /// Where the partition of this number lies.
    pub fn find(&self, number: u32) -> Option<Extent> {
        self.partitions.iter().find(|one| one.number == number).map(|one| one.extent)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_gpt { "a GPT" } else { "an MBR" };
        write!(f, "{kind} partition table with ")?;
        if self.partitions.is_empty() {
            return f.write_str("no partition");
        }
        for (index, one) in self.partitions.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{} ({})", one.number, ByteSize(one.extent.bytes()))?;
        }
        Ok(())
    }
}

/// Finds the partition of this number on `disk`.
///
/// # Errors
/// `Unmountable` where there is no table or no such partition, with what there is; `Disk` where the disk
/// cannot be read.
pub async fn locate(disk: &AnyDisk, number: u32) -> Result<Extent, AttachError> {
    match filesystem::on_disk(disk).await? {
        Found::Partitions(table) => table.find(number).ok_or_else(|| {
            AttachError::Unmountable(format!(
                "there is no partition {number}: the disk holds {table}"
            ))
        }),
        found => Err(AttachError::Unmountable(format!(
            "there is no partition {number}: the disk holds {found}, and no partition table"
        ))),
    }
}

/// The partition of this number on `disk`, as a disk of its own.
///
/// # Errors
/// As [`locate`].
pub async fn open(disk: AnyDisk, number: u32) -> Result<AnyDisk, AttachError> {
    let extent = locate(&disk, number).await?;
    let failed = |source| AttachError::Disk { what: "open the partition", source };
    Ok(Arc::new(SliceDisk::new(disk, extent).map_err(failed)?))
}

/// The GUID partition table of a disk of `sectors` sectors that starts with `head`.
pub fn gpt(head: &[u8], sectors: u64) -> Option<Table> {
    LBA_LENS.into_iter().find_map(|lba_len| gpt_with(head, sectors, lba_len))
}

fn gpt_with(head: &[u8], sectors: u64, lba_len: usize) -> Option<Table> {
    let header = head.get(lba_len..2 * lba_len)?;
    let len = usize::try_from(u32_at(header, 12)?).ok()?;
    let is_header = header.starts_with(b"EFI PART") && (92..=lba_len).contains(&len);
    if !is_header || u64_at(header, 24)? != 1 {
        return None;
    }
    let mut summed = header.get(..len)?.to_vec();
    summed.get_mut(16..20)?.fill(0);
    if crc32(&summed) != u32_at(header, 16)? {
        return None;
    }
    let count = u32_at(header, 80)?;
    let entry_len = usize::try_from(u32_at(header, 84)?).ok()?;
    if count > ENTRIES_MAX || !(128..=4096).contains(&entry_len) {
        return None;
    }
    let start = usize::try_from(u64_at(header, 72)?).ok()?.checked_mul(lba_len)?;
    let entries_len = usize::try_from(count).ok()?.checked_mul(entry_len)?;
    let entries = head.get(start..start.checked_add(entries_len)?)?;
    if crc32(entries) != u32_at(header, 88)? {
        return None;
    }
    let lba_sectors = (lba_len / SECTOR_LEN) as u64;
    let used = (1..)
        .zip(entries.chunks_exact(entry_len))
        .filter(|(_, entry)| entry.iter().take(16).any(|byte| *byte != 0));
    let partitions = used.filter_map(|(number, entry)| {
        let (first, last) = (u64_at(entry, 32)?, u64_at(entry, 40)?);
        let lbas = last.checked_add(1)?.checked_sub(first)?;
        partition(number, first.checked_mul(lba_sectors)?, lbas.checked_mul(lba_sectors)?, sectors)
    });
    Some(Table { is_gpt: true, partitions: partitions.collect() })
}

/// The master boot record's table of a disk of `sectors` sectors that starts with `head`.
pub fn mbr(head: &[u8], sectors: u64) -> Option<Table> {
    if head.get(510..512)? != b"\x55\xaa" {
        return None;
    }
    let entries = head.get(446..510)?;
    // Boot sectors of file systems carry the same signature, and code where the table would be.
    let is_table = entries.chunks_exact(16).all(|entry| matches!(entry[0], 0 | 0x80));
    let used = (1..).zip(entries.chunks_exact(16)).filter(|(_, entry)| entry[4] != 0);
    let partitions: Vec<Option<Partition>> = used
        .map(|(number, entry)| {
            let (first, len) = (u32_at(entry, 8)?, u32_at(entry, 12)?);
            partition(number, first.into(), len.into(), sectors)
        })
        .collect();
    // Where one makes no sense, it is no table.
    let partitions: Vec<Partition> = partitions.into_iter().collect::<Option<_>>()?;
    (is_table && !partitions.is_empty()).then_some(Table { is_gpt: false, partitions })
}

fn partition(number: u32, start: u64, len: u64, sectors: u64) -> Option<Partition> {
    let extent = Extent::new(start, len);
    (start > 0 && len > 0 && extent.fits(sectors)).then_some(Partition { number, extent })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// The checksum of GPT: CRC-32 with the reflected polynomial 0xEDB88320.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step));
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk's head with a GPT of one partition of `lbas` LBAs at LBA 64, with number 2.
    fn gpt_head(lba_len: usize, lbas: u64) -> Vec<u8> {
        let mut head = vec![0; 128 * 1024];
        let entry = 2 * lba_len + 128;
        head[entry] = 7;
        head[entry + 32..entry + 40].copy_from_slice(&64u64.to_le_bytes());
        head[entry + 40..entry + 48].copy_from_slice(&(64 + lbas - 1).to_le_bytes());
        let entries_sum = crc32(&head[2 * lba_len..2 * lba_len + 128 * 128]);
        let header = &mut head[lba_len..lba_len + 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[12..16].copy_from_slice(&92u32.to_le_bytes());
        header[24..32].copy_from_slice(&1u64.to_le_bytes());
        header[72..80].copy_from_slice(&2u64.to_le_bytes());
        header[80..84].copy_from_slice(&128u32.to_le_bytes());
        header[84..88].copy_from_slice(&128u32.to_le_bytes());
        header[88..92].copy_from_slice(&entries_sum.to_le_bytes());
        let sum = crc32(header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        head
    }

    #[test]
    fn the_checksum_is_the_one_of_gpt() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_gpt_is_read_with_either_length_of_an_lba() {
        let table = gpt(&gpt_head(512, 100), 10_000).unwrap();
        assert_eq!(table.find(2), Some(Extent::new(64, 100)));
        assert_eq!(table.find(1), None);
        let table = gpt(&gpt_head(4096, 100), 10_000).unwrap();
        assert_eq!(table.find(2), Some(Extent::new(512, 800)));
        assert!(table.to_string().contains("GPT") && table.to_string().contains("2 ("));
    }

    #[test]
    fn a_damaged_gpt_is_none_and_a_partition_past_the_end_is_left_out() {
        let head = gpt_head(512, 100);
        for at in [512, 512 + 40, 2 * 512 + 130] {
            let mut damaged = head.clone();
            damaged[at] ^= 1;
            assert_eq!(gpt(&damaged, 10_000), None, "byte {at}");
        }
        assert_eq!(gpt(&head, 100).unwrap().partitions, []);
        assert_eq!(gpt(&head[..1000], 10_000), None);
    }

    #[test]
    fn an_mbr_is_read_and_boot_code_is_not_taken_for_one() {
        let mut head = vec![0; 512];
        head[510..].copy_from_slice(b"\x55\xaa");
        assert_eq!(mbr(&head, 10_000), None);
        head[446 + 16 + 4] = 0x83;
        head[446 + 16 + 8..446 + 16 + 12].copy_from_slice(&2048u32.to_le_bytes());
        head[446 + 16 + 12..446 + 16 + 16].copy_from_slice(&4096u32.to_le_bytes());
        assert_eq!(mbr(&head, 10_000).unwrap().find(2), Some(Extent::new(2048, 4096)));
        assert_eq!(mbr(&head, 3000), None);
        head[446] = 0x12;
        assert_eq!(mbr(&head, 10_000), None);
    }
}
