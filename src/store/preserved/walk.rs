//! Walking the heads of a segment's chunks from one to the next.

use base::codec::CodecError;
use base::units::{BLOCK_LEN, Extent, SECTOR_LEN};
use disk::{AnyDisk, Buffer, DiskError};

use super::chunk::ChunkHead;

/// Sectors read at once: several small chunks, and little waste where chunks are large.
const WINDOW_SECTORS: u64 = 256;

/// Reads heads of chunks from one segment.
pub(super) struct HeadReader {
    disk: AnyDisk,
    /// Sectors of the segment.
    sectors: u64,
    start: u64,
    window: Option<Buffer>,
}

impl HeadReader {
    pub(super) fn new(disk: AnyDisk) -> Self {
        let sectors = disk.geometry().sectors;
        Self { disk, sectors, start: 0, window: None }
    }

    /// Sectors of the segment.
    pub(super) fn sectors(&self) -> u32 {
        u32::try_from(self.sectors).unwrap_or(u32::MAX)
    }

    /// The head at this sector, or why there is none.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn head_at(
        &mut self,
        sector: u32,
    ) -> Result<Result<ChunkHead, CodecError>, DiskError> {
        let sector = u64::from(sector);
        if self.bytes(sector, BLOCK_LEN).is_none() {
            self.load(sector, WINDOW_SECTORS).await?;
        }
        let Some(first) = self.bytes(sector, BLOCK_LEN) else {
            return Ok(Err(CodecError::Short { len: 0, wanted: BLOCK_LEN }));
        };
        let len = match ChunkHead::len_of(first) {
            Ok(len) => len,
            Err(error) => return Ok(Err(error)),
        };
        if self.bytes(sector, len).is_none() {
            self.load(sector, (len / SECTOR_LEN) as u64).await?;
        }
        Ok(match self.bytes(sector, len) {
            Some(bytes) => ChunkHead::decode(bytes),
            None => Err(CodecError::Short { len: 0, wanted: len }),
        })
    }

    /// The bytes from this sector on, where the window holds them.
    fn bytes(&self, sector: u64, len: usize) -> Option<&[u8]> {
        let window = self.window.as_ref()?;
        let offset = usize::try_from(sector.checked_sub(self.start)?).ok()? * SECTOR_LEN;
        window.get(offset..offset.checked_add(len)?)
    }

    /// Reads a window; where a part of it is damaged, only as much as a head needs at least.
    async fn load(&mut self, sector: u64, sectors: u64) -> Result<(), DiskError> {
        let sectors = sectors.min(self.sectors.saturating_sub(sector));
        self.window = None;
        let least = (BLOCK_LEN / SECTOR_LEN) as u64;
        let window = match self.disk.read(Extent::new(sector, sectors)).await {
            Err(DiskError::Medium { .. }) if sectors == WINDOW_SECTORS => {
                self.disk.read(Extent::new(sector, least.min(sectors))).await?
            }
            answer => answer?,
        };
        (self.start, self.window) = (sector, Some(window));
        Ok(())
    }
}
