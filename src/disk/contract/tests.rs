//! The contract, on every disk of this room.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::units::Extent;

use super::{SECTORS_MIN, Subject, compare_with_oracle, run};
use crate::sim::{Fault, OpKind, SimWorld, What};
use crate::{
    AnyDisk, Caching, EngineKind, FileDisk, FileOptions, MemDisk, Shelf, SliceDisk, Usage,
};

/// A directory, and new files of zeroes in it.
fn files(options: FileOptions) -> (tempfile::TempDir, impl Fn() -> AnyDisk) {
    let directory = tempfile::tempdir_in(scratch()).unwrap();
    let path = directory.path().to_owned();
    let count = AtomicU64::new(0);
    let make = move || -> AnyDisk {
        let path = path.join(count.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::File::create(&path).unwrap().set_len(SECTORS_MIN * 512).unwrap();
        Arc::new(FileDisk::open(&path, &options).unwrap())
    };
    (directory, make)
}

/// Somewhere on a real file system: temporary directories may lie in memory, where direct I/O is refused.
fn scratch() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/disk-tests");
    std::fs::create_dir_all(&path).unwrap();
    path
}

async fn check(make: impl Fn() -> AnyDisk + 'static) {
    for seed in 0..4 {
        compare_with_oracle(&make(), seed, 60).await;
    }
    run(&Subject::new(make)).await;
}

async fn check_files(options: FileOptions) {
    let (_directory, make) = files(options);
    check(make).await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    check(|| Arc::new(MemDisk::new(SECTORS_MIN + 3))).await;
}

#[tokio::test]
async fn the_simulated_disk_keeps_the_contract() {
    let worlds = |seed| SimWorld::new(seed).shelf().create("d", SECTORS_MIN, Usage::Data).unwrap();
    check(move || worlds(1)).await;
    let world = SimWorld::new(1);
    let breaker = world.clone();
    let count = AtomicU64::new(0);
    let make = move || {
        let name = format!("d{}", count.fetch_add(1, Ordering::Relaxed));
        world.shelf().create(&name, SECTORS_MIN, Usage::Data).unwrap()
    };
    let break_flush = move |_: &AnyDisk| {
        breaker.add_fault(Fault::new("*", OpKind::Flush, What::Error).times(1));
    };
    let subject = Subject { make: Box::new(make), break_flush: Some(Box::new(break_flush)) };
    run(&subject).await;
}

#[tokio::test]
async fn the_simulated_disk_keeps_the_contract_when_answers_are_shuffled() {
    let make = || {
        let world = SimWorld::new(5);
        let disk = world.shelf().create("d", SECTORS_MIN, Usage::Data).unwrap();
        world.set_answering(crate::sim::Answering::Shuffled);
        tokio::spawn(world.pumping());
        disk
    };
    check(make).await;
}

#[tokio::test]
async fn files_called_inline_keep_the_contract() {
    check_files(FileOptions { engine: EngineKind::Inline, ..FileOptions::default() }).await;
}

#[tokio::test]
async fn files_on_threads_keep_the_contract() {
    for caching in [Caching::PageCache, Caching::Direct] {
        let engine = EngineKind::Threads;
        check_files(FileOptions { caching, engine, ..FileOptions::default() }).await;
    }
}

#[tokio::test]
async fn files_with_io_uring_keep_the_contract() {
    if !crate::file::uring_is_allowed() {
        eprintln!("skipped: io_uring is not to be had here");
        return;
    }
    for caching in [Caching::PageCache, Caching::Direct] {
        for runtime in [None, Some(tokio::runtime::Handle::current())] {
            let engine = EngineKind::Uring;
            check_files(FileOptions { caching, engine, runtime, is_read_only: false }).await;
        }
    }
}

#[tokio::test]
async fn a_slice_keeps_the_contract_of_what_it_cuts() {
    check(|| {
        let whole: AnyDisk = Arc::new(MemDisk::new(SECTORS_MIN + 100));
        Arc::new(SliceDisk::new(whole, Extent::new(11, SECTORS_MIN)).unwrap())
    })
    .await;
}

#[tokio::test]
async fn counting_keeps_the_contract() {
    check(|| {
        let inner: AnyDisk = Arc::new(MemDisk::new(SECTORS_MIN));
        Arc::new(crate::StatsDisk::new(inner, Arc::new(base::clock::SystemClock::default())))
    })
    .await;
}
