//! Checkpoints: everything the pool must know that is not in the journal any more.
//!
//! Two slots, the shelf disks `checkpoint-0` and `checkpoint-1`. Each checkpoint is written to both, one
//! after the other, each made stable before the next; only then may the journal before it be used again.
//! The newest valid slot wins, so one lost slot costs nothing. A slot is never written while the other one is
//! torn or behind: whoever finds it so, after a crash or a failed write, begins with that one.
//!
//! ```text
//! offset  size  field
//!      0     8  magic "TIDECHKP"
//!      8     4  version, 1
//!     12     4  crc32c of all bytes in use with this field zero, salted as a checkpoint
//!     16    16  pool id
//!     32     8  generation: rises with each checkpoint
//!     40     8  bytes in use
//!     48     8  number of the last frame whose events are in it
//!     56     8  number of the first frame that is still needed
//!     64     8  position of that frame
//!     72     8  lowest incarnation that this frame may have
//!     80        u32 count, then each event: u32 length, bytes
//!               u32 count, then each volume's part: u32 number, u64 allocated blocks,
//!               u32 length and bytes of the preserved store's manifest, u32 length and bytes of the epoch map's
//! ```

use std::cmp::Ordering;
use std::collections::BTreeMap;

use base::checksum::{self, Kind};
use base::codec::{CodecError, Reader, Writer};
use base::id::Id;
use base::limits::VOLUME_LEN_MAX;
use base::units::{BLOCK_LEN, Extent, SECTOR_LEN};
use disk::buffer::BUFFER_LEN_MAX;
use disk::{AnyDisk, Buffer, DiskError, Durability, Shelf, Usage};

use crate::error::StoreError;
use crate::event::Event;

const MAGIC: u64 = u64::from_le_bytes(*b"TIDECHKP");
const VERSION: u32 = 1;
const CRC_AT: usize = 12;
const LEN_AT: usize = 40;
/// Bytes of the largest checkpoint: far above what the limits on volumes and marks can make.
const LEN_MAX: u64 = 1 << 30;

/// What a checkpoint knows of one volume beside the events.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VolumePart {
    /// Blocks of the base that hold something.
    pub allocated_blocks: u64,
    /// The preserved store's manifest.
    pub preserved: Vec<u8>,
    /// The epoch map's manifest.
    pub map: Vec<u8>,
}

/// A checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Whose.
    pub pool: Id,
    /// Which: rises by one.
    pub generation: u64,
    /// The last frame whose events are in it.
    pub events_through: u64,
    /// The first frame that is still needed.
    pub first_frame: u64,
    /// Where that frame lies.
    pub first_position: u64,
    /// The lowest incarnation that this frame may have: what an earlier life left behind there is none.
    pub first_incarnation: u64,
    /// The registry.
    pub events: Vec<Event>,
    /// The volumes by number.
    pub volumes: BTreeMap<u32, VolumePart>,
}

impl Checkpoint {
    /// Its bytes, a whole number of blocks.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u64(MAGIC).u32(VERSION).u32(0).u128(self.pool.0).u64(self.generation).u64(0);
        w.u64(self.events_through).u64(self.first_frame).u64(self.first_position);
        w.u64(self.first_incarnation);
        w.u32(count(self.events.len()));
        for event in &self.events {
            put(&mut w, &event.encode());
        }
        w.u32(count(self.volumes.len()));
        for (number, part) in &self.volumes {
            w.u32(*number).u64(part.allocated_blocks);
            put(&mut w, &part.preserved);
            put(&mut w, &part.map);
        }
        let mut bytes = w.into_bytes();
        let len = bytes.len() as u64;
        bytes[LEN_AT..LEN_AT + 8].copy_from_slice(&len.to_le_bytes());
        let crc = checksum::of(Kind::Checkpoint, &bytes);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes.resize(bytes.len().next_multiple_of(BLOCK_LEN), 0);
        bytes
    }

    /// How many bytes a checkpoint has in use whose first sector this is.
    ///
    /// # Errors
    /// `Invalid` where it is no checkpoint, or one that is too long to be.
    pub fn peek_len(sector: &[u8]) -> Result<u64, CodecError> {
        let mut r = Reader::new(sector);
        let magic = r.u64()?;
        if magic != MAGIC {
            return Err(CodecError::Invalid { field: "magic", value: magic });
        }
        r.bytes(LEN_AT - 8)?;
        let len = r.u64()?;
        if !(80..=LEN_MAX).contains(&len) {
            return Err(CodecError::Invalid { field: "length", value: len });
        }
        Ok(len)
    }

    /// Checks and takes apart.
    ///
    /// # Errors
    /// `Short` or `Invalid`, naming the field that does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let invalid = |field, value| CodecError::Invalid { field, value };
        let len = usize::try_from(Self::peek_len(bytes)?).unwrap_or(usize::MAX);
        let used = Reader::new(bytes).bytes(len)?;
        let mut r = Reader::new(used);
        r.u64()?;
        let version = r.u32()?;
        if version != VERSION {
            return Err(invalid("version", version.into()));
        }
        let crc = r.u32()?;
        let pieces = [&used[..CRC_AT], &[0; 4], &used[CRC_AT + 4..]];
        if checksum::of_pieces(Kind::Checkpoint, pieces) != crc {
            return Err(invalid("crc", crc.into()));
        }
        let (pool, generation) = (Id(r.u128()?), r.counter()?);
        r.u64()?;
        let (events_through, first_frame) = (r.counter()?, r.counter()?);
        let (first_position, first_incarnation) = (r.counter()?, r.counter()?);
        let mut events = Vec::new();
        for _ in 0..r.u32()? {
            events.push(Event::decode(take(&mut r)?)?);
        }
        let mut volumes = BTreeMap::new();
        for _ in 0..r.u32()? {
            let (number, allocated_blocks) = (r.u32()?, r.u64()?);
            if allocated_blocks > VOLUME_LEN_MAX / BLOCK_LEN as u64 {
                return Err(invalid("allocated blocks", allocated_blocks));
            }
            let (preserved, map) = (take(&mut r)?.to_vec(), take(&mut r)?.to_vec());
            volumes.insert(number, VolumePart { allocated_blocks, preserved, map });
        }
        if r.left() > 0 {
            return Err(invalid("length", len as u64));
        }
        Ok(Self {
            pool,
            generation,
            events_through,
            first_frame,
            first_position,
            first_incarnation,
            events,
            volumes,
        })
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn put(w: &mut Writer, bytes: &[u8]) {
    w.u32(count(bytes.len())).bytes(bytes);
}

fn take<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], CodecError> {
    let len = r.u32()? as usize;
    r.bytes(len)
}

/// The name of a slot's disk on the shelf.
pub fn slot_name(slot: u8) -> String {
    format!("checkpoint-{slot}")
}

/// The two slots, as far as writing them goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slots {
    /// The slot to begin with: the other one may be the only one that is whole and new.
    first: u8,
}

impl Slots {
    /// Writes a checkpoint to both slots. When this returns, it is stable in both.
    ///
    /// # Errors
    /// What the shelf and the disks say; then at least one slot still holds a whole older checkpoint.
    pub async fn write(
        &mut self,
        shelf: &dyn Shelf,
        checkpoint: &Checkpoint,
    ) -> Result<(), StoreError> {
        let bytes = checkpoint.encode();
        for slot in [self.first, 1 - self.first] {
            self.first = slot;
            write_slot(shelf, slot, &bytes).await?;
        }
        Ok(())
    }

    /// Writes the checkpoint that was found to the slot that does not hold it, where there is one. Where
    /// that fails, the next checkpoint begins with it.
    pub async fn mend(shelf: &dyn Shelf, found: &Found) -> Self {
        let Some(slot) = found.behind else { return Self::default() };
        if let Err(error) = write_slot(shelf, slot, &found.checkpoint.encode()).await {
            tracing::warn!(%error, slot, "a copy of the checkpoint cannot be written again yet");
        }
        Self { first: slot }
    }
}

async fn write_slot(shelf: &dyn Shelf, slot: u8, bytes: &[u8]) -> Result<(), StoreError> {
    let disk = open_slot(shelf, slot, (bytes.len() / SECTOR_LEN) as u64)?;
    let mut start = 0;
    for part in bytes.chunks(BUFFER_LEN_MAX) {
        let data = Buffer::copy_of(part)?.freeze();
        let sectors = data.sectors();
        disk.write(start, vec![data], Durability::Volatile).await?;
        start += sectors;
    }
    Ok(disk.flush().await?)
}

fn open_slot(shelf: &dyn Shelf, slot: u8, sectors: u64) -> Result<AnyDisk, StoreError> {
    let name = slot_name(slot);
    match shelf.open(&name, Usage::Log) {
        Ok(disk) => {
            if disk.geometry().sectors < sectors {
                shelf.grow(&name, sectors)?;
            }
            Ok(disk)
        }
        Err(DiskError::NotFound(_)) => Ok(shelf.create(&name, sectors, Usage::Log)?),
        Err(error) => Err(error.into()),
    }
}

/// What was found in the slots.
pub struct Found {
    /// The newest valid checkpoint.
    pub checkpoint: Checkpoint,
    /// The slot that does not hold it: torn, damaged, missing or older.
    pub behind: Option<u8>,
    /// What is wrong with that slot, unless it is merely older.
    pub damage: Option<String>,
}

/// The newest valid checkpoint.
///
/// # Errors
/// `Damaged` where no slot holds one.
pub async fn read(shelf: &dyn Shelf) -> Result<Found, StoreError> {
    let text = |(slot, why): (u8, String)| format!("{}: {why}", slot_name(slot));
    let found = |checkpoint, behind, damage| Ok(Found { checkpoint, behind, damage });
    match (read_slot(shelf, 0).await, read_slot(shelf, 1).await) {
        (Ok(one), Ok(other)) => match one.generation.cmp(&other.generation) {
            Ordering::Equal => found(one, None, None),
            Ordering::Greater => found(one, Some(1), None),
            Ordering::Less => found(other, Some(0), None),
        },
        (Ok(one), Err(why)) => found(one, Some(1), Some(text((1, why)))),
        (Err(why), Ok(other)) => found(other, Some(0), Some(text((0, why)))),
        (Err(one), Err(other)) => {
            Err(StoreError::Damaged([(0, one), (1, other)].map(text).join("; ")))
        }
    }
}

async fn read_slot(shelf: &dyn Shelf, slot: u8) -> Result<Checkpoint, String> {
    let disk = shelf.open(&slot_name(slot), Usage::Log).map_err(|error| error.to_string())?;
    let text = |error: DiskError| error.to_string();
    let sector = disk.read(Extent::new(0, 1)).await.map_err(text)?;
    let len = Checkpoint::peek_len(&sector).map_err(|error| error.to_string())?;
    let sectors = len.div_ceil(SECTOR_LEN as u64);
    let mut bytes = Vec::new();
    let step = (BUFFER_LEN_MAX / SECTOR_LEN) as u64;
    let mut at = 0;
    while at < sectors {
        let part = disk.read(Extent::new(at, step.min(sectors - at))).await.map_err(text)?;
        bytes.extend_from_slice(&part);
        at += step;
    }
    Checkpoint::decode(&bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::units::SECTORS_PER_BLOCK;
    use disk::sim::{Loss, SimWorld};

    fn sample() -> Checkpoint {
        let part = VolumePart { allocated_blocks: 3, preserved: vec![1; 10], map: vec![2; 5] };
        Checkpoint {
            pool: Id(5),
            generation: 2,
            events_through: 9,
            first_frame: 7,
            first_position: 70,
            first_incarnation: 3,
            events: vec![Event::Removed { volume: 1 }],
            volumes: BTreeMap::from([(3, part)]),
        }
    }

    /// What a shelf has after a checkpoint of this generation was written by slots in this state.
    async fn written(machine: &SimWorld, slots: &mut Slots, generation: u64) {
        // Several sectors, all of them others than before, so that tearing shows.
        let preserved = vec![u8::try_from(generation).unwrap(); 3000];
        let volumes = BTreeMap::from([(3, VolumePart { preserved, ..VolumePart::default() })]);
        let checkpoint = Checkpoint { generation, volumes, ..sample() };
        let _ = slots.write(&*machine.shelf(), &checkpoint).await;
    }

    #[tokio::test]
    async fn no_two_power_cuts_leave_both_slots_torn() {
        let machine = SimWorld::new(1);
        let mut slots = Slots::default();
        written(&machine, &mut slots, 1).await;
        for (first, seed) in (1..5).flat_map(|first| (0..40).map(move |seed| (first, seed))) {
            let machine = machine.if_power_went(Loss::None);
            machine.cut_at(first);
            written(&machine, &mut Slots::default(), 2).await;
            let machine = machine.after_power_loss(Loss::Seeded(seed));
            let found = read(&*machine.shelf()).await.unwrap();
            let newest = found.checkpoint.generation;
            for second in 0..6 {
                let machine = machine.if_power_went(Loss::None);
                machine.cut_at(second);
                let mut slots = Slots::mend(&*machine.shelf(), &found).await;
                written(&machine, &mut slots, 3).await;
                let machine = machine.after_power_loss(Loss::Seeded(seed * 7 + second));
                let left = read(&*machine.shelf()).await.unwrap().checkpoint.generation;
                assert!(left >= newest, "{left} after {newest}, cuts {first} {second}");
            }
        }
    }

    #[test]
    fn every_flipped_byte_in_use_is_detected() {
        let bytes = sample().encode();
        assert_eq!(bytes.len() as u64 % (SECTORS_PER_BLOCK * 512), 0);
        assert_eq!(Checkpoint::decode(&bytes), Ok(sample()));
        let used = usize::try_from(Checkpoint::peek_len(&bytes).unwrap()).unwrap();
        for at in 0..used {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            assert!(Checkpoint::decode(&bad).is_err(), "byte {at}");
        }
    }
}
