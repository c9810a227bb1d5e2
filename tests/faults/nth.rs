//! The N-th request of a kind fails, for every N: on any disk, while a fixed history is carried out.
//!
//! A failure may stop the pool or a volume, or cost the operation that met it; it never costs what was
//! answered as stable, is never served as something else, and after a failed flush nothing pretends to be
//! durable. When the disks are sound again the pool opens and holds a state that the answers allow.

use std::sync::atomic::{AtomicU64, Ordering};

use base::name::Name;
use disk::sim::{Fault, Loss, OpKind, SimWorld, What};
use store::{PoolState, VolumeState};

use super::judge::judge;
use crate::oracle::model::{BLOCK, Model};
use crate::oracle::op::{Op, name};
use crate::oracle::rig::{Outcome, Rig, is_refusal, runtime};

/// What fails, and how.
const FAULTS: &[(OpKind, What)] = &[
    (OpKind::Read, What::Error),
    (OpKind::Read, What::Flipped),
    (OpKind::Change, What::Error),
    (OpKind::Change, What::NoSpace),
    (OpKind::Change, What::Short { sectors: 3 }),
    (OpKind::Change, What::Torn),
    (OpKind::Flush, What::Error),
    (OpKind::Flush, What::ErrorForGood),
    (OpKind::Flush, What::NoSpace),
    (OpKind::Shelf, What::Error),
    (OpKind::Shelf, What::NoSpace),
];

/// A pool at rest with content, marks and a view.
fn prepared() -> (SimWorld, Model) {
    let machine = SimWorld::new(1);
    let model = runtime().block_on(async {
        let mut rig = Rig::create(&machine, 1).await.unwrap();
        for op in [
            write("a", 0, 12 * BLOCK, false),
            mark(&["a"], "m0"),
            write("a", 0, BLOCK, false),
            mark(&["a", "b"], "m1"),
            write("a", BLOCK, BLOCK, false),
            Op::View { view: name("w"), volume: name("a"), mark: name("m0") },
        ] {
            rig.apply(&op).await;
        }
        rig.pool.close().await.unwrap();
        rig.model
    });
    (machine, model)
}

fn write(volume: &str, start: u64, sectors: u64, is_stable: bool) -> Op {
    Op::Write { volume: name(volume), start, sectors, is_stable }
}

fn mark(volumes: &[&str], mark: &str) -> Op {
    Op::Mark { volumes: volumes.iter().map(|volume| name(volume)).collect(), mark: name(mark) }
}

/// A bit of everything, with background work in between.
fn history() -> Vec<Op> {
    let (a, b) = (name("a"), name("b"));
    vec![
        write("a", 2 * BLOCK, 3 * BLOCK, false),
        write("a", 3, 7, false),
        Op::Flush { volume: a.clone() },
        Op::Upkeep,
        Op::Upkeep,
        mark(&["a", "b"], "x"),
        write("a", 0, 2 * BLOCK, true),
        write("b", BLOCK, 2 * BLOCK, false),
        Op::Zero { volume: a.clone(), start: 5 * BLOCK, sectors: 2 * BLOCK, keeps_space: true },
        Op::Upkeep,
        write("w", 1, 5, false),
        mark(&["w"], "y"),
        write("w", 0, BLOCK, true),
        Op::Discard { volume: a.clone(), start: 8 * BLOCK, sectors: BLOCK },
        Op::RemoveMark { volume: a.clone(), mark: name("m1") },
        Op::Grow { volume: b.clone(), sectors: 20 * BLOCK },
        Op::Note { volume: a.clone(), is_kept: true },
        Op::Upkeep,
        Op::Rollback { volume: a.clone(), mark: name("x") },
        write("a", 4 * BLOCK, BLOCK, false),
        Op::Upkeep,
        Op::Upkeep,
        Op::Create { volume: name("c"), sectors: 9 * BLOCK },
        write("c", 0, BLOCK, false),
        Op::Promote { view: name("w") },
        Op::Flush { volume: b.clone() },
        Op::RemoveVolume { volume: b },
        Op::Upkeep,
        write("a", 0, BLOCK, false),
    ]
}

/// What the pool may hold when it is opened again.
struct Held {
    now: Model,
    allowed: Vec<Model>,
    /// Views whose promotion was begun and met the fault: it goes on whenever background work does.
    promoting: Vec<Name>,
    may_marks_go: bool,
}

impl Held {
    /// Takes note of promotions that have ended meanwhile.
    fn note_promotions(&self, rig: &mut Rig) {
        for view in &self.promoting {
            if rig.pool.view(view).is_err()
                && let Some(volume) = rig.model.volumes.get_mut(view)
            {
                volume.parent = None;
            }
        }
    }

    /// On a full shelf marks that nothing needs may go: those that are not there any more do not count.
    fn forget_marks_that_went(&self, rig: &Rig, models: &mut [Model]) {
        if !self.may_marks_go {
            return;
        }
        for model in models {
            let viewed = model.clone();
            for (name, volume) in &mut model.volumes {
                let Ok(there) = rig.pool.marks(name) else { continue };
                volume.marks.retain(|mark, _| {
                    viewed.is_viewed(name, mark) || there.iter().any(|left| left.name == *mark)
                });
            }
        }
    }

    /// Everything that is allowed, with promotions that have ended and with those that have not.
    fn all(&self) -> Vec<Model> {
        let mut all = self.allowed.clone();
        for view in &self.promoting {
            for mut model in all.clone() {
                if let Some(volume) = model.volumes.get_mut(view) {
                    volume.parent = None;
                    all.push(model);
                }
            }
        }
        all
    }
}

struct Trial<'a> {
    machine: SimWorld,
    prepared: &'a Model,
    what: (OpKind, What),
    n: u64,
}

impl Trial<'_> {
    /// Whether the fault struck at all.
    async fn run(&self) -> bool {
        let (kind, what) = self.what;
        self.machine.add_fault(Fault::new("*", kind, what).after(self.n).times(1));
        let (now, allowed) = (self.prepared.clone(), vec![self.prepared.clone()]);
        let mut held =
            Held { now, allowed, promoting: Vec::new(), may_marks_go: what == What::NoSpace };
        match Rig::open(&self.machine, 7, self.prepared.clone()).await {
            Ok(mut rig) => {
                for op in history() {
                    self.step(&mut rig, &op, &mut held).await;
                }
                let _ = rig.pool.close().await;
            }
            Err(error) => self.check(self.machine.struck() > 0, &format!("opening: {error}")),
        }
        let has_struck = self.machine.struck() > 0;
        if has_struck {
            self.machine.clear_faults();
            for loss in [Loss::None, Loss::All, Loss::Seeded(self.n)] {
                self.recover(loss, &held).await;
            }
        }
        has_struck
    }

    /// One operation, and what it leaves.
    async fn step(&self, rig: &mut Rig, op: &Op, held: &mut Held) {
        if !is_possible(&rig.model, op) {
            return;
        }
        let struck = self.machine.struck();
        let outcome = rig.try_apply(op).await;
        let is_struck = self.machine.struck() > struck;
        let if_done = rig.model_if_done(op);
        match outcome {
            Ok(Outcome::Stable) => {
                if is_struck && self.what.0 == OpKind::Flush {
                    self.after_failed_flush(rig, op).await;
                }
                held.allowed = vec![rig.model.clone()];
            }
            Ok(_) => held.allowed.push(rig.model.clone()),
            Err(error) => {
                let is_known = self.machine.struck() > 0 || is_refusal(&error);
                self.check(is_known, &format!("{op:?}: {error}"));
                // It may be done and yet not be told so: then it is to be seen, or will be.
                held.allowed.push(if_done.clone());
                if let Op::Promote { view } = op {
                    held.promoting.push(view.clone());
                }
                held.note_promotions(rig);
                let mut model = rig.model.clone();
                held.forget_marks_that_went(rig, std::slice::from_mut(&mut model));
                rig.model = model;
                if judge(rig, std::slice::from_ref(&rig.model)).await.is_err() {
                    rig.model = if_done;
                }
                if is_struck && self.what.0 == OpKind::Flush {
                    self.after_failed_flush(rig, op).await;
                }
            }
        }
        held.note_promotions(rig);
        let mut model = rig.model.clone();
        held.forget_marks_that_went(rig, std::slice::from_mut(&mut model));
        rig.model = model;
        if (is_struck || *op == Op::Upkeep)
            && let Err(wrong) = judge(rig, std::slice::from_ref(&rig.model)).await
        {
            self.check(false, &format!("after {op:?}: {wrong}"));
        }
        held.now = rig.model.clone();
    }

    /// A flush has just failed: somebody was told, and nothing pretends to be durable.
    async fn after_failed_flush(&self, rig: &mut Rig, op: &Op) {
        let disk = rig.disk(&name("a")).unwrap();
        let is_poisoned = matches!(rig.pool.status().state, PoolState::Poisoned { .. });
        let is_stopped = is_poisoned
            || rig.pool.volumes().iter().any(|v| matches!(v.state, VolumeState::FailStop { .. }))
            || rig.pool.views().iter().any(|v| matches!(v.state, VolumeState::FailStop { .. }));
        let is_answered = disk.flush().await.is_ok();
        self.check(
            !is_poisoned || !is_answered,
            &format!("after {op:?} the pool is stopped, and answers a flush"),
        );
        let last = self.machine.trace();
        let failed =
            last.lines().rev().find(|line| line.contains("flush") && line.contains("failed"));
        let disk = failed.and_then(|line| line.split_whitespace().nth(1)).unwrap_or("").to_owned();
        let must_stop = disk == "journal"
            || [".base", ".sums-0", ".sums-1"].iter().any(|part| disk.ends_with(part));
        self.check(
            is_stopped || !must_stop,
            &format!("after {op:?} a flush of {disk} failed, and nothing stopped"),
        );
    }

    /// Opens what a power loss leaves of it, without any fault.
    async fn recover(&self, loss: Loss, held: &Held) {
        let machine = self.machine.if_power_went(loss);
        let rig = match Rig::open(&machine, 8, held.now.clone()).await {
            Ok(rig) => rig,
            Err(error) => {
                return self.check(false, &format!("{loss:?}: it does not open: {error}"));
            }
        };
        self.judged(&rig, loss, held, "opened").await;
        loop {
            match rig.pool.upkeep_step().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return self.check(false, &format!("{loss:?}: upkeep: {error}")),
            }
        }
        self.judged(&rig, loss, held, "worked off").await;
    }

    async fn judged(&self, rig: &Rig, loss: Loss, held: &Held, when: &str) {
        let mut allowed = held.all();
        held.forget_marks_that_went(rig, &mut allowed);
        match judge(rig, &allowed).await {
            Ok(refused) if refused.blocks == 0 => {}
            Ok(refused) => self.check(false, &format!("{loss:?}, {when}: {refused:?}")),
            Err(wrong) => self.check(false, &format!("{loss:?}, {when}: {wrong}")),
        }
    }

    fn check(&self, is_right: bool, what: &str) {
        let trace = || self.machine.trace();
        assert!(is_right, "{:?}, N {}\n{what}\nlast steps:\n{}", self.what, self.n, trace());
    }
}

/// Whether what an operation names is there: an earlier one may have failed.
fn is_possible(model: &Model, op: &Op) -> bool {
    let is_volume = |volume| model.volumes.contains_key(volume);
    match op {
        Op::Write { volume, .. }
        | Op::Zero { volume, .. }
        | Op::Discard { volume, .. }
        | Op::Flush { volume }
        | Op::Undo { volume }
        | Op::Grow { volume, .. }
        | Op::Note { volume, .. }
        | Op::RemoveVolume { volume } => is_volume(volume),
        Op::Mark { volumes, .. } => volumes.iter().all(is_volume),
        Op::RemoveMark { volume, mark }
        | Op::Rollback { volume, mark }
        | Op::View { volume, mark, .. } => {
            model.volumes.get(volume).is_some_and(|there| there.marks.contains_key(mark))
        }
        Op::RemoveView { view } | Op::Promote { view } => {
            model.volumes.get(view).is_some_and(|there| there.parent.is_some())
        }
        Op::Create { .. } | Op::Upkeep => true,
    }
}

/// Fails one in `share` of all requests, each in a run of its own.
pub fn every_call(share: u64) {
    let prepared = prepared();
    let runs = AtomicU64::new(0);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(what) = FAULTS.get(usize::try_from(index).unwrap()) else { return };
                    for n in (index % share..).step_by(usize::try_from(share).unwrap()) {
                        let machine = prepared.0.if_power_went(Loss::None);
                        let trial = Trial { machine, prepared: &prepared.1, what: *what, n };
                        if !runtime().block_on(trial.run()) {
                            break;
                        }
                        runs.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let runs = runs.into_inner();
    println!("result: the N-th request fails: {runs} runs, each opened again after three losses");
}

#[test]
fn a_request_that_fails_costs_no_stable_answer() {
    every_call(9);
}
