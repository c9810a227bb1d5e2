//! Named sets of volumes that are marked at one instant.

use base::name::Name;
use store::{Grade, GroupStatus, MarkStatus, StoreError};

use crate::appliance::Appliance;
use crate::error::ControlError;
use crate::events::EventKind;

impl Appliance {
    /// All groups.
    pub fn groups(&self) -> Vec<GroupStatus> {
        self.pool().groups()
    }

    /// Names a set of volumes.
    ///
    /// # Errors
    /// What the store says: `NameTaken`, `UnknownVolume`, `Limit`.
    pub async fn create_group(
        &self,
        name: &Name,
        volumes: &[Name],
    ) -> Result<GroupStatus, ControlError> {
        let made = self.pool().create_group(name, volumes).await?;
        self.events().tell(EventKind::Group, name);
        tracing::info!(group = %name, ?volumes, "group created");
        Ok(made)
    }

    /// Forgets a group. Its volumes and their marks stay.
    ///
    /// # Errors
    /// What the store says: `UnknownGroup`.
    pub async fn remove_group(&self, name: &Name) -> Result<(), ControlError> {
        self.pool().remove_group(name).await?;
        self.events().tell(EventKind::Group, name);
        tracing::info!(group = %name, "group removed");
        Ok(())
    }

    /// Takes a mark of every member at one instant.
    ///
    /// # Errors
    /// `UnknownGroup`, or as [`Appliance::take_mark`].
    pub async fn mark_group(
        &self,
        group: &Name,
        name: Option<Name>,
        grade: Grade,
    ) -> Result<Vec<MarkStatus>, ControlError> {
        let groups = self.pool().groups();
        let found = groups.into_iter().find(|known| known.name == *group);
        let found = found.ok_or_else(|| StoreError::UnknownGroup(group.clone()))?;
        self.take_mark(&found.volumes, name, grade).await
    }
}
