//! The names of the two ends of an I_T nexus.
//!
//! An initiator port is an iSCSI name and an ISID, a target port a name, a relative identifier and the
//! port group that it belongs to. Knows nothing of connections.

/// An initiator port: registrations belong to it, and to the target port it came through.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InitiatorPort {
    /// The initiator's iSCSI name, in lower case.
    pub name: String,
    /// The initiator's part of the session identifier.
    pub isid: [u8; 6],
}

impl InitiatorPort {
    /// Its SPC-4 TransportID, format 01b: name, separator and ISID, padded to a multiple of four.
    ///
    /// Source: SPC-4 7.6.4.6.
    pub fn transport_id(&self) -> Vec<u8> {
        let isid: String = self.isid.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut text = format!("{},i,0x{isid}", self.name).into_bytes();
        text.push(0);
        text.resize(text.len().next_multiple_of(4).max(20), 0);
        let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
        let mut bytes = vec![0x45, 0];
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.append(&mut text);
        bytes
    }
}

/// A target port: a target and the portal group through which it is reached.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TargetPort {
    /// Its name: the target's, `,t,0x` and the portal group tag.
    pub name: String,
    /// Its relative target port identifier.
    pub relative_id: u16,
    /// The target port group that it belongs to.
    pub group: u16,
}
