//! Claims about files that the contract does not make for every disk.

use std::fs::{File, OpenOptions};
use std::sync::Arc;

use base::units::Extent;

use super::backing::Parts;
use super::*;
use crate::contract::Collector;
use crate::{AnyDisk, Buffer, Done, Durability, Keep, Op};

fn engines() -> Vec<EngineKind> {
    let uring = uring_is_allowed().then_some(EngineKind::Uring);
    [EngineKind::Inline, EngineKind::Threads].into_iter().chain(uring).collect()
}

fn disk_of(len: u64, options: &FileOptions) -> (tempfile::NamedTempFile, AnyDisk) {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(len).unwrap();
    let disk = Arc::new(FileDisk::open(file.path(), options).unwrap());
    (file, disk)
}

fn filled(fill: u8, sectors: usize) -> crate::Payload {
    Buffer::copy_of(&vec![fill; sectors * 512]).unwrap().freeze()
}

/// A disk on which every write succeeds and no flush does: the kernel offers no flush for this device.
fn that_cannot_flush(engine: EngineKind) -> AnyDisk {
    let parts = Parts {
        shown: "/dev/zero".into(),
        cached: OpenOptions::new().read(true).write(true).open("/dev/zero").unwrap(),
        claim: None,
        direct: None,
        sectors: 1024,
        physical_block_len: 512,
        is_device: true,
        is_read_only: false,
    };
    let options = FileOptions { engine, ..FileOptions::default() };
    Arc::new(FileDisk::serve(Opened { parts }, &options).unwrap())
}

#[tokio::test]
async fn a_failed_flush_poisons_every_engine() {
    for engine in engines() {
        let disk = that_cannot_flush(engine);
        disk.write(0, vec![filled(1, 8)], Durability::Volatile).await.unwrap();
        assert!(matches!(disk.flush().await, Err(DiskError::Io { .. })), "{engine:?}");
        assert!(matches!(disk.flush().await, Err(DiskError::Poisoned(_))), "{engine:?}");
        let (extent, durability) = (Extent::new(0, 8), Durability::Volatile);
        let changes = vec![
            Op::Write { start: 0, data: vec![filled(2, 8)], durability },
            Op::Discard { extent, durability },
            Op::WriteZeroes { extent, keep: Keep::Space, durability },
        ];
        let (requests, answers) = Collector::batch(changes);
        disk.submit(requests);
        for answer in answers.all().await {
            assert!(matches!(answer, Err(DiskError::Poisoned(_))), "{engine:?}: {answer:?}");
        }
        disk.read(extent).await.unwrap();
    }
}

#[tokio::test]
async fn flushes_in_flight_at_once_all_fail_together() {
    for engine in engines() {
        let disk = that_cannot_flush(engine);
        let (requests, answers) = Collector::batch((0..50).map(|_| Op::Flush).collect());
        for request in requests {
            disk.submit(vec![request]);
        }
        for answer in answers.all().await {
            assert!(answer.is_err(), "{engine:?}");
        }
    }
}

#[tokio::test]
async fn a_file_that_shrank_is_damage_told_exactly() {
    for engine in engines() {
        let options = FileOptions { engine, ..FileOptions::default() };
        let (file, disk) = disk_of(64 * 512, &options);
        file.as_file().set_len(16 * 512).unwrap();
        // Adjacent reads of one batch are joined; each still learns only of itself.
        let read = |start| Op::Read { start, buffer: Buffer::zeroed(8 * 512).unwrap() };
        let (requests, answers) = Collector::batch(vec![read(0), read(8), read(16)]);
        disk.submit(requests);
        let answers = answers.all().await;
        assert!(matches!(answers[..2], [Ok(Done::Read(_)), Ok(Done::Read(_))]), "{engine:?}");
        let damage = Extent::new(16, 8);
        assert!(
            matches!(answers[2], Err(DiskError::Medium { extent, .. }) if extent == damage),
            "{engine:?}: {:?}",
            answers[2]
        );
    }
}

#[tokio::test]
async fn a_read_only_file_takes_no_change() {
    for engine in engines() {
        let options = FileOptions { engine, is_read_only: true, ..FileOptions::default() };
        let (_file, disk) = disk_of(64 * 512, &options);
        assert!(disk.geometry().is_read_only);
        let refused = disk.write(0, vec![filled(1, 1)], Durability::Volatile).await;
        assert!(matches!(refused, Err(DiskError::ReadOnly)));
        disk.read(Extent::new(0, 64)).await.unwrap();
        disk.flush().await.unwrap();
    }
}

#[test]
fn a_file_of_broken_sectors_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1000).unwrap();
    let refused = FileDisk::open(file.path(), &FileOptions::default());
    assert!(matches!(refused, Err(DiskError::Misaligned { len: 1000 })));
    let missing = FileDisk::open(&file.path().join("none"), &FileOptions::default());
    assert!(missing.is_err());
}

#[tokio::test]
async fn inline_writes_are_answered_before_submit_returns() {
    let options = FileOptions { engine: EngineKind::Inline, ..FileOptions::default() };
    let (file, disk) = disk_of(64 * 512, &options);
    let (reply, mut answer) = crate::Reply::one();
    let op = Op::Write { start: 3, data: vec![filled(7, 2)], durability: Durability::Volatile };
    disk.submit(vec![Request { op, reply }]);
    assert!(matches!(answer.try_recv(), Ok(Ok(Done::Written))));
    // Handed to the kernel: another program sees it.
    let bytes = std::fs::read(file.path()).unwrap();
    assert_eq!(bytes[3 * 512..5 * 512], [7; 1024]);
}

#[tokio::test]
async fn discarded_space_goes_back_to_the_file_system() {
    use std::os::unix::fs::MetadataExt;
    let blocks = |file: &File| file.metadata().unwrap().blocks();
    let (file, disk) = disk_of(1 << 20, &FileOptions::default());
    disk.write(0, vec![filled(1, 2048)], Durability::Stable).await.unwrap();
    let full = blocks(file.as_file());
    disk.discard(Extent::new(0, 1024)).await.unwrap();
    disk.flush().await.unwrap();
    assert!(blocks(file.as_file()) <= full - 1000, "{} of {full}", blocks(file.as_file()));
}

#[tokio::test]
async fn more_than_the_ring_holds_is_done_and_dropping_waits_for_the_kernel() {
    if !uring_is_allowed() {
        return;
    }
    let options = FileOptions {
        engine: EngineKind::Uring,
        caching: Caching::Direct,
        ..FileOptions::default()
    };
    let (_file, disk) = disk_of(64 << 20, &options);
    // Every other block, so that nothing is joined.
    let read = |n: u64| Op::Read { start: n * 16, buffer: Buffer::zeroed(4096).unwrap() };
    let (requests, answers) = Collector::batch((0..3000).map(read).collect());
    disk.submit(requests);
    for answer in answers.all().await {
        answer.unwrap();
    }
    let (requests, answers) = Collector::batch((0..3000).map(read).collect());
    disk.submit(requests);
    drop(disk);
    let answers = answers.all().await;
    assert_eq!(answers.len(), 3000);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(DiskError::Closed))));
}

#[tokio::test]
async fn zeroes_written_by_hand_are_exact() {
    let (file, _) = disk_of(8 << 20, &FileOptions::default());
    let disk = FileDisk::open(file.path(), &FileOptions::default()).unwrap();
    std::fs::write(file.path(), vec![1; 8 << 20]).unwrap();
    disk.backing().write_zeroes_by_hand(Extent::new(3, 5000)).unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    for (index, sector) in bytes.chunks(512).enumerate() {
        let wanted = u8::from(!(3..5003).contains(&index));
        assert!(sector.iter().all(|byte| *byte == wanted), "sector {index}");
    }
}
