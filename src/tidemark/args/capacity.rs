//! What can be typed about capacity.

use std::str::FromStr;

use base::name::Name;
use base::size::ByteSize;
use clap::{Args, Subcommand};

/// Verbs for capacity.
#[derive(Subcommand, Debug)]
pub enum CapacityCommand {
    /// Show what is taken, when it will be full, and what grows by itself
    Show,
    /// Show what was in use, of the pool or of a volume
    History {
        /// The volume; without one, the file system where the pool lies
        volume: Option<Name>,
        /// How many days back
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=730))]
        days: u32,
    },
    /// Let something grow by itself
    #[command(subcommand)]
    Set(CapacitySet),
    /// Let something grow by itself no more; it stays as large as it is
    #[command(subcommand)]
    Unset(CapacityUnset),
}

/// `capacity set`
#[derive(Subcommand, Debug)]
pub enum CapacitySet {
    /// A thin volume, by what of it is allocated
    Volume(GrowthOfVolume),
    /// The limit of what preserved blocks may take, all volumes together
    Preserved(LimitOfPreserved),
}

/// `capacity set preserved`
#[derive(Args, Debug)]
pub struct LimitOfPreserved {
    /// What they may take; then the oldest marks go, or writes wait, as in a full store
    #[arg(long, value_name = "SIZE")]
    pub limit: ByteSize,
    /// Let the limit grow from how much in use on, such as 85%
    #[arg(long, value_name = "PERCENT", requires_all = ["by", "up_to"])]
    pub grow_at: Option<PercentArg>,
    /// By how much at a time, such as 10G
    #[arg(long, value_name = "SIZE", requires = "grow_at")]
    pub by: Option<ByteSize>,
    /// What the limit never exceeds
    #[arg(long, value_name = "SIZE", requires = "grow_at")]
    pub up_to: Option<ByteSize>,
}

/// `capacity set volume`
#[derive(Args, Debug)]
pub struct GrowthOfVolume {
    /// The volume
    pub name: Name,
    /// From how much in use on, such as 85%
    #[arg(long, value_name = "PERCENT")]
    pub grow_at: PercentArg,
    /// By how much at a time, such as 10G
    #[arg(long, value_name = "SIZE")]
    pub by: ByteSize,
    /// The size that it never exceeds
    #[arg(long, value_name = "SIZE")]
    pub up_to: ByteSize,
}

/// `capacity unset`
#[derive(Subcommand, Debug)]
pub enum CapacityUnset {
    /// A volume
    Volume {
        /// The volume
        name: Name,
    },
    /// What preserved blocks may take: as much as there is, from now on
    Preserved,
}

/// `85%`, or `85`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PercentArg(pub u8);

impl FromStr for PercentArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
        match number {
            Some(percent @ 1..=99) => Ok(Self(percent)),
            Some(_) | None => Err(format!("{text:?} is not from 1% to 99%; write such as 85%")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_read_with_its_sign_or_without() {
        assert_eq!("85%".parse(), Ok(PercentArg(85)));
        assert_eq!("7".parse(), Ok(PercentArg(7)));
        for text in ["0%", "100%", "-1", "85 percent", "", "%", "8.5%", "300"] {
            let error = text.parse::<PercentArg>().unwrap_err();
            assert!(error.contains("85%"), "{error}");
        }
    }
}
