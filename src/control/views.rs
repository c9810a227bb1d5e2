//! What may be done to views, and when.

use std::sync::Arc;

use base::name::{MarkRef, Name};
use serde_json::json;
use store::{DiskRef, Pool, StoreError, ViewStatus, VolumeState};

use crate::appliance::Appliance;
use crate::error::ControlError;
use crate::events::EventKind;
use crate::jobs::{JobKind, JobPlan, JobStatus, Stop};
use crate::uses::Scope;
use crate::volumes::{Sessions, WATCH_INTERVAL, in_bytes};

impl Appliance {
    /// One view.
    ///
    /// # Errors
    /// What the store says: `UnknownView`.
    pub fn view(&self, name: &Name) -> Result<ViewStatus, ControlError> {
        Ok(self.pool().view(name)?)
    }

    /// Makes a read-write disk from a mark.
    ///
    /// # Errors
    /// What the store says: `UnknownMark`, `NameTaken`, `Limit`, ...
    pub async fn create_view(&self, view: &Name, of: &MarkRef) -> Result<ViewStatus, ControlError> {
        let made = self.pool().create_view(view, of).await?;
        self.events().tell(EventKind::View, view);
        self.events().tell(EventKind::Mark, &of.volume);
        tracing::info!(%view, mark = %of, "view created");
        Ok(made)
    }

    /// Drops a view and what was written to it.
    ///
    /// # Errors
    /// `InUse` where somebody has it open, or what the store says.
    pub async fn remove_view(&self, view: &Name, them: Sessions) -> Result<(), ControlError> {
        self.pool().view(view)?;
        self.pool().check_may_go(view)?;
        let (_closing, mapped) = self.close_off_mapped(Scope::Whole(view.clone()), them).await?;
        self.pool().remove_view(view).await?;
        self.unmap_removed(mapped).await;
        self.events().tell(EventKind::View, view);
        tracing::info!(%view, "view removed");
        Ok(())
    }

    /// Begins to make a view independent of its mark, while it is in use. When the job is done it is a
    /// volume of the same name.
    ///
    /// # Errors
    /// What the store says.
    pub async fn promote_view(&self, view: &Name) -> Result<JobStatus, ControlError> {
        self.pool().promote_view(view).await?;
        self.events().tell(EventKind::View, view);
        tracing::info!(%view, "promotion begun");
        self.watch_promotion(view)
    }

    /// A job that lasts as long as the store copies what a view has in common with its mark.
    pub(crate) fn watch_promotion(&self, view: &Name) -> Result<JobStatus, ControlError> {
        let (pool, of) = (Arc::clone(self.pool()), view.clone());
        let plan = JobPlan {
            kind: JobKind::Promote,
            of: DiskRef::View(view.clone()),
            measure: Box::new(move || {
                let copy = pool.view(&of).ok().and_then(|status| status.promotion);
                copy.map_or((0, 0), |copy| {
                    (in_bytes(copy.done_blocks), in_bytes(copy.total_blocks))
                })
            }),
            stop: Stop::Watches("a promotion goes on to its end; `view rm` drops the view"),
        };
        let (pool, view) = (Arc::clone(self.pool()), view.clone());
        self.jobs().start(plan, async move {
            while is_promoting(&pool, &view)? {
                tokio::time::sleep(WATCH_INTERVAL).await;
            }
            Ok(json!({ "volume": pool.volume(&view)?.name }))
        })
    }
}

fn is_promoting(pool: &Pool, view: &Name) -> Result<bool, StoreError> {
    let status = match pool.view(view) {
        Ok(status) => status,
        Err(StoreError::UnknownView(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    match status.state {
        VolumeState::Ready => Ok(status.promotion.is_some()),
        VolumeState::ReadOnly { reason } | VolumeState::FailStop { reason } => {
            Err(StoreError::Poisoned(reason.as_str().into()))
        }
    }
}
