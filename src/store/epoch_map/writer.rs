//! Writing a run: entries in, pages out, durable when it is finished.

use std::sync::Arc;

use base::id::Id;
use base::units::{BLOCK_LEN, SECTORS_PER_BLOCK};
use disk::{AnyDisk, Buffer, DiskError, Durability, Shelf, Usage};

use super::bloom::{Bloom, LINE_LEN, lines_for};
use super::cache::PageCache;
use super::frame::{CONTENT_LEN, FENCE_LEN, Foot, FrameKind, encode_frame};
use super::page::{ENTRIES_MIN, PageBuilder, PageName};
use super::run::{Index, PAGES_PER_READ, Run, name_of};
use crate::preserved::{Key, Place};

/// Bytes that are collected for one write.
const WRITE_LEN: usize = PAGES_PER_READ as usize * BLOCK_LEN;

/// A run that is being written.
pub(super) struct RunWriter {
    shelf: Arc<dyn Shelf>,
    volume: Id,
    number: u64,
    disk: AnyDisk,
    builder: PageBuilder,
    index: Index,
    /// Pages that were not written yet.
    out: Vec<u8>,
    /// Pages that were, of every kind.
    written: u64,
    entries: u64,
    last: Key,
    sequences: (u64, u64),
}

impl RunWriter {
    /// Begins a run of at most this many entries.
    ///
    /// # Errors
    /// What the shelf says.
    pub(super) fn create(
        shelf: &Arc<dyn Shelf>,
        volume: Id,
        number: u64,
        entries_max: u64,
    ) -> Result<Self, DiskError> {
        // The disk is sparse, so that the most it can take costs nothing.
        let pages = entries_max.div_ceil(ENTRIES_MIN).max(1);
        let fence_pages = pages.div_ceil((CONTENT_LEN / FENCE_LEN) as u64);
        let filter_pages = lines_for(entries_max).div_ceil((CONTENT_LEN / LINE_LEN) as u64);
        let sectors = (pages + fence_pages + filter_pages + 1) * SECTORS_PER_BLOCK;
        let disk = shelf.create(&name_of(volume, number), sectors, Usage::Data)?;
        Ok(Self {
            shelf: Arc::clone(shelf),
            volume,
            number,
            disk,
            builder: PageBuilder::default(),
            index: Index { fences: Vec::new(), filter: Bloom::for_entries(entries_max) },
            out: Vec::new(),
            written: 0,
            entries: 0,
            last: Key::new(0, 0),
            sequences: (u64::MAX, 0),
        })
    }

    /// Takes an entry, which must be after all before it.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn push(&mut self, key: Key, place: Place) -> Result<(), DiskError> {
        if !self.builder.push(key, place) {
            self.close_page();
            // An empty page takes any entry.
            let is_taken = self.builder.push(key, place);
            assert!(is_taken, "a page takes at least one entry");
            if self.out.len() >= WRITE_LEN {
                self.write_out().await?;
            }
        }
        self.index.filter.insert(key.block);
        self.entries += 1;
        self.last = key;
        let (low, high) = self.sequences;
        self.sequences = (low.min(key.sequence), high.max(key.sequence));
        Ok(())
    }

    /// Ends the run and makes it durable. `None` where no entry was taken; then nothing stays.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn finish(mut self, cache: &Arc<PageCache>) -> Result<Option<Run>, DiskError> {
        if self.entries == 0 {
            self.abandon();
            return Ok(None);
        }
        self.close_page();
        let fences = self.fence_bytes();
        let filter = self.index.filter.bytes().to_vec();
        let pages = self.index.fences.len();
        let fence_pages = self.put_frames(FrameKind::Fences, &fences).await?;
        let filter_pages = self.put_frames(FrameKind::Filter, &filter).await?;
        let foot = Foot {
            volume: self.volume,
            run: self.number,
            pages: u32::try_from(pages).unwrap_or(u32::MAX),
            fence_pages,
            filter_pages,
            entries: self.entries,
            last: self.last,
            sequence_min: self.sequences.0,
            sequence_max: self.sequences.1,
        };
        self.out.extend_from_slice(&foot.encode());
        self.write_out().await?;
        self.disk.flush().await?;
        Ok(Some(Run::new(self.disk, Arc::clone(cache), self.index, foot)))
    }

    /// Gives the run up and removes what was written of it.
    pub(super) fn abandon(self) {
        let name = name_of(self.volume, self.number);
        drop(self.disk);
        if let Err(error) = self.shelf.remove(&name) {
            // It is removed as an orphan when the map is opened.
            tracing::warn!(%name, %error, "remove an unfinished run");
        }
    }

    fn close_page(&mut self) {
        let index = u32::try_from(self.index.fences.len()).unwrap_or(u32::MAX);
        let name = PageName { volume: self.volume, run: self.number, index };
        let first = self.builder.first_key();
        if let (Some(first), Some(page)) = (first, self.builder.take(name)) {
            self.index.fences.push(first);
            self.out.extend_from_slice(&page);
        }
    }

    fn fence_bytes(&self) -> Vec<u8> {
        let fence = |key: &Key| [key.block.to_le_bytes(), key.sequence.to_le_bytes()].concat();
        self.index.fences.iter().flat_map(fence).collect()
    }

    async fn put_frames(&mut self, kind: FrameKind, content: &[u8]) -> Result<u32, DiskError> {
        let mut count = 0;
        for part in content.chunks(CONTENT_LEN) {
            let name = PageName { volume: self.volume, run: self.number, index: count };
            self.out.extend_from_slice(&encode_frame(kind, name, part));
            if self.out.len() >= WRITE_LEN {
                self.write_out().await?;
            }
            count += 1;
        }
        Ok(count)
    }

    async fn write_out(&mut self) -> Result<(), DiskError> {
        let data = Buffer::copy_of(&self.out)?.freeze();
        let pages = (self.out.len() / BLOCK_LEN) as u64;
        self.out.clear();
        let start = self.written * SECTORS_PER_BLOCK;
        self.disk.write(start, vec![data], Durability::Volatile).await?;
        self.written += pages;
        Ok(())
    }
}
