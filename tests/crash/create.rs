//! A cut while a pool is made leaves a pool, or none, and never something that cannot be made anew.

use std::sync::Arc;

use disk::Shelf;
use disk::sim::{Loss, SimWorld};
use store::{Pool, StoreError};

use crate::oracle::rig::{options, runtime, world};

#[test]
fn a_cut_while_a_pool_is_made_leaves_a_pool_or_none() {
    let steps = {
        let machine = SimWorld::new(1);
        let shelf: Arc<dyn Shelf> = machine.shelf();
        runtime().block_on(Pool::create(&shelf, &options(), &world(1))).unwrap();
        machine.steps()
    };
    for step in 0..steps {
        for seed in 0..20 {
            let machine = SimWorld::new(seed);
            machine.cut_at(step);
            let shelf: Arc<dyn Shelf> = machine.shelf();
            let made = runtime().block_on(Pool::create(&shelf, &options(), &world(1)));
            assert!(made.is_err(), "the power was off at step {step}");
            let after = machine.after_power_loss(Loss::Seeded(seed));
            let shelf: Arc<dyn Shelf> = after.shelf();
            runtime().block_on(async {
                match Pool::open(Arc::clone(&shelf), options(), world(2)).await {
                    Ok(pool) => pool.close().await.unwrap(),
                    Err(StoreError::NoPool) => {
                        Pool::create(&shelf, &options(), &world(3)).await.unwrap();
                        Pool::open(shelf, options(), world(4)).await.unwrap();
                    }
                    Err(other) => panic!("step {step}, seed {seed}: {other}"),
                }
            });
        }
    }
}
