//! The simulated machine against a model of it: long random work, a cut anywhere, and after each kind of
//! loss only content that a real disk might hold.

use std::collections::BTreeSet;

use base::rng::{Rng, SeededRng};
use base::units::{Extent, SECTOR_LEN};

use super::{Loss, SimWorld};
use crate::{AnyDisk, Buffer, Durability, Keep, Shelf, Usage};

const SECTORS: u64 = 48;

/// What one sector may hold after a loss of power: what is stable, and everything written over it since.
#[derive(Clone)]
struct Sector {
    now: u8,
    possible: BTreeSet<u8>,
}

/// What the disk should hold.
struct Model {
    sectors: Vec<Sector>,
    /// What was asked for when the power went.
    in_flight: Option<(Extent, u8)>,
}

impl Model {
    fn new() -> Self {
        let fresh = Sector { now: 0, possible: BTreeSet::from([0]) };
        Self { sectors: (0..SECTORS).map(|_| fresh.clone()).collect(), in_flight: None }
    }

    fn part(&mut self, extent: Extent) -> &mut [Sector] {
        let place = |sector| usize::try_from(sector).unwrap();
        &mut self.sectors[place(extent.start)..place(extent.end())]
    }

    /// Something that may or may not have happened.
    fn maybe(&mut self, extent: Extent, fill: u8) {
        self.in_flight = Some((extent, fill));
        for sector in self.part(extent) {
            sector.possible.insert(fill);
        }
    }

    fn done(&mut self, extent: Extent, fill: u8, durability: Durability) {
        for sector in self.part(extent) {
            sector.now = fill;
            match durability {
                Durability::Volatile => {
                    sector.possible.insert(fill);
                }
                Durability::Stable => sector.possible = BTreeSet::from([fill]),
            }
        }
    }

    fn flushed(&mut self) {
        self.sectors.iter_mut().for_each(|sector| sector.possible = BTreeSet::from([sector.now]));
    }
}

/// One random operation, in the model too. `false` where the power went.
async fn one_step(disk: &AnyDisk, rng: &SeededRng, model: &mut Model) -> bool {
    let start = rng.below(SECTORS);
    let extent = Extent::new(start, 1 + rng.below((SECTORS - start).min(20)));
    let fill = u8::try_from(1 + rng.below(255)).unwrap();
    let durability = if rng.below(5) == 0 { Durability::Stable } else { Durability::Volatile };
    let (result, fill) = match rng.below(8) {
        0 => {
            let flushed = disk.flush().await;
            if flushed.is_ok() {
                model.flushed();
            }
            return flushed.is_ok();
        }
        1 => (disk.write_zeroes(extent, Keep::Space).await.map(|()| Durability::Volatile), 0),
        2 => (disk.discard(extent).await.map(|()| Durability::Volatile), 0),
        _ => {
            let bytes = vec![fill; usize::try_from(extent.bytes()).unwrap()];
            let data = vec![Buffer::copy_of(&bytes).unwrap().freeze()];
            (disk.write(extent.start, data, durability).await.map(|()| durability), fill)
        }
    };
    match result {
        Ok(durability) => model.done(extent, fill, durability),
        Err(_) => model.maybe(extent, fill),
    }
    result.is_ok()
}

fn look(world: &SimWorld) -> Vec<u8> {
    let bytes = world.content("d", Extent::new(0, SECTORS));
    let sectors = bytes.chunks(SECTOR_LEN);
    sectors
        .map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is torn");
            sector[0]
        })
        .collect()
}

#[tokio::test]
async fn after_any_loss_every_sector_holds_what_a_disk_might() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..1500 {
        let rng = SeededRng::new(seed);
        let world = SimWorld::new(seed);
        let disk = world.shelf().create("d", SECTORS, Usage::Data).unwrap();
        world.cut_at(1 + rng.below(40));
        let mut model = Model::new();
        while one_step(&disk, &rng, &mut model).await {}
        let losses = [Loss::All, Loss::None, Loss::Seeded(seed), Loss::Subset(rng.next_u64())];
        for loss in losses {
            let after = look(&world.after_power_loss(loss));
            for (index, (byte, sector)) in after.iter().zip(&model.sectors).enumerate() {
                let is_right = sector.possible.contains(byte);
                assert!(is_right, "seed {seed} {loss:?} sector {index}\n{}", world.trace());
                kept += u64::from(*byte == sector.now);
                lost += u64::from(*byte != sector.now);
            }
        }
        // A killed process loses nothing that was answered; what was in flight is there or not.
        let killed = look(&world.after_kill(seed));
        let as_answered: Vec<u8> = model.sectors.iter().map(|sector| sector.now).collect();
        let mut with_the_last = as_answered.clone();
        if let Some((extent, fill)) = model.in_flight {
            let place = |sector| usize::try_from(sector).unwrap();
            with_the_last[place(extent.start)..place(extent.end())].fill(fill);
        }
        assert!(killed == as_answered || killed == with_the_last, "seed {seed}\n{}", world.trace());
    }
    assert!(kept > 10_000 && lost > 10_000, "{kept} kept, {lost} lost: nothing was tried");
}
