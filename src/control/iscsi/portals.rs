//! Portals and the access states of their groups, which multipath initiators follow.

use std::collections::BTreeSet;

use targets::scsi::AccessState;

use super::Iscsi;
use super::book::unknown;
use super::status::PortalStatus;
use crate::appliance::Appliance;
use crate::error::ControlError;

impl Iscsi {
    /// From now on these port groups have portals, and discovery is so.
    pub(crate) fn set_portals(&self, groups: BTreeSet<u16>, is_discovery_md5_allowed: bool) {
        let mut current = self.write();
        current.groups = groups;
        current.is_discovery_md5_allowed = is_discovery_md5_allowed;
        self.set_groups(&current);
    }
}

impl Appliance {
    /// Where iSCSI listens, and how the port groups are.
    pub fn portals(&self) -> Vec<PortalStatus> {
        let sessions = self.sessions();
        let current = self.iscsi().read();
        let count = |group| sessions.iter().filter(|one| one.is_in(group)).count();
        let told = |address: Option<String>, group: u16| PortalStatus {
            address,
            group,
            state: current.book.group_state(group),
            sessions: count(group),
        };
        let open = self.doors().iscsi().portals();
        let mut all: Vec<_> =
            open.into_iter().map(|(address, group)| told(Some(address), group)).collect();
        let others =
            current.book.groups.iter().filter(|entry| !current.groups.contains(&entry.group));
        all.extend(others.map(|entry| told(None, entry.group)));
        all.sort_by(|a, b| (a.group, &a.address).cmp(&(b.group, &b.address)));
        all
    }

    /// Sets the access state of a port group. Initiators are told at their next command.
    ///
    /// # Errors
    /// `Unknown` where no portal is in that group; `Book`, `State`.
    pub async fn set_portal_group(
        &self,
        group: u16,
        state: AccessState,
    ) -> Result<Vec<PortalStatus>, ControlError> {
        let is_there = self.portals().iter().any(|portal| portal.group == group);
        self.iscsi()
            .change(|book, _| {
                if !is_there {
                    let why = format!("no portal is in the port group {group}");
                    return Err(unknown(why, "`portal ls` shows portals and their groups"));
                }
                book.set_group(group, state);
                Ok(())
            })
            .await?;
        tracing::info!(group, ?state, "port group set");
        Ok(self.portals())
    }
}
