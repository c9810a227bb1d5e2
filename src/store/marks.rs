//! Marks: taking, naming, holding, removing.
//!
//! A mark is one event in the journal, whatever the volume's size, its load and its other marks; a group
//! mark is the same event with several volumes, so it is on all of them or on none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::id::Id;
use base::limits::{MARKS_PER_VOLUME_MAX, VOLUMES_PER_GROUP_MAX};
use base::name::{MarkRef, Name};
use base::size::ByteSize;
use base::span::Span;
use base::units::SECTOR_LEN;
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::event::{Event, MarkEntry};
use crate::freed::frees_most;
use crate::kept::Kept;
use crate::pool::{Core, Pool, Waiter};
use crate::registry::{Registry, VolumeEntry};
use crate::status::{
    DiskRef, GroupStatus, MarkRequest, MarkStatus, MarkTally, MarksFullPolicy, Proof, VolumeState,
};

impl Pool {
    /// Takes a mark of each of these volumes or views, all at one instant. Everything that was answered
    /// before this was called is in it, nothing that is sent after it returns; it is stable then.
    ///
    /// # Errors
    /// `UnknownVolume`, `NameTaken`, `MarksFull`, `Limit`, `Poisoned`. Then no volume has the mark.
    pub async fn take_mark(
        &self,
        volumes: &[Name],
        request: MarkRequest,
    ) -> Result<Vec<MarkStatus>, StoreError> {
        self.take_mark_kept(volumes, request, None).await
    }

    /// The same, and each mark is locked for so long from the instant at which it is taken.
    ///
    /// # Errors
    /// As [`Pool::take_mark`]; `Limit` where the time is longer than can be asked for.
    pub async fn take_locked_mark(
        &self,
        volumes: &[Name],
        request: MarkRequest,
        lock: Span,
    ) -> Result<Vec<MarkStatus>, StoreError> {
        self.end_of(lock)?;
        self.commit_lived().await?;
        self.take_mark_kept(volumes, request, Some(lock)).await
    }

    async fn take_mark_kept(
        &self,
        volumes: &[Name],
        request: MarkRequest,
        lock: Option<Span>,
    ) -> Result<Vec<MarkStatus>, StoreError> {
        let _admin = self.admin.lock().await;
        let distinct: BTreeSet<&Name> = volumes.iter().collect();
        if volumes.is_empty() || distinct.len() > VOLUMES_PER_GROUP_MAX {
            return Err(StoreError::Limit(format!(
                "a mark is taken of 1 to {VOLUMES_PER_GROUP_MAX} volumes at once, not of {}",
                distinct.len()
            )));
        }
        for name in &distinct {
            self.make_room_for_a_mark(name).await?;
        }
        let group = (distinct.len() > 1).then(|| Id::fresh(&*self.world.rng));
        let taken_ms = self.world.clock.wall_ms();
        let (sender, receiver) = oneshot::channel();
        // The guard must not live across the await, not even moved away: the future is sent around.
        let taken: Vec<(u32, u64)> = {
            let core = self.lock();
            let locked_until = lock.map(|span| self.end_of(span)).transpose()?;
            let mut marks = Vec::new();
            for name in distinct {
                let entry = core.registry.named(name)?;
                check_markable(&core, entry)?;
                if entry.mark_named(&request.name).is_some() {
                    return Err(StoreError::NameTaken(format!("{name}@{}", request.name)));
                }
                let mark = MarkEntry {
                    id: Id::fresh(&*self.world.rng),
                    name: request.name.clone(),
                    taken_ms,
                    sectors: entry.sectors,
                    grade: request.grade,
                    proof: Proof::default(),
                    kept: Kept::locked(locked_until),
                    group,
                };
                marks.push((entry.number, entry.next_sequence, mark));
            }
            let taken = marks.iter().map(|(volume, sequence, _)| (*volume, *sequence)).collect();
            self.append_event(core, Event::Marked { marks }, Waiter::Task(sender), |_| ())?;
            taken
        };
        receiver.await.unwrap_or(Err(disk::DiskError::Closed))?;
        let core = self.lock_now();
        let mut statuses = Vec::new();
        for (volume, sequence) in taken {
            if let Some(entry) = core.registry.get(volume) {
                statuses.extend(self.mark_statuses(&core, entry, Some(sequence)));
            }
        }
        Ok(statuses)
    }

    /// The marks of a volume or view, oldest first.
    ///
    /// # Errors
    /// `UnknownVolume`.
    pub fn marks(&self, volume: &Name) -> Result<Vec<MarkStatus>, StoreError> {
        let core = self.lock_now();
        let entry = core.registry.named(volume)?;
        Ok(self.mark_statuses(&core, entry, None))
    }

    /// What the marks of a volume or view come to, without a word about each.
    ///
    /// # Errors
    /// `UnknownVolume`.
    pub fn mark_tally(&self, volume: &Name) -> Result<MarkTally, StoreError> {
        let core = self.lock_now();
        let (entry, lived_ms) = (core.registry.named(volume)?, core.registry.lived_ms());
        let mut tally = MarkTally { count: entry.marks.len(), ..MarkTally::default() };
        for mark in entry.marks.values() {
            tally.held += usize::from(mark.kept.is_held_at(lived_ms));
            let note = |newest: &mut BTreeMap<_, u64>| {
                let at_ms = newest.entry(mark.grade).or_default();
                *at_ms = mark.taken_ms.max(*at_ms);
            };
            note(&mut tally.newest_ms);
            if mark.proof == Proof::Verified {
                note(&mut tally.newest_verified_ms);
            }
        }
        Ok(tally)
    }

    /// One mark.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`.
    pub fn mark(&self, mark: &MarkRef) -> Result<MarkStatus, StoreError> {
        let core = self.lock_now();
        let (entry, sequence) = core.registry.mark(mark)?;
        let found = self.mark_statuses(&core, entry, Some(sequence)).pop();
        found.ok_or_else(|| StoreError::UnknownMark(mark.clone()))
    }

    /// Removes a mark, wherever in the chain it is; no other mark changes. Its space comes back in the
    /// background.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`; `MarkInUse` where it is held, locked, viewed or rolled back to.
    pub async fn remove_mark(&self, mark: &MarkRef) -> Result<(), StoreError> {
        let _admin = self.admin.lock().await;
        let (volume, sequence) = {
            let core = self.lock_now();
            let (entry, sequence) = core.registry.mark(mark)?;
            if let Some(by) = obstacle(&core.registry, entry, sequence) {
                return Err(StoreError::MarkInUse { mark: mark.clone(), by });
            }
            (entry.number, sequence)
        };
        self.drop_mark(volume, sequence).await
    }

    /// Gives a mark another name.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`, `NameTaken`.
    pub async fn rename_mark(&self, mark: &MarkRef, to: &Name) -> Result<MarkStatus, StoreError> {
        self.change_mark(mark, |entry, changed| {
            if entry.mark_named(to).is_some() {
                return Err(StoreError::NameTaken(format!("{}@{to}", entry.name)));
            }
            changed.name = to.clone();
            Ok(())
        })
        .await?;
        self.mark(&MarkRef { volume: mark.volume.clone(), mark: to.clone() })
    }

    /// Names a set of volumes, so that they can be marked together.
    ///
    /// # Errors
    /// `UnknownVolume`, `NameTaken`, `Limit`.
    pub async fn create_group(
        &self,
        name: &Name,
        volumes: &[Name],
    ) -> Result<GroupStatus, StoreError> {
        let _admin = self.admin.lock().await;
        let numbers = {
            let core = self.lock();
            if core.registry.groups().any(|(other, _)| other == name) {
                return Err(StoreError::NameTaken(name.to_string()));
            }
            let numbers: Result<BTreeSet<u32>, _> =
                volumes.iter().map(|v| core.registry.named(v).map(|entry| entry.number)).collect();
            numbers?
        };
        if numbers.is_empty() || numbers.len() > VOLUMES_PER_GROUP_MAX {
            let text = format!("a group has 1 to {VOLUMES_PER_GROUP_MAX} volumes");
            return Err(StoreError::Limit(text));
        }
        let volumes = numbers.into_iter().collect();
        self.commit(Event::GroupSet { name: name.clone(), volumes }, |_| ()).await?;
        let group = self.groups().into_iter().find(|group| group.name == *name);
        group.ok_or_else(|| StoreError::UnknownGroup(name.clone()))
    }

    /// Forgets a group; its volumes and their marks stay.
    ///
    /// # Errors
    /// `UnknownGroup`.
    pub async fn remove_group(&self, name: &Name) -> Result<(), StoreError> {
        let _admin = self.admin.lock().await;
        if self.groups().iter().all(|group| group.name != *name) {
            return Err(StoreError::UnknownGroup(name.clone()));
        }
        self.commit(Event::GroupRemoved { name: name.clone() }, |_| ()).await
    }

    /// All groups by name.
    pub fn groups(&self) -> Vec<GroupStatus> {
        let core = self.lock();
        let name_of = |number: &u32| core.registry.get(*number).map(|entry| entry.name.clone());
        core.registry
            .groups()
            .map(|(name, members)| GroupStatus {
                name: name.clone(),
                volumes: members.iter().filter_map(name_of).collect(),
            })
            .collect()
    }

    /// A volume, mark or view as a disk.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`, `UnknownView`.
    pub fn disk(&self, of: &DiskRef) -> Result<disk::AnyDisk, StoreError> {
        let core = self.lock();
        let number = match of {
            DiskRef::Volume(name) => {
                let entry = core.registry.named(name)?;
                if entry.is_view() {
                    return Err(StoreError::UnknownVolume(name.clone()));
                }
                entry.number
            }
            DiskRef::View(name) => {
                let entry = core.registry.named(name).ok().filter(|entry| entry.is_view());
                entry.ok_or_else(|| StoreError::UnknownView(name.clone()))?.number
            }
            DiskRef::Mark(mark) => {
                let (entry, sequence) = core.registry.mark(mark)?;
                let pool = self.shared();
                let disk = crate::mark_disk::MarkDisk::new(pool, entry, sequence);
                return Ok(Arc::new(disk));
            }
        };
        drop(core);
        Ok(self.live_disk(number))
    }

    pub(crate) async fn change_mark(
        &self,
        mark: &MarkRef,
        change: impl FnOnce(&VolumeEntry, &mut MarkEntry) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let _admin = self.admin.lock().await;
        let event = {
            let core = self.lock();
            let (entry, sequence) = core.registry.mark(mark)?;
            let mut changed = entry.marks[&sequence].clone();
            change(entry, &mut changed)?;
            Event::MarkChanged { volume: entry.number, sequence, mark: changed }
        };
        self.commit(event, |_| ()).await
    }

    /// What there is to say of the marks of a volume, oldest first, or of one of them.
    fn mark_statuses(
        &self,
        core: &Core,
        entry: &VolumeEntry,
        only: Option<u64>,
    ) -> Vec<MarkStatus> {
        let (registry, lived_ms) = (&core.registry, core.registry.lived_ms());
        let wall_ms = self.world.clock.wall_ms();
        // To the second: between two questions it would be another millisecond each time.
        let on_the_wall = |end: u64| {
            wall_ms.saturating_add(end.saturating_sub(lived_ms)).saturating_add(500) / 1000 * 1000
        };
        let mut views: BTreeMap<u64, Vec<Name>> = BTreeMap::new();
        for (mark, view) in registry.views_below(entry.number) {
            views.entry(mark).or_default().push(view.name.clone());
        }
        let is_asked = |sequence: u64| only.is_none_or(|only| only == sequence);
        let frees = frees_most(core, entry);
        let marks = entry.marks.iter().zip(frees).filter(|((sequence, _), _)| is_asked(**sequence));
        let mut status = |((sequence, mark), frees_most_bytes): ((&u64, &MarkEntry), u64)| {
            let is_held = mark.kept.is_held_at(lived_ms);
            let locked_until = mark.kept.locked_until.filter(|end| *end > lived_ms);
            MarkStatus {
                volume: entry.name.clone(),
                name: mark.name.clone(),
                id: mark.id,
                sequence: *sequence,
                taken_ms: mark.taken_ms,
                size: ByteSize(mark.sectors * SECTOR_LEN as u64),
                grade: mark.grade,
                proof: mark.proof,
                is_held,
                held_until_ms: mark.kept.held_until.filter(|_| is_held).map(on_the_wall),
                is_locked: locked_until.is_some(),
                locked_until_ms: locked_until.map(on_the_wall),
                frees_most_bytes,
                views: views.remove(sequence).unwrap_or_default(),
                group: mark.group,
            }
        };
        marks.map(&mut status).collect()
    }

    /// Commits that a mark is gone and has its space looked for.
    pub(crate) async fn drop_mark(&self, volume: u32, sequence: u64) -> Result<(), StoreError> {
        self.commit(Event::MarkRemoved { volume, sequence }, |core| {
            core.look_for_space_of(volume, sequence);
        })
        .await?;
        self.work.notify_one();
        Ok(())
    }

    /// Where a volume has all the marks it may have: lets its policy make room.
    pub(crate) async fn make_room_for_a_mark(&self, name: &Name) -> Result<(), StoreError> {
        loop {
            let (volume, oldest) = {
                let core = self.lock_now();
                let entry = core.registry.named(name)?;
                if entry.marks.len() < MARKS_PER_VOLUME_MAX {
                    return Ok(());
                }
                let full =
                    StoreError::MarksFull { volume: name.clone(), max: MARKS_PER_VOLUME_MAX };
                if entry.policies.when_marks_full == MarksFullPolicy::Refuse {
                    return Err(full);
                }
                let oldest = oldest_that_may_go(&core.registry, entry).ok_or(full)?;
                (entry.number, oldest)
            };
            tracing::warn!(volume = %name, sequence = oldest, "thinning the oldest mark for a new one");
            self.drop_mark(volume, oldest).await?;
        }
    }
}

/// The oldest mark of a volume that nothing needs.
pub(crate) fn oldest_that_may_go(registry: &Registry, entry: &VolumeEntry) -> Option<u64> {
    entry.marks.keys().copied().find(|sequence| obstacle(registry, entry, *sequence).is_none())
}

/// What keeps a mark from going, at the moment that the registry was told last.
pub(crate) fn obstacle(registry: &Registry, entry: &VolumeEntry, sequence: u64) -> Option<String> {
    let kept = entry.marks.get(&sequence)?.kept;
    if let Some(left) = kept.lock_left_at(registry.lived_ms()) {
        let left = Span::left(left);
        return Some(format!(
            "it is locked for another {left}; it can go after that, and nobody can unlock it before"
        ));
    }
    if kept.is_held_at(registry.lived_ms()) {
        return Some("it is held; `mark release` lets it go".to_owned());
    }
    if let Some(view) = registry.views_of(entry.number, sequence).next() {
        return Some(format!(
            "the view {} shows it; `view rm` or `view promote` frees it",
            view.name
        ));
    }
    let copying = entry.copying_rollback()?;
    (copying.to == sequence || copying.safety == sequence)
        .then(|| "a rollback that needs it is still being copied; wait until it is done".to_owned())
}

/// # Errors
/// `Poisoned` where the volume has failed.
pub(crate) fn check_markable(core: &Core, entry: &VolumeEntry) -> Result<(), StoreError> {
    match core.volumes.get(&entry.number).map(|live| &live.state) {
        Some(VolumeState::FailStop { reason }) => Err(StoreError::Poisoned(reason.as_str().into())),
        _ => Ok(()),
    }
}
