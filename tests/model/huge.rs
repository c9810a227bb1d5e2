//! What must not cost more because a volume is large.

use base::name::MarkRef;
use base::size::ByteSize;
use base::units::Extent;
use disk::sim::SimWorld;
use disk::{AnyDisk, Buffer, Durability};
use store::{DiskRef, Grade, MarkRequest};

use crate::oracle::op::name;
use crate::oracle::rig::{Rig, runtime};

const SECTORS: u64 = 1 << 31;

async fn write(disk: &AnyDisk, start: u64, fill: u8) {
    let mut block = Buffer::for_sectors(8).unwrap();
    block.fill(fill);
    disk.write(start, vec![block.freeze()], Durability::Volatile).await.unwrap();
}

async fn first_byte(disk: &AnyDisk, start: u64) -> u8 {
    disk.read(Extent::new(start, 8)).await.unwrap()[0]
}

#[test]
fn giving_back_a_whole_terabyte_takes_few_steps_and_keeps_what_a_mark_needs() {
    runtime().block_on(async {
        let machine = SimWorld::new(5);
        let rig = Rig::create(&machine, 5).await.unwrap();
        let big = name("big");
        rig.pool.create_volume(&big, ByteSize(SECTORS * 512)).await.unwrap();
        let live = rig.disk(&big).unwrap();
        let places = [0, 8 << 20, SECTORS / 2, SECTORS - 8];
        for place in places {
            write(&live, place, 7).await;
        }
        let request = MarkRequest { name: name("full"), grade: Grade::Crash };
        rig.pool.take_mark(std::slice::from_ref(&big), request).await.unwrap();
        while rig.pool.upkeep_step().await.unwrap() {}

        live.discard(Extent::new(0, SECTORS)).await.unwrap();
        live.flush().await.unwrap();
        let mut steps = 0;
        while rig.pool.upkeep_step().await.unwrap() {
            steps += 1;
            assert!(steps < 200, "a terabyte is worked through block by block");
        }
        let mark = MarkRef { volume: big.clone(), mark: name("full") };
        let mark = rig.pool.disk(&DiskRef::Mark(mark)).unwrap();
        for place in places {
            assert_eq!(first_byte(&live, place).await, 0, "{place}");
            assert_eq!(first_byte(&mark, place).await, 7, "{place}");
        }
        assert_eq!(rig.pool.volume(&big).unwrap().allocated_bytes, 0);
    });
}
