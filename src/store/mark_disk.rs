//! The disk that front doors see of a mark: read-only, and the same for as long as the mark is there.

use std::sync::Arc;

use disk::{Disk, DiskError, Done, Geometry, Op, Request};

use crate::aside::Read;
use crate::image::Point;
use crate::live_disk::PHYSICAL_BLOCK_LEN;
use crate::pool::Pool;
use crate::registry::VolumeEntry;

/// A mark as a disk.
pub(crate) struct MarkDisk {
    pool: Arc<Pool>,
    number: u32,
    sequence: u64,
    sectors: u64,
}

impl MarkDisk {
    /// The mark of this volume with this sequence, which must be there.
    pub fn new(pool: Arc<Pool>, entry: &VolumeEntry, sequence: u64) -> Self {
        let sectors = entry.marks.get(&sequence).map_or(0, |mark| mark.sectors);
        Self { pool, number: entry.number, sequence, sectors }
    }
}

impl Disk for MarkDisk {
    fn geometry(&self) -> Geometry {
        Geometry {
            sectors: self.sectors,
            physical_block_len: PHYSICAL_BLOCK_LEN,
            atomic_write_len: 512,
            is_read_only: true,
        }
    }

    fn submit(&self, batch: Vec<Request>) {
        self.pool.note_requests();
        let (number, point) = (self.number, Point::Mark(self.sequence));
        let mut reads = Vec::new();
        for Request { op, reply } in batch {
            if let Some(extent) = op.extent().filter(|extent| !extent.fits(self.sectors)) {
                reply.send(Err(DiskError::OutOfBounds { extent, capacity: self.sectors }));
                continue;
            }
            match op {
                Op::Read { buffer, .. } if buffer.is_empty() => reply.send(Ok(Done::Read(buffer))),
                Op::Read { start, buffer } => reads.push(Read { start, buffer, reply }),
                Op::Map { extent } => {
                    let pool = Arc::clone(&self.pool);
                    self.pool.runtime.spawn(async move {
                        let map = pool.map_extent(number, point, extent).await;
                        reply.send(map.map(Done::Mapped));
                    });
                }
                Op::Flush => reply.send(Ok(Done::Flushed)),
                Op::Write { .. } | Op::Discard { .. } | Op::WriteZeroes { .. } => {
                    reply.send(Err(DiskError::ReadOnly));
                }
            }
        }
        self.pool.read_aside(number, point, reads);
    }
}
