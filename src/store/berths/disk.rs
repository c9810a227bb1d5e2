//! The base as the rest of the store sees it: blocks at their places in the volume, wherever their cells
//! lie.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base::units::{Extent, SECTOR_LEN, SECTORS_PER_BLOCK};
use disk::{
    Answer, Answers, Buffer, Disk, DiskError, Done, Geometry, MapExtent, MapKind, Op, Reply,
    Request,
};

use super::Berths;
use crate::append::slice;

/// A volume's base, with its cells where they lie.
pub(crate) struct BerthedDisk {
    berths: Arc<Berths>,
}

/// Neighbouring sectors of one of the two disks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stretch {
    is_spare: bool,
    extent: Extent,
}

/// What is handed down to each of the two disks.
#[derive(Default)]
struct Batches {
    home: Vec<Request>,
    spare: Vec<Request>,
}

impl Batches {
    fn push(&mut self, is_spare: bool, request: Request) {
        if is_spare { self.spare.push(request) } else { self.home.push(request) }
    }
}

impl BerthedDisk {
    pub(super) fn new(berths: Arc<Berths>) -> Self {
        Self { berths }
    }

    /// Where an extent lies, in order.
    fn stretches(&self, extent: Extent) -> Vec<Stretch> {
        let cell_sectors = self.berths.cell_blocks * SECTORS_PER_BLOCK;
        let mut out: Vec<Stretch> = Vec::new();
        let mut at = extent.start;
        while at < extent.end() {
            let cell = at / cell_sectors;
            let sectors = ((cell + 1) * cell_sectors).min(extent.end()) - at;
            let spot = self.berths.of(cell).spot(self.berths.cell_blocks);
            let start = spot.block * SECTORS_PER_BLOCK + at % cell_sectors;
            match out.last_mut() {
                Some(last) if last.is_spare == spot.is_spare && last.extent.end() == start => {
                    last.extent.sectors += sectors;
                }
                _ => {
                    let extent = Extent::new(start, sectors);
                    out.push(Stretch { is_spare: spot.is_spare, extent });
                }
            }
            at += sectors;
        }
        out
    }

    fn route(&self, request: Request, batches: &mut Batches) {
        let Request { op, reply } = request;
        let Some(extent) = op.extent() else {
            let split = Split::of(reply, Done::Flushed, &[0, 0]);
            for (ticket, is_spare) in [(0, false), (1, true)] {
                let reply = Reply::new(Arc::clone(&split) as Arc<dyn Answers>, ticket);
                batches.push(is_spare, Request { op: Op::Flush, reply });
            }
            return;
        };
        let capacity = self.geometry().sectors;
        if !extent.fits(capacity) {
            reply.send(Err(DiskError::OutOfBounds { extent, capacity }));
            return;
        }
        if let Op::Map { extent } = op {
            let map = if extent.is_empty() {
                Vec::new()
            } else {
                vec![MapExtent { extent, kind: MapKind::Data }]
            };
            reply.send(Ok(Done::Mapped(map)));
            return;
        }
        let stretches = self.stretches(extent);
        let spare_sectors = self.berths.spare.geometry().sectors;
        if stretches.iter().any(|part| part.is_spare && !part.extent.fits(spare_sectors)) {
            let why = "the disk of spare berths has lost its end".into();
            reply.send(Err(DiskError::Medium { extent, why }));
            return;
        }
        if let [one] = stretches[..] {
            let op = match op {
                Op::Read { buffer, .. } => Op::Read { start: one.extent.start, buffer },
                op => part_of(&op, 0, one.extent),
            };
            batches.push(one.is_spare, Request { op, reply });
            return;
        }
        self.route_parts(op, reply, &stretches, batches);
    }

    /// Hands down as several what lies apart.
    fn route_parts(&self, op: Op, reply: Reply, stretches: &[Stretch], batches: &mut Batches) {
        let mut starts = Vec::with_capacity(stretches.len());
        let mut at = 0;
        for stretch in stretches {
            starts.push(at);
            at += stretch.extent.sectors;
        }
        let mut parts = Vec::with_capacity(stretches.len());
        for (stretch, start) in stretches.iter().zip(&starts) {
            parts.push(match &op {
                Op::Read { .. } => match Buffer::sectors_to_fill(stretch.extent.sectors) {
                    Ok(buffer) => Op::Read { start: stretch.extent.start, buffer },
                    Err(error) => return reply.send(Err(error)),
                },
                op => part_of(op, *start, stretch.extent),
            });
        }
        let done = match op {
            Op::Read { buffer, .. } => Done::Read(buffer),
            Op::Write { .. } => Done::Written,
            Op::Discard { .. } => Done::Discarded,
            Op::WriteZeroes { .. } => Done::Zeroed,
            Op::Flush | Op::Map { .. } => Done::Flushed,
        };
        let split = Split::of(reply, done, &starts);
        if parts.is_empty() {
            split.end();
        }
        for (ticket, (op, stretch)) in (0..).zip(parts.into_iter().zip(stretches)) {
            let reply = Reply::new(Arc::clone(&split) as Arc<dyn Answers>, ticket);
            batches.push(stretch.is_spare, Request { op, reply });
        }
    }
}

/// The part of a change from its sector `skip` on that goes to this extent.
fn part_of(op: &Op, skip: u64, to: Extent) -> Op {
    match op {
        Op::Write { data, durability, .. } => {
            let data = slice(data, skip, to.sectors);
            Op::Write { start: to.start, data, durability: *durability }
        }
        Op::Discard { durability, .. } => Op::Discard { extent: to, durability: *durability },
        Op::WriteZeroes { keep, durability, .. } => {
            Op::WriteZeroes { extent: to, keep: *keep, durability: *durability }
        }
        Op::Read { .. } | Op::Flush | Op::Map { .. } => Op::Flush,
    }
}

impl Disk for BerthedDisk {
    fn geometry(&self) -> Geometry {
        self.berths.home.geometry()
    }

    fn submit(&self, batch: Vec<Request>) {
        if !self.berths.is_in_use() {
            return self.berths.home.submit(batch);
        }
        let mut batches = Batches::default();
        for request in batch {
            self.route(request, &mut batches);
        }
        if !batches.home.is_empty() {
            self.berths.home.submit(batches.home);
        }
        if !batches.spare.is_empty() {
            self.berths.spare.submit(batches.spare);
        }
    }
}

/// The answers to the parts of one request.
struct Split {
    left: AtomicUsize,
    /// The sector of the request at which each part begins.
    starts: Vec<u64>,
    whole: Mutex<Whole>,
}

struct Whole {
    reply: Option<Reply>,
    outcome: Answer,
}

impl Split {
    fn of(reply: Reply, done: Done, starts: &[u64]) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(starts.len()),
            starts: starts.to_vec(),
            whole: Mutex::new(Whole { reply: Some(reply), outcome: Ok(done) }),
        })
    }

    fn end(&self) {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = whole.reply.take();
        let outcome = std::mem::replace(&mut whole.outcome, Ok(Done::Flushed));
        drop(whole);
        if let Some(reply) = reply {
            reply.send(outcome);
        }
    }
}

impl Answers for Split {
    fn answer(&self, ticket: u64, answer: Answer) {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(ticket).ok().and_then(|ticket| self.starts.get(ticket));
        match (answer, &mut whole.outcome, start) {
            (Ok(Done::Read(part)), Ok(Done::Read(buffer)), Some(start)) => {
                let from = usize::try_from(*start).unwrap_or(0) * SECTOR_LEN;
                buffer[from..from + part.len()].copy_from_slice(&part);
            }
            (Err(error), outcome, _) if outcome.is_ok() => *outcome = Err(error),
            _ => {}
        }
        drop(whole);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.end();
        }
    }
}
