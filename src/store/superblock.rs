//! The superblock: what pool this is and how often it was opened.
//!
//! Two copies, each one sector at the start of one of two 4 KiB blocks of the shelf disk `superblock`;
//! the newest valid one wins. Written at creation and at every open, before the first journal frame of
//! that open, so that the incarnation in a frame is never used twice.
//!
//! ```text
//! offset  size  field
//!      0     8  magic "TIDEPOOL"
//!      8     4  version, 1
//!     12     4  crc32c of the sector with this field zero, salted as a superblock
//!     16    16  pool id
//!     32     8  incarnation: how often the pool was opened
//!     40     8  blocks of the journal
//!     48     8  created, milliseconds since 1970
//!     56     8  bytes of a segment of a preserved store
//!     64     8  blocks of a cell; 0 is 16
//!     72   440  reserved, zero
//! ```

use base::checksum::{self, Kind};
use base::codec::{CodecError, Reader, Writer};
use base::id::Id;
use base::units::{BLOCK_LEN, Extent, SECTOR_LEN, SECTORS_PER_BLOCK};
use disk::{AnyDisk, Buffer, Durability, Shelf, Usage};

use crate::error::StoreError;

/// The name of its disk on the shelf.
pub const NAME: &str = "superblock";
const MAGIC: u64 = u64::from_le_bytes(*b"TIDEPOOL");
const VERSION: u32 = 1;
const CRC_AT: usize = 12;
/// Blocks of a cell of pools that do not say it.
const CELL_BLOCKS: u64 = 16;
/// Blocks of the largest cell: a record holds whole cells.
pub const CELL_BLOCKS_MAX: u64 = 256;

/// A superblock that was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Superblock {
    /// The pool's identity.
    pub pool: Id,
    /// How often it was opened.
    pub incarnation: u64,
    /// Blocks of the journal.
    pub journal_blocks: u64,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// Bytes of a segment of a preserved store.
    pub segment_len: u64,
    /// Blocks of a cell.
    pub cell_blocks: u64,
}

impl Superblock {
    /// The sector that holds it.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(MAGIC).u32(VERSION).u32(0).u128(self.pool.0).u64(self.incarnation);
        writer.u64(self.journal_blocks).u64(self.created_ms).u64(self.segment_len);
        writer.u64(self.cell_blocks);
        writer.reserved(SECTOR_LEN - writer.len());
        let crc = checksum::of(Kind::Superblock, &writer.clone().into_bytes());
        writer.patch_u32(CRC_AT, crc);
        writer.into_bytes()
    }

    /// Checks one copy.
    ///
    /// # Errors
    /// `Short` or `Invalid`, naming the field that does not fit.
    pub fn decode(sector: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(sector);
        let mut whole = reader.clone().bytes(SECTOR_LEN)?.to_vec();
        expect("magic", reader.u64()?, MAGIC)?;
        expect("version", u64::from(reader.u32()?), u64::from(VERSION))?;
        let crc = reader.u32()?;
        whole[CRC_AT..CRC_AT + 4].fill(0);
        expect("crc", u64::from(crc), u64::from(checksum::of(Kind::Superblock, &whole)))?;
        let superblock = Self {
            pool: Id(reader.u128()?),
            incarnation: reader.counter()?,
            journal_blocks: reader.u64()?,
            created_ms: reader.u64()?,
            segment_len: reader.u64()?,
            cell_blocks: match reader.u64()? {
                0 => CELL_BLOCKS,
                blocks if blocks.is_power_of_two() && blocks <= CELL_BLOCKS_MAX => blocks,
                value => return Err(CodecError::Invalid { field: "blocks of a cell", value }),
            },
        };
        reader.reserved(SECTOR_LEN - 72)?;
        Ok(superblock)
    }
}

fn expect(field: &'static str, value: u64, wanted: u64) -> Result<(), CodecError> {
    if value == wanted { Ok(()) } else { Err(CodecError::Invalid { field, value }) }
}

/// Makes the disk and writes both copies.
///
/// # Errors
/// `PoolExists` where the disk is there; what the shelf says.
pub async fn create(shelf: &dyn Shelf, superblock: &Superblock) -> Result<(), StoreError> {
    let disk =
        shelf.create(NAME, 2 * SECTORS_PER_BLOCK, Usage::Log).map_err(|error| match error {
            disk::DiskError::Busy(_) => StoreError::PoolExists,
            other => other.into(),
        })?;
    write(&disk, superblock).await
}

/// Writes both copies, one after the other, each made stable before the next.
///
/// # Errors
/// What the disk says.
pub async fn write(disk: &AnyDisk, superblock: &Superblock) -> Result<(), StoreError> {
    for copy in 0..2 {
        let data = Buffer::copy_of(&superblock.encode())?.freeze();
        disk.write(copy * SECTORS_PER_BLOCK, vec![data], Durability::Volatile).await?;
        disk.flush().await?;
    }
    Ok(())
}

/// The newest valid copy.
///
/// # Errors
/// `ForeignPool` where neither is valid; `Damaged` where its disk lost its end.
pub async fn read(disk: &AnyDisk) -> Result<Superblock, StoreError> {
    if disk.geometry().sectors < 2 * SECTORS_PER_BLOCK {
        return Err(StoreError::Damaged("the superblock is shorter than it was made".to_owned()));
    }
    let mut newest: Option<Superblock> = None;
    let mut why = String::new();
    for copy in 0..2 {
        let at = Extent::new(copy * SECTORS_PER_BLOCK, 1);
        let decoded = match disk.read(at).await {
            Ok(sector) => Superblock::decode(&sector).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match decoded {
            Ok(found) if newest.is_none_or(|n| n.incarnation < found.incarnation) => {
                newest = Some(found);
            }
            Ok(_) => {}
            Err(error) => why = format!("superblock copy {copy}: {error}"),
        }
    }
    let found = newest.ok_or(StoreError::ForeignPool(why))?;
    let blocks = found.journal_blocks;
    let is_sane = blocks.checked_mul(BLOCK_LEN as u64).is_some() && blocks >= 256;
    if is_sane { Ok(found) } else { Err(StoreError::ForeignPool("journal length".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Superblock {
        Superblock {
            pool: Id(7),
            incarnation: 3,
            journal_blocks: 256,
            created_ms: 1,
            segment_len: 1 << 20,
            cell_blocks: 16,
        }
    }

    #[test]
    fn every_flipped_byte_is_detected() {
        let sector = sample().encode();
        assert_eq!(Superblock::decode(&sector), Ok(sample()));
        for at in 0..sector.len() {
            let mut bad = sector.clone();
            bad[at] ^= 0x10;
            assert!(Superblock::decode(&bad).is_err(), "byte {at}");
        }
        assert!(Superblock::decode(&sector[..100]).is_err());
    }
}
