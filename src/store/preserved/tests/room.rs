//! The reserve: what is lent out and what is not, and what happens when the shelf is full.

use disk::DiskError;
use disk::sim::{Fault, OpKind, SimWorld, What};

use super::*;

fn noisy(blocks: std::ops::Range<u64>) -> Vec<Preserve> {
    let item = |block| Preserve { key: Key::new(block, 1), content: Content::Data(noise(block)) };
    blocks.map(item).collect()
}

fn full_shelf() -> Fault {
    Fault::new("*", OpKind::Shelf, What::NoSpace)
}

#[tokio::test]
async fn a_spare_segment_always_stands_ready() {
    let world = SimWorld::new(1);
    let shelf: Arc<dyn Shelf> = world.shelf();
    let (store, _) = PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
    assert_eq!((store.reserve_bytes(), shelf.list().unwrap().len()), (0, 0));
    store.prepare().await.unwrap();
    assert_eq!((store.reserve_bytes(), shelf.list().unwrap().len()), (64 << 10, 1));
    for round in 0..20 {
        store.append(noisy(round * 10..round * 10 + 10)).await.unwrap();
        assert_eq!(store.reserve_bytes(), 64 << 10);
        assert_eq!(shelf.list().unwrap().len(), store.segments().len() + 1);
    }
    // All of it in one append, over many segments.
    let entries = store.append(noisy(0..200)).await.unwrap();
    assert_eq!(shelf.list().unwrap().len(), store.segments().len() + 1);
    for (answer, (key, _)) in store.read_many(&entries).await.into_iter().zip(&entries) {
        assert!(*answer.unwrap() == *noise(key.block));
    }
}

#[tokio::test]
async fn a_full_shelf_refuses_before_anything_is_written_and_the_reserve_still_takes_copies() {
    let world = SimWorld::new(1);
    let shelf: Arc<dyn Shelf> = world.shelf();
    let (store, _) = PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
    let mut all = store.append(noisy(0..10)).await.unwrap();
    world.add_fault(full_shelf());
    let steps = world.steps();
    let before = (shelf.list().unwrap(), store.cut());
    let answer = store.append(noisy(10..20)).await;
    assert!(matches!(answer, Err(PreservedError::Full { .. })), "{answer:?}");
    assert_eq!((shelf.list().unwrap(), store.cut()), before);
    assert_eq!(world.steps(), steps, "nothing was written");
    // What fits into the current segment is taken.
    all.extend(store.append(noisy(10..13)).await.unwrap());
    // The reserve takes as much as was said, and then no more.
    let sure = (1..100).take_while(|blocks| store.can_take(blocks * 4096)).last().unwrap();
    assert!(sure >= 15);
    let answer = store.append_from_reserve(noisy(100..100 + sure + 1)).await;
    assert!(matches!(answer, Err(PreservedError::Full { .. })), "{answer:?}");
    all.extend(store.append_from_reserve(noisy(100..100 + sure)).await.unwrap());
    assert_eq!(store.reserve_bytes(), 0);
    store.flush().await.unwrap();
    // Room comes back, and with it the reserve.
    world.clear_faults();
    all.extend(store.append(noisy(200..201)).await.unwrap());
    assert_eq!(store.reserve_bytes(), 64 << 10);
    for (answer, (key, _)) in store.read_many(&all).await.into_iter().zip(&all) {
        assert!(*answer.unwrap() == *noise(key.block));
    }
}

#[tokio::test]
async fn the_reserve_outlives_a_crash_on_a_full_shelf() {
    let world = SimWorld::new(1);
    let shelf: Arc<dyn Shelf> = world.shelf();
    let (store, _) = PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
    store.append(noisy(0..5)).await.unwrap();
    store.flush().await.unwrap();
    world.set_capacity(Some(128 << 10));
    let world = world.after_power_loss(disk::sim::Loss::All);
    let shelf: Arc<dyn Shelf> = world.shelf();
    let (store, found) =
        PreservedStore::recover(setup(&shelf, 2), &Manifest::default()).await.unwrap();
    assert_eq!((found.len(), store.reserve_bytes()), (5, 64 << 10));
    let answer = store.append(noisy(5..15)).await;
    assert!(matches!(answer, Err(PreservedError::Full { .. })), "{answer:?}");
    store.append_from_reserve(noisy(5..15)).await.unwrap();
}

#[tokio::test]
async fn a_failed_write_or_flush_ends_all_taking() {
    for kind in [OpKind::Write, OpKind::Flush] {
        let world = SimWorld::new(1);
        let shelf: Arc<dyn Shelf> = world.shelf();
        let (store, _) =
            PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
        let good = store.append(noisy(0..3)).await.unwrap();
        store.flush().await.unwrap();
        world.add_fault(Fault::new("*", kind, What::Error).times(1));
        let answers = (store.append(noisy(3..6)).await.map(drop), store.flush().await);
        assert!(answers.0.and(answers.1).is_err());
        for _ in 0..2 {
            let answer = store.append(noisy(6..7)).await;
            assert!(matches!(answer, Err(PreservedError::Poisoned(_))), "{answer:?}");
            let answer = store.flush().await;
            assert!(matches!(answer, Err(PreservedError::Poisoned(_))), "{answer:?}");
            let answer = store.checkpoint().await;
            assert!(matches!(answer, Err(PreservedError::Poisoned(_))), "{answer:?}");
        }
        assert!(store.read_many(&good).await.into_iter().all(|answer| answer.is_ok()));
    }
}

#[tokio::test]
async fn an_append_that_was_given_up_ends_all_taking() {
    let world = SimWorld::new(1);
    let shelf: Arc<dyn Shelf> = world.shelf();
    let (store, _) = PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
    store.append(noisy(0..1)).await.unwrap();
    world.add_fault(Fault::new("*", OpKind::Write, What::Silent).times(1));
    {
        let mut append = std::pin::pin!(store.append(noisy(1..2)));
        let waits = std::future::poll_fn(|context| {
            std::task::Poll::Ready(append.as_mut().poll(context).is_pending())
        });
        assert!(waits.await);
    }
    let answer = store.append(noisy(2..3)).await;
    assert!(matches!(answer, Err(PreservedError::Poisoned(_))), "{answer:?}");
}

#[tokio::test]
async fn one_damaged_sector_hides_no_neighbour() {
    let world = SimWorld::new(1);
    let shelf: Arc<dyn Shelf> = world.shelf();
    let (store, _) = PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
    let all = store.append(noisy(0..8)).await.unwrap();
    let bad = base::units::Extent::new(u64::from(all[3].1.sector) + 2, 1);
    world.add_fault(Fault::new("*", OpKind::Read, What::Error).within(bad));
    for (index, answer) in store.read_many(&all).await.into_iter().enumerate() {
        match answer {
            Ok(block) => assert!(index != 3 && *block == *noise(index as u64)),
            Err(StoreReadError::Disk { block: 3, sequence: 1, source }) => {
                assert!(index == 3 && matches!(source, DiskError::Medium { .. }));
            }
            Err(error) => panic!("{error}"),
        }
    }
}
