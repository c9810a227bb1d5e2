//! What may be done to marks, and when.

use base::name::{MarkRef, Name};
use store::{Grade, MarkRequest, MarkStatus};

use crate::appliance::Appliance;
use crate::error::ControlError;
use crate::events::EventKind;
use crate::uses::Scope;
use crate::volumes::Sessions;
use crate::when;

impl Appliance {
    /// Takes a mark of each of these volumes or views at one instant, all under one name: the given one,
    /// or the moment in UTC.
    ///
    /// # Errors
    /// `Invalid` where no volume is named, or what the store says: `NameTaken`, `MarksFull`, ...
    pub async fn take_mark(
        &self,
        volumes: &[Name],
        name: Option<Name>,
        grade: Grade,
    ) -> Result<Vec<MarkStatus>, ControlError> {
        if volumes.is_empty() {
            return Err(ControlError::Invalid {
                why: "no volume was named".into(),
                way_out: "name the volumes to mark".into(),
            });
        }
        let name = name.unwrap_or_else(|| when::mark_name(self.clock().wall_ms()));
        let request = MarkRequest { name: name.clone(), grade };
        let taken = self.traffic().mark(self.pool().take_mark(volumes, request)).await?;
        for volume in volumes {
            self.events().tell(EventKind::Mark, volume);
        }
        tracing::info!(mark = %name, ?volumes, "mark taken");
        Ok(taken)
    }

    /// The marks of a volume or view, oldest first.
    ///
    /// # Errors
    /// What the store says: `UnknownVolume`.
    pub fn marks(&self, volume: &Name) -> Result<Vec<MarkStatus>, ControlError> {
        Ok(self.pool().marks(volume)?)
    }

    /// One mark.
    ///
    /// # Errors
    /// What the store says: `UnknownMark`.
    pub fn mark(&self, mark: &MarkRef) -> Result<MarkStatus, ControlError> {
        Ok(self.pool().mark(mark)?)
    }

    /// Removes a mark, wherever it is in the chain.
    ///
    /// # Errors
    /// `InUse` where somebody has it open, or what the store says: `MarkInUse` where a view shows it or
    /// it is held.
    pub async fn remove_mark(&self, mark: &MarkRef, them: Sessions) -> Result<(), ControlError> {
        self.pool().mark(mark)?;
        let (_closing, mapped) = self.close_off_mapped(Scope::Mark(mark.clone()), them).await?;
        self.pool().remove_mark(mark).await?;
        self.unmap_removed(mapped).await;
        self.events().tell(EventKind::Mark, &mark.volume);
        tracing::info!(%mark, "mark removed");
        Ok(())
    }

    /// Gives a mark another name.
    ///
    /// # Errors
    /// `InUse` where somebody has it open under the old one, or what the store says.
    pub async fn rename_mark(&self, mark: &MarkRef, to: &Name) -> Result<MarkStatus, ControlError> {
        self.pool().mark(mark)?;
        let _closing = self.close_off(Scope::Mark(mark.clone()), Sessions::Respect).await?;
        let renamed = self.pool().rename_mark(mark, to).await?;
        self.events().tell(EventKind::Mark, &mark.volume);
        tracing::info!(%mark, %to, "mark renamed");
        Ok(renamed)
    }

    /// Keeps a mark from being thinned or removed, or lets it go again.
    ///
    /// # Errors
    /// What the store says.
    pub async fn set_held(&self, mark: &MarkRef, hold: Hold) -> Result<MarkStatus, ControlError> {
        let status = match hold {
            Hold::Held => self.pool().hold_mark(mark).await?,
            Hold::Free => self.pool().release_mark(mark).await?,
        };
        self.events().tell(EventKind::Mark, &mark.volume);
        tracing::info!(%mark, is_held = status.is_held, "hold changed");
        Ok(status)
    }
}

/// Whether a mark is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// It stays until it is let go.
    Held,
    /// It may go.
    Free,
}
