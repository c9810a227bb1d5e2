//! Tests of the epoch map, on disks in memory and on the simulated shelf.

mod basics;
mod damage;
mod model;

use std::sync::Arc;

use base::id::Id;
use disk::Shelf;

use super::page::Page;
use super::*;
use crate::preserved::{Form, Key, Place};

pub(super) const VOLUME: Id = Id(0x7651);

pub(super) fn setup(shelf: &Arc<dyn Shelf>) -> MapSetup {
    let options = MapOptions { memtable_entries: 64, runs_max: 4, merge_entries_per_step: 100 };
    let cache = Arc::new(PageCache::new(64 << 10));
    MapSetup { shelf: Arc::clone(shelf), volume: VOLUME, cache, options }
}

/// A place that tells which entry it belongs to.
pub(super) fn place_of(key: Key) -> Place {
    let sum = u32::try_from((key.block * 31 + key.sequence) & 0xffff_ffff).unwrap();
    Place { segment: sum % 7, sector: sum / 7, checksum: !sum, sectors: 8, form: Form::Raw }
}

pub(super) fn entry(block: u64, sequence: u64) -> (Key, Place) {
    let key = Key::new(block, sequence);
    (key, place_of(key))
}
