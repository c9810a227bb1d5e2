//! The question: how do cost and memory grow with the size of a volume, with marks, with connections and
//! with the entries of the epoch map?
//!
//! Along each curve one of them grows and everything else stays. `growth.rs` makes tables and plots of it.

use crate::cell::{self, Cell};
use crate::client::Limit;
use crate::contender::Site;
use crate::entries::{ENTRIES_LEAST, Entries};
use crate::growth::{Axis, Point, Span};
use crate::lab::{Lab, Load};
use crate::payload::Content;
use crate::plan::Area;
use crate::settings::Reach;
use crate::{Outcome, Settings};

/// A file of ext4 ends a block short of 16 TiB.
const SIZES: [u64; 6] = [1 << 30, 1 << 34, 1 << 38, 1 << 40, 1 << 42, (1 << 44) - (1 << 30)];
const MARKS: [u64; 5] = [1, 4, 16, 64, 256];
const CONNECTIONS: [u64; 4] = [1, 4, 16, 64];
const ENTRIES: [u64; 5] = [10_000, 100_000, 1_000_000, 3_000_000, 10_000_000];
/// The cells that are measured at each point.
const CELLS: [&str; 3] = ["read", "write", "sync"];
/// Blocks in use in a volume of any size: 16 MiB. Each is an extent of three files, and takes the file
/// system a while to remove.
const PLACES: u64 = 1 << 12;
/// Blocks that change between two marks that are held.
const CHANGES: u64 = 256;
/// Requests in flight where connections grow, all of them together.
const IN_FLIGHT: usize = 64;

/// What stays the same along a curve.
struct Trial<'a> {
    lab: &'a Lab,
    axis: Axis,
    volume: &'a str,
    area: Area,
    round: u32,
    connections: usize,
}

/// Measures every curve that is asked for.
///
/// # Errors
/// Where Tidemark fails.
pub async fn ask(settings: &Settings, site: &Site, reach: &Reach) -> Outcome<Vec<Point>> {
    let mut points = Vec::new();
    let mut lab = Lab::open(settings, site).await?;
    if reach.has("size") {
        for round in 0..settings.rounds {
            for size in SIZES.into_iter().filter(|size| *size <= reach.size_max.0) {
                of_size(&mut lab, size, round, &mut points).await?;
            }
        }
    }
    if reach.has("marks") {
        of_marks(&mut lab, settings, reach.marks_max, &mut points).await?;
    }
    if reach.has("connections") {
        of_connections(&mut lab, settings, reach.connections_max, &mut points).await?;
    }
    if reach.has("entries") {
        of_entries(&mut lab, settings, reach.entries_max, &mut points).await?;
    }
    lab.close().await?;
    Ok(points)
}

/// The same blocks in use, spread over the whole volume; and as many in a row in the middle of it.
async fn of_size(lab: &mut Lab, size: u64, round: u32, points: &mut Vec<Point>) -> Outcome<()> {
    // A fresh start, so that memory is that of this volume alone.
    lab.restart().await?;
    let volume = "size";
    lab.api.create_volume(volume, size)?;
    let spread = Area::spread(size, PLACES);
    let near = Area::dense(size / 2, PLACES * 4096, 4096);
    lab.fill(volume, spread, Content::Random).await?;
    lab.fill(volume, near, Content::Random).await?;
    lab.settle().await?;
    let trial = Trial { lab, axis: Axis::Size, volume, area: spread, round, connections: 1 };
    trial.cells(size, points).await?;
    trial.mark(size, points).await?;
    let trial = Trial { area: near, ..trial };
    trial.cell("read", Span::Near, size, points).await?;
    trial.cell("write", Span::Near, size, points).await?;
    lab.api.remove_volume(volume)?;
    lab.settle().await.map(drop)
}

/// Marks with changes between them; the newest is taken anew in each round, so that writes are first ones.
async fn of_marks(
    lab: &mut Lab,
    settings: &Settings,
    marks_max: u64,
    points: &mut Vec<Point>,
) -> Outcome<()> {
    lab.restart().await?;
    let volume = "marks";
    let area = lab.full(volume, settings.size.0).await?;
    let write = *cell::named("write")?;
    let mut held = 0;
    for wanted in MARKS.into_iter().filter(|marks| *marks <= marks_max) {
        // One less than the point says while marks are measured, each of which is the one more.
        while held + 1 < wanted {
            held += 1;
            lab.api.take_mark(volume, &format!("held-{held}"))?;
            let load = Load { export: volume, cell: write, area, connections: 1, seed: held };
            lab.load(&load, Limit::time(lab.time()).requests(CHANGES)).await?;
        }
        for round in 0..settings.rounds {
            lab.settle().await?;
            let trial = Trial { lab, axis: Axis::Marks, volume, area, round, connections: 1 };
            trial.mark(wanted, points).await?;
            lab.api.take_mark(volume, "newest")?;
            trial.cells(wanted, points).await?;
            let oldest = if wanted > 1 { "held-1" } else { "newest" };
            trial.oldest(&format!("{volume}@{oldest}"), area, wanted, points).await?;
            lab.api.remove_mark(volume, "newest")?;
        }
    }
    lab.settle().await?;
    lab.api.remove_volume(volume)
}

/// As many requests in flight as ever, over more and more connections; with FLUSHes, one on each.
async fn of_connections(
    lab: &mut Lab,
    settings: &Settings,
    connections_max: u64,
    points: &mut Vec<Point>,
) -> Outcome<()> {
    lab.restart().await?;
    let volume = "connections";
    let area = lab.full(volume, settings.size.0).await?;
    lab.settle().await?;
    for round in 0..settings.rounds {
        for count in CONNECTIONS.into_iter().filter(|count| *count <= connections_max) {
            let connections = usize::try_from(count)?;
            let axis = Axis::Connections;
            let trial = Trial { lab, axis, volume, area, round, connections };
            trial.cells(count, points).await?;
            trial.mark(count, points).await?;
        }
    }
    lab.api.remove_volume(volume)
}

/// More and more entries that the measured blocks have no part in.
async fn of_entries(
    lab: &mut Lab,
    settings: &Settings,
    entries_max: u64,
    points: &mut Vec<Point>,
) -> Outcome<()> {
    lab.restart().await?;
    let volume = "entries";
    let mut entries = Entries::of(lab, volume, entries_max).await?;
    let wanted = |count: &u64| (ENTRIES_LEAST..=entries_max).contains(count);
    for count in ENTRIES.into_iter().filter(wanted) {
        entries.grow_to(lab, count).await?;
        let area = entries.measured();
        for round in 0..settings.rounds {
            let trial = Trial { lab, axis: Axis::Entries, volume, area, round, connections: 1 };
            trial.cells(count, points).await?;
            trial.oldest(&entries.oldest_mark(), entries.making(), count, points).await?;
            trial.mark(count, points).await?;
        }
    }
    lab.api.remove_volume(volume)
}

impl Trial<'_> {
    async fn cells(&self, at: u64, points: &mut Vec<Point>) -> Outcome<()> {
        for name in CELLS {
            self.cell(name, Span::Live, at, points).await?;
        }
        Ok(())
    }

    async fn cell(&self, name: &str, span: Span, at: u64, points: &mut Vec<Point>) -> Outcome<()> {
        let load = self.of(name)?;
        let cost = self.lab.cost(&load).await?;
        self.book(span.line(load.cell.name), at, cost, points);
        Ok(())
    }

    /// Reads of a mark, where its blocks have to be looked up.
    async fn oldest(
        &self,
        export: &str,
        area: Area,
        at: u64,
        points: &mut Vec<Point>,
    ) -> Outcome<()> {
        let load = Load { export, area, ..self.of("read")? };
        let cost = self.lab.cost(&load).await?;
        self.book(Span::Mark.line("read"), at, cost, points);
        Ok(())
    }

    async fn mark(&self, at: u64, points: &mut Vec<Point>) -> Outcome<()> {
        let cost = self.lab.mark_cost(self.volume, &self.of("first")?).await?;
        self.book("mark", at, cost, points);
        Ok(())
    }

    fn of(&self, name: &str) -> Outcome<Load<'_>> {
        let (area, connections) = (self.area, self.connections);
        let seed = u64::from(self.round) * 7919 + 1;
        let cell = *cell::named(name)?;
        let depth = match self.axis {
            Axis::Connections if cell.depth > 1 => IN_FLIGHT,
            Axis::Size | Axis::Marks | Axis::Connections | Axis::Entries => cell.depth,
        };
        let cell = Cell { depth, ..cell };
        Ok(Load { export: self.volume, cell, area, connections, seed })
    }

    fn book(&self, line: &'static str, at: u64, cost: crate::lab::Cost, points: &mut Vec<Point>) {
        let point = Point { axis: self.axis, at, round: self.round, line, cost };
        eprintln!("{point:?}");
        points.push(point);
    }
}
