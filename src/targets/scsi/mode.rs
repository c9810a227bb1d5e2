//! MODE SENSE, of 6 and 10 bytes, and the mode pages.
//!
//! What an initiator may change is D_SENSE and SWP of the control page; `mode_select` does it.
//!
//! Source: SPC-4 6.13, 7.5; SBC-4 6.5.

use super::cdb::Cdb;
use super::command::Plan;
use super::judge::{Asked, writable};
use super::path::Path;
use super::sense::{Format, Key, Sense};

/// The pages, in ascending order.
const CODES: [u8; 5] = [0x01, 0x08, 0x0a, 0x1a, 0x1c];
const ALL_PAGES: u8 = 0x3f;
const ALL_SUBPAGES: u8 = 0xff;
/// DPO and FUA are understood.
const DPOFUA: u8 = 0x10;
const WRITE_PROTECTED: u8 = 0x80;
/// In byte 2 of the control page.
pub(super) const D_SENSE: u8 = 0x04;
/// In byte 4 of the control page.
pub(super) const SWP: u8 = 0x08;
/// The control page.
pub(super) const CONTROL: u8 = 0x0a;

/// Which values of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Values {
    Current,
    Changeable,
    Default,
}

/// A page as it is, or the bits of it that can be changed.
pub(super) fn page(code: u8, values: Values, path: &Path) -> Vec<u8> {
    let len = match code {
        0x01 | 0x0a | 0x1c => 10,
        0x08 => 18,
        _ => 38,
    };
    let mut page = vec![0; usize::from(len) + 2];
    (page[0], page[1]) = (code, len);
    match (code, values) {
        (CONTROL, Values::Changeable) => (page[2], page[4]) = (D_SENSE, SWP),
        (_, Values::Changeable) => {}
        // Damaged blocks are put elsewhere by whatever is behind the disk.
        (0x01, _) => page[2] = 0xc0,
        // The cache is volatile, until it is synchronized.
        (0x08, _) => page[2] = 0x04,
        (CONTROL, _) => {
            // No log parameters are saved; commands may be reordered as one likes.
            (page[2], page[3]) = (0x02, 0x10);
            if values == Values::Current {
                page[2] |= if path.format() == Format::Descriptor { D_SENSE } else { 0 };
                page[4] |= if path.unit.is_software_protected() { SWP } else { 0 };
            }
        }
        _ => {}
    }
    page
}

/// MODE SENSE.
///
/// # Errors
/// INVALID FIELD IN CDB for a page that is not there, SAVING PARAMETERS NOT SUPPORTED for saved values.
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let cdb = asked.cdb;
    let values = match cdb.byte(2) >> 6 {
        0 => Values::Current,
        1 => Values::Changeable,
        2 => Values::Default,
        _ => return Err(Sense::new(Key::IllegalRequest, 0x39, 0)),
    };
    let (code, subpage) = (cdb.byte(2) & 0x3f, cdb.byte(3));
    if subpage != 0 && subpage != ALL_SUBPAGES {
        return Err(Sense::cdb_byte(3));
    }
    if code != ALL_PAGES && !CODES.contains(&code) {
        return Err(Sense::cdb_bit(2, 5));
    }
    let path = asked.path;
    let blocks = if cdb.has(1, 0x08) { Vec::new() } else { block_descriptor(asked, cdb) };
    let is_long = cdb.code() == 0x5a;
    let allowed = if is_long { u64::from(cdb.u16(7)) } else { u64::from(cdb.byte(4)) };
    let is_protected = writable(path, asked.medium().ok()).is_err();
    Ok(Plan::answer(allowed, move |run| {
        let pages: Vec<u8> = CODES
            .iter()
            .filter(|known| code == ALL_PAGES || code == **known)
            .flat_map(|code| page(*code, values, &run.path))
            .collect();
        let specific = DPOFUA | if is_protected { WRITE_PROTECTED } else { 0 };
        let mut bytes = head(is_long, specific, &blocks, pages.len());
        bytes.extend_from_slice(&blocks);
        bytes.extend_from_slice(&pages);
        Ok(bytes)
    }))
}

fn head(is_long: bool, specific: u8, blocks: &[u8], pages_len: usize) -> Vec<u8> {
    let blocks_len = u8::try_from(blocks.len()).unwrap_or(0);
    let rest = blocks.len() + pages_len;
    if !is_long {
        let len = u8::try_from(rest + 3).unwrap_or(u8::MAX);
        return vec![len, 0, specific, blocks_len];
    }
    let [high, low] = u16::try_from(rest + 6).unwrap_or(u16::MAX).to_be_bytes();
    vec![high, low, 0, specific, u8::from(blocks_len == 16), 0, 0, blocks_len]
}

/// The block descriptor: short, or long where MODE SENSE(10) allows it with LLBAA.
fn block_descriptor(asked: &Asked, cdb: &Cdb) -> Vec<u8> {
    let count = asked.medium().map_or(0, super::judge::Medium::capacity);
    let len = asked.path.unit.settings().logical_block_len.to_be_bytes();
    if cdb.code() == 0x5a && cdb.has(1, 0x10) {
        let mut bytes = count.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&len);
        return bytes;
    }
    let mut bytes = u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0, len[1], len[2], len[3]]);
    bytes
}
