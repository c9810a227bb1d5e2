//! When each volume that a policy protects by the clock was last protected, for whoever judges whether that is too
//! long ago.

use std::collections::BTreeMap;

use base::name::Name;

use super::rules::Policy;
use super::runs::RunOutcome;
use super::schedule::Schedule;
use crate::appliance::Appliance;

/// A volume that a policy protects by the clock.
#[derive(Clone, Debug)]
pub(crate) struct Protection {
    /// The volume or view.
    pub volume: Name,
    /// The policy.
    pub policy: Name,
    /// When it runs.
    pub schedule: Schedule,
    /// When it was last protected: the newest mark, whoever took it, or a run that found nothing changed; where there
    /// is neither, since when the policy is as it is. Milliseconds since 1970.
    pub since_ms: u64,
    /// Whether there is a mark at all.
    pub has_mark: bool,
}

impl Appliance {
    /// What is protected by the clock: each volume of each policy that has times and does not pause.
    pub(crate) fn protections(&self) -> Vec<Protection> {
        let mut newest: BTreeMap<Name, Option<u64>> = BTreeMap::new();
        let mut all = Vec::new();
        for policy in self.policy_desk().all().unwrap_or_default() {
            let times = policy.rules.check().ok().filter(|_| !policy.rules.is_paused);
            let Some(schedule) = times.and_then(|times| times.schedule) else { continue };
            let unchanged_ms = self.found_unchanged(&policy);
            for volume in self.volumes_of(&policy.rules).unwrap_or_default() {
                let newest = *newest.entry(volume.clone()).or_insert_with(|| self.newest(&volume));
                all.push(Protection {
                    policy: policy.rules.name.clone(),
                    schedule: schedule.clone(),
                    since_ms: newest.max(unchanged_ms).unwrap_or(policy.since_ms),
                    has_mark: newest.is_some(),
                    volume,
                });
            }
        }
        all
    }

    /// When its last run was, where that found nothing changed.
    fn found_unchanged(&self, policy: &Policy) -> Option<u64> {
        let run = self.policy_desk().last_run(policy.id)?;
        (run.outcome == RunOutcome::Unchanged).then_some(run.began_ms)
    }

    fn newest(&self, volume: &Name) -> Option<u64> {
        self.pool().mark_tally(volume).ok()?.newest_ms.into_values().max()
    }
}
