//! Operations, and how to draw them by chance.

use base::name::Name;
use base::rng::Rng;

use super::model::{BLOCK, Model};

/// One operation on a pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// Write sectors; stable where asked for.
    Write { volume: Name, start: u64, sectors: u64, is_stable: bool },
    /// Zero sectors.
    Zero { volume: Name, start: u64, sectors: u64, keeps_space: bool },
    /// Give whole blocks back.
    Discard { volume: Name, start: u64, sectors: u64 },
    /// Make everything so far stable.
    Flush { volume: Name },
    /// Mark volumes at one instant.
    Mark { volumes: Vec<Name>, mark: Name },
    /// Remove a mark.
    RemoveMark { volume: Name, mark: Name },
    /// Roll a volume back.
    Rollback { volume: Name, mark: Name },
    /// Undo that.
    Undo { volume: Name },
    /// Make a view.
    View { view: Name, volume: Name, mark: Name },
    /// Remove a view.
    RemoveView { view: Name },
    /// Make a view independent.
    Promote { view: Name },
    /// Make a volume longer.
    Grow { volume: Name, sectors: u64 },
    /// Make a new volume.
    Create { volume: Name, sectors: u64 },
    /// Remove a volume.
    RemoveVolume { volume: Name },
    /// Have something remembered of a volume, or forget it.
    Note { volume: Name, is_kept: bool },
    /// Let background work take a step.
    Upkeep,
}

/// A name of our own making.
pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Draws operations that make sense for a model.
pub struct Draw<'a> {
    /// Chance.
    pub rng: &'a dyn Rng,
    /// How many operations were drawn: makes names and tags unique.
    pub count: u64,
}

impl Draw<'_> {
    /// The next operation.
    pub fn next(&mut self, model: &Model) -> Op {
        self.count += 1;
        let volume = self.pick(model.volumes.keys()).unwrap();
        match self.rng.below(100) {
            0..=41 => self.write(model, volume),
            42..=46 => self.zero(model, volume),
            47..=51 => self.discard(model, volume),
            52..=59 => Op::Flush { volume },
            60..=69 => self.mark(model, volume),
            70..=74 => self.remove_mark(model).unwrap_or(Op::Upkeep),
            75..=76 => self.rollback(model, volume).unwrap_or(Op::Upkeep),
            77 => Op::Undo { volume },
            78..=80 => self.view(model, volume).unwrap_or(Op::Upkeep),
            81 => self.of_view(model).map_or(Op::Upkeep, |view| Op::RemoveView { view }),
            82 => self.of_view(model).map_or(Op::Upkeep, |view| Op::Promote { view }),
            83 => self.grow(model, volume),
            84 => self.volumes_change(model, volume),
            85 => Op::Note { volume, is_kept: self.rng.below(4) > 0 },
            _ => Op::Upkeep,
        }
    }

    fn write(&mut self, model: &Model, volume: Name) -> Op {
        let (start, sectors) = self.extent(model, &volume);
        Op::Write { volume, start, sectors, is_stable: self.rng.below(10) == 0 }
    }

    fn zero(&mut self, model: &Model, volume: Name) -> Op {
        let (start, sectors) = self.atomic_zero(model, &volume);
        Op::Zero { volume, start, sectors, keeps_space: self.rng.below(2) == 0 }
    }

    fn discard(&mut self, model: &Model, volume: Name) -> Op {
        let (start, sectors) = self.aligned(model, &volume);
        Op::Discard { volume, start, sectors }
    }

    fn mark(&mut self, model: &Model, volume: Name) -> Op {
        let mark = name(&format!("m{}", self.count));
        if self.rng.below(3) == 0 {
            return Op::Mark { volumes: model.volumes.keys().cloned().collect(), mark };
        }
        Op::Mark { volumes: vec![volume], mark }
    }

    fn remove_mark(&mut self, model: &Model) -> Option<Op> {
        let all = model.volumes.iter().flat_map(|(volume, there)| {
            there.marks.keys().map(move |mark| (volume.clone(), mark.clone()))
        });
        let free: Vec<_> = all.filter(|(volume, mark)| !model.is_viewed(volume, mark)).collect();
        let (volume, mark) = self.pick(free.iter())?;
        Some(Op::RemoveMark { volume, mark })
    }

    fn rollback(&mut self, model: &Model, volume: Name) -> Option<Op> {
        let mark = self.pick(model.volumes[&volume].marks.keys())?;
        Some(Op::Rollback { volume, mark })
    }

    fn view(&mut self, model: &Model, volume: Name) -> Option<Op> {
        if model.volumes.len() > 5 || model.volumes[&volume].parent.is_some() {
            return None;
        }
        let mark = self.pick(model.volumes[&volume].marks.keys())?;
        Some(Op::View { view: name(&format!("v{}", self.count)), volume, mark })
    }

    fn of_view(&mut self, model: &Model) -> Option<Name> {
        let views = model.volumes.iter().filter(|(view, there)| {
            there.parent.is_some() && there.marks.keys().all(|mark| !model.is_viewed(view, mark))
        });
        let views: Vec<&Name> = views.map(|(view, _)| view).collect();
        self.pick(views.into_iter())
    }

    fn grow(&mut self, model: &Model, volume: Name) -> Op {
        let now = model.volumes[&volume].live.0.len() as u64;
        Op::Grow { volume, sectors: now + BLOCK * self.rng.below(3) }
    }

    fn volumes_change(&mut self, model: &Model, volume: Name) -> Op {
        let is_viewed = model.volumes[&volume].marks.keys().any(|m| model.is_viewed(&volume, m));
        let is_view = model.volumes[&volume].parent.is_some();
        let plain = model.volumes.values().filter(|v| v.parent.is_none()).count();
        if plain > 2 && !is_viewed && !is_view {
            return Op::RemoveVolume { volume };
        }
        let volume = name(&format!("n{}", self.count));
        Op::Create { volume, sectors: BLOCK * (1 + self.rng.below(20)) }
    }

    /// Any sectors: mostly few, mostly whole blocks, at most what is atomic.
    fn extent(&mut self, model: &Model, volume: &Name) -> (u64, u64) {
        if self.rng.below(4) > 0 {
            return self.aligned(model, volume);
        }
        let size = model.volumes[volume].live.0.len() as u64;
        let start = self.rng.below(size);
        (start, (1 + self.rng.below(20)).min(size - start))
    }

    /// Whole blocks, or sectors within one: what is zeroed in one step.
    fn atomic_zero(&mut self, model: &Model, volume: &Name) -> (u64, u64) {
        let (start, sectors) = self.aligned(model, volume);
        if self.rng.below(4) > 0 {
            return (start, sectors);
        }
        let skipped = self.rng.below(BLOCK);
        (start + skipped, 1 + self.rng.below(BLOCK - skipped))
    }

    fn aligned(&mut self, model: &Model, volume: &Name) -> (u64, u64) {
        let blocks = model.volumes[volume].live.0.len() as u64 / BLOCK;
        let start = self.rng.below(blocks);
        let most = if self.rng.below(5) == 0 { 32 } else { 3 };
        let count = (1 + self.rng.below(most)).min(blocks - start);
        (start * BLOCK, count * BLOCK)
    }

    fn pick<'b, T: Clone + 'b>(&self, mut of: impl ExactSizeIterator<Item = &'b T>) -> Option<T> {
        let len = of.len() as u64;
        if len == 0 {
            return None;
        }
        of.nth(usize::try_from(self.rng.below(len)).unwrap()).cloned()
    }
}
