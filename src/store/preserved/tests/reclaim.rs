//! What sweeps find, when it is given back, and what is never given back.

use disk::MemShelf;
use disk::sim::{Answering, SimWorld};

use super::*;
use crate::epoch_map::{EpochMap, LiveMarks, MapManifest, MapOptions, MapSetup, PageCache};

struct Bed {
    shelf: Arc<dyn Shelf>,
    store: PreservedStore,
    map: EpochMap,
    entries: Vec<(Key, Place)>,
}

async fn map_on(shelf: &Arc<dyn Shelf>) -> EpochMap {
    let setup = MapSetup {
        shelf: Arc::clone(shelf),
        volume: VOLUME,
        cache: Arc::new(PageCache::new(1 << 20)),
        options: MapOptions::default(),
    };
    EpochMap::open(setup, &MapManifest::default()).await.unwrap()
}

/// Blocks 0 to 99, overwritten after each of the marks 1 to `marks`, all in the map, cut and flushed.
async fn bed(marks: u64) -> Bed {
    bed_on(Arc::new(MemShelf::new()), marks).await
}

async fn bed_on(shelf: Arc<dyn Shelf>, marks: u64) -> Bed {
    let (store, _) = PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
    let map = map_on(&shelf).await;
    let mut entries = Vec::new();
    for sequence in 1..=marks {
        let items = (0..100).map(|block| preserve(Key::new(block, sequence))).collect();
        entries.extend(store.append(items).await.unwrap());
    }
    store.flush().await.unwrap();
    map.insert(&entries);
    store.advance(store.cut());
    Bed { shelf, store, map, entries }
}

impl Bed {
    async fn sweep_all(&self, live: &[u64], newest: u64) -> (u64, u64) {
        let live = LiveMarks::new(live.to_vec(), newest);
        let (mut dead, mut bytes) = (0, 0);
        while let Some(report) = self.store.sweep_step(&self.map, &live).await.unwrap() {
            dead += report.dead;
            bytes += report.bytes;
        }
        (dead, bytes)
    }

    async fn commit(&self) {
        let (_, ticket) = self.store.checkpoint().await.unwrap();
        self.store.commit_frees(ticket).await.unwrap();
    }

    /// Bytes of the shelf's disks that hold data.
    async fn allocated(&self) -> u64 {
        let mut bytes = 0;
        for (segment, _) in self.store.segments() {
            let name = segment::name_of(VOLUME, segment);
            let disk = self.shelf.open(&name, disk::Usage::Data).unwrap();
            let all = base::units::Extent::new(0, disk.geometry().sectors);
            for part in disk.map(all).await.unwrap() {
                let is_data = part.kind == disk::MapKind::Data;
                bytes += if is_data { part.extent.bytes() } else { 0 };
            }
        }
        bytes
    }

    fn under(&self, sequence: u64) -> Vec<(Key, Place)> {
        self.entries.iter().filter(|(key, _)| key.sequence == sequence).copied().collect()
    }

    fn sectors_under(&self, sequence: u64) -> u64 {
        self.under(sequence).iter().map(|(_, place)| u64::from(place.sectors)).sum()
    }
}

#[tokio::test]
async fn a_deleted_mark_gives_back_what_only_it_needed() {
    let bed = bed(3).await;
    let stored: u64 = (1..=3).map(|mark| bed.sectors_under(mark) * 512).sum();
    assert_eq!(bed.store.preserved_bytes(), stored);
    assert_eq!(bed.store.preserved_bytes_in(&[2..3, 9..10]), bed.sectors_under(2) * 512);
    assert_eq!(bed.store.live_entries(), 300);
    let (before, on_shelf) = (bed.allocated().await, bed.store.stored_bytes());
    bed.store.mark_deleted(2, 3);
    let (dead, bytes) = bed.sweep_all(&[1, 3], 3).await;
    assert_eq!(dead, 100);
    assert!(bytes > 0 && bytes <= bed.sectors_under(2) * 512 + 100 * 4096);
    // Known at once, given back after the checkpoint.
    assert_eq!(bed.store.preserved_bytes(), stored - bed.sectors_under(2) * 512);
    assert_eq!((bed.allocated().await, bed.store.stored_bytes()), (before, on_shelf));
    check_all(&bed.store, &bed.entries).await;
    bed.commit().await;
    let kept: u64 = bed.store.segments().len() as u64 * (64 << 10);
    assert!(bed.allocated().await <= before - bytes / 2);
    assert!(bed.store.stored_bytes() <= kept && bed.store.stored_bytes() < on_shelf);
    check_all(&bed.store, &[bed.under(1), bed.under(3)].concat()).await;
    assert!(bed.store.read_many(&bed.under(2)).await.iter().any(Result::is_err));
    assert!(!bed.store.needs_sweep());
}

#[tokio::test]
async fn segments_in_which_nothing_lives_are_removed_and_their_numbers_never_used_again() {
    let bed = bed(3).await;
    let names = bed.shelf.list().unwrap();
    for (mark, next) in [(1, 2), (2, 3), (3, u64::MAX)] {
        bed.store.mark_deleted(mark, next);
    }
    assert_eq!(bed.sweep_all(&[], 3).await.0, 300);
    assert_eq!(bed.shelf.list().unwrap(), names);
    bed.commit().await;
    // The segment that is appended to, and the spare.
    assert_eq!(bed.shelf.list().unwrap(), names[names.len() - 2..]);
    assert_eq!(bed.store.preserved_bytes(), 0);
    let items = (0..100).map(|block| preserve(Key::new(block, 4))).collect();
    let entries = bed.store.append(items).await.unwrap();
    assert!(bed.shelf.list().unwrap().iter().all(|name| *name >= names[names.len() - 2]));
    check_all(&bed.store, &entries).await;
}

#[tokio::test]
async fn what_the_map_does_not_know_yet_is_kept() {
    let bed = bed(2).await;
    // Preserved under a live mark, and not in the map yet.
    let items = (200..300).map(|block| preserve(Key::new(block, 2))).collect();
    let late = bed.store.append(items).await.unwrap();
    bed.store.mark_deleted(1, 2);
    bed.store.mark_deleted(2, u64::MAX);
    bed.sweep_all(&[2], 2).await;
    bed.commit().await;
    check_all(&bed.store, &late).await;
    bed.map.insert(&late);
    assert_eq!(bed.map.lookup(250, 2).await.unwrap().unwrap().0, 2);
}

#[tokio::test]
async fn frees_wait_for_a_manifest_that_was_made_after_the_sweep() {
    let bed = bed(2).await;
    let (_, early) = bed.store.checkpoint().await.unwrap();
    bed.store.mark_deleted(2, u64::MAX);
    bed.sweep_all(&[1], 2).await;
    let before = bed.allocated().await;
    bed.store.commit_frees(early).await.unwrap();
    assert_eq!(bed.allocated().await, before);
    check_all(&bed.store, &bed.entries).await;
    bed.commit().await;
    assert!(bed.allocated().await < before);
}

#[tokio::test]
async fn a_mark_deleted_while_frees_wait_is_swept_for_again() {
    let bed = bed(3).await;
    bed.store.mark_deleted(3, u64::MAX);
    assert_eq!(bed.sweep_all(&[1, 2], 3).await.0, 100);
    bed.store.mark_deleted(2, 3);
    // Segments whose finds wait are not swept now, though the deletion concerns them too.
    assert!(bed.sweep_all(&[1], 3).await.0 < 100);
    bed.commit().await;
    assert!(bed.store.needs_sweep());
    bed.sweep_all(&[1], 3).await;
    bed.commit().await;
    assert_eq!(bed.store.live_entries(), 100);
    assert!(!bed.store.needs_sweep());
}

#[tokio::test]
async fn what_is_appended_during_a_sweep_is_counted() {
    for seed in 0..40 {
        let world = SimWorld::new(seed);
        let bed = bed_on(world.shelf(), 2).await;
        bed.store.mark_deleted(2, u64::MAX);
        let live = LiveMarks::new(vec![1], 2);
        let last = bed.store.segments().len();
        loop {
            let report = bed.store.sweep_step(&bed.map, &live).await.unwrap().unwrap();
            if report.segment as usize == last - 2 {
                break;
            }
        }
        // The last sweep is of the segment that is appended to.
        let before = bed.store.live_entries();
        world.set_answering(Answering::Shuffled);
        let items = (500..504).map(|block| preserve(Key::new(block, 2))).collect();
        let mut sweep = std::pin::pin!(bed.store.sweep_step(&bed.map, &live));
        let mut append = std::pin::pin!(bed.store.append(items));
        let (mut is_swept, mut is_appended) = (false, false);
        std::future::poll_fn(|context| {
            is_swept = is_swept || sweep.as_mut().poll(context).is_ready();
            is_appended = is_appended || append.as_mut().poll(context).is_ready();
            world.pump();
            if is_swept && is_appended {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        world.set_answering(Answering::Inline);
        bed.commit().await;
        let in_last = bed
            .entries
            .iter()
            .filter(|(key, place)| key.sequence == 2 && place.segment as usize == last - 1);
        assert_eq!(bed.store.live_entries(), before + 4 - in_last.count() as u64);
    }
}

#[tokio::test]
async fn a_crash_before_the_frees_leaves_the_sweep_to_be_done_again() {
    let bed = bed(2).await;
    bed.store.mark_deleted(2, u64::MAX);
    bed.sweep_all(&[1], 2).await;
    let (manifest, _) = bed.store.checkpoint().await.unwrap();
    let before = bed.allocated().await;
    let Bed { shelf, store, map, entries } = bed;
    drop(store);
    let (store, _) = PreservedStore::recover(setup(&shelf, 2), &manifest).await.unwrap();
    let bed = Bed { shelf, store, map, entries };
    assert!(bed.store.needs_sweep());
    assert_eq!(bed.store.live_entries(), 100);
    bed.sweep_all(&[1], 2).await;
    bed.commit().await;
    assert!(bed.allocated().await < before);
    check_all(&bed.store, &bed.under(1)).await;
}

#[tokio::test]
async fn of_two_copies_of_an_entry_the_later_is_given_back() {
    let bed = bed(1).await;
    let again = bed.store.append((0..100).map(|b| preserve(Key::new(b, 1))).collect()).await;
    let again = again.unwrap();
    bed.map.insert(&again);
    bed.store.mark_deleted(1, 2);
    assert_eq!(bed.sweep_all(&[1], 2).await.0, 100);
    bed.commit().await;
    check_all(&bed.store, &bed.entries).await;
    let known = bed.map.lookup(7, 1).await.unwrap();
    assert_eq!(known.map(|(_, place)| place), Some(bed.entries[7].1));
}
