//! Sessions as they are told, whichever door they came through. Field names are part of the API and stay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a session speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// NBD.
    #[default]
    Nbd,
    /// iSCSI.
    Iscsi,
}

/// A session.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SessionStatus {
    /// Its number.
    pub id: u64,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where the client is.
    pub peer: String,
    /// What it has open: an export, or a target's iSCSI name; nothing where it only looks for targets.
    pub export: String,
    /// Whether it takes no changes.
    pub is_read_only: bool,
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// The form of the replies that were agreed on: `simple`, `structured` or `extended`; of NBD.
    pub replies: String,
    /// The contexts that the client has selected; of NBD.
    pub contexts: Vec<String>,
    /// When it began, milliseconds since 1970.
    pub since_ms: u64,
    /// Requests that it has made.
    pub requests: u64,
    /// Requests that were answered with an error.
    pub failures: u64,
    /// Requests that are not answered yet.
    pub in_flight: u64,
    /// Bytes that it has read.
    pub read_bytes: u64,
    /// Bytes that it has written.
    pub written_bytes: u64,
    /// What only an iSCSI session has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iscsi: Option<IscsiSession>,
}

/// What only an iSCSI session has.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct IscsiSession {
    /// The initiator's iSCSI name.
    pub initiator: String,
    /// The initiator's part of the session's identifier, hexadecimal.
    pub isid: String,
    /// The target's part of it.
    pub tsih: u16,
    /// The port group that it came through.
    pub portal_group: u16,
    /// The account that it logged in with.
    pub chap_user: Option<String>,
    /// Whether headers carry a checksum.
    pub has_header_digest: bool,
    /// Whether data carries one.
    pub has_data_digest: bool,
    /// The LUNs that it sees.
    pub luns: Vec<u16>,
}

impl SessionStatus {
    /// Whether it is an iSCSI session of the target of this iSCSI name.
    pub fn is_of(&self, iqn: &str) -> bool {
        self.iscsi.is_some() && self.export == iqn
    }

    /// Whether it is an iSCSI session of this initiator.
    pub fn is_from(&self, initiator: &str) -> bool {
        self.iscsi.as_ref().is_some_and(|one| one.initiator.eq_ignore_ascii_case(initiator))
    }

    /// Whether it sees this LUN of that target.
    pub fn sees(&self, iqn: &str, lun: u16) -> bool {
        self.is_of(iqn) && self.iscsi.as_ref().is_some_and(|one| one.luns.contains(&lun))
    }

    /// Whether it came through this port group.
    pub fn is_in(&self, group: u16) -> bool {
        self.iscsi.as_ref().is_some_and(|one| one.portal_group == group)
    }
}

impl From<targets::nbd::SessionStatus> for SessionStatus {
    fn from(session: targets::nbd::SessionStatus) -> Self {
        Self {
            id: session.id,
            protocol: Protocol::Nbd,
            peer: session.peer,
            export: session.export,
            is_read_only: session.is_read_only,
            is_tls: session.is_secured,
            replies: session.replies.into(),
            contexts: session.contexts,
            since_ms: session.since_wall_ms,
            requests: session.counts.requests,
            failures: session.counts.failures,
            in_flight: session.counts.in_flight,
            read_bytes: session.counts.read_bytes,
            written_bytes: session.counts.written_bytes,
            iscsi: None,
        }
    }
}

impl From<targets::iscsi::SessionStatus> for SessionStatus {
    fn from(session: targets::iscsi::SessionStatus) -> Self {
        Self {
            id: session.id,
            protocol: Protocol::Iscsi,
            peer: session.peer,
            export: session.target,
            since_ms: session.since_wall_ms,
            requests: session.counts.requests,
            failures: session.counts.failures,
            in_flight: session.counts.in_flight,
            read_bytes: session.counts.read_bytes,
            written_bytes: session.counts.written_bytes,
            iscsi: Some(IscsiSession {
                initiator: session.initiator,
                isid: session.isid,
                tsih: session.tsih,
                portal_group: session.portal_group,
                chap_user: session.chap_user,
                has_header_digest: session.parameters.has_header_digest,
                has_data_digest: session.parameters.has_data_digest,
                luns: session.luns,
            }),
            ..Self::default()
        }
    }
}
