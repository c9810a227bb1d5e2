//! Points 1 and 2: whole sectors, and nothing past the end.

use base::units::Extent;

use super::{Subject, ask, filled};
use crate::{AnyDisk, Buffer, DiskError, Done, Durability, Keep, Op};

pub(super) async fn buffers_are_whole_sectors(subject: &Subject) {
    let disk = (subject.make)();
    assert!(matches!(Buffer::zeroed(513), Err(DiskError::Misaligned { len: 513 })));
    assert!(matches!(Buffer::copy_of(&[1; 511]), Err(DiskError::Misaligned { .. })));
    let refused = disk.read_into(0, Buffer::zeroed(100)).await;
    assert!(matches!(refused, Err(DiskError::Misaligned { len: 100 })));
    let geometry = disk.geometry();
    assert!(geometry.sectors >= super::SECTORS_MIN, "the disk is too small for these checks");
    assert!(geometry.physical_block_len.is_power_of_two() && geometry.physical_block_len >= 512);
    assert!(geometry.atomic_write_len >= 512 && !geometry.is_read_only);
}

/// One of each operation on an extent; writes of what would be too much are of one sector.
fn every_op(extent: Extent) -> Vec<Op> {
    let sectors = usize::try_from(extent.sectors).unwrap_or(1).min(8);
    let buffer = Buffer::zeroed(sectors * 512).expect("whole sectors make a buffer");
    let durability = Durability::Volatile;
    vec![
        Op::Read { start: extent.start, buffer },
        Op::Write { start: extent.start, data: vec![filled(0xEE, sectors)], durability },
        Op::Discard { extent, durability },
        Op::WriteZeroes { extent, keep: Keep::Nothing, durability },
        Op::WriteZeroes { extent, keep: Keep::Space, durability: Durability::Stable },
        Op::Map { extent },
    ]
}

async fn is_refused(disk: &AnyDisk, extent: Extent) {
    let capacity = disk.geometry().sectors;
    for op in every_op(extent) {
        let shown = format!("{op:?}");
        let answers = ask(disk, vec![op]).await;
        assert!(
            matches!(&answers[..], [Err(DiskError::OutOfBounds { capacity: told, .. })] if *told == capacity),
            "{shown} of {capacity} sectors was answered {answers:?}"
        );
    }
}

pub(super) async fn past_the_end_is_refused_and_changes_nothing(subject: &Subject) {
    let disk = (subject.make)();
    let end = disk.geometry().sectors;
    disk.write(end - 2, vec![filled(5, 2)], Durability::Volatile).await.expect("write");
    is_refused(&disk, Extent::new(end - 1, 2)).await;
    is_refused(&disk, Extent::new(end, 1)).await;
    is_refused(&disk, Extent::new(end + 1, 4)).await;
    let left = disk.read(Extent::new(end - 2, 2)).await.expect("read");
    assert!(left.iter().all(|byte| *byte == 5), "a refused request changed something");
}

pub(super) async fn the_end_of_the_address_space_is_refused(subject: &Subject) {
    let disk = (subject.make)();
    for extent in
        [Extent::new(u64::MAX, 1), Extent::new(u64::MAX - 1, 8), Extent::new(u64::MAX / 512, 1)]
    {
        is_refused(&disk, extent).await;
    }
    let huge = Extent::new(1, u64::MAX);
    let durability = Durability::Volatile;
    let ops = vec![
        Op::Discard { extent: huge, durability },
        Op::WriteZeroes { extent: huge, keep: Keep::Space, durability },
        Op::Map { extent: huge },
        Op::Map { extent: Extent::new(u64::MAX, 0) },
    ];
    for answer in ask(&disk, ops).await {
        assert!(matches!(answer, Err(DiskError::OutOfBounds { .. })), "{answer:?}");
    }
}

pub(super) async fn nothing_is_legal_anywhere_up_to_the_end(subject: &Subject) {
    let disk = (subject.make)();
    let end = disk.geometry().sectors;
    for start in [0, 3, end] {
        for answer in ask(&disk, every_op(Extent::new(start, 0))).await {
            match answer.expect("nothing succeeds") {
                Done::Read(buffer) => assert!(buffer.is_empty()),
                Done::Mapped(map) => assert!(map.is_empty(), "{map:?}"),
                Done::Written | Done::Discarded | Done::Zeroed => {}
                Done::Flushed => panic!("nothing was to be flushed"),
            }
        }
        let durability = Durability::Stable;
        let ops = vec![Op::Write { start, data: Vec::new(), durability }];
        assert!(matches!(ask(&disk, ops).await[..], [Ok(Done::Written)]));
    }
    is_refused(&disk, Extent::new(end + 1, 0)).await;
}

pub(super) async fn the_last_sector_can_be_used(subject: &Subject) {
    let disk = (subject.make)();
    let last = disk.geometry().sectors - 1;
    disk.write(last, vec![filled(7, 1)], Durability::Stable).await.expect("write");
    let read = disk.read(Extent::new(last, 1)).await.expect("read");
    assert!(read.iter().all(|byte| *byte == 7));
    disk.write_zeroes(Extent::new(last, 1), Keep::Nothing).await.expect("write zeroes");
    let read = disk.read(Extent::new(last, 1)).await.expect("read");
    assert!(read.iter().all(|byte| *byte == 0));
}
