//! The requests of a cell, one after the other: pure, and the same for every contender from one seed.

use base::rng::{Rng, SeededRng};

use crate::cell::{Cell, Pattern};

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Bytes from the disk.
    Read,
    /// Bytes to the disk.
    Write,
    /// What was written made durable.
    Flush,
}

/// One request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// What it asks for.
    pub kind: Kind,
    /// The first byte.
    pub offset: u64,
    /// How many bytes; 0 for a flush.
    pub len: u32,
}

/// Requests without an end, one after the other.
pub trait Requests {
    /// The next request.
    fn next(&mut self) -> Request;
}

/// The places that a load visits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// Where the first one begins, in bytes.
    pub start: u64,
    /// How many there are.
    pub places: u64,
    /// Bytes from the start of one to the start of the next.
    pub stride: u64,
}

impl Area {
    /// All places of `len` bytes in `size` bytes from `start` on, side by side.
    pub fn dense(start: u64, size: u64, len: u32) -> Self {
        Self { start, places: size / u64::from(len), stride: u64::from(len) }
    }

    /// So many places, as far from each other as `size` bytes allow in whole blocks.
    pub fn spread(size: u64, places: u64) -> Self {
        const BLOCK: u64 = 4096;
        Self { start: 0, places, stride: (size / places / BLOCK * BLOCK).max(BLOCK) }
    }
}

/// The endless sequence of requests of a cell over a disk.
#[derive(Debug)]
pub struct Plan {
    cell: Cell,
    area: Area,
    chance: SeededRng,
    index: u64,
    writes_unflushed: u32,
    mixer: u64,
}

impl Plan {
    /// The requests of `cell` on a disk of `size` bytes.
    pub fn new(cell: Cell, size: u64, seed: u64) -> Self {
        Self::over(cell, Area::dense(0, size, cell.len), seed)
    }

    /// The requests of `cell` on these places of a disk.
    pub fn over(cell: Cell, area: Area, seed: u64) -> Self {
        let chance = SeededRng::new(seed);
        let mixer = chance.next_u64() | 1;
        Self { cell, area, chance, index: 0, writes_unflushed: 0, mixer }
    }

    /// How many requests without a repetition there are, where the pattern has such a number.
    pub fn once(&self) -> Option<u64> {
        (self.cell.pattern == Pattern::EachOnce).then_some(self.places_mixed())
    }

    /// The largest power of two of places: what `mixed` can put into another order.
    fn places_mixed(&self) -> u64 {
        1 << self.area.places.ilog2()
    }
}

impl Requests for Plan {
    fn next(&mut self) -> Request {
        if self.cell.flush_every > 0 && self.writes_unflushed == self.cell.flush_every {
            self.writes_unflushed = 0;
            return Request { kind: Kind::Flush, offset: 0, len: 0 };
        }
        let kind = match self.cell.pattern {
            Pattern::RandomRead | Pattern::SequentialRead => Kind::Read,
            Pattern::Mixed if self.chance.below(10) < 7 => Kind::Read,
            _ => Kind::Write,
        };
        let place = match self.cell.pattern {
            Pattern::SequentialRead | Pattern::SequentialWrite => self.index % self.area.places,
            Pattern::EachOnce => mixed(self.index, self.places_mixed(), self.mixer),
            Pattern::RandomRead | Pattern::RandomWrite | Pattern::Mixed => {
                self.chance.below(self.area.places)
            }
        };
        self.index += 1;
        self.writes_unflushed += u32::from(kind == Kind::Write);
        let offset = self.area.start + place * self.area.stride;
        Request { kind, offset, len: self.cell.len }
    }
}

/// One step of a random order of `0..count`, which is a power of two: every round of shifting and
/// multiplying by an odd number is one-to-one.
fn mixed(index: u64, count: u64, odd: u64) -> u64 {
    let mask = count - 1;
    let shift = (count.ilog2() / 2).max(1);
    let mut place = index & mask;
    for _ in 0..3 {
        place ^= place >> shift;
        place = place.wrapping_mul(odd).wrapping_add(odd >> 32) & mask;
    }
    place
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cell::CELLS;

    fn plan(name: &str) -> Plan {
        let cell = CELLS.iter().find(|cell| cell.name == name).expect("a cell");
        Plan::new(*cell, 64 << 20, 7)
    }

    #[test]
    fn each_once_visits_every_place_once() {
        let mut plan = plan("first");
        let count = plan.once().unwrap();
        assert_eq!(count, (64 << 20) / 4096);
        let places: HashSet<u64> = (0..count).map(|_| plan.next().offset).collect();
        assert_eq!(places.len() as u64, count);
        assert!(places.iter().all(|offset| offset % 4096 == 0 && *offset < 64 << 20));
    }

    #[test]
    fn each_once_does_not_go_in_order() {
        let mut plan = plan("first");
        let offsets: Vec<u64> = (0..1000).map(|_| plan.next().offset).collect();
        let neighbours = offsets.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 65536);
        assert!(neighbours.count() < 20);
    }

    #[test]
    fn a_flush_follows_each_batch_of_writes() {
        for (name, batch) in [("group", 32), ("sync", 1)] {
            let mut plan = plan(name);
            for _ in 0..5 {
                assert!((0..batch).all(|_| plan.next().kind == Kind::Write));
                assert_eq!(plan.next().kind, Kind::Flush);
            }
        }
    }

    #[test]
    fn seven_of_ten_mail_requests_read() {
        let mut plan = plan("mail");
        let reads = (0..10_000).filter(|_| plan.next().kind == Kind::Read).count();
        assert!((6_700..7_300).contains(&reads), "{reads}");
    }

    #[test]
    fn places_are_spread_over_the_whole_disk_and_stay_in_it() {
        let size = 16 << 40;
        let area = Area::spread(size, 1 << 15);
        let cell = CELLS.iter().find(|cell| cell.name == "first").unwrap();
        let mut plan = Plan::over(*cell, area, 3);
        let offsets: HashSet<u64> = (0..1 << 15).map(|_| plan.next().offset).collect();
        assert_eq!(offsets.len(), 1 << 15);
        assert_eq!(offsets.iter().min(), Some(&0));
        let last = *offsets.iter().max().unwrap();
        assert!(last + 4096 <= size && last > size / 100 * 99, "{last}");
    }

    #[test]
    fn a_dense_area_begins_where_it_is_told_to() {
        let cell = CELLS.iter().find(|cell| cell.name == "write").unwrap();
        let mut plan = Plan::over(*cell, Area::dense(1 << 30, 8 << 20, 4096), 3);
        assert!(
            (0..1000).all(|_| ((1 << 30)..(1 << 30) + (8 << 20)).contains(&plan.next().offset))
        );
    }

    #[test]
    fn sequential_requests_wrap_around() {
        let mut plan = plan("swrite");
        let offsets: Vec<u64> = (0..65).map(|_| plan.next().offset >> 20).collect();
        assert_eq!(offsets[..3], [0, 1, 2]);
        assert_eq!(offsets[64], 0);
    }
}
