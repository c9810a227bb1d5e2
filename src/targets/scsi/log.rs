//! LOG SENSE: which pages there are, and that nothing is wrong that could be told in advance.
//!
//! There is no page about provisioning, since a disk does not tell how much room there is for it.
//!
//! Source: SPC-4 6.8, 7.3.

use super::command::Plan;
use super::judge::Asked;
use super::sense::Sense;

/// LOG SENSE.
///
/// # Errors
/// INVALID FIELD IN CDB for a page or parameters that are not there.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let cdb = asked.cdb;
    let (code, subpage, first) = (cdb.byte(2) & 0x3f, cdb.byte(3), cdb.u16(5));
    let body: &[u8] = match (code, subpage) {
        (0x00, 0x00) => &[0x00, 0x2f],
        (0x00, 0xff) => &[0x00, 0x00, 0x00, 0xff, 0x2f, 0x00],
        // Of the current exception: none; the temperature is not known.
        (0x2f, 0x00) => &[0x00, 0x00, 0x03, 0x04, 0x00, 0x00, 0xff, 0x00],
        (0x00 | 0x2f, _) => return Err(Sense::cdb_byte(3)),
        _ => return Err(Sense::cdb_bit(2, 5)),
    };
    if first != 0 {
        return Err(Sense::cdb_byte(5));
    }
    let has_subpage = if subpage == 0 { 0 } else { 0x40 };
    let mut bytes = vec![code | has_subpage, subpage, 0, u8::try_from(body.len()).unwrap_or(0)];
    bytes.extend_from_slice(body);
    Ok(Plan::answer(u64::from(cdb.u16(7)), move |_| Ok(bytes)))
}
