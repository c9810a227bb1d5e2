//! Capacity on demand: the rule by which something grows, and whether it must now. Pure.

use base::limits::VOLUME_LEN_MAX;
use base::size::ByteSize;
use base::units::BLOCK_LEN;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ControlError;

/// The smallest step: below it a volume that fills up would grow hundreds of times.
const STEP_MIN: u64 = 1 << 20;
/// How long after one growth, or a try at it, the next one waits: a copy that runs away meets its cap only after
/// somebody had time to notice.
pub(super) const COOL_DOWN_MS: u64 = 10 * 60_000;

/// When something grows by itself, by how much, and how far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    /// From how many percent in use on: 1 to 99.
    #[schemars(range(min = 1, max = 99))]
    pub grow_at: u8,
    /// Bytes of each step: whole blocks of 4 KiB, at least 1 MiB.
    pub by: ByteSize,
    /// Bytes that it never exceeds: whole blocks.
    pub up_to: ByteSize,
}

/// How much preserved blocks may take, all volumes together, and how that limit grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreservedRule {
    /// Bytes that they may take: at least 1 MiB.
    pub limit: ByteSize,
    /// The rule by which the limit grows; without one it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
}

impl PreservedRule {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// `Invalid`, saying what would.
    pub fn check(&self) -> Result<(), ControlError> {
        if self.limit.0 < STEP_MIN {
            let why = format!("{} is too small a limit for preserved blocks", self.limit);
            return Err(invalid(why, "choose at least 1M, such as 100G, or no limit at all"));
        }
        let Some(growth) = &self.growth else { return Ok(()) };
        growth.check()?;
        if growth.up_to < self.limit {
            let why = format!("a limit of {} is beyond {} already", self.limit, growth.up_to);
            return Err(invalid(why, "choose a size beyond the limit to grow up to"));
        }
        Ok(())
    }
}

/// What a rule says now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// There is enough room.
    Rest,
    /// It grows to this size.
    GrowTo(ByteSize),
    /// It should grow, and may not any more.
    AtCap,
}

impl Growth {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// `Invalid`, saying what would.
    pub fn check(&self) -> Result<(), ControlError> {
        let block = BLOCK_LEN as u64;
        if !(1..=99).contains(&self.grow_at) {
            let why = format!("{}% is no threshold", self.grow_at);
            return Err(invalid(why, "choose one from 1% to 99%, such as 85%"));
        }
        if self.by.0 < STEP_MIN || !self.by.0.is_multiple_of(block) {
            let why = format!("{} is no step to grow by", self.by);
            return Err(invalid(why, "choose whole blocks of 4K, at least 1M, such as 10G"));
        }
        if self.up_to.0 > VOLUME_LEN_MAX || !self.up_to.0.is_multiple_of(block) {
            let why = format!("{} is no size to grow up to", self.up_to);
            return Err(invalid(why, "choose whole blocks of 4K, at most 64T"));
        }
        Ok(())
    }

    /// What must be done where so much of so much is in use. A step that would lead past the cap ends at it.
    pub(super) fn verdict(&self, used: u64, size: u64) -> Verdict {
        let is_due = u128::from(used) * 100 >= u128::from(size) * u128::from(self.grow_at);
        if !is_due {
            return Verdict::Rest;
        }
        if size >= self.up_to.0 {
            return Verdict::AtCap;
        }
        Verdict::GrowTo(ByteSize(size.saturating_add(self.by.0).min(self.up_to.0)))
    }
}

pub(super) fn invalid(why: impl Into<String>, way_out: &str) -> ControlError {
    ControlError::Invalid { why: why.into(), way_out: way_out.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn rule(grow_at: u8, by: u64, up_to: u64) -> Growth {
        Growth { grow_at, by: ByteSize(by), up_to: ByteSize(up_to) }
    }

    #[test]
    fn it_grows_at_the_threshold_and_not_a_byte_before() {
        let rule = rule(85, 10 * GIB, 115 * GIB);
        assert_eq!(rule.verdict(85 * GIB - 1, 100 * GIB), Verdict::Rest);
        assert_eq!(rule.verdict(85 * GIB, 100 * GIB), Verdict::GrowTo(ByteSize(110 * GIB)));
        assert_eq!(rule.verdict(100 * GIB, 110 * GIB), Verdict::GrowTo(ByteSize(115 * GIB)));
        assert_eq!(rule.verdict(115 * GIB, 115 * GIB), Verdict::AtCap);
        assert_eq!(rule.verdict(130 * GIB, 130 * GIB), Verdict::AtCap, "grown by hand past it");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (rule, named) in [
            (rule(0, GIB, GIB), "0%"),
            (rule(100, GIB, GIB), "100%"),
            (rule(85, 4096, GIB), "4K"),
            (rule(85, GIB + 1, GIB), "whole blocks"),
            (rule(85, GIB, 65 << 40), "65T"),
            (rule(85, GIB, 4097), "whole blocks"),
        ] {
            let error = rule.check().unwrap_err();
            let text = format!("{error}; {}", error.way_out().unwrap());
            assert!(text.contains(named), "{text}");
        }
        assert!(rule(85, GIB, 64 << 40).check().is_ok());
    }

    proptest! {
        #[test]
        fn a_step_is_larger_by_a_step_at_most_and_never_past_the_cap(
            grow_at in 1..=99u8, by in 1..64u64, cap in 1..4096u64, used in 0..4096u64, size in 1..4096u64,
        ) {
            let rule = rule(grow_at, by * STEP_MIN, cap * STEP_MIN);
            let (used, size) = (used.min(size) * STEP_MIN, size * STEP_MIN);
            if let Verdict::GrowTo(next) = rule.verdict(used, size) {
                prop_assert!(next.0 > size && next.0 <= size + rule.by.0 && next <= rule.up_to);
            }
        }
    }
}
