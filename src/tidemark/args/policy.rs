//! What can be typed about policies.

use std::str::FromStr;

use base::name::Name;
use base::size::ByteSize;
use base::span::{Span, SpanOrNone};
use clap::{Args, Subcommand};
use control::policy::keep::{Class, Keep};

use super::GradeArg;

/// How times and numbers of marks are written.
const TIMES: &str = "Times:
  --every 15m           at :00, :15, :30, :45; also 1m to 60m, 1h to 24h, 1d (midnight), 1w (Monday)
  --cron '30 2 * * *'   minute, hour, day of month, month, day of week
  --changed 1G          also as soon as so much has changed since its last mark
  --passed 1h           also as soon as so much time has passed since its last run

What recurs within an hour follows the passing of time, also where clocks are changed. A time of day
comes once a day: at its first coming, or at the moment of the jump where it does not come.

Marks that stay:
  --keep last=12,hourly=24,daily=7,weekly=4,monthly=12,yearly=3
The first mark of an hour, day, week, month or year stands for it.";

/// Verbs for policies.
#[derive(Subcommand, Debug)]
pub enum PolicyCommand {
    /// Take marks of volumes at set times, and thin them
    Create(PolicyCreate),
    /// List policies
    Ls,
    /// Show one policy
    Show {
        /// The policy
        name: Name,
    },
    /// Change a policy; what is left out stays
    Set(PolicySet),
    /// Forget a policy; its marks stay and are thinned no more
    Rm {
        /// The policy
        name: Name,
    },
    /// Show which marks there will be
    Preview {
        /// The policy
        name: Name,
        /// When, as 2027-03-01 or 2027-03-01T02:30 in the policy's zone
        #[arg(long, value_name = "MOMENT")]
        at: String,
    },
    /// Run a policy now
    Run {
        /// The policy
        name: Name,
    },
    /// Show what came of its last runs
    Runs {
        /// The policy
        name: Name,
    },
}

/// `policy create`
#[derive(Args, Debug)]
#[command(after_help = TIMES)]
pub struct PolicyCreate {
    /// Its name; those of its marks begin with it
    pub name: Name,
    /// Volumes or views, marked at one instant
    #[arg(
        value_delimiter = ',',
        value_name = "VOLUME[,VOLUME...]",
        required_unless_present = "group",
        conflicts_with = "group"
    )]
    pub volumes: Vec<Name>,
    /// The group to mark
    #[arg(long)]
    pub group: Option<Name>,
    /// How often
    #[arg(long, value_name = "INTERVAL", conflicts_with = "cron")]
    pub every: Option<String>,
    /// When, as a cron pattern
    #[arg(long, value_name = "PATTERN")]
    pub cron: Option<String>,
    /// Also as soon as so much has changed
    #[arg(long, value_name = "SIZE")]
    pub changed: Option<ByteSize>,
    /// Also as soon as so much time has passed since its last run
    #[arg(long, value_name = "SPAN")]
    pub passed: Option<Span>,
    /// Leave a run out where nothing has changed since its last mark
    #[arg(long)]
    pub skip_unchanged: bool,
    /// Its time zone, such as Europe/Berlin; without one, that of this machine
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<String>,
    /// Which of its marks stay
    #[arg(long, value_name = "CLASS=COUNT,...")]
    pub keep: KeepArg,
    /// Lock each mark that it takes for so long: nobody can remove it before
    #[arg(long, value_name = "SPAN")]
    pub lock: Option<Span>,
    /// How consistent its marks are said to be
    #[arg(long, default_value = "crash")]
    pub grade: GradeArg,
    /// Make it pause until it is resumed
    #[arg(long)]
    pub paused: bool,
    /// Make nothing; show which marks there would be, as `policy preview --at`
    #[arg(long, value_name = "MOMENT")]
    pub preview: Option<String>,
}

/// `policy set`
#[derive(Args, Debug)]
#[group(skip)]
#[command(after_help = TIMES, group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct PolicySet {
    /// The policy
    pub name: Name,
    /// Other volumes
    #[arg(long, value_delimiter = ',', value_name = "VOLUME[,VOLUME...]", group = "change")]
    pub volumes: Vec<Name>,
    /// Another group
    #[arg(long, group = "change", conflicts_with = "volumes")]
    pub group: Option<Name>,
    /// Another interval
    #[arg(long, value_name = "INTERVAL", group = "change", conflicts_with = "cron")]
    pub every: Option<String>,
    /// Another cron pattern
    #[arg(long, value_name = "PATTERN", group = "change")]
    pub cron: Option<String>,
    /// Another amount of changed data; 0 for none
    #[arg(long, value_name = "SIZE", group = "change")]
    pub changed: Option<ByteSize>,
    /// Another time that passes, or none
    #[arg(long, value_name = "SPAN", group = "change")]
    pub passed: Option<SpanOrNone>,
    /// Whether a run is left out where nothing has changed
    #[arg(long, value_name = "BOOL", group = "change")]
    pub skip_unchanged: Option<bool>,
    /// Another time zone
    #[arg(long, value_name = "ZONE", group = "change")]
    pub zone: Option<String>,
    /// Other marks that stay, all of them
    #[arg(long, value_name = "CLASS=COUNT,...", group = "change")]
    pub keep: Option<KeepArg>,
    /// Another time for which marks are locked that it takes from now on, or none
    #[arg(long, value_name = "SPAN", group = "change")]
    pub lock: Option<SpanOrNone>,
    /// Another grade
    #[arg(long, group = "change")]
    pub grade: Option<GradeArg>,
    /// Whether it pauses
    #[arg(long, value_name = "BOOL", group = "change", conflicts_with = "paused_until")]
    pub paused: Option<bool>,
    /// Make it pause until then, as 2027-03-01 or 2027-03-01T02:30 in its zone
    #[arg(long, value_name = "MOMENT", group = "change")]
    pub paused_until: Option<String>,
}

/// `last=12,daily=7`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepArg(pub Keep);

impl FromStr for KeepArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut keep = Keep::default();
        for part in text.split(',') {
            let bad =
                || format!("{part:?} is no number of marks: write such as last=12 or daily=7");
            let (word, count) = part.trim().split_once('=').ok_or_else(bad)?;
            let count: u16 = count.parse().map_err(|_| bad())?;
            let class = Class::ALL.into_iter().find(|class| class.word() == word);
            *keep.count_mut(class.ok_or_else(|| {
                let words = Class::ALL.map(Class::word).join(", ");
                format!("{word:?} is nothing that marks are kept for: {words}")
            })?) = count;
        }
        Ok(Self(keep))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_read_as_it_is_written() {
        let KeepArg(keep) = "last=12,daily=7, yearly=1".parse().unwrap();
        assert_eq!((keep.last, keep.daily, keep.yearly, keep.sum()), (12, 7, 1, 20));
        for (text, says) in [
            ("daily", "daily=7"),
            ("dailies=7", "weekly"),
            ("daily=-1", "no number"),
            ("", "last=12"),
        ] {
            let error = text.parse::<KeepArg>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
