//! What may be done to volumes, and when.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::name::{MarkRef, Name};
use base::size::ByteSize;
use base::units::BLOCK_LEN;
use serde_json::json;
use store::{
    DiskRef, Pool, Progress, RollbackStatus, StoreError, VolumeSettings, VolumeState, VolumeStatus,
};

use crate::appliance::Appliance;
use crate::error::ControlError;
use crate::events::EventKind;
use crate::inventory::Leaving;
use crate::jobs::{JobKind, JobPlan, JobStatus, Stop};
use crate::status::RollbackStarted;
use crate::uses::{Scope, User};

/// How often the store is asked how far its own copying is.
pub(crate) const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// What to do with clients that are connected to what should go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sessions {
    /// Their presence is a reason to refuse.
    Respect,
    /// Their sessions are ended.
    End,
}

impl Appliance {
    /// One volume.
    ///
    /// # Errors
    /// What the store says: `UnknownVolume`.
    pub fn volume(&self, name: &Name) -> Result<VolumeStatus, ControlError> {
        Ok(self.pool().volume(name)?)
    }

    /// Makes a thin volume.
    ///
    /// # Errors
    /// What the store says: `NameTaken`, `BadSize`, `Limit`, ...
    pub async fn create_volume(
        &self,
        name: &Name,
        size: ByteSize,
    ) -> Result<VolumeStatus, ControlError> {
        let made = self.pool().create_volume(name, size).await?;
        self.inventory().settled(None);
        self.events().tell(EventKind::Volume, name);
        tracing::info!(volume = %name, %size, "volume created");
        Ok(made)
    }

    /// Takes an existing disk as a volume, in place.
    ///
    /// # Errors
    /// What the store says; `Invalid` where the path does not start at the root, because the daemon's
    /// working directory is not the caller's, and where a file is none of which a disk can be made.
    pub async fn adopt_volume(
        &self,
        name: &Name,
        path: &Path,
    ) -> Result<VolumeStatus, ControlError> {
        if !path.is_absolute() {
            return Err(ControlError::Invalid {
                why: format!("{} is a relative path", path.display()),
                way_out: "give the whole path, starting with /".into(),
            });
        }
        self.check_adoptable(path)?;
        let made = self.pool().adopt_volume(name, path).await?;
        self.inventory().settled(None);
        self.events().tell(EventKind::Volume, name);
        tracing::info!(volume = %name, path = %path.display(), "volume adopted");
        Ok(made)
    }

    /// Makes a volume larger, while it is in use.
    ///
    /// # Errors
    /// What the store says: `Shrink`, `BadSize`, ...
    pub async fn grow_volume(
        &self,
        name: &Name,
        size: ByteSize,
    ) -> Result<VolumeStatus, ControlError> {
        let grown = self.pool().grow_volume(name, size).await?;
        self.attachments().refresh_size(&DiskRef::Volume(name.clone())).await;
        self.events().tell(EventKind::Volume, name);
        tracing::info!(volume = %name, %size, "volume grown");
        Ok(grown)
    }

    /// Changes a volume's settings.
    ///
    /// # Errors
    /// What the store says.
    pub async fn set_volume(
        &self,
        name: &Name,
        settings: VolumeSettings,
    ) -> Result<VolumeStatus, ControlError> {
        let set = self.pool().set_volume(name, settings).await?;
        self.events().tell(EventKind::Volume, name);
        tracing::info!(volume = %name, ?settings, "volume set");
        Ok(set)
    }

    /// Removes a volume with all its marks.
    ///
    /// # Errors
    /// `InUse` where somebody has it open, or what the store says: `Busy` where one of its marks is locked or
    /// viewed. Nobody is sent away then.
    pub async fn remove_volume(&self, name: &Name, them: Sessions) -> Result<(), ControlError> {
        let leaving = Leaving::Volume(self.pool().volume(name)?.id);
        self.pool().check_may_go(name)?;
        let (_closing, mapped) = self.close_off_mapped(Scope::Whole(name.clone()), them).await?;
        self.inventory().leaves(leaving.clone()).await;
        let removed = self.pool().remove_volume(name).await;
        self.inventory().settled(removed.is_err().then_some(leaving));
        removed?;
        self.unmap_removed(mapped).await;
        self.events().tell(EventKind::Volume, name);
        tracing::info!(volume = %name, "volume removed");
        Ok(())
    }

    /// Begins to release an adopted volume: what it still has in the journal goes into its disk, then
    /// the disk is let go. The job's result holds its path.
    ///
    /// # Errors
    /// `InUse` where somebody has it open, or what the store says.
    pub async fn release_volume(
        &self,
        name: &Name,
        them: Sessions,
    ) -> Result<JobStatus, ControlError> {
        let volume = self.pool().volume(name)?;
        if !matches!(volume.kind, store::VolumeKind::Adopted { .. }) {
            return Err(StoreError::NotAdopted(name.clone()).into());
        }
        self.pool().check_may_go(name)?;
        let (closing, mapped) = self.close_off_mapped(Scope::Whole(name.clone()), them).await?;
        // Its disk goes elsewhere when it has everything: nobody must write to it until then.
        self.unmap_removed(mapped).await;
        let (pool, of) = (Arc::clone(self.pool()), name.clone());
        let (at_first, leaving) = (volume.unapplied_bytes, Leaving::Volume(volume.id));
        self.inventory().leaves(leaving.clone()).await;
        let plan = JobPlan {
            kind: JobKind::Release,
            of: DiskRef::Volume(name.clone()),
            measure: Box::new(move || {
                let left = pool.volume(&of).map_or(0, |volume| volume.unapplied_bytes);
                (at_first.saturating_sub(left), at_first)
            }),
            stop: Stop::Not("a release goes on to its end"),
        };
        let (pool, name) = (Arc::clone(self.pool()), name.clone());
        let inventory = Arc::clone(self.inventory());
        self.jobs().start(plan, async move {
            let released = pool.release_volume(&name).await;
            inventory.settled(released.is_err().then_some(leaving));
            let path = released?;
            drop(closing);
            Ok(json!({ "path": path }))
        })
    }

    /// Begins to read a whole volume and its marks and compare them with their checksums. The job's
    /// result is a `ScrubReport`.
    ///
    /// # Errors
    /// `InUse` where it is being scrubbed already, or what the store says.
    pub fn scrub(&self, name: &Name) -> Result<JobStatus, ControlError> {
        if self.pool().view(name).is_err() {
            self.pool().volume(name)?;
        }
        let progress = Arc::new(Progress::new());
        let (measured, stopped) = (Arc::clone(&progress), Arc::clone(&progress));
        let plan = JobPlan {
            kind: JobKind::Scrub,
            of: DiskRef::Volume(name.clone()),
            measure: Box::new(move || (in_bytes(measured.done()), in_bytes(measured.total()))),
            stop: Stop::By(Box::new(move || stopped.cancel())),
        };
        let (pool, name) = (Arc::clone(self.pool()), name.clone());
        self.jobs().start(plan, async move {
            let report = pool.scrub(&name, &progress).await?;
            for found in &report.damaged {
                tracing::error!(volume = %name, place = %found.place, extent = ?found.extent, why = %found.why, "damage found");
            }
            Ok(json!(report))
        })
    }

    /// Makes a volume what it was at a mark. What was there before gets a mark of its own, so that it can
    /// be undone. Reads give the old contents at once; the copying goes on as a job.
    ///
    /// # Errors
    /// `InUse` where it is attached to this host, whose mounted file system would not notice; or what
    /// the store says.
    pub async fn rollback(&self, to: &MarkRef) -> Result<RollbackStarted, ControlError> {
        let sessions = self.refuse_attached(&to.volume)?;
        let rollback = self.pool().rollback(to).await?;
        tracing::info!(mark = %to, safety = %rollback.safety, "rollback begun");
        Ok(self.rollback_started(&to.volume, rollback, sessions))
    }

    /// Undoes the last rollback of a volume, by a rollback to the mark that it took first.
    ///
    /// # Errors
    /// As [`Appliance::rollback`].
    pub async fn undo_rollback(&self, volume: &Name) -> Result<RollbackStarted, ControlError> {
        let sessions = self.refuse_attached(volume)?;
        let rollback = self.pool().undo_rollback(volume).await?;
        tracing::info!(%volume, safety = %rollback.safety, "undoing a rollback begun");
        Ok(self.rollback_started(volume, rollback, sessions))
    }

    fn rollback_started(
        &self,
        volume: &Name,
        rollback: RollbackStatus,
        sessions: usize,
    ) -> RollbackStarted {
        self.events().tell(EventKind::Volume, volume);
        self.events().tell(EventKind::Mark, volume);
        let job = self.watch_rollback(volume, &rollback.safety);
        RollbackStarted { rollback, job, sessions }
    }

    /// How many sessions have a volume itself open, not its marks.
    fn refuse_attached(&self, volume: &Name) -> Result<usize, ControlError> {
        let inside = self.uses().inside(&Scope::Whole(volume.clone()));
        let live: Vec<_> =
            inside.into_iter().filter(|(disk, _)| !matches!(disk, DiskRef::Mark(_))).collect();
        if let Some((disk, _)) = live.iter().find(|(_, user)| *user == User::Attachment) {
            return Err(ControlError::InUse {
                what: disk.to_string(),
                by: "an attachment to this host, whose file system would not notice".into(),
                way_out: format!("`detach {disk}` first"),
            });
        }
        let name = volume.clone();
        let disk = match self.pool().view(volume) {
            Ok(_) => DiskRef::View(name),
            Err(_) => DiskRef::Volume(name),
        };
        Ok(live.len() + self.iscsi_sessions_on(&disk))
    }

    /// A job that lasts as long as the store copies the contents of the rollback that took this safety
    /// mark first.
    pub(crate) fn watch_rollback(&self, volume: &Name, safety: &Name) -> JobStatus {
        let (pool, of) = (Arc::clone(self.pool()), volume.clone());
        let plan = JobPlan {
            kind: JobKind::Rollback,
            of: DiskRef::Volume(volume.clone()),
            measure: Box::new(move || rollback_progress(&pool, &of)),
            stop: Stop::Watches("a rollback goes on to its end; `undo` takes it back"),
        };
        let (pool, volume, safety) = (Arc::clone(self.pool()), volume.clone(), safety.clone());
        self.jobs().watch(plan, async move {
            loop {
                let Ok(status) = pool.volume(&volume) else { return Ok(json!(null)) };
                match (&status.state, &status.rollback) {
                    (_, None) => return Ok(json!(null)),
                    (_, Some(other)) if other.safety != safety => return Ok(json!(null)),
                    (VolumeState::ReadOnly { reason } | VolumeState::FailStop { reason }, _) => {
                        return Err(StoreError::Poisoned(reason.as_str().into()).into());
                    }
                    (VolumeState::Ready, Some(_)) => tokio::time::sleep(WATCH_INTERVAL).await,
                }
            }
        })
    }
}

fn rollback_progress(pool: &Pool, volume: &Name) -> (u64, u64) {
    let rollback = pool.volume(volume).ok().and_then(|status| status.rollback);
    rollback.map_or((0, 0), |copy| (in_bytes(copy.done_blocks), in_bytes(copy.total_blocks)))
}

pub(crate) fn in_bytes(blocks: u64) -> u64 {
    blocks.saturating_mul(BLOCK_LEN as u64)
}
