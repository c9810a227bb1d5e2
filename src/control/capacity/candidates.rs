//! What might grow, and what its rule says now: one step, or why not. Values in, values out, but for what is known of
//! earlier tries.

use base::size::ByteSize;
use store::{PoolStatus, VolumeState, VolumeStatus};

use super::growth::{COOL_DOWN_MS, Growth, Verdict};
use super::kept::RuleBook;
use super::office::{Capacity, Grower, Try, locked};

/// Why something does not grow though its rule says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Blocked {
    pub why: Why,
    /// For people, with the way out.
    pub text: String,
}

/// What is in the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    /// Its rule lets it grow no further.
    Cap,
    /// There is not as much room where the pool lies.
    NoRoom,
    /// It was tried, and failed.
    Failed,
}

/// Something with a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Candidate {
    pub grower: Grower,
    /// Its name in the address of the API and on the command line: `volume mail`.
    pub name: String,
    growth: Growth,
    grown_ms: Option<u64>,
    used: u64,
    size: u64,
    /// Bytes from which on what it grows to must be free.
    held: u64,
}

/// A step to be taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Step {
    pub of: Candidate,
    pub to: ByteSize,
}

/// What must be done.
#[derive(Default)]
pub(super) struct Due {
    /// One step each.
    pub steps: Vec<Step>,
    /// What has just turned out not to be able to.
    pub refused: Vec<(Candidate, Blocked)>,
}

/// The two clocks, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub monotonic_ms: u64,
    pub wall_ms: u64,
}

impl Capacity {
    /// What must grow now, and is noted as tried.
    pub(super) fn due(&self, pool: &PoolStatus, volumes: &[VolumeStatus], now: Times) -> Due {
        let candidates = candidates(&self.rules().unwrap_or_default(), pool, volumes);
        let mut room = pool.space_free_bytes.saturating_sub(pool.reserve_bytes);
        let mut tries = locked(&self.tries);
        tries.retain(|grower, _| candidates.iter().any(|one| one.grower == *grower));
        let mut due = Due::default();
        for candidate in candidates {
            let tried = tries.entry(candidate.grower).or_default();
            let blocked = match candidate.growth.verdict(candidate.used, candidate.size) {
                Verdict::Rest => None,
                Verdict::AtCap => Some(candidate.at_cap()),
                Verdict::GrowTo(to) if to.0.saturating_sub(candidate.held) > room => {
                    Some(candidate.without_room(to, room))
                }
                Verdict::GrowTo(_) if candidate.is_cooling(tried, now) => continue,
                Verdict::GrowTo(to) => {
                    room -= to.0.saturating_sub(candidate.held);
                    tried.at_ms = Some(now.monotonic_ms);
                    due.steps.push(Step { of: candidate, to });
                    continue;
                }
            };
            if let Some(blocked) = &blocked
                && tried.blocked.as_ref().is_none_or(|before| before.why != blocked.why)
            {
                due.refused.push((candidate, blocked.clone()));
            }
            tried.blocked = blocked;
        }
        due
    }
}

fn candidates(rules: &RuleBook, pool: &PoolStatus, volumes: &[VolumeStatus]) -> Vec<Candidate> {
    let preserved = rules.preserved.as_ref().and_then(|kept| {
        Some(Candidate {
            grower: Grower::Preserved,
            name: "preserved".into(),
            growth: kept.growth?,
            grown_ms: kept.grown_ms,
            used: pool.preserved_bytes,
            size: kept.limit.0,
            held: pool.preserved_bytes,
        })
    });
    let volumes = volumes.iter().filter(|volume| volume.state == VolumeState::Ready);
    let volumes = volumes.filter_map(|volume| {
        let rule = rules.volumes.get(&volume.id)?;
        Some(Candidate {
            grower: Grower::Volume(volume.id),
            name: format!("volume {}", volume.name),
            growth: rule.growth,
            grown_ms: rule.grown_ms,
            used: volume.allocated_bytes,
            size: volume.size.0,
            held: volume.size.0,
        })
    });
    preserved.into_iter().chain(volumes).collect()
}

impl Candidate {
    /// Whether it has grown, or was tried to, only just now. The wall clock counts over a restart.
    fn is_cooling(&self, tried: &Try, now: Times) -> bool {
        tried.at_ms.is_some_and(|at| now.monotonic_ms.saturating_sub(at) < COOL_DOWN_MS)
            || self.grown_ms.is_some_and(|at| now.wall_ms.abs_diff(at) < COOL_DOWN_MS)
    }

    fn at_cap(&self) -> Blocked {
        let text = format!(
            "{} of {} is in use, and the rule lets it grow up to {} only; `capacity set {}` lets it grow further, or \
             make room in it",
            ByteSize(self.used),
            ByteSize(self.size),
            self.growth.up_to,
            self.name,
        );
        Blocked { why: Why::Cap, text }
    }

    fn without_room(&self, to: ByteSize, room: u64) -> Blocked {
        let text = format!(
            "it should grow from {} to {to}, and there is room for {} only where the pool lies; add space there or \
             remove marks, and it grows",
            ByteSize(self.size),
            ByteSize(room),
        );
        Blocked { why: Why::NoRoom, text }
    }
}
