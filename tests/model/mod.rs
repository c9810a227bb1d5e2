//! The store held against the oracle without any fault: every image, block by block, all the way.

mod beside;
mod flushes;
mod huge;
mod marks;

use base::rng::{Rng, SeededRng};
use disk::sim::SimWorld;

use crate::oracle::compare::difference;
use crate::oracle::op::Draw;
use crate::oracle::rig::{Outcome, Rig, runtime};

/// Runs `count` operations drawn from a seed, compares all images now and then and at the end, and after
/// a clean stop and start.
fn run(seed: u64, count: u64) {
    let runtime = runtime();
    runtime.block_on(async {
        let machine = SimWorld::new(seed);
        let rng = SeededRng::new(seed);
        let mut rig = Rig::create(&machine, seed).await.unwrap();
        let mut draw = Draw { rng: &rng, count: 0 };
        for step in 0..count {
            let op = draw.next(&rig.model);
            let outcome = rig.apply(&op).await;
            assert_ne!(outcome, Outcome::Unknown, "seed {seed}, step {step}: {op:?}");
            if rng.below(10) == 0 {
                let found = difference(&rig, &rig.model).await;
                assert_eq!(found, None, "seed {seed}, step {step}, after {op:?}");
            }
            if rng.below(60) == 0 {
                if rng.below(2) == 0 {
                    rig.pool.close().await.unwrap();
                }
                rig = Rig::open(&machine, seed + step + 1, rig.model).await.unwrap();
                let found = difference(&rig, &rig.model).await;
                assert_eq!(found, None, "seed {seed}, step {step}, opened again");
            }
        }
        while rig.pool.upkeep_step().await.unwrap() {}
        assert_eq!(difference(&rig, &rig.model).await, None, "seed {seed}, at rest");
        rig.pool.close().await.unwrap();
        let rig = Rig::open(&machine, seed, rig.model).await.unwrap();
        assert_eq!(difference(&rig, &rig.model).await, None, "seed {seed}, at the end");
    });
}

#[test]
fn every_image_equals_the_oracle_after_any_history() {
    for seed in 0..40 {
        run(seed, 150);
    }
}
