//! What is told about the extents of an export: allocation, and whatever contexts it has.
//!
//! A context counts sectors; a client asks about bytes. The first and the last stretch are cut to what
//! was asked, neighbours of equal flags become one.

use std::sync::Arc;

use disk::{AnyDisk, DiskError, MapKind};

use base::units::{Extent, SECTOR_LEN};

use super::limits::{STATUS_DESCRIPTORS_MAX, STATUS_DESCRIPTORS_MIN};
use super::request::ByteExtent;
use super::wire::{Errno, state_flag};
use crate::export::{Context, ContextExtents};

/// The name of the context that every export has.
pub const ALLOCATION: &str = "base:allocation";

/// Which sectors are allocated and which read as zeroes.
pub struct Allocation(pub AnyDisk);

impl Context for Allocation {
    fn name(&self) -> String {
        ALLOCATION.to_owned()
    }

    fn extents(&self, extent: Extent) -> ContextExtents<'_> {
        let map = self.0.map(extent);
        Box::pin(async move {
            let map = map.await?;
            Ok(map.iter().map(|stretch| (stretch.extent.sectors, flags_of(stretch.kind))).collect())
        })
    }
}

const fn flags_of(kind: MapKind) -> u32 {
    match kind {
        MapKind::Data => 0,
        MapKind::Zero => state_flag::ZERO,
        MapKind::Absent => state_flag::HOLE | state_flag::ZERO,
    }
}

/// A context that a session has selected, and the number it is told by.
#[derive(Clone)]
pub struct Selected {
    /// Its number.
    pub id: u32,
    /// The context.
    pub context: Arc<dyn Context>,
}

impl std::fmt::Debug for Selected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.id, self.context.name())
    }
}

/// A stretch of bytes and its flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// Bytes, not none.
    pub len: u64,
    /// As the context defines them.
    pub flags: u32,
}

/// What one context says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContextStatus {
    /// The context's number.
    pub id: u32,
    /// Consecutive stretches from the first byte that was asked about, at least one.
    pub descriptors: Vec<Descriptor>,
}

/// Asks each of `contexts` about `bytes`, which are some; with `is_one` for one stretch each.
///
/// # Errors
/// Whatever a context answers, and `Io` where it answers with nothing.
pub async fn query(
    contexts: Vec<Selected>,
    bytes: ByteExtent,
    is_one: bool,
) -> Result<Vec<ContextStatus>, DiskError> {
    let count_max = if is_one {
        1
    } else {
        (STATUS_DESCRIPTORS_MAX / contexts.len().max(1)).max(STATUS_DESCRIPTORS_MIN)
    };
    let mut all = Vec::with_capacity(contexts.len());
    for Selected { id, context } in contexts {
        let stretches = context.extents(bytes.cover()).await?;
        let descriptors = descriptors(bytes, &stretches, count_max);
        if descriptors.is_empty() {
            let what = format!("list the extents of {}", context.name()).into();
            return Err(DiskError::Io { what, errno: Errno::Io as i32 });
        }
        all.push(ContextStatus { id, descriptors });
    }
    Ok(all)
}

fn descriptors(bytes: ByteExtent, stretches: &[(u64, u32)], count_max: usize) -> Vec<Descriptor> {
    let mut all: Vec<Descriptor> = Vec::new();
    let mut at = bytes.cover().start.saturating_mul(SECTOR_LEN as u64);
    for (sectors, flags) in stretches {
        let start = at.max(bytes.offset);
        at = at.saturating_add(sectors.saturating_mul(SECTOR_LEN as u64));
        let len = at.min(bytes.end()).saturating_sub(start);
        let is_full = all.len() == count_max;
        match all.last_mut() {
            _ if len == 0 => {}
            Some(last) if last.flags == *flags => last.len += len,
            _ if is_full => break,
            _ => all.push(Descriptor { len, flags: *flags }),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_and_last_stretch_are_cut_to_what_was_asked() {
        let bytes = ByteExtent { offset: 700, len: 1000 };
        let found = descriptors(bytes, &[(1, 0), (1, 3), (100, 0)], 9);
        let expected = [(324, 0), (512, 3), (164, 0)].map(|(len, flags)| Descriptor { len, flags });
        assert_eq!(found, expected);
        assert_eq!(descriptors(bytes, &[(1, 0), (1, 3), (100, 0)], 1), expected[..1]);
    }

    #[test]
    fn neighbours_of_equal_flags_become_one() {
        let bytes = ByteExtent { offset: 0, len: 4096 };
        let found = descriptors(bytes, &[(1, 1), (2, 1), (0, 7), (5, 1)], 1);
        assert_eq!(found, [Descriptor { len: 4096, flags: 1 }]);
    }

    proptest! {
        #[test]
        fn descriptors_are_consecutive_and_never_past_what_was_asked(
            offset in 0u64..100_000, len in 1u64..100_000,
            stretches in proptest::collection::vec((0u64..300, 0u32..3), 0..50), is_one in any::<bool>(),
        ) {
            let bytes = ByteExtent { offset, len };
            let found = descriptors(bytes, &stretches, if is_one { 1 } else { 1000 });
            let start = bytes.cover().start * 512;
            let end = start + stretches.iter().map(|(sectors, _)| sectors * 512).sum::<u64>();
            let told: u64 = found.iter().map(|d| d.len).sum();
            prop_assert!(found.iter().all(|d| d.len > 0));
            prop_assert!(found.windows(2).all(|pair| pair[0].flags != pair[1].flags));
            if is_one {
                prop_assert!(found.len() <= 1 && told <= len);
            } else {
                prop_assert_eq!(told, end.min(bytes.end()).saturating_sub(offset));
            }
        }
    }
}
