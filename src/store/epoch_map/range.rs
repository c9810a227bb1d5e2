//! Questions about many blocks at once: one pass over each source, then one merge.

use std::ops::Range;
use std::sync::Arc;

use base::units::Run as BlockRun;

use super::error::MapError;
use super::map::{EpochMap, Memtable};
use super::run::Run;
use crate::preserved::{Key, Place};

/// Pages of one source that one part of a scan reads, unless it would not get on at all.
const PAGES_PER_PART: u32 = 1024;

/// An entry that answers a question about its block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hit {
    /// Index of the block.
    pub block: u64,
    /// Sequence of the entry.
    pub sequence: u64,
    /// Where its content lies.
    pub place: Place,
}

/// A part of the answer to a scan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ScanPart {
    /// One hit for each block, in the order of blocks.
    pub hits: Vec<Hit>,
    /// From which block to go on; `None` where the scan is complete.
    pub next: Option<u64>,
}

/// What is asked of every source: the first entry of each of these blocks under these sequences.
struct Question {
    blocks: Range<u64>,
    sequences: Range<u64>,
    hits_max: usize,
    pages_max: u32,
    /// Whether all entries of a block are asked for, and not only the first.
    wants_all: bool,
}

/// What a source answers: its hits in blocks below `end`.
struct Part {
    hits: Vec<Hit>,
    end: u64,
}

impl EpochMap {
    /// For each block of the run that has an entry under `sequence` or a later one: the one with the
    /// smallest sequence. In the order of blocks; blocks without one are not in it.
    ///
    /// # Errors
    /// `Damaged` where a page is not what it was, `Disk` where the disk refuses.
    pub(crate) async fn lookup_run(
        &self,
        run: BlockRun,
        sequence: u64,
    ) -> Result<Vec<Hit>, MapError> {
        let question = Question {
            blocks: run.start..run.end(),
            sequences: sequence..u64::MAX,
            hits_max: usize::MAX,
            pages_max: u32::MAX,
            wants_all: false,
        };
        Ok(self.ask(&question).await?.hits)
    }

    /// The blocks from `from_block` on that have an entry under these sequences, each with the first of
    /// them: what changed between two marks, and where the content at the older one lies. At most
    /// `limit` blocks; the answer says where to go on.
    ///
    /// # Errors
    /// `Damaged` where a page is not what it was, `Disk` where the disk refuses.
    pub(crate) async fn scan(
        &self,
        from_block: u64,
        sequences: Range<u64>,
        limit: usize,
    ) -> Result<ScanPart, MapError> {
        self.scan_for(from_block, sequences, limit, false).await
    }

    /// The same with all entries of each block under these sequences, in order: of about `limit` entries, and
    /// never of a part of a block.
    ///
    /// # Errors
    /// As [`EpochMap::scan`].
    pub(crate) async fn scan_all(
        &self,
        from_block: u64,
        sequences: Range<u64>,
        limit: usize,
    ) -> Result<ScanPart, MapError> {
        self.scan_for(from_block, sequences, limit, true).await
    }

    async fn scan_for(
        &self,
        from_block: u64,
        sequences: Range<u64>,
        limit: usize,
        wants_all: bool,
    ) -> Result<ScanPart, MapError> {
        let question = Question {
            blocks: from_block..u64::MAX,
            sequences,
            hits_max: limit.max(1),
            pages_max: PAGES_PER_PART,
            wants_all,
        };
        let Part { mut hits, mut end } = self.ask(&question).await?;
        if hits.len() > question.hits_max {
            let last = hits[question.hits_max - 1].block;
            hits.truncate(hits.partition_point(|hit| hit.block <= last));
            end = hits.last().map_or(end, |hit| hit.block.saturating_add(1));
        }
        Ok(ScanPart { hits, next: (end < u64::MAX).then_some(end) })
    }

    async fn ask(&self, question: &Question) -> Result<Part, MapError> {
        let (runs, frozen, active) = {
            let inner = self.read();
            let active = part_of_table(&inner.active, question);
            (Arc::clone(&inner.runs), inner.frozen.clone(), active)
        };
        let mut parts = Vec::with_capacity(runs.len() + 2);
        for run in runs.iter() {
            if run.may_hold(&question.blocks, &question.sequences) {
                parts.push(part_of_run(run, question).await?);
            }
        }
        parts.extend(frozen.map(|table| part_of_table(&table, question)));
        parts.push(active);
        Ok(join(parts, question))
    }
}

/// Puts the answers of all sources, oldest first, together.
fn join(parts: Vec<Part>, question: &Question) -> Part {
    let end = parts.iter().map(|part| part.end).min().unwrap_or(question.blocks.end);
    let mut parts = parts.into_iter().filter(|part| !part.hits.is_empty());
    let mut hits = parts.next().map_or(Vec::new(), |part| part.hits);
    let sorted = hits.len();
    hits.extend(parts.flat_map(|part| part.hits));
    if hits.len() > sorted {
        // Stable, so that of equal keys the oldest source's comes first.
        hits.sort_by_key(|hit| (hit.block, hit.sequence));
        if question.wants_all {
            hits.dedup_by_key(|hit| (hit.block, hit.sequence));
        } else {
            hits.dedup_by_key(|hit| hit.block);
        }
    }
    hits.truncate(hits.partition_point(|hit| hit.block < end));
    Part { hits, end }
}

/// Collects the first entry of each block under the sequences asked for.
struct Collector<'a> {
    question: &'a Question,
    hits: Vec<Hit>,
}

impl Collector<'_> {
    /// Takes an entry, which must be after all before it. False where enough was collected.
    fn take(&mut self, key: Key, place: Place) -> bool {
        let is_new = self.hits.last().is_none_or(|hit| hit.block != key.block);
        let is_enough = self.hits.len() >= self.question.hits_max;
        if is_new && is_enough {
            return false;
        }
        let is_wanted = is_new || self.question.wants_all;
        if is_wanted && self.question.sequences.contains(&key.sequence) {
            self.hits.push(Hit { block: key.block, sequence: key.sequence, place });
        }
        self.question.wants_all || self.hits.len() < self.question.hits_max
    }

    /// The answer where it was complete up to `end`, or where enough was collected before.
    fn finish(self, end: u64) -> Part {
        let is_full = self.hits.len() >= self.question.hits_max;
        let last = self.hits.last().map_or(end, |hit| hit.block.saturating_add(1));
        Part { hits: self.hits, end: if is_full { last.min(end) } else { end } }
    }
}

fn part_of_table(table: &Memtable, question: &Question) -> Part {
    let mut collector = Collector { question, hits: Vec::new() };
    let Range { start, end } = question.blocks;
    if start < end {
        let range = Key::new(start, 0)..Key::new(end, 0);
        let _is_complete = table.range(range).all(|(key, place)| collector.take(*key, *place));
    }
    collector.finish(end)
}

async fn part_of_run(run: &Run, question: &Question) -> Result<Part, MapError> {
    let mut collector = Collector { question, hits: Vec::new() };
    let Range { start, end } = question.blocks;
    let all = run.pages_of(&question.blocks);
    let mut pages = all.clone();
    while pages.start < pages.end {
        let some = run.some_pages(pages.clone()).await?;
        let mut reached = start;
        for page in &some {
            let first = page.lower_bound(Key::new(start, 0));
            for index in first..page.count() {
                let (key, place) = page.entry(index);
                if key.block >= end {
                    return Ok(collector.finish(end));
                }
                if !collector.take(key, place) {
                    return Ok(collector.finish(end));
                }
                reached = key.block;
            }
        }
        pages.start += u32::try_from(some.len()).unwrap_or(u32::MAX);
        let is_enough = pages.start - all.start >= question.pages_max;
        if is_enough && pages.start < pages.end && reached > start {
            // The block that was reached may go on in the next page.
            return Ok(collector.finish(reached));
        }
    }
    Ok(collector.finish(end))
}
