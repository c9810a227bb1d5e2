//! A pool in small: preserved store and epoch map together, with marks, deletions, reclaim, checkpoints
//! and power cuts at every step. After each recovery every live mark is compared block by block.

use std::collections::BTreeMap;
use std::error::Error;

use base::codec::{Reader, Writer};
use base::rng::{Rng, SeededRng};
use disk::sim::{Loss, SimWorld};

use super::*;
use crate::epoch_map::{
    EpochMap, LiveMarks, MapManifest, MapOptions, MapSetup, MergeProgress, PageCache,
};

const BLOCKS: u64 = 24;

type Failure = Box<dyn Error>;

#[derive(Clone, Debug)]
enum Step {
    Mark,
    Overwrite(Vec<u64>),
    Delete(u64),
    Sweep,
    Merge,
    FlushMap,
    Checkpoint,
}

/// Steps by chance, overwriting more often than anything else.
fn steps(seed: u64, count: usize) -> Vec<Step> {
    let rng = SeededRng::new(seed);
    let step = || match rng.below(16) {
        0..3 => Step::Mark,
        3..9 => {
            let blocks = (0..1 + rng.below(12)).map(|_| rng.below(BLOCKS));
            Step::Overwrite(blocks.collect())
        }
        9..11 => Step::Delete(rng.next_u64()),
        11 => Step::Sweep,
        12 => Step::Merge,
        13 => Step::FlushMap,
        _ => Step::Checkpoint,
    };
    (0..count).map(|_| step()).collect()
}

/// What the journal and the base would hold: it is stable as soon as it is written.
struct Stable {
    /// The version of each block in the base; its content follows from it.
    base: Vec<u64>,
    marks: BTreeMap<u64, Vec<u64>>,
    newest: u64,
    next_version: u64,
    /// Deletions since the checkpoint: sequence, next live one.
    deletions: Vec<(u64, u64)>,
    checkpoint: Vec<u8>,
    incarnation: u64,
}

struct Small {
    world: SimWorld,
    stable: Stable,
    store: PreservedStore,
    map: EpochMap,
}

fn stable() -> Stable {
    let mut writer = Writer::new();
    Manifest::default().encode(&mut writer);
    MapManifest::default().encode(&mut writer);
    Stable {
        base: vec![0; usize::try_from(BLOCKS).unwrap()],
        marks: BTreeMap::new(),
        newest: 0,
        next_version: 1,
        deletions: Vec::new(),
        checkpoint: writer.into_bytes(),
        incarnation: 0,
    }
}

fn content_of_version(version: u64) -> Content {
    content_of(Key::new(version, 0))
}

impl Stable {
    fn live(&self) -> LiveMarks {
        LiveMarks::new(self.marks.keys().copied().collect(), self.newest)
    }
}

impl Small {
    /// Opens what is there; the stable part comes back where the power goes meanwhile.
    async fn open(world: &SimWorld, mut stable: Stable) -> Result<Self, (Stable, Failure)> {
        stable.incarnation += 1;
        match Self::recover(world, &stable).await {
            Ok((store, map)) => Ok(Self { world: world.clone(), stable, store, map }),
            Err(error) => Err((stable, error)),
        }
    }

    async fn recover(
        world: &SimWorld,
        stable: &Stable,
    ) -> Result<(PreservedStore, EpochMap), Failure> {
        let shelf: Arc<dyn Shelf> = world.shelf();
        let mut reader = Reader::new(&stable.checkpoint);
        let manifest = Manifest::decode(&mut reader)?;
        let map_manifest = MapManifest::decode(&mut reader)?;
        let (store, entries) =
            PreservedStore::recover(setup(&shelf, stable.incarnation), &manifest).await?;
        let options = MapOptions { memtable_entries: 16, runs_max: 3, merge_entries_per_step: 20 };
        let cache = Arc::new(PageCache::new(40 << 10));
        let setup = MapSetup { shelf, volume: VOLUME, cache, options };
        let map = EpochMap::open(setup, &map_manifest).await?;
        map.insert(&entries);
        for (sequence, next) in &stable.deletions {
            store.mark_deleted(*sequence, *next);
        }
        Ok((store, map))
    }

    async fn take(&mut self, step: &Step) -> Result<(), Failure> {
        let stable = &mut self.stable;
        match step {
            Step::Mark => {
                stable.newest += 1;
                stable.marks.insert(stable.newest, stable.base.clone());
            }
            Step::Overwrite(blocks) => self.overwrite(blocks).await?,
            Step::Delete(chance) => {
                if stable.marks.is_empty() {
                    return Ok(());
                }
                let at = usize::try_from(chance % stable.marks.len() as u64).unwrap();
                let sequence = *stable.marks.keys().nth(at).unwrap();
                stable.marks.remove(&sequence);
                let next = stable.marks.range(sequence..).next().map_or(u64::MAX, |(s, _)| *s);
                stable.deletions.push((sequence, next));
                self.store.mark_deleted(sequence, next);
            }
            Step::Sweep => {
                while self.store.sweep_step(&self.map, &stable.live()).await?.is_some() {}
            }
            Step::Merge => {
                let live = stable.live();
                while self.map.merge_step(&live).await? != MergeProgress::Idle {}
            }
            Step::FlushMap => self.flush_map().await?,
            Step::Checkpoint => self.checkpoint().await?,
        }
        Ok(())
    }

    /// Preserves, makes that stable, and only then changes the base.
    async fn overwrite(&mut self, blocks: &[u64]) -> Result<(), Failure> {
        if let Some(newest) = self.stable.marks.keys().next_back().copied() {
            let mut items = Vec::new();
            for block in std::collections::BTreeSet::from_iter(blocks) {
                let one = base::units::Run::new(*block, 1);
                if self.map.lookup_run(one, newest).await?.is_empty() {
                    let version = self.stable.base[usize::try_from(*block).unwrap()];
                    let content = content_of_version(version);
                    items.push(Preserve { key: Key::new(*block, newest), content });
                }
            }
            let entries = self.store.append(items).await?;
            self.store.flush().await?;
            self.map.insert(&entries);
        }
        for block in blocks {
            self.stable.base[usize::try_from(*block).unwrap()] = self.stable.next_version;
            self.stable.next_version += 1;
        }
        Ok(())
    }

    async fn flush_map(&mut self) -> Result<(), Failure> {
        let cut = self.store.cut();
        self.map.flush_memtable().await?;
        self.store.advance(cut);
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<(), Failure> {
        if self.map.wants_flush() {
            self.flush_map().await?;
        }
        let (manifest, ticket) = self.store.checkpoint().await?;
        let (map_manifest, map_ticket) = self.map.manifest();
        let mut writer = Writer::new();
        manifest.encode(&mut writer);
        map_manifest.encode(&mut writer);
        self.stable.checkpoint = writer.into_bytes();
        self.stable.deletions.clear();
        self.store.commit_frees(ticket).await?;
        self.map.commit(map_ticket)?;
        Ok(())
    }

    /// Compares every live mark with what it was when it was taken.
    async fn check(&self) {
        for (mark, image) in &self.stable.marks {
            let mut wanted = Vec::new();
            for block in 0..BLOCKS {
                let index = usize::try_from(block).unwrap();
                match self.map.lookup(block, *mark).await.unwrap() {
                    Some((sequence, place)) => {
                        wanted.push((Key::new(block, sequence), place));
                    }
                    None => assert_eq!(
                        self.stable.base[index], image[index],
                        "block {block} of mark {mark} was overwritten and not preserved"
                    ),
                }
            }
            for ((key, _), read) in wanted.iter().zip(self.store.read_many(&wanted).await) {
                let version = image[usize::try_from(key.block).unwrap()];
                let expected = bytes_of(&content_of_version(version));
                assert!(*read.unwrap() == expected[..], "{key:?} at mark {mark}");
            }
        }
    }

    /// Deletes all marks and checks that everything is given back.
    async fn check_that_nothing_leaks(&mut self) {
        while !self.stable.marks.is_empty() {
            self.take(&Step::Delete(0)).await.unwrap();
        }
        // What recovery still walks stays, so the last segment does.
        for _ in 0..3 {
            self.take(&Step::FlushMap).await.unwrap();
            self.map.compact();
            self.take(&Step::Merge).await.unwrap();
            self.take(&Step::Sweep).await.unwrap();
            self.take(&Step::Checkpoint).await.unwrap();
        }
        assert_eq!((self.store.live_entries(), self.store.preserved_bytes()), (0, 0));
        assert_eq!((self.map.count(), self.map.run_count()), (0, 0));
        assert!(!self.store.needs_sweep());
        let (kept, spare) = (self.store.segments().len(), self.store.reserve_bytes() > 0);
        assert!(kept <= 1, "{:?}", self.store.segments());
        let shelf: Arc<dyn Shelf> = self.world.shelf();
        let listed = shelf.list().unwrap();
        assert_eq!(listed.len(), kept + usize::from(spare), "{listed:?}");
    }
}

/// Runs the steps with a cut at `cut`, recovers (with another cut there at `again`), and goes on.
async fn run(steps: &[Step], cut: u64, loss: u64, mut again: Option<u64>) -> u64 {
    let mut world = SimWorld::new(loss);
    world.cut_at(cut);
    let mut small = match Small::open(&world, stable()).await {
        Ok(small) => small,
        Err((_, error)) => panic!("{error}"),
    };
    let mut next = 0;
    while let Some(step) = steps.get(next) {
        match small.take(step).await {
            Ok(()) => next += 1,
            Err(error) => {
                assert!(world.is_off(), "{step:?}: {error}");
                world = world.after_power_loss(Loss::Seeded(loss));
                let mut kept = small.stable;
                if let Some(again) = again.take() {
                    world.cut_at(world.steps() + again);
                }
                small = loop {
                    match Small::open(&world, kept).await {
                        Ok(small) => break small,
                        Err((stable, error)) => {
                            assert!(world.is_off(), "recover: {error}");
                            world = world.after_power_loss(Loss::Seeded(loss + 1));
                            kept = stable;
                        }
                    }
                };
                // The step is taken again, as replay of the journal would.
                small.check().await;
            }
        }
    }
    let taken = world.steps();
    if world.is_off() {
        return taken;
    }
    world.cut_at(u64::MAX);
    small.check().await;
    small.check_that_nothing_leaks().await;
    taken
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
}

#[test]
fn no_power_cut_at_any_step_changes_a_mark_or_leaks_space() {
    block_on(async {
        for seed in 0..16 {
            let steps = steps(seed, 80);
            let count = run(&steps, u64::MAX, seed, None).await;
            assert!(count > 30, "{count}");
            for cut in 0..count {
                run(&steps, cut, seed * 1000 + cut, None).await;
            }
        }
    });
}

#[test]
fn no_second_power_cut_during_recovery_changes_a_mark_or_leaks_space() {
    block_on(async {
        let steps = steps(100, 50);
        let count = run(&steps, u64::MAX, 0, None).await;
        for cut in (0..count).step_by(3) {
            for again in 0..6 {
                run(&steps, cut, cut * 10 + again, Some(again)).await;
            }
        }
    });
}

#[test]
fn a_map_that_is_rebuilt_answers_as_the_one_that_was_lost() {
    block_on(async {
        for seed in 200..212 {
            let world = SimWorld::new(seed);
            let Ok(mut small) = Small::open(&world, stable()).await else { panic!() };
            for step in steps(seed, 120) {
                small.take(&step).await.unwrap();
            }
            let setup = MapSetup {
                shelf: world.shelf(),
                volume: VOLUME,
                cache: Arc::new(PageCache::new(40 << 10)),
                options: MapOptions { memtable_entries: 16, ..MapOptions::default() },
            };
            small.map = EpochMap::rebuild_from(setup, &small.store).await.unwrap();
            small.check().await;
            small.take(&Step::Checkpoint).await.unwrap();
            let Ok(mut small) = Small::open(&world, small.stable).await else { panic!() };
            small.check().await;
            small.check_that_nothing_leaks().await;
        }
    });
}
