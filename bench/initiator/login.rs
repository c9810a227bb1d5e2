//! The login's text: what is offered, and what was agreed on. Pure.
//!
//! Offered is what the Linux initiator and libiscsi offer: immediate and unsolicited data, 256 KiB at once.

use crate::Outcome;

/// Whether PDUs carry checksums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Digests {
    /// They carry none.
    None,
    /// CRC32C of header and data.
    Crc32c,
}

/// What was agreed on, beginning with what holds where nothing is said. Source: RFC 7143 13.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Checksums.
    pub digests: Digests,
    /// Data go with the command.
    pub has_immediate: bool,
    /// Data that do not go with it wait until they are asked for.
    pub waits_for_ready: bool,
    /// Bytes of a write that may go unasked.
    pub first_burst_len: u32,
    /// Bytes of data that the target takes in one PDU.
    pub part_len_max: u32,
}

/// Bytes of data that this side takes in one PDU.
pub const RECEIVE_LEN_MAX: usize = 256 << 10;
const SEGMENT_LEN: &str = "MaxRecvDataSegmentLength";

impl Terms {
    /// Those that hold before anything was said.
    pub fn initial() -> Self {
        Self {
            digests: Digests::None,
            has_immediate: true,
            waits_for_ready: true,
            first_burst_len: 65536,
            part_len_max: 8192,
        }
    }

    /// The text of the first step: who wants to reach whom.
    pub fn introduction(target: &str) -> Vec<u8> {
        let name = format!("TargetName={target}");
        text(&[
            "InitiatorName=iqn.2026-11.dev.tidemark:bench",
            &name,
            "SessionType=Normal",
            "AuthMethod=None",
        ])
    }

    /// The text of the second step.
    pub fn offer(digests: Digests) -> Vec<u8> {
        let digest = match digests {
            Digests::None => "None",
            Digests::Crc32c => "CRC32C",
        };
        let segment = format!("{SEGMENT_LEN}={RECEIVE_LEN_MAX}");
        text(&[
            &format!("HeaderDigest={digest}"),
            &format!("DataDigest={digest}"),
            &segment,
            "InitialR2T=No",
            "ImmediateData=Yes",
            "FirstBurstLength=262144",
            "MaxBurstLength=16776192",
            "MaxConnections=1",
            "MaxOutstandingR2T=1",
            "DataPDUInOrder=Yes",
            "DataSequenceInOrder=Yes",
            "DefaultTime2Wait=2",
            "DefaultTime2Retain=0",
            "ErrorRecoveryLevel=0",
        ])
    }

    /// Takes over what the target answers.
    ///
    /// # Errors
    /// Where that makes no sense, or is not what this side can do.
    pub fn heed(&mut self, answer: &[u8]) -> Outcome<()> {
        for pair in answer.split(|byte| *byte == 0).filter(|pair| !pair.is_empty()) {
            let pair = std::str::from_utf8(pair)?;
            let (key, value) = pair.split_once('=').ok_or("a key without a value")?;
            match key {
                "HeaderDigest" | "DataDigest" => {
                    self.digests = match value {
                        "None" => Digests::None,
                        "CRC32C" => Digests::Crc32c,
                        _ => return Err(format!("the target wants {pair}").into()),
                    };
                }
                "InitialR2T" => self.waits_for_ready = value == "Yes",
                "ImmediateData" => self.has_immediate = value == "Yes",
                "FirstBurstLength" => self.first_burst_len = value.parse()?,
                SEGMENT_LEN => self.part_len_max = value.parse::<u32>()?.clamp(512, 0x00ff_fffc),
                "AuthMethod" if value != "None" => {
                    return Err(format!("the target wants {pair}").into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// How many bytes of a write go with its command, and how many go unasked in all.
    pub fn unasked(&self, len: u32) -> (u32, u32) {
        let first = len.min(self.first_burst_len);
        let immediate = if self.has_immediate { first.min(self.part_len_max) } else { 0 };
        (immediate, if self.waits_for_ready { immediate } else { first })
    }
}

fn text(pairs: &[&str]) -> Vec<u8> {
    pairs.iter().flat_map(|pair| pair.bytes().chain([0])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_target_says_is_taken_over_and_the_rest_stays() {
        let mut terms = Terms::initial();
        terms.heed(b"HeaderDigest=CRC32C\0DataDigest=CRC32C\0InitialR2T=No\0Unknown=1\0").unwrap();
        let heeded = Terms { digests: Digests::Crc32c, waits_for_ready: false, ..Terms::initial() };
        assert_eq!(terms, heeded);
        assert!(terms.heed(b"DataDigest=SHA\0").is_err());
        assert!(terms.heed(b"AuthMethod=CHAP\0").is_err());
        assert!(terms.heed(b"nothing\0").is_err());
    }

    #[test]
    fn what_goes_unasked_is_bounded_by_all_that_was_agreed_on() {
        let terms = Terms::initial();
        assert_eq!(terms.unasked(4096), (4096, 4096));
        assert_eq!(terms.unasked(1 << 20), (8192, 8192));
        assert_eq!(Terms { waits_for_ready: false, ..terms }.unasked(1 << 20), (8192, 65536));
        assert_eq!(Terms { has_immediate: false, ..terms }.unasked(4096), (0, 0));
    }
}
