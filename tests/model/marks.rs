//! As many marks as a volume may have, under random writes: each equals the oracle, whatever becomes of
//! the others.

use base::limits::MARKS_PER_VOLUME_MAX;
use base::name::{MarkRef, Name};
use base::rng::{Rng, SeededRng};
use disk::sim::SimWorld;
use store::{Grade, MarkRequest, MarksFullPolicy, StoreError, VolumeSettings};

use crate::oracle::compare::{difference, mark_difference};
use crate::oracle::model::BLOCK;
use crate::oracle::op::{Op, name};
use crate::oracle::rig::{Outcome, Rig, runtime};

/// A pool whose volume `a` has all the marks that it may, with random writes before each.
async fn full_of_marks(machine: &SimWorld, rng: &SeededRng) -> Rig {
    let mut rig = Rig::create(machine, 1).await.unwrap();
    let volume = name("a");
    for count in 0..MARKS_PER_VOLUME_MAX {
        for _ in 0..1 + rng.below(4) {
            write(&mut rig, rng).await;
        }
        if rng.below(4) == 0 {
            rig.apply(&Op::Upkeep).await;
        }
        let op = Op::Mark { volumes: vec![volume.clone()], mark: name(&format!("m{count}")) };
        assert_eq!(rig.apply(&op).await, Outcome::Stable);
    }
    write(&mut rig, rng).await;
    rig
}

async fn write(rig: &mut Rig, rng: &SeededRng) {
    let volume = name("a");
    let blocks = rig.model.volumes[&volume].live.0.len() as u64 / BLOCK;
    let start = rng.below(blocks);
    let sectors = (1 + rng.below(3)).min(blocks - start) * BLOCK;
    let start = start * BLOCK;
    let op = match rng.below(8) {
        0 => Op::Zero { volume, start, sectors, keeps_space: true },
        1 => Op::Discard { volume, start, sectors },
        _ => Op::Write { volume, start, sectors, is_stable: false },
    };
    rig.apply(&op).await;
}

fn reference(mark: &Name) -> MarkRef {
    MarkRef { volume: name("a"), mark: mark.clone() }
}

#[test]
fn two_hundred_and_fifty_six_marks_equal_the_oracle_while_they_go_one_by_one() {
    runtime().block_on(async {
        let rng = SeededRng::new(256);
        let machine = SimWorld::new(256);
        let mut rig = full_of_marks(&machine, &rng).await;
        assert_eq!(difference(&rig, &rig.model).await, None, "with all marks");
        rig = Rig::open(&machine, 2, rig.model).await.unwrap();
        assert_eq!(difference(&rig, &rig.model).await, None, "opened again");
        while rig.pool.upkeep_step().await.unwrap() {}
        let mut left: Vec<Name> = rig.model.volumes[&name("a")].marks.keys().cloned().collect();
        while !left.is_empty() {
            let gone = left.swap_remove(usize::try_from(rng.below(left.len() as u64)).unwrap());
            let op = Op::RemoveMark { volume: name("a"), mark: gone.clone() };
            assert_eq!(rig.apply(&op).await, Outcome::Stable, "{gone}");
            match rng.below(3) {
                0 => write(&mut rig, &rng).await,
                1 => drop(rig.apply(&Op::Upkeep).await),
                _ => {}
            }
            for _ in 0..3.min(left.len()) {
                let mark = &left[usize::try_from(rng.below(left.len() as u64)).unwrap()];
                let found = mark_difference(&rig, &rig.model, &reference(mark)).await;
                assert_eq!(found, None, "{mark}, after {gone} went");
            }
            if left.len().is_multiple_of(16) {
                let found = difference(&rig, &rig.model).await;
                assert_eq!(found, None, "{} marks are left", left.len());
            }
            if left.len() == 100 {
                rig = Rig::open(&machine, 3, rig.model).await.unwrap();
            }
        }
        while rig.pool.upkeep_step().await.unwrap() {}
        assert_eq!(difference(&rig, &rig.model).await, None, "without marks");
        let preserved = rig.pool.volume(&name("a")).unwrap().preserved_bytes;
        assert_eq!(preserved, 0, "no mark is left that needs an old block");
    });
}

#[test]
fn the_mark_after_the_last_is_refused_or_thins_the_oldest_that_may_go() {
    runtime().block_on(async {
        let rng = SeededRng::new(257);
        let machine = SimWorld::new(257);
        let mut rig = full_of_marks(&machine, &rng).await;
        let volume = name("a");
        let one_more = |mark| MarkRequest { name: name(mark), grade: Grade::Crash };
        let refused = rig.pool.take_mark(std::slice::from_ref(&volume), one_more("more")).await;
        assert!(matches!(refused, Err(StoreError::MarksFull { .. })), "{refused:?}");
        assert_eq!(difference(&rig, &rig.model).await, None, "after the refusal");
        // The two oldest are needed: one is held, one has a view.
        rig.pool.hold_mark(&reference(&name("m0")), None).await.unwrap();
        let view = Op::View { view: name("v"), volume: volume.clone(), mark: name("m1") };
        assert_eq!(rig.apply(&view).await, Outcome::Stable);
        let thin = Some(MarksFullPolicy::Thin);
        let settings = VolumeSettings { when_marks_full: thin, ..VolumeSettings::default() };
        rig.pool.set_volume(&volume, settings).await.unwrap();
        rig.pool.take_mark(std::slice::from_ref(&volume), one_more("more")).await.unwrap();
        rig.model.mark(std::slice::from_ref(&volume), &name("more"));
        let gone = rig.model.volumes.get_mut(&volume).unwrap().marks.remove(&name("m2"));
        assert!(gone.is_some());
        assert_eq!(difference(&rig, &rig.model).await, None, "m2 went, and nothing else");
        while rig.pool.upkeep_step().await.unwrap() {}
        assert_eq!(difference(&rig, &rig.model).await, None, "its space was given back");
    });
}
