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

/// The protocol identifier of iSCSI.
const ISCSI: u8 = 0x05;
/// A TransportID that names a port, not only a device.
const OF_PORT: u8 = 0x40;
/// Characters of an iSCSI name.
const NAME_LEN_MAX: usize = 223;

impl InitiatorPort {
    /// Its name as a port: the initiator's, `,i,0x` and the ISID.
    pub fn port_name(&self) -> String {
        let isid: String = self.isid.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{},i,0x{isid}", self.name)
    }

    /// Its SPC-4 TransportID, format 01b: name, separator and ISID, padded to a multiple of four.
    ///
    /// Source: SPC-4 7.6.4.6.
    pub fn transport_id(&self) -> Vec<u8> {
        let mut text = self.port_name().into_bytes();
        text.push(0);
        text.resize(text.len().next_multiple_of(4).max(20), 0);
        let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
        let mut bytes = vec![OF_PORT | ISCSI, 0];
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.append(&mut text);
        bytes
    }

    /// The port that the TransportID at the front of `bytes` names, and how many bytes it takes. `None`
    /// where it is none of iSCSI, names no port, or is not whole.
    pub fn of_transport_id(bytes: &[u8]) -> Option<(Self, usize)> {
        let [first, _, high, low, rest @ ..] = bytes else { return None };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if *first != OF_PORT | ISCSI || len < 20 || len % 4 != 0 {
            return None;
        }
        let text = rest.get(..len)?;
        let text = text.split(|byte| *byte == 0).next()?;
        let text = std::str::from_utf8(text).ok()?;
        let (name, isid) = text.split_once(",i,0x")?;
        if name.is_empty() || name.len() > NAME_LEN_MAX || isid.len() != 12 {
            return None;
        }
        if !isid.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let number = u64::from_str_radix(isid, 16).ok()?.to_be_bytes();
        let mut isid = [0; 6];
        isid.copy_from_slice(&number[2..]);
        Some((Self { name: name.to_lowercase(), isid }, len + 4))
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

impl TargetPort {
    /// The port of a target in a portal group.
    pub fn of(target: &str, group: u16) -> Self {
        Self { name: format!("{target},t,0x{group:04x}"), relative_id: group, group }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_id_names_its_port() {
        let port =
            InitiatorPort { name: "iqn.2026-11.x:a".to_owned(), isid: [0x40, 0, 1, 0x37, 0, 9] };
        let bytes = port.transport_id();
        assert_eq!(bytes[0], 0x45);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(InitiatorPort::of_transport_id(&bytes), Some((port, bytes.len())));
    }

    #[test]
    fn what_is_not_whole_names_nothing() {
        let port = InitiatorPort { name: "iqn.2026-11.x:a".to_owned(), isid: [1; 6] };
        let bytes = port.transport_id();
        assert_eq!(InitiatorPort::of_transport_id(&bytes[..bytes.len() - 1]), None);
        assert_eq!(InitiatorPort::of_transport_id(&[]), None);
        let mut of_device = bytes.clone();
        of_device[0] = 0x05;
        assert_eq!(InitiatorPort::of_transport_id(&of_device), None);
    }
}
