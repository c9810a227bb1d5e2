//! What may be done to marks, and when.

use base::name::{MarkRef, Name};
use base::span::Span;
use store::{Grade, MarkRequest, MarkStatus, MarkTally, RemovalPreview};

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
        self.take_mark_of(volumes, MarkRequest { name, grade }, None).await
    }

    /// Takes a mark of each of these volumes or views at one instant, and locks them for so long.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn take_mark_of(
        &self,
        volumes: &[Name],
        request: MarkRequest,
        lock: Option<Span>,
    ) -> Result<Vec<MarkStatus>, ControlError> {
        let name = request.name.clone();
        let taken = match lock {
            Some(lock) => {
                let taking = self.pool().take_locked_mark(volumes, request, lock);
                self.traffic().mark(taking).await?
            }
            None => self.traffic().mark(self.pool().take_mark(volumes, request)).await?,
        };
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

    /// What the marks of a volume come to.
    ///
    /// # Errors
    /// What the store says: `UnknownVolume`.
    pub fn mark_tally(&self, volume: &Name) -> Result<MarkTally, ControlError> {
        Ok(self.pool().mark_tally(volume)?)
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
    /// it is held or locked. Nobody is sent away then.
    pub async fn remove_mark(&self, mark: &MarkRef, them: Sessions) -> Result<(), ControlError> {
        self.pool().check_mark_may_go(mark)?;
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

    /// What the removal of these marks of a volume would give back, and what keeps some from going.
    ///
    /// # Errors
    /// What the store says: `UnknownMark`.
    pub async fn preview_removal(
        &self,
        volume: &Name,
        marks: &[Name],
    ) -> Result<RemovalPreview, ControlError> {
        let of = |mark: &Name| MarkRef { volume: volume.clone(), mark: mark.clone() };
        let marks: Vec<MarkRef> = marks.iter().map(of).collect();
        Ok(self.pool().preview_removal(&marks).await?)
    }

    /// Locks a mark for so long from now. Nobody can take that back.
    ///
    /// # Errors
    /// What the store says: `LockedLonger` where it is locked for longer already.
    pub async fn lock_mark(&self, mark: &MarkRef, span: Span) -> Result<MarkStatus, ControlError> {
        let status = self.pool().lock_mark(mark, span).await?;
        self.events().tell(EventKind::Mark, &mark.volume);
        tracing::info!(%mark, %span, "mark locked");
        Ok(status)
    }

    /// How long it is until a moment: `2027-03-01` or `2027-03-01T02:30` in the zone of this machine, or with a zone
    /// of its own as in `2027-03-01T02:30Z`.
    ///
    /// # Errors
    /// `Invalid` where it is none, or has passed.
    pub fn span_until(&self, moment: &str) -> Result<Span, ControlError> {
        when::span_until(moment, self.clock().wall_ms())
    }

    /// Keeps a mark from being thinned or removed, or lets it go again.
    ///
    /// # Errors
    /// What the store says.
    pub async fn set_held(&self, mark: &MarkRef, hold: Hold) -> Result<MarkStatus, ControlError> {
        let status = match hold {
            Hold::Held => self.pool().hold_mark(mark, None).await?,
            Hold::For(span) => self.pool().hold_mark(mark, Some(span)).await?,
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
    /// It stays until it is let go, or for so long.
    For(Span),
    /// It may go.
    Free,
}
