//! Long histories by chance, cut at random steps, some of them again during recovery.

use std::sync::atomic::{AtomicU64, Ordering};

use base::rng::{Rng, SeededRng};
use disk::sim::{Loss, SimWorld};

use super::cut::{Allowed, Scene, recover};
use super::{Tally, points_wanted};
use crate::oracle::op::Draw;
use crate::oracle::rig::{Rig, runtime};

/// Runs one history to a cut that the seed chooses, and recovers it in several ways.
fn history(seed: u64, tally: &Tally) {
    let machine = SimWorld::new(seed);
    let rng = SeededRng::new(seed);
    let (mut allowed, mut ops) = (None, Vec::new());
    runtime().block_on(async {
        let mut rig = Rig::create(&machine, seed).await.unwrap();
        let mut draw = Draw { rng: &rng, count: 0 };
        let mut now = Allowed::only(rig.model.clone());
        machine.cut_at(machine.steps() + 20 + rng.below(600));
        while !machine.is_off() {
            let op = draw.next(&rig.model);
            let outcome = rig.apply(&op).await;
            now.note(outcome, &rig.model);
            ops.push((outcome, op));
        }
        allowed = Some(now);
    });
    let story = || {
        let lines: Vec<_> =
            ops.iter().map(|(outcome, op)| format!("{outcome:?}: {op:?}")).collect();
        format!("seed {seed}, which did\n{}", lines.join("\n"))
    };
    let scene = Scene { machine, allowed: &allowed.unwrap(), seed, story: &story };
    recover(&scene, Loss::All, None, tally);
    recover(&scene, Loss::None, None, tally);
    for turn in 0..6 {
        let loss = Loss::Seeded(seed * 16 + turn);
        let steps = recover(&scene, loss, None, tally);
        if steps > 0 {
            recover(&scene, loss, Some(rng.below(steps)), tally);
        }
    }
}

#[test]
fn long_histories_survive_cuts_also_during_recovery() {
    let tally = Tally::default();
    let wanted = points_wanted();
    let first = std::env::var("TIDEMARK_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while tally.points.load(Ordering::Relaxed) < wanted {
                    history(next.fetch_add(1, Ordering::Relaxed), &tally);
                }
            });
        }
    });
    let last = next.into_inner() - 1;
    tally.report(&format!("long histories, seeds {first} to {last}"));
}
