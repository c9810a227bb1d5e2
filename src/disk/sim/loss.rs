//! What a power loss takes: a choice for every change that no flush covers.

use base::rng::{Rng, SeededRng};
use base::units::Extent;

/// Which of the changes that may be lost are. They are counted over all disks in the order of their
/// steps, shelf changes included; see [`SimWorld::unflushed`](super::SimWorld::unflushed).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// All of them: nothing is kept that need not be.
    All,
    /// None of them: the power went after everything had reached the medium.
    None,
    /// By chance, also torn and reordered. All, none, a prefix, all but one and one alone each come up
    /// often; so does every change for itself.
    Seeded(u64),
    /// Those whose bit is zero, whole; those past the 64th too.
    Subset(u64),
    /// As `Subset`, but of the change with this index just the sectors whose bit is one are kept.
    Torn {
        /// The changes that are kept whole.
        kept: u64,
        /// The one that is torn.
        index: usize,
        /// Its sectors that are kept, the first 64 of them.
        sectors: u64,
    },
}

/// What becomes of one change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Kept,
    Lost,
    /// These of its sectors are kept, counted from its start.
    Torn(Vec<Extent>),
}

/// The fates of all changes, and whether they reached the medium in another order.
pub(super) struct Verdict {
    pub(super) fates: Vec<Fate>,
    pub(super) is_reordered: bool,
}

impl Loss {
    /// Decides over changes of these lengths in sectors, in the order of their steps. A change of length
    /// zero cannot be torn.
    pub(super) fn decide(self, sectors: &[u64]) -> Verdict {
        let in_order = |fates| Verdict { fates, is_reordered: false };
        match self {
            Self::All => in_order(vec![Fate::Lost; sectors.len()]),
            Self::None => in_order(vec![Fate::Kept; sectors.len()]),
            Self::Subset(kept) => in_order(subset(kept, sectors.len())),
            Self::Torn { kept, index, sectors: kept_sectors } => {
                let mut fates = subset(kept, sectors.len());
                if let Some(fate) = fates.get_mut(index) {
                    let len = sectors.get(index).copied().unwrap_or(0).min(64);
                    let parts = (0..len).filter(|bit| kept_sectors >> bit & 1 == 1);
                    *fate = Fate::Torn(parts.map(|at| Extent::new(at, 1)).collect());
                }
                in_order(fates)
            }
            Self::Seeded(seed) => by_chance(&SeededRng::new(seed), sectors),
        }
    }
}

fn subset(kept: u64, count: usize) -> Vec<Fate> {
    let is_kept = |index: usize| index < 64 && kept >> index & 1 == 1;
    (0..count).map(|index| if is_kept(index) { Fate::Kept } else { Fate::Lost }).collect()
}

fn by_chance(rng: &SeededRng, sectors: &[u64]) -> Verdict {
    let count = sectors.len() as u64;
    if count == 0 {
        return Verdict { fates: Vec::new(), is_reordered: false };
    }
    let pattern = rng.below(10);
    let place = rng.below(count);
    let fate_of = |(index, &sectors): (usize, &u64)| {
        let index = index as u64;
        match pattern {
            0 => Fate::Kept,
            1 => Fate::Lost,
            2 | 3 if index < place => Fate::Kept,
            2 => Fate::Lost,
            3 if index == place => tear(rng, sectors),
            3 => Fate::Lost,
            4 | 5 if index != place => Fate::Kept,
            4 => Fate::Lost,
            5 => tear(rng, sectors),
            6 if index == place => Fate::Kept,
            6 => Fate::Lost,
            _ => match rng.below(3) {
                0 => Fate::Kept,
                1 => Fate::Lost,
                _ => tear(rng, sectors),
            },
        }
    };
    let fates = sectors.iter().enumerate().map(fate_of).collect();
    Verdict { fates, is_reordered: pattern >= 7 && rng.below(2) == 0 }
}

/// Tears a change: short ones sector by sector, long ones at a few places, so that it costs little.
pub(super) fn tear(rng: &SeededRng, sectors: u64) -> Fate {
    if sectors == 0 {
        return if rng.below(2) == 0 { Fate::Kept } else { Fate::Lost };
    }
    if sectors <= 64 {
        let bits = match rng.below(3) {
            // A prefix, as an interrupted transfer leaves it.
            0 => (1u64 << rng.below(sectors)) - 1,
            _ => rng.next_u64(),
        };
        let parts = (0..sectors).filter(|bit| bits >> bit & 1 == 1);
        return Fate::Torn(parts.map(|at| Extent::new(at, 1)).collect());
    }
    let mut cuts: Vec<u64> = (0..1 + rng.below(6)).map(|_| rng.below(sectors)).collect();
    cuts.extend([0, sectors]);
    cuts.sort_unstable();
    let parity = usize::from(rng.below(2) == 0);
    let stretches = cuts.windows(2).map(|pair| Extent::new(pair[0], pair[1] - pair[0]));
    Fate::Torn(stretches.skip(parity).step_by(2).filter(|part| !part.is_empty()).collect())
}
