//! One change to a simulated disk that may not have reached the medium yet.

use base::units::Extent;

use crate::buffer::Payload;
use crate::request::{Durability, Keep, Op};
use crate::sparse::Sparse;

/// What a change puts into its sectors.
#[derive(Clone, Debug)]
enum Content {
    Bytes(Vec<Payload>),
    Zeroes(Keep),
    /// Nothing, but their space is taken.
    Reserved,
}

/// A change, from when it was carried out until a flush makes it part of the medium.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The step at which it was carried out.
    pub(super) step: u64,
    pub(super) extent: Extent,
    content: Content,
    /// Which of its sectors it really changed, counted from its start, where not all.
    parts: Option<Vec<Extent>>,
    pub(super) durability: Durability,
    /// Reads saw it, so it was with the operating system.
    pub(super) is_carried_out: bool,
    /// When it was answered, on the machine's clock of answers.
    pub(super) answered_at: Option<u64>,
    /// No power loss takes it any more.
    pub(super) is_stable: bool,
    /// A flush that covered it failed, and no later one makes up for it.
    pub(super) is_forsaken: bool,
}

impl Change {
    /// From an operation that changes something; `None` from any other.
    pub(super) fn of(op: Op, step: u64) -> Option<Self> {
        let extent = op.extent()?;
        let (content, durability) = match op {
            Op::Write { data, durability, .. } => (Content::Bytes(data), durability),
            Op::Discard { durability, .. } => (Content::Zeroes(Keep::Nothing), durability),
            Op::WriteZeroes { keep, durability, .. } => (Content::Zeroes(keep), durability),
            Op::Read { .. } | Op::Map { .. } | Op::Flush => return None,
        };
        Some(Self::new(step, extent, content, durability))
    }

    /// Space for `extent`, stable at once.
    pub(super) fn reserving(extent: Extent, step: u64) -> Self {
        let change = Self::new(step, extent, Content::Reserved, Durability::Stable);
        Self { answered_at: Some(0), is_stable: true, ..change }
    }

    fn new(step: u64, extent: Extent, content: Content, durability: Durability) -> Self {
        Self {
            step,
            extent,
            content,
            parts: None,
            durability,
            is_carried_out: false,
            answered_at: None,
            is_stable: false,
            is_forsaken: false,
        }
    }

    /// The same change of these sectors only, counted from its start.
    pub(super) fn only(self, parts: Vec<Extent>) -> Self {
        Self { parts: Some(parts), ..self }
    }

    /// The same change from another sector on.
    pub(super) fn moved_to(mut self, start: u64) -> Self {
        self.extent.start = start;
        self
    }

    /// How many sectors may be torn from one another.
    pub(super) fn sectors(&self) -> u64 {
        self.extent.sectors
    }

    /// Puts it into `sparse`.
    pub(super) fn put(&self, sparse: &mut Sparse) {
        match &self.parts {
            None => self.put_part(sparse, Extent::new(0, self.extent.sectors)),
            Some(parts) => parts.iter().for_each(|part| self.put_part(sparse, *part)),
        }
    }

    /// Puts those of `torn`'s sectors into `sparse` that it really changed.
    pub(super) fn put_torn(&self, sparse: &mut Sparse, torn: &[Extent]) {
        let whole = [Extent::new(0, self.extent.sectors)];
        for mine in self.parts.as_deref().unwrap_or(&whole) {
            for part in torn {
                self.put_part(sparse, part.intersect(*mine));
            }
        }
    }

    fn put_part(&self, sparse: &mut Sparse, part: Extent) {
        if part.is_empty() {
            return;
        }
        let place = Extent::new(self.extent.start + part.start, part.sectors);
        match &self.content {
            Content::Zeroes(keep) => sparse.zero(place, *keep),
            Content::Reserved => sparse.reserve(place),
            Content::Bytes(payloads) => {
                let mut at = 0;
                for payload in payloads {
                    let here = Extent::new(at, payload.sectors()).intersect(part);
                    if !here.is_empty() {
                        let bytes = payload.slice(here.start - at, here.sectors);
                        sparse.write(self.extent.start + here.start, &bytes);
                    }
                    at += payload.sectors();
                }
            }
        }
    }
}
