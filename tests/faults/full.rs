//! A shelf that is full, from nearly nothing free to enough, while marks are taken and blocks overwritten.
//!
//! As long as a mark may go, no overwrite fails: the oldest goes instead. Where none may go the volume
//! says so and keeps what it has; and when there is room again it goes on. Nothing is ever wrong.

use std::sync::Arc;
use std::time::Duration;

use base::clock::{Clock, ManualClock};
use base::name::{MarkRef, Name};
use base::rng::{Rng, SeededRng};
use base::units::BLOCK_LEN;
use disk::Shelf;
use disk::sim::SimWorld;
use store::{PoolState, VolumeState, World};

use crate::oracle::compare::difference;
use crate::oracle::model::{BLOCK, Model};
use crate::oracle::op::{Op, name};
use crate::oracle::rig::{Outcome, Rig, Setup, options, runtime};

/// Operations on each shelf.
const OPS: u64 = 120;
/// Longer than writes may stall.
const LONG: Duration = Duration::from_secs(60);

/// Whether marks may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Marks {
    MayGo,
    AreHeld,
}

struct Trial {
    machine: SimWorld,
    clock: Arc<ManualClock>,
    rig: Rig,
    rng: SeededRng,
    marks: Marks,
    /// Bytes free at first.
    room: u64,
    gone: u64,
    refused: u64,
}

/// What many shelves showed.
#[derive(Default, Debug)]
pub struct Tally {
    shelves: u64,
    marks_gone: u64,
    writes_refused: u64,
}

fn setup(clock: &Arc<ManualClock>, seed: u64) -> Setup {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    Setup { options: options(), world: World { clock, rng: Arc::new(SeededRng::new(seed)) } }
}

impl Trial {
    async fn new(room: u64, marks: Marks) -> Self {
        let machine = SimWorld::new(room);
        let clock = Arc::new(ManualClock::default());
        let rng = SeededRng::new(room ^ 0xf011);
        let setup = setup(&clock, room);
        let mut rig = Rig::create(&machine, room).await.unwrap();
        rig = Rig::open_in(setup, &machine, room, rig.model).await.unwrap();
        // Every block has its space before the shelf gets tight, so that no write is for want of it.
        let (volume, sectors) = (name("a"), 40 * BLOCK);
        for start in (0..sectors).step_by(10 * 8) {
            let (volume, sectors) = (volume.clone(), 10 * BLOCK);
            rig.apply(&Op::Write { volume, start, sectors, is_stable: false }).await;
        }
        while rig.pool.upkeep_step().await.unwrap() {}
        let space = machine.shelf().space().unwrap();
        machine.set_capacity(Some(space.total - space.free + room));
        rig.pool.upkeep_step().await.unwrap();
        Self { machine, clock, rig, rng, marks, room, gone: 0, refused: 0 }
    }

    async fn run(mut self, tally: &mut Tally) {
        for turn in 0..OPS {
            match turn % 6 {
                0 => self.mark(turn).await,
                _ => self.overwrite().await,
            }
            self.forget_marks_that_went();
            if turn % 10 == 0 {
                self.compare("while it was full").await;
            }
        }
        self.settle().await;
        self.compare("at rest").await;
        self.reopen("opened again while it is full").await;
        self.machine.set_capacity(None);
        for _ in 0..50 {
            let _ = self.rig.pool.upkeep_step().await;
            self.clock.advance(LONG);
        }
        self.settle().await;
        self.forget_marks_that_went();
        let status = self.rig.pool.volume(&name("a")).unwrap();
        self.check(status.state == VolumeState::Ready, &format!("with room: {:?}", status.state));
        let refused = self.refused;
        for _ in 0..10 {
            self.overwrite().await;
        }
        self.check(self.refused == refused, "with room again, writes are refused");
        self.compare("with room again").await;
        self.reopen("opened again with room").await;
        tally.shelves += 1;
        tally.marks_gone += self.gone;
        tally.writes_refused += self.refused;
    }

    async fn mark(&mut self, turn: u64) {
        let mark = name(&format!("m{turn}"));
        let op = Op::Mark { volumes: vec![name("a")], mark: mark.clone() };
        match self.rig.try_apply(&op).await {
            Ok(Outcome::Stable) if self.marks == Marks::AreHeld => {
                let of = MarkRef { volume: name("a"), mark };
                self.rig.pool.hold_mark(&of, None).await.unwrap();
            }
            Ok(_) => {}
            Err(error) => self.check(false, &format!("{mark} is refused: {error}")),
        }
    }

    /// Writes blocks that have their space; makes room in the journal first, as background work would.
    async fn overwrite(&mut self) {
        if !self.has_room_in_journal().await {
            self.refused += 1;
            return;
        }
        let start = self.rng.below(36) * BLOCK;
        let sectors = (1 + self.rng.below(4)) * BLOCK;
        let op = Op::Write { volume: name("a"), start, sectors, is_stable: false };
        if let Err(error) = self.rig.try_apply(&op).await {
            self.forget_marks_that_went();
            let may_go = self.marks == Marks::MayGo && !self.marks_left().is_empty();
            self.check(!may_go, &format!("{error}, though marks may go: {:?}", self.marks_left()));
            let state = self.rig.pool.volume(&name("a")).unwrap().state;
            self.check(state != VolumeState::Ready, &format!("{error}, in the state {state:?}"));
            self.refused += 1;
        }
    }

    async fn has_room_in_journal(&mut self) -> bool {
        for _ in 0..200 {
            let status = self.rig.pool.status();
            self.check(status.state == PoolState::Open, &format!("the pool is {:?}", status.state));
            if status.journal_used_bytes * 2 < status.journal_len {
                return true;
            }
            if self.rig.pool.upkeep_step().await.is_err() {
                self.clock.advance(LONG);
            }
        }
        self.forget_marks_that_went();
        let left = self.marks_left();
        let may_go = self.marks == Marks::MayGo && !left.is_empty();
        self.check(!may_go, &format!("nothing is applied, though marks may go: {left:?}"));
        false
    }

    /// Works off what can be.
    async fn settle(&mut self) {
        for _ in 0..2000 {
            match self.rig.pool.upkeep_step().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => {
                    self.clock.advance(LONG);
                    if self.rig.pool.upkeep_step().await.is_err() {
                        return;
                    }
                }
            }
        }
        self.check(false, "background work never ends");
    }

    /// The store may have removed the oldest marks, and no other.
    fn forget_marks_that_went(&mut self) {
        let there = self.marks_left();
        let model = self.rig.model.volumes.get_mut(&name("a")).unwrap();
        let number = |mark: &Name| mark.to_string()[1..].parse::<u64>().unwrap();
        let oldest_left = there.iter().map(number).min().unwrap_or(u64::MAX);
        let gone: Vec<Name> =
            model.marks.keys().filter(|mark| !there.contains(mark)).cloned().collect();
        for mark in gone {
            assert_eq!(self.marks, Marks::MayGo, "room {}: {mark} was held and went", self.room);
            assert!(number(&mark) < oldest_left, "room {}: {mark} is not the oldest", self.room);
            model.marks.remove(&mark);
            self.gone += 1;
        }
    }

    fn marks_left(&self) -> Vec<Name> {
        let marks = self.rig.pool.marks(&name("a")).unwrap();
        marks.into_iter().map(|mark| mark.name).collect()
    }

    async fn compare(&mut self, when: &str) {
        self.forget_marks_that_went();
        let found = difference(&self.rig, &self.rig.model).await;
        self.check(found.is_none(), &format!("{when}: {}", found.clone().unwrap_or_default()));
    }

    async fn reopen(&mut self, when: &str) {
        let volume = name("a");
        if self.rig.pool.disk(&store::DiskRef::Volume(volume)).unwrap().flush().await.is_err() {
            self.check(false, &format!("{when}: a flush fails"));
        }
        let model: Model = self.rig.model.clone();
        let setup = setup(&self.clock, self.room + 1);
        match Rig::open_in(setup, &self.machine, self.room, model).await {
            Ok(rig) => self.rig = rig,
            Err(error) => self.check(false, &format!("{when}: {error}")),
        }
        self.compare(when).await;
    }

    fn check(&self, is_right: bool, what: &str) {
        let Self { marks, room, machine, .. } = self;
        assert!(
            is_right,
            "marks {marks:?}, {room} bytes free\n{what}\nlast steps:\n{}",
            machine.trace()
        );
    }
}

/// Tries every amount of free space up to more than enough, in steps of so many blocks.
pub fn every_capacity(step_blocks: u64) {
    let mut tally = Tally::default();
    for marks in [Marks::MayGo, Marks::AreHeld] {
        for blocks in (0..420).step_by(usize::try_from(step_blocks).unwrap()) {
            runtime().block_on(async {
                let trial = Trial::new(blocks * BLOCK_LEN as u64, marks).await;
                trial.run(&mut tally).await;
            });
        }
    }
    let Tally { shelves, marks_gone, writes_refused } = tally;
    println!(
        "result: {shelves} shelves of every size: {marks_gone} marks gave way, {writes_refused} writes had to wait where none may go"
    );
    assert!(marks_gone > 0 && writes_refused > 0, "no shelf was tight");
}

#[test]
fn a_full_shelf_costs_the_oldest_marks_and_nothing_else() {
    every_capacity(23);
}
