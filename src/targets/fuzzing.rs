//! Entry points for fuzzers: bytes of an attacker, driven through everything that reads them.
//!
//! Each panics where an invariant breaks, and returns otherwise. No sockets, no threads, no clock.

mod iscsi;
mod scsi;

use std::sync::Arc;

use disk::{AnyDisk, MemDisk};

use crate::export::{Export, ExportError, ExportSummary, Exports, NoContexts};
use crate::nbd::intake::{Asked, Body, Incoming, Intake, Next};
use crate::nbd::limits::{COMPACT_PAYLOAD_LEN_MAX, OPTION_DATA_LEN_MAX, OPTION_REPLY_LEN_MAX};
use crate::nbd::negotiation::{Availability, Negotiation, Step, TlsPolicy};
use crate::nbd::request::{Command, Framing, Terms};

pub use iscsi::{login as iscsi_login, pdu as iscsi_pdu, session as iscsi_session};
pub use scsi::{cdb as scsi_cdb, parameters as scsi_parameters};

/// A single export, `v`, which is the default one.
struct One(AnyDisk);

impl Exports for One {
    fn list(&self) -> Vec<ExportSummary> {
        vec![ExportSummary { name: "v".to_owned(), description: "a volume".to_owned() }]
    }

    fn open(&self, name: &str) -> Result<Export, ExportError> {
        match name {
            "v" => Ok(Export {
                name: name.to_owned(),
                description: "a volume".to_owned(),
                disk: Arc::clone(&self.0),
                is_read_only: false,
                contexts: Arc::new(NoContexts),
                guard: None,
            }),
            "busy" => Err(ExportError::Unavailable("it is being made".to_owned())),
            _ => Err(ExportError::Unknown),
        }
    }

    fn default_name(&self) -> Option<String> {
        Some("v".to_owned())
    }
}

/// A negotiation. The first byte chooses the rule about TLS and whether the server is open; the rest is
/// what the client sends, in two pieces cut where the second byte says.
pub fn negotiation(bytes: &[u8]) {
    let [rule, cut, sent @ ..] = bytes else { return };
    let tls = [TlsPolicy::Off, TlsPolicy::Offered, TlsPolicy::Required][usize::from(rule % 3)];
    let availability =
        [Availability::Open, Availability::Open, Availability::Full, Availability::Closing]
            [usize::from(rule / 3 % 4)];
    let mut negotiation = Negotiation::new(Arc::new(One(Arc::new(MemDisk::new(64)))), tls);
    let mut input = sent[..sent.len().min(usize::from(*cut))].to_vec();
    let mut rest = &sent[input.len()..];
    loop {
        let mut out = Vec::new();
        let (done, step) = negotiation.advance(&input, availability, &mut out);
        assert!(done <= input.len() && out.len() <= OPTION_REPLY_LEN_MAX + OPTION_DATA_LEN_MAX);
        input.drain(..done);
        match step {
            Step::Continue => assert!(done > 0, "a step without progress"),
            Step::Close => return,
            Step::StartTls => negotiation.secure(),
            Step::Transmit(agreement) => {
                assert!(tls != TlsPolicy::Required || negotiation.is_secured());
                assert_eq!(availability, Availability::Open);
                assert_eq!(agreement.export.name, "v");
                return;
            }
            Step::Hungry if rest.is_empty() => return,
            Step::Hungry => {
                input.extend_from_slice(rest);
                rest = &[];
            }
        }
    }
}

/// Requests. The first byte chooses the terms; the rest is what the client sends, received in pieces of
/// as many bytes as the second byte says.
pub fn requests(bytes: &[u8]) {
    let [rule, step, sent @ ..] = bytes else { return };
    let has = |bit: u8| rule & bit != 0;
    let terms = Terms {
        framing: if has(1) { Framing::Extended } else { Framing::Compact },
        has_chunks: has(1) || has(2),
        has_contexts: has(4),
        is_read_only: has(8),
        len: 1 << 20,
        payload_len_max: 32 << 20,
    };
    let mut intake = Intake::new();
    let mut rest = sent;
    loop {
        match intake.next(&terms, u64::MAX) {
            Next::Request(incoming) => check(&incoming, &terms),
            Next::Crowded => panic!("there is room for everything"),
            Next::Disconnect | Next::Drop(_) => return,
            Next::Doubtful if rest.is_empty() => intake.settle_doubt(),
            Next::Hungry if rest.is_empty() => return,
            Next::Hungry | Next::Doubtful => {
                let Ok(space) = intake.space() else { panic!("no space for what must come") };
                let len = space.len().min(rest.len()).min(usize::from(*step).max(1));
                assert!(len > 0, "hungry without space");
                space[..len].copy_from_slice(&rest[..len]);
                intake.received(len);
                rest = &rest[len..];
            }
        }
    }
}

/// # Panics
/// Where a request would be carried out that must not be.
fn check(incoming: &Incoming, terms: &Terms) {
    let Asked::Perform(command, body) = &incoming.asked else { return };
    let bytes = match command {
        Command::Read { bytes, .. } => bytes,
        Command::Write { bytes, .. }
        | Command::Trim { bytes, .. }
        | Command::Zero { bytes, .. } => {
            assert!(!terms.is_read_only);
            bytes
        }
        Command::Status { bytes, .. } => {
            assert!(terms.has_contexts);
            bytes
        }
        Command::Flush | Command::Cache | Command::StatusOf { .. } => return,
    };
    assert!(bytes.offset.checked_add(bytes.len).is_some_and(|end| end <= terms.len));
    if let (Command::Write { .. }, Body::Data(pieces)) = (command, body) {
        assert!(bytes.len <= COMPACT_PAYLOAD_LEN_MAX);
        let sectors: u64 = pieces.iter().map(disk::Buffer::sectors).sum();
        assert!(bytes.len == 0 || sectors == bytes.cover().sectors, "pieces of another length");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_may_be_sent_to_a_negotiation(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            super::negotiation(&bytes);
        }

        #[test]
        fn any_bytes_may_be_sent_as_requests(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            super::requests(&bytes);
        }

        #[test]
        fn options_with_any_data_are_survived(
            rule in any::<u8>(), cut in any::<u8>(),
            options in proptest::collection::vec((0u32..13, proptest::collection::vec(any::<u8>(), 0..60)), 0..8),
        ) {
            let mut bytes = vec![rule, cut, 0, 0, 0, 3];
            for (option, data) in options {
                bytes.extend_from_slice(b"IHAVEOPT");
                bytes.extend_from_slice(&option.to_be_bytes());
                bytes.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
                bytes.extend_from_slice(&data);
            }
            super::negotiation(&bytes);
        }

        #[test]
        fn requests_with_any_fields_are_survived(
            rule in any::<u8>(), step in any::<u8>(),
            requests in proptest::collection::vec((0u16..70, 0u16..9, 0u64..(2 << 20), 0u32..70_000), 0..8),
        ) {
            let mut bytes = vec![rule & !1, step];
            for (flags, command, offset, len) in requests {
                bytes.extend_from_slice(&[0x25, 0x60, 0x95, 0x13]);
                bytes.extend_from_slice(&flags.to_be_bytes());
                bytes.extend_from_slice(&command.to_be_bytes());
                bytes.extend_from_slice(&[7; 8]);
                bytes.extend_from_slice(&offset.to_be_bytes());
                bytes.extend_from_slice(&len.to_be_bytes());
                bytes.resize(bytes.len() + if command == 1 { len as usize } else { 0 }, 0x5a);
            }
            super::requests(&bytes);
        }
    }
}
