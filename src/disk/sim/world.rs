//! The handle of a simulated machine: what a test does with it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::rng::{Rng, SeededRng};
use base::units::{Extent, SECTOR_LEN};
use tokio::sync::Notify;

use super::fault::Fault;
use super::loss::{Fate, Loss};
use super::machine::{Machine, ShelfChange};
use super::medium::Medium;
use super::shelf::SimShelf;

/// When requests are carried out and answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answering {
    /// From within `submit`, in order.
    Inline,
    /// When [`SimWorld::pump`] is called, in an order that the world's seed decides: each call carries
    /// one request out or delivers one answer.
    Shuffled,
}

/// A simulated machine. Clones are handles of the same one.
#[derive(Clone)]
pub struct SimWorld(Arc<Shared>);

struct Shared {
    machine: Mutex<Machine>,
    has_work: Notify,
}

impl SimWorld {
    /// A machine without disks, its power on.
    pub fn new(seed: u64) -> Self {
        Self::of(Machine::new(seed))
    }

    fn of(machine: Machine) -> Self {
        Self(Arc::new(Shared { machine: Mutex::new(machine), has_work: Notify::new() }))
    }

    /// Its shelf.
    pub fn shelf(&self) -> Arc<SimShelf> {
        Arc::new(SimShelf::new(self.clone()))
    }

    /// Puts a disk of zeroes where `adopt` finds it. Its name in every call here is its path.
    pub fn register(&self, path: impl Into<PathBuf>, sectors: u64) {
        let path = path.into();
        let mut machine = self.lock();
        let medium = Medium::new(&path.display().to_string(), sectors);
        machine.media.push(medium.put_elsewhere());
        let disk = machine.media.len() - 1;
        machine.elsewhere.insert(path, disk);
    }

    /// When requests are answered from now on. Inline at first.
    pub fn set_answering(&self, answering: Answering) {
        self.lock().answering = answering;
    }

    /// Bytes that the disks of the shelf may take in all, or `None` for no limit, as at first.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        let blocks = bytes.map(|bytes| bytes / base::units::BLOCK_LEN as u64);
        self.lock().capacity = blocks;
    }

    /// Whether requests are not answered at all when the power is off, instead of with `Closed`.
    pub fn set_silent(&self, is_silent: bool) {
        self.lock().is_silent = is_silent;
    }

    /// Adds a rule. The first one that strikes decides.
    pub fn add_fault(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Takes all rules back.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// How often a fault struck so far.
    pub fn struck(&self) -> u64 {
        self.lock().struck
    }

    /// How many steps were taken.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Cuts the power at the step with this index, counted from zero: that many are taken whole.
    pub fn cut_at(&self, step: u64) {
        self.lock().cut_at = step;
    }

    /// Cuts the power now.
    pub fn cut_now(&self) {
        self.with(Machine::power_off);
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.lock().is_off
    }

    /// Carries out one request that waits, or delivers one answer. `false` where nothing waits.
    pub fn pump(&self) -> bool {
        self.with(Machine::pump)
    }

    /// Pumps until nothing waits.
    pub fn settle(&self) {
        while self.pump() {}
    }

    /// Pumps whenever something waits, for ever, giving way to other tasks of the runtime after each.
    /// Deterministic on a runtime of one thread.
    pub async fn pumping(self) {
        loop {
            while self.pump() {
                tokio::task::yield_now().await;
            }
            self.0.has_work.notified().await;
        }
    }

    /// How many changes a power loss now might take: those that no flush covers, and those of the shelf
    /// that it might undo. The bits of a [`Loss`] count them in the order of their steps.
    pub fn unflushed(&self) -> usize {
        questions(&self.lock()).len()
    }

    /// The machine after a power loss, with its disks as the loss leaves them. This one is off from now on.
    pub fn after_power_loss(&self, loss: Loss) -> Self {
        self.cut_now();
        self.if_power_went(loss)
    }

    /// The machine as `after_power_loss` would leave it, while this one goes on. What was handed down and
    /// waits is not there.
    pub fn if_power_went(&self, loss: Loss) -> Self {
        let machine = self.lock();
        let questions = questions(&machine);
        let sectors: Vec<u64> = questions.iter().map(|question| question.sectors).collect();
        let verdict = loss.decide(&sectors);
        let mut fates: Vec<Vec<Fate>> = vec![Vec::new(); machine.media.len()];
        let mut shelf_changes = Vec::new();
        for (question, fate) in questions.into_iter().zip(verdict.fates) {
            match question.about {
                About::Content { disk } => fates[disk].push(fate),
                About::Shelf(change) if fate == Fate::Kept => shelf_changes.push(change),
                About::Shelf(_) => {}
            }
        }
        rebuilt(&machine, &shelf_changes, |disk, medium| {
            medium.image(&fates[disk], verdict.is_reordered)
        })
    }

    /// The machine after the process was killed: everything that was answered is there, of what was in
    /// flight the seed decides, and what was not flushed is still not stable. This one is off from now on.
    pub fn after_kill(&self, seed: u64) -> Self {
        self.cut_now();
        let machine = self.lock();
        let rng = SeededRng::new(seed);
        let keeps = || rng.below(2) == 0;
        let is_done = |(step, change): &&(u64, ShelfChange)| {
            matches!(change, ShelfChange::Remove { .. }) && *step < machine.steps || keeps()
        };
        let shelf_changes: Vec<ShelfChange> =
            machine.shelf_changes.iter().filter(is_done).map(|(_, change)| *change).collect();
        rebuilt(&machine, &shelf_changes, |_, medium| medium.orphaned(keeps))
    }

    /// Inverts one to eight bits of the stable content of a disk within `extent`, by the seed.
    ///
    /// # Panics
    /// Where there is no such disk, or the extent is empty or not within it.
    pub fn rot(&self, disk: &str, extent: Extent, seed: u64) {
        let rng = SeededRng::new(seed);
        let mut machine = self.lock();
        let medium = named(&mut machine, disk);
        assert!(!extent.is_empty() && extent.fits(medium.sectors), "rot outside of {disk}");
        let bits: std::collections::BTreeSet<u64> =
            (0..1 + rng.below(8)).map(|_| rng.below(extent.bytes() * 8)).collect();
        for bit in bits {
            let byte = bit / 8;
            let mut mask = [0; SECTOR_LEN];
            let place = usize::try_from(byte % SECTOR_LEN as u64).unwrap_or(0);
            mask[place] = 1 << (bit % 8);
            medium.invert(extent.start + byte / SECTOR_LEN as u64, &mask);
        }
    }

    /// Puts bytes, whole sectors, on a disk behind everyone's back, stable at once.
    ///
    /// # Panics
    /// Where there is no such disk.
    pub fn plant(&self, disk: &str, start: u64, bytes: &[u8]) {
        named(&mut self.lock(), disk).plant(start, bytes);
    }

    /// Makes a disk shorter behind everyone's back: what lay past its new end is gone for good.
    ///
    /// # Panics
    /// Where there is no such disk.
    pub fn truncate(&self, disk: &str, sectors: u64) {
        named(&mut self.lock(), disk).truncate(sectors);
    }

    /// What reads of a disk would see, without a request and without faults.
    ///
    /// # Panics
    /// Where there is no such disk.
    pub fn content(&self, disk: &str, extent: Extent) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(extent.bytes()).unwrap_or(usize::MAX)];
        named(&mut self.lock(), disk).now().read(extent.start, &mut bytes);
        bytes
    }

    /// The last steps, one a line: number, disk, what, where, outcome.
    pub fn trace(&self) -> String {
        self.lock().show_trace()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Machine> {
        self.0.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the machine, then sends the answers that came of it.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Machine) -> T) -> T {
        let (result, outbox) = {
            let mut machine = self.lock();
            let result = work(&mut machine);
            (result, std::mem::take(&mut machine.outbox))
        };
        for outgoing in outbox {
            let sent = self.lock().deliver(outgoing);
            if let Some((reply, answer)) = sent {
                reply.send(answer);
            }
        }
        result
    }

    /// Wakes whoever pumps.
    pub(super) fn wake(&self) {
        self.0.has_work.notify_one();
    }

    /// The path of a disk that lies elsewhere.
    pub(super) fn disk_at(&self, path: &Path) -> Option<usize> {
        self.lock().elsewhere.get(path).copied()
    }
}

/// Something that a power loss may decide one way or the other.
struct Question {
    step: u64,
    sectors: u64,
    about: About,
}

enum About {
    /// The next unstable change of this disk.
    Content {
        disk: usize,
    },
    Shelf(ShelfChange),
}

/// Everything a power loss now would decide, in the order of the steps.
fn questions(machine: &Machine) -> Vec<Question> {
    let is_undecided = |disk: usize| {
        let change = ShelfChange::Remove { disk };
        machine.shelf_changes.iter().any(|(_, undecided)| *undecided == change)
    };
    let mut all = Vec::new();
    for (disk, medium) in machine.media.iter().enumerate() {
        if medium.is_removed && !is_undecided(disk) {
            continue;
        }
        let about = || About::Content { disk };
        let changes = medium.unstable().zip(medium.unstable_sectors());
        all.extend(changes.map(|(step, sectors)| Question { step, sectors, about: about() }));
    }
    let shelf_changes = machine.shelf_changes.iter();
    all.extend(shelf_changes.map(|(step, change)| Question {
        step: *step,
        sectors: 0,
        about: About::Shelf(*change),
    }));
    all.sort_by_key(|question| question.step);
    all
}

/// A machine with what is left of this one's disks, after these shelf changes and no other.
fn rebuilt(
    machine: &Machine,
    done: &[ShelfChange],
    mut left_of: impl FnMut(usize, &Medium) -> Medium,
) -> SimWorld {
    // A name that was made is only stable after everything the shelf was told before.
    let is_settled = done.iter().any(|change| matches!(change, ShelfChange::Create { .. }));
    let mut new = Machine::new(machine.rng.next_u64());
    new.capacity = machine.capacity;
    let was_open = |change| machine.shelf_changes.iter().any(|(_, open)| *open == change);
    for (disk, medium) in machine.media.iter().enumerate() {
        let create = ShelfChange::Create { disk };
        let remove = ShelfChange::Remove { disk };
        let is_missing = was_open(create) && !done.contains(&create);
        let may_be_back = was_open(remove) && !is_settled && !done.contains(&remove);
        if is_missing || (medium.is_removed && !may_be_back) || done.contains(&remove) {
            continue;
        }
        let mut left = left_of(disk, medium);
        for change in done {
            if let ShelfChange::Grow { disk: grown, sectors } = change
                && *grown == disk
            {
                left.sectors = left.sectors.max(*sectors);
            }
        }
        let index = new.media.len();
        if medium.is_elsewhere {
            let paths = machine.elsewhere.iter().filter(|(_, at)| **at == disk);
            new.elsewhere.extend(paths.map(|(path, _)| (path.clone(), index)));
        } else {
            new.on_shelf.insert(left.name.clone(), index);
        }
        new.media.push(left);
    }
    SimWorld::of(new)
}

fn named<'a>(machine: &'a mut Machine, name: &str) -> &'a mut Medium {
    let found = machine.media.iter_mut().find(|medium| medium.name == name && !medium.is_removed);
    found.unwrap_or_else(|| panic!("the simulated world has no disk named {name}"))
}

impl std::fmt::Debug for SimWorld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let machine = self.lock();
        write!(f, "SimWorld({} disks, {} steps)", machine.media.len(), machine.steps)
    }
}
