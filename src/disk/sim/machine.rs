//! The state of a simulated machine and how requests are carried out on it.
//!
//! Everything here happens under the lock of the world. Nothing is answered from here: answers go to the
//! outbox, which the world empties when it has let go of the lock.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use base::rng::{Rng, SeededRng};
use base::units::{BLOCK_LEN, Extent};

use super::Answering;
use super::change::Change;
use super::fault::{Fault, OpKind, What};
use super::loss::{Fate, tear};
use super::medium::{ChangeId, Medium};
use super::trace::{Line, Trace};
use crate::answer::{Answer, Done, Reply};
use crate::error::DiskError;
use crate::request::{Keep, Op, Request};
use crate::{Geometry, shelf::Space};

/// Who asks: a disk, and one opening of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handle {
    pub(super) disk: usize,
    pub(super) opening: usize,
}

/// A request that was handed down and not carried out.
pub(super) struct Pending {
    handle: Handle,
    handed_down_at: u64,
    op: Op,
    reply: Reply,
}

/// An answer that was not delivered.
pub(super) struct Outgoing {
    reply: Reply,
    answer: Answer,
    change: Option<(usize, ChangeId)>,
}

pub(super) enum Waiting {
    Request(Pending),
    Answer(Outgoing),
}

/// A change of the shelf that power loss may undo, or may have let happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ShelfChange {
    /// In flight when the power went.
    Create { disk: usize },
    /// In flight when the power went.
    Grow { disk: usize, sectors: u64 },
    /// Done, or in flight when the power went.
    Remove { disk: usize },
}

pub(super) struct Machine {
    pub(super) rng: SeededRng,
    pub(super) media: Vec<Medium>,
    pub(super) on_shelf: BTreeMap<String, usize>,
    pub(super) elsewhere: BTreeMap<PathBuf, usize>,
    pub(super) shelf_changes: Vec<(u64, ShelfChange)>,
    /// Why an opening of a disk is poisoned.
    pub(super) openings: Vec<Option<Arc<str>>>,
    pub(super) steps: u64,
    pub(super) cut_at: u64,
    pub(super) is_off: bool,
    pub(super) is_silent: bool,
    pub(super) answering: Answering,
    /// Goes up when requests are handed down and when one is answered.
    moment: u64,
    waiting: Vec<Waiting>,
    late: VecDeque<Pending>,
    /// Requests that are never answered.
    silenced: Vec<Reply>,
    pub(super) outbox: Vec<Outgoing>,
    pub(super) faults: Vec<Fault>,
    /// How often a fault struck.
    pub(super) struck: u64,
    pub(super) capacity: Option<u64>,
    trace: Trace,
}

impl Machine {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: SeededRng::new(seed),
            media: Vec::new(),
            on_shelf: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            shelf_changes: Vec::new(),
            openings: Vec::new(),
            steps: 0,
            cut_at: u64::MAX,
            is_off: false,
            is_silent: false,
            answering: Answering::Inline,
            moment: 0,
            waiting: Vec::new(),
            late: VecDeque::new(),
            silenced: Vec::new(),
            outbox: Vec::new(),
            faults: Vec::new(),
            struck: 0,
            capacity: None,
            trace: Trace::default(),
        }
    }

    /// A new opening of a disk, not poisoned.
    pub(super) fn open(&mut self, disk: usize) -> Handle {
        self.openings.push(None);
        Handle { disk, opening: self.openings.len() - 1 }
    }

    pub(super) fn geometry(&self, disk: usize) -> Geometry {
        Geometry {
            sectors: self.media[disk].sectors,
            physical_block_len: 4096,
            atomic_write_len: 512,
            is_read_only: false,
        }
    }

    /// Takes a batch: carries it out at once, or lets it wait for `pump`.
    pub(super) fn submit(&mut self, handle: Handle, batch: Vec<Request>) {
        self.moment += 1;
        let handed_down_at = self.moment;
        for Request { op, reply } in batch {
            if self.is_off {
                self.close(reply);
            } else if let Err(error) = op.check(&self.geometry(handle.disk)) {
                self.outbox.push(Outgoing { reply, answer: Err(error), change: None });
            } else {
                let pending = Pending { handle, handed_down_at, op, reply };
                match self.answering {
                    Answering::Inline => self.take(pending),
                    Answering::Shuffled => self.waiting.push(Waiting::Request(pending)),
                }
            }
        }
    }

    /// Does one of the things that wait. `false` where nothing does.
    pub(super) fn pump(&mut self) -> bool {
        if self.is_off {
            return false;
        }
        if !self.waiting.is_empty() {
            let index = self.rng.below(self.waiting.len() as u64);
            let index = usize::try_from(index).unwrap_or(0);
            match self.waiting.swap_remove(index) {
                Waiting::Request(pending) => self.take(pending),
                Waiting::Answer(outgoing) => self.outbox.push(outgoing),
            }
            return true;
        }
        match self.late.pop_front() {
            Some(pending) => self.carry_out(pending, None),
            None => return false,
        }
        true
    }

    /// What to send at last, `None` where nobody is answered any more.
    pub(super) fn deliver(&mut self, outgoing: Outgoing) -> Option<(Reply, Answer)> {
        let Outgoing { reply, answer, change } = outgoing;
        if self.is_off {
            if self.is_silent {
                self.silenced.push(reply);
                return None;
            }
            return Some((reply, Err(DiskError::Closed)));
        }
        if let Some((disk, id)) = change {
            self.moment += 1;
            self.media[disk].answered(id, self.moment);
        }
        Some((reply, answer))
    }

    /// Cuts the power: what was handed down and not carried out may or may not have reached the medium.
    pub(super) fn power_off(&mut self) {
        if self.is_off {
            return;
        }
        self.is_off = true;
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Request(pending) => self.lose(pending),
                Waiting::Answer(outgoing) => self.close(outgoing.reply),
            }
        }
        for pending in std::mem::take(&mut self.late) {
            self.lose(pending);
        }
    }

    /// Counts a step. `false` where the power goes at it.
    pub(super) fn step(&mut self) -> bool {
        if self.steps >= self.cut_at {
            self.power_off();
        }
        if self.is_off {
            return false;
        }
        self.steps += 1;
        true
    }

    /// The first fault that strikes.
    pub(super) fn fault(
        &mut self,
        disk: usize,
        kind: OpKind,
        extent: Option<Extent>,
    ) -> Option<What> {
        let (name, rng) = (&self.media[disk].name, &self.rng);
        let strikes =
            self.faults.iter_mut().find_map(|fault| fault.strikes(name, kind, extent, rng));
        self.struck += u64::from(strikes.is_some());
        strikes
    }

    /// Bytes free and in all; without a capacity as much as anyone may want.
    pub(super) fn space(&self) -> Space {
        let block = BLOCK_LEN as u64;
        let total = self.capacity.unwrap_or(u64::MAX / 4 / block);
        let taken: u64 = self.media.iter().map(Medium::space_taken).sum();
        Space { free: total.saturating_sub(taken) * block, total: total * block }
    }

    /// Whether `extent` of a disk can take space it has not yet.
    pub(super) fn has_room(&self, disk: usize, extent: Extent) -> bool {
        let medium = &self.media[disk];
        let Some(capacity) = self.capacity else { return true };
        if medium.is_elsewhere || medium.is_removed {
            return true;
        }
        let wanted = medium.now().absent_in(extent);
        let taken: u64 = self.media.iter().map(Medium::space_taken).sum();
        wanted == 0 || taken + wanted <= capacity
    }

    pub(super) fn note(&mut self, disk: usize, verb: &'static str, outcome: &'static str) {
        self.note_extent(disk, verb, None, outcome);
    }

    pub(super) fn show_trace(&self) -> String {
        self.trace.show(|disk| &self.media[disk].name)
    }

    fn note_extent(
        &mut self,
        disk: usize,
        verb: &'static str,
        extent: Option<Extent>,
        outcome: &'static str,
    ) {
        self.trace.push(Line { step: self.steps, disk, verb, extent, outcome });
    }

    /// A request whose turn has come: faults that put it off or silence it, then the rest.
    fn take(&mut self, pending: Pending) {
        let Pending { handle, op, .. } = &pending;
        if let Some(why) = self.refusal(*handle, op) {
            self.answer(pending.reply, Err(why), None);
            return;
        }
        let (disk, verb, extent) = (handle.disk, verb_of(op), op.extent());
        match self.fault(disk, OpKind::of(op), extent) {
            Some(What::Slow) => {
                self.note_extent(disk, verb, extent, "is put off");
                self.late.push_back(pending);
            }
            Some(What::Silent) => {
                self.note_extent(disk, verb, extent, "is never answered");
                self.silenced.push(pending.reply);
            }
            what => self.carry_out(pending, what),
        }
    }

    fn carry_out(&mut self, pending: Pending, what: Option<What>) {
        let Pending { handle, handed_down_at, op, reply } = pending;
        let (verb, extent) = (verb_of(&op), op.extent());
        let is_step = op.is_change() || matches!(op, Op::Flush);
        if is_step && !self.step() {
            self.note_extent(handle.disk, verb, extent, "is in flight when the power goes");
            self.lose(Pending { handle, handed_down_at, op, reply });
            return;
        }
        let (answer, change) = match op {
            Op::Read { .. } | Op::Map { .. } => (self.look(handle.disk, op, what), None),
            Op::Flush => (self.flush(handle, handed_down_at, what), None),
            _ => self.change(handle.disk, op, what),
        };
        if is_step {
            let outcome = match (&answer, what) {
                (Ok(_), None) => "done",
                (Ok(_), Some(_)) => "answered as done, and wrong",
                (Err(_), _) => "failed",
            };
            self.note_extent(handle.disk, verb, extent, outcome);
        }
        self.answer(reply, answer, change.map(|id| (handle.disk, id)));
    }

    fn refusal(&self, handle: Handle, op: &Op) -> Option<DiskError> {
        let is_step = op.is_change() || matches!(op, Op::Flush);
        let why = self.openings[handle.opening].as_ref().filter(|_| is_step)?;
        Some(DiskError::Poisoned(Arc::clone(why)))
    }

    fn answer(&mut self, reply: Reply, answer: Answer, change: Option<(usize, ChangeId)>) {
        let outgoing = Outgoing { reply, answer, change };
        match self.answering {
            Answering::Inline => self.outbox.push(outgoing),
            Answering::Shuffled => self.waiting.push(Waiting::Answer(outgoing)),
        }
    }

    fn look(&mut self, disk: usize, mut op: Op, what: Option<What>) -> Answer {
        let extent = op.extent().unwrap_or(Extent::new(0, 0));
        let is_read = matches!(op, Op::Read { .. });
        match what {
            Some(What::Error | What::ErrorForGood | What::Short { .. } | What::Torn) if is_read => {
                return Err(DiskError::Medium { extent, why: "the simulated disk says so".into() });
            }
            Some(What::Error | What::ErrorForGood) => return Err(failure(verb_of(&op))),
            Some(What::Misdirected { by }) => {
                if let Op::Read { start, .. } = &mut op {
                    *start = self.misdirect(disk, extent, by);
                }
            }
            _ => {}
        }
        let mut answer = match op {
            Op::Read { start, mut buffer } => {
                self.media[disk].now().read(start, &mut buffer);
                Done::Read(buffer)
            }
            _ => Done::Mapped(self.media[disk].now().map(extent)),
        };
        if let (Done::Read(buffer), Some(What::Flipped)) = (&mut answer, what)
            && !buffer.is_empty()
        {
            let bit = self.rng.below(buffer.len() as u64 * 8);
            buffer[usize::try_from(bit / 8).unwrap_or(0)] ^= 1 << (bit % 8);
        }
        Ok(answer)
    }

    fn flush(&mut self, handle: Handle, handed_down_at: u64, what: Option<What>) -> Answer {
        let medium = &mut self.media[handle.disk];
        match what {
            Some(What::Lost) => return Ok(Done::Flushed),
            Some(What::ErrorForGood) => medium.forsake(handed_down_at),
            Some(What::Error | What::NoSpace | What::Short { .. } | What::Torn) => {}
            _ => {
                medium.flush(handed_down_at);
                return Ok(Done::Flushed);
            }
        }
        self.openings[handle.opening] = Some("a flush of the simulated disk failed".into());
        Err(failure("flush"))
    }

    fn change(&mut self, disk: usize, op: Op, what: Option<What>) -> (Answer, Option<ChangeId>) {
        let verb = verb_of(&op);
        let (done, takes_space) = match &op {
            Op::Write { .. } => (Done::Written, true),
            Op::WriteZeroes { keep, .. } => (Done::Zeroed, *keep == Keep::Space),
            _ => (Done::Discarded, false),
        };
        let extent = op.extent().unwrap_or(Extent::new(0, 0));
        let has_room = !takes_space || self.has_room(disk, extent);
        let Some(change) = Change::of(op, self.steps - 1) else {
            return (Err(failure(verb)), None);
        };
        let (change, answer) = match what {
            _ if !has_room => return (Err(no_space()), None),
            Some(What::NoSpace) => return (Err(no_space()), None),
            Some(What::Error | What::ErrorForGood) => return (Err(failure(verb)), None),
            Some(What::Lost) => return (Ok(done), None),
            Some(What::Short { sectors }) => {
                let part = Extent::new(0, sectors.min(change.sectors()));
                (change.only(vec![part]), Err(failure(verb)))
            }
            Some(What::Torn) => match tear(&self.rng, change.sectors()) {
                Fate::Torn(parts) => (change.only(parts), Err(failure(verb))),
                Fate::Kept | Fate::Lost => return (Err(failure(verb)), None),
            },
            Some(What::Misdirected { by }) => {
                let start = self.misdirect(disk, extent, by);
                (change.moved_to(start), Ok(done))
            }
            Some(What::Flipped | What::Slow | What::Silent) | None => (change, Ok(done)),
        };
        let id = self.media[disk].carry_out(change);
        // A change that failed is never answered as done, so that nothing ever makes it stable by a flush
        // that came later; it may be there all the same.
        let id = answer.is_ok().then_some(id);
        (answer, id)
    }

    /// Where an access goes that is `by` sectors off the mark: never where it should.
    fn misdirect(&self, disk: usize, extent: Extent, by: u64) -> u64 {
        let places = self.media[disk].sectors - extent.sectors + 1;
        let start = (u128::from(extent.start) + u128::from(by)) % u128::from(places);
        u64::try_from(start).unwrap_or(extent.start)
    }

    /// A request that was in flight when the power went.
    fn lose(&mut self, pending: Pending) {
        if let Some(change) = Change::of(pending.op, self.steps) {
            self.media[pending.handle.disk].note(change);
        }
        self.close(pending.reply);
    }

    fn close(&mut self, reply: Reply) {
        if self.is_silent {
            self.silenced.push(reply);
        } else {
            self.outbox.push(Outgoing { reply, answer: Err(DiskError::Closed), change: None });
        }
    }
}

impl Medium {
    /// Blocks of the shelf's space that it takes.
    fn space_taken(&self) -> u64 {
        if self.is_elsewhere || self.is_removed { 0 } else { self.now().allocated() }
    }
}

fn verb_of(op: &Op) -> &'static str {
    match op {
        Op::Read { .. } => "read",
        Op::Write { .. } => "write",
        Op::Discard { .. } => "discard",
        Op::WriteZeroes { .. } => "write zeroes",
        Op::Flush => "flush",
        Op::Map { .. } => "map",
    }
}

pub(super) fn no_space() -> DiskError {
    DiskError::NoSpace("the simulated shelf is full".into())
}

pub(super) fn failure(verb: &'static str) -> DiskError {
    DiskError::Io { what: format!("{verb} on the simulated disk").into(), errno: libc::EIO }
}
