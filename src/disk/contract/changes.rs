//! Points 5, 7, 9 and 10: what writes, discards, zeroes and flushes do.

use base::units::{Extent, SECTOR_LEN};

use super::{Subject, ask, filled};
use crate::{AnyDisk, DiskError, Durability, Keep, MapExtent, MapKind, Op};

/// The first bytes of the sectors of an extent, each of which must be of one byte only.
async fn firsts(disk: &AnyDisk, extent: Extent) -> Vec<u8> {
    let read = disk.read(extent).await.expect("read");
    let sectors = read.chunks(SECTOR_LEN);
    sectors
        .map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is mixed");
            sector[0]
        })
        .collect()
}

pub(super) async fn a_fresh_disk_reads_as_zeroes(subject: &Subject) {
    let disk = (subject.make)();
    let end = disk.geometry().sectors;
    for start in [0, end / 2, end - 64] {
        assert_eq!(firsts(&disk, Extent::new(start, 64)).await, [0; 64]);
    }
}

pub(super) async fn a_write_changes_its_sectors_and_no_other(subject: &Subject) {
    let disk = (subject.make)();
    disk.write(0, vec![filled(1, 128)], Durability::Volatile).await.expect("write");
    for (start, len) in [(0u64, 1usize), (7, 2), (9, 7), (17, 20), (63, 1), (64, 8), (100, 28)] {
        disk.write(start, vec![filled(2, len)], Durability::Volatile).await.expect("write");
        let end = start + len as u64;
        let wanted: Vec<u8> = (0..128).map(|at| 1 + u8::from((start..end).contains(&at))).collect();
        assert_eq!(firsts(&disk, Extent::new(0, 128)).await, wanted, "{start}+{len}");
        disk.write(start, vec![filled(1, len)], Durability::Volatile).await.expect("write");
    }
}

pub(super) async fn payloads_are_written_one_after_the_other(subject: &Subject) {
    let disk = (subject.make)();
    let long = filled(3, 9);
    let data =
        vec![filled(1, 1), long.slice(2, 4), long.slice(0, 0), filled(2, 3), long.slice(8, 1)];
    disk.write(11, data, Durability::Volatile).await.expect("write");
    let wanted = [0, 1, 3, 3, 3, 3, 2, 2, 2, 3, 0];
    assert_eq!(firsts(&disk, Extent::new(10, 11)).await, wanted);
    // More pieces than one call of any operating system takes, and more than is joined at once.
    let many: Vec<_> = (0..1500u32).map(|n| filled(if n % 2 == 0 { 4 } else { 5 }, 1)).collect();
    disk.write(100, many, Durability::Volatile).await.expect("write");
    let read = firsts(&disk, Extent::new(99, 1502)).await;
    assert_eq!((read[0], read[1501]), (0, 0));
    assert!(read[1..1501].chunks(2).all(|pair| pair == [4, 5]));
}

pub(super) async fn zeroes_are_exact(subject: &Subject) {
    let disk = (subject.make)();
    for keep in [Keep::Nothing, Keep::Space] {
        for (start, len) in [(8u64, 8u64), (1, 1), (3, 20), (16, 40), (23, 2), (0, 64), (5, 3)] {
            disk.write(0, vec![filled(1, 64)], Durability::Volatile).await.expect("write");
            disk.write_zeroes(Extent::new(start, len), keep).await.expect("write zeroes");
            let is_zero = |at: &u64| (start..start + len).contains(at);
            let wanted: Vec<u8> = (0..64).map(|at| u8::from(!is_zero(&at))).collect();
            assert_eq!(firsts(&disk, Extent::new(0, 64)).await, wanted, "{start}+{len} {keep:?}");
        }
    }
}

pub(super) async fn a_discard_reads_as_zeroes_and_touches_nothing_else(subject: &Subject) {
    let disk = (subject.make)();
    let block = u64::from(disk.geometry().physical_block_len / 512).max(8);
    for (start, len) in [(block, block), (3, 5 * block), (2 * block, 4 * block), (1, 2), (0, 0)] {
        let all = usize::try_from(8 * block).expect("blocks are small");
        disk.write(0, vec![filled(1, all)], Durability::Volatile).await.expect("write");
        let extent = Extent::new(start, len);
        disk.discard(extent).await.expect("discard");
        let read = firsts(&disk, Extent::new(0, 8 * block)).await;
        for (at, byte) in (0u64..).zip(read) {
            let is_inside = (start..start + len).contains(&at);
            // Only what fills whole blocks must be gone.
            let first_block = at / block * block;
            let is_whole = first_block >= start && first_block + block <= start + len;
            let wanted: &[u8] = match (is_inside, is_whole) {
                (false, _) => &[1],
                (true, false) => &[0, 1],
                (true, true) => &[0],
            };
            assert!(wanted.contains(&byte), "sector {at} after a discard of {extent:?}");
        }
    }
    // All of it at once.
    let whole = Extent::new(0, disk.geometry().sectors);
    disk.discard(whole).await.expect("discard");
    assert_eq!(firsts(&disk, Extent::new(0, 64)).await, [0; 64]);
}

pub(super) async fn stable_changes_are_seen_like_others(subject: &Subject) {
    let disk = (subject.make)();
    let durability = Durability::Stable;
    disk.write(3, vec![filled(1, 30)], durability).await.expect("write");
    let extent = Extent::new(8, 8);
    let ops = vec![
        Op::WriteZeroes { extent, keep: Keep::Nothing, durability },
        Op::Discard { extent: Extent::new(16, 8), durability },
    ];
    for answer in ask(&disk, ops).await {
        answer.expect("a stable change");
    }
    disk.flush().await.expect("flush");
    let mut wanted = [1; 30];
    wanted[5..13].fill(0);
    let read = firsts(&disk, Extent::new(3, 30)).await;
    assert_eq!(read[..13], wanted[..13]);
    assert_eq!(read[21..], wanted[21..]);
}

/// The whole map of an extent, asked for until its end.
async fn whole_map(disk: &AnyDisk, extent: Extent) -> Vec<MapExtent> {
    let mut map: Vec<MapExtent> = Vec::new();
    let mut at = extent.start;
    while at < extent.end() {
        let more = disk.map(Extent::new(at, extent.end() - at)).await.expect("map");
        assert!(!more.is_empty(), "a map of something says nothing");
        for stretch in more {
            assert!(!stretch.extent.is_empty(), "an empty stretch");
            assert_eq!(stretch.extent.start, at, "a map with a gap");
            at = stretch.extent.end();
            map.push(stretch);
        }
    }
    assert_eq!(at, extent.end(), "a map past what was asked for");
    map
}

pub(super) async fn a_map_tells_the_truth(subject: &Subject) {
    let disk = (subject.make)();
    for at in 0..40u64 {
        let start = at * 64 + at % 5;
        disk.write(start, vec![filled(1, 3)], Durability::Volatile).await.expect("write");
    }
    disk.flush().await.expect("flush");
    disk.write(4096, vec![filled(1, 8)], Durability::Volatile).await.expect("write");
    for extent in
        [Extent::new(0, disk.geometry().sectors), Extent::new(5, 2000), Extent::new(4097, 1)]
    {
        for stretch in whole_map(&disk, extent).await {
            if stretch.kind != MapKind::Data {
                let small = Extent::new(stretch.extent.start, stretch.extent.sectors.min(4096));
                let read = firsts(&disk, small).await;
                assert!(read.iter().all(|byte| *byte == 0), "{stretch:?} holds data");
            }
        }
    }
}

pub(super) async fn kept_space_is_never_absent(subject: &Subject) {
    let disk = (subject.make)();
    let block = u64::from(disk.geometry().physical_block_len / 512).max(8);
    let extent = Extent::new(4 * block, 8 * block);
    disk.write_zeroes(extent, Keep::Space).await.expect("write zeroes");
    let map = whole_map(&disk, extent).await;
    assert!(map.iter().all(|stretch| stretch.kind != MapKind::Absent), "{map:?}");
    disk.write(extent.start, vec![filled(1, 8)], Durability::Volatile).await.expect("write");
    disk.write_zeroes(extent, Keep::Space).await.expect("write zeroes");
    let map = whole_map(&disk, extent).await;
    assert!(map.iter().all(|stretch| stretch.kind != MapKind::Absent), "{map:?}");
}

pub(super) async fn a_failed_flush_poisons(subject: &Subject) {
    let Some(break_flush) = &subject.break_flush else { return };
    let disk = (subject.make)();
    disk.write(0, vec![filled(1, 8)], Durability::Volatile).await.expect("write");
    break_flush(&disk);
    assert!(disk.flush().await.is_err(), "the flush was to fail");
    let (extent, durability) = (Extent::new(0, 8), Durability::Volatile);
    let changes = vec![
        Op::Flush,
        Op::Write { start: 0, data: vec![filled(2, 8)], durability },
        Op::Write { start: 0, data: vec![filled(2, 8)], durability: Durability::Stable },
        Op::Discard { extent, durability },
        Op::WriteZeroes { extent, keep: Keep::Space, durability },
    ];
    for answer in ask(&disk, changes).await {
        assert!(matches!(answer, Err(DiskError::Poisoned(_))), "{answer:?}");
    }
    assert_eq!(firsts(&disk, extent).await, [1; 8]);
    disk.map(extent).await.expect("maps go on");
}
