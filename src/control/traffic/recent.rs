//! What clients did in the last minutes, in short steps: how much, and how long they waited. It is measured by the
//! daemon, so that whoever opens a chart sees what was before; steps in which nothing was done are not kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use disk::stats::{Counted, Reading, Stats};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::DiskRef;

/// How long a step is.
pub const STEP: Duration = Duration::from_secs(2);
/// Steps that are kept.
pub const STEPS_KEPT: u64 = 150;

/// What was done of one kind within a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// Requests that were answered.
    pub count: u64,
    /// Bytes of those that succeeded.
    pub bytes: u64,
    /// Microseconds within which half of them were answered; without requests there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<u64>,
    /// Microseconds within which 99 of 100 were answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<u64>,
}

impl Done {
    fn of(reading: &Reading) -> Self {
        let within = |per_mille| {
            let micros = reading.estimate(per_mille)?.as_micros();
            Some(u64::try_from(micros).unwrap_or(u64::MAX))
        };
        let Reading { count, bytes, .. } = *reading;
        Self { count, bytes, p50_us: within(500), p99_us: within(990) }
    }
}

/// A step in which something was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TrafficPoint {
    /// When it ended, milliseconds since 1970.
    pub at_ms: u64,
    /// How long it was, in milliseconds.
    pub len_ms: u64,
    /// Reads.
    pub read: Done,
    /// Writes.
    pub write: Done,
}

/// What clients did in the last minutes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TrafficStatus {
    /// What the daemon's clock says now, milliseconds since 1970.
    pub now_ms: u64,
    /// How long a step is, in milliseconds.
    pub step_ms: u64,
    /// How many steps are kept.
    pub steps_kept: u64,
    /// The steps in which something was done, oldest first.
    pub points: Vec<TrafficPoint>,
}

/// What one disk had come to when it was last looked at.
struct Seen {
    read: Reading,
    write: Reading,
}

/// The last steps of something.
#[derive(Default)]
struct Past(VecDeque<(u64, TrafficPoint)>);

impl Past {
    fn add(&mut self, step: u64, point: TrafficPoint) {
        if point.read.count + point.write.count > 0 {
            self.0.push_back((step, point));
        }
        while self.0.front().is_some_and(|(first, _)| first + STEPS_KEPT <= step) {
            self.0.pop_front();
        }
    }
}

/// The last minutes, of all disks together and of each.
#[derive(Default)]
pub(super) struct Recent {
    steps: u64,
    looked: Option<Duration>,
    seen: BTreeMap<DiskRef, Seen>,
    all: Past,
    each: BTreeMap<DiskRef, Past>,
}

impl Recent {
    /// Ends a step, at this moment of a clock that no one sets: what these disks have come to since the one before.
    /// The first look begins; what was done before it is of no step.
    pub(super) fn look(&mut self, disks: &[(DiskRef, Arc<Stats>)], now: Duration, at_ms: u64) {
        let len = now.saturating_sub(self.looked.unwrap_or(now));
        self.looked = Some(now);
        self.steps += 1;
        let len_ms = u64::try_from(len.as_millis()).unwrap_or(u64::MAX);
        let (mut all_read, mut all_write) = (Reading::default(), Reading::default());
        let mut seen = BTreeMap::new();
        for (of, stats) in disks {
            let (read, write) = (stats.read(Counted::Read), stats.read(Counted::Write));
            // A disk that was not there at the last look has done all of it since.
            let (read_now, write_now) = match self.seen.get(of) {
                Some(before) => (read.since(&before.read), write.since(&before.write)),
                None => (read.clone(), write.clone()),
            };
            seen.insert(of.clone(), Seen { read, write });
            if len_ms == 0 {
                continue;
            }
            all_read.add(&read_now);
            all_write.add(&write_now);
            let (read, write) = (Done::of(&read_now), Done::of(&write_now));
            let point = TrafficPoint { at_ms, len_ms, read, write };
            self.each.entry(of.clone()).or_default().add(self.steps, point);
        }
        self.each.retain(|of, _| seen.contains_key(of));
        self.seen = seen;
        let (read, write) = (Done::of(&all_read), Done::of(&all_write));
        self.all.add(self.steps, TrafficPoint { at_ms, len_ms, read, write });
    }

    /// The last minutes, of one disk or of all together.
    pub(super) fn told(&self, of: Option<&DiskRef>, now_ms: u64) -> TrafficStatus {
        let past = match of {
            Some(of) => self.each.get(of),
            None => Some(&self.all),
        };
        let points = past.map(|past| past.0.iter().map(|(_, point)| *point).collect());
        TrafficStatus {
            now_ms,
            step_ms: u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX),
            steps_kept: STEPS_KEPT,
            points: points.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str) -> (DiskRef, Arc<Stats>) {
        (DiskRef::Volume(name.parse().unwrap()), Arc::default())
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_step_tells_what_was_done_in_it_and_how_long_that_took() {
        let (mail, index) = (disk("mail"), disk("index"));
        let disks = [mail.clone(), index];
        let mut recent = Recent::default();
        mail.1.add(Counted::Read, Some(4096), seconds(9));
        recent.look(&disks, seconds(1), 1_000);
        for _ in 0..98 {
            mail.1.add(Counted::Read, Some(4096), Duration::from_micros(100));
        }
        for _ in 0..2 {
            mail.1.add(Counted::Read, Some(4096), Duration::from_millis(50));
        }
        recent.look(&disks, seconds(3), 3_000);
        let told = recent.told(None, 3_500);
        assert_eq!((told.points.len(), told.points[0].len_ms, told.now_ms), (1, 2_000, 3_500));
        let read = told.points[0].read;
        assert_eq!((read.count, read.bytes), (100, 100 * 4096));
        assert!((64..=128).contains(&read.p50_us.unwrap()), "{read:?}");
        assert!((32_768..=65_536).contains(&read.p99_us.unwrap()), "{read:?}");
        assert_eq!(told.points[0].write, Done::default());
        assert_eq!(recent.told(Some(&mail.0), 0).points, told.points);
        assert_eq!(recent.told(Some(&disks[1].0), 0).points, []);
    }

    #[test]
    fn a_disk_that_came_since_counts_whole_and_one_that_went_is_forgotten() {
        let (mail, index) = (disk("mail"), disk("index"));
        let mut recent = Recent::default();
        recent.look(std::slice::from_ref(&mail), seconds(1), 1_000);
        index.1.add(Counted::Write, Some(512), seconds(1));
        recent.look(&[mail.clone(), index.clone()], seconds(3), 3_000);
        assert_eq!(recent.told(None, 0).points[0].write.bytes, 512);
        assert_eq!(recent.told(Some(&index.0), 0).points[0].write.count, 1);
        recent.look(&[mail], seconds(5), 5_000);
        assert_eq!(recent.told(Some(&index.0), 0).points, []);
        assert_eq!(recent.told(None, 0).points.len(), 1, "what was done stays done");
    }

    #[test]
    fn old_steps_go_though_nothing_follows_them() {
        let mail = disk("mail");
        let mut recent = Recent::default();
        recent.look(std::slice::from_ref(&mail), seconds(1), 0);
        mail.1.add(Counted::Write, Some(512), seconds(1));
        for step in 0..STEPS_KEPT {
            recent.look(std::slice::from_ref(&mail), seconds(3 + 2 * step), step);
        }
        assert_eq!(recent.told(None, 0).points.len(), 1);
        recent.look(std::slice::from_ref(&mail), seconds(1_000), 0);
        assert_eq!(recent.told(None, 0).points, []);
        assert_eq!(recent.told(Some(&mail.0), 0).points, []);
    }

    #[test]
    fn two_looks_at_one_moment_are_no_step() {
        let mail = disk("mail");
        let mut recent = Recent::default();
        recent.look(std::slice::from_ref(&mail), seconds(1), 0);
        mail.1.add(Counted::Write, Some(512), seconds(1));
        recent.look(std::slice::from_ref(&mail), seconds(1), 0);
        assert_eq!(recent.told(None, 0).points, []);
    }
}
