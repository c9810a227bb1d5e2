//! A volume whose epoch map has a known number of entries: first writes after marks, of distinct blocks.
//!
//! Its first part is written once after each mark, which makes the entries; its second part is where loads
//! are measured. That part is written once after the last mark as well, so that loads on it add nothing.

use std::time::Duration;

use crate::Outcome;
use crate::cell::{self, Cell};
use crate::client::Limit;
use crate::lab::Lab;
use crate::payload::Content;
use crate::plan::{Area, Plan};

/// Blocks of the part that makes entries, at most: 1 GiB.
const MAKING_MAX: u64 = 1 << 18;
/// Blocks of the part that is measured: 32 MiB.
const MEASURED: u64 = 1 << 13;
/// The entries that there are at least.
pub const ENTRIES_LEAST: u64 = MEASURED;

/// A volume and how many entries its map has.
pub struct Entries {
    volume: String,
    making: u64,
    count: u64,
    marks: u32,
}

impl Entries {
    /// A fresh volume for so many entries at most, both parts written and nothing preserved. What is
    /// written repeats itself, so that many entries take little space.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub async fn of(lab: &Lab, volume: &str, entries_max: u64) -> Outcome<Self> {
        // A power of two, which is what can be visited once in random order.
        let making = entries_max.next_power_of_two().clamp(MEASURED, MAKING_MAX);
        let size = (making + MEASURED) * 4096;
        lab.api.create_volume(volume, size)?;
        let whole = Area::dense(0, size, 4096);
        lab.fill(volume, whole, Content::Repeated).await?;
        lab.settle().await?;
        Ok(Self { volume: volume.to_owned(), making, count: 0, marks: 0 })
    }

    /// Where loads are measured.
    pub fn measured(&self) -> Area {
        Area::dense(self.making * 4096, MEASURED * 4096, 4096)
    }

    /// Where the entries are, whose blocks the oldest mark has to look up.
    pub fn making(&self) -> Area {
        Area::dense(0, self.making * 4096, 4096)
    }

    /// The export of the oldest mark.
    pub fn oldest_mark(&self) -> String {
        format!("{}@entries-1", self.volume)
    }

    /// Makes entries until there are so many, and waits until the work is done.
    ///
    /// # Errors
    /// Where there are more already, or the daemon does not answer well.
    pub async fn grow_to(&mut self, lab: &Lab, wanted: u64) -> Outcome<()> {
        let mut missing = wanted
            .checked_sub(self.count + MEASURED)
            .ok_or("there are more entries than are wanted: ask for more")?;
        while missing > 0 {
            let count = missing.min(self.making);
            self.write_once(lab, self.making(), count).await?;
            missing -= count;
        }
        self.write_once(lab, self.measured(), MEASURED).await?;
        self.count = wanted;
        lab.settle().await.map(drop)
    }

    async fn write_once(&mut self, lab: &Lab, area: Area, count: u64) -> Outcome<()> {
        self.marks += 1;
        lab.api.take_mark(&self.volume, &format!("entries-{}", self.marks))?;
        let first: &Cell = cell::named("first")?;
        let mut plan = Plan::over(*first, area, self.marks.into());
        let mut client = lab.server.connect_to(&self.volume).await?;
        client.write(Content::Repeated);
        client.run(&mut plan, first.depth, Limit::time(Duration::MAX).requests(count)).await?;
        client.disconnect().await
    }
}
