//! What was known, beside what is seen, and what follows: values in, values out.

use std::collections::{BTreeMap, BTreeSet};

use base::id::Id;
use base::name::Name;
use base::size::ByteSize;
use store::{VolumeKind, VolumeStatus};

use crate::alerts::rule::{Finding, Rule};
use crate::when;

/// The word under which it is noted that policies were lost.
pub(super) const POLICIES: &str = "policies";
/// What to do about something that is meant to be gone.
const ACKNOWLEDGE: &str =
    "where it is meant to be gone, acknowledge its alert: `alert ls`, then `alert ack ID`";

/// What the catalogue knows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Known {
    pub pool: Option<Id>,
    pub volumes: BTreeMap<Id, KnownVolume>,
    pub targets: BTreeMap<Name, Noted>,
    /// What was lost with an earlier catalogue, and since when, milliseconds since 1970.
    pub lost: BTreeMap<String, u64>,
}

/// When something was noted, and what became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Noted {
    /// Milliseconds since 1970.
    pub seen_ms: u64,
    /// Whether somebody is removing it.
    pub is_leaving: bool,
    /// Since when it is missing, milliseconds since 1970.
    pub missing_ms: Option<u64>,
}

/// A volume as it was seen last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct KnownVolume {
    pub name: Name,
    /// Where its base lies, unless that is in the pool.
    pub base: Option<String>,
    pub size: ByteSize,
    pub noted: Noted,
}

/// Something that can be missing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Thing {
    Volume(Id),
    Target(Name),
}

/// What there is.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub pool: Id,
    pub volumes: Vec<VolumeStatus>,
    /// The targets; nothing, where their book cannot be read.
    pub targets: Option<BTreeSet<Name>>,
}

/// Since when what is seen is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// For the first time in this life of the daemon: what is gone went without it.
    First,
    /// Again: what is gone was removed by whoever may.
    Again,
}

impl Known {
    /// What is known from now on. What was seen to leave, or goes while the daemon looks, is forgotten; what else is
    /// gone is missing.
    pub(super) fn after(
        &self,
        seen: &Seen,
        leaving: &BTreeSet<Thing>,
        look: Look,
        now_ms: u64,
    ) -> Self {
        let noted = |thing: &Thing, before: Option<&Noted>| {
            let is_leaving = leaving.contains(thing);
            match before {
                Some(noted) if look == Look::Again => {
                    Noted { is_leaving, missing_ms: None, ..*noted }
                }
                _ => Noted { seen_ms: now_ms, is_leaving, missing_ms: None },
            }
        };
        let absent = |thing: &Thing, noted: &Noted| {
            let was_removed = match look {
                Look::First => noted.is_leaving || leaving.contains(thing),
                Look::Again => noted.missing_ms.is_none(),
            };
            let missing_ms = noted.missing_ms.or(Some(now_ms));
            (!was_removed).then_some(Noted { missing_ms, ..*noted })
        };
        let mut volumes = BTreeMap::new();
        for (id, volume) in &self.volumes {
            if let Some(noted) = absent(&Thing::Volume(*id), &volume.noted) {
                volumes.insert(*id, KnownVolume { noted, ..volume.clone() });
            }
        }
        for VolumeStatus { id, name, kind, size, .. } in &seen.volumes {
            let before = self.volumes.get(id).map(|volume| &volume.noted);
            let base = match kind {
                VolumeKind::Thin => None,
                VolumeKind::Adopted { path } => Some(path.clone()),
            };
            let noted = noted(&Thing::Volume(*id), before);
            volumes.insert(*id, KnownVolume { name: name.clone(), base, size: *size, noted });
        }
        let mut targets = BTreeMap::new();
        for (name, target) in &self.targets {
            let kept = match &seen.targets {
                Some(_) => absent(&Thing::Target(name.clone()), target),
                None => Some(*target),
            };
            targets.extend(kept.map(|noted| (name.clone(), noted)));
        }
        for name in seen.targets.iter().flatten() {
            let noted = noted(&Thing::Target(name.clone()), self.targets.get(name));
            targets.insert(name.clone(), noted);
        }
        Self { pool: Some(seen.pool), volumes, targets, lost: self.lost.clone() }
    }

    /// It, without what somebody says is meant to be gone; nothing, where nothing of this is missing.
    pub(super) fn without(&self, of: &str) -> Option<Self> {
        let mut next = self.clone();
        next.volumes.retain(|_, one| one.noted.missing_ms.is_none() || of != of_volume(&one.name));
        next.targets.retain(|name, noted| noted.missing_ms.is_none() || of != of_target(name));
        next.lost.remove(of);
        (next != *self).then_some(next)
    }

    /// What is missing.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut all = Vec::new();
        for volume in self.volumes.values().filter(|volume| volume.noted.missing_ms.is_some()) {
            let kind = match &volume.base {
                Some(path) => format!("adopted from {path}"),
                None => "thin".into(),
            };
            let what = format!(
                "volume {} ({}, {kind}), which was here at {}, is not in the pool",
                volume.name,
                volume.size,
                when::utc(volume.noted.seen_ms)
            );
            let way_out =
                format!("put the pool back that has it, and start tidemarkd again; {ACKNOWLEDGE}");
            all.push(missing(of_volume(&volume.name), what, &way_out));
        }
        for (name, noted) in self.targets.iter().filter(|(_, noted)| noted.missing_ms.is_some()) {
            let what = format!(
                "target {name}, which was here at {}, is not in iscsi-targets.toml",
                when::utc(noted.seen_ms)
            );
            let way_out = format!(
                "stop tidemarkd and put that file back, or make the target anew with `target create {name}`; {ACKNOWLEDGE}"
            );
            all.push(missing(of_target(name), what, &way_out));
        }
        if let Some(since_ms) = self.lost.get(POLICIES) {
            let what = format!(
                "which policies there were is not known: the catalogue was lost before {}, and there was no copy of it",
                when::utc(*since_ms)
            );
            let way_out = "make them anew with `policy create`, and then acknowledge the alert of this: `alert ls`, then \
                 `alert ack ID`";
            all.push(missing(POLICIES.into(), what, way_out));
        }
        all
    }
}

/// A finding about something that should be there and is not.
pub(super) fn missing(of: String, what: String, way_out: &str) -> Finding {
    let finding = Finding::warning(Rule::Missing, of, what, way_out).critical();
    Finding { is_failure: true, ..finding }
}

fn of_volume(name: &Name) -> String {
    format!("volume {name}")
}

fn of_target(name: &Name) -> String {
    format!("target {name}")
}

#[cfg(test)]
mod tests {
    use store::VolumeState;

    use super::*;
    use crate::status::tests::volume;

    fn seen(names: &[(u128, &str)], targets: &[&str]) -> Seen {
        let volumes = names.iter().map(|(id, name)| {
            let status = volume(name, VolumeState::Ready);
            VolumeStatus { id: Id(*id), ..status }
        });
        let targets = targets.iter().map(|name| name.parse().unwrap()).collect();
        Seen { pool: Id(1), volumes: volumes.collect(), targets: Some(targets) }
    }

    fn of(known: &Known) -> Vec<String> {
        known.findings().into_iter().map(|finding| finding.of).collect()
    }

    #[test]
    fn what_goes_while_the_daemon_looks_is_forgotten_and_what_went_without_it_is_missing() {
        let none = BTreeSet::new();
        let all = seen(&[(7, "mail"), (8, "logs")], &["mail"]);
        let known = Known::default().after(&all, &none, Look::First, 5);
        assert!(known.findings().is_empty());
        let fewer = seen(&[(8, "logs")], &[]);
        let again = known.after(&fewer, &none, Look::Again, 6);
        assert_eq!((again.volumes.len(), again.targets.len()), (1, 0));
        let first = known.after(&fewer, &none, Look::First, 6);
        assert_eq!(of(&first), ["volume mail", "target mail"]);
        let later = first.after(&fewer, &none, Look::Again, 7).after(&fewer, &none, Look::First, 8);
        assert_eq!(of(&later), ["volume mail", "target mail"]);
        assert_eq!(later.volumes[&Id(7)].noted.missing_ms, Some(6), "since it was first missed");
        assert!(later.after(&all, &none, Look::First, 9).findings().is_empty(), "it came back");
        let acknowledged = later.without("volume mail").unwrap();
        assert_eq!(of(&acknowledged), ["target mail"]);
        assert_eq!(acknowledged.without("volume logs"), None, "that one is there");
    }

    #[test]
    fn what_was_being_removed_when_the_daemon_ended_is_not_missing() {
        let all = seen(&[(7, "mail")], &["mail"]);
        let leaving: BTreeSet<_> =
            [Thing::Volume(Id(7)), Thing::Target("mail".parse().unwrap())].into();
        let none = BTreeSet::new();
        let known = Known::default().after(&all, &leaving, Look::Again, 5);
        assert!(of(&known.after(&seen(&[], &[]), &none, Look::First, 6)).is_empty());
        let stayed = known.after(&all, &none, Look::First, 6);
        assert_eq!(of(&stayed.after(&seen(&[], &[]), &none, Look::First, 7)).len(), 2);
        let unknown = Known::default().after(&all, &none, Look::First, 5);
        let late = unknown.after(&seen(&[], &[]), &leaving, Look::First, 6);
        assert!(of(&late).is_empty(), "it was removed while the catalogue could not be read");
    }

    #[test]
    fn a_book_of_targets_that_cannot_be_read_makes_none_missing() {
        let none = BTreeSet::new();
        let known = Known::default().after(&seen(&[], &["mail"]), &none, Look::First, 5);
        let unread = Seen { targets: None, ..seen(&[], &[]) };
        assert!(known.after(&unread, &none, Look::First, 6).findings().is_empty());
        assert_eq!(known.after(&unread, &none, Look::Again, 6).targets.len(), 1);
    }
}
