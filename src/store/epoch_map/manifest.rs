//! What a checkpoint keeps of an epoch map: its runs. The memtable comes back from the preserved store.
//!
//! | size | meaning |
//! |---|---|
//! | 2 | version, 1 |
//! | 2 | count of runs, at most 64 |
//! | 8 | number of the next run |
//! | each | number (8), pages of entries (4), fence pages (4), filter pages (4), entries (8) |
//!
//! Runs stand in the order of their age, oldest first. The checkpoint that carries it has the magic and
//! the checksum.

use base::codec::{CodecError, Reader, Writer};

const VERSION: u16 = 1;
/// Runs of one map: far more than merging ever leaves.
const RUNS_MAX: usize = 64;

/// What a checkpoint keeps of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RunRecord {
    pub(super) number: u64,
    pub(super) pages: u32,
    pub(super) fence_pages: u32,
    pub(super) filter_pages: u32,
    pub(super) entries: u64,
}

/// What a checkpoint keeps of an epoch map.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct MapManifest {
    pub(super) next_run: u64,
    pub(super) runs: Vec<RunRecord>,
}

impl MapManifest {
    /// Appends it to a checkpoint.
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u16(VERSION).u16(u16::try_from(self.runs.len()).unwrap_or(u16::MAX));
        writer.u64(self.next_run);
        for run in &self.runs {
            writer.u64(run.number).u32(run.pages).u32(run.fence_pages).u32(run.filter_pages);
            writer.u64(run.entries);
        }
    }

    /// Takes it from a checkpoint.
    ///
    /// # Errors
    /// `Short` where the bytes end, `Invalid` where a field holds what cannot be.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (version, count) = (reader.u16()?, usize::from(reader.u16()?));
        if version != VERSION || count > RUNS_MAX {
            return Err(CodecError::Invalid { field: "version and count", value: count as u64 });
        }
        let next_run = reader.counter()?;
        let mut runs = Vec::with_capacity(count);
        for _ in 0..count {
            let number = reader.u64()?;
            let (pages, fence_pages, filter_pages) = (reader.u32()?, reader.u32()?, reader.u32()?);
            let entries = reader.counter()?;
            if number >= next_run || pages == 0 || entries < u64::from(pages) {
                return Err(CodecError::Invalid { field: "run", value: number });
            }
            runs.push(RunRecord { number, pages, fence_pages, filter_pages, entries });
        }
        Ok(Self { next_run, runs })
    }
}
