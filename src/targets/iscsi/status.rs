//! Sessions and totals, to look at.

use super::parameters::Parameters;
use crate::door::tally::Counts;

/// A session, to look at.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct SessionStatus {
    /// Its number.
    pub id: u64,
    /// Where the initiator is.
    pub peer: String,
    /// The initiator's name.
    pub initiator: String,
    /// What the initiator says about itself.
    pub initiator_alias: String,
    /// The target's name, empty in a discovery.
    pub target: String,
    /// The portal group that was reached.
    pub portal_group: u16,
    /// The initiator's part of the session's identity, in hexadecimal.
    pub isid: String,
    /// The target's part.
    pub tsih: u16,
    /// The CHAP user that was proved.
    pub chap_user: Option<String>,
    /// What was agreed on.
    pub parameters: Parameters,
    /// The logical units that it sees.
    pub luns: Vec<u16>,
    /// When it began, in milliseconds since 1970.
    pub since_wall_ms: u64,
    /// What it has done.
    pub counts: Counts,
}

/// What a server has done since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Totals {
    /// Connections that came.
    pub connections: u64,
    /// Connections that log in now.
    pub negotiating: u64,
    /// Connections that ended without a session.
    pub turned_away: u64,
    /// Wrong CHAP answers.
    pub wrong_chap: u64,
    /// Sessions that have begun.
    pub sessions: u64,
    /// What all sessions have done.
    pub counts: Counts,
}
