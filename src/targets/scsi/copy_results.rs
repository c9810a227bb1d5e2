//! RECEIVE COPY RESULTS: what became of copies, and what can be copied; the same in VPD page 8Fh.
//!
//! Source: SPC-4 6.19 to 6.22, 7.8.17.

use std::collections::VecDeque;

use super::command::Plan;
use super::copy_list::{BLOCK_TO_BLOCK, IDENTIFICATION, WITH_OFFSET};
use super::judge::Asked;
use super::limits::{
    COPY_DESCRIPTORS_LEN_MAX, COPY_RESULTS_MAX, COPY_SEGMENT_LEN_MAX, COPY_SEGMENTS_MAX,
    COPY_TARGETS_MAX,
};
use super::response::Status;
use super::sense::{Format, Sense};

/// What became of a copy.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Segments that were copied.
    pub segments: u16,
    /// Bytes that were copied.
    pub bytes: u64,
    /// Why it ended early.
    pub sense: Option<Sense>,
}

/// What became of the copies of a unit that were to be remembered. The oldest is forgotten.
#[derive(Debug, Default)]
pub(super) struct CopyResults {
    known: VecDeque<(u64, u8, Outcome)>,
}

impl CopyResults {
    /// Remembers an outcome under a nexus's number and its list identifier.
    pub fn put(&mut self, nexus: u64, identifier: u8, outcome: Outcome) {
        self.known.retain(|(of, list, _)| *of != nexus || *list != identifier);
        if self.known.len() >= COPY_RESULTS_MAX {
            self.known.pop_front();
        }
        self.known.push_back((nexus, identifier, outcome));
    }

    /// What is remembered.
    pub fn get(&self, nexus: u64, identifier: u8) -> Option<Outcome> {
        let mut known = self.known.iter();
        let found = known.find(|(of, list, _)| *of == nexus && *list == identifier);
        found.map(|(_, _, outcome)| outcome.clone())
    }
}

/// RECEIVE COPY RESULTS.
///
/// # Errors
/// INVALID FIELD IN CDB for a list identifier that is not known.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let (action, identifier) = (asked.cdb.byte(1) & 0x1f, asked.cdb.byte(2));
    let allowed = u64::from(asked.cdb.u32(10));
    Ok(Plan::answer(allowed, move |run| {
        if action == 0x03 {
            return Ok(operating_parameters());
        }
        let nexus = run.path.ends.id;
        let outcome = run.path.unit.with_copies(|results| results.get(nexus, identifier));
        let outcome = outcome.ok_or_else(|| Sense::cdb_byte(2))?;
        Ok(if action == 0 { status(&outcome) } else { failed(&outcome, run.path.format()) })
    }))
}

fn status(outcome: &Outcome) -> Vec<u8> {
    let code = if outcome.sense.is_none() { 1 } else { 2 };
    let mut bytes = vec![0, 0, 0, 8, code];
    bytes.extend_from_slice(&outcome.segments.to_be_bytes());
    // In KiB, which all limits together leave within 32 bits.
    bytes.push(1);
    let kib = u32::try_from(outcome.bytes / 1024).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&kib.to_be_bytes());
    bytes
}

fn failed(outcome: &Outcome, format: Format) -> Vec<u8> {
    let Some(sense) = outcome.sense else { return vec![0; 4] };
    let sense = sense.encode(format);
    let mut bytes = vec![0; 60];
    bytes[56] = Status::CheckCondition as u8;
    bytes[58..60].copy_from_slice(&u16::try_from(sense.len()).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(&sense);
    let len = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    bytes
}

/// Copies that may run at once, of one unit: as many as anybody asks for.
const CONCURRENT_MAX: u8 = 255;
/// The granularity of segments, as a power of two: a sector.
const GRANULARITY: u8 = 9;
const KINDS: [u8; 3] = [BLOCK_TO_BLOCK, WITH_OFFSET, IDENTIFICATION];

fn operating_parameters() -> Vec<u8> {
    let mut bytes = vec![0; 44];
    // List identifiers need not be used.
    bytes[4] = 0x01;
    bytes[8..10].copy_from_slice(&COPY_TARGETS_MAX.to_be_bytes());
    bytes[10..12].copy_from_slice(&COPY_SEGMENTS_MAX.to_be_bytes());
    bytes[12..16].copy_from_slice(&COPY_DESCRIPTORS_LEN_MAX.to_be_bytes());
    bytes[16..20].copy_from_slice(&COPY_SEGMENT_LEN_MAX.to_be_bytes());
    bytes[34..36].copy_from_slice(&u16::from(CONCURRENT_MAX).to_be_bytes());
    (bytes[36], bytes[37]) = (CONCURRENT_MAX, GRANULARITY);
    bytes[43] = u8::try_from(KINDS.len()).unwrap_or(0);
    bytes.extend_from_slice(&KINDS);
    let len = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    bytes
}

/// The body of VPD page 8Fh.
pub(super) fn third_party_page() -> Vec<u8> {
    let mut body = Vec::new();
    let mut put = |kind: u16, mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        body.extend_from_slice(&kind.to_be_bytes());
        body.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
        body.extend_from_slice(&bytes);
    };
    // Commands: EXTENDED COPY(LID1), RECEIVE COPY RESULTS.
    put(0x0001, vec![8, 0x83, 1, 0x00, 0x84, 3, 0x00, 0x03, 0x04]);
    let mut parameters = vec![0; 28];
    parameters[4..6].copy_from_slice(&COPY_TARGETS_MAX.to_be_bytes());
    parameters[6..8].copy_from_slice(&COPY_SEGMENTS_MAX.to_be_bytes());
    parameters[8..12].copy_from_slice(&COPY_DESCRIPTORS_LEN_MAX.to_be_bytes());
    put(0x0004, parameters);
    put(0x0008, [&[3][..], &KINDS].concat());
    let mut general = vec![0; 32];
    general[3] = CONCURRENT_MAX;
    general[7] = CONCURRENT_MAX;
    general[8..12].copy_from_slice(&COPY_SEGMENT_LEN_MAX.to_be_bytes());
    general[12] = GRANULARITY;
    put(0x8001, general);
    body
}
