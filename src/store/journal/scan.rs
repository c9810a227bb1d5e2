//! Reading the journal back after a crash.
//!
//! Frames are taken from the first one needed, while each is valid and follows the one before. What ends
//! the walk is either the place where writing stopped, or damage to a frame that was stable. The two are
//! told apart by frames further on: each says which frame was known to be stable when it was written.

use base::checksum::{self, Kind};
use base::id::Id;
use base::units::{BLOCK_LEN, Extent, SECTORS_PER_BLOCK};
use disk::{AnyDisk, Buffer, DiskError};

use crate::error::StoreError;
use crate::journal::frame::{self, FrameHead, Record};
use crate::journal::ring::Ring;

/// How far behind the end a frame is looked for that says that the missing one was stable: the next frame
/// does, and damage that hides all frames of so long a stretch does not look like an end of writing.
/// Looking through the whole ring would cost a second for each GiB whenever a pool is opened.
const LOOK_BEHIND_BLOCKS: u64 = 16 << 10;

/// A frame that was found whole.
#[derive(Debug)]
pub struct Frame {
    /// Its head.
    pub head: FrameHead,
    /// Its records.
    pub records: Vec<Record>,
}

/// Where a scan stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// The number of the frame that comes next.
    pub number: u64,
    /// Where it must lie.
    pub position: u64,
    /// The lowest incarnation that it may have.
    pub incarnation: u64,
}

/// Walks the frames of a journal.
pub struct Scan<'a> {
    disk: &'a AnyDisk,
    ring: Ring,
    pool: Id,
    cursor: Cursor,
    /// The newest frame that some frame seen so far says is stable.
    durable: u64,
}

impl<'a> Scan<'a> {
    /// A walk from `cursor` on.
    pub fn new(disk: &'a AnyDisk, blocks: u64, pool: Id, cursor: Cursor) -> Self {
        let ring = Ring { blocks, head: cursor.position, tail: cursor.position };
        Self { disk, ring, pool, cursor, durable: 0 }
    }

    /// The newest frame that some frame seen so far says is stable.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// The next frame, or `None` where writing stopped.
    ///
    /// # Errors
    /// `Damaged` where a frame that was stable is not whole any more; what the disk says.
    pub async fn next(&mut self) -> Result<Option<Frame>, StoreError> {
        if self.cursor.position >= self.ring.tail + self.ring.blocks {
            return Ok(None);
        }
        match self.read_at(self.cursor.position).await? {
            Some(frame) if self.follows(&frame.head) => {
                self.durable = self.durable.max(frame.head.durable);
                self.cursor = Cursor {
                    number: frame.head.number + 1,
                    position: frame.head.end(),
                    incarnation: frame.head.incarnation,
                };
                Ok(Some(frame))
            }
            _ => {
                self.check_end().await?;
                Ok(None)
            }
        }
    }

    fn follows(&self, head: &FrameHead) -> bool {
        head.pool == self.pool
            && head.number == self.cursor.number
            && head.position == self.cursor.position
            && head.incarnation >= self.cursor.incarnation
    }

    /// Looks further on for a frame that says that the one missing here was stable.
    async fn check_end(&self) -> Result<(), StoreError> {
        let missing = self.cursor.number;
        let mut is_stable = self.durable >= missing;
        let mut position = self.cursor.position;
        let end = (self.ring.tail + self.ring.blocks).min(position + LOOK_BEHIND_BLOCKS);
        while position < end && !is_stable {
            let to_end = self.ring.blocks - position % self.ring.blocks;
            let blocks = to_end.min(end - position).min(256);
            let window = self.disk.read(self.extent(position, blocks)).await;
            let Ok(window) = window else {
                position += blocks;
                continue;
            };
            for (index, block) in window.chunks(BLOCK_LEN).enumerate() {
                let at = position + index as u64;
                if frame::peek_head_blocks(block).is_none() {
                    continue;
                }
                let later = self.read_head(at).await?;
                is_stable |= later.is_some_and(|(head, _)| {
                    head.pool == self.pool
                        && head.position == at
                        && head.number > missing
                        && head.incarnation >= self.cursor.incarnation
                        && head.durable >= missing
                });
            }
            position += blocks;
        }
        if is_stable {
            return Err(StoreError::Damaged(format!(
                "journal frame {missing}, which was on stable storage, is not whole at block {}",
                self.cursor.position % self.ring.blocks
            )));
        }
        Ok(())
    }

    async fn read_at(&self, position: u64) -> Result<Option<Frame>, StoreError> {
        let Some((head, records)) = self.read_head(position).await? else {
            return Ok(None);
        };
        let is_padding = matches!(records[..], [Record::Padding(_)]);
        if !is_padding && head.payload_blocks > 0 {
            let room = self.ring.blocks - position % self.ring.blocks;
            if u64::from(head.head_blocks) + u64::from(head.payload_blocks) > room {
                return Ok(None);
            }
            let at = self.extent(head.payload_position(), head.payload_blocks.into());
            let payload = match self.disk.read(at).await {
                Ok(payload) => payload,
                Err(DiskError::Medium { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if !sums_fit(&records, &payload) {
                return Ok(None);
            }
        }
        Ok(Some(Frame { head, records }))
    }

    async fn read_head(
        &self,
        position: u64,
    ) -> Result<Option<(FrameHead, Vec<Record>)>, StoreError> {
        let first = match self.disk.read(self.extent(position, 1)).await {
            Ok(block) => block,
            Err(DiskError::Medium { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(blocks) = frame::peek_head_blocks(&first) else {
            return Ok(None);
        };
        let room = self.ring.blocks - position % self.ring.blocks;
        if u64::from(blocks) > room {
            return Ok(None);
        }
        let whole = match blocks {
            1 => first,
            more => match self.disk.read(self.extent(position, more.into())).await {
                Ok(whole) => whole,
                Err(DiskError::Medium { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            },
        };
        Ok(frame::decode(&whole).ok())
    }

    fn extent(&self, position: u64, blocks: u64) -> Extent {
        Extent::new(self.ring.sector(position), blocks * SECTORS_PER_BLOCK)
    }
}

fn sums_fit(records: &[Record], payload: &Buffer) -> bool {
    let sums = records.iter().flat_map(|record| match record {
        Record::Write { sums, .. } => sums.iter().copied().collect::<Vec<_>>(),
        Record::Berthed { .. } | Record::Zero { .. } | Record::Event(_) | Record::Padding(_) => {
            Vec::new()
        }
    });
    let mut blocks = payload.chunks(BLOCK_LEN);
    let all_fit = sums
        .into_iter()
        .all(|sum| blocks.next().is_some_and(|block| checksum::of(Kind::Block, block) == sum));
    all_fit && blocks.next().is_none()
}
