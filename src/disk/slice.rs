//! A part of another disk as a disk of its own.
//!
//! Addresses are shifted and bounds checked here; everything else is the other disk's doing. A flush
//! flushes the whole other disk. The part keeps its length when the other disk grows.

use base::units::Extent;

use crate::answer::{Answer, Done};
use crate::error::DiskError;
use crate::relay::Relay;
use crate::request::{Op, Request};
use crate::{AnyDisk, Disk, Geometry};

/// A part of another disk.
pub struct SliceDisk {
    whole: AnyDisk,
    part: Extent,
}

impl SliceDisk {
    /// The part of `whole` that `part` names.
    ///
    /// # Errors
    /// `OutOfBounds` where it does not lie within it.
    pub fn new(whole: AnyDisk, part: Extent) -> Result<Self, DiskError> {
        let capacity = whole.geometry().sectors;
        if !part.fits(capacity) {
            return Err(DiskError::OutOfBounds { extent: part, capacity });
        }
        Ok(Self { whole, part })
    }
}

impl Disk for SliceDisk {
    fn geometry(&self) -> Geometry {
        let whole = self.whole.geometry();
        // A block of the part is one of the whole only where they start together.
        let start = self.part.start.saturating_mul(512);
        let is_aligned = start.is_multiple_of(u64::from(whole.physical_block_len));
        let physical_block_len = if is_aligned { whole.physical_block_len } else { 512 };
        let atomic_write_len = if is_aligned { whole.atomic_write_len } else { 512 };
        Geometry { sectors: self.part.sectors, physical_block_len, atomic_write_len, ..whole }
    }

    fn submit(&self, batch: Vec<Request>) {
        let geometry = self.geometry();
        let start = self.part.start;
        let mut passed = Vec::with_capacity(batch.len());
        for Request { op, reply } in batch {
            match op.check(&geometry) {
                Ok(()) => passed.push((outwards(op, start), reply, ())),
                Err(error) => reply.send(Err(error)),
            }
        }
        if !passed.is_empty() {
            self.whole.submit(Relay::lead(passed, move |(), answer| inwards(answer, start)));
        }
    }
}

/// An operation on the part as one on the whole.
fn outwards(op: Op, by: u64) -> Op {
    let moved = |extent: Extent| Extent::new(by + extent.start, extent.sectors);
    match op {
        Op::Read { start, buffer } => Op::Read { start: by + start, buffer },
        Op::Write { start, data, durability } => Op::Write { start: by + start, data, durability },
        Op::Discard { extent, durability } => Op::Discard { extent: moved(extent), durability },
        Op::WriteZeroes { extent, keep, durability } => {
            Op::WriteZeroes { extent: moved(extent), keep, durability }
        }
        Op::Map { extent } => Op::Map { extent: moved(extent) },
        Op::Flush => Op::Flush,
    }
}

/// What the whole answered, in the addresses of the part.
fn inwards(answer: Answer, by: u64) -> Answer {
    match answer {
        Ok(Done::Mapped(mut map)) => {
            map.iter_mut().for_each(|stretch| stretch.extent.start -= by);
            Ok(Done::Mapped(map))
        }
        Err(DiskError::Medium { extent, why }) => {
            // Damage may reach out of the part where the whole knows blocks only.
            let start = extent.start.saturating_sub(by);
            let sectors = extent.end().saturating_sub(by + start);
            Err(DiskError::Medium { extent: Extent::new(start, sectors), why })
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sim::{Fault, OpKind, SimWorld, What};
    use crate::{Buffer, Durability, MemDisk, Shelf, Usage};

    #[tokio::test]
    async fn a_write_to_the_part_lands_where_it_lies_in_the_whole() {
        let whole: AnyDisk = Arc::new(MemDisk::new(100));
        let part: AnyDisk =
            Arc::new(SliceDisk::new(Arc::clone(&whole), Extent::new(10, 5)).unwrap());
        let data = vec![Buffer::copy_of(&[1; 512]).unwrap().freeze()];
        part.write(4, data.clone(), Durability::Volatile).await.unwrap();
        assert_eq!(whole.read(Extent::new(14, 1)).await.unwrap()[..], [1; 512]);
        let refused = part.write(5, data, Durability::Volatile).await;
        assert!(matches!(refused, Err(DiskError::OutOfBounds { capacity: 5, .. })));
        assert!(SliceDisk::new(whole, Extent::new(96, 5)).is_err());
    }

    #[tokio::test]
    async fn damage_is_told_in_the_addresses_of_the_part() {
        let world = SimWorld::new(1);
        let whole = world.shelf().create("d", 100, Usage::Data).unwrap();
        let part: AnyDisk = Arc::new(SliceDisk::new(whole, Extent::new(10, 50)).unwrap());
        world.add_fault(Fault::new("d", OpKind::Read, What::Error));
        let damaged = part.read(Extent::new(3, 4)).await;
        assert!(
            matches!(damaged, Err(DiskError::Medium { extent, .. }) if extent == Extent::new(3, 4))
        );
    }
}
