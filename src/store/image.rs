//! Images: what a volume holds at a point in time, put together from journal, base, preserved store and
//! parent.
//!
//! Reads race with apply, which moves blocks from the journal to the base and old blocks from the base to
//! the preserved store. The rule that makes this safe: plan, read, then look again. Apply publishes a
//! preserved copy before it touches the base, and takes a block out of the dirty index only after; so a
//! reader that finds neither a new entry nor a dirty block after it has read the base has read what it
//! planned to. Whatever moved meanwhile is planned again.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::checksum::{self, Kind as Sum};
use base::units::{BLOCK_LEN, Extent, Run, SECTOR_LEN, SECTORS_PER_BLOCK};
use disk::{Buffer, DiskError, Payload};

use crate::berths::Spot;
use crate::checksum_table::Code;
use crate::dirty::{Epochs, Piece, Source};
use crate::event::Kind;
use crate::pool::{Pool, Volume};
use crate::preserved::{Key, Place};

/// A point in time of a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Point {
    /// Now.
    Live,
    /// The mark with this sequence.
    Mark(u64),
}

/// Where a run of blocks comes from.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Zeroes; `true` where space is kept for them.
    Zero(bool),
    /// Nothing was ever written here: zeroes.
    Absent,
    /// The base, with what it must hold.
    Base(Vec<Code>),
    /// The journal.
    Journal(Piece),
    /// The preserved store.
    Preserved(Vec<(Key, Place)>),
    /// The same blocks of another image.
    Other(u32, Point),
}

/// How a read of the parts went wrong.
enum Trouble {
    /// Something moved meanwhile: plan again.
    Moved,
    /// The base does not hold in these blocks what it must.
    Damaged(Run),
    /// It cannot be read.
    Failed(DiskError),
}

impl From<DiskError> for Trouble {
    fn from(error: DiskError) -> Self {
        Self::Failed(error)
    }
}

/// How often a read is planned again before it is given up. Each time, apply has moved some of its
/// blocks, which it does at most a few times for one block.
const ATTEMPTS: usize = 64;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, DiskError>> + Send + 'a>>;

/// What planning needs to know of a volume.
struct Scene {
    volume: Arc<Volume>,
    point: Point,
    kind: Kind,
    /// The rollback that governs this point: the mark to which, and the safety mark.
    rollback: Option<(u64, u64)>,
    epochs: Epochs,
}

impl Pool {
    /// Fills `buffer` with the sectors of an image from `start` on.
    ///
    /// # Errors
    /// `Medium` for what is damaged, `Closed` where the volume or mark is gone.
    pub(crate) async fn read_extent(
        &self,
        number: u32,
        point: Point,
        start: u64,
        mut buffer: Buffer,
    ) -> Result<Buffer, DiskError> {
        let extent = Extent::new(start, buffer.sectors());
        if extent.is_block_aligned() {
            self.read_run(number, point, extent.cover(), &mut buffer).await?;
            return Ok(buffer);
        }
        let run = extent.cover();
        let mut whole = Buffer::for_sectors(run.extent().sectors)?;
        self.read_run(number, point, run, &mut whole).await?;
        let skip = bytes_of(start - run.extent().start);
        let len = buffer.len();
        buffer.copy_from_slice(&whole[skip..skip + len]);
        Ok(buffer)
    }

    /// Fills `out` with the blocks of an image.
    pub(crate) fn read_run<'a>(
        &'a self,
        number: u32,
        point: Point,
        run: Run,
        out: &'a mut [u8],
    ) -> Boxed<'a, ()> {
        Box::pin(async move {
            let mut suspicion: Option<(Run, u64)> = None;
            for _ in 0..ATTEMPTS {
                let scene = self.scene(number, point)?;
                let applied = scene.volume.applied.load(Ordering::Acquire);
                let plan = self.plan(&scene, run).await?;
                match self.fetch(&scene, run, &plan, out).await {
                    Ok(()) => return Ok(()),
                    Err(Trouble::Moved) => {}
                    Err(Trouble::Failed(error)) => {
                        // A mark that was deleted meanwhile reads as garbage: say what really happened.
                        self.scene(number, point)?;
                        return Err(error);
                    }
                    Err(Trouble::Damaged(bad)) => {
                        if suspicion == Some((bad, applied)) {
                            self.warn_unfit(number, bad);
                            let why = "their content does not fit its checksum".into();
                            return Err(DiskError::Medium { extent: bad.extent(), why });
                        }
                        suspicion = Some((bad, applied));
                    }
                }
            }
            let why = "they changed all the time while they were read".into();
            Err(DiskError::Medium { extent: run.extent(), why })
        })
    }

    /// Where the blocks of a run come from, in order of address.
    pub(crate) async fn parts(
        &self,
        number: u32,
        point: Point,
        run: Run,
    ) -> Result<Vec<(Run, Part)>, DiskError> {
        let scene = self.scene(number, point)?;
        self.plan(&scene, run).await
    }

    fn scene(&self, number: u32, point: Point) -> Result<Scene, DiskError> {
        let core = self.lock();
        if core.is_closed {
            return Err(DiskError::Closed);
        }
        let (Some(live), Some(entry)) = (core.volumes.get(&number), core.registry.get(number))
        else {
            return Err(DiskError::Closed);
        };
        let mut epochs = match point {
            Point::Live => Epochs::ALL,
            Point::Mark(mark) if entry.marks.contains_key(&mark) => Epochs::of_mark(mark),
            Point::Mark(_) => return Err(DiskError::Closed),
        };
        let rollback = entry.copying_rollback().map(|rollback| (rollback.to, rollback.safety));
        let rollback = rollback.filter(|(_, safety)| match point {
            Point::Live => true,
            Point::Mark(mark) => mark > *safety,
        });
        if let Some((_, safety)) = rollback {
            epochs.from = safety;
        }
        Ok(Scene {
            volume: Arc::clone(&live.volume),
            point,
            kind: entry.kind.clone(),
            rollback,
            epochs,
        })
    }

    async fn plan(&self, scene: &Scene, run: Run) -> Result<Vec<(Run, Part)>, DiskError> {
        let mut parts = Vec::new();
        let mut rest = vec![run];
        if let Point::Mark(mark) = scene.point {
            let hits = scene.volume.history.lookup_run(run, mark).await?;
            rest = without(run, hits.iter().map(|(key, _)| key.block));
            parts.extend(preserved_parts(hits));
        }
        let mut gaps = Vec::new();
        {
            let core = self.lock();
            let live = core.volumes.get(&scene.volume.number).ok_or(DiskError::Closed)?;
            for run in rest {
                let (pieces, free) = live.dirty.lookup(run, scene.epochs);
                parts.extend(pieces.into_iter().map(|piece| match piece.source {
                    Source::Zero(keep) => (piece.run, Part::Zero(keep == disk::Keep::Space)),
                    Source::Data { .. } | Source::Berthed { .. } => {
                        (piece.run, Part::Journal(piece))
                    }
                }));
                gaps.extend(free);
            }
        }
        for gap in gaps {
            self.plan_base(scene, gap, &mut parts).await?;
        }
        parts.sort_by_key(|(run, _)| run.start);
        Ok(parts)
    }

    /// Plans blocks that are neither preserved nor dirty at this point.
    async fn plan_base(
        &self,
        scene: &Scene,
        gap: Run,
        parts: &mut Vec<(Run, Part)>,
    ) -> Result<(), DiskError> {
        let mut in_base = vec![gap];
        if let Some((to, safety)) = scene.rollback {
            // Blocks that were written since the rollback are in the base; the others are as at `to`.
            let written = scene.volume.history.lookup_run(gap, safety).await?;
            let pending = without(gap, written.iter().map(|(key, _)| key.block));
            in_base = joined(written.iter().map(|(key, _)| key.block));
            let as_at_mark = Part::Other(scene.volume.number, Point::Mark(to));
            parts.extend(pending.into_iter().map(|run| (run, as_at_mark.clone())));
        }
        for run in in_base {
            let codes = scene.volume.sums.get(run).await?;
            let mut at = 0;
            while at < codes.len() {
                let class = class_of(codes[at], &scene.kind);
                let same = codes[at..].iter().take_while(|c| class_of(**c, &scene.kind) == class);
                let count = same.count();
                let part = match class {
                    Class::Base => Part::Base(codes[at..at + count].to_vec()),
                    Class::Zero => Part::Zero(false),
                    Class::ZeroKept => Part::Zero(true),
                    Class::Absent => Part::Absent,
                    Class::Parent(parent, mark) => Part::Other(parent, Point::Mark(mark)),
                };
                parts.push((Run::new(run.start + at as u64, count as u64), part));
                at += count;
            }
        }
        Ok(())
    }

    async fn fetch(
        &self,
        scene: &Scene,
        run: Run,
        plan: &[(Run, Part)],
        out: &mut [u8],
    ) -> Result<(), Trouble> {
        let reads: Vec<_> = plan
            .iter()
            .map(|(part, source)| match source {
                Part::Base(_) => Some(scene.volume.read_base(*part)),
                _ => None,
            })
            .collect();
        for ((part, source), base) in plan.iter().zip(reads) {
            let from = bytes_of((part.start - run.start) * SECTORS_PER_BLOCK);
            let target = &mut out[from..from + bytes_of(part.blocks * SECTORS_PER_BLOCK)];
            match source {
                Part::Zero(_) | Part::Absent => target.fill(0),
                Part::Base(codes) => {
                    if let Some(read) = base {
                        let data = read.await?;
                        target[..data.len()].copy_from_slice(&data);
                        target[data.len()..].fill(0);
                    }
                    if let Some(bad) = first_misfit(codes, target) {
                        let bad = Run::new(part.start + bad, 1);
                        return Err(self.misfit(scene, bad).await?);
                    }
                    self.look_again(scene, *part, codes).await?;
                }
                Part::Journal(piece) => self.fetch_piece(scene, piece, target).await?,
                Part::Preserved(places) => {
                    let blocks = scene.volume.history.read_many(places).await?;
                    for (index, block) in blocks.iter().enumerate() {
                        target[index * BLOCK_LEN..(index + 1) * BLOCK_LEN].copy_from_slice(block);
                    }
                }
                Part::Other(number, point) => {
                    self.read_other(*number, *point, *part, target).await?;
                }
            }
        }
        Ok(())
    }

    /// Reads another image, which may be shorter than this one.
    async fn read_other(
        &self,
        number: u32,
        point: Point,
        run: Run,
        out: &mut [u8],
    ) -> Result<(), DiskError> {
        let there = run.intersect(Run::new(0, self.image_blocks(number, point)?));
        let len = bytes_of(there.blocks * SECTORS_PER_BLOCK);
        out[len..].fill(0);
        if there.is_empty() {
            return Ok(());
        }
        self.read_run(number, point, there, &mut out[..len]).await
    }

    /// How many blocks an image has.
    ///
    /// # Errors
    /// `Closed` where it is gone.
    pub(crate) fn image_blocks(&self, number: u32, point: Point) -> Result<u64, DiskError> {
        let core = self.lock();
        let entry = core.registry.get(number).ok_or(DiskError::Closed)?;
        let sectors = match point {
            Point::Live => entry.sectors,
            Point::Mark(mark) => entry.marks.get(&mark).ok_or(DiskError::Closed)?.sectors,
        };
        Ok(sectors.div_ceil(SECTORS_PER_BLOCK))
    }

    /// After a read of the base: was it still what the plan took it for?
    async fn look_again(&self, scene: &Scene, part: Run, codes: &[Code]) -> Result<(), Trouble> {
        {
            let core = self.lock();
            let live = core.volumes.get(&scene.volume.number).ok_or(DiskError::Closed)?;
            if live.dirty.touches(part, scene.epochs) {
                return Err(Trouble::Moved);
            }
        }
        let is_unverified = codes.contains(&Code::Absent);
        if is_unverified && scene.volume.sums.get(part).await? != codes {
            return Err(Trouble::Moved);
        }
        if let Point::Mark(mark) = scene.point
            && !scene.volume.history.lookup_run(part, mark).await?.is_empty()
        {
            return Err(Trouble::Moved);
        }
        Ok(())
    }

    async fn misfit(&self, scene: &Scene, bad: Run) -> Result<Trouble, DiskError> {
        match self.look_again(scene, bad, &[]).await {
            Ok(()) => Ok(Trouble::Damaged(bad)),
            Err(Trouble::Failed(error)) => Err(error),
            Err(moved) => Ok(moved),
        }
    }

    async fn fetch_piece(
        &self,
        scene: &Scene,
        piece: &Piece,
        out: &mut [u8],
    ) -> Result<(), Trouble> {
        let position = match &piece.source {
            Source::Data { position, .. } => position,
            Source::Berthed { at, .. } => return self.fetch_berthed(scene, piece, *at, out).await,
            Source::Zero(_) => {
                out.fill(0);
                return Ok(());
            }
        };
        let damaged = |why: &str| {
            Trouble::Failed(DiskError::Medium { extent: piece.run.extent(), why: why.into() })
        };
        let payloads = match self.journal_payloads(*position, piece.run.blocks).await {
            Ok(payloads) => payloads,
            Err(DiskError::Closed) => return Err(DiskError::Closed.into()),
            Err(error) => return Err(damaged(&format!("the journal cannot be read: {error}"))),
        };
        let mut at = 0;
        for payload in payloads {
            out[at..at + payload.len()].copy_from_slice(&payload);
            at += payload.len();
        }
        if piece.fits(out) {
            return Ok(());
        }
        let core = self.lock();
        if core.ring.tail > *position {
            return Err(Trouble::Moved);
        }
        Err(damaged("the journal does not hold what was written to it"))
    }

    /// Reads a piece from the berths that it was written to.
    async fn fetch_berthed(
        &self,
        scene: &Scene,
        piece: &Piece,
        at: Spot,
        out: &mut [u8],
    ) -> Result<(), Trouble> {
        let berths = scene.volume.berths.as_ref().ok_or(DiskError::Closed)?;
        let read = berths.read(at, piece.run.blocks).await;
        if let Ok(read) = &read {
            out.copy_from_slice(read);
        }
        if read.is_ok() && piece.fits(out) {
            return Ok(());
        }
        // Applied, overwritten and trimmed meanwhile: then the berth may be another cell's.
        let (pieces, _) = {
            let core = self.lock();
            let live = core.volumes.get(&scene.volume.number).ok_or(DiskError::Closed)?;
            live.dirty.lookup(piece.run, scene.epochs)
        };
        if pieces[..] != [piece.clone()] {
            return Err(Trouble::Moved);
        }
        let why = match read {
            Ok(_) => "their content does not fit its checksum".into(),
            Err(DiskError::Closed) => return Err(DiskError::Closed.into()),
            Err(error) => error.to_string().into(),
        };
        Err(Trouble::Failed(DiskError::Medium { extent: piece.run.extent(), why }))
    }

    /// The payloads of contiguous blocks of the journal, from memory or from its disk. Not checked.
    pub(crate) async fn journal_payloads(
        &self,
        position: u64,
        blocks: u64,
    ) -> Result<Vec<Payload>, DiskError> {
        let read = {
            let core = self.lock();
            if let Some(payloads) = core.payloads_at(position, blocks) {
                return Ok(payloads);
            }
            let at = Extent::new(core.ring.sector(position), blocks * SECTORS_PER_BLOCK);
            self.journal.read(at)
        };
        Ok(vec![read.await?.freeze()])
    }
}

impl Volume {
    /// Reads blocks of the base. A last block that the base has only in part comes back as that part.
    pub(crate) fn read_base(
        &self,
        run: Run,
    ) -> impl Future<Output = Result<Buffer, DiskError>> + use<> {
        let there = run.extent().intersect(Extent::new(0, self.base.geometry().sectors));
        self.base.read(there)
    }
}

/// The first block whose content does not fit its code.
pub(crate) fn first_misfit(codes: &[Code], bytes: &[u8]) -> Option<u64> {
    let fits = |(code, block): (&Code, &[u8])| match code {
        Code::Data(_) => *code == Code::of_sum(checksum::of(Sum::Block, block)),
        Code::Absent | Code::Zero | Code::ZeroKept => true,
    };
    codes.iter().zip(bytes.chunks(BLOCK_LEN)).position(|pair| !fits(pair)).map(|at| at as u64)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Base,
    Zero,
    ZeroKept,
    Absent,
    Parent(u32, u64),
}

fn class_of(code: Code, kind: &Kind) -> Class {
    match (code, kind) {
        (Code::Data(_), _) | (Code::Absent, Kind::Adopted(_)) => Class::Base,
        (Code::Zero, _) => Class::Zero,
        (Code::ZeroKept, _) => Class::ZeroKept,
        (Code::Absent, Kind::Thin) => Class::Absent,
        (Code::Absent, Kind::View { parent, mark }) => Class::Parent(*parent, *mark),
    }
}

fn preserved_parts(hits: Vec<(Key, Place)>) -> Vec<(Run, Part)> {
    let mut parts: Vec<(Run, Part)> = Vec::new();
    for (key, place) in hits {
        if place.is_absent() {
            parts.push((Run::new(key.block, 1), Part::Absent));
            continue;
        }
        match parts.last_mut() {
            Some((run, Part::Preserved(places))) if run.end() == key.block => {
                run.blocks += 1;
                places.push((key, place));
            }
            _ => parts.push((Run::new(key.block, 1), Part::Preserved(vec![(key, place)]))),
        }
    }
    parts
}

/// The blocks of a run that are not among `taken`, which ascend.
pub(crate) fn without(run: Run, taken: impl Iterator<Item = u64>) -> Vec<Run> {
    let mut out = Vec::new();
    let mut at = run.start;
    for block in taken {
        if block > at {
            out.push(Run::new(at, block - at));
        }
        at = block + 1;
    }
    if at < run.end() {
        out.push(Run::new(at, run.end() - at));
    }
    out
}

/// Ascending blocks as runs.
pub(crate) fn joined(blocks: impl Iterator<Item = u64>) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::new();
    for block in blocks {
        match out.last_mut() {
            Some(run) if run.end() == block => run.blocks += 1,
            _ => out.push(Run::new(block, 1)),
        }
    }
    out
}

fn bytes_of(sectors: u64) -> usize {
    usize::try_from(sectors).unwrap_or(usize::MAX).saturating_mul(SECTOR_LEN)
}
