//! INQUIRY: what a unit is. Vital product data is in `vpd`.
//!
//! Source: SPC-4 6.6.

use super::cdb::Cdb;
use super::command::Plan;
use super::identity::VENDOR;
use super::judge::Asked;
use super::path::Path;
use super::sense::Sense;
use super::vpd;

/// The operation code.
pub(super) const CODE: u8 = 0x12;

const LEN: usize = 96;
/// SPC-4.
const VERSION: u8 = 0x06;
/// Of this product.
const REVISION: &[u8; 4] = b"0001";
/// SAM-5, SPC-4, SBC-3, iSCSI; none of them of a certain revision.
const STANDARDS: [u16; 4] = [0x00a0, 0x0460, 0x04c0, 0x0960];
/// Not here, but could be.
const QUALIFIER_NOT_CONNECTED: u8 = 0x20;
/// Never here.
const QUALIFIER_NOT_SUPPORTED: u8 = 0x60;
const TYPE_WELL_KNOWN: u8 = 0x1e;
const TYPE_UNKNOWN: u8 = 0x1f;

/// INQUIRY.
///
/// # Errors
/// INVALID FIELD IN CDB for a page that is not there, or one without EVPD.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let (page, allowed) = (asked.cdb.byte(2), u64::from(asked.cdb.u16(3)));
    if asked.cdb.has(1, 1) {
        if !vpd::PAGES.contains(&page) {
            return Err(Sense::cdb_byte(2));
        }
        return Ok(Plan::answer(allowed, move |run| Ok(vpd::page(page, &run.path))));
    }
    if page != 0 {
        return Err(Sense::cdb_byte(2));
    }
    Ok(Plan::answer(allowed, |run| Ok(standard(&run.path))))
}

fn standard(path: &Path) -> Vec<u8> {
    let settings = path.unit.settings();
    let mut bytes = head(0);
    if settings.is_removable {
        bytes[1] = 0x80;
    }
    bytes[16..32].copy_from_slice(&settings.identity.product_field());
    bytes
}

fn head(kind: u8) -> Vec<u8> {
    let mut bytes = vec![0; LEN];
    bytes[0] = kind;
    bytes[2] = VERSION;
    // HISUP, and the response data format of SPC-2 and later.
    bytes[3] = 0x12;
    bytes[4] = u8::try_from(LEN - 5).unwrap_or(0);
    // Implicit asymmetric access, third-party copy.
    bytes[5] = 0x18;
    // Many ports.
    bytes[6] = 0x10;
    // Command queuing.
    bytes[7] = 0x02;
    bytes[8..16].copy_from_slice(VENDOR);
    bytes[16..32].fill(b' ');
    bytes[32..36].copy_from_slice(REVISION);
    for (at, standard) in (58..).step_by(2).zip(STANDARDS) {
        bytes[at..at + 2].copy_from_slice(&standard.to_be_bytes());
    }
    bytes
}

/// INQUIRY to a unit that is not there, or is well known.
///
/// # Errors
/// INVALID FIELD IN CDB for any page of vital product data.
pub(super) fn of_absent(cdb: &Cdb, is_first: bool, is_well_known: bool) -> Result<Plan, Sense> {
    if cdb.has(1, 1) || cdb.byte(2) != 0 {
        return Err(Sense::cdb_byte(if cdb.has(1, 1) { 1 } else { 2 }));
    }
    let kind = match (is_well_known, is_first) {
        (true, _) => TYPE_WELL_KNOWN,
        (false, true) => QUALIFIER_NOT_CONNECTED | TYPE_UNKNOWN,
        (false, false) => QUALIFIER_NOT_SUPPORTED | TYPE_UNKNOWN,
    };
    Ok(Plan::answer(u64::from(cdb.u16(3)), move |_| Ok(head(kind))))
}
