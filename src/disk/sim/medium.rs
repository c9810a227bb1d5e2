//! One simulated disk: what the medium holds for good, what is on the way there, what a read sees.

use std::sync::Weak;

use base::units::{Extent, SECTOR_LEN};

use super::change::Change;
use super::loss::Fate;
use crate::request::{Durability, Keep};
use crate::sparse::Sparse;

/// Names a change of one medium: its place in the order in which they were carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ChangeId(u64);

/// One simulated disk.
#[derive(Clone, Debug)]
pub(super) struct Medium {
    pub(super) name: String,
    pub(super) sectors: u64,
    /// It lies outside the shelf and takes none of its space.
    pub(super) is_elsewhere: bool,
    /// Its name is gone from the shelf; whoever has it open still uses it.
    pub(super) is_removed: bool,
    /// The one user of a disk that lies elsewhere.
    pub(super) user: Weak<()>,
    /// What every power loss leaves.
    stable: Sparse,
    /// What reads see.
    now: Sparse,
    /// What lies between the two, oldest first. May hold stable changes behind ones that are not.
    changes: Vec<Change>,
    /// How many changes went into `stable` and out of `changes`.
    settled: u64,
}

impl Medium {
    /// A disk of zeroes.
    pub(super) fn new(name: &str, sectors: u64) -> Self {
        Self {
            name: name.to_owned(),
            sectors,
            is_elsewhere: false,
            is_removed: false,
            user: Weak::new(),
            stable: Sparse::default(),
            now: Sparse::default(),
            changes: Vec::new(),
            settled: 0,
        }
    }

    /// The same, outside of the shelf.
    pub(super) fn put_elsewhere(self) -> Self {
        Self { is_elsewhere: true, ..self }
    }

    /// What reads see.
    pub(super) fn now(&self) -> &Sparse {
        &self.now
    }

    /// Carries a change out: every read sees it from now on.
    pub(super) fn carry_out(&mut self, mut change: Change) -> ChangeId {
        change.put(&mut self.now);
        change.is_carried_out = true;
        self.changes.push(change);
        ChangeId(self.settled + self.changes.len() as u64 - 1)
    }

    /// Notes a change that was in flight when the power went or the process was killed.
    pub(super) fn note(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Notes that a change was answered at this moment. A stable one is stable from now on.
    pub(super) fn answered(&mut self, id: ChangeId, moment: u64) {
        let index = usize::try_from(id.0.wrapping_sub(self.settled)).unwrap_or(usize::MAX);
        if let Some(change) = self.changes.get_mut(index) {
            change.answered_at = Some(moment);
            if change.durability == Durability::Stable {
                change.is_stable = true;
                self.settle();
            }
        }
    }

    /// Makes everything stable that was answered before this moment and that no failed flush has lost.
    pub(super) fn flush(&mut self, handed_down_at: u64) {
        for change in &mut self.changes {
            if change.is_covered(handed_down_at) && !change.is_forsaken {
                change.is_stable = true;
            }
        }
        self.settle();
    }

    /// Loses sight of everything a failed flush should have covered: no later one makes it stable.
    pub(super) fn forsake(&mut self, handed_down_at: u64) {
        for change in &mut self.changes {
            change.is_forsaken |= change.is_covered(handed_down_at);
        }
    }

    /// Takes space, for good.
    pub(super) fn reserve(&mut self, extent: Extent, step: u64) {
        self.carry_out(Change::reserving(extent, step));
        self.settle();
    }

    /// Puts bytes on the medium behind everyone's back, also where reads see them.
    pub(super) fn plant(&mut self, start: u64, bytes: &[u8]) {
        self.now.write(start, bytes);
        self.stable.write(start, bytes);
    }

    /// Makes it shorter behind everyone's back.
    pub(super) fn truncate(&mut self, sectors: u64) {
        let gone = Extent::new(sectors, self.sectors.saturating_sub(sectors));
        for sparse in [&mut self.now, &mut self.stable] {
            sparse.zero(gone, Keep::Nothing);
        }
        self.sectors = self.sectors.min(sectors);
    }

    /// Inverts the bits of `mask`, whole sectors, in what is stable and in what reads see.
    pub(super) fn invert(&mut self, start: u64, mask: &[u8]) {
        let mut bytes = vec![0; mask.len().next_multiple_of(SECTOR_LEN)];
        for sparse in [&mut self.now, &mut self.stable] {
            sparse.read(start, &mut bytes);
            bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
            sparse.write(start, &bytes);
        }
    }

    /// The steps of the changes that a power loss may take, oldest first.
    pub(super) fn unstable(&self) -> impl Iterator<Item = u64> {
        self.changes.iter().filter(|change| !change.is_stable).map(|change| change.step)
    }

    /// How many sectors each of the changes has that a power loss may take.
    pub(super) fn unstable_sectors(&self) -> impl Iterator<Item = u64> {
        self.changes.iter().filter(|change| !change.is_stable).map(Change::sectors)
    }

    /// What is left when the power comes back, with one fate for each change in the order of `unstable`.
    /// Where `is_reordered`, overlapping unstable changes reached the medium last one first.
    pub(super) fn image(&self, fates: &[Fate], is_reordered: bool) -> Self {
        let mut left = self.stable.clone();
        let mut fates = fates.iter();
        let mut group: Vec<(&Change, &Fate)> = Vec::new();
        let put_group = |group: &mut Vec<(&Change, &Fate)>, left: &mut Sparse| {
            if is_reordered {
                group.reverse();
            }
            for (change, fate) in group.drain(..) {
                match fate {
                    Fate::Kept => change.put(left),
                    Fate::Lost => {}
                    Fate::Torn(parts) => change.put_torn(left, parts),
                }
            }
        };
        for change in &self.changes {
            if change.is_stable {
                // Nothing older can have reached the medium after it.
                put_group(&mut group, &mut left);
                change.put(&mut left);
            } else {
                group.push((change, fates.next().unwrap_or(&Fate::Kept)));
            }
        }
        put_group(&mut group, &mut left);
        let medium = Self::new(&self.name, self.sectors);
        Self { is_elsewhere: self.is_elsewhere, now: left.clone(), stable: left, ..medium }
    }

    /// What is left when the process is killed: everything that was carried out, and of what was in flight
    /// what `keeps` says. What was not stable is not stable now.
    pub(super) fn orphaned(&self, mut keeps: impl FnMut() -> bool) -> Self {
        let mut left = Self {
            stable: self.stable.clone(),
            now: self.stable.clone(),
            is_elsewhere: self.is_elsewhere,
            ..Self::new(&self.name, self.sectors)
        };
        for change in &self.changes {
            if change.is_carried_out || keeps() {
                let mut kept = change.clone();
                kept.answered_at = Some(0);
                left.carry_out(kept);
            }
        }
        left
    }

    /// Moves the oldest changes into `stable`, as far as they are.
    fn settle(&mut self) {
        let count = self.changes.iter().take_while(|change| change.is_stable).count();
        let is_all = count == self.changes.len();
        for change in self.changes.drain(..count) {
            if is_all {
                // Nothing is left in between, so the medium holds what reads see.
                self.stable.share(&self.now, change.extent);
            } else {
                change.put(&mut self.stable);
            }
        }
        self.settled += count as u64;
    }
}

impl Change {
    fn is_covered(&self, handed_down_at: u64) -> bool {
        self.answered_at.is_some_and(|moment| moment < handed_down_at)
    }
}
