//! Corruption planted in every structure of pools that lie still and of pools that run.
//!
//! Whatever a disk does to bytes that were stable: a read answers what was written or an error that names
//! the block, an opening works or says what is broken, and what is kept twice is served from the copy
//! that is whole. Damage that nothing of this notices lies where nothing is, or where it makes no
//! difference; it is counted apart.

mod plant;
mod scene;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use plant::{Structure, Wrong};

/// What became of damage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fate {
    /// The pool did not open and said why.
    NotOpened,
    /// Some reads were refused.
    Refused,
    /// Everything was served; a scrub, a warning or the background work told of it.
    Reported,
    /// It was written over from the other copy.
    Healed,
    /// Nothing noticed, and nothing was wrong.
    WithoutEffect,
}

/// Counts damage by where it was and what became of it.
#[derive(Default)]
struct Tally {
    counts: Mutex<BTreeMap<(Structure, Fate), u64>>,
    kinds: Mutex<BTreeMap<Wrong, u64>>,
    noticed: AtomicU64,
}

impl Tally {
    fn count(&self, structure: Structure, wrong: Wrong, fate: Fate) {
        *self.counts.lock().unwrap().entry((structure, fate)).or_default() += 1;
        if fate != Fate::WithoutEffect {
            *self.kinds.lock().unwrap().entry(wrong).or_default() += 1;
            self.noticed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn report(&self) {
        let counts = self.counts.lock().unwrap();
        let planted: u64 = counts.values().sum();
        let noticed = self.noticed.load(Ordering::Relaxed);
        println!(
            "result: {planted} corruptions planted, {noticed} detected, {} without effect, none served",
            planted - noticed
        );
        let mut by_structure: BTreeMap<Structure, String> = BTreeMap::new();
        for ((structure, fate), count) in counts.iter() {
            let line = by_structure.entry(*structure).or_default();
            // Writing to a string does not fail.
            let _ = write!(line, " {fate:?} {count}");
        }
        for (structure, line) in by_structure {
            println!("note: {structure:?}:{line}");
        }
        println!("note: detected by kind: {:?}", self.kinds.lock().unwrap());
    }
}

/// Plants damage in pools from `first` on until so many were detected.
pub fn detects(wanted: u64, first: u64) {
    let tally = Tally::default();
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while tally.noticed.load(Ordering::Relaxed) < wanted {
                    scene::plant_many(next.fetch_add(1, Ordering::Relaxed), &tally);
                }
            });
        }
    });
    tally.report();
}

#[test]
fn damage_is_detected_and_never_served() {
    detects(300, 0);
}
