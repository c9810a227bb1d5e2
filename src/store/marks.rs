//! Marks: taking, naming, holding, removing.
//!
//! A mark is one event in the journal, whatever the volume's size, its load and its other marks; a group
//! mark is the same event with several volumes, so it is on all of them or on none.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::id::Id;
use base::limits::{MARKS_PER_VOLUME_MAX, VOLUMES_PER_GROUP_MAX};
use base::name::{MarkRef, Name};
use base::size::ByteSize;
use base::units::SECTOR_LEN;
use tokio::sync::oneshot;

use crate::error::StoreError;
use crate::event::{Event, MarkEntry};
use crate::pool::{Core, Pool, Waiter};
use crate::registry::{Registry, VolumeEntry};
use crate::status::{
    DiskRef, GroupStatus, MarkRequest, MarkStatus, MarksFullPolicy, Proof, VolumeState,
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
                    is_held: false,
                    group,
                };
                marks.push((entry.number, entry.next_sequence, mark));
            }
            let taken = marks.iter().map(|(volume, sequence, _)| (*volume, *sequence)).collect();
            self.append_event(core, Event::Marked { marks }, Waiter::Task(sender), |_| ())?;
            taken
        };
        receiver.await.unwrap_or(Err(disk::DiskError::Closed))?;
        let core = self.lock();
        Ok(taken
            .into_iter()
            .filter_map(|(volume, sequence)| {
                mark_status(&core.registry, core.registry.get(volume)?, sequence)
            })
            .collect())
    }

    /// The marks of a volume or view, oldest first.
    ///
    /// # Errors
    /// `UnknownVolume`.
    pub fn marks(&self, volume: &Name) -> Result<Vec<MarkStatus>, StoreError> {
        let core = self.lock();
        let entry = core.registry.named(volume)?;
        let sequences = entry.marks.keys();
        Ok(sequences.filter_map(|s| mark_status(&core.registry, entry, *s)).collect())
    }

    /// One mark.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`.
    pub fn mark(&self, mark: &MarkRef) -> Result<MarkStatus, StoreError> {
        let core = self.lock();
        let (entry, sequence) = core.registry.mark(mark)?;
        mark_status(&core.registry, entry, sequence)
            .ok_or_else(|| StoreError::UnknownMark(mark.clone()))
    }

    /// Removes a mark, wherever in the chain it is; no other mark changes. Its space comes back in the
    /// background.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`; `MarkInUse` where it is held, viewed or rolled back to.
    pub async fn remove_mark(&self, mark: &MarkRef) -> Result<(), StoreError> {
        let _admin = self.admin.lock().await;
        let (volume, sequence) = {
            let core = self.lock();
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

    /// Keeps a mark from being thinned or removed.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`.
    pub async fn hold_mark(&self, mark: &MarkRef) -> Result<MarkStatus, StoreError> {
        self.set_hold(mark, true).await
    }

    /// Lets a held mark go again.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`.
    pub async fn release_mark(&self, mark: &MarkRef) -> Result<MarkStatus, StoreError> {
        self.set_hold(mark, false).await
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

    async fn set_hold(&self, mark: &MarkRef, is_held: bool) -> Result<MarkStatus, StoreError> {
        self.change_mark(mark, |_, changed| {
            changed.is_held = is_held;
            Ok(())
        })
        .await?;
        self.mark(mark)
    }

    async fn change_mark(
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
                let core = self.lock();
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

/// What keeps a mark from going.
fn obstacle(registry: &Registry, entry: &VolumeEntry, sequence: u64) -> Option<String> {
    if entry.marks.get(&sequence)?.is_held {
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

fn mark_status(registry: &Registry, entry: &VolumeEntry, sequence: u64) -> Option<MarkStatus> {
    let mark = entry.marks.get(&sequence)?;
    Some(MarkStatus {
        volume: entry.name.clone(),
        name: mark.name.clone(),
        id: mark.id,
        sequence,
        taken_ms: mark.taken_ms,
        size: ByteSize(mark.sectors * SECTOR_LEN as u64),
        grade: mark.grade,
        proof: mark.proof,
        is_held: mark.is_held,
        views: registry.views_of(entry.number, sequence).map(|view| view.name.clone()).collect(),
        group: mark.group,
    })
}
