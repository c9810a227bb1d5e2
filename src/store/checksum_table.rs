//! The checksum table of one volume: for each block of its base, what the base must hold there.
//!
//! It is also the allocation map: a block without an entry was never written. Kept away from the data, so
//! that a lost or misplaced write of a block is seen; kept twice, each copy a shelf disk of its own,
//! because nothing else could tell a damaged block from a sound one.
//!
//! The unit is one sector, which a disk writes whole or not at all, so a power cut in the middle of a
//! write leaves only valid sectors; replay of the journal makes their content right.
//!
//! ```text
//! offset  size  field of a sector
//!      0     4  crc32c of the sector with this field zero, salted as a checksum sector
//!      4     4  write counter: of two valid copies the higher is newer
//!      8     4  index of the sector in the table, low 32 bits
//!     12     4  low 32 bits of the volume's id
//!     16   496  124 codes of 4 bytes
//! ```
//!
//! A sector of zeroes was never written: 124 blocks without entry.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::checksum::{self, Kind};
use base::codec::{CodecError, Reader, Writer};
use base::units::{Extent, Run, SECTOR_LEN};
use disk::{AnyDisk, Buffer, DiskError, Durability, MapKind};

/// Blocks that one sector of the table covers.
pub const CODES_PER_SECTOR: u64 = CODES as u64;
const CODES: usize = 124;
const SECTORS_PER_PAGE: u64 = SECTORS as u64;
const SECTORS: usize = 8;
const CODES_PER_PAGE: u64 = CODES_PER_SECTOR * SECTORS_PER_PAGE;
const PAGE_MEMORY_LEN: u64 = 4096 + 64;

/// What the base must hold in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// Nothing was written here: zeroes, the parent's block, or an adopted disk's own content.
    Absent,
    /// Zeroes; the space was given back.
    Zero,
    /// Zeroes; the space is kept.
    ZeroKept,
    /// Content with this checksum, as [`Code::of_sum`] folds it.
    Data(u32),
}

impl Code {
    /// The code of content with this crc32c. Three of 2^32 sums share codes with others, because the
    /// lowest three numbers say something else.
    pub fn of_sum(sum: u32) -> Self {
        Self::Data(if sum < 3 { sum | 0x8000_0000 } else { sum })
    }

    fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Absent,
            1 => Self::Zero,
            2 => Self::ZeroKept,
            sum => Self::Data(sum),
        }
    }

    fn raw(self) -> u32 {
        match self {
            Self::Absent => 0,
            Self::Zero => 1,
            Self::ZeroKept => 2,
            Self::Data(sum) => sum,
        }
    }

    /// Whether the base spends space on it.
    pub fn is_allocated(self) -> bool {
        matches!(self, Self::ZeroKept | Self::Data(_))
    }
}

#[derive(Clone)]
struct Page {
    codes: Vec<u32>,
    counters: [u32; SECTORS],
    /// One bit for each sector that must be written.
    changed: u8,
    used_at: u64,
}

#[derive(Default)]
struct Inner {
    pages: BTreeMap<u64, Page>,
    ticks: u64,
}

/// The table of one volume.
pub struct ChecksumTable {
    tag: u32,
    copies: [AnyDisk; 2],
    cache_len: u64,
    inner: Mutex<Inner>,
}

/// Sectors that the table of a volume with this many blocks takes, in whole pages.
pub fn sectors_for(blocks: u64) -> u64 {
    blocks.div_ceil(CODES_PER_PAGE).max(1) * SECTORS_PER_PAGE
}

impl ChecksumTable {
    /// The table that lies in these two disks. `tag` is the low half of the volume's id.
    pub fn new(tag: u32, copies: [AnyDisk; 2], cache_len: u64) -> Self {
        Self { tag, copies, cache_len, inner: Mutex::new(Inner::default()) }
    }

    /// The codes of a run of blocks where all are in memory.
    pub fn cached(&self, run: Run) -> Option<Vec<Code>> {
        let mut inner = self.lock();
        inner.ticks += 1;
        let now = inner.ticks;
        let mut codes = Vec::with_capacity(usize::try_from(run.blocks).ok()?);
        let mut block = run.start;
        while block < run.end() {
            let page = inner.pages.get_mut(&(block / CODES_PER_PAGE))?;
            page.used_at = now;
            let first = slot(block);
            let count = (run.end() - block).min(CODES_PER_PAGE - block % CODES_PER_PAGE);
            let last = first + usize::try_from(count).ok()?;
            codes.extend(page.codes[first..last].iter().map(|raw| Code::from_raw(*raw)));
            block += count;
        }
        Some(codes)
    }

    /// The code of one block as far as it is in memory; `Absent` where it is not.
    pub fn peek(&self, block: u64) -> Code {
        let inner = self.lock();
        let page = inner.pages.get(&(block / CODES_PER_PAGE));
        page.map_or(Code::Absent, |page| Code::from_raw(page.codes[slot(block)]))
    }

    /// The codes of a run of blocks.
    ///
    /// # Errors
    /// `Medium` where both copies of a sector are damaged; what the disks say.
    pub async fn get(&self, run: Run) -> Result<Vec<Code>, DiskError> {
        loop {
            if let Some(codes) = self.cached(run) {
                return Ok(codes);
            }
            self.load(run).await?;
        }
    }

    /// Brings the codes of a run of blocks into memory.
    ///
    /// # Errors
    /// As [`ChecksumTable::get`].
    pub async fn load(&self, run: Run) -> Result<(), DiskError> {
        let pages = run.start / CODES_PER_PAGE..run.end().div_ceil(CODES_PER_PAGE);
        for index in pages {
            if self.lock().pages.contains_key(&index) {
                continue;
            }
            let at = Extent::new(index * SECTORS_PER_PAGE, SECTORS_PER_PAGE);
            let (first, second) = (self.copies[0].read(at), self.copies[1].read(at));
            let raws = [first.await, second.await];
            let (page, _) = self.choose(index, &raws)?;
            let mut inner = self.lock();
            // Somebody may have loaded and changed it meanwhile; then theirs is newer.
            inner.pages.entry(index).or_insert(page);
        }
        Ok(())
    }

    /// Notes what the base holds in one block, which must be in memory; tells what it held before.
    ///
    /// # Panics
    /// Where the block was not loaded: the caller keeps the order of load, write, set.
    pub fn set(&self, block: u64, code: Code) -> Code {
        let mut inner = self.lock();
        let page = inner
            .pages
            .get_mut(&(block / CODES_PER_PAGE))
            .expect("a code is loaded before it is set");
        let there = &mut page.codes[slot(block)];
        let before = Code::from_raw(*there);
        if before != code {
            *there = code.raw();
            page.changed |= 1 << (block % CODES_PER_PAGE / CODES_PER_SECTOR);
        }
        before
    }

    /// Writes all changed sectors to both copies and makes them stable; then gives memory back.
    ///
    /// # Errors
    /// What the disks say. What was to be written is no longer noted then: the volume must take no more
    /// changes until the journal is replayed.
    pub async fn write_out(&self) -> Result<(), DiskError> {
        let batches = self.take_changed();
        for disk in &self.copies {
            let writes: Vec<_> = batches
                .iter()
                .map(|(start, data)| {
                    Ok(disk.write(
                        *start,
                        vec![Buffer::copy_of(data)?.freeze()],
                        Durability::Volatile,
                    ))
                })
                .collect::<Result<_, DiskError>>()?;
            for write in writes {
                write.await?;
            }
            if !batches.is_empty() {
                disk.flush().await?;
            }
        }
        self.evict();
        Ok(())
    }

    /// Bytes of memory that the table takes.
    pub fn memory_bytes(&self) -> u64 {
        self.lock().pages.len() as u64 * PAGE_MEMORY_LEN
    }

    /// Whether it takes more memory than it may; `write_out` mends that.
    pub fn is_over_budget(&self) -> bool {
        self.memory_bytes() > self.cache_len
    }

    /// How many blocks from `block` on have no code, in whole pages and as far as that can be seen without
    /// reading: by what is in memory, and else by what the first copy's disk never held.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn hole_from(&self, block: u64) -> Result<u64, DiskError> {
        let pages = self.copies[0].geometry().sectors / SECTORS_PER_PAGE;
        let mut page = block / CODES_PER_PAGE;
        while page < pages {
            let (empty, end) = self.empty_in_memory(page);
            page += empty;
            let end = end.min(pages);
            if page >= end {
                break;
            }
            let extent = Extent::new(page * SECTORS_PER_PAGE, (end - page) * SECTORS_PER_PAGE);
            // A copy that lost its end is a hole there.
            let mut hole_end = u64::MAX;
            for copy in &self.copies {
                let map = copy.map(extent).await?;
                let hole = map.first().filter(|first| first.kind == MapKind::Absent);
                let end = hole.map_or(0, |hole| hole.extent.end() / SECTORS_PER_PAGE);
                hole_end = hole_end.min(end);
            }
            page = page.max(hole_end);
            if hole_end < end {
                break;
            }
        }
        Ok((page * CODES_PER_PAGE).saturating_sub(block))
    }

    /// How many pages from this one on are in memory without a code, and which the next one in memory is
    /// behind them: that one itself where it has a code.
    fn empty_in_memory(&self, page: u64) -> (u64, u64) {
        let inner = self.lock();
        let mut next = page;
        for (index, there) in inner.pages.range(page..) {
            if *index != next || there.codes.iter().any(|code| *code != 0) {
                return (next - page, *index);
            }
            next += 1;
        }
        (next - page, u64::MAX)
    }

    /// Compares both copies of every page on the disks with each other; what is damaged in one is noted
    /// to be written again from the other. Tells how many sectors that were.
    ///
    /// # Errors
    /// `Medium` where both copies of a sector are damaged; what the disks say.
    pub async fn check_page(&self, page: u64) -> Result<u64, DiskError> {
        let at = Extent::new(page * SECTORS_PER_PAGE, SECTORS_PER_PAGE);
        let (first, second) = (self.copies[0].read(at), self.copies[1].read(at));
        let (chosen, repaired) = self.choose(page, &[first.await, second.await])?;
        if repaired > 0 {
            let mut inner = self.lock();
            let there = inner.pages.entry(page).or_insert_with(|| chosen.clone());
            there.changed |= chosen.changed;
        }
        Ok(repaired)
    }

    /// How many pages the table of this many blocks has.
    pub fn pages_for(blocks: u64) -> u64 {
        blocks.div_ceil(CODES_PER_PAGE)
    }

    /// Changed sectors as contiguous extents of the table, in order of address.
    fn take_changed(&self) -> Vec<(u64, Vec<u8>)> {
        let mut inner = self.lock();
        let mut batches: Vec<(u64, Vec<u8>)> = Vec::new();
        for (index, page) in &mut inner.pages {
            if page.changed == 0 {
                continue;
            }
            for sector in 0..SECTORS_PER_PAGE {
                if page.changed & (1 << sector) == 0 {
                    continue;
                }
                let at = index * SECTORS_PER_PAGE + sector;
                let bytes = self.encode(at, page, sector);
                match batches.last_mut() {
                    Some((start, data))
                        if *start + (data.len() / SECTOR_LEN) as u64 == at
                            && data.len() < 1 << 20 =>
                    {
                        data.extend_from_slice(&bytes);
                    }
                    _ => batches.push((at, bytes)),
                }
            }
            page.changed = 0;
        }
        batches
    }

    fn evict(&self) {
        let mut inner = self.lock();
        let keep = usize::try_from(self.cache_len / PAGE_MEMORY_LEN).unwrap_or(usize::MAX);
        if inner.pages.len() <= keep {
            return;
        }
        let mut ages: Vec<u64> = inner.pages.values().map(|page| page.used_at).collect();
        ages.sort_unstable();
        let oldest_kept = ages[ages.len() - keep / 8 * 7];
        inner.pages.retain(|_, page| page.changed != 0 || page.used_at >= oldest_kept);
    }

    /// Of two copies of a page, the newer valid sectors; and how many were damaged in one copy.
    fn choose(
        &self,
        index: u64,
        raws: &[Result<Buffer, DiskError>; 2],
    ) -> Result<(Page, u64), DiskError> {
        let mut page =
            Page { codes: Vec::new(), counters: [0; 8], changed: 0, used_at: self.lock().ticks };
        let mut repaired = 0;
        for sector in 0..SECTORS_PER_PAGE {
            let at = index * SECTORS_PER_PAGE + sector;
            let from = usize::try_from(sector).unwrap_or(0) * SECTOR_LEN;
            let copies = raws.each_ref().map(|raw| {
                let bytes = raw.as_ref().ok()?.get(from..from + SECTOR_LEN)?;
                decode_sector(bytes, at, self.tag).ok()
            });
            let is_torn = copies[0].is_none() || copies[1].is_none() || copies[0] != copies[1];
            repaired += u64::from(copies.iter().flatten().count() == 1);
            let newest = copies.into_iter().flatten().max_by_key(|(counter, _)| *counter);
            let Some((counter, codes)) = newest else {
                let blocks = Run::new(at * CODES_PER_SECTOR, CODES_PER_SECTOR);
                let why = "both copies of their checksums are damaged".into();
                return Err(DiskError::Medium { extent: blocks.extent(), why });
            };
            page.codes.extend(codes);
            page.counters[usize::try_from(sector).unwrap_or(0)] = counter;
            page.changed |= u8::from(is_torn) << sector;
        }
        Ok((page, repaired))
    }

    fn encode(&self, at: u64, page: &mut Page, sector: u64) -> Vec<u8> {
        let counter = &mut page.counters[usize::try_from(sector).unwrap_or(0)];
        *counter += 1;
        let first = slot(sector * CODES_PER_SECTOR);
        let codes = &page.codes[first..first + CODES];
        encode_sector(at, self.tag, *counter, codes)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where in its page a block's code stands.
fn slot(block: u64) -> usize {
    usize::try_from(block % CODES_PER_PAGE).unwrap_or(0)
}

fn encode_sector(at: u64, tag: u32, counter: u32, codes: &[u32]) -> Vec<u8> {
    let mut w = Writer::new();
    w.u32(0).u32(counter).u32(low_half(at)).u32(tag);
    for code in codes {
        w.u32(*code);
    }
    let crc = checksum::of(Kind::ChecksumSector, &w.clone().into_bytes());
    w.patch_u32(0, crc);
    w.into_bytes()
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
fn low_half(at: u64) -> u32 {
    at as u32
}

/// Checks a sector of a table and gives its counter and codes.
///
/// # Errors
/// `Short` or `Invalid`, naming the field that does not fit.
pub fn decode_sector(bytes: &[u8], at: u64, tag: u32) -> Result<(u32, Vec<u32>), CodecError> {
    let mut r = Reader::new(bytes);
    let whole = r.clone().bytes(SECTOR_LEN)?;
    if whole.iter().all(|byte| *byte == 0) {
        return Ok((0, vec![0; CODES]));
    }
    let (crc, counter, index, owner) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
    if checksum::of_pieces(Kind::ChecksumSector, [&[0; 4], &whole[4..]]) != crc {
        return Err(CodecError::Invalid { field: "crc", value: crc.into() });
    }
    if index != low_half(at) {
        return Err(CodecError::Invalid { field: "index", value: index.into() });
    }
    if owner != tag {
        return Err(CodecError::Invalid { field: "volume", value: owner.into() });
    }
    let codes: Result<_, _> = (0..CODES_PER_SECTOR).map(|_| r.u32()).collect();
    Ok((counter, codes?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_byte_is_detected() {
        let bytes = encode_sector(3, 9, 1, &[5; 124]);
        assert_eq!(bytes.len(), SECTOR_LEN);
        assert_eq!(decode_sector(&bytes, 3, 9), Ok((1, vec![5; 124])));
        assert!(decode_sector(&bytes, 4, 9).is_err());
        assert!(decode_sector(&bytes, 3, 8).is_err());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 2;
            assert!(decode_sector(&bad, 3, 9).is_err(), "byte {at}");
        }
    }

    #[test]
    fn reserved_codes_are_never_taken_for_sums() {
        for sum in 0..3 {
            assert!(matches!(Code::of_sum(sum), Code::Data(folded) if folded > 2));
        }
    }
}
