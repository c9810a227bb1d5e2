//! One pool, damaged many times over: each time a copy of its machine, opened and read to the end.

use base::rng::{Rng, SeededRng};
use disk::sim::{Loss, SimWorld};
use store::{PoolState, StoreError, VolumeState};

use super::plant::{Damage, Places, Structure};
use super::{Fate, Tally};
use crate::faults::judge::{Refused, judge, scrub};
use crate::oracle::compare::difference_in_names;
use crate::oracle::model::{BLOCK, Model};
use crate::oracle::op::{Draw, Op};
use crate::oracle::rig::{Outcome, Rig, runtime};

/// How often one pool is damaged.
const TIMES: u64 = 60;
/// Steps of background work that always suffice here.
const UPKEEP_MAX: usize = 20_000;

/// A pool that lies still.
struct Scene {
    seed: u64,
    machine: SimWorld,
    /// The same some time before.
    old: SimWorld,
    /// What it may hold, newest last.
    allowed: Vec<Model>,
    places: Places,
}

/// Makes a pool and damages it in many ways.
pub fn plant_many(seed: u64, tally: &Tally) {
    let scene = runtime().block_on(make(seed));
    for turn in 0..TIMES {
        let rng = SeededRng::new(seed * TIMES + turn);
        let drawn = Damage::draw(&scene.machine, &scene.old, &scene.places, &rng);
        let Some(damage) = drawn else { continue };
        let trial = Trial { scene: &scene, damage, turn };
        let fate = runtime().block_on(trial.run(&rng));
        tally.count(trial.damage.structure, trial.damage.wrong, fate);
    }
}

/// A history that ends in one of three ways: stopped, worked off and then cut, or cut with a full journal.
async fn make(seed: u64) -> Scene {
    let rng = SeededRng::new(seed);
    let machine = SimWorld::new(seed);
    let mut rig = Rig::create(&machine, seed).await.unwrap();
    let mut draw = Draw { rng: &rng, count: 0 };
    let count = 30 + rng.below(120);
    let remembered = rng.below(count);
    let mut old = None;
    for step in 0..count {
        let op = draw.next(&rig.model);
        assert_ne!(rig.apply(&op).await, Outcome::Unknown, "seed {seed}: {op:?}");
        if step == remembered {
            old = Some(machine.if_power_went(Loss::None));
        }
    }
    let mut allowed = Vec::new();
    match seed % 3 {
        0 => rig.pool.close().await.unwrap(),
        1 => while rig.pool.upkeep_step().await.unwrap() {},
        _ => {
            // The frame of the last write says that everything before it is stable. It is not stable
            // itself, so that it may be lost.
            let volume = rig.model.volumes.keys().next().unwrap().clone();
            rig.apply(&Op::Flush { volume: volume.clone() }).await;
            allowed.push(rig.model.clone());
            let write = Op::Write { volume, start: 0, sectors: BLOCK, is_stable: false };
            rig.apply(&write).await;
        }
    }
    allowed.push(rig.model.clone());
    let machine = machine.after_power_loss(Loss::None);
    let places = Places::of(&machine);
    Scene { seed, machine, old: old.unwrap(), allowed, places }
}

/// One damaged copy of the pool.
struct Trial<'a> {
    scene: &'a Scene,
    damage: Damage,
    turn: u64,
}

impl Trial<'_> {
    async fn run(&self, rng: &SeededRng) -> Fate {
        let machine = self.scene.machine.if_power_went(Loss::None);
        let is_running = rng.below(3) == 0 && !self.damage.is_truncation();
        if !is_running {
            self.damage.plant(&machine);
        }
        let model = self.scene.allowed.last().unwrap().clone();
        let mut rig = match Rig::open(&machine, self.scene.seed, model).await {
            Ok(rig) => rig,
            Err(error) => return self.not_opened(&error, is_running),
        };
        if is_running {
            if rng.below(2) == 0 {
                self.judged(&rig, &self.scene.allowed, "before it was damaged").await;
            }
            self.damage.plant(&machine);
        }
        let refused = self.judged(&rig, &self.scene.allowed, "opened").await;
        let scrubbed = scrub(&rig).await;
        let is_told = scrubbed.damaged > 0 || scrubbed.failed.is_some();
        let is_in_journal = self.damage.structure == Structure::Journal;
        if refused.blocks > 0 && !is_told && !is_in_journal {
            self.fail(&format!("a scrub finds nothing, but {}", refused.first.unwrap()));
        }
        if self.damage.is_in_one_copy() && (refused.blocks > 0 || is_told) {
            self.fail(&format!("one of two copies is damaged: {refused:?}, {scrubbed:?}"));
        }
        let mut is_noticed = is_told || scrubbed.repaired > 0 || is_warned(&rig);
        let mut blocks = refused.blocks;
        let allowed = self.write_on(&mut rig, rng).await;
        blocks += self.judged(&rig, &allowed, "written to").await.blocks;
        is_noticed |= self.work_off(&rig).await;
        blocks += self.judged(&rig, &allowed, "worked off").await.blocks;
        let is_healed = !self.damage.is_there(&machine) && self.damage.is_in_one_copy();
        let after = machine.after_power_loss(Loss::None);
        match Rig::open(&after, self.scene.seed + 1, rig.model.clone()).await {
            Ok(rig) => blocks += self.judged(&rig, &allowed, "opened again").await.blocks,
            Err(error) => return self.not_opened(&error, false),
        }
        match () {
            () if blocks > 0 => Fate::Refused,
            () if is_healed => Fate::Healed,
            () if is_noticed => Fate::Reported,
            () => Fate::WithoutEffect,
        }
    }

    /// Goes on writing for a while: what cannot be done is refused and changes nothing. Ends with a flush.
    async fn write_on(&self, rig: &mut Rig, rng: &SeededRng) -> Vec<Model> {
        let has_names = |model: &&Model| difference_in_names(rig, model).is_none();
        let Some(now) = self.scene.allowed.iter().rev().find(has_names).cloned() else {
            return self.scene.allowed.clone();
        };
        if judge(rig, std::slice::from_ref(&now)).await.is_err() {
            // It went back to an older model, in which no write is missing that was stable.
            return self.scene.allowed.clone();
        }
        rig.model = now;
        for _ in 0..6 {
            let volume = rig.model.volumes.keys().nth(0).unwrap().clone();
            let sectors = rig.model.volumes[&volume].live.0.len() as u64;
            let start = rng.below(sectors);
            let len = (1 + rng.below(20)).min(sectors - start);
            let op = match rng.below(4) {
                0 => Op::Write { volume, start, sectors: len, is_stable: true },
                1 => Op::Zero {
                    volume,
                    start,
                    sectors: len.min(BLOCK - start % BLOCK),
                    keeps_space: true,
                },
                2 => {
                    let mark =
                        crate::oracle::op::name(&format!("after{}", rng.next_u64() % 100_000));
                    Op::Mark { volumes: vec![volume], mark }
                }
                _ => Op::Write {
                    volume,
                    start: start / BLOCK * BLOCK,
                    sectors: BLOCK,
                    is_stable: true,
                },
            };
            let _ = rig.try_apply(&op).await;
        }
        vec![rig.model.clone()]
    }

    /// Lets background work end; tells whether it could not.
    async fn work_off(&self, rig: &Rig) -> bool {
        for _ in 0..UPKEEP_MAX {
            match rig.pool.upkeep_step().await {
                Ok(true) => {}
                Ok(false) => return is_warned(rig),
                Err(_) => return true,
            }
        }
        self.fail("background work never ends")
    }

    async fn judged(&self, rig: &Rig, allowed: &[Model], when: &str) -> Refused {
        match judge(rig, allowed).await {
            Ok(refused) => refused,
            Err(what) => self.fail(&format!("{when}: {what}")),
        }
    }

    fn not_opened(&self, error: &StoreError, is_running: bool) -> Fate {
        if is_running {
            self.fail(&format!("it does not open before it is damaged: {error}"));
        }
        if self.damage.is_in_one_copy() {
            self.fail(&format!("one of two copies is damaged, and it does not open: {error}"));
        }
        if !matches!(error, StoreError::Damaged(_) | StoreError::ForeignPool(_)) {
            self.fail(&format!("it does not say what is broken: {error:?}"));
        }
        Fate::NotOpened
    }

    fn fail(&self, what: &str) -> ! {
        let Damage { structure, wrong, at, .. } = &self.damage;
        let Scene { seed, .. } = self.scene;
        panic!("seed {seed}, turn {}, {structure:?} {wrong:?} at {at:?}\n{what}", self.turn)
    }
}

/// Whether the status tells of something.
fn is_warned(rig: &Rig) -> bool {
    let status = rig.pool.status();
    let volumes = rig.pool.volumes();
    status.state != PoolState::Open
        || !status.warnings.is_empty()
        || volumes.iter().any(|volume| volume.state != VolumeState::Ready)
}
