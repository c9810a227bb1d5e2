//! REPORT LUNS: the numbers that a nexus sees.
//!
//! Source: SPC-4 6.33.

use super::cdb::Cdb;
use super::command::Plan;
use super::judge::Asked;
use super::lun;
use super::nexus::Nexus;
use super::sense::Sense;

/// The operation code.
pub(super) const CODE: u8 = 0xa0;

/// REPORT LUNS.
///
/// # Errors
/// INVALID FIELD IN CDB for an unknown SELECT REPORT.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    plan(asked.nexus, asked.cdb)
}

/// The same.
///
/// # Errors
/// As `begin`.
pub(super) fn plan(nexus: &Nexus, cdb: &Cdb) -> Result<Plan, Sense> {
    let units = || nexus.luns().into_iter().map(lun::encode);
    let luns: Vec<u64> = match cdb.byte(2) {
        0x00 => units().collect(),
        0x01 => vec![lun::REPORT_LUNS],
        0x02 => units().chain([lun::REPORT_LUNS]).collect(),
        // Administrative and subsidiary logical units: there are none.
        0x10..=0x12 => Vec::new(),
        _ => return Err(Sense::cdb_byte(2)),
    };
    nexus.luns_were_told();
    Ok(Plan::answer(u64::from(cdb.u32(6)), move |_| {
        let len = u32::try_from(luns.len() * 8).unwrap_or(u32::MAX);
        let mut bytes = len.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend(luns.iter().flat_map(|lun| lun.to_be_bytes()));
        Ok(bytes)
    }))
}
