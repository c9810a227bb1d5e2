//! Appending: blocks become chunks, chunks find room, and each is one write.

use std::ops::Range;
use std::sync::Arc;

use base::units::SECTOR_LEN;
use disk::{Buffer, DiskError, Durability, Payload};

use super::chunk::{
    CHUNK_ENTRIES_MAX, CHUNK_SECTORS_MAX, ChunkEntry, ChunkHead, chunk_sectors, head_sectors,
};
use super::error::PreservedError;
use super::extent::{Preserve, Stored, StoredBytes};
use super::place::{Key, Place};
use super::state::State;
use super::store::{PreservedStore, Writer};

/// Blocks that are encoded before other tasks get a turn.
const BLOCKS_PER_TURN: usize = 256;

/// Whether an append may use the segment that stands ready without another one behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reserve {
    Keep,
    Use,
}

/// Free sectors of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Room {
    segment: u32,
    start: u32,
    end: u32,
}

/// Which items go into a chunk, and where it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Planned {
    /// Which room, counted from the first.
    room: usize,
    start: u32,
    items: Range<usize>,
}

impl PreservedStore {
    /// Preserves these blocks: writes them, and tells where each lies, in the same order. They are not
    /// stable before [`Self::flush`]. Of neighbours that are entries of one block a power cut leaves all or
    /// none.
    ///
    /// The mark that an entry is named after must be stable in the journal before this is called:
    /// what is preserved here may outlive a power cut that the journal's tail does not.
    ///
    /// # Errors
    /// `Full` where the shelf has no room and only the reserve is left; nothing was written then.
    /// `Poisoned` after an earlier failure. `Disk` where a write fails; the store takes nothing more
    /// then.
    ///
    /// # Panics
    /// Where data is not exactly one block.
    pub(crate) async fn append(
        &self,
        items: Vec<Preserve>,
    ) -> Result<Vec<(Key, Place)>, PreservedError> {
        self.append_with(items, Reserve::Keep).await
    }

    /// The same for copies that must not fail for want of room: uses up the reserve where it has to.
    ///
    /// # Errors
    /// As [`Self::append`]; `Full` only where the reserve does not suffice either.
    ///
    /// # Panics
    /// Where data is not exactly one block.
    pub(crate) async fn append_from_reserve(
        &self,
        items: Vec<Preserve>,
    ) -> Result<Vec<(Key, Place)>, PreservedError> {
        self.append_with(items, Reserve::Use).await
    }

    async fn append_with(
        &self,
        items: Vec<Preserve>,
        reserve: Reserve,
    ) -> Result<Vec<(Key, Place)>, PreservedError> {
        let mut writer = self.writer.lock().await;
        self.state().check()?;
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let mut stored = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            if index % BLOCKS_PER_TURN == BLOCKS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            stored.push(writer.encoder.encode(item));
        }
        let (plan, rooms) = self.find_room(&stored, reserve)?;
        let heads = self.heads(&plan, &stored);
        self.state().is_appending = true;
        let answer = self.write(&mut writer, &plan, &rooms, (&heads, stored)).await;
        let mut state = self.state();
        state.is_appending = false;
        if let Err(error) = answer {
            state.poison = Some(format!("a write to its segments failed: {error}").into());
            return Err(error.into());
        }
        Ok(note_written(&mut state, &plan, &rooms, &heads))
    }

    /// Plans the chunks, and makes the segments that they and the reserve need.
    fn find_room(
        &self,
        stored: &[Stored],
        reserve: Reserve,
    ) -> Result<(Vec<Planned>, Vec<Room>), PreservedError> {
        let mut rooms = rooms_of(&self.state());
        let sizes: Vec<Size> = stored.iter().map(|stored| Size::of(&stored.entry)).collect();
        let plan = plan(&sizes, |index| match rooms.get(index) {
            Some(room) => (room.start, room.end),
            None => (0, self.options.segment_sectors()),
        });
        let used = plan.last().map_or(0, |chunk| chunk.room + 1);
        let needed = match reserve {
            Reserve::Keep => used + 1,
            Reserve::Use => used,
        };
        let made = self.make_segments(needed.saturating_sub(rooms.len()))?;
        rooms.extend(made.into_iter().map(|(segment, end)| Room { segment, start: 0, end }));
        Ok((plan, rooms))
    }

    fn heads(&self, plan: &[Planned], stored: &[Stored]) -> Vec<ChunkHead> {
        let state = self.state();
        let numbers = state.next_chunk..;
        let head = |(chunk, number): (&Planned, u64)| ChunkHead {
            volume: self.volume,
            incarnation: self.incarnation,
            number,
            durable_below: state.durable_below,
            entries: stored[chunk.items.clone()].iter().map(|stored| stored.entry).collect(),
        };
        plan.iter().zip(numbers).map(head).collect()
    }

    async fn write(
        &self,
        writer: &mut Writer,
        plan: &[Planned],
        rooms: &[Room],
        (heads, stored): (&[ChunkHead], Vec<Stored>),
    ) -> Result<(), DiskError> {
        let mut stored = stored.into_iter();
        let mut writes = Vec::with_capacity(plan.len());
        for (chunk, head) in plan.iter().zip(heads) {
            let segment = rooms[chunk.room].segment;
            let disk = self.handles.get(segment)?;
            let data = payloads(head, stored.by_ref().take(chunk.items.len()))?;
            writes.push(disk.write(u64::from(chunk.start), data, Durability::Volatile));
            writer.dirty.insert(segment, disk);
        }
        // All are awaited, so that nothing is in flight when the next turn begins.
        let mut answer = Ok(());
        for write in writes {
            answer = answer.and(write.await);
        }
        answer
    }
}

/// The bytes of a chunk, without copying blocks that are stored as they came.
fn payloads(
    head: &ChunkHead,
    stored: impl Iterator<Item = Stored>,
) -> Result<Vec<Payload>, DiskError> {
    let mut data = Vec::new();
    let mut packed = head.encode();
    for stored in stored {
        match stored.bytes {
            StoredBytes::None => {}
            StoredBytes::Packed(bytes) => packed.extend_from_slice(&bytes),
            StoredBytes::Raw(payload) => {
                if !packed.is_empty() {
                    data.push(Buffer::copy_of(&std::mem::take(&mut packed))?.freeze());
                }
                data.push(payload);
            }
        }
    }
    let written = data.iter().map(|payload| payload.len()).sum::<usize>() + packed.len();
    let sectors = usize::try_from(head.sectors()).unwrap_or(usize::MAX);
    packed.resize(packed.len() + (sectors * SECTOR_LEN).saturating_sub(written), 0);
    if !packed.is_empty() {
        data.push(Buffer::copy_of(&packed)?.freeze());
    }
    Ok(data)
}

/// The rooms that are there, in the order in which they are filled.
fn rooms_of(state: &State) -> Vec<Room> {
    let current = state.segments.last_key_value();
    let current = current.map(|(index, segment)| Room {
        segment: *index,
        start: segment.used,
        end: segment.sectors,
    });
    let spare = state.spare.map(|(segment, end)| Room { segment, start: 0, end });
    current.into_iter().chain(spare).collect()
}

/// What planning needs to know of an item.
#[derive(Clone, Copy)]
struct Size {
    block: u64,
    sectors: u8,
}

impl Size {
    fn of(entry: &ChunkEntry) -> Self {
        Self { block: entry.key.block, sectors: entry.sectors }
    }
}

/// Divides items of these sizes into chunks, and places those in rooms.
///
/// `room` tells start and end of the free sectors of a room; rooms do not end.
fn plan(sizes: &[Size], room: impl Fn(usize) -> (u32, u32)) -> Vec<Planned> {
    let mut chunks = Vec::new();
    let (mut index, mut next) = (0, 0);
    let (mut start, mut end) = room(index);
    while next < sizes.len() {
        let count = items_that_fit(&sizes[next..], end.saturating_sub(start));
        if count == 0 {
            index += 1;
            (start, end) = room(index);
            continue;
        }
        let items = next..next + count;
        let stored = sizes[items.clone()].iter().map(|size| u32::from(size.sectors)).sum();
        next = items.end;
        chunks.push(Planned { room: index, start, items });
        start += chunk_sectors(count, stored);
    }
    chunks
}

/// How many of the first items make one chunk that fits into `room` sectors, without parting entries of
/// one block.
fn items_that_fit(sizes: &[Size], room: u32) -> usize {
    let limit = room.min(CHUNK_SECTORS_MAX);
    let mut stored = 0;
    let fits = |(index, size): (usize, &Size)| {
        stored += u32::from(size.sectors);
        chunk_sectors(index + 1, stored) <= limit
    };
    let first = sizes.iter().take(CHUNK_ENTRIES_MAX).enumerate();
    let count = first.map(fits).take_while(|fits| *fits).count();
    let parts = |count: &usize| {
        let next = sizes.get(*count).map(|size| size.block);
        *count > 0 && next == Some(sizes[*count - 1].block)
    };
    (0..=count).rev().find(|count| !parts(count)).unwrap_or(0)
}

/// How many blocks at most one append can put into a room of this many sectors, none compressed.
pub(super) fn blocks_that_fit(mut room: u32) -> u64 {
    let mut blocks = 0;
    loop {
        let limit = room.min(CHUNK_SECTORS_MAX);
        let mut count = limit.saturating_sub(head_sectors(1)) / 8;
        while count > 0 && chunk_sectors(count as usize, count * 8) > limit {
            count -= 1;
        }
        if count == 0 {
            return blocks;
        }
        blocks += u64::from(count);
        room -= chunk_sectors(count as usize, count * 8);
    }
}

fn note_written(
    state: &mut State,
    plan: &[Planned],
    rooms: &[Room],
    heads: &[ChunkHead],
) -> Vec<(Key, Place)> {
    let mut written = Vec::new();
    for (chunk, head) in plan.iter().zip(heads) {
        let room = rooms[chunk.room];
        state.count_chunk((room.segment, chunk.start), room.end, head);
        written.extend(head.places(room.segment, chunk.start));
    }
    state.next_chunk += heads.len() as u64;
    let used = plan.last().map_or(0, |chunk| chunk.room + 1);
    state.spare = rooms.get(used).map(|room| (room.segment, room.end));
    written
}

const _: fn() = || {
    fn is_send<T: Send>(_: T) {}
    #[expect(dead_code, reason = "checked by compiling")]
    fn append_can_be_awaited_anywhere(store: &Arc<PreservedStore>) {
        is_send(store.append(Vec::new()));
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Items of that many sectors, each of another block.
    fn items(sectors: u8, count: usize) -> Vec<Size> {
        (0..count as u64).map(|block| Size { block, sectors }).collect()
    }

    #[test]
    fn entries_of_one_block_stay_together() {
        let pairs: Vec<Size> = (0..20).map(|n| Size { block: n / 2, sectors: 8 }).collect();
        let chunks = plan(&pairs, |index| if index == 0 { (80, 128) } else { (0, 128) });
        assert_eq!(chunks[0].items, 0..4, "five would fit");
        assert_eq!(chunks[1].items, 4..18, "fifteen would fit");
        assert_eq!(chunks[2].items, 18..20);
    }

    #[test]
    fn chunks_fill_rooms_in_order_and_cross_none() {
        // A room of 40 sectors: a head of 8 and four raw blocks.
        let rooms = |index| if index == 0 { (88, 128) } else { (0, 128) };
        let chunks = plan(&items(8, 20), rooms);
        assert_eq!(chunks[0], Planned { room: 0, start: 88, items: 0..4 });
        assert_eq!(chunks[1], Planned { room: 1, start: 0, items: 4..19 });
        assert_eq!(chunks[2], Planned { room: 2, start: 0, items: 19..20 });
    }

    #[test]
    fn a_chunk_stays_within_its_limits() {
        let chunks = plan(&items(0, 3000), |_| (0, 1 << 20));
        assert_eq!(chunks[0].items.len(), CHUNK_ENTRIES_MAX);
        let chunks = plan(&items(8, 1000), |_| (0, 1 << 20));
        assert!(chunks.iter().all(|c| chunk_sectors(c.items.len(), 8 * 250) <= CHUNK_SECTORS_MAX));
    }

    #[test]
    fn a_room_takes_as_many_blocks_as_was_said() {
        for room in (0..4500).step_by(8) {
            let blocks = usize::try_from(blocks_that_fit(room)).unwrap();
            let rooms = |index| if index == 0 { (0, room) } else { (0, 1 << 20) };
            assert!(plan(&items(8, blocks), rooms).iter().all(|chunk| chunk.room == 0), "{room}");
            assert!(plan(&items(8, blocks + 1), rooms).last().unwrap().room > 0, "{room}");
        }
    }
}
