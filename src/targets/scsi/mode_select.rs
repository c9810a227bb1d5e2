//! MODE SELECT, of 6 and 10 bytes: changes what can be changed, and refuses everything else.
//!
//! Source: SPC-4 6.11.

use super::attention::Attention;
use super::command::{Plan, Run};
use super::judge::Asked;
use super::limits::MODE_LIST_LEN_MAX;
use super::mode::{self, CONTROL, D_SENSE, SWP, Values};
use super::path::Path;
use super::sense::{Format, Sense};

/// MODE SELECT.
///
/// # Errors
/// INVALID FIELD IN CDB without PF, or to save.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let cdb = asked.cdb;
    if cdb.has(1, 0x01) {
        return Err(Sense::cdb_bit(1, 0));
    }
    let is_long = cdb.code() == 0x55;
    let len = if is_long { cdb.u16(7) } else { u16::from(cdb.byte(4)) };
    if len == 0 {
        return Ok(Plan::good());
    }
    if !cdb.has(1, 0x10) {
        return Err(Sense::cdb_bit(1, 4));
    }
    if len > MODE_LIST_LEN_MAX {
        return Err(Sense::list_len());
    }
    Ok(Plan::with_list(u64::from(len), move |run, list| {
        let pages = after_descriptors(&list, is_long, &run.path)?;
        let control = pages_of(&list, pages, &run.path)?;
        if let Some(control) = control {
            set(run, &control);
        }
        Ok(())
    }))
}

/// Where the pages start.
fn after_descriptors(list: &[u8], is_long: bool, path: &Path) -> Result<usize, Sense> {
    let head_len = if is_long { 8 } else { 4 };
    let head = list.get(..head_len).ok_or_else(Sense::list_len)?;
    let (len, has_long) = if is_long {
        (usize::from(u16::from_be_bytes([head[6], head[7]])), head[4] & 1 != 0)
    } else {
        (usize::from(head[3]), false)
    };
    let wanted = if has_long { 16 } else { 8 };
    let Some(blocks) = list.get(head_len..head_len + len) else { return Err(Sense::list_len()) };
    if len == 0 {
        return Ok(head_len);
    }
    if len != wanted {
        return Err(Sense::list_byte(head_len - 1));
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let (count, block_len, all) = if has_long {
        (number(&blocks[..8]), number(&blocks[12..]), u64::MAX)
    } else {
        (number(&blocks[..4]), number(&blocks[5..]), u64::from(u32::MAX))
    };
    // Neither the number of blocks nor their length can be changed.
    if block_len != u64::from(path.unit.settings().logical_block_len) {
        return Err(Sense::list_byte(head_len + len - 3));
    }
    if count != 0 && count != all && count != path.unit.capacity() {
        return Err(Sense::list_byte(head_len));
    }
    Ok(head_len + len)
}

/// Checks all pages from `at` on, and gives back the control page, if it is among them.
fn pages_of(list: &[u8], mut at: usize, path: &Path) -> Result<Option<Vec<u8>>, Sense> {
    let mut control = None;
    while at < list.len() {
        let code = list[at] & 0x3f;
        if list[at] & 0x40 != 0 || ![0x01, 0x08, CONTROL, 0x1a, 0x1c].contains(&code) {
            return Err(Sense::list_byte(at));
        }
        let now = mode::page(code, Values::Current, path);
        let changeable = mode::page(code, Values::Changeable, path);
        let new = list.get(at..at + now.len()).ok_or_else(Sense::list_len)?;
        if new[1] != now[1] {
            return Err(Sense::list_byte(at + 1));
        }
        for index in 2..now.len() {
            if (new[index] ^ now[index]) & !changeable[index] != 0 {
                return Err(Sense::list_byte(at + index));
            }
        }
        if code == CONTROL {
            control = Some(new.to_vec());
        }
        at += now.len();
    }
    Ok(control)
}

/// Sets what a control page says, and tells the others where that is something new.
fn set(run: &Run, control: &[u8]) {
    let unit = &run.path.unit;
    let before = (unit.sense_format(), unit.is_software_protected());
    let format = if control[2] & D_SENSE != 0 { Format::Descriptor } else { Format::Fixed };
    let is_protected = control[4] & SWP != 0;
    unit.set_sense_format(format);
    unit.set_software_protected(is_protected);
    if before != (format, is_protected) {
        unit.raise(Attention::ModeChanged, Some(&run.path));
    }
}

/// Reads any bytes as a parameter list.
pub(super) fn read_any(list: &[u8], is_long: bool, path: &Path) {
    if let Ok(at) = after_descriptors(list, is_long, path) {
        let _ = pages_of(list, at, path);
    }
}
