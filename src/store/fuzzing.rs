//! Entry points for fuzzers: bytes that a damaged or foreign pool may hold, driven through everything
//! that reads them.
//!
//! Each panics where an invariant breaks, and returns otherwise. A checksum would keep a fuzzer from ever
//! reaching what lies behind it; so each structure is tried as it is, and again with its checksum put
//! right, as one who forges it would.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::checksum::{self, Kind};
use base::clock::ManualClock;
use base::codec::{CodecError, Reader};
use base::id::Id;
use base::name::MarkRef;
use base::rng::SeededRng;
use base::units::{BLOCK_LEN, Extent, SECTOR_LEN, SECTORS_PER_BLOCK};
use disk::{AnyDisk, Buffer, Durability, MemShelf, Shelf, Usage};

use crate::checkpoint::{self, Checkpoint};
use crate::epoch_map::{MapManifest, Page, PageName};
use crate::journal::frame::{self, Record};
use crate::open::JOURNAL;
use crate::preserved::{ChunkHead, Manifest};
use crate::registry::Registry;
use crate::status::DiskRef;
use crate::superblock::{self, Superblock};
use crate::{Pool, PoolOptions, StoreError, World, inspect};

/// Blocks of a forged journal: the smallest that is accepted.
const JOURNAL_BLOCKS: u64 = 256;

/// Puts a checksum at `at`, over all of `bytes` with the checksum's own place taken as it is told.
fn seal(bytes: &mut [u8], kind: Kind, (at, own): (usize, Own)) {
    if bytes.len() < at + 4 {
        return;
    }
    let zeroes = [0; 4];
    let middle: &[u8] = match own {
        Own::Zero => &zeroes,
        Own::LeftOut => &[],
    };
    let sum = checksum::of_pieces(kind, [&bytes[..at], middle, &bytes[at + 4..]]);
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

/// What a checksum takes for its own place.
#[derive(Clone, Copy)]
enum Own {
    Zero,
    LeftOut,
}

/// A superblock.
pub fn superblock(bytes: &[u8]) {
    let mut sector = bytes.to_vec();
    let _ = Superblock::decode(&sector);
    sector.resize(SECTOR_LEN, 0);
    seal(&mut sector, Kind::Superblock, (12, Own::Zero));
    if let Ok(found) = Superblock::decode(&sector) {
        let again = Superblock::decode(&found.encode());
        assert_eq!(again, Ok(found), "what was read is written so that it is read again");
    }
}

/// A checkpoint, with the manifests and the events in it.
pub fn checkpoint(bytes: &[u8]) {
    let _ = Checkpoint::peek_len(bytes);
    let _ = Checkpoint::decode(bytes);
    let Some(sealed) = sealed_checkpoint(bytes) else { return };
    let Ok(found) = Checkpoint::decode(&sealed) else { return };
    assert_eq!(Checkpoint::decode(&found.encode()).as_ref(), Ok(&found));
    let mut registry = Registry::default();
    for event in &found.events {
        registry.apply(event);
    }
    let mut again = Registry::default();
    for event in registry.to_events() {
        again.apply(&event);
    }
    assert_eq!(registry.to_events(), again.to_events(), "a registry says all there is to it");
    for part in found.volumes.values() {
        let _ = Manifest::decode(&mut Reader::new(&part.preserved));
        let _ = MapManifest::decode(&mut Reader::new(&part.map));
    }
}

fn sealed_checkpoint(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut sealed = bytes.to_vec();
    let len = (bytes.len() as u64).to_le_bytes();
    sealed.get_mut(40..48)?.copy_from_slice(&len);
    seal(&mut sealed, Kind::Checkpoint, (12, Own::Zero));
    Some(sealed)
}

/// The head of a chunk of a preserved store.
pub fn chunk_head(bytes: &[u8]) {
    let _ = ChunkHead::decode(bytes);
    let Ok(len) = ChunkHead::len_of(bytes) else { return };
    let mut head = bytes.to_vec();
    head.resize(len, 0);
    seal(&mut head, Kind::PreservedChunk, (60, Own::LeftOut));
    if let Ok(found) = ChunkHead::decode(&head) {
        assert_eq!(found.encode(), head, "what was read is what was written");
        assert_eq!(found.places(0, 0).count(), found.entries.len());
    }
}

/// A page of an epoch map.
pub fn map_page(bytes: &[u8]) {
    let mut page = bytes.to_vec();
    page.resize(BLOCK_LEN, 0);
    let mut reader = Reader::new(&page);
    let mut name = || -> Result<PageName, CodecError> {
        reader.bytes(8)?;
        Ok(PageName { volume: Id(reader.u128()?), run: reader.u64()?, index: reader.u32()? })
    };
    let Ok(name) = name() else { return };
    let _ = Page::decode(bytes, name);
    seal(&mut page, Kind::MapPage, (36, Own::LeftOut));
    let Ok(found) = Page::decode(&page, name) else { return };
    for index in 0..found.count() {
        let (key, _) = found.entry(index);
        assert_eq!(found.lower_bound(key), index, "entries are in order, each once");
    }
}

/// A journal: a frame and the blocks that follow it in the ring. Tried as they are, and again with the
/// checksums of heads and payload put right.
pub fn journal(bytes: &[u8]) {
    let Ok(first) = checkpoint_before(bytes) else { return };
    let first = first.encode();
    open_forged(&first, bytes);
    open_forged(&first, &sealed_journal(bytes));
}

/// A pool: the length of a checkpoint in two bytes, the checkpoint, and the first blocks of the journal.
/// Opened, looked into, read at both ends of every volume, mark and view, and closed, which
/// applies what the journal holds.
pub fn pool(bytes: &[u8]) {
    let Some((len, rest)) = bytes.split_first_chunk() else { return };
    let len = usize::from(u16::from_le_bytes(*len));
    let Some((checkpoint, journal)) = rest.split_at_checked(len) else { return };
    let Some(checkpoint) = sealed_checkpoint(checkpoint) else { return };
    open_forged(&checkpoint, &sealed_journal(journal));
}

/// The checkpoint of a pool whose journal starts with this frame.
fn checkpoint_before(frame: &[u8]) -> Result<Checkpoint, CodecError> {
    let mut reader = Reader::new(frame);
    reader.bytes(16)?;
    let pool = Id(reader.u128()?);
    let (first_frame, first_incarnation) = (reader.u64()?, reader.u64()?);
    Ok(Checkpoint {
        pool,
        generation: 1,
        events_through: 0,
        first_frame,
        first_position: reader.u64()?,
        first_incarnation,
        events: Vec::new(),
        volumes: BTreeMap::new(),
    })
}

/// The same blocks, each head among them with its checksum put right, and the sums in it those of the
/// payload behind it.
fn sealed_journal(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    sealed.resize(bytes.len().next_multiple_of(BLOCK_LEN), 0);
    let mut at = 0;
    while at < sealed.len() {
        let head_len = frame::peek_head_blocks(&sealed[at..]).map_or(BLOCK_LEN, |blocks| {
            let len = usize::from(blocks) * BLOCK_LEN;
            seal_frame(&mut sealed[at..], len);
            len
        });
        at += head_len;
    }
    sealed
}

fn seal_frame(bytes: &mut [u8], head_len: usize) {
    let Some((head, payload)) = bytes.split_at_mut_checked(head_len) else { return };
    let used = u32::from_le_bytes([head[60], head[61], head[62], head[63]]) as usize;
    let Some(in_use) = head.get_mut(..used) else { return };
    seal(in_use, Kind::JournalFrame, (72, Own::Zero));
    let Ok((found, mut records)) = frame::decode(head) else { return };
    let mut blocks = payload.chunks_exact(BLOCK_LEN);
    for record in &mut records {
        let Record::Write { sums, .. } = record else { continue };
        let real = (0..sums.len()).map_while(|_| blocks.next());
        let real: Vec<u32> = real.map(|block| checksum::of(Kind::Block, block)).collect();
        if real.len() != sums.len() {
            return;
        }
        *sums = real.into();
    }
    head.copy_from_slice(&frame::encode(&found, &records));
}

fn open_forged(checkpoint: &[u8], journal: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let Ok(shelf) = forged_shelf(checkpoint, journal).await else { return };
        let _ = inspect(&shelf).await;
        let world =
            World { clock: Arc::new(ManualClock::default()), rng: Arc::new(SeededRng::new(1)) };
        let Ok(pool) = Pool::open(shelf, PoolOptions::default(), world).await else { return };
        let _ = pool.status();
        for volume in pool.volumes() {
            read_ends(&pool, DiskRef::Volume(volume.name.clone())).await;
            for mark in pool.marks(&volume.name).unwrap_or_default() {
                let mark = MarkRef { volume: mark.volume, mark: mark.name };
                read_ends(&pool, DiskRef::Mark(mark)).await;
            }
        }
        for view in pool.views() {
            read_ends(&pool, DiskRef::View(view.name)).await;
        }
        let _ = pool.close().await;
    });
}

async fn forged_shelf(checkpoint: &[u8], journal: &[u8]) -> Result<Arc<dyn Shelf>, StoreError> {
    let shelf: Arc<dyn Shelf> = Arc::new(MemShelf::new());
    let mut reader = Reader::new(checkpoint);
    let is_cut = |_| StoreError::NoPool;
    reader.bytes(16).map_err(is_cut)?;
    let pool = Id(reader.u128().map_err(is_cut)?);
    reader.bytes(32).map_err(is_cut)?;
    let position = reader.u64().map_err(is_cut)? % JOURNAL_BLOCKS;
    let superblock = Superblock {
        pool,
        incarnation: u64::from(u32::MAX),
        journal_blocks: JOURNAL_BLOCKS,
        created_ms: 0,
        segment_len: 1 << 16,
        cell_blocks: 2,
    };
    superblock::create(&*shelf, &superblock).await?;
    let sectors = checkpoint.len().div_ceil(BLOCK_LEN) as u64 * SECTORS_PER_BLOCK;
    let slot = shelf.create(&checkpoint::slot_name(0), sectors, Usage::Log)?;
    put(&slot, 0, checkpoint).await?;
    let ring = shelf.create(JOURNAL, JOURNAL_BLOCKS * SECTORS_PER_BLOCK, Usage::Log)?;
    let room = usize::try_from(JOURNAL_BLOCKS - position).unwrap_or(0) * BLOCK_LEN;
    put(&ring, position, &journal[..journal.len().min(room)]).await?;
    Ok(shelf)
}

async fn put(disk: &AnyDisk, block: u64, bytes: &[u8]) -> Result<(), StoreError> {
    let mut whole = bytes.to_vec();
    whole.resize(bytes.len().next_multiple_of(BLOCK_LEN), 0);
    let data = Buffer::copy_of(&whole)?.freeze();
    Ok(disk.write(block * SECTORS_PER_BLOCK, vec![data], Durability::Stable).await?)
}

async fn read_ends(pool: &Arc<Pool>, of: DiskRef) {
    let Ok(disk) = pool.disk(&of) else { return };
    let sectors = disk.geometry().sectors;
    let len = sectors.min(9);
    let _ = disk.read(Extent::new(0, len)).await;
    let _ = disk.read(Extent::new(sectors - len, len)).await;
}
