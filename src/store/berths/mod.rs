//! Berths: where the cells of a thin volume lie, so that a large write is written once and not twice.
//!
//! A volume is cut into cells. Each has its home in the base, and beside the base lies a spare disk with
//! room for some cells more; a place for one cell, home or spare, is a berth. A write of whole cells goes
//! to free berths at once, past the journal, which only learns which they are, and what they must hold.
//! When that is applied, the cell is moored at its new berth; the berth that it leaves is free once a
//! checkpoint knows that it has left, and the journal has no frame any more that tells of it: replay puts
//! all of them back in their order. Whatever is smaller than a cell goes through the journal and is
//! written in place, in the berth that the cell has.
//!
//! So there are always as many berths without a cell as the spare disk has; some of them are held back for
//! replay. Which cell lies where is kept in a table like that of the checksums: a cell without an entry is
//! at home. It lies in memory as far as cells have ever moved.

mod disk;
mod spot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::disk::{AnyDisk, Buffer, DiskError, Payload, Reply, Request};
use base::units::{Extent, Run, SECTORS_PER_BLOCK};

use crate::checksum_table::{CODES_PER_SECTOR, ChecksumTable, Code};

pub(crate) use disk::BerthedDisk;
pub use spot::{Berth, CELLS_MAX, Spot};

/// Berths of the largest spare disk: 512 MiB of 64 KiB each, enough for what a fast disk takes between two
/// checkpoints.
const SPARES_MAX: u64 = 8192;
/// Those of the smallest: one long write, and what replay may need beside it.
const SPARES_MIN: u64 = 8;
/// Codes of the table below this one say something else of a block.
const FIRST_CODE: u32 = 3;
/// Cells that are looked at at once.
const CELLS_AT_ONCE: u64 = CODES_PER_SECTOR * 8;

/// How many spare berths a volume of so many cells gets.
pub(crate) fn spares_for(cells: u64) -> u64 {
    (cells / 4).clamp(SPARES_MIN, SPARES_MAX)
}

/// A berth that the journal tells of.
struct Told {
    cell: u64,
    /// The newest frame that does.
    frame: u64,
}

#[derive(Default)]
struct State {
    /// Neither moored at, nor written to, nor told of.
    free: BTreeSet<Berth>,
    told: BTreeMap<Berth, Told>,
    /// How many of those have their cell moored there. After a crash such a cell has to make room until it is
    /// moored again: as many of the free ones are not handed out.
    held_back: usize,
    /// Left by their cells since the last checkpoint, and not told of.
    left: Vec<Berth>,
    /// Where the next search begins: neighbours are handed out together.
    next: Option<Berth>,
}

impl State {
    fn available(&self) -> usize {
        self.free.len().saturating_sub(self.held_back)
    }

    fn hand_out(&mut self, count: usize) -> Vec<Berth> {
        let from = self.next.unwrap_or(Berth::home(0));
        let behind = self.free.range(from..);
        let berths: Vec<Berth> =
            behind.chain(self.free.range(..from)).take(count).copied().collect();
        for berth in &berths {
            self.free.remove(berth);
        }
        self.next = berths.last().copied();
        berths
    }
}

/// The berths of one volume.
pub(crate) struct Berths {
    cell_blocks: u64,
    spares: u64,
    home: AnyDisk,
    spare: AnyDisk,
    table: ChecksumTable,
    state: Mutex<State>,
    /// Whether anything ever went past the homes.
    is_in_use: AtomicBool,
    has_lost_some: AtomicBool,
}

impl Berths {
    /// The berths of `cells` cells, by what the table says.
    ///
    /// # Errors
    /// What the table's disks say.
    pub async fn open(
        cell_blocks: u64,
        cells: u64,
        [home, spare]: [AnyDisk; 2],
        table: ChecksumTable,
    ) -> Result<Self, DiskError> {
        let spares = spare.geometry().sectors / (cell_blocks * SECTORS_PER_BLOCK);
        let mut free: BTreeSet<Berth> = (0..spares).map(Berth::spare).collect();
        let mut moored = BTreeSet::new();
        let mut cell = 0;
        while cell < cells {
            let hole = table.hole_from(cell).await?;
            if hole > 0 {
                cell += hole;
                continue;
            }
            let run = Run::new(cell, CELLS_AT_ONCE.min(cells - cell));
            for (code, cell) in table.get(run).await?.into_iter().zip(run.start..) {
                if let Some(berth) = berth_of(code) {
                    free.insert(Berth::home(cell));
                    moored.insert(berth);
                }
            }
            cell = run.end();
        }
        free.retain(|berth| !moored.contains(berth));
        let is_in_use = AtomicBool::new(!moored.is_empty());
        let state = Mutex::new(State { free, ..State::default() });
        let has_lost_some = AtomicBool::new(false);
        let berths =
            Self { cell_blocks, spares, home, spare, table, state, is_in_use, has_lost_some };
        moored.into_iter().for_each(|berth| berths.expect(berth));
        Ok(berths)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks of a cell.
    pub fn cell_blocks(&self) -> u64 {
        self.cell_blocks
    }

    /// Whether a berth that is needed is not there: the spare disk has lost its end.
    pub fn has_lost_some(&self) -> bool {
        self.has_lost_some.load(Ordering::Acquire)
    }

    fn expect(&self, berth: Berth) {
        if !self.is_within(berth.spot(self.cell_blocks), self.cell_blocks) {
            self.has_lost_some.store(true, Ordering::Release);
        }
    }

    /// Whether so many blocks from a spot on are on their disk.
    pub fn is_within(&self, spot: Spot, blocks: u64) -> bool {
        let extent = Extent::new(spot.sector(), blocks * SECTORS_PER_BLOCK);
        !spot.is_spare || extent.fits(self.spare.geometry().sectors)
    }

    /// Whether so few berths are free that some should be won back.
    pub fn is_low(&self) -> bool {
        (self.lock().available() as u64) < self.spares / 2
    }

    /// Hands berths out, neighbours as far as there are; `None` where so many are not free.
    pub fn take(&self, count: u64) -> Option<Vec<Berth>> {
        let mut state = self.lock();
        let count = usize::try_from(count).ok().filter(|count| *count <= state.available())?;
        self.is_in_use.store(true, Ordering::Release);
        Some(state.hand_out(count))
    }

    /// Takes berths back that nothing refers to.
    pub fn give_back(&self, berths: &[Berth]) {
        self.lock().free.extend(berths);
    }

    /// Notes that a frame of the journal tells that a berth was written for a cell.
    pub fn note(&self, cell: u64, berth: Berth, frame: u64) {
        let mut state = self.lock();
        state.free.remove(&berth);
        let is_new = state.told.insert(berth, Told { cell, frame }).is_none();
        state.held_back += usize::from(is_new && self.of(cell) == berth);
        drop(state);
        self.expect(berth);
        self.is_in_use.store(true, Ordering::Release);
    }

    /// Whether anything ever went past the homes.
    pub fn is_in_use(&self) -> bool {
        self.is_in_use.load(Ordering::Acquire)
    }

    /// Brings what the table says of a cell into memory, so that it can be moored.
    ///
    /// # Errors
    /// What the table's disks say.
    pub async fn load(&self, cell: u64) -> Result<(), DiskError> {
        self.table.load(Run::new(cell, 1)).await
    }

    /// Moors a cell, which was loaded, at a berth; false where it lies there already.
    pub fn moor(&self, cell: u64, berth: Berth) -> bool {
        let home = Berth::home(cell);
        let code = match berth {
            _ if berth == home => Code::Absent,
            _ => Code::Data(berth.raw().saturating_add(FIRST_CODE)),
        };
        let mut state = self.lock();
        let before = self.table.set(cell, code);
        if before == code {
            return false;
        }
        let left = berth_of(before).unwrap_or(home);
        if state.told.contains_key(&left) {
            state.held_back = state.held_back.saturating_sub(1);
        } else {
            state.left.push(left);
        }
        state.held_back += usize::from(state.told.contains_key(&berth));
        true
    }

    /// Moors a cell elsewhere where it lies in this berth, which is told of; what it held there stays.
    pub fn vacate(&self, cell: u64, berth: Berth) {
        if self.of(cell) != berth {
            return;
        }
        let elsewhere = self.lock().hand_out(1);
        match elsewhere[..] {
            [elsewhere] => _ = self.moor(cell, elsewhere),
            // One was held back for it; it is not there any more where the spare disk has lost its end.
            _ => self.has_lost_some.store(true, Ordering::Release),
        }
    }

    /// Makes free what a checkpoint allows that was just committed: what was left before it, and what only
    /// frames before its first one told of.
    pub fn committed(&self, first_frame: u64) {
        let mut state = self.lock();
        let mut free = std::mem::take(&mut state.left);
        let mut moored = 0;
        state.told.retain(|berth, told| {
            if told.frame >= first_frame {
                return true;
            }
            if self.of(told.cell) == *berth {
                moored += 1;
            } else {
                free.push(*berth);
            }
            false
        });
        state.held_back = state.held_back.saturating_sub(moored);
        state.free.extend(free);
    }

    /// Writes to neighbouring berths from a spot on.
    pub fn write(&self, spot: Spot, data: Vec<Payload>, reply: Reply) {
        let durability = ::disk::Durability::Volatile;
        let op = ::disk::Op::Write { start: spot.sector(), data, durability };
        self.disk_of(spot).submit(vec![Request { op, reply }]);
    }

    /// Hands requests down to the disks that their spots lie on.
    pub fn submit(&self, requests: Vec<(Spot, Request)>) {
        let (spare, home): (Vec<_>, Vec<_>) =
            requests.into_iter().partition(|(spot, _)| spot.is_spare);
        for (disk, batch) in [(&self.home, home), (&self.spare, spare)] {
            if !batch.is_empty() {
                disk.submit(batch.into_iter().map(|(_, request)| request).collect());
            }
        }
    }

    /// Reads blocks of neighbouring berths from a spot on. Not checked.
    pub fn read(
        &self,
        spot: Spot,
        blocks: u64,
    ) -> impl Future<Output = Result<Buffer, DiskError>> + use<> {
        self.disk_of(spot).read(Extent::new(spot.sector(), blocks * SECTORS_PER_BLOCK))
    }

    /// The disk that a spot lies on.
    fn disk_of(&self, spot: Spot) -> &AnyDisk {
        if spot.is_spare { &self.spare } else { &self.home }
    }

    /// Makes the table stable.
    ///
    /// # Errors
    /// What its disks say.
    pub async fn write_out(&self) -> Result<(), DiskError> {
        self.table.write_out().await
    }

    /// The table, for those who look for damage.
    pub fn table(&self) -> &ChecksumTable {
        &self.table
    }

    /// Bytes of memory that it takes.
    pub fn memory_bytes(&self) -> u64 {
        let state = self.lock();
        let berths = state.free.len() + state.told.len() * 2 + state.left.len();
        berths as u64 * 16 + self.table.memory_bytes()
    }

    /// Where a cell lies.
    fn of(&self, cell: u64) -> Berth {
        berth_of(self.table.peek(cell)).unwrap_or(Berth::home(cell))
    }
}

/// The disk that a volume's blocks are read from and written to, by where they lie.
pub(crate) fn berthed(berths: &Arc<Berths>) -> AnyDisk {
    Arc::new(BerthedDisk::new(Arc::clone(berths)))
}

fn berth_of(code: Code) -> Option<Berth> {
    match code {
        Code::Data(raw) => Some(Berth::from_raw(raw.saturating_sub(FIRST_CODE))),
        Code::Absent | Code::Zero | Code::ZeroKept => None,
    }
}

#[cfg(test)]
mod tests;
