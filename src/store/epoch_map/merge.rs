//! Merging runs in tiers, a bounded step at a time; dead entries are left out.
//!
//! Only neighbours in age are merged, so that the order of runs stays the order of age. Which, is decided
//! by their sizes alone: the newest runs are taken together as long as the next older one is not more than
//! half as large again as all of them, if that makes at least three; where there are too many runs, the
//! newest two at least. With 10 million entries that writes each entry a little over four times.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::error::MapError;
use super::live::{LiveMarks, Needed};
use super::map::EpochMap;
use super::page::Page;
use super::run::Run;
use super::writer::RunWriter;
use crate::preserved::{Key, Place};

/// Runs that are merged together at least, unless there are too many.
const RUNS_PER_MERGE_MIN: usize = 3;

/// How far merging got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MergeProgress {
    /// There is nothing to merge.
    Idle,
    /// A merge is under way.
    Working,
    /// A merge ended in this step.
    Merged {
        /// Entries that were read.
        read: u64,
        /// Entries that were written; the others are dead.
        written: u64,
    },
}

/// A merge that is under way.
pub(super) struct MergeJob {
    inputs: Vec<Cursor>,
    output: RunWriter,
    /// The last entry that was kept.
    last: Option<Key>,
    read: u64,
    written: u64,
}

impl EpochMap {
    /// Asks for a merge of all runs, so that every entry that is dead by then goes. Worth it when many
    /// entries are known to be dead.
    pub(crate) fn compact(&self) {
        self.write().is_compaction_due = true;
    }

    /// Asks for a merge of all runs where more than half of the entries are dead, given how many are not.
    pub(crate) fn compact_if_dead(&self, live_entries: u64) {
        let few = self.setup.options.memtable_entries as u64;
        if self.count() > live_entries.saturating_mul(2).saturating_add(few) {
            self.compact();
        }
    }

    /// Takes a merge one bounded step further, or begins one where runs need it.
    ///
    /// `live` must hold every mark that is live now; the deletions it reflects become stable no later
    /// than the next checkpoint that is taken.
    ///
    /// # Errors
    /// `Damaged` where a run is not what it was, `Disk` where the shelf or a disk refuses. The merge is
    /// given up then, and nothing is lost.
    pub(crate) async fn merge_step(&self, live: &LiveMarks) -> Result<MergeProgress, MapError> {
        let mut turn = self.merge.lock().await;
        let mut job = match turn.take() {
            Some(job) => job,
            None => match self.begin_merge()? {
                Some(job) => job,
                None => return Ok(MergeProgress::Idle),
            },
        };
        match job.step(live, self.setup.options.merge_entries_per_step).await {
            Ok(false) => {
                *turn = Some(job);
                Ok(MergeProgress::Working)
            }
            Ok(true) => self.end_merge(job).await,
            Err(error) => {
                job.output.abandon();
                Err(error)
            }
        }
    }

    fn begin_merge(&self) -> Result<Option<MergeJob>, MapError> {
        let (runs, is_compaction_due) = {
            let mut inner = self.write();
            let is_due = std::mem::take(&mut inner.is_compaction_due);
            (Arc::clone(&inner.runs), is_due)
        };
        let sizes: Vec<u64> = runs.iter().map(|run| run.entries()).collect();
        let chosen = if is_compaction_due {
            Some(0..runs.len())
        } else {
            choose(&sizes, self.setup.options.runs_max)
        };
        let Some(chosen) = chosen.filter(|chosen| !chosen.is_empty()) else { return Ok(None) };
        let inputs = runs[chosen.clone()].iter().map(|run| Cursor::new(Arc::clone(run))).collect();
        let output = self.create_run(sizes[chosen].iter().sum())?;
        Ok(Some(MergeJob { inputs, output, last: None, read: 0, written: 0 }))
    }

    async fn end_merge(&self, job: MergeJob) -> Result<MergeProgress, MapError> {
        let MergeJob { inputs, output, read, written, .. } = job;
        let merged = output.finish(&self.setup.cache).await?.map(Arc::new);
        let is_input =
            |run: &Arc<Run>| inputs.iter().any(|input| input.run.number() == run.number());
        let mut inner = self.write();
        let mut runs = Vec::with_capacity(inner.runs.len());
        let mut merged = Some(merged);
        for run in inner.runs.iter() {
            if is_input(run) {
                runs.extend(merged.take().flatten());
            } else {
                runs.push(Arc::clone(run));
            }
        }
        let manifests = inner.manifests;
        inner.doomed.extend(inputs.into_iter().map(|input| (input.run, manifests)));
        inner.runs = Arc::new(runs);
        Ok(MergeProgress::Merged { read, written })
    }
}

impl MergeJob {
    /// Reads up to `entries` entries; true where the inputs are at their end.
    async fn step(&mut self, live: &LiveMarks, entries: u64) -> Result<bool, MapError> {
        let mut needed = Needed::resume(live, self.last);
        for _ in 0..entries.max(1) {
            let Some((key, place)) = next_of(&mut self.inputs).await? else { return Ok(true) };
            self.read += 1;
            if needed.keep(key) {
                self.output.push(key, place).await?;
                self.written += 1;
            }
            self.last = needed.last();
        }
        Ok(false)
    }
}

/// Takes the smallest entry of all inputs; of equal keys that of the oldest run.
async fn next_of(inputs: &mut [Cursor]) -> Result<Option<(Key, Place)>, MapError> {
    let mut smallest: Option<(usize, Key)> = None;
    for (index, input) in inputs.iter_mut().enumerate() {
        if let Some((key, _)) = input.peek().await?
            && smallest.is_none_or(|(_, found)| key < found)
        {
            smallest = Some((index, key));
        }
    }
    Ok(smallest.and_then(|(index, _)| inputs[index].take()))
}

/// Reads a run from its first entry to its last.
struct Cursor {
    run: Arc<Run>,
    next_page: u32,
    pages: VecDeque<Arc<Page>>,
    /// Index of the next entry in the first page.
    next: usize,
    current: Option<(Key, Place)>,
}

impl Cursor {
    fn new(run: Arc<Run>) -> Self {
        Self { run, next_page: 0, pages: VecDeque::new(), next: 0, current: None }
    }

    async fn peek(&mut self) -> Result<Option<(Key, Place)>, MapError> {
        if self.current.is_some() {
            return Ok(self.current);
        }
        if self.pages.is_empty() && self.next_page < self.run.pages() {
            self.pages = self.run.some_pages(self.next_page..self.run.pages()).await?.into();
            self.next_page += u32::try_from(self.pages.len()).unwrap_or(u32::MAX);
        }
        let Some(page) = self.pages.front() else { return Ok(None) };
        self.current = Some(page.entry(self.next));
        self.next += 1;
        if self.next == page.count() {
            self.pages.pop_front();
            self.next = 0;
        }
        Ok(self.current)
    }

    fn take(&mut self) -> Option<(Key, Place)> {
        self.current.take()
    }
}

/// Which runs to merge, given their sizes, oldest first.
fn choose(sizes: &[u64], runs_max: usize) -> Option<Range<usize>> {
    let mut start = sizes.len().checked_sub(1)?;
    let mut sum = sizes[start];
    while start > 0 && sizes[start - 1] <= sum.saturating_add(sum / 2) {
        start -= 1;
        sum = sum.saturating_add(sizes[start]);
    }
    let least = if sizes.len() > runs_max { 2 } else { RUNS_PER_MERGE_MIN };
    if sizes.len() - start >= least {
        return Some(start..sizes.len());
    }
    (sizes.len() > runs_max.max(1)).then(|| sizes.len() - 2..sizes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_like_size_are_merged_and_large_old_ones_left() {
        assert_eq!(choose(&[], 6), None);
        assert_eq!(choose(&[1, 1], 6), None);
        assert_eq!(choose(&[100, 1, 1, 1], 6), Some(1..4));
        assert_eq!(choose(&[4, 1, 1, 1], 6), Some(0..4));
        assert_eq!(choose(&[1000, 300, 90, 30, 10, 3, 1], 6), Some(5..7));
        assert_eq!(choose(&[5], 0), None);
    }

    #[test]
    fn writing_stays_within_five_times_for_ten_million_entries() {
        let (mut sizes, mut written) = (Vec::new(), 0);
        for _ in 0..153 {
            sizes.push(1);
            written += 1;
            while let Some(chosen) = choose(&sizes, 6) {
                let sum = sizes.drain(chosen).sum();
                written += sum;
                sizes.push(sum);
            }
            assert!(sizes.len() <= 6);
        }
        assert!(written < 5 * 153, "{written}");
    }
}
