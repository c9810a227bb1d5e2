//! A page of entries. Pure: bytes in, values out.
//!
//! Entries are records of one width within a page, so that a search needs no decoding: each column is
//! stored as its distance from the smallest value in the page, in as many bytes as the largest distance
//! there needs.
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 4 | magic `TMPG` |
//! | 4 | 2 | version, 1 |
//! | 6 | 2 | count of entries, at least 1 |
//! | 8 | 16 | volume |
//! | 24 | 8 | number of the run |
//! | 32 | 4 | index of the page |
//! | 36 | 4 | crc32c of the page but for this field, salted `MapPage` |
//! | 40 | 8 | smallest block |
//! | 48 | 8 | smallest sequence |
//! | 56 | 4 | smallest segment |
//! | 60 | 4 | smallest sector |
//! | 64 | 4 | widths in bytes: block (0 to 8), sequence (0 to 8), segment (0 to 4), sector (0 to 4) |
//! | 68 | 4 | reserved |
//! | 72 | each | entry: block, sequence, segment, sector, stored sectors and form (1), crc32c (4) |
//!
//! Stored sectors and form share a byte: sectors in the low four bits, form in the high four. Zeroes fill
//! the page.

use base::checksum::{self, Kind};
use base::codec::{CodecError, Reader, Writer};
use base::id::Id;
use base::units::BLOCK_LEN;

use crate::preserved::{Form, Key, Place};

const MAGIC: u32 = u32::from_le_bytes(*b"TMPG");
const VERSION: u16 = 1;
const HEAD_LEN: usize = 72;
const CHECKSUM_AT: usize = 36;
/// Bytes of an entry beside its columns: form and checksum.
const TAIL_LEN: usize = 5;
/// The widest entry.
const ENTRY_LEN_MAX: usize = 8 + 8 + 4 + 4 + TAIL_LEN;

/// Entries that a page holds at least, whatever they are, unless it is the last of its run.
pub(super) const ENTRIES_MIN: u64 = ((BLOCK_LEN - HEAD_LEN) / ENTRY_LEN_MAX) as u64;

/// Which page of which run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PageName {
    /// Whose map.
    pub volume: Id,
    /// Number of the run.
    pub run: u64,
    /// Index of the page in it.
    pub index: u32,
}

/// A page of sorted entries that was checked.
pub(crate) struct Page {
    bytes: Box<[u8; BLOCK_LEN]>,
    count: usize,
    base: Columns,
    widths: Widths,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Columns {
    block: u64,
    sequence: u64,
    segment: u32,
    sector: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Widths {
    block: usize,
    sequence: usize,
    segment: usize,
    sector: usize,
}

impl Widths {
    fn between(low: Columns, high: Columns) -> Self {
        Self {
            block: width_of(high.block - low.block),
            sequence: width_of(high.sequence - low.sequence),
            segment: width_of(u64::from(high.segment - low.segment)),
            sector: width_of(u64::from(high.sector - low.sector)),
        }
    }

    fn entry_len(self) -> usize {
        self.block + self.sequence + self.segment + self.sector + TAIL_LEN
    }
}

/// Bytes that hold this number.
fn width_of(number: u64) -> usize {
    (8 - number.leading_zeros() as usize / 8).min(8)
}

impl Page {
    /// Takes a page from its bytes, which must be exactly one block.
    ///
    /// # Errors
    /// `Short` where the bytes end, `Invalid` where the checksum or a field is wrong, where it is
    /// another page, or where its entries are not in order.
    pub(crate) fn decode(bytes: &[u8], name: PageName) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let invalid = |field, value| Err(CodecError::Invalid { field, value });
        let (magic, version, count) = (reader.u32()?, reader.u16()?, usize::from(reader.u16()?));
        if magic != MAGIC || version != VERSION {
            return invalid("magic and version", u64::from(magic));
        }
        let found =
            PageName { volume: Id(reader.u128()?), run: reader.u64()?, index: reader.u32()? };
        let sum = reader.u32()?;
        let base = Columns {
            block: reader.u64()?,
            sequence: reader.u64()?,
            segment: reader.u32()?,
            sector: reader.u32()?,
        };
        let mut width = || reader.u8().map(usize::from);
        let widths =
            Widths { block: width()?, sequence: width()?, segment: width()?, sector: width()? };
        reader.reserved(4)?;
        let Ok(bytes) = <Box<[u8; BLOCK_LEN]>>::try_from(Box::<[u8]>::from(bytes)) else {
            return invalid("length", bytes.len() as u64);
        };
        if sum != page_checksum(&bytes[..]) {
            return invalid("checksum", u64::from(sum));
        }
        if found != name {
            return invalid("owner", u64::from(found.index));
        }
        let fits = widths.block <= 8
            && widths.sequence <= 8
            && widths.segment <= 4
            && widths.sector <= 4
            && count > 0
            && widths.entry_len() * count <= BLOCK_LEN - HEAD_LEN;
        if !fits {
            return invalid("count and widths", count as u64);
        }
        let page = Self { bytes, count, base, widths };
        page.check_entries()?;
        Ok(page)
    }

    /// How many entries it holds.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The key of an entry.
    ///
    /// # Panics
    /// Where there are not that many entries.
    pub(crate) fn key(&self, index: usize) -> Key {
        assert!(index < self.count, "entry {index} of {}", self.count);
        let at = HEAD_LEN + index * self.widths.entry_len();
        let block = self.number(at, self.widths.block);
        let sequence = self.number(at + self.widths.block, self.widths.sequence);
        Key::new(self.base.block.wrapping_add(block), self.base.sequence.wrapping_add(sequence))
    }

    /// An entry.
    ///
    /// # Panics
    /// Where there are not that many entries.
    pub(crate) fn entry(&self, index: usize) -> (Key, Place) {
        let key = self.key(index);
        // What `decode` has checked is there.
        let place = self.place(index).expect("a checked page holds whole entries");
        (key, place)
    }

    /// The index of the first entry that is not before `key`.
    pub(crate) fn lower_bound(&self, key: Key) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn place(&self, index: usize) -> Result<Place, CodecError> {
        let widths = self.widths;
        let at = HEAD_LEN + index * widths.entry_len() + widths.block + widths.sequence;
        let column = |at, width, base: u32| {
            let number = u64::from(base) + self.number(at, width);
            u32::try_from(number).map_err(|_| CodecError::Invalid { field: "place", value: number })
        };
        let segment = column(at, widths.segment, self.base.segment)?;
        let sector = column(at + widths.segment, widths.sector, self.base.sector)?;
        let at = at + widths.segment + widths.sector;
        let form = Form::from_number(self.bytes[at] >> 4)?;
        let sectors = self.bytes[at] & 15;
        if !form.fits(sectors) {
            return Err(CodecError::Invalid { field: "sectors", value: u64::from(sectors) });
        }
        let checksum = u32::try_from(self.number(at + 1, 4)).unwrap_or(0);
        Ok(Place { segment, sector, checksum, sectors, form })
    }

    fn check_entries(&self) -> Result<(), CodecError> {
        let mut last = None;
        for index in 0..self.count {
            self.place(index)?;
            let at = HEAD_LEN + index * self.widths.entry_len();
            let block = self.base.block.checked_add(self.number(at, self.widths.block));
            let key = self.key(index);
            let is_whole = block.is_some() && key.sequence >= self.base.sequence;
            if !is_whole || last.replace(key).is_some_and(|last| last >= key) {
                return Err(CodecError::Invalid { field: "order of entries", value: key.block });
            }
        }
        let end = HEAD_LEN + self.count * self.widths.entry_len();
        Reader::new(&self.bytes[end..]).reserved(BLOCK_LEN - end)
    }

    fn number(&self, at: usize, width: usize) -> u64 {
        let mut raw = [0; 8];
        raw[..width].copy_from_slice(&self.bytes[at..at + width]);
        u64::from_le_bytes(raw)
    }
}

fn page_checksum(bytes: &[u8]) -> u32 {
    let after = bytes.get(CHECKSUM_AT + 4..).unwrap_or_default();
    checksum::of_pieces(Kind::MapPage, [&bytes[..CHECKSUM_AT], after])
}

/// Collects entries until a page is full.
#[derive(Default)]
pub(super) struct PageBuilder {
    entries: Vec<(Key, Place)>,
    limits: Option<(Columns, Columns)>,
}

impl PageBuilder {
    /// Takes an entry, which must be after all before it; false where the page is full without it.
    pub(super) fn push(&mut self, key: Key, place: Place) -> bool {
        let Place { segment, sector, .. } = place;
        let this = Columns { block: key.block, sequence: key.sequence, segment, sector };
        let (low, high) = self.limits.unwrap_or((this, this));
        let low = Columns {
            block: low.block.min(this.block),
            sequence: low.sequence.min(this.sequence),
            segment: low.segment.min(this.segment),
            sector: low.sector.min(this.sector),
        };
        let high = Columns {
            block: high.block.max(this.block),
            sequence: high.sequence.max(this.sequence),
            segment: high.segment.max(this.segment),
            sector: high.sector.max(this.sector),
        };
        let len = Widths::between(low, high).entry_len() * (self.entries.len() + 1);
        if len > BLOCK_LEN - HEAD_LEN {
            return false;
        }
        self.limits = Some((low, high));
        self.entries.push((key, place));
        true
    }

    /// The first key, where there is an entry.
    pub(super) fn first_key(&self) -> Option<Key> {
        self.entries.first().map(|(key, _)| *key)
    }

    /// The page, leaving the builder empty. `None` where there is no entry.
    pub(super) fn take(&mut self, name: PageName) -> Option<Vec<u8>> {
        let (low, high) = self.limits.take()?;
        let widths = Widths::between(low, high);
        let mut writer = Writer::new();
        let count = u16::try_from(self.entries.len()).unwrap_or(u16::MAX);
        writer.u32(MAGIC).u16(VERSION).u16(count);
        writer.u128(name.volume.0).u64(name.run).u32(name.index).u32(0);
        writer.u64(low.block).u64(low.sequence).u32(low.segment).u32(low.sector);
        for width in [widths.block, widths.sequence, widths.segment, widths.sector] {
            writer.u8(u8::try_from(width).unwrap_or(u8::MAX));
        }
        writer.reserved(4);
        for (key, place) in self.entries.drain(..) {
            let mut column = |number: u64, width: usize| {
                writer.bytes(&number.to_le_bytes()[..width]);
            };
            column(key.block - low.block, widths.block);
            column(key.sequence - low.sequence, widths.sequence);
            column(u64::from(place.segment - low.segment), widths.segment);
            column(u64::from(place.sector - low.sector), widths.sector);
            writer.u8(place.sectors & 15 | (place.form as u8) << 4).u32(place.checksum);
        }
        writer.reserved(BLOCK_LEN - writer.len());
        let mut bytes = writer.into_bytes();
        let sum = page_checksum(&bytes);
        bytes[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
        Some(bytes)
    }
}
