//! One crash: carry out operations until the power goes, open what is left, and compare.

use std::sync::atomic::Ordering;

use disk::sim::{Loss, SimWorld};

use super::Tally;
use crate::oracle::compare::difference;
use crate::oracle::model::Model;
use crate::oracle::op::Op;
use crate::oracle::rig::{Outcome, Rig, runtime};

/// What the pool may hold after a crash: the models since the last stable answer, oldest first.
pub struct Allowed {
    models: Vec<Model>,
}

impl Allowed {
    /// Just this one.
    pub fn only(model: Model) -> Self {
        Self { models: vec![model] }
    }

    /// Notes an operation's outcome and the model after it.
    pub fn note(&mut self, outcome: Outcome, model: &Model) {
        match outcome {
            Outcome::Stable => self.models = vec![model.clone()],
            Outcome::Done | Outcome::Unknown => {
                if self.models.last() != Some(model) {
                    self.models.push(model.clone());
                }
            }
            Outcome::Refused => {}
        }
    }

    /// The place of the model that a pool holds.
    async fn find(&self, rig: &Rig) -> Result<usize, String> {
        let mut differences = Vec::new();
        for (index, model) in self.models.iter().enumerate().rev() {
            match difference(rig, model).await {
                None => return Ok(index),
                Some(what) => differences.push(what),
            }
        }
        Err(differences.join("; or "))
    }
}

/// A machine, and what may be in its pool.
pub struct Scene<'a> {
    /// The machine, its power off.
    pub machine: SimWorld,
    /// What its pool may hold.
    pub allowed: &'a Allowed,
    /// Seed of what follows.
    pub seed: u64,
    /// Told when a check fails.
    pub story: &'a dyn Fn() -> String,
}

/// Carries operations out until they end or the power goes.
pub async fn carry_out(rig: &mut Rig, machine: &SimWorld, ops: &[Op], allowed: &mut Allowed) {
    for op in ops {
        let outcome = rig.apply(op).await;
        allowed.note(outcome, &rig.model);
        if machine.is_off() {
            return;
        }
    }
}

/// Opens what a power loss leaves, checks it, lets background work end, and checks again. With `nested`
/// the power goes once more on the way, at that step.
pub fn recover(scene: &Scene<'_>, loss: Loss, nested: Option<u64>, tally: &Tally) -> u64 {
    let machine = scene.machine.if_power_went(loss);
    if let Some(step) = nested {
        machine.cut_at(step);
        let steps = open_and_rest(scene, &machine, true);
        tally.nested.fetch_add(1, Ordering::Relaxed);
        tally.points.fetch_add(1, Ordering::Relaxed);
        let again = machine.after_power_loss(Loss::Seeded(scene.seed ^ step));
        open_and_rest(scene, &again, false);
        return steps;
    }
    tally.points.fetch_add(1, Ordering::Relaxed);
    open_and_rest(scene, &machine, false)
}

/// Opens and works off; tells how many steps that took.
fn open_and_rest(scene: &Scene<'_>, machine: &SimWorld, may_fail: bool) -> u64 {
    let fail = |what: String| -> ! {
        panic!(
            "{}\nthe last steps then were\n{}\n{what}\nthe last steps since are\n{}",
            (scene.story)(),
            scene.machine.trace(),
            machine.trace()
        )
    };
    runtime().block_on(async {
        let before = machine.steps();
        let rig = match Rig::open(machine, scene.seed, Model::default()).await {
            Ok(rig) => rig,
            Err(_) if may_fail && machine.is_off() => return 0,
            Err(error) => fail(format!("it does not open: {error}")),
        };
        let found = match scene.allowed.find(&rig).await {
            Ok(found) => found,
            Err(_) if may_fail && machine.is_off() => return 0,
            Err(what) => fail(format!("it holds something else: {what}")),
        };
        loop {
            match rig.pool.upkeep_step().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) if may_fail && machine.is_off() => return machine.steps() - before,
                Err(error) => fail(format!("background work fails: {error}")),
            }
        }
        match scene.allowed.find(&rig).await {
            Ok(now) if now >= found => {}
            Ok(_) => fail("background work went back in time".to_owned()),
            Err(_) if may_fail && machine.is_off() => {}
            Err(what) => fail(format!("background work changed something: {what}")),
        }
        machine.steps() - before
    })
}
