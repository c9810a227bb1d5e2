//! One sorted run: immutable pages of entries on a disk of the shelf, its fences and filter in memory.

use std::ops::Range;
use std::sync::Arc;

use base::codec::{CodecError, Reader};
use base::id::Id;
use base::units::{BLOCK_LEN, Extent, SECTORS_PER_BLOCK};
use disk::{AnyDisk, Buffer, Shelf, Usage};

use super::bloom::{Bloom, LINE_LEN};
use super::cache::PageCache;
use super::error::MapError;
use super::frame::{CONTENT_LEN, FENCE_LEN, Foot, FrameKind, decode_frame};
use super::manifest::RunRecord;
use super::page::{Page, PageName};
use crate::preserved::{Key, Place};

/// Pages that one request reads: 256 KiB.
pub(super) const PAGES_PER_READ: u32 = 64;
/// Pages of one question up to which they are kept in the cache; a longer one passes by it.
const PAGES_KEPT_MAX: u32 = 16;
/// Blocks of a question up to which the filter is asked for each.
const BLOCKS_FILTERED_MAX: u64 = 16;

/// The name of a run's disk.
pub(super) fn name_of(volume: Id, number: u64) -> String {
    format!("{volume}.map-{number:08}")
}

/// The numbers of this volume's runs among these names.
pub(super) fn numbers_in(volume: Id, names: &[String]) -> Vec<u64> {
    let prefix = format!("{volume}.map-");
    let number = |name: &String| {
        let number = name.strip_prefix(&prefix)?.parse().ok()?;
        (name_of(volume, number) == *name).then_some(number)
    };
    names.iter().filter_map(number).collect()
}

/// What a run has in memory.
#[derive(Default)]
pub(super) struct Index {
    /// The first key of each page.
    pub(super) fences: Vec<Key>,
    pub(super) filter: Bloom,
}

pub(super) struct Run {
    disk: AnyDisk,
    cache: Arc<PageCache>,
    /// Its name in the cache.
    owner: u64,
    index: Index,
    foot: Foot,
}

impl Run {
    pub(super) fn new(disk: AnyDisk, cache: Arc<PageCache>, index: Index, foot: Foot) -> Self {
        Self { disk, owner: cache.owner(), cache, index, foot }
    }

    /// Opens a run and reads what it keeps in memory.
    ///
    /// # Errors
    /// `Damaged` where it is not what the record says, `Disk` where the disk refuses.
    pub(super) async fn open(
        shelf: &dyn Shelf,
        cache: &Arc<PageCache>,
        volume: Id,
        record: &RunRecord,
    ) -> Result<Self, MapError> {
        let disk = shelf.open(&name_of(volume, record.number), Usage::Data)?;
        let damaged = |part: &str, why| MapError::Damaged {
            volume,
            run: record.number,
            part: part.into(),
            why,
        };
        let ends = [record.pages, record.fence_pages, record.filter_pages].map(u64::from);
        let (fences_at, filter_at) = (ends[0], ends[0] + ends[1]);
        let foot_page = filter_at + ends[2];
        if (foot_page + 1) * SECTORS_PER_BLOCK > disk.geometry().sectors {
            let why = CodecError::Invalid { field: "pages", value: foot_page };
            return Err(damaged("length", why));
        }
        let bytes = read_pages(&disk, foot_page..foot_page + 1).await?;
        let foot = Foot::decode(&bytes).map_err(|why| damaged("foot", why))?;
        let said = RunRecord {
            number: foot.run,
            pages: foot.pages,
            fence_pages: foot.fence_pages,
            filter_pages: foot.filter_pages,
            entries: foot.entries,
        };
        if foot.volume != volume || said != *record {
            let why = CodecError::Invalid { field: "owner and counts", value: foot.run };
            return Err(damaged("foot", why));
        }
        let run = Self::new(disk, Arc::clone(cache), Index::default(), foot);
        let fences = run.content(FrameKind::Fences, fences_at..filter_at).await?;
        let filter = run.content(FrameKind::Filter, filter_at..foot_page).await?;
        let fences =
            decode_fences(&fences, record.pages).map_err(|why| run.damaged("fences", why))?;
        if filter.len() % LINE_LEN != 0 {
            let why = CodecError::Invalid { field: "length", value: filter.len() as u64 };
            return Err(run.damaged("filter", why));
        }
        let index = Index { fences, filter: Bloom::from_bytes(filter) };
        Ok(Self { index, ..run })
    }

    pub(super) fn record(&self) -> RunRecord {
        RunRecord {
            number: self.foot.run,
            pages: self.foot.pages,
            fence_pages: self.foot.fence_pages,
            filter_pages: self.foot.filter_pages,
            entries: self.foot.entries,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.foot.run
    }

    pub(super) fn entries(&self) -> u64 {
        self.foot.entries
    }

    pub(super) fn pages(&self) -> u32 {
        self.foot.pages
    }

    /// Bytes of its pages of every kind.
    pub(super) fn stored_bytes(&self) -> u64 {
        let RunRecord { pages, fence_pages, filter_pages, .. } = self.record();
        let pages = [pages, fence_pages, filter_pages, 1].map(u64::from);
        pages.iter().sum::<u64>() * BLOCK_LEN as u64
    }

    /// Bytes that it takes in memory, without cached pages.
    pub(super) fn memory_bytes(&self) -> u64 {
        (self.index.fences.len() * size_of::<Key>() + self.index.filter.bytes().len()) as u64
    }

    /// Whether it may hold an entry of these blocks under these sequences.
    pub(super) fn may_hold(&self, blocks: &Range<u64>, sequences: &Range<u64>) -> bool {
        let first = self.index.fences.first().map_or(0, |key| key.block);
        let is_near = blocks.start <= self.foot.last.block
            && first < blocks.end
            && sequences.start <= self.foot.sequence_max
            && self.foot.sequence_min < sequences.end;
        let is_long = blocks.end.saturating_sub(blocks.start) > BLOCKS_FILTERED_MAX;
        is_near && (is_long || blocks.clone().any(|block| self.index.filter.may_hold(block)))
    }

    /// The entry of the block with the smallest sequence that is not below the key's.
    pub(super) async fn first_from(&self, key: Key) -> Result<Option<(u64, Place)>, MapError> {
        let of_block = |(found, place): (Key, Place)| {
            (found.block == key.block).then_some((found.sequence, place))
        };
        let index = self.page_of(key);
        let page = self.page(index).await?;
        let at = page.lower_bound(key);
        if at < page.count() {
            return Ok(of_block(page.entry(at)));
        }
        match self.index.fences.get(index as usize + 1) {
            Some(fence) if fence.block == key.block => {
                Ok(of_block(self.page(index + 1).await?.entry(0)))
            }
            _ => Ok(None),
        }
    }

    /// The pages in which entries of these blocks lie.
    pub(super) fn pages_of(&self, blocks: &Range<u64>) -> Range<u32> {
        let start = self.page_of(Key::new(blocks.start, 0));
        let end = self.index.fences.partition_point(|fence| fence.block < blocks.end);
        start..u32::try_from(end).unwrap_or(u32::MAX).max(start)
    }

    /// Some pages from `pages.start` on, at least one, none after `pages.end`. A short question keeps
    /// them in the cache.
    pub(super) async fn some_pages(&self, pages: Range<u32>) -> Result<Vec<Arc<Page>>, MapError> {
        let is_kept = pages.end - pages.start <= PAGES_KEPT_MAX;
        let end = pages.end.min(pages.start.saturating_add(PAGES_PER_READ));
        let mut found = Vec::new();
        for index in pages.start..end {
            match self.cache.get((self.owner, index)) {
                Some(page) => found.push(page),
                None => break,
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        let bytes = read_pages(&self.disk, u64::from(pages.start)..u64::from(end)).await?;
        for (index, bytes) in (pages.start..end).zip(bytes.chunks_exact(BLOCK_LEN)) {
            let page = Arc::new(self.decode(index, bytes)?);
            if is_kept {
                self.cache.put((self.owner, index), Arc::clone(&page));
            }
            found.push(page);
        }
        Ok(found)
    }

    async fn page(&self, index: u32) -> Result<Arc<Page>, MapError> {
        if let Some(page) = self.cache.get((self.owner, index)) {
            return Ok(page);
        }
        let bytes = read_pages(&self.disk, u64::from(index)..u64::from(index) + 1).await?;
        let page = Arc::new(self.decode(index, &bytes)?);
        self.cache.put((self.owner, index), Arc::clone(&page));
        Ok(page)
    }

    fn decode(&self, index: u32, bytes: &[u8]) -> Result<Page, MapError> {
        let name = PageName { volume: self.foot.volume, run: self.foot.run, index };
        let damaged = |why| self.damaged(&format!("page {index}"), why);
        let page = Page::decode(bytes, name).map_err(damaged)?;
        if self.index.fences.get(index as usize) != Some(&page.key(0)) {
            let why = CodecError::Invalid { field: "first key", value: page.key(0).block };
            return Err(damaged(why));
        }
        Ok(page)
    }

    /// The page in which `key` lies, if it lies in any.
    fn page_of(&self, key: Key) -> u32 {
        let after = self.index.fences.partition_point(|fence| *fence <= key);
        u32::try_from(after.saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The content of all pages of one kind.
    async fn content(&self, kind: FrameKind, pages: Range<u64>) -> Result<Vec<u8>, MapError> {
        let (volume, run) = (self.foot.volume, self.foot.run);
        let mut content = Vec::new();
        let mut index = 0;
        let mut next = pages.start;
        while next < pages.end {
            let end = pages.end.min(next + u64::from(PAGES_PER_READ));
            let bytes = read_pages(&self.disk, next..end).await?;
            for bytes in bytes.chunks_exact(BLOCK_LEN) {
                let part = decode_frame(bytes, kind, PageName { volume, run, index });
                let part = part.map_err(|why| self.damaged("fences or filter", why))?;
                // All but the last are full, so that places in the content follow from the index.
                if part.len() < CONTENT_LEN && u64::from(index) + 1 < pages.end - pages.start {
                    let why = CodecError::Invalid { field: "length", value: part.len() as u64 };
                    return Err(self.damaged("fences or filter", why));
                }
                content.extend_from_slice(part);
                index += 1;
            }
            next = end;
        }
        Ok(content)
    }

    fn damaged(&self, part: &str, why: CodecError) -> MapError {
        MapError::Damaged { volume: self.foot.volume, run: self.foot.run, part: part.into(), why }
    }
}

fn decode_fences(bytes: &[u8], pages: u32) -> Result<Vec<Key>, CodecError> {
    let mut reader = Reader::new(bytes);
    let mut fences: Vec<Key> = Vec::with_capacity(bytes.len() / FENCE_LEN);
    while reader.left() > 0 {
        let key = Key::new(reader.u64()?, reader.u64()?);
        if fences.last().is_some_and(|last| *last >= key) {
            return Err(CodecError::Invalid { field: "order of fences", value: key.block });
        }
        fences.push(key);
    }
    if fences.len() as u64 != u64::from(pages) {
        return Err(CodecError::Invalid { field: "count of fences", value: fences.len() as u64 });
    }
    Ok(fences)
}

async fn read_pages(disk: &AnyDisk, pages: Range<u64>) -> Result<Buffer, disk::DiskError> {
    let sectors = (pages.end - pages.start) * SECTORS_PER_BLOCK;
    disk.read(Extent::new(pages.start * SECTORS_PER_BLOCK, sectors)).await
}
