//! A block that a flush has answered for is overwritten while a checkpoint is being made, and the
//! overwriting is lost with the power: the block of the flush must still be there.

use std::task::{Context, Poll, Waker};

use base::rng::{Rng, SeededRng};
use base::units::Extent;
use disk::sim::{Answering, Loss, SimWorld};
use disk::{AnyDisk, Buffer, Durability};

use crate::oracle::model::{BLOCK, Model};
use crate::oracle::op::name;
use crate::oracle::rig::{Rig, runtime};

async fn put(disk: &AnyDisk, block: u64, fill: u8) {
    disk.write(block * BLOCK, vec![filled(fill)], Durability::Volatile).await.unwrap();
}

fn filled(fill: u8) -> disk::Payload {
    let mut buffer = Buffer::for_sectors(BLOCK).unwrap();
    buffer.fill(fill);
    buffer.freeze()
}

/// One overwriting by chance; `true` where the power went after the flush was answered.
async fn scene(prepared: &SimWorld, seed: u64) -> bool {
    let machine = prepared.if_power_went(Loss::None);
    let rng = SeededRng::new(seed);
    let rig = Rig::open(&machine, 3, Model::default()).await.unwrap();
    let disk = rig.disk(&name("a")).unwrap();
    // Something was applied, so that a checkpoint is due.
    put(&disk, 9, 9).await;
    disk.flush().await.unwrap();
    rig.pool.upkeep_step().await.unwrap();
    machine.set_answering(Answering::Shuffled);
    let mut context = Context::from_waker(Waker::noop());
    let mut upkeep = Box::pin(rig.pool.upkeep_step());
    let first = rng.below(30);
    let mut client = Box::pin(async {
        put(&disk, 0, 1).await;
        disk.flush().await.unwrap();
    });
    let mut is_promised = false;
    for step in 0.. {
        if step >= first && !is_promised && client.as_mut().poll(&mut context).is_ready() {
            is_promised = true;
            drop(disk.write(0, vec![filled(2)], Durability::Volatile));
        }
        if let Poll::Ready(outcome) = upkeep.as_mut().poll(&mut context) {
            outcome.unwrap();
            break;
        }
        machine.pump();
    }
    machine.cut_now();
    let rig = Rig::open(&machine.after_power_loss(Loss::All), 4, Model::default()).await.unwrap();
    let read = rig.disk(&name("a")).unwrap().read(Extent::new(0, BLOCK)).await.unwrap();
    let allowed: &[u8] = if is_promised { &[1, 2] } else { &[0, 1, 2] };
    assert!(allowed.contains(&read[0]), "seed {seed}: the block holds {}", read[0]);
    is_promised
}

#[test]
fn a_flushed_block_survives_the_loss_of_what_overwrote_it_during_a_checkpoint() {
    let prepared = SimWorld::new(1);
    runtime().block_on(async {
        let rig = Rig::create(&prepared, 1).await.unwrap();
        rig.pool.close().await.unwrap();
    });
    let promised = (0..4_000).filter(|seed| runtime().block_on(scene(&prepared, *seed))).count();
    assert!(promised > 200, "only {promised} of 4000 were flushed in time");
}
