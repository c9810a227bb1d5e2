//! The disk that front doors see of a volume or view: its live contents.
//!
//! Whole-block requests that need one place only are carried out without a task of their own; everything
//! else goes through `image` and `partial`.

use std::sync::{Arc, Mutex, PoisonError};

use base::checksum::{self, Kind as Sum};
use base::limits::ATOMIC_WRITE_LEN_MAX;
use base::units::{BLOCK_LEN, Extent, Run, SECTORS_PER_BLOCK};
use disk::{
    Answer, Answers, Buffer, Disk, DiskError, Done, Durability, Geometry, Keep, Op, Payload, Reply,
    Request,
};

use crate::append::{Change, What};
use crate::aside::Read;
use crate::berths::Spot;
use crate::checksum_table::Code;
use crate::dirty::{Epochs, Source};
use crate::event::Kind;
use crate::image::{Point, first_misfit};
use crate::partial::Ask;
use crate::pool::{Core, Pool, Volume, Waiter};
use crate::status::VolumeState;

/// What front doors are told: writes of whole blocks need no reading.
pub(crate) const PHYSICAL_BLOCK_LEN: u32 = 4096;
/// What front doors are told: the product's promise, which a frame of the journal keeps.
const ATOMIC_WRITE_LEN: u32 = 128 * 1024;
const _: () = assert!(ATOMIC_WRITE_LEN as usize == ATOMIC_WRITE_LEN_MAX);
const _: () = assert!(PHYSICAL_BLOCK_LEN as usize == BLOCK_LEN);

/// The live contents of a volume or view.
pub(crate) struct LiveDisk {
    pub pool: Arc<Pool>,
    pub number: u32,
}

impl Disk for LiveDisk {
    fn geometry(&self) -> Geometry {
        let core = self.pool.lock();
        let sectors = core.registry.get(self.number).map_or(0, |entry| entry.sectors);
        let is_ready =
            core.volumes.get(&self.number).is_some_and(|live| live.state == VolumeState::Ready);
        Geometry {
            sectors,
            physical_block_len: PHYSICAL_BLOCK_LEN,
            atomic_write_len: ATOMIC_WRITE_LEN,
            is_read_only: !is_ready,
        }
    }

    fn submit(&self, batch: Vec<Request>) {
        self.pool.note_requests();
        let capacity = self.geometry().sectors;
        let mut changes = Vec::new();
        let mut reads = Vec::new();
        for Request { op, reply } in batch {
            if let Some(extent) = op.extent().filter(|extent| !extent.fits(capacity)) {
                reply.send(Err(DiskError::OutOfBounds { extent, capacity }));
                continue;
            }
            match op {
                Op::Read { start, buffer } => reads.push((start, buffer, reply)),
                Op::Write { start, data, durability } => {
                    changes.extend(self.write(start, data, durability, reply));
                }
                Op::Discard { extent, durability } => {
                    changes.extend(self.discard(extent, durability, reply));
                }
                Op::WriteZeroes { extent, keep, durability } => {
                    changes.extend(self.zero(extent, keep, durability, reply));
                }
                Op::Flush => self.pool.flush_journal(Waiter::Request(reply, Done::Flushed)),
                Op::Map { extent } => self.map(extent, reply),
            }
        }
        if !changes.is_empty() {
            self.pool.append(changes);
        }
        if !reads.is_empty() {
            self.read(reads);
        }
    }
}

impl LiveDisk {
    fn write(
        &self,
        start: u64,
        data: Vec<Payload>,
        durability: Durability,
        reply: Reply,
    ) -> Option<Change> {
        let extent = Extent::new(start, data.iter().map(Payload::sectors).sum());
        let waiter = Waiter::Request(reply, Done::Written);
        let is_stable = durability == Durability::Stable;
        if extent.is_empty() {
            self.nothing(waiter, is_stable);
            return None;
        }
        if !extent.is_block_aligned() {
            self.pool.write_partial(self.number, extent, data, Ask { waiter, is_stable });
            return None;
        }
        match in_whole_blocks(data) {
            Ok(data) => {
                let what = What::Write { run: extent.cover(), sums: sums_of(&data), data };
                let (volume, waiter) = (self.number, Some(waiter));
                let change = Change { volume, what, waiter, is_stable, is_owner: false };
                self.pool.berth(change)
            }
            Err(error) => {
                waiter.finish(Err(error));
                None
            }
        }
    }

    fn zero(
        &self,
        extent: Extent,
        keep: Keep,
        durability: Durability,
        reply: Reply,
    ) -> Option<Change> {
        let waiter = Waiter::Request(reply, Done::Zeroed);
        let is_stable = durability == Durability::Stable;
        if extent.is_empty() {
            self.nothing(waiter, is_stable);
            return None;
        }
        if !extent.is_block_aligned() {
            self.pool.zero_partial(self.number, extent, keep, Ask { waiter, is_stable });
            return None;
        }
        let what = What::Zero { run: extent.cover(), keep };
        Some(Change { volume: self.number, what, waiter: Some(waiter), is_stable, is_owner: false })
    }

    /// Only whole blocks are given back; what is left of others stays as it is.
    fn discard(&self, extent: Extent, durability: Durability, reply: Reply) -> Option<Change> {
        let waiter = Waiter::Request(reply, Done::Discarded);
        let is_stable = durability == Durability::Stable;
        let first = extent.start.div_ceil(SECTORS_PER_BLOCK);
        let run = Run::new(first, (extent.end() / SECTORS_PER_BLOCK).saturating_sub(first));
        if run.is_empty() {
            self.nothing(waiter, is_stable);
            return None;
        }
        let what = What::Zero { run, keep: Keep::Nothing };
        Some(Change { volume: self.number, what, waiter: Some(waiter), is_stable, is_owner: false })
    }

    fn nothing(&self, waiter: Waiter, is_stable: bool) {
        if is_stable { self.pool.flush_journal(waiter) } else { waiter.finish(Ok(())) }
    }

    fn map(&self, extent: Extent, reply: Reply) {
        let (pool, number) = (Arc::clone(&self.pool), self.number);
        self.pool.runtime.spawn(async move {
            let map = pool.map_extent(number, Point::Live, extent).await;
            reply.send(map.map(Done::Mapped));
        });
    }

    fn read(&self, reads: Vec<(u64, Buffer, Reply)>) {
        let sink = Arc::new(BaseReads {
            pool: Arc::clone(&self.pool),
            number: self.number,
            slots: Mutex::new(Vec::new()),
        });
        let mut base = None;
        let (mut requests, mut berthed, mut long) = (Vec::new(), Vec::new(), Vec::new());
        for (start, mut buffer, reply) in reads {
            let run = Extent::new(start, buffer.sectors()).cover();
            let way = if run.is_empty() {
                Way::Zero
            } else {
                let core = self.pool.lock();
                base =
                    base.or_else(|| core.volumes.get(&self.number).map(|l| Arc::clone(&l.volume)));
                way_of(&core, self.number, Extent::new(start, buffer.sectors()))
            };
            match way {
                Way::Zero => {
                    buffer.fill(0);
                    reply.send(Ok(Done::Read(buffer)));
                }
                Way::Memory(pieces) => {
                    let mut at = 0;
                    for piece in pieces {
                        buffer[at..at + piece.len()].copy_from_slice(&piece);
                        at += piece.len();
                    }
                    reply.send(Ok(Done::Read(buffer)));
                }
                Way::Base(codes) => {
                    let ticket = sink.keep(Slot { start, codes, reply });
                    let reply = Reply::new(Arc::clone(&sink) as Arc<dyn Answers>, ticket);
                    requests.push(Request { op: Op::Read { start, buffer }, reply });
                }
                Way::Berths(spot, codes) => {
                    let ticket = sink.keep(Slot { start, codes, reply });
                    let reply = Reply::new(Arc::clone(&sink) as Arc<dyn Answers>, ticket);
                    berthed.push((
                        spot,
                        Request { op: Op::Read { start: spot.sector(), buffer }, reply },
                    ));
                }
                Way::Long => long.push(Read { start, buffer, reply }),
            }
        }
        if let Some(volume) = base {
            let volume: Arc<Volume> = volume;
            if !requests.is_empty() {
                volume.base.submit(requests);
            }
            if let Some(berths) = &volume.berths {
                berths.submit(berthed);
            }
        }
        self.pool.read_aside(self.number, Point::Live, long);
    }
}

/// How a read can be carried out.
enum Way {
    Zero,
    Memory(Vec<Payload>),
    Base(Vec<Code>),
    /// From berths that lie next to each other, which must hold this.
    Berths(Spot, Vec<Code>),
    /// By the general way, in a task.
    Long,
}

fn way_of(core: &Core, number: u32, extent: Extent) -> Way {
    let (Some(live), Some(entry)) = (core.volumes.get(&number), core.registry.get(number)) else {
        return Way::Long;
    };
    if core.is_closed || !extent.is_block_aligned() || entry.copying_rollback().is_some() {
        return Way::Long;
    }
    let run = extent.cover();
    let (pieces, gaps) = live.dirty.lookup(run, Epochs::ALL);
    if pieces.is_empty() {
        return match live.volume.sums.cached(run) {
            Some(codes) => way_of_codes(codes, &entry.kind),
            None => Way::Long,
        };
    }
    if !gaps.is_empty() {
        return Way::Long;
    }
    if let [piece] = &pieces[..]
        && let Source::Berthed { at, .. } = &piece.source
        && live.volume.berths.as_ref().is_some_and(|berths| berths.is_within(*at, run.blocks))
    {
        let codes = (0..run.blocks).map(|index| Code::of_sum(piece.source.sum(index).unwrap_or(0)));
        return Way::Berths(*at, codes.collect());
    }
    let mut payloads = Vec::new();
    for piece in pieces {
        let Source::Data { position, .. } = piece.source else {
            return Way::Long;
        };
        match core.payloads_at(position, piece.run.blocks) {
            Some(found) => payloads.extend(found),
            None => return Way::Long,
        }
    }
    Way::Memory(payloads)
}

fn way_of_codes(codes: Vec<Code>, kind: &Kind) -> Way {
    let is_base =
        |code: &Code| matches!((code, kind), (Code::Data(_), _) | (Code::Absent, Kind::Adopted(_)));
    let is_zero = |code: &Code| {
        matches!((code, kind), (Code::Zero | Code::ZeroKept, _) | (Code::Absent, Kind::Thin))
    };
    if codes.iter().all(is_base) {
        Way::Base(codes)
    } else if codes.iter().all(is_zero) {
        Way::Zero
    } else {
        Way::Long
    }
}

struct Slot {
    start: u64,
    codes: Vec<Code>,
    reply: Reply,
}

/// Checks what the base gave before it is passed on.
struct BaseReads {
    pool: Arc<Pool>,
    number: u32,
    slots: Mutex<Vec<Option<Slot>>>,
}

impl BaseReads {
    fn keep(&self, slot: Slot) -> u64 {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.push(Some(slot));
        slots.len() as u64 - 1
    }

    /// Whether blocks without a checksum are still what they were when the read began.
    fn is_unmoved(&self, run: Run, codes: &[Code]) -> bool {
        let core = self.pool.lock();
        core.volumes.get(&self.number).is_some_and(|live| {
            !live.dirty.touches(run, Epochs::ALL)
                && live.volume.sums.cached(run).is_some_and(|now| now == codes)
        })
    }
}

impl Answers for BaseReads {
    fn answer(&self, ticket: u64, answer: Answer) {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            usize::try_from(ticket).ok().and_then(|at| slots.get_mut(at)).and_then(Option::take)
        };
        let Some(slot) = slot else { return };
        let buffer = match answer {
            Ok(Done::Read(buffer)) => buffer,
            Ok(_) => return slot.reply.send(Err(DiskError::Closed)),
            Err(error) => return slot.reply.send(Err(error)),
        };
        let run = Extent::new(slot.start, buffer.sectors()).cover();
        let is_unverified = slot.codes.contains(&Code::Absent);
        if first_misfit(&slot.codes, &buffer).is_none()
            && (!is_unverified || self.is_unmoved(run, &slot.codes))
        {
            slot.reply.send(Ok(Done::Read(buffer)));
        } else {
            let again = Read { start: slot.start, buffer, reply: slot.reply };
            self.pool.read_aside(self.number, Point::Live, vec![again]);
        }
    }
}

/// The checksum of each block.
pub(crate) fn sums_of(data: &[Payload]) -> Arc<[u32]> {
    let blocks = data.iter().flat_map(|payload| payload.chunks(BLOCK_LEN));
    blocks.map(|block| checksum::of(Sum::Block, block)).collect()
}

/// Payloads of which each is whole blocks, copied together where they are not.
fn in_whole_blocks(data: Vec<Payload>) -> Result<Vec<Payload>, DiskError> {
    let is_whole =
        |payload: &Payload| payload.len().is_multiple_of(BLOCK_LEN) && !payload.is_empty();
    if data.iter().all(is_whole) {
        return Ok(data);
    }
    let mut whole = Buffer::zeroed(data.iter().map(|payload| payload.len()).sum())?;
    let mut at = 0;
    for payload in &data {
        whole[at..at + payload.len()].copy_from_slice(payload);
        at += payload.len();
    }
    Ok(vec![whole.freeze()])
}
