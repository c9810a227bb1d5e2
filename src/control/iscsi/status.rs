//! What the office tells about targets, LUNs, initiators, accounts and portals. Field names are part of the
//! API and stay. No secret is ever in it.

use base::id::Id;
use base::name::Name;
use base::size::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use targets::scsi::{AccessState, ReservationStatus};

use super::book::Auth;
use super::names::{ChapUser, Initiator, IscsiName, Viewer};

/// A target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TargetStatus {
    /// Its short name.
    pub name: Name,
    /// Its iSCSI name.
    pub iqn: IscsiName,
    /// What people call it.
    pub alias: String,
    /// How initiators show who they are.
    pub auth: Auth,
    /// Whether CHAP with MD5 will do.
    pub is_md5_allowed: bool,
    /// Who may log in: iSCSI names, or `any`.
    pub initiators: Vec<Initiator>,
    /// Its CHAP users.
    pub chap_users: Vec<ChapUser>,
    /// The name by which it shows who it is, in mutual CHAP.
    pub mutual_user: Option<ChapUser>,
    /// What initiators find.
    pub luns: Vec<LunStatus>,
    /// How many sessions it has.
    pub sessions: usize,
}

/// A LUN of a target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LunStatus {
    /// The target's short name.
    pub target: Name,
    /// Its number.
    pub lun: u16,
    /// The disk's name now, or its last one where it is missing.
    pub disk: String,
    /// The disk's identity.
    pub id: Id,
    /// Whether the disk is there and works.
    pub is_ready: bool,
    /// What is wrong with the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Whether it takes no changes here.
    pub is_read_only: bool,
    /// Whether it looks like one whose medium can be taken out.
    pub is_removable: bool,
    /// Bytes of a logical block.
    pub block_size: u32,
    /// The disk's size.
    pub size: ByteSize,
    /// Its serial number, as initiators see it.
    pub serial: String,
    /// Its NAA name, as initiators see it.
    pub naa: String,
    /// Who sees it; empty: everyone who is let in.
    pub only: Vec<Viewer>,
    /// Who has reserved it.
    pub reservations: ReservationStatus,
    /// How many sessions see it.
    pub sessions: usize,
}

/// Somebody who is let in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InitiatorStatus {
    /// The target's short name.
    pub target: Name,
    /// Who.
    pub initiator: Initiator,
    /// How many sessions there are because of that.
    pub sessions: usize,
}

/// A CHAP account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChapStatus {
    /// The target's short name; none for discovery.
    pub target: Option<Name>,
    /// Its name.
    pub user: ChapUser,
    /// Whether it is the target's own, for mutual authentication.
    pub is_mutual: bool,
}

/// A portal, or a port group without one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PortalStatus {
    /// Where it listens; none for a group that has only a state.
    pub address: Option<String>,
    /// Its port group.
    pub group: u16,
    /// The group's state.
    pub state: AccessState,
    /// How many sessions the group has.
    pub sessions: usize,
}
