//! Berths handed out, moored at, left and found again.

use std::sync::Arc;

use ::disk::{Durability, MemDisk};
use base::rng::{Rng, SeededRng};

use super::*;
use crate::checksum_table::sectors_for;

const CELL_BLOCKS: u64 = 2;
const CELLS: u64 = 12;

fn table() -> [AnyDisk; 2] {
    [0, 1].map(|_| Arc::new(MemDisk::new(sectors_for(CELLS))) as AnyDisk)
}

async fn open(table: &[AnyDisk; 2]) -> Arc<Berths> {
    let sectors = |cells: u64| cells * CELL_BLOCKS * SECTORS_PER_BLOCK;
    let disks = [CELLS, 4].map(|cells| Arc::new(MemDisk::new(sectors(cells))) as AnyDisk);
    let table = ChecksumTable::new(7, table.clone(), u64::MAX);
    Arc::new(Berths::open(CELL_BLOCKS, CELLS, disks, table).await.unwrap())
}

#[tokio::test]
async fn as_many_berths_are_free_as_the_spare_disk_has() {
    let berths = open(&table()).await;
    assert_eq!(berths.take(5), None);
    let taken = berths.take(4).unwrap();
    assert_eq!(taken, (0..4).map(Berth::spare).collect::<Vec<_>>());
    assert_eq!(berths.take(1), None);
    berths.give_back(&taken[1..3]);
    assert_eq!(berths.take(2).unwrap(), taken[1..3]);
}

#[tokio::test]
async fn what_a_cell_left_is_free_when_a_checkpoint_is_committed_and_no_sooner() {
    let berths = open(&table()).await;
    let taken = berths.take(2).unwrap();
    berths.note(3, taken[0], 7);
    berths.load(3).await.unwrap();
    assert!(berths.moor(3, taken[0]));
    assert!(!berths.moor(3, taken[0]), "it lies there already");
    assert_eq!(berths.take(2), None, "one is held back");
    berths.committed(7);
    assert_eq!(berths.take(3), None, "frame 7 still tells of it: one is held back");
    berths.committed(8);
    assert_eq!(berths.take(3).unwrap().last(), Some(&Berth::home(3)));
}

#[tokio::test]
async fn what_was_overwritten_before_it_was_applied_comes_back_with_its_frame() {
    let berths = open(&table()).await;
    let taken = berths.take(3).unwrap();
    berths.note(5, taken[0], 7);
    berths.note(5, taken[1], 8);
    berths.committed(8);
    assert_eq!(berths.take(2).unwrap(), [Berth::spare(3), taken[0]]);
    assert_eq!(berths.take(1), None, "one is told of, one is in hand");
}

#[tokio::test]
async fn what_lies_where_is_known_after_opening_again() {
    let table = table();
    let berths = open(&table).await;
    let taken = berths.take(2).unwrap();
    for (cell, berth) in (6..).zip(&taken) {
        berths.load(cell).await.unwrap();
        assert!(berths.moor(cell, *berth));
    }
    berths.write_out().await.unwrap();
    let berths = open(&table).await;
    assert_eq!([berths.of(5), berths.of(6), berths.of(7)], [Berth::home(5), taken[0], taken[1]]);
    let free = [Berth::home(6), Berth::home(7), Berth::spare(2), Berth::spare(3)];
    assert_eq!(berths.take(4).unwrap(), free);
}

#[tokio::test]
async fn a_replay_that_moors_a_cell_where_it_once_was_loses_no_berth_it_needs_again() {
    let berths = open(&table()).await;
    let (first, second) = (Berth::spare(0), Berth::spare(1));
    berths.load(1).await.unwrap();
    berths.moor(1, second);
    for (berth, frame) in [(first, 1), (second, 2)] {
        berths.note(1, berth, frame);
    }
    berths.vacate(1, second);
    let elsewhere = berths.of(1);
    assert!(![first, second].contains(&elsewhere));
    assert!(berths.moor(1, first));
    assert!(berths.moor(1, second));
    berths.committed(2);
    assert_eq!(berths.of(1), second);
    assert_eq!(berths.take(4), None, "one is held back");
    berths.committed(3);
    let free = berths.take(4).unwrap();
    assert!(!free.contains(&second) && free.contains(&first), "{free:?}");
}

#[tokio::test]
async fn a_cell_that_cannot_make_room_for_replay_is_told_of() {
    let berths = open(&table()).await;
    let taken = berths.take(4).unwrap();
    berths.load(1).await.unwrap();
    berths.moor(1, taken[0]);
    berths.note(1, taken[0], 1);
    assert!(!berths.has_lost_some());
    berths.vacate(1, taken[0]);
    assert_eq!(berths.of(1), taken[0]);
    assert!(berths.has_lost_some());
}

#[tokio::test]
async fn blocks_are_found_wherever_their_cells_lie() {
    let berths = open(&table()).await;
    let disk = berthed(&berths);
    let sectors = CELLS * CELL_BLOCKS * SECTORS_PER_BLOCK;
    let mut model: Vec<u8> = vec![0; usize::try_from(sectors).unwrap()];
    let rng = SeededRng::new(3);
    for step in 1..400u64 {
        let fill = u8::try_from(step % 251).unwrap();
        let start = rng.below(sectors);
        let count = 1 + rng.below((sectors - start).min(60));
        let span = usize::try_from(start).unwrap()..usize::try_from(start + count).unwrap();
        match rng.below(4) {
            0 => {
                let cell = rng.below(CELLS);
                let Some(taken) = berths.take(1) else { continue };
                let run = Run::new(cell * CELL_BLOCKS, CELL_BLOCKS);
                let there = disk.read(run.extent()).await.unwrap().freeze();
                let (reply, answer) = Reply::one();
                berths.write(taken[0].spot(CELL_BLOCKS), vec![there], reply);
                answer.await.unwrap().unwrap();
                berths.load(cell).await.unwrap();
                assert!(berths.moor(cell, taken[0]));
                berths.committed(1);
            }
            1 => {
                let mut buffer = Buffer::for_sectors(count).unwrap();
                buffer.fill(fill);
                disk.write(start, vec![buffer.freeze()], Durability::Volatile).await.unwrap();
                model[span].fill(fill);
            }
            2 => {
                disk.write_zeroes(Extent::new(start, count), ::disk::Keep::Space).await.unwrap();
                model[span].fill(0);
            }
            _ => {
                let read = disk.read(Extent::new(start, count)).await.unwrap();
                let found: Vec<u8> = read.chunks(512).map(|sector| sector[0]).collect();
                assert_eq!(found, model[span], "step {step}");
            }
        }
    }
    disk.flush().await.unwrap();
    let past = disk.read(Extent::new(sectors - 1, 2)).await;
    assert!(matches!(past, Err(DiskError::OutOfBounds { .. })));
}
