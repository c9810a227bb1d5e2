//! The contract of a disk, on what the store hands out: a volume and a view of a pool that works.

use std::sync::{Arc, Mutex};

use base::name::{MarkRef, Name};
use base::size::ByteSize;
use base::units::SECTOR_LEN;
use disk::contract::{BreakFlush, SECTORS_MIN, Subject, checks, compare_with_oracle, run};
use disk::sim::{Fault, OpKind, SimWorld, What};
use disk::{AnyDisk, Shelf};
use store::{DiskRef, Grade, MarkRequest, Pool};

use crate::oracle::op::name;
use crate::oracle::rig::{options, world};

/// Seeds of the random comparison; each needs a disk, as does each check.
const SEEDS: u64 = 4;

/// A pool with its background work running.
async fn pool_on(shelf: Arc<dyn Shelf>) -> Arc<Pool> {
    Pool::create(&shelf, &options(), &world(1)).await.unwrap();
    let pool = Pool::open(shelf, options(), world(2)).await.unwrap();
    tokio::spawn(Arc::clone(&pool).run());
    pool
}

/// As many disks as all checks take.
fn count() -> usize {
    checks().len() + usize::try_from(SEEDS).unwrap()
}

async fn volume(pool: &Pool, volume: &Name) -> AnyDisk {
    let size = ByteSize((SECTORS_MIN + 8) * SECTOR_LEN as u64);
    pool.create_volume(volume, size).await.unwrap();
    pool.disk(&DiskRef::Volume(volume.clone())).unwrap()
}

async fn volumes(pool: &Pool) -> Vec<AnyDisk> {
    let mut disks = Vec::new();
    for index in 0..count() {
        disks.push(volume(pool, &name(&format!("d{index}"))).await);
    }
    disks
}

/// Views of one mark of an empty volume.
async fn views(pool: &Pool) -> Vec<AnyDisk> {
    let (parent, mark) = (name("parent"), name("m"));
    volume(pool, &parent).await;
    let request = MarkRequest { name: mark.clone(), grade: Grade::Crash };
    pool.take_mark(std::slice::from_ref(&parent), request).await.unwrap();
    let of = MarkRef { volume: parent, mark };
    let mut disks = Vec::new();
    for index in 0..count() {
        let view = name(&format!("v{index}"));
        pool.create_view(&view, &of).await.unwrap();
        disks.push(pool.disk(&DiskRef::View(view)).unwrap());
    }
    disks
}

/// Takes all checks through disks that are ready.
async fn check(mut disks: Vec<AnyDisk>, break_flush: Option<BreakFlush>) {
    for seed in 0..SEEDS {
        compare_with_oracle(&disks.pop().unwrap(), seed, 60).await;
    }
    let disks = Mutex::new(disks);
    let make = move || disks.lock().unwrap().pop().expect("there is a disk for each check");
    run(&Subject { make: Box::new(make), break_flush }).await;
}

fn breaker(machine: &SimWorld) -> Option<BreakFlush> {
    let machine = machine.clone();
    Some(Box::new(move |_| {
        machine.add_fault(Fault::new("journal", OpKind::Flush, What::Error).times(1));
    }))
}

#[tokio::test]
async fn a_volume_keeps_the_contract() {
    let machine = SimWorld::new(1);
    let pool = pool_on(machine.shelf()).await;
    check(volumes(&pool).await, breaker(&machine)).await;
}

#[tokio::test]
async fn a_view_keeps_the_contract() {
    let machine = SimWorld::new(2);
    let pool = pool_on(machine.shelf()).await;
    check(views(&pool).await, breaker(&machine)).await;
}
