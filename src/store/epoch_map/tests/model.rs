//! The map against a plain ordered map in memory: any sequence of inserting, writing out, merging,
//! deleting marks and reopening answers every question about a live mark alike.

use std::collections::BTreeMap;

use base::units::Run as BlockRun;
use disk::MemShelf;
use proptest::prelude::*;

use super::super::range::Hit;
use super::*;

const BLOCKS: u64 = 60;

#[derive(Clone, Debug)]
enum Step {
    /// A mark is taken, and these blocks are overwritten after it.
    Mark(Vec<u64>),
    /// These blocks are overwritten.
    Overwrite(Vec<u64>),
    /// The live mark at this place among them is deleted.
    Delete(usize),
    Flush,
    Merge(u8),
    Compact,
    /// A checkpoint is committed.
    Commit,
    /// The map is opened again from the last checkpoint; what came later is inserted again.
    Reopen,
    /// Half of the runs' pages have no room in the cache: questions alternate.
    Ask(u64, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let blocks = || prop::collection::vec(0..BLOCKS, 0..40);
    let step = prop_oneof![
        4 => blocks().prop_map(Step::Mark),
        3 => blocks().prop_map(Step::Overwrite),
        3 => any::<usize>().prop_map(Step::Delete),
        3 => Just(Step::Flush),
        4 => (0..8u8).prop_map(Step::Merge),
        1 => Just(Step::Compact),
        2 => Just(Step::Commit),
        1 => Just(Step::Reopen),
        2 => (0..BLOCKS, 0..20u64).prop_map(|(block, len)| Step::Ask(block, len)),
    ];
    prop::collection::vec(step, 1..60)
}

struct Model {
    shelf: Arc<dyn Shelf>,
    map: EpochMap,
    /// Every entry ever inserted.
    entries: BTreeMap<Key, Place>,
    marks: Vec<u64>,
    newest: u64,
    committed: MapManifest,
    /// Entries that are not in the runs of the committed checkpoint.
    since: Vec<(Key, Place)>,
    /// Entries that no run holds yet.
    unflushed: Vec<(Key, Place)>,
}

impl Model {
    async fn new() -> Self {
        let shelf: Arc<dyn Shelf> = Arc::new(MemShelf::new());
        let map = EpochMap::open(setup(&shelf), &MapManifest::default()).await.unwrap();
        Self {
            shelf,
            map,
            entries: BTreeMap::new(),
            marks: Vec::new(),
            newest: 0,
            committed: MapManifest::default(),
            since: Vec::new(),
            unflushed: Vec::new(),
        }
    }

    fn live(&self) -> LiveMarks {
        LiveMarks::new(self.marks.clone(), self.newest)
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Mark(blocks) => {
                self.newest += 1;
                self.marks.push(self.newest);
                self.overwrite(&blocks).await;
            }
            Step::Overwrite(blocks) => self.overwrite(&blocks).await,
            Step::Delete(at) => {
                if !self.marks.is_empty() {
                    self.marks.remove(at % self.marks.len());
                }
            }
            Step::Flush => {
                self.map.flush_memtable().await.unwrap();
                self.unflushed.clear();
            }
            Step::Merge(times) => {
                for _ in 0..times {
                    self.map.merge_step(&self.live()).await.unwrap();
                }
            }
            Step::Compact => self.map.compact(),
            Step::Commit => {
                let (manifest, ticket) = self.map.manifest();
                self.committed = manifest;
                self.since = self.unflushed.clone();
                self.map.commit(ticket).unwrap();
            }
            Step::Reopen => {
                let mut writer = base::codec::Writer::new();
                self.committed.encode(&mut writer);
                let bytes = writer.into_bytes();
                let manifest = MapManifest::decode(&mut base::codec::Reader::new(&bytes)).unwrap();
                self.map = EpochMap::open(setup(&self.shelf), &manifest).await.unwrap();
                self.map.insert(&self.since);
                self.unflushed = self.since.clone();
            }
            Step::Ask(block, len) => self.check_range(BlockRun::new(block, len)).await,
        }
    }

    /// Preserves what the pool would: blocks that the newest live mark needs and that are not yet.
    async fn overwrite(&mut self, blocks: &[u64]) {
        let Some(newest) = self.marks.last().copied() else { return };
        let mut new = Vec::new();
        for block in blocks {
            let one = BlockRun::new(*block, 1);
            let is_preserved = !self.map.lookup_run(one, newest).await.unwrap().is_empty();
            assert_eq!(is_preserved, self.expected(*block, newest, u64::MAX).is_some());
            if !is_preserved {
                let (key, place) = entry(*block, newest);
                self.map.insert(&[(key, place)]);
                self.entries.insert(key, place);
                new.push((key, place));
            }
        }
        self.since.extend(new.iter().copied());
        self.unflushed.extend(new);
    }

    fn expected(&self, block: u64, from: u64, to: u64) -> Option<(u64, Place)> {
        let range = Key::new(block, from)..Key::new(block, to);
        self.entries.range(range).next().map(|(key, place)| (key.sequence, *place))
    }

    async fn check_range(&self, run: BlockRun) {
        for mark in &self.marks {
            let expected: Vec<Hit> = (run.start..run.end())
                .filter_map(|block| {
                    let (sequence, place) = self.expected(block, *mark, u64::MAX)?;
                    Some(Hit { block, sequence, place })
                })
                .collect();
            assert_eq!(self.map.lookup_run(run, *mark).await.unwrap(), expected);
        }
    }

    async fn check_all(&self) {
        for mark in &self.marks {
            for block in 0..BLOCKS {
                let found = self.map.lookup(block, *mark).await.unwrap();
                assert_eq!(found, self.expected(block, *mark, u64::MAX), "{block} at {mark}");
            }
        }
        self.check_range(BlockRun::new(0, BLOCKS)).await;
        for (index, from) in self.marks.iter().enumerate() {
            for to in &self.marks[index..] {
                for limit in [1, 7, 1000] {
                    self.check_scan(*from, *to, limit).await;
                }
            }
        }
    }

    async fn check_scan(&self, from: u64, to: u64, limit: usize) {
        let (mut found, mut next) = (Vec::new(), Some(0));
        while let Some(block) = next {
            let part = self.map.scan(block, from..to, limit).await.unwrap();
            assert!(part.hits.len() <= limit);
            found.extend(part.hits.into_iter().map(|hit| (hit.block, hit.sequence)));
            next = part.next;
        }
        let expected: Vec<_> = (0..BLOCKS)
            .filter_map(|block| Some((block, self.expected(block, from, to)?.0)))
            .collect();
        assert_eq!(found, expected, "from {from} to {to}, {limit} at a time");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_live_mark_is_answered_as_by_a_plain_map(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new().await;
            for step in steps {
                model.take(step).await;
            }
            model.check_all().await;
            let live = model.live();
            while model.map.merge_step(&live).await.unwrap() != MergeProgress::Idle {}
            prop_assert!(model.map.run_count() <= 4);
            model.check_all().await;
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn compaction_leaves_exactly_what_live_marks_need() {
    let mut model = Model::new().await;
    for _ in 0..40 {
        model.take(Step::Mark((0..BLOCKS).collect())).await;
        model.take(Step::Flush).await;
    }
    assert_eq!(model.map.count(), 40 * BLOCKS);
    model.marks.retain(|mark| mark % 10 == 0);
    model.map.compact();
    let live = model.live();
    while model.map.merge_step(&live).await.unwrap() != MergeProgress::Idle {}
    assert_eq!(model.map.count(), 4 * BLOCKS);
    model.check_all().await;
    model.marks.clear();
    model.map.compact();
    let live = model.live();
    while model.map.merge_step(&live).await.unwrap() != MergeProgress::Idle {}
    assert_eq!((model.map.count(), model.map.run_count()), (0, 0));
    let (_, ticket) = model.map.manifest();
    model.map.commit(ticket).unwrap();
    assert_eq!(model.shelf.list().unwrap(), [] as [String; 0]);
}
