//! What may be done to LUNs, and what being mapped means for a disk.

use std::collections::BTreeSet;

use base::name::Name;
use base::size::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{DiskRef, Located};

use super::Iscsi;
use super::book::{LunEntry, TargetEntry, unknown_lun};
use super::names::Viewer;
use super::status::LunStatus;
use super::targets::sessions_word;
use crate::appliance::Appliance;
use crate::doors::SessionStatus;
use crate::error::ControlError;
use crate::uses::{Closing, Scope, User};
use crate::volumes::Sessions;

/// Bytes of a logical block where nothing else is asked for.
const BLOCK_SIZE_DEFAULT: u32 = 512;

/// A disk to be mapped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLun {
    /// `VOLUME`, `VOLUME@MARK` or `view/VIEW`.
    pub disk: DiskRef,
    /// Its number; without one the lowest that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lun: Option<u16>,
    /// Whether it takes no changes here. Marks never do.
    #[serde(default)]
    pub is_read_only: bool,
    /// Whether it looks like one whose medium can be taken out.
    #[serde(default)]
    pub is_removable: bool,
    /// Bytes of a logical block: 512 or 4096.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<u32>,
    /// Who sees it, as iSCSI names and `chap:USER`; empty: everyone who is let in.
    #[serde(default)]
    // Who is named twice is meant once.
    #[schemars(with = "Vec<Viewer>")]
    pub only: BTreeSet<Viewer>,
}

/// A change of a LUN: what is left out stays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LunChange {
    /// Whether it takes no changes here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_read_only: Option<bool>,
    /// Who sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Viewer>>")]
    pub only: Option<BTreeSet<Viewer>>,
}

impl Iscsi {
    pub(super) fn lun_status(
        &self,
        name: &Name,
        target: &TargetEntry,
        lun: &LunEntry,
        sessions: &[SessionStatus],
    ) -> LunStatus {
        let located = self.pool.locate(lun.id);
        let trouble = match &located {
            None => Some("the disk is not there".into()),
            Some(Located { failure, .. }) => failure.clone(),
        };
        let unit = self.units.get(lun.id);
        let identity = unit.as_ref().map(|unit| unit.settings().identity.clone());
        let blocks = unit.as_ref().map_or(0, |unit| unit.capacity());
        LunStatus {
            target: name.clone(),
            lun: lun.lun,
            disk: self.name_of(lun),
            id: lun.id,
            is_ready: trouble.is_none(),
            trouble,
            is_read_only: lun.is_read_only,
            is_removable: lun.is_removable,
            block_size: lun.block_size,
            size: ByteSize(blocks.saturating_mul(lun.block_size.into())),
            serial: identity.as_ref().map(|identity| identity.serial()).unwrap_or_default(),
            naa: identity.map(|identity| hex(&identity.naa())).unwrap_or_default(),
            only: lun.only.iter().cloned().collect(),
            reservations: unit.map(|unit| unit.reservations()).unwrap_or_default(),
            sessions: sessions.iter().filter(|one| one.sees(target.iqn.as_str(), lun.lun)).count(),
        }
    }
}

impl Appliance {
    /// One LUN.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn lun(&self, target: &Name, lun: u16) -> Result<LunStatus, ControlError> {
        let found = self.target(target)?.luns.into_iter().find(|there| there.lun == lun);
        found.ok_or_else(|| unknown_lun(target, lun).into())
    }

    /// Puts a disk under a LUN of a target. Sessions find it at once.
    ///
    /// # Errors
    /// `Unknown`, `Conflict`, what the store says of the disk; `InUse` while it is being removed; `Book`,
    /// `State`.
    pub async fn map_lun(&self, target: &Name, new: NewLun) -> Result<LunStatus, ControlError> {
        let disk = self.as_disk(new.disk);
        // Whoever removes the disk meanwhile waits until it is seen to be mapped.
        let _inside = self.uses().enter(&disk, User::Mapping)?;
        let id = self.pool().id_of(&disk)?;
        let is_fixed =
            matches!(disk, DiskRef::Mark(_)) || self.pool().disk(&disk)?.geometry().is_read_only;
        let entry = LunEntry {
            lun: 0,
            id,
            disk: disk.to_string(),
            is_read_only: new.is_read_only || is_fixed,
            is_removable: new.is_removable,
            block_size: new.block_size.unwrap_or(BLOCK_SIZE_DEFAULT),
            only: new.only,
        };
        let wanted = new.lun;
        let mapped = self.iscsi().change(|book, _| book.map(target, wanted, entry)).await?;
        tracing::info!(%target, lun = mapped.lun, %disk, "LUN mapped");
        self.lun(target, mapped.lun)
    }

    /// Changes a LUN, for running sessions too.
    ///
    /// # Errors
    /// `Unknown`; `Invalid` where a mark should take changes; `Book`, `State`.
    pub async fn set_lun(
        &self,
        target: &Name,
        lun: u16,
        change: LunChange,
    ) -> Result<LunStatus, ControlError> {
        let before = self.lun(target, lun)?;
        let is_mark = before.disk.contains('@');
        if is_mark && change.is_read_only == Some(false) {
            return Err(ControlError::Invalid {
                why: format!("{} is a mark, and marks take no changes", before.disk),
                way_out: "`view create` makes a disk of it that does".into(),
            });
        }
        self.iscsi()
            .change(|book, _| {
                let entry = book.lun_mut(target, lun)?;
                entry.is_read_only = change.is_read_only.unwrap_or(entry.is_read_only);
                entry.only = change.only.unwrap_or_else(|| entry.only.clone());
                Ok(())
            })
            .await?;
        tracing::info!(%target, lun, "LUN set");
        self.lun(target, lun)
    }

    /// Takes a disk away from under a LUN; the disk stays.
    ///
    /// # Errors
    /// `InUse` where sessions see it; `Unknown`, `Book`, `State`.
    pub async fn unmap_lun(
        &self,
        target: &Name,
        lun: u16,
        them: Sessions,
    ) -> Result<LunStatus, ControlError> {
        let before = self.lun(target, lun)?;
        if before.sessions > 0 && them == Sessions::Respect {
            return Err(ControlError::InUse {
                what: format!("{}, LUN {lun} of the target {target},", before.disk),
                by: sessions_word(before.sessions),
                way_out:
                    "let go of it on the initiators and log them out, or ask again with --force"
                        .into(),
            });
        }
        self.iscsi().change(|book, _| book.unmap(target, lun)).await?;
        tracing::info!(%target, lun, disk = before.disk, "LUN unmapped");
        Ok(before)
    }

    /// Closes disks off that are to be removed, and tells where they are mapped: they are to be unmapped
    /// from there when they are gone.
    ///
    /// # Errors
    /// `InUse` where somebody has one open, or one is mapped and must not be unmapped.
    pub(crate) async fn close_off_mapped(
        &self,
        scope: Scope,
        them: Sessions,
    ) -> Result<(Closing, Vec<(Name, u16, DiskRef)>), ControlError> {
        self.refuse_mapped(&scope, them)?;
        let closing = self.close_off(scope.clone(), them).await?;
        // Somebody may have mapped one while others were waited for.
        self.refuse_mapped(&scope, them)?;
        let mapped = self.iscsi().mappings(|disk| scope.covers(disk));
        Ok((closing, mapped))
    }

    fn refuse_mapped(&self, scope: &Scope, them: Sessions) -> Result<(), ControlError> {
        if them == Sessions::End {
            return Ok(());
        }
        match self.iscsi().mappings(|disk| scope.covers(disk)).first() {
            None => Ok(()),
            Some((target, lun, disk)) => Err(ControlError::InUse {
                what: disk.to_string(),
                by: format!("the target {target}, where it is LUN {lun}"),
                way_out: format!("`lun unmap {target} {lun}` first, or ask again with --force"),
            }),
        }
    }

    /// Unmaps disks that have been removed. They are known by what was mapped before.
    pub(crate) async fn unmap_removed(&self, mapped: Vec<(Name, u16, DiskRef)>) {
        if mapped.is_empty() {
            return;
        }
        let unmapped = self.iscsi().change(|book, _| {
            for (target, lun, _) in &mapped {
                // Somebody else may have unmapped it meanwhile, which is as good.
                let _ = book.unmap(target, *lun);
            }
            Ok(())
        });
        if let Err(error) = unmapped.await {
            tracing::warn!(%error, "unmap disks that were removed");
        }
    }

    /// How many iSCSI sessions see this very disk.
    pub(crate) fn iscsi_sessions_on(&self, disk: &DiskRef) -> usize {
        let places = self.iscsi().mappings(|there| there == disk);
        let iqns: Vec<_> = {
            let current = self.iscsi().read();
            let iqn = |name| current.book.targets.get(name).map(|target| target.iqn.to_string());
            places.iter().filter_map(|(name, lun, _)| Some((iqn(name)?, *lun))).collect()
        };
        let sees = |session: &SessionStatus| iqns.iter().any(|(iqn, lun)| session.sees(iqn, *lun));
        self.sessions().iter().filter(|session| sees(session)).count()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
