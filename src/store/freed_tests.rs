//! What a removal is said to give back, held against what it gives back.

use std::sync::Arc;

use base::rng::{Rng, SeededRng};
use disk::{Buffer, Durability, MemShelf, Shelf};

use super::*;
use crate::status::{DiskRef, Grade, MarkRequest};
use crate::{PoolOptions, World};

const BLOCKS: u64 = 512;

async fn pool() -> Arc<Pool> {
    let shelf: Arc<dyn Shelf> = Arc::new(MemShelf::new());
    let options = PoolOptions {
        journal_len: "8M".parse().unwrap(),
        segment_len: "256K".parse().unwrap(),
        ..PoolOptions::default()
    };
    let world = World { rng: Arc::new(SeededRng::new(3)), ..World::system() };
    Pool::create(&shelf, &options, &world).await.unwrap();
    let pool = Pool::open(shelf, options, world).await.unwrap();
    pool.create_volume(&"mail".parse().unwrap(), "2M".parse().unwrap()).await.unwrap();
    pool
}

fn of(mark: u64) -> MarkRef {
    format!("mail@m{mark}").parse().unwrap()
}

/// Overwrites some blocks, with noise or with what compresses well.
async fn write(pool: &Pool, rng: &SeededRng, times: u64) {
    let disk = pool.disk(&DiskRef::Volume("mail".parse().unwrap())).unwrap();
    for _ in 0..times {
        let noise = rng.below(2) == 0;
        let byte = |_| if noise { rng.next_u64().to_le_bytes()[0] } else { 7 };
        let bytes: Vec<u8> = (0..4096).map(byte).collect();
        let start = rng.below(BLOCKS) * 8;
        let payload = Buffer::copy_of(&bytes).unwrap().freeze();
        disk.write(start, vec![payload], Durability::Volatile).await.unwrap();
    }
}

async fn settle(pool: &Pool) {
    while pool.upkeep_step().await.unwrap() {}
}

fn preserved(pool: &Pool) -> u64 {
    pool.volume(&"mail".parse().unwrap()).unwrap().preserved_bytes
}

async fn with_history(rng: &SeededRng) -> Arc<Pool> {
    let pool = pool().await;
    write(&pool, rng, 600).await;
    for mark in 0..40 {
        let request = MarkRequest { name: of(mark).mark, grade: Grade::Crash };
        pool.take_mark(&["mail".parse().unwrap()], request).await.unwrap();
        write(&pool, rng, rng.below(60)).await;
        if mark % 3 == 0 {
            settle(&pool).await;
        }
    }
    settle(&pool).await;
    pool
}

#[tokio::test]
async fn the_removal_of_any_set_gives_back_exactly_what_was_told() {
    let rng = SeededRng::new(11);
    let pool = with_history(&rng).await;
    let mut left: Vec<u64> = (0..40).collect();
    let mut in_all = 0;
    while !left.is_empty() {
        let count = 1 + rng.below(7).min(left.len() as u64 - 1);
        let pick = |_| left.swap_remove(usize::try_from(rng.below(left.len() as u64)).unwrap());
        let going: Vec<MarkRef> = (0..count).map(pick).map(of).collect();
        let told = pool.preview_removal(&going).await.unwrap();
        assert_eq!(told.obstacles, [] as [String; 0]);
        assert_eq!(told.freed.least_bytes, told.freed.most_bytes, "this small it is exact");
        let before = preserved(&pool);
        for mark in &going {
            pool.remove_mark(mark).await.unwrap();
        }
        settle(&pool).await;
        assert_eq!(before - preserved(&pool), told.freed.least_bytes, "{going:?}");
        in_all += told.freed.least_bytes;
    }
    assert_eq!(preserved(&pool), 0);
    assert!(in_all > 2_000_000, "{in_all}");
}

#[tokio::test]
async fn a_list_of_marks_tells_at_least_what_each_gives_back() {
    let rng = SeededRng::new(12);
    let pool = with_history(&rng).await;
    let mut is_less_somewhere = false;
    for mark in pool.marks(&"mail".parse().unwrap()).unwrap() {
        let at = MarkRef { volume: mark.volume, mark: mark.name };
        let exact = pool.preview_removal(&[at]).await.unwrap().freed.least_bytes;
        assert!(mark.frees_most_bytes >= exact, "{}: {exact}", mark.frees_most_bytes);
        is_less_somewhere |= mark.frees_most_bytes < preserved(&pool) / 4;
    }
    assert!(is_less_somewhere, "a list that says the whole of each says nothing");
}

#[tokio::test]
async fn what_something_keeps_is_told_and_not_counted() {
    let rng = SeededRng::new(13);
    let pool = with_history(&rng).await;
    pool.hold_mark(&of(5), None).await.unwrap();
    pool.lock_mark(&of(6), "1d".parse().unwrap()).await.unwrap();
    let free = pool.preview_removal(&[of(4)]).await.unwrap();
    let told = pool.preview_removal(&[of(4), of(5), of(6)]).await.unwrap();
    assert_eq!(told.freed, free.freed);
    assert_eq!(told.obstacles.len(), 2);
    assert!(told.obstacles[1].contains("m6 cannot go: it is locked"), "{:?}", told.obstacles);
    assert!(pool.preview_removal(&["mail@none".parse().unwrap()]).await.is_err());
    assert_eq!(pool.preview_removal(&[]).await.unwrap(), RemovalPreview::default());
}

#[tokio::test]
async fn where_it_would_take_too_long_the_answer_is_a_range_that_holds_the_truth() {
    let rng = SeededRng::new(14);
    let pool = with_history(&rng).await;
    let gone: BTreeSet<u64> = (3..30).collect();
    let of_them = || going(&pool.lock(), 0, &gone).unwrap();
    let exact = of_them().freed(&mut ENTRIES_MAX.clone()).await.unwrap();
    for mut left in [0, 1, 200] {
        let range = of_them().freed(&mut left).await.unwrap();
        assert!(range.least_bytes <= exact.least_bytes && exact.least_bytes <= range.most_bytes);
        assert!(range.least_bytes < range.most_bytes && left == 0);
    }
}
