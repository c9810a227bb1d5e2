//! What a login ends with: who has come, where to, and how they will speak.

use super::parameters::Parameters;
use super::targets::OpenTarget;

/// Where a session leads.
#[derive(Debug)]
pub enum Destination {
    /// To the list of targets.
    Discovery,
    /// To a target.
    Target(OpenTarget),
}

/// What a login ends with.
#[derive(Debug)]
pub struct Agreement {
    /// Where it leads.
    pub destination: Destination,
    /// The target's name, empty in a discovery.
    pub target: String,
    /// The initiator's name, in lower case.
    pub initiator: String,
    /// What the initiator says about itself, for people.
    pub alias: String,
    /// The CHAP user, where one was proved.
    pub user: Option<String>,
    /// The initiator's part of the session's identity.
    pub isid: [u8; 6],
    /// The session that the initiator means; 0 for a new one.
    pub tsih: u16,
    /// The connection's number.
    pub cid: u16,
    /// The portal group that was reached.
    pub portal_group: u16,
    /// How they will speak.
    pub parameters: Parameters,
    /// The number of the first command.
    pub cmd_sn: u32,
    /// The number of the first answer behind the login.
    pub stat_sn: u32,
}
