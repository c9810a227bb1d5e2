//! A pool on a simulated machine with its model beside it.

use std::sync::Arc;

use base::clock::ManualClock;
use base::id::Id;
use base::name::MarkRef;
use base::rng::SeededRng;
use base::size::ByteSize;
use base::units::Extent;
use disk::sim::SimWorld;
use disk::{AnyDisk, Buffer, DiskError, Durability, Keep, Shelf};
use store::{
    Compression, DiskRef, Grade, MarkRequest, NoteKind, Pool, PoolOptions, StoreError, World,
};

use super::model::{BLOCK, Model, sector_of};
use super::op::{Op, name};

/// What became of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done, and it survives the loss of power.
    Stable,
    /// Done.
    Done,
    /// Refused, so that nothing changed.
    Refused,
    /// Not answered, or failed: it may be done or not.
    Unknown,
}

/// The note that is used.
const NOTE: NoteKind = NoteKind::new(0).unwrap();
/// Sectors that one operation may number.
const TAGS_PER_OP: u64 = 64 * 8;

/// A pool beside its model.
pub struct Rig {
    /// The pool.
    pub pool: Arc<Pool>,
    /// What it must hold.
    pub model: Model,
    machine: SimWorld,
    tag: u64,
}

/// What a pool is opened with.
pub struct Setup {
    /// Its options.
    pub options: PoolOptions,
    /// Where time and chance come from.
    pub world: World,
}

/// Small structures, so that little work meets every edge.
pub fn options() -> PoolOptions {
    PoolOptions {
        journal_len: ByteSize(1 << 20),
        segment_len: ByteSize(64 << 10),
        cell_len: ByteSize(8 << 10),
        berth_len: ByteSize(8 << 10),
        compression: Compression::Zstd(1),
        payload_cache_len: ByteSize(64 << 10),
        checksum_cache_len: ByteSize(64 << 10),
        map_cache_len: ByteSize(64 << 10),
        apply_blocks_max: 64,
    }
}

/// Time that stands still and chance from a seed.
pub fn world(seed: u64) -> World {
    World { clock: Arc::new(ManualClock::default()), rng: Arc::new(SeededRng::new(seed)) }
}

/// A runtime of one thread without clocks: what runs on it depends on nothing but its input.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

impl Rig {
    /// A fresh pool with two volumes, `a` and `b`.
    pub async fn create(machine: &SimWorld, seed: u64) -> Result<Self, StoreError> {
        let shelf: Arc<dyn Shelf> = machine.shelf();
        Pool::create(&shelf, &options(), &world(seed)).await?;
        let mut rig = Self::open(machine, seed, Model::default()).await?;
        for (volume, blocks) in [("a", 40), ("b", 17)] {
            let volume = name(volume);
            rig.apply(&Op::Create { volume, sectors: blocks * BLOCK }).await;
        }
        Ok(rig)
    }

    /// Opens the pool of a machine that should hold what `model` says.
    pub async fn open(machine: &SimWorld, seed: u64, model: Model) -> Result<Self, StoreError> {
        let setup = Setup { options: options(), world: world(seed ^ 0x5eed) };
        Self::open_in(setup, machine, seed, model).await
    }

    /// The same with other options, and with a clock and chance of the caller's.
    pub async fn open_in(
        setup: Setup,
        machine: &SimWorld,
        seed: u64,
        model: Model,
    ) -> Result<Self, StoreError> {
        let shelf: Arc<dyn Shelf> = machine.shelf();
        let pool = Pool::open(shelf, setup.options, setup.world).await?;
        let machine = machine.clone();
        Ok(Self { pool, model, machine, tag: 1 + seed % 1000 * 1_000_000 })
    }

    /// Carries an operation out on the pool, and on the model where it was done or may be: the caller
    /// keeps the model from before for what may not.
    pub async fn apply(&mut self, op: &Op) -> Outcome {
        match self.try_apply(op).await {
            Ok(outcome) => outcome,
            Err(error) => {
                assert!(is_refusal(&error), "{op:?}: {error}");
                Outcome::Refused
            }
        }
    }

    /// The same on disks that may fail: an error leaves the model as it was, and it is for the caller to
    /// say what else the pool may hold.
    pub async fn try_apply(&mut self, op: &Op) -> Result<Outcome, StoreError> {
        let tag = self.next_tag();
        self.make_room().await;
        let outcome = match self.carry_out(op, tag).await {
            Ok(outcome) => outcome,
            Err(_) if self.machine.is_off() => Outcome::Unknown,
            Err(error) => return Err(error),
        };
        apply_to(&mut self.model, op, tag);
        Ok(outcome)
    }

    /// The model as it is if an operation that failed was done all the same. To be asked before the next
    /// operation.
    pub fn model_if_done(&self, op: &Op) -> Model {
        let mut model = self.model.clone();
        apply_to(&mut model, op, self.tag - TAGS_PER_OP);
        model
    }

    fn next_tag(&mut self) -> u64 {
        self.tag += TAGS_PER_OP;
        self.tag - TAGS_PER_OP
    }

    /// Does what the background task would, which does not run here, before the journal is full and a
    /// change would wait for it.
    pub async fn make_room(&self) {
        loop {
            let status = self.pool.status();
            if status.journal_used_bytes * 2 < status.journal_len {
                return;
            }
            if self.pool.upkeep_step().await.is_err() {
                return;
            }
        }
    }

    async fn carry_out(&self, op: &Op, tag: u64) -> Result<Outcome, StoreError> {
        let pool = &self.pool;
        match op {
            Op::Write { volume, start, sectors, is_stable } => {
                let bytes: Vec<u8> = (0..*sectors).flat_map(|i| sector_of(tag + i)).collect();
                let data = vec![Buffer::copy_of(&bytes)?.freeze()];
                let durability = if *is_stable { Durability::Stable } else { Durability::Volatile };
                self.disk(volume)?.write(*start, data, durability).await?;
                Ok(if *is_stable { Outcome::Stable } else { Outcome::Done })
            }
            Op::Zero { volume, start, sectors, keeps_space } => {
                let keep = if *keeps_space { Keep::Space } else { Keep::Nothing };
                self.disk(volume)?.write_zeroes(Extent::new(*start, *sectors), keep).await?;
                Ok(Outcome::Done)
            }
            Op::Discard { volume, start, sectors } => {
                self.disk(volume)?.discard(Extent::new(*start, *sectors)).await?;
                Ok(Outcome::Done)
            }
            Op::Flush { volume } => {
                self.disk(volume)?.flush().await?;
                Ok(Outcome::Stable)
            }
            Op::Upkeep => {
                pool.upkeep_step().await?;
                Ok(Outcome::Done)
            }
            Op::Mark { volumes, mark } => {
                let request = MarkRequest { name: mark.clone(), grade: Grade::Crash };
                pool.take_mark(volumes, request).await.map(|_| Outcome::Stable)
            }
            Op::RemoveMark { volume, mark } => {
                let mark = MarkRef { volume: volume.clone(), mark: mark.clone() };
                pool.remove_mark(&mark).await.map(|()| Outcome::Stable)
            }
            Op::Rollback { volume, mark } => {
                let mark = MarkRef { volume: volume.clone(), mark: mark.clone() };
                pool.rollback(&mark).await.map(|_| Outcome::Stable)
            }
            Op::Undo { volume } => pool.undo_rollback(volume).await.map(|_| Outcome::Stable),
            Op::View { view, volume, mark } => {
                let mark = MarkRef { volume: volume.clone(), mark: mark.clone() };
                pool.create_view(view, &mark).await.map(|_| Outcome::Stable)
            }
            Op::RemoveView { view } => pool.remove_view(view).await.map(|()| Outcome::Stable),
            Op::Promote { view } => self.promote(view).await,
            Op::Note { volume, is_kept } => {
                let id = self.id(volume)?;
                let bytes = is_kept.then(|| sector_of(tag));
                pool.keep_note(id, NOTE, bytes).await.map(|()| Outcome::Stable)
            }
            Op::Grow { volume, sectors } => {
                pool.grow_volume(volume, ByteSize(sectors * 512)).await.map(|_| Outcome::Stable)
            }
            Op::Create { volume, sectors } => {
                pool.create_volume(volume, ByteSize(sectors * 512)).await.map(|_| Outcome::Stable)
            }
            Op::RemoveVolume { volume } => {
                pool.remove_volume(volume).await.map(|()| Outcome::Stable)
            }
        }
    }

    async fn promote(&self, view: &base::name::Name) -> Result<Outcome, StoreError> {
        self.pool.promote_view(view).await?;
        while self.pool.view(view).is_ok() {
            let goes_on = self.pool.upkeep_step().await?;
            if !goes_on && self.pool.view(view).is_ok() {
                let why = "the promotion waits for a volume that has stopped";
                return Err(StoreError::Poisoned(why.into()));
            }
        }
        Ok(Outcome::Stable)
    }

    fn id(&self, volume: &base::name::Name) -> Result<Id, StoreError> {
        let plain = self.pool.id_of(&DiskRef::Volume(volume.clone()));
        plain.or_else(|_| self.pool.id_of(&DiskRef::View(volume.clone())))
    }

    /// What is remembered of a volume or view.
    pub fn note(&self, volume: &base::name::Name) -> Option<Vec<u8>> {
        self.pool.note(self.id(volume).ok()?, NOTE)
    }

    /// A volume or view of the model as a disk of the pool.
    pub fn disk(&self, volume: &base::name::Name) -> Result<AnyDisk, StoreError> {
        let plain = self.pool.disk(&DiskRef::Volume(volume.clone()));
        plain.or_else(|_| self.pool.disk(&DiskRef::View(volume.clone())))
    }
}

/// What an operation does to a model.
fn apply_to(model: &mut Model, op: &Op, tag: u64) {
    match op {
        Op::Write { volume, start, sectors, .. } => model.write(volume, *start, *sectors, tag),
        Op::Zero { volume, start, sectors, .. } | Op::Discard { volume, start, sectors } => {
            model.write(volume, *start, *sectors, 0);
        }
        Op::Flush { .. } | Op::Upkeep => {}
        Op::Mark { volumes, mark } => model.mark(volumes, mark),
        Op::RemoveMark { volume, mark } => {
            let volume = model.volumes.get_mut(volume).unwrap();
            volume.marks.remove(mark);
            if volume.safety.as_ref() == Some(mark) {
                volume.safety = None;
            }
        }
        Op::Rollback { volume, mark } => {
            let safety = safety_name(model, volume, mark);
            model.rollback(volume, mark, &safety);
        }
        Op::Undo { volume } => {
            if let Some(mark) = model.volumes[volume].safety.clone() {
                let safety = safety_name(model, volume, &mark);
                model.rollback(volume, &mark, &safety);
            }
        }
        Op::View { view, volume, mark } => model.view(view, volume, mark),
        Op::RemoveView { view: gone } | Op::RemoveVolume { volume: gone } => {
            model.volumes.remove(gone);
        }
        Op::Promote { view } => model.volumes.get_mut(view).unwrap().parent = None,
        Op::Grow { volume, sectors } => {
            let live = &mut model.volumes.get_mut(volume).unwrap().live.0;
            live.resize(usize::try_from(*sectors).unwrap(), 0);
        }
        Op::Create { volume, sectors } => model.create(volume, *sectors),
        Op::Note { volume, is_kept } => {
            model.volumes.get_mut(volume).unwrap().note = is_kept.then_some(tag);
        }
    }
}

/// The name that a rollback gives its safety mark, as the store documents it.
fn safety_name(
    model: &Model,
    volume: &base::name::Name,
    mark: &base::name::Name,
) -> base::name::Name {
    let stem: String = format!("before-{mark}").chars().take(56).collect();
    let taken = &model.volumes[volume].marks;
    let first = (0..)
        .map(|n| if n == 0 { stem.clone() } else { format!("{stem}-{n}") })
        .map(|text| name(&text))
        .find(|name| !taken.contains_key(name));
    first.unwrap()
}

/// Whether an error says that nothing was changed.
pub fn is_refusal(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Busy { .. }
            | StoreError::MarksFull { .. }
            | StoreError::MarkInUse { .. }
            | StoreError::NothingToUndo(_)
            | StoreError::NameTaken(_)
            | StoreError::Shrink { .. }
            | StoreError::NoSpace(_)
            | StoreError::Disk(DiskError::NoSpace(_))
    )
}
