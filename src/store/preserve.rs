//! Preserving: copying what apply will overwrite, as far as a mark needs it.
//!
//! First everything that a step needs is listed, from the epoch map and the checksum table; then old
//! blocks are read from the base many at a time, appended to the preserved store and made stable; only
//! then are their entries published, and only after that may the base change.
//!
//! While a rollback copies, a block that was not written since stands in the base as it was before the
//! rollback. Overwriting it must keep two things: the base's block for the safety mark, and the block of
//! the mark that was rolled back to for any mark taken since. Each of the two entries alone would say
//! something false of the other's mark, so no power cut may part them: they go into one chunk.

use base::units::{BLOCK_LEN, Run, SECTORS_PER_BLOCK};
use disk::gather::together;
use disk::{Buffer, DiskError, Payload};

use crate::apply::Step;
use crate::checksum_table::Code;
use crate::error::StoreError;
use crate::event::Kind;
use crate::image::{Point, first_misfit, joined, without};
use crate::pool::{Pool, Volume};
use crate::preserved::{Content, Key, Place, Preserve};

/// Blocks that are read and appended at once: bounds the memory of a step.
const BLOCKS_AT_ONCE: u64 = 4096;

/// Blocks of which two entries each are listed at once: few enough for one batch.
const PAIRS_AT_ONCE: u64 = BLOCKS_AT_ONCE / 4;

/// Old blocks to be preserved under one mark's sequence.
struct Job {
    run: Run,
    mark: u64,
    old: Old,
    /// Whether it must go into the same batch as the job before it.
    is_bound: bool,
}

/// Where old blocks come from.
#[derive(Clone, PartialEq, Eq)]
enum Old {
    /// The base, with what it must hold.
    Base(Vec<Code>),
    /// Nowhere: it was zeroes, allocated or not.
    Zero,
    /// Nowhere: it was never allocated.
    Absent,
    /// Another image.
    Image(u32, u64),
}

impl Pool {
    /// Preserves what the pieces of a step will overwrite. When this returns, all of it is stable and
    /// published.
    ///
    /// # Errors
    /// `NoSpace` where there is no room and no mark may go; what the disks say.
    pub(crate) async fn preserve(&self, number: u32, step: &Step) -> Result<(), StoreError> {
        let Some(newest) = step.newest else {
            return Ok(());
        };
        let mut jobs = Vec::new();
        for run in step.overwritten() {
            self.list(step, newest, run, &mut jobs).await?;
        }
        let mut placed = Vec::new();
        let mut rest = jobs.into_iter().peekable();
        while rest.peek().is_some() {
            let mut some = Vec::new();
            let mut blocks = 0;
            while let Some(job) = rest.next_if(|job| {
                job.is_bound || blocks == 0 || blocks + job.run.blocks <= BLOCKS_AT_ONCE
            }) {
                blocks += job.run.blocks;
                some.push(job);
            }
            let mut items = self.carry_out(&step.volume, some).await?;
            if step.rollback.is_some() {
                items.sort_by_key(|item| (item.key.block, item.key.sequence));
            }
            placed.extend(self.append_preserved(number, &step.volume, items).await?);
        }
        if placed.is_empty() {
            return Ok(());
        }
        let published = step.volume.history.publish(&placed).await;
        if let Err(error) = &published {
            self.fail_volume(number, &format!("flush the preserved store: {error}"));
        }
        published
    }

    /// Lists what must be preserved of a run.
    async fn list(
        &self,
        step: &Step,
        newest: u64,
        run: Run,
        jobs: &mut Vec<Job>,
    ) -> Result<(), StoreError> {
        let map = &step.volume.history;
        let there = map.lookup_run(run, newest).await?;
        for needed in without(run, there.iter().map(|(key, _)| key.block)) {
            let Some((to, safety)) = step.rollback else {
                self.list_base(step, needed, newest, jobs).await?;
                continue;
            };
            let since = map.lookup_run(needed, safety).await?;
            for written in joined(since.iter().map(|(key, _)| key.block)) {
                self.list_base(step, written, newest, jobs).await?;
            }
            for pending in without(needed, since.iter().map(|(key, _)| key.block)) {
                for part in pending.parts(PAIRS_AT_ONCE) {
                    let first = jobs.len();
                    self.list_base(step, part, safety, jobs).await?;
                    if newest > safety {
                        let old = Old::Image(step.volume.number, to);
                        jobs.push(Job { run: part, mark: newest, old, is_bound: true });
                        jobs[first + 1..].iter_mut().for_each(|job| job.is_bound = true);
                    }
                }
            }
        }
        Ok(())
    }

    /// Lists blocks of the base that must be preserved, by what the checksum table says of them.
    async fn list_base(
        &self,
        step: &Step,
        run: Run,
        mark: u64,
        jobs: &mut Vec<Job>,
    ) -> Result<(), StoreError> {
        let codes = step.volume.sums.get(run).await?;
        for (index, code) in codes.iter().enumerate() {
            let block = run.start + index as u64;
            let old = match (code, &step.kind) {
                (Code::Data(_), _) | (Code::Absent, Kind::Adopted(_)) => Old::Base(vec![*code]),
                (Code::Zero | Code::ZeroKept, _) => Old::Zero,
                (Code::Absent, Kind::Thin) => Old::Absent,
                // Copied, so that the view's own marks do not depend on its parent.
                (Code::Absent, Kind::View { parent, mark }) => Old::Image(*parent, *mark),
            };
            let follows = |last: &Job| {
                last.run.end() == block && last.mark == mark && last.run.blocks < BLOCKS_AT_ONCE
            };
            match (jobs.last_mut().filter(|last| follows(last)), old) {
                (Some(Job { run, old: Old::Base(codes), .. }), Old::Base(more)) => {
                    run.blocks += 1;
                    codes.extend(more);
                }
                (Some(Job { run, old: last, .. }), old)
                    if *last == old && !matches!(old, Old::Base(_)) =>
                {
                    run.blocks += 1;
                }
                (_, old) => {
                    jobs.push(Job { run: Run::new(block, 1), mark, old, is_bound: false });
                }
            }
        }
        Ok(())
    }

    /// Reads the old blocks of some jobs, all at once.
    async fn carry_out(
        &self,
        volume: &Volume,
        jobs: Vec<Job>,
    ) -> Result<Vec<Preserve>, StoreError> {
        let read = |job: &Job| matches!(job.old, Old::Base(_)).then(|| volume.read_base(job.run));
        let reads: Vec<_> = together(|| jobs.iter().map(read).collect());
        let mut items = Vec::new();
        for (job, read) in jobs.iter().zip(reads) {
            match (&job.old, read) {
                (Old::Base(codes), Some(read)) => {
                    let read = read.await;
                    items.extend(self.checked(volume, job, codes, read).await?);
                }
                (Old::Zero, _) => items.extend(flags(job.run, job.mark, &Content::Zero)),
                (Old::Absent, _) => items.extend(flags(job.run, job.mark, &Content::Absent)),
                (Old::Image(of, mark), _) => {
                    let whole = self.marked_blocks(*of, *mark, job.run).await?;
                    items.extend(contents(job.run, job.mark, &whole));
                }
                (Old::Base(_), None) => {}
            }
        }
        Ok(items)
    }

    /// What was read of the base as items; blocks that are damaged are preserved as damaged, so that the
    /// mark says so instead of showing something else.
    async fn checked(
        &self,
        volume: &Volume,
        job: &Job,
        codes: &[Code],
        read: Result<Buffer, DiskError>,
    ) -> Result<Vec<Preserve>, StoreError> {
        let is_unreadable =
            |error: &DiskError| matches!(error, DiskError::Medium { .. } | DiskError::Io { .. });
        let read = match read {
            Ok(read) => whole_blocks(read, job.run)?,
            Err(error) if is_unreadable(&error) && job.run.blocks > 1 => {
                let mut items = Vec::new();
                for (index, code) in codes.iter().enumerate() {
                    let run = Run::new(job.run.start + index as u64, 1);
                    let old = Old::Base(vec![*code]);
                    let one = Job { run, mark: job.mark, old, is_bound: false };
                    let read = volume.read_base(run).await;
                    let code = [*code];
                    let checked = self.checked(volume, &one, &code, read);
                    items.extend(Box::pin(checked).await?);
                }
                return Ok(items);
            }
            Err(error) if is_unreadable(&error) => {
                if let Some(block) = read_again(volume, job.run, codes).await? {
                    return Ok(contents(job.run, job.mark, &block).collect());
                }
                self.warn_damaged(volume.number, job.run, &error.to_string());
                return Ok(flags(job.run, job.mark, &Content::Damaged).collect());
            }
            Err(error) => return Err(error.into()),
        };
        let mut items: Vec<Preserve> = contents(job.run, job.mark, &read).collect();
        for (index, (code, item)) in codes.iter().zip(&mut items).enumerate() {
            let block = &read[index * BLOCK_LEN..(index + 1) * BLOCK_LEN];
            if first_misfit(&[*code], block).is_some() {
                let one = Run::new(item.key.block, 1);
                if let Some(block) = read_again(volume, one, &[*code]).await? {
                    item.content = Content::Data(block);
                    continue;
                }
                self.warn_damaged(volume.number, one, "its content does not fit its checksum");
                item.content = Content::Damaged;
            }
        }
        Ok(items)
    }

    async fn marked_blocks(&self, of: u32, mark: u64, run: Run) -> Result<Payload, StoreError> {
        let mut whole = Buffer::for_sectors(run.extent().sectors)?;
        let there = run.intersect(Run::new(0, self.image_blocks(of, Point::Mark(mark))?));
        if !there.is_empty() {
            let len = usize::try_from(there.bytes()).unwrap_or(0);
            self.read_run(of, Point::Mark(mark), there, &mut whole[..len]).await?;
        }
        Ok(whole.freeze())
    }

    /// Appends to the preserved store; where there is no room, marks go by the volume's policy until
    /// there is.
    async fn append_preserved(
        &self,
        number: u32,
        volume: &Volume,
        items: Vec<Preserve>,
    ) -> Result<Vec<(Key, Place)>, StoreError> {
        let (is_on_reserve, allowed) = {
            let core = self.lock();
            let is_on_reserve = core.volumes.get(&number).is_some_and(|live| live.is_on_reserve);
            (is_on_reserve, core.preserved.check())
        };
        let appended = match allowed {
            _ if is_on_reserve => volume.history.append_from_reserve(items).await,
            Ok(()) => volume.history.append(items).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &appended
            && !matches!(error, StoreError::NoSpace(_))
        {
            self.fail_volume(number, &format!("write the preserved store: {error}"));
        }
        appended
    }

    fn warn_damaged(&self, number: u32, run: Run, why: &str) {
        tracing::error!(volume = number, block = run.start, why, "an old block is damaged");
        let mut core = self.lock();
        let name = core.registry.get(number).map(|entry| entry.name.to_string());
        let name = name.unwrap_or_default();
        let text = format!(
            "{name}: blocks that marks need are damaged, the last one found is block {}; `scrub {name}` lists them",
            run.start
        );
        core.warnings.insert(format!("damaged {name}"), text);
    }
}

impl Pool {
    /// Notes that a reader met a block that does not hold what was written there.
    pub(crate) fn warn_unfit(&self, number: u32, run: Run) {
        let mut core = self.lock();
        let Some(name) = core.registry.get(number).map(|entry| entry.name.to_string()) else {
            return;
        };
        let text = format!(
            "{name}: block {} was read and does not fit its checksum; `scrub {name}` lists all that is damaged",
            run.start
        );
        core.warnings.insert(format!("damaged {name}"), text);
    }
}

impl Step {
    /// The blocks whose former content is not to be had from the base after this step, in order: those of its
    /// pieces, and whole cells that leave their berths.
    fn overwritten(&self) -> Vec<Run> {
        let pieces = self.pieces.iter().map(|piece| piece.run);
        let mut runs: Vec<Run> = pieces.chain(self.moorings.iter().map(|cell| cell.run)).collect();
        runs.sort_by_key(|run| run.start);
        let mut joined: Vec<Run> = Vec::with_capacity(runs.len());
        for run in runs {
            match joined.last_mut() {
                Some(last) if run.start < last.end() => {
                    last.blocks = last.end().max(run.end()) - last.start;
                }
                _ => joined.push(run),
            }
        }
        joined
    }
}

/// A block that could not be read, or was read wrong, where a second reading finds it sound: what is
/// preserved as damaged stays so, even if only the reading failed.
async fn read_again(
    volume: &Volume,
    one: Run,
    codes: &[Code],
) -> Result<Option<Payload>, DiskError> {
    let Ok(read) = volume.read_base(one).await else { return Ok(None) };
    let block = whole_blocks(read, one)?;
    Ok(first_misfit(codes, &block).is_none().then_some(block))
}

fn flags(run: Run, sequence: u64, content: &Content) -> impl Iterator<Item = Preserve> {
    let content = content.clone();
    (run.start..run.end())
        .map(move |block| Preserve { key: Key { block, sequence }, content: content.clone() })
}

fn contents(run: Run, sequence: u64, whole: &Payload) -> impl Iterator<Item = Preserve> {
    (0..run.blocks).map(move |index| Preserve {
        key: Key { block: run.start + index, sequence },
        content: Content::Data(whole.slice(index * SECTORS_PER_BLOCK, SECTORS_PER_BLOCK)),
    })
}

/// What the base gave of a run, filled up with zeroes where the base ends within the last block.
fn whole_blocks(read: Buffer, run: Run) -> Result<Payload, DiskError> {
    if read.len() as u64 == run.bytes() {
        return Ok(read.freeze());
    }
    let mut whole = Buffer::for_sectors(run.extent().sectors)?;
    whole[..read.len()].copy_from_slice(&read);
    Ok(whole.freeze())
}
