//! Cuts while many writes are in flight at once and are carried out and answered out of order.
//!
//! Writes are sent in rounds: those of one round together, the next when all of it is answered; a flush,
//! a mark or background work may run beside a round. After a cut there is a round before which
//! everything is there and after which nothing is; of its own writes any may be there, each whole. What
//! was sent as stable and answered is there, and so is everything that an answered flush or mark
//! covers; a mark's image stays as it was first seen.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use base::name::{MarkRef, Name};
use base::rng::{Rng, SeededRng};
use base::size::ByteSize;
use base::units::Extent;
use disk::sim::{Answering, Loss, SimWorld};
use disk::{AnyDisk, Buffer, Durability};
use store::{DiskRef, Grade, MarkRequest};

use super::{Tally, points_wanted};
use crate::oracle::model::{BLOCK, Image, Model, sector_of};
use crate::oracle::op::name;
use crate::oracle::rig::{Rig, runtime};

const BLOCKS: u64 = 48;
/// Blocks of the longest write: 128 KiB, the most that is atomic.
const WRITE_BLOCKS_MAX: u64 = 32;

/// One write of a round.
struct Write {
    start: u64,
    blocks: u64,
    tag: u64,
    /// It was sent as stable and answered.
    is_promised: bool,
}

/// Writes that were in flight together.
type Round = Vec<Write>;

/// What was done to the volume.
struct History {
    rounds: Vec<Round>,
    /// How many rounds were there in full before something stable was answered.
    covered: usize,
    /// Marks: the round beside which each was taken, and what it showed.
    marks: BTreeMap<Name, (usize, Option<Image>)>,
}

fn put(image: &mut Image, write: &Write) {
    for sector in 0..write.blocks * BLOCK {
        image.0[usize::try_from(write.start * BLOCK + sector).unwrap()] = write.tag + sector;
    }
}

impl History {
    /// What the volume holds after so many whole rounds.
    fn after(&self, rounds: usize) -> Image {
        let mut image = Image(vec![0; usize::try_from(BLOCKS * BLOCK).unwrap()]);
        self.rounds[..rounds].iter().flatten().for_each(|write| put(&mut image, write));
        image
    }

    /// Whether an image holds all rounds before `round`, some writes of it, and nothing later.
    fn fits(&self, image: &Image, round: usize) -> bool {
        let mut wanted = self.after(round);
        for write in self.rounds.get(round).into_iter().flatten() {
            let first = usize::try_from(write.start * BLOCK).unwrap();
            if write.is_promised || image.0[first] == write.tag {
                put(&mut wanted, write);
            }
        }
        wanted == *image
    }

    fn check_live(&self, image: &Image) -> Result<(), String> {
        let last = self.rounds.len();
        let promised = self.rounds.iter().rposition(|round| round.iter().any(|w| w.is_promised));
        let first = self.covered.max(promised.unwrap_or(0));
        if (first..=last).any(|round| self.fits(image, round)) {
            return Ok(());
        }
        Err(format!("the live contents are those after none of the rounds {first} to {last}"))
    }
}

/// The number of each sector of a disk.
async fn image_of(disk: &AnyDisk) -> Result<Image, String> {
    let bytes =
        disk.read(Extent::new(0, BLOCKS * BLOCK)).await.map_err(|error| error.to_string())?;
    let tags = bytes.chunks(512).map(|s| u64::from_le_bytes(s[..8].try_into().unwrap()));
    let image = Image(tags.collect());
    match image.first_difference(&bytes) {
        None => Ok(image),
        Some(at) => Err(format!("sector {at} is torn")),
    }
}

fn mark_disk(rig: &Rig, mark: &Name) -> Option<AnyDisk> {
    let of = MarkRef { volume: name("v"), mark: mark.clone() };
    rig.pool.disk(&DiskRef::Mark(of)).ok()
}

/// Blocks of a volume of which all writes touch the same few, over and over.
const HOT_BLOCKS: u64 = 3;

/// The writes of a round: none touches what another one does.
fn draw(rng: &SeededRng, blocks: u64, tag: &mut u64) -> Round {
    let mut round = Round::new();
    let mut start = rng.below(6.min(blocks));
    while start < blocks && round.len() < 8 {
        let most = if rng.below(6) == 0 { WRITE_BLOCKS_MAX } else { 4 };
        let len = (1 + rng.below(most)).min(blocks - start);
        round.push(Write { start, blocks: len, tag: *tag, is_promised: false });
        *tag += 2 * WRITE_BLOCKS_MAX * BLOCK + 1;
        start += len + rng.below(8);
    }
    round
}

/// Carries rounds out until the power goes.
async fn live(machine: &SimWorld, rng: &SeededRng, history: &mut History) {
    let rig = Rig::open(machine, 3, Model::default()).await.unwrap();
    let disk = rig.disk(&name("v")).unwrap();
    machine.set_answering(Answering::Shuffled);
    tokio::spawn(machine.clone().pumping());
    machine.cut_at(machine.steps() + 5 + rng.below(150));
    let blocks = if rng.below(2) == 0 { HOT_BLOCKS } else { BLOCKS };
    let mut tag = 1;
    while !machine.is_off() {
        let number = history.rounds.len();
        rig.make_room().await;
        let round = draw(rng, blocks, &mut tag);
        let mark = (rng.below(3) == 0).then(|| name(&format!("m{number}")));
        let beside = tokio::spawn(beside(rig.pool.clone(), mark.clone(), rng.below(3)));
        let mut answers = Vec::new();
        for write in &round {
            let bytes: Vec<u8> = (0..write.blocks * BLOCK)
                .flat_map(|sector| sector_of(write.tag + sector))
                .collect();
            let data = vec![Buffer::copy_of(&bytes).unwrap().freeze()];
            let is_stable = rng.below(6) == 0;
            let durability = if is_stable { Durability::Stable } else { Durability::Volatile };
            answers.push((is_stable, disk.write(write.start * BLOCK, data, durability)));
            if rng.below(3) == 0 {
                tokio::task::yield_now().await;
            }
        }
        let flush = (rng.below(4) == 0).then(|| disk.flush());
        if let Some(mark) = &mark {
            history.marks.insert(mark.clone(), (number, None));
        }
        history.rounds.push(round);
        for (index, (is_stable, answer)) in answers.into_iter().enumerate() {
            let is_done = answer.await.is_ok();
            history.rounds[number][index].is_promised = is_done && is_stable;
        }
        let is_flushed = match flush {
            Some(flush) => flush.await.is_ok(),
            None => false,
        };
        let is_marked = beside.await.unwrap();
        if is_flushed || is_marked {
            history.covered = number;
        }
        if let (true, Some(mark)) = (is_marked, mark)
            && let Ok(image) = image_of(&mark_disk(&rig, &mark).unwrap()).await
        {
            assert!(history.fits_mark(&image, number), "{mark} shows what never was");
            history.marks.insert(mark, (number, Some(image)));
        }
    }
}

/// What runs beside a round; tells whether a mark was answered.
async fn beside(pool: std::sync::Arc<store::Pool>, mark: Option<Name>, upkeep: u64) -> bool {
    for _ in 0..upkeep {
        let _ = pool.upkeep_step().await;
    }
    let Some(mark) = mark else { return false };
    let request = MarkRequest { name: mark, grade: Grade::Crash };
    pool.take_mark(&[name("v")], request).await.is_ok()
}

impl History {
    /// Whether a mark may show this: what is promised of its round may have come after it.
    fn fits_mark(&self, image: &Image, round: usize) -> bool {
        let mut wanted = self.after(round);
        for write in self.rounds.get(round).into_iter().flatten() {
            if image.0[usize::try_from(write.start * BLOCK).unwrap()] == write.tag {
                put(&mut wanted, write);
            }
        }
        wanted == *image
    }

    /// Checks all that a pool holds after the cut; gives the images, to be compared later.
    async fn check(&self, rig: &Rig) -> Result<Vec<Image>, String> {
        let live = image_of(&rig.disk(&name("v")).map_err(|error| error.to_string())?).await?;
        self.check_live(&live)?;
        let mut images = vec![live];
        for (mark, (round, seen)) in &self.marks {
            let Some(disk) = mark_disk(rig, mark) else {
                match seen {
                    Some(_) => return Err(format!("{mark} was answered and is not there")),
                    None => continue,
                }
            };
            let image = image_of(&disk).await.map_err(|what| format!("{mark}: {what}"))?;
            let is_right = match seen {
                Some(seen) => *seen == image,
                None => self.fits_mark(&image, *round),
            };
            if !is_right {
                return Err(format!("{mark} shows something else than what was marked"));
            }
            images.push(image);
        }
        Ok(images)
    }
}

/// Opens what a loss leaves, checks it, lets background work end and checks that nothing changed.
async fn recover(machine: &SimWorld, history: &History) -> Result<(), String> {
    let rig = Rig::open(machine, 4, Model::default()).await;
    let rig = rig.map_err(|error| format!("it does not open: {error}"))?;
    let images = history.check(&rig).await?;
    while rig.pool.upkeep_step().await.map_err(|error| format!("background work: {error}"))? {}
    let after = history.check(&rig).await.map_err(|what| format!("worked off: {what}"))?;
    if images != after {
        return Err("background work changed something".to_owned());
    }
    Ok(())
}

fn run(seed: u64, prepared: &SimWorld, tally: &Tally) {
    let machine = prepared.if_power_went(Loss::None);
    let rng = SeededRng::new(seed);
    let mut history = History { rounds: Vec::new(), covered: 0, marks: BTreeMap::new() };
    runtime().block_on(live(&machine, &rng, &mut history));
    let losses = [Loss::All, Loss::None, Loss::Seeded(seed), Loss::Seeded(!seed)];
    for loss in losses {
        let after = machine.if_power_went(loss);
        if let Err(what) = runtime().block_on(recover(&after, &history)) {
            panic!("seed {seed}, {loss:?}: {what}\nlast steps:\n{}", machine.trace());
        }
        tally.points.fetch_add(1, Ordering::Relaxed);
    }
}

/// A pool with one empty volume.
fn prepared() -> SimWorld {
    let machine = SimWorld::new(1);
    runtime().block_on(async {
        let rig = Rig::create(&machine, 1).await.unwrap();
        let size = ByteSize(BLOCKS * BLOCK * 512);
        rig.pool.create_volume(&name("v"), size).await.unwrap();
        rig.pool.close().await.unwrap();
    });
    machine
}

#[test]
fn writes_in_flight_together_survive_cuts_each_whole_or_not_at_all() {
    let tally = Tally::default();
    let wanted = points_wanted() / 2;
    let first = std::env::var("TIDEMARK_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let next = AtomicU64::new(first);
    let prepared = prepared();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while tally.points.load(Ordering::Relaxed) < wanted {
                    run(next.fetch_add(1, Ordering::Relaxed), &prepared, &tally);
                }
            });
        }
    });
    let last = next.into_inner() - 1;
    tally.report(&format!("writes in flight together, seeds {first} to {last}"));
}
