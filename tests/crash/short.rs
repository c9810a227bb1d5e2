//! All short histories: every sequence of up to three operations, cut at every step.

use base::rng::{Rng, SeededRng};
use disk::sim::{Loss, SimWorld};

use super::Tally;
use super::cut::{Allowed, Scene, carry_out, recover};
use crate::oracle::model::{BLOCK, Model};
use crate::oracle::op::{Op, name};
use crate::oracle::rig::{Rig, runtime};

/// One operation of each kind, on the prepared pool.
fn alphabet() -> Vec<Op> {
    let (a, b) = (name("a"), name("b"));
    let write = |volume: &str, start, sectors, is_stable| Op::Write {
        volume: name(volume),
        start,
        sectors,
        is_stable,
    };
    vec![
        write("a", 0, BLOCK, false),
        write("a", 0, 3 * BLOCK, true),
        write("a", 3, 7, false),
        write("b", BLOCK, 2 * BLOCK, false),
        Op::Zero { volume: a.clone(), start: 0, sectors: 2 * BLOCK, keeps_space: true },
        Op::Discard { volume: a.clone(), start: BLOCK, sectors: 2 * BLOCK },
        Op::Flush { volume: a.clone() },
        Op::Mark { volumes: vec![a.clone()], mark: name("x") },
        Op::Mark { volumes: vec![a.clone(), b], mark: name("y") },
        Op::RemoveMark { volume: a.clone(), mark: name("m1") },
        Op::Rollback { volume: a.clone(), mark: name("m0") },
        Op::Undo { volume: a.clone() },
        Op::View { view: name("v"), volume: a.clone(), mark: name("m0") },
        Op::Write { volume: name("w"), start: 0, sectors: BLOCK, is_stable: false },
        Op::Promote { view: name("w") },
        Op::RemoveView { view: name("w") },
        Op::Grow { volume: a, sectors: 12 * BLOCK },
        Op::Upkeep,
    ]
}

/// A pool at rest with content, two marks, a view, and something to preserve.
fn prepared() -> (SimWorld, Model) {
    let machine = SimWorld::new(1);
    let model = runtime().block_on(async {
        let mut rig = Rig::create(&machine, 1).await.unwrap();
        let a = name("a");
        let write =
            |start, sectors| Op::Write { volume: a.clone(), start, sectors, is_stable: false };
        let mark = |mark| Op::Mark { volumes: vec![a.clone()], mark: name(mark) };
        let view = Op::View { view: name("w"), volume: a.clone(), mark: name("m0") };
        for op in [
            write(0, 4 * BLOCK),
            mark("m0"),
            write(0, BLOCK),
            mark("m1"),
            write(BLOCK, BLOCK),
            view,
        ] {
            rig.apply(&op).await;
        }
        rig.pool.close().await.unwrap();
        rig.model
    });
    (machine, model)
}

/// Whether a sequence makes sense: what it names is there when it is named.
fn makes_sense(model: &Model, ops: &[Op]) -> bool {
    let (mut is_view, mut is_there) = (true, true);
    let mut names = Vec::new();
    for op in ops {
        match op {
            Op::Promote { .. } | Op::RemoveView { .. } if !is_view => return false,
            Op::Write { volume, .. } if !is_there && *volume == name("w") => return false,
            Op::Promote { .. } => is_view = false,
            Op::RemoveView { .. } => (is_view, is_there) = (false, false),
            Op::RemoveMark { mark, .. } => names.push(mark.clone()),
            Op::Mark { mark, .. } | Op::View { view: mark, .. } => names.push(mark.clone()),
            _ => {}
        }
    }
    let count = names.len();
    names.sort();
    names.dedup();
    names.len() == count && !model.volumes.is_empty()
}

fn check(prepared: &(SimWorld, Model), ops: &[Op], rng: &dyn Rng, tally: &Tally) {
    let (steps, opened) = run(prepared, ops, None, rng, tally);
    for step in opened..steps {
        run(prepared, ops, Some(step), rng, tally);
    }
}

/// Runs a sequence with a cut, or without one to learn where cuts can be: the steps in all, and those
/// that opening took.
fn run(
    prepared: &(SimWorld, Model),
    ops: &[Op],
    cut: Option<u64>,
    rng: &dyn Rng,
    tally: &Tally,
) -> (u64, u64) {
    let machine = prepared.0.if_power_went(Loss::None);
    if let Some(step) = cut {
        machine.cut_at(step);
    }
    let mut allowed = Allowed::only(prepared.1.clone());
    let opened = runtime().block_on(async {
        let mut rig = Rig::open(&machine, 7, prepared.1.clone()).await.unwrap();
        let opened = machine.steps();
        carry_out(&mut rig, &machine, ops, &mut allowed).await;
        opened
    });
    let story = || format!("sequence {ops:?}, cut at {cut:?}");
    let steps = machine.steps();
    let Some(step) = cut else {
        return (steps, opened);
    };
    let scene = Scene { machine, allowed: &allowed, seed: step, story: &story };
    let seed = rng.next_u64();
    let loss = if seed.is_multiple_of(4) { Loss::All } else { Loss::Seeded(seed) };
    let recovery = recover(&scene, loss, None, tally);
    if recovery > 0 && seed % 8 == 1 {
        recover(&scene, loss, Some(seed / 8 % recovery), tally);
    }
    (steps, opened)
}

/// Checks every sequence of this length, on two threads.
fn all_sequences(len: u32) {
    let tally = Tally::default();
    let prepared = prepared();
    let alphabet = alphabet();
    let count = alphabet.len().pow(len);
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (tally, prepared, alphabet) = (&tally, &prepared, &alphabet);
            scope.spawn(move || {
                let rng = SeededRng::new(u64::from(len) * 2 + half as u64);
                for index in (half..count).step_by(2) {
                    let pick =
                        |place| &alphabet[index / alphabet.len().pow(place) % alphabet.len()];
                    let ops: Vec<Op> = (0..len).map(|place| pick(place).clone()).collect();
                    if makes_sense(&prepared.1, &ops) {
                        check(prepared, &ops, &rng, tally);
                    }
                }
            });
        }
    });
    tally.report(&format!("sequences of {len}"));
}

#[test]
fn every_sequence_of_one_or_two_operations_survives_a_cut_at_every_step() {
    all_sequences(1);
    all_sequences(2);
}

#[test]
fn every_sequence_of_three_operations_survives_a_cut_at_every_step() {
    all_sequences(3);
}
