//! Power cuts in the middle of a chunk, and what earlier lives of the pool left behind.

use base::units::Extent;
use disk::{AnyDisk, Buffer, Durability, MemShelf, Usage};

use super::*;

/// Which sectors of the last chunk reached the disk.
#[derive(Clone, Copy, Debug)]
enum Reached {
    Before(u64),
    AllBut(u64),
    Only(u64),
}

impl Reached {
    fn holds(self, sector: u64) -> bool {
        match self {
            Self::Before(end) => sector < end,
            Self::AllBut(one) => sector != one,
            Self::Only(one) => sector == one,
        }
    }
}

fn items(blocks: std::ops::Range<u64>, sequence: u64) -> Vec<Preserve> {
    blocks.map(|block| preserve(Key::new(block, sequence))).collect()
}

async fn image(disk: &AnyDisk) -> Vec<u8> {
    disk.read(Extent::new(0, disk.geometry().sectors)).await.unwrap().to_vec()
}

async fn put(disk: &AnyDisk, bytes: &[u8]) {
    let data = vec![Buffer::copy_of(bytes).unwrap().freeze()];
    disk.write(0, data, Durability::Volatile).await.unwrap();
}

/// A shelf with one flushed chunk and one of which only some sectors reached the disk. Tells what the
/// first chunk holds and what the second would.
async fn torn(reached: Reached) -> (Arc<dyn Shelf>, Vec<(Key, Place)>, Vec<(Key, Place)>, bool) {
    let shelf: Arc<dyn Shelf> = Arc::new(MemShelf::new());
    let (store, _) = PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
    let first = store.append(items(0..5, 1)).await.unwrap();
    store.flush().await.unwrap();
    let start = u64::from(store.cut().sector);
    let disk = shelf.open(&segment::name_of(VOLUME, 0), Usage::Data).unwrap();
    let mut now = image(&disk).await;
    let second = store.append(items(0..9, 2)).await.unwrap();
    let then = image(&disk).await;
    let end = u64::from(store.cut().sector);
    for sector in (start..end).filter(|sector| reached.holds(sector - start)) {
        let bytes = usize::try_from(sector).unwrap() * 512;
        now[bytes..bytes + 512].copy_from_slice(&then[bytes..bytes + 512]);
    }
    put(&disk, &now).await;
    (shelf, first, second, now == then)
}

#[tokio::test]
async fn a_chunk_cut_at_any_sector_is_there_whole_or_not_at_all() {
    let chunk = {
        let (shelf, ..) = torn(Reached::Before(0)).await;
        let (store, _) =
            PreservedStore::recover(setup(&shelf, 2), &Manifest::default()).await.unwrap();
        let before = store.cut().sector;
        store.append(items(0..9, 2)).await.unwrap();
        u64::from(store.cut().sector - before)
    };
    assert!(chunk > 16);
    let all = (0..=chunk).map(Reached::Before);
    let all = all.chain((0..chunk).map(Reached::AllBut)).chain((0..chunk).map(Reached::Only));
    let (mut whole, mut absent) = (0, 0);
    for reached in all {
        let (shelf, first, second, is_whole) = torn(reached).await;
        let (store, mut found) =
            PreservedStore::recover(setup(&shelf, 2), &Manifest::default()).await.unwrap();
        assert!(found == first || found == [&first[..], &second].concat(), "{reached:?}");
        assert_eq!(found.len() > first.len(), is_whole, "{reached:?}");
        whole += u64::from(is_whole);
        absent += u64::from(!is_whole);
        check_all(&store, &found).await;
        // Life goes on, and nothing of what was cut comes back.
        found.extend(store.append(items(3..5, 3)).await.unwrap());
        found.extend(store.append(items(3..12, 4)).await.unwrap());
        store.flush().await.unwrap();
        drop(store);
        let (store, again) =
            PreservedStore::recover(setup(&shelf, 3), &Manifest::default()).await.unwrap();
        assert_eq!(again, found, "{reached:?}");
        check_all(&store, &again).await;
    }
    assert!(whole > 0 && absent > 2 * chunk);
}

#[tokio::test]
async fn chunks_of_an_earlier_life_never_follow_one_of_a_later() {
    let shelf: Arc<dyn Shelf> = Arc::new(MemShelf::new());
    let (store, _) = PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
    for sequence in 1..4 {
        store.append(items(4..5, sequence)).await.unwrap();
    }
    drop(store);
    // The first chunk is lost; the others, as long as it, stay behind it.
    let disk = shelf.open(&segment::name_of(VOLUME, 0), Usage::Data).unwrap();
    disk.write_zeroes(Extent::new(0, 8), disk::Keep::Nothing).await.unwrap();
    let (store, found) =
        PreservedStore::recover(setup(&shelf, 2), &Manifest::default()).await.unwrap();
    assert_eq!(found, []);
    let written = store.append(items(4..5, 9)).await.unwrap();
    store.flush().await.unwrap();
    drop(store);
    let (_, found) = PreservedStore::recover(setup(&shelf, 3), &Manifest::default()).await.unwrap();
    assert_eq!(found, written);
}

#[tokio::test]
async fn what_was_found_is_made_stable_before_others_build_on_it() {
    let world = disk::sim::SimWorld::new(1);
    let shelf: Arc<dyn Shelf> = world.shelf();
    let (store, _) = PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
    let written = store.append(items(0..5, 1)).await.unwrap();
    // The process is killed: what it wrote is in the kernel's memory, and not stable.
    let killed = world.after_kill(0);
    let shelf: Arc<dyn Shelf> = killed.shelf();
    let (_, found) = PreservedStore::recover(setup(&shelf, 2), &Manifest::default()).await.unwrap();
    assert_eq!(found, written);
    let cut = killed.after_power_loss(disk::sim::Loss::All);
    let shelf: Arc<dyn Shelf> = cut.shelf();
    let (_, found) = PreservedStore::recover(setup(&shelf, 3), &Manifest::default()).await.unwrap();
    assert_eq!(found, written);
}
