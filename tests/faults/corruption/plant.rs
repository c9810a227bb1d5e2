//! Damage: where it can be put, and what a disk may do to the bytes there.

use std::collections::BTreeMap;

use base::rng::Rng;
use base::units::{BLOCK_LEN, Extent, SECTOR_LEN, SECTORS_PER_BLOCK};
use disk::sim::SimWorld;
use disk::{Shelf, Usage};

/// A structure of a pool, by the disk that it lies on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Structure {
    Superblock,
    Checkpoint,
    Journal,
    Base,
    Spare,
    Sums,
    Berths,
    Preserved,
    Map,
}

impl Structure {
    fn of(disk: &str) -> Self {
        match disk.split_once('.').map_or(disk, |(_, part)| part) {
            "superblock" => Self::Superblock,
            "journal" => Self::Journal,
            "base" => Self::Base,
            "spare" => Self::Spare,
            part if part.starts_with("sums-") => Self::Sums,
            part if part.starts_with("berths-") => Self::Berths,
            part if part.starts_with("preserved-") => Self::Preserved,
            part if part.starts_with("map-") => Self::Map,
            other => {
                assert!(other.starts_with("checkpoint-"), "what is {disk}?");
                Self::Checkpoint
            }
        }
    }
}

/// A block of a disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub disk: String,
    pub block: u64,
}

impl Place {
    fn extent(&self) -> Extent {
        Extent::new(self.block * SECTORS_PER_BLOCK, SECTORS_PER_BLOCK)
    }

    fn bytes(&self, machine: &SimWorld) -> Vec<u8> {
        machine.content(&self.disk, self.extent())
    }
}

/// The blocks of a machine that hold something, by structure.
pub struct Places(BTreeMap<Structure, Vec<Place>>);

impl Places {
    /// Looks through all disks.
    pub fn of(machine: &SimWorld) -> Self {
        let mut all: BTreeMap<Structure, Vec<Place>> = BTreeMap::new();
        for disk in machine.shelf().list().unwrap() {
            for block in 0..sectors_of(machine, &disk) / SECTORS_PER_BLOCK {
                let place = Place { disk: disk.clone(), block };
                if place.bytes(machine).iter().any(|byte| *byte != 0) {
                    all.entry(Structure::of(&disk)).or_default().push(place);
                }
            }
        }
        Self(all)
    }

    /// One of them; every structure comes up as often as any other.
    fn pick(&self, rng: &dyn Rng) -> (Structure, Place) {
        let structure = self.0.keys().nth(index(rng, self.0.len())).unwrap();
        (*structure, self.pick_of(*structure, rng))
    }

    fn pick_of(&self, structure: Structure, rng: &dyn Rng) -> Place {
        let places = &self.0[&structure];
        places[index(rng, places.len())].clone()
    }
}

/// What a disk did.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Wrong {
    /// A few bits of a sector changed.
    Flipped,
    /// A sector holds noise.
    Noise,
    /// A sector reads as zeroes.
    ZeroSector,
    /// A block reads as zeroes.
    ZeroBlock,
    /// A block holds what was written to another one.
    Misdirected,
    /// A sector holds what was written to another one.
    MisdirectedSector,
    /// Two blocks changed places.
    Swapped,
    /// A block holds what it held some time ago.
    Stale,
    /// A disk lost its end.
    Truncated,
}

const KINDS: [Wrong; 12] = [
    Wrong::Flipped,
    Wrong::Flipped,
    Wrong::Noise,
    Wrong::ZeroSector,
    Wrong::ZeroBlock,
    Wrong::Misdirected,
    Wrong::MisdirectedSector,
    Wrong::Swapped,
    Wrong::Stale,
    Wrong::Stale,
    Wrong::Stale,
    Wrong::Truncated,
];

/// Damage that was drawn.
#[derive(Clone, Debug)]
pub struct Damage {
    pub structure: Structure,
    pub wrong: Wrong,
    pub at: Place,
    /// What the disks hold afterwards, from which sector on.
    bytes: Vec<(String, u64, Vec<u8>)>,
    truncate: Option<u64>,
}

impl Damage {
    /// Draws one; `None` where it would change nothing. `old` is the machine some time ago.
    pub fn draw(
        machine: &SimWorld,
        old: &SimWorld,
        places: &Places,
        rng: &dyn Rng,
    ) -> Option<Self> {
        let (structure, at) = places.pick(rng);
        let wrong = KINDS[index(rng, KINDS.len())];
        let mut damage = Self { structure, wrong, at, bytes: Vec::new(), truncate: None };
        damage.decide(machine, old, places, rng);
        let changes = damage.bytes.iter().any(|(disk, start, bytes)| {
            let extent = Extent::new(*start, (bytes.len() / SECTOR_LEN) as u64);
            machine.content(disk, extent) != *bytes
        });
        (changes || damage.truncate.is_some()).then_some(damage)
    }

    fn decide(&mut self, machine: &SimWorld, old: &SimWorld, places: &Places, rng: &dyn Rng) {
        let block = self.at.bytes(machine);
        let from = index(rng, BLOCK_LEN / SECTOR_LEN) * SECTOR_LEN;
        let sector = &block[from..from + SECTOR_LEN];
        let other = |rng: &dyn Rng| match rng.below(3) {
            0 => places.pick(rng).1,
            _ => places.pick_of(self.structure, rng),
        };
        match self.wrong {
            Wrong::Flipped => {
                let mut sector = sector.to_vec();
                for _ in 0..1 + rng.below(8) {
                    sector[index(rng, SECTOR_LEN)] ^= 1 << rng.below(8);
                }
                self.put(from, sector);
            }
            Wrong::Noise => {
                let noise = (0..SECTOR_LEN / 8).flat_map(|_| rng.next_u64().to_le_bytes());
                self.put(from, noise.collect());
            }
            Wrong::ZeroSector => self.put(from, vec![0; SECTOR_LEN]),
            Wrong::ZeroBlock => self.put(0, vec![0; BLOCK_LEN]),
            Wrong::Misdirected => self.put(0, other(rng).bytes(machine)),
            Wrong::MisdirectedSector => {
                let other = other(rng).bytes(machine);
                let first = index(rng, BLOCK_LEN / SECTOR_LEN) * SECTOR_LEN;
                self.put(from, other[first..first + SECTOR_LEN].to_vec());
            }
            Wrong::Swapped => {
                let other = places.pick_of(self.structure, rng);
                self.put(0, other.bytes(machine));
                self.bytes.push((other.disk.clone(), other.extent().start, block));
            }
            Wrong::Stale => {
                let is_there = old.shelf().list().unwrap().contains(&self.at.disk)
                    && self.at.extent().fits(sectors_of(old, &self.at.disk));
                self.put(0, if is_there { self.at.bytes(old) } else { vec![0; BLOCK_LEN] });
            }
            Wrong::Truncated => self.truncate = Some(rng.below(self.at.extent().end())),
        }
    }

    fn put(&mut self, from: usize, bytes: Vec<u8>) {
        let start = self.at.extent().start + (from / SECTOR_LEN) as u64;
        self.bytes.push((self.at.disk.clone(), start, bytes));
    }

    /// Does it to a machine.
    pub fn plant(&self, machine: &SimWorld) {
        for (disk, start, bytes) in &self.bytes {
            machine.plant(disk, *start, bytes);
        }
        if let Some(sectors) = self.truncate {
            machine.truncate(&self.at.disk, sectors);
        }
    }

    /// Whether a disk lost its end, which happens while nobody has it open.
    pub fn is_truncation(&self) -> bool {
        self.truncate.is_some()
    }

    /// Whether what was done is still there to be seen.
    pub fn is_there(&self, machine: &SimWorld) -> bool {
        let disks = machine.shelf().list().unwrap();
        let is_there = |(disk, start, bytes): &(String, u64, Vec<u8>)| {
            let extent = Extent::new(*start, (bytes.len() / SECTOR_LEN) as u64);
            disks.contains(disk)
                && extent.fits(sectors_of(machine, disk))
                && machine.content(disk, extent) == *bytes
        };
        self.bytes.iter().all(is_there)
            && self.truncate.is_none_or(|sectors| {
                disks.contains(&self.at.disk) && sectors_of(machine, &self.at.disk) == sectors
            })
    }

    /// Whether all of it lies within one copy of something that is kept twice.
    pub fn is_in_one_copy(&self) -> bool {
        let superblock_copy = |start: u64| start / SECTORS_PER_BLOCK;
        match self.structure {
            Structure::Superblock => {
                let mut copies = self.bytes.iter().map(|(_, start, _)| superblock_copy(*start));
                self.truncate.is_none() && copies.all(|copy| copy == self.at.block)
            }
            Structure::Checkpoint | Structure::Sums | Structure::Berths => {
                self.bytes.iter().all(|(disk, ..)| *disk == self.at.disk)
            }
            Structure::Journal
            | Structure::Base
            | Structure::Spare
            | Structure::Preserved
            | Structure::Map => false,
        }
    }
}

fn sectors_of(machine: &SimWorld, disk: &str) -> u64 {
    machine.shelf().open(disk, Usage::Data).unwrap().geometry().sectors
}

fn index(rng: &dyn Rng, len: usize) -> usize {
    usize::try_from(rng.below(len as u64)).unwrap()
}
