//! The way of a change into the journal: admission, framing, and the answer when the frame is done.
//!
//! All changes that come in one batch share frames. A frame's place, its number and its effect on the
//! dirty index are decided under one lock, so the journal's order is the order that readers see. Answers
//! are given in that order too: a frame that is done waits for those before it, because recovery stops at
//! the first one missing.

use std::collections::VecDeque;
use std::sync::Arc;

use base::units::{BLOCK_LEN, Run, SECTORS_PER_BLOCK};
use disk::{Answer, Answers, Buffer, DiskError, Durability, Keep, Op, Payload, Reply, Request};

use crate::berths::Berth;
use crate::dirty::Epochs;
use crate::error::StoreError;
use crate::event::{Event, Kind};
use crate::journal::frame::{
    self, FrameHead, HEAD_BLOCKS_MAX, RECORD_BLOCKS_MAX, RECORDS_MAX, Record,
};
use crate::pool::{Core, Pool, Waiter};
use crate::status::{SyncPolicy, VolumeState};

/// Pieces that all dirty indices may hold together: bounds their memory to about 200 MB.
const PIECES_MAX: usize = 1 << 20;

/// Something to be journalled.
pub(crate) struct Change {
    /// The volume's number; of no meaning for an event.
    pub volume: u32,
    pub what: What,
    /// Who wants to know when it is done; nobody for all but the last part of a large write.
    pub waiter: Option<Waiter>,
    /// Whether the answer means that it survives the loss of power.
    pub is_stable: bool,
    /// Whether it comes from whoever locked its blocks.
    pub is_owner: bool,
}

/// What changes.
pub(crate) enum What {
    /// Whole blocks and their checksums.
    Write { run: Run, data: Vec<Payload>, sums: Arc<[u32]> },
    /// Whole cells that lie in berths already, and their checksums.
    Berthed { run: Run, berths: Arc<[Berth]>, sums: Arc<[u32]> },
    /// Blocks that read as zeroes.
    Zero { run: Run, keep: Keep },
    /// The registry.
    Event(Event),
}

impl Change {
    /// Tells its waiter, where it has one.
    pub fn answer(self, outcome: Result<(), DiskError>) {
        if let Some(waiter) = self.waiter {
            waiter.finish(outcome);
        }
    }

    /// Whether it changes any of these blocks.
    pub fn touches(&self, volume: u32, run: Run) -> bool {
        self.volume == volume && self.run().is_some_and(|own| !own.intersect(run).is_empty())
    }

    fn run(&self) -> Option<Run> {
        match &self.what {
            What::Write { run, .. } | What::Berthed { run, .. } | What::Zero { run, .. } => {
                Some(*run)
            }
            What::Event(_) => None,
        }
    }

    fn payload_blocks(&self) -> u64 {
        match &self.what {
            What::Write { run, .. } => run.blocks,
            What::Berthed { .. } | What::Zero { .. } | What::Event(_) => 0,
        }
    }

    /// The change as parts of which each fits a frame. The waiter goes with the last.
    fn split(self, blocks_max: u64) -> Vec<Self> {
        let max = blocks_max.min(RECORD_BLOCKS_MAX);
        let (volume, is_stable, is_owner) = (self.volume, self.is_stable, self.is_owner);
        match self.what {
            What::Write { run, data, sums } if run.blocks > max => {
                let mut parts = Vec::new();
                let mut at = 0;
                while at < run.blocks {
                    let blocks = max.min(run.blocks - at);
                    let part = Run::new(run.start + at, blocks);
                    let (from, to) = (index(at), index(at + blocks));
                    let what = What::Write {
                        run: part,
                        data: slice(&data, at * SECTORS_PER_BLOCK, blocks * SECTORS_PER_BLOCK),
                        sums: sums[from..to].into(),
                    };
                    parts.push(Self { volume, what, waiter: None, is_stable, is_owner });
                    at += blocks;
                }
                if let Some(last) = parts.last_mut() {
                    last.waiter = self.waiter;
                }
                parts
            }
            what => vec![Self { volume, what, waiter: self.waiter, is_stable, is_owner }],
        }
    }
}

/// A count of blocks, for what lies in memory.
pub(crate) fn index(blocks: u64) -> usize {
    usize::try_from(blocks).unwrap_or(usize::MAX)
}

/// `sectors` sectors of a list of payloads, from `first` on.
pub(crate) fn slice(data: &[Payload], first: u64, sectors: u64) -> Vec<Payload> {
    let mut out = Vec::new();
    let (mut skip, mut left) = (first, sectors);
    for payload in data {
        let len = payload.sectors();
        if skip >= len {
            skip -= len;
            continue;
        }
        let take = left.min(len - skip);
        out.push(payload.slice(skip, take));
        left -= take;
        skip = 0;
        if left == 0 {
            break;
        }
    }
    out
}

/// A frame on its way to the journal's disk.
pub(crate) struct Frame {
    waiters: Vec<(Waiter, bool)>,
    is_done: bool,
    /// The newest frame that it says was stable.
    tells: u64,
}

/// What goes with a frame beside its records.
#[derive(Default)]
struct Cargo {
    data: Vec<Payload>,
    waiters: Vec<(Waiter, bool)>,
}

/// A frame that is ready to be written.
struct Ready {
    number: u64,
    sector: u64,
    data: Vec<Payload>,
}

impl Pool {
    /// Journals changes; each is answered when it is done. Never blocks: what finds no room waits.
    pub(crate) fn append(&self, changes: Vec<Change>) {
        let mut refused = Vec::new();
        let mut ready = Vec::new();
        let mut core = self.lock();
        let blocks_max = core.ring.payload_blocks_max();
        let mut queue = VecDeque::new();
        for mut change in changes {
            match self.admit(&mut core, &mut change) {
                Admission::Go => queue.extend(change.split(blocks_max)),
                Admission::Wait => {
                    if let Some(live) = core.volumes.get_mut(&change.volume) {
                        live.locked_waiting.push(change);
                    }
                }
                Admission::Refuse(error) => refused.push((change, error)),
            }
        }
        if core.waiting.is_empty() {
            self.frame_all(&mut core, &mut queue, &mut ready);
        }
        core.waiting.extend(queue);
        let is_work_due = !core.waiting.is_empty() || core.ring.is_filling();
        drop(core);
        self.write_frames(ready);
        for (change, error) in refused {
            self.give_back_berths(&change);
            change.answer(Err(error));
        }
        if is_work_due {
            self.work.notify_one();
        }
    }

    /// Journals what waits for room, as far as there is some now.
    pub(crate) fn append_waiting(&self) {
        let mut ready = Vec::new();
        let mut core = self.lock();
        if core.poison.is_none() {
            let mut queue = std::mem::take(&mut core.waiting);
            self.frame_all(&mut core, &mut queue, &mut ready);
            core.waiting = queue;
        }
        drop(core);
        self.write_frames(ready);
    }

    /// Journals copies of blocks, each unless the layers of `epochs` have that block: then somebody wrote
    /// it meanwhile. Whether they did is decided under the lock that also puts the copy into the order.
    /// Tells how many of the copies were dealt with; the others found no room.
    ///
    /// # Errors
    /// Why the pool takes no changes.
    pub(crate) fn append_copies(
        &self,
        volume: u32,
        copies: Vec<What>,
        epochs: Epochs,
    ) -> Result<usize, StoreError> {
        let mut ready = Vec::new();
        let mut core = self.lock();
        if let Some(refusal) = core.refusal() {
            return Err(refusal);
        }
        let count = copies.len();
        let mut queue = VecDeque::new();
        for what in copies {
            let copy = Change { volume, what, waiter: None, is_stable: false, is_owner: true };
            let run = copy.run().unwrap_or(Run::new(0, 0));
            let is_written = core.waiting.iter().any(|other| other.touches(volume, run))
                || core.volumes.get(&volume).is_none_or(|live| {
                    live.dirty.touches(run, epochs)
                        || live.locked.iter().any(|locked| !locked.intersect(run).is_empty())
                });
            if !is_written {
                queue.push_back(copy);
            }
        }
        self.frame_all(&mut core, &mut queue, &mut ready);
        drop(core);
        self.write_frames(ready);
        Ok(count - queue.len())
    }

    /// Where something became stable that no frame tells of yet, journals a frame that does: so that damage
    /// to the newest stable frame is told from a frame that was never written.
    pub(crate) fn note_durable(&self) {
        let mut core = self.lock();
        if core.poison.is_some() || core.is_closing || core.noted_durable == core.durable {
            return;
        }
        let reserve = core.ring.event_reserve();
        let Some(placed) = core.ring.place(1, reserve) else { return };
        let mut ready = Vec::new();
        if let Some((position, blocks)) = placed.padding {
            let padding = vec![Record::Padding(u32::try_from(blocks - 1).unwrap_or(0))];
            ready.push(self.frame(&mut core, position, &padding, Cargo::default()));
        }
        ready.push(self.frame(&mut core, placed.position, &[], Cargo::default()));
        drop(core);
        self.write_frames(ready);
    }

    fn admit(&self, core: &mut Core, change: &mut Change) -> Admission {
        if let Some(why) = &core.poison {
            return Admission::Refuse(DiskError::Poisoned(Arc::clone(why)));
        }
        if core.is_closing {
            return Admission::Refuse(DiskError::Closed);
        }
        let Some(run) = change.run() else {
            return Admission::Go;
        };
        let is_short = self.is_space_short(core, change.volume, run);
        let (Some(live), Some(entry)) =
            (core.volumes.get(&change.volume), core.registry.get(change.volume))
        else {
            return Admission::Refuse(DiskError::Closed);
        };
        if live.is_leaving {
            return Admission::Refuse(DiskError::ReadOnly);
        }
        match &live.state {
            VolumeState::Ready => {}
            VolumeState::ReadOnly { .. } => return Admission::Refuse(DiskError::ReadOnly),
            VolumeState::FailStop { reason } => {
                return Admission::Refuse(DiskError::Poisoned(reason.as_str().into()));
            }
        }
        change.is_stable |= entry.policies.sync == SyncPolicy::Always;
        if is_short && matches!(change.what, What::Write { .. }) {
            let what = format!(
                "{}: the pool has no room for new blocks; free space where it lies, or remove marks",
                entry.name
            );
            return Admission::Refuse(DiskError::NoSpace(what.into()));
        }
        let is_locked = live.locked.iter().any(|locked| !locked.intersect(run).is_empty());
        if is_locked && !change.is_owner {
            return Admission::Wait;
        }
        Admission::Go
    }

    /// Whether a write needs room that the pool may not have: blocks of a thin volume without space of
    /// their own, while the shelf is nearly full.
    fn is_space_short(&self, core: &Core, volume: u32, run: Run) -> bool {
        let in_journal = core.promised_blocks() * BLOCK_LEN as u64;
        let needed = run.bytes() + in_journal + self.options.segment_len.0;
        if core.space_free >= needed {
            return false;
        }
        let is_adopted =
            core.registry.get(volume).is_none_or(|entry| matches!(entry.kind, Kind::Adopted(_)));
        let has_space = core.volumes.get(&volume).is_some_and(|live| {
            let codes = live.volume.sums.cached(run);
            codes.is_some_and(|codes| codes.iter().all(|code| code.is_allocated()))
        });
        !is_adopted && !has_space
    }

    fn frame_all(&self, core: &mut Core, queue: &mut VecDeque<Change>, ready: &mut Vec<Ready>) {
        while let Some(count) = next_frame(core, queue) {
            let is_event = matches!(queue[0].what, What::Event(_));
            let reserve = if is_event { 0 } else { core.ring.event_reserve() };
            let records: Vec<Record> =
                queue.iter().take(count).map(|change| record_of(core, change)).collect();
            let head_blocks = frame::head_blocks(&records) as u64;
            let payload: u64 = queue.iter().take(count).map(Change::payload_blocks).sum();
            let pieces: usize = core.volumes.values().map(|live| live.dirty.pieces()).sum();
            if pieces > PIECES_MAX && !is_event {
                return;
            }
            let Some(placed) = core.ring.place(head_blocks + payload, reserve) else {
                return;
            };
            if let Some((position, blocks)) = placed.padding {
                let padding = vec![Record::Padding(u32::try_from(blocks - 1).unwrap_or(0))];
                ready.push(self.frame(core, position, &padding, Cargo::default()));
            }
            let mut waiters = Vec::new();
            let mut data = Vec::new();
            let number = core.next_frame;
            let mut at = placed.position + head_blocks;
            for (change, record) in queue.drain(..count).zip(&records) {
                let blocks = change.payload_blocks();
                core.note(record, number, at);
                if let What::Write { data: payloads, .. } = change.what {
                    core.keep_payloads(at, &payloads);
                    data.extend(payloads);
                }
                waiters.extend(change.waiter.map(|waiter| (waiter, change.is_stable)));
                at += blocks;
            }
            ready.push(self.frame(core, placed.position, &records, Cargo { data, waiters }));
        }
        let budget = self.options.payload_cache_len.0 / BLOCK_LEN as u64;
        core.drop_payloads(budget);
    }

    fn frame(&self, core: &mut Core, position: u64, records: &[Record], cargo: Cargo) -> Ready {
        let payload: u64 = records.iter().map(Record::payload_blocks).sum();
        let head = FrameHead {
            pool: self.superblock.pool,
            number: core.next_frame,
            incarnation: self.superblock.incarnation,
            position,
            durable: core.durable,
            head_blocks: u16::try_from(frame::head_blocks(records)).unwrap_or(u16::MAX),
            payload_blocks: u32::try_from(payload).unwrap_or(u32::MAX),
        };
        core.next_frame += 1;
        core.noted_durable = core.durable;
        core.frame_positions.insert(head.number, (position, head.incarnation));
        let (waiters, tells) = (cargo.waiters, head.durable);
        core.frames.insert(head.number, Frame { waiters, is_done: false, tells });
        let mut pieces = vec![head_payload(&head, records)];
        pieces.extend(cargo.data);
        Ready { number: head.number, sector: core.ring.sector(position), data: pieces }
    }

    /// Journals an event and applies it to the registry in the same moment, so that what is journalled
    /// after it belongs to the registry after it.
    ///
    /// # Errors
    /// Why the pool takes no changes; `Busy` where the journal has no room left even for this.
    pub(crate) fn append_event(
        &self,
        mut core: std::sync::MutexGuard<'_, Core>,
        event: Event,
        waiter: Waiter,
        then: impl FnOnce(&mut Core),
    ) -> Result<(), StoreError> {
        if let Some(refusal) = core.refusal() {
            return Err(refusal);
        }
        let change = Change {
            volume: 0,
            what: What::Event(event.clone()),
            waiter: Some(waiter),
            is_stable: true,
            is_owner: false,
        };
        let mut queue = VecDeque::from([change]);
        let mut ready = Vec::new();
        self.frame_all(&mut core, &mut queue, &mut ready);
        if queue.is_empty() {
            core.last_event_frame = core.next_frame - 1;
            core.registry.apply(&event);
            then(&mut core);
        }
        drop(core);
        self.write_frames(ready);
        if queue.is_empty() {
            return Ok(());
        }
        self.work.notify_one();
        let why = "it is full and is being applied; try again in a moment".to_owned();
        Err(StoreError::Busy { what: "the journal".to_owned(), why })
    }

    fn write_frames(&self, ready: Vec<Ready>) {
        if ready.is_empty() {
            return;
        }
        let sink: Arc<dyn Answers> = Arc::new(Framed(self.shared()));
        let batch = ready.into_iter().map(|frame| Request {
            op: Op::Write {
                start: frame.sector,
                data: frame.data,
                durability: Durability::Volatile,
            },
            reply: Reply::new(Arc::clone(&sink), frame.number),
        });
        self.journal.submit(batch.collect());
    }
}

enum Admission {
    Go,
    Wait,
    Refuse(DiskError),
}

/// # Panics
/// Where a head is larger than any buffer, which `next_frame` rules out.
fn head_payload(head: &FrameHead, records: &[Record]) -> Payload {
    Buffer::copy_of(&frame::encode(head, records)).expect("a head fits a buffer").freeze()
}

/// How many changes from the front of the queue go into the next frame.
fn next_frame(core: &Core, queue: &VecDeque<Change>) -> Option<usize> {
    let first = queue.front()?;
    if matches!(first.what, What::Event(_)) {
        return Some(1);
    }
    let head_max = usize::from(HEAD_BLOCKS_MAX.min(8)) * BLOCK_LEN;
    let (mut count, mut payload, mut head) = (0, 0, 128);
    for change in queue.iter().take(RECORDS_MAX as usize) {
        let more = match &change.what {
            What::Event(_) => break,
            What::Write { sums, .. } => 28 + 4 * sums.len(),
            What::Berthed { berths, sums, .. } => 32 + 4 * (berths.len() + sums.len()),
            What::Zero { .. } => 30,
        };
        payload += change.payload_blocks();
        head += more;
        if count > 0 && (payload > core.ring.payload_blocks_max() || head > head_max) {
            break;
        }
        count += 1;
    }
    Some(count)
}

fn record_of(core: &Core, change: &Change) -> Record {
    let volume = change.volume;
    let epoch = core.registry.get(volume).map_or(0, |entry| entry.epoch());
    match &change.what {
        What::Write { run, sums, .. } => {
            Record::Write { volume, epoch, run: *run, sums: Arc::clone(sums) }
        }
        What::Berthed { run, berths, sums } => {
            let (berths, sums) = (Arc::clone(berths), Arc::clone(sums));
            Record::Berthed { volume, epoch, run: *run, berths, sums }
        }
        What::Zero { run, keep } => Record::Zero { volume, epoch, run: *run, keep: *keep },
        What::Event(event) => Record::Event(event.encode()),
    }
}

struct Framed(Arc<Pool>);

impl Answers for Framed {
    fn answer(&self, number: u64, answer: Answer) {
        let pool = &self.0;
        if let Err(error) = answer {
            pool.poison(&format!("write the journal: {error}"));
            let mut core = pool.lock();
            let waiters: Vec<_> =
                core.frames.values_mut().flat_map(|frame| frame.waiters.drain(..)).collect();
            drop(core);
            for (waiter, _) in waiters {
                waiter.finish(Err(DiskError::Poisoned(error.to_string().into())));
            }
            return;
        }
        let mut core = pool.lock();
        if let Some(frame) = core.frames.get_mut(&number) {
            frame.is_done = true;
        }
        let mut waiters = Vec::new();
        while let Some(entry) = core.frames.first_entry() {
            if !entry.get().is_done {
                break;
            }
            let (number, frame) = entry.remove_entry();
            core.completed = number;
            core.completed_tells = frame.tells;
            waiters.extend(frame.waiters);
        }
        drop(core);
        let mut stable = Vec::new();
        for (waiter, is_stable) in waiters {
            if is_stable {
                stable.push(waiter);
            } else {
                waiter.finish(Ok(()));
            }
        }
        pool.flush_journal_for(stable);
    }
}
