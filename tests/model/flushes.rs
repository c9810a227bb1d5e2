//! When a flush is work, and when it was done already.

use base::size::ByteSize;
use base::units::Extent;
use disk::sim::SimWorld;
use disk::{Buffer, Durability};

use crate::oracle::op::name;
use crate::oracle::rig::{Rig, runtime};

#[test]
fn a_flush_with_nothing_new_is_answered_by_the_one_before_and_one_behind_a_write_is_not() {
    runtime().block_on(async {
        let machine = SimWorld::new(7);
        let rig = Rig::create(&machine, 7).await.unwrap();
        rig.pool.create_volume(&name("mail"), ByteSize(1 << 20)).await.unwrap();
        rig.pool.create_volume(&name("other"), ByteSize(1 << 20)).await.unwrap();
        let (mail, other) = (rig.disk(&name("mail")).unwrap(), rig.disk(&name("other")).unwrap());
        for fill in 1..5 {
            let mut block = Buffer::for_sectors(8).unwrap();
            block.fill(fill);
            mail.write(0, vec![block.freeze()], Durability::Volatile).await.unwrap();
            let before = machine.steps();
            // What was answered through one disk is made stable through any.
            other.flush().await.unwrap();
            let after = machine.steps();
            assert!(after > before, "a write was answered since the last flush");
            mail.flush().await.unwrap();
            assert_eq!(machine.steps(), after, "nothing was answered since");
            assert_eq!(mail.read(Extent::new(0, 8)).await.unwrap()[0], fill);
        }
    });
}
