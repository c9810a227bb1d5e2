//! A volume is being removed when the process is killed, and after the next opening the power is lost: the
//! volume is gone, or it is there with all that it held.

use std::task::{Context, Waker};

use base::units::Extent;
use disk::sim::{Answering, Loss, SimWorld};
use disk::{Buffer, Durability};
use store::VolumeState;

use crate::oracle::model::{BLOCK, Model};
use crate::oracle::op::name;
use crate::oracle::rig::{Rig, runtime};

const FILL: u8 = 7;
/// Sectors that go to berths.
const CELLS: u64 = 32;
/// How often the power is lost after each kill.
const LOSSES: u64 = 8;

/// A pool with a volume `b` that holds something.
fn prepared() -> SimWorld {
    let machine = SimWorld::new(1);
    runtime().block_on(async {
        let rig = Rig::create(&machine, 1).await.unwrap();
        let mut buffer = Buffer::for_sectors(BLOCK).unwrap();
        buffer.fill(FILL);
        let disk = rig.disk(&name("b")).unwrap();
        disk.write(0, vec![buffer.freeze()], Durability::Stable).await.unwrap();
        rig.pool.close().await.unwrap();
    });
    machine
}

async fn has_volume(rig: &Rig, what: &str) -> bool {
    let Ok(status) = rig.pool.volume(&name("b")) else { return false };
    assert_eq!(status.state, VolumeState::Ready, "{what}");
    let read = rig.disk(&name("b")).unwrap().read(Extent::new(0, BLOCK)).await;
    assert!(read.is_ok_and(|bytes| bytes.iter().all(|byte| *byte == FILL)), "{what}");
    true
}

/// Kills after so many things were done; tells whether the next opening found the volume gone.
async fn scene(prepared: &SimWorld, things: u64, seed: u64) -> bool {
    let what = format!("killed after {things}, seed {seed}");
    let machine = prepared.if_power_went(Loss::None);
    let rig = Rig::open(&machine, 3, Model::default()).await.unwrap();
    let mut cells = Buffer::for_sectors(CELLS).unwrap();
    cells.fill(FILL + 1);
    let disk = rig.disk(&name("b")).unwrap();
    disk.write(CELLS, vec![cells.freeze()], Durability::Volatile).await.unwrap();
    machine.set_answering(Answering::Shuffled);
    let volume = name("b");
    let mut removal = Box::pin(rig.pool.remove_volume(&volume));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..things {
        if removal.as_mut().poll(&mut context).is_ready() {
            break;
        }
        machine.pump();
    }
    let machine = machine.after_kill(seed);
    let is_gone = {
        let rig = Rig::open(&machine, 4, Model::default()).await.unwrap();
        !has_volume(&rig, &what).await
    };
    for loss in 0..LOSSES {
        let after = machine.if_power_went(Loss::Seeded(seed * LOSSES + loss));
        let rig = Rig::open(&after, 5, Model::default()).await.unwrap();
        has_volume(&rig, &format!("{what}, loss {loss}")).await;
    }
    is_gone
}

#[test]
fn a_removal_that_a_kill_interrupts_leaves_the_volume_whole_or_none() {
    let prepared = prepared();
    let mut gone = 0;
    for things in 0..40 {
        for seed in 0..10 {
            gone += u64::from(runtime().block_on(scene(&prepared, things, seed)));
        }
    }
    assert!((20..395).contains(&gone), "the volume was gone after {gone} of 400 kills");
}
