//! Replay: what the journal says since the checkpoint, put back into the registry and the dirty indices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::checksum::{self, Kind as Sum};
use base::id::Id;
use base::units::{BLOCK_LEN, Extent, SECTORS_PER_BLOCK};
use disk::{AnyDisk, DiskError, Shelf, Usage};

use crate::berths::Berth;
use crate::checkpoint::Checkpoint;
use crate::dirty::Dirty;
use crate::error::StoreError;
use crate::event::Event;
use crate::journal::frame::Record;
use crate::journal::scan::{Cursor, Frame, Scan};
use crate::noting::note_in;
use crate::open::Names;
use crate::registry::Registry;
use crate::superblock::Superblock;

/// What a frame tells of a berth.
pub(crate) struct Berthed {
    pub cell: u64,
    pub berth: Berth,
    pub frame: u64,
}

/// What replay makes of the journal.
pub(crate) struct Replayed {
    pub registry: Registry,
    pub dirty: BTreeMap<u32, Dirty>,
    pub frame_positions: BTreeMap<u64, (u64, u64)>,
    pub last_event_frame: u64,
    /// The berths that the journal tells of, by volume.
    pub berthed: BTreeMap<u32, Vec<Berthed>>,
    /// Marks whose removal no checkpoint knows yet: volume and sequence.
    pub removed_marks: Vec<(u32, u64)>,
    /// Where the next frame goes.
    pub cursor: Cursor,
}

/// Reads the journal back.
///
/// # Errors
/// `Damaged` where what was stable is not there any more; what the disks say.
pub(crate) async fn replay(
    shelf: &Arc<dyn Shelf>,
    journal: &AnyDisk,
    superblock: &Superblock,
    checkpoint: &Checkpoint,
) -> Result<Replayed, StoreError> {
    let cursor = Cursor {
        number: checkpoint.first_frame,
        position: checkpoint.first_position,
        incarnation: checkpoint.first_incarnation,
    };
    let mut scan = Scan::new(journal, superblock.journal_blocks, superblock.pool, cursor);
    let mut frames = Vec::new();
    while let Some(frame) = scan.next().await? {
        frames.push(frame);
    }
    let durable = scan.durable().max(checkpoint.events_through);
    let mut replayed = Replayed {
        registry: Registry::default(),
        dirty: BTreeMap::new(),
        frame_positions: BTreeMap::new(),
        last_event_frame: 0,
        berthed: BTreeMap::new(),
        removed_marks: Vec::new(),
        cursor,
    };
    for event in &checkpoint.events {
        replayed.registry.apply(event);
    }
    let mut ids = ids_of(&checkpoint.events);
    ids.extend(ids_of(&events_in(&frames)));
    let mut berths =
        BerthCheck { shelf, cell_blocks: superblock.cell_blocks, ids, disks: BTreeMap::new() };
    let whole = berths.whole_frames(&frames, durable).await?;
    for frame in &frames[..whole] {
        replayed.note(frame, checkpoint.events_through)?;
    }
    if replayed.cursor.number <= checkpoint.events_through {
        return Err(StoreError::Damaged(format!(
            "the journal ends before frame {}, which was on stable storage",
            checkpoint.events_through
        )));
    }
    Ok(replayed)
}

impl Replayed {
    /// Takes in a frame. The registry has the events of frames up to `events_through` already.
    fn note(&mut self, frame: &Frame, events_through: u64) -> Result<(), StoreError> {
        let head = frame.head;
        self.frame_positions.insert(head.number, (head.position, head.incarnation));
        let mut at = head.payload_position();
        for record in &frame.records {
            if let Record::Event(bytes) = record {
                let event = Event::decode(bytes).map_err(|e| {
                    StoreError::Damaged(format!("journal frame {}: {e}", head.number))
                })?;
                self.last_event_frame = head.number;
                if head.number > events_through {
                    if let Event::MarkRemoved { volume, sequence } = event {
                        self.removed_marks.push((volume, sequence));
                    }
                    self.registry.apply(&event);
                }
            } else {
                note_in(&mut self.dirty, record, head.number, at);
            }
            if let Record::Berthed { volume, run, berths, .. } = record {
                let frame = head.number;
                // The frame was seen to have as many blocks as its cells have.
                let cell_blocks = (run.blocks / (berths.len() as u64).max(1)).max(1);
                let berthed = (run.start / cell_blocks..)
                    .zip(berths.iter())
                    .map(|(cell, berth)| Berthed { cell, berth: *berth, frame });
                self.berthed.entry(*volume).or_default().extend(berthed);
            }
            at += record.payload_blocks();
        }
        let (number, position) = (head.number + 1, head.end());
        self.cursor = Cursor { number, position, incarnation: head.incarnation };
        Ok(())
    }
}

/// The events in frames; one that cannot be read is told of when its frame is taken in.
fn events_in(frames: &[Frame]) -> Vec<Event> {
    let records = frames.iter().flat_map(|frame| &frame.records);
    let event = |record: &Record| match record {
        Record::Event(bytes) => Event::decode(bytes).ok(),
        _ => None,
    };
    records.filter_map(event).collect()
}

/// The identities of volumes that come into being.
fn ids_of(events: &[Event]) -> BTreeMap<u32, Id> {
    let created = |event: &Event| match event {
        Event::Created { volume, id, .. } => Some((*volume, *id)),
        _ => None,
    };
    events.iter().filter_map(created).collect()
}

/// The volumes that go.
fn removed_in(frames: &[Frame]) -> BTreeSet<u32> {
    let removed = |event: Event| match event {
        Event::Removed { volume } => Some(volume),
        _ => None,
    };
    events_in(frames).into_iter().filter_map(removed).collect()
}

/// Looks into berths that frames tell of.
struct BerthCheck<'a> {
    shelf: &'a Arc<dyn Shelf>,
    cell_blocks: u64,
    ids: BTreeMap<u32, Id>,
    /// The base and the spare disk of each volume that was looked into.
    disks: BTreeMap<u32, [AnyDisk; 2]>,
}

impl BerthCheck<'_> {
    /// How many of the frames count. Where power was lost before a flush had answered, a frame may have come
    /// to be stable, and not what it tells of; nothing behind it counts then, as behind a frame that is
    /// missing. Volumes that are removed in frames that count are not asked: their disks may be gone.
    async fn whole_frames(&mut self, frames: &[Frame], durable: u64) -> Result<usize, StoreError> {
        let mut whole = frames.len();
        loop {
            let gone = removed_in(&frames[..whole]);
            let mut count = 0;
            for frame in &frames[..whole] {
                let is_stable = frame.head.number <= durable;
                if !self.hold(frame, is_stable, &gone).await? {
                    break;
                }
                count += 1;
            }
            if count == whole {
                return Ok(whole);
            }
            whole = count;
        }
    }

    /// Whether the berths that a frame tells of hold what it says. Those of a stable frame are taken at
    /// their word: what is wrong with them is damage, which those who read them find.
    async fn hold(
        &mut self,
        frame: &Frame,
        is_stable: bool,
        gone: &BTreeSet<u32>,
    ) -> Result<bool, StoreError> {
        for record in &frame.records {
            let Record::Berthed { volume, run, berths, sums, .. } = record else { continue };
            if run.blocks != berths.len() as u64 * self.cell_blocks {
                let number = frame.head.number;
                let why = format!("journal frame {number} tells of cells of another length");
                return Err(StoreError::Damaged(why));
            }
            if is_stable || gone.contains(volume) {
                continue;
            }
            let Some(disks) = self.disks_of(*volume) else { return Ok(false) };
            for (index, berth) in berths.iter().enumerate() {
                let blocks = usize::try_from(self.cell_blocks).unwrap_or(usize::MAX);
                let wanted = &sums[index * blocks..(index + 1) * blocks];
                if !holds(&disks, *berth, wanted).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn disks_of(&mut self, volume: u32) -> Option<[AnyDisk; 2]> {
        if let Some(disks) = self.disks.get(&volume) {
            return Some(disks.clone());
        }
        let names = Names::of(*self.ids.get(&volume)?);
        let open = |name: &str| self.shelf.open(name, Usage::Data).ok();
        let disks = [open(&names.base)?, open(&names.spare)?];
        self.disks.insert(volume, disks.clone());
        Some(disks)
    }
}

/// Whether a berth holds blocks with these checksums.
async fn holds(disks: &[AnyDisk; 2], berth: Berth, sums: &[u32]) -> Result<bool, DiskError> {
    let spot = berth.spot(sums.len() as u64);
    let extent = Extent::new(spot.sector(), sums.len() as u64 * SECTORS_PER_BLOCK);
    match disks[usize::from(spot.is_spare)].read(extent).await {
        Ok(read) => {
            let found = read.chunks(BLOCK_LEN).map(|block| checksum::of(Sum::Block, block));
            Ok(found.eq(sums.iter().copied()))
        }
        Err(DiskError::Medium { .. } | DiskError::OutOfBounds { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
