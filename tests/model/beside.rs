//! What goes on beside something else: neither may wait for the other.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::name::{MarkRef, Name};
use base::size::ByteSize;
use base::units::Extent;
use disk::{AnyDisk, Buffer, DiskError, Durability, MemShelf, Shelf, Space, Usage};
use store::{DiskRef, Grade, MarkRequest, Pool, PoolOptions};

use crate::oracle::op::name;
use crate::oracle::rig::{options, world};

const SECTORS: u64 = 1 << 11;

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
}

async fn open(shelf: Arc<dyn Shelf>) -> Arc<Pool> {
    // Large enough that nothing is applied because it fills.
    let options = PoolOptions { journal_len: ByteSize(64 << 20), ..options() };
    Pool::create(&shelf, &options, &world(1)).await.unwrap();
    Pool::open(shelf, options, world(2)).await.unwrap()
}

async fn volume(pool: &Pool, volume: &Name) -> AnyDisk {
    pool.create_volume(volume, ByteSize(SECTORS * 512)).await.unwrap();
    pool.disk(&DiskRef::Volume(volume.clone())).unwrap()
}

async fn put(disk: &AnyDisk, sectors: u64, fill: u8) {
    let mut buffer = Buffer::for_sectors(sectors).unwrap();
    for (block, bytes) in (fill..=u8::MAX).cycle().zip(buffer.chunks_mut(4096)) {
        bytes.fill(block | 1);
    }
    disk.write(0, vec![buffer.freeze()], Durability::Volatile).await.unwrap();
}

async fn mark(pool: &Pool, volume: &Name, mark: &str) -> MarkRef {
    let request = MarkRequest { name: name(mark), grade: Grade::Crash };
    pool.take_mark(std::slice::from_ref(volume), request).await.unwrap();
    MarkRef { volume: volume.clone(), mark: name(mark) }
}

#[test]
fn space_of_a_removed_mark_comes_back_while_clients_write() {
    block_on(async {
        let pool = open(Arc::new(MemShelf::new())).await;
        let of = name("v");
        let disk = volume(&pool, &of).await;
        put(&disk, SECTORS, 1).await;
        let old = mark(&pool, &of, "old").await;
        put(&disk, SECTORS, 2).await;
        while pool.upkeep_step().await.unwrap() {}
        let preserved = || pool.volume(&of).unwrap().preserved_bytes;
        let before = preserved();
        assert!(before > 0);
        tokio::spawn(Arc::clone(&pool).run());
        pool.remove_mark(&old).await.unwrap();
        let mut writes = 0;
        while preserved() * 10 > before {
            put(&disk, 8, 3).await;
            writes += 1;
            assert!(writes < 3000, "{} of {before} bytes are still there", preserved());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(pool.status().journal_used_bytes > 0, "it was not because clients were quiet");
    });
}

/// A shelf in memory where to remove a base takes until it is allowed.
struct SlowShelf {
    shelf: MemShelf,
    asked: Sender<()>,
    allowed: Mutex<Receiver<()>>,
}

impl Shelf for SlowShelf {
    fn create(&self, name: &str, sectors: u64, usage: Usage) -> Result<AnyDisk, DiskError> {
        self.shelf.create(name, sectors, usage)
    }

    fn open(&self, name: &str, usage: Usage) -> Result<AnyDisk, DiskError> {
        self.shelf.open(name, usage)
    }

    fn grow(&self, name: &str, sectors: u64) -> Result<(), DiskError> {
        self.shelf.grow(name, sectors)
    }

    fn reserve(&self, name: &str, extent: Extent) -> Result<(), DiskError> {
        self.shelf.reserve(name, extent)
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        if name.ends_with(".base") {
            self.asked.send(()).unwrap();
            // Whoever runs on the thread of the test is never allowed, and goes on after this.
            let _ = self.allowed.lock().unwrap().recv_timeout(Duration::from_secs(5));
        }
        self.shelf.remove(name)
    }

    fn list(&self) -> Result<Vec<String>, DiskError> {
        self.shelf.list()
    }

    fn adopt(&self, path: &Path) -> Result<AnyDisk, DiskError> {
        self.shelf.adopt(path)
    }

    fn space(&self) -> Result<Space, DiskError> {
        self.shelf.space()
    }
}

#[test]
fn a_mark_does_not_wait_for_the_disks_of_a_removed_volume() {
    block_on(async {
        let ((asked, is_asked), (allow, allowed)) = (channel(), channel());
        let allowed = Mutex::new(allowed);
        let pool = open(Arc::new(SlowShelf { shelf: MemShelf::new(), asked, allowed })).await;
        let (large, other) = (name("large"), name("other"));
        volume(&pool, &large).await;
        volume(&pool, &other).await;
        let removal = {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { pool.remove_volume(&large).await })
        };
        while is_asked.try_recv().is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        mark(&pool, &other, "meanwhile").await;
        assert!(!removal.is_finished(), "the removal kept the mark waiting");
        allow.send(()).unwrap();
        removal.await.unwrap().unwrap();
    });
}
