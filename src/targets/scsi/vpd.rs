//! Vital product data: names, limits, what is provisioned, what can be copied.
//!
//! Source: SPC-4 7.8, SBC-4 6.6.

use super::identity::VENDOR;
use super::limits::{
    COMPARE_AND_WRITE_BLOCKS_MAX, TRANSFER_LEN_MAX, TRANSFER_LEN_OPTIMAL, UNMAP_BLOCKS_MAX,
    UNMAP_DESCRIPTORS_MAX, WRITE_SAME_LEN_MAX,
};
use super::path::Path;
use super::{copy_results, judge::Medium};

/// All pages, in ascending order.
pub(super) const PAGES: [u8; 8] = [0x00, 0x80, 0x83, 0x86, 0x8f, 0xb0, 0xb1, 0xb2];

/// One page, which is among them.
pub(super) fn page(page: u8, path: &Path) -> Vec<u8> {
    let body = match page {
        0x00 => PAGES.to_vec(),
        0x80 => path.unit.settings().identity.serial().into_bytes(),
        0x83 => identification(path),
        0x86 => extended(),
        0x8f => copy_results::third_party_page(),
        0xb0 => limits(path),
        0xb1 => characteristics(),
        _ => provisioning(),
    };
    let mut bytes = vec![0, page];
    bytes.extend_from_slice(&u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

const BINARY: u8 = 1;
const ASCII: u8 = 2;
const UTF8: u8 = 3;
/// iSCSI, and that it counts.
const PROTOCOL: u8 = 0x50;
const OF_PORT: u8 = 0x90;
const OF_DEVICE: u8 = 0xa0;

fn designator(bytes: &mut Vec<u8>, set: u8, kind: u8, name: &[u8]) {
    let set = if kind & 0x80 == 0 { set } else { PROTOCOL | set };
    bytes.extend_from_slice(&[set, kind, 0, u8::try_from(name.len()).unwrap_or(u8::MAX)]);
    bytes.extend_from_slice(name);
}

/// A SCSI name string: padded to a multiple of four with zeroes, at least one.
fn name_string(name: &str) -> Vec<u8> {
    let mut text = name.as_bytes().to_vec();
    text.resize((text.len() + 1).next_multiple_of(4), 0);
    text
}

/// What names the unit comes first, then what names the port and the target device.
fn identification(path: &Path) -> Vec<u8> {
    let identity = &path.unit.settings().identity;
    let (port, mut bytes) = (&path.ends.port, Vec::new());
    designator(&mut bytes, BINARY, 0x03, &identity.naa());
    let mut t10 = VENDOR.to_vec();
    t10.extend_from_slice(identity.serial().as_bytes());
    designator(&mut bytes, ASCII, 0x01, &t10);
    let numbered = |number: u16| u32::from(number).to_be_bytes();
    designator(&mut bytes, BINARY, OF_PORT | 0x04, &numbered(port.relative_id));
    designator(&mut bytes, BINARY, OF_PORT | 0x05, &numbered(port.group));
    designator(&mut bytes, UTF8, OF_PORT | 0x08, &name_string(&port.name));
    designator(&mut bytes, UTF8, OF_DEVICE | 0x08, &name_string(&path.ends.target));
    bytes
}

fn extended() -> Vec<u8> {
    let mut body = vec![0; 60];
    // All three task attributes.
    body[1] = 0x07;
    // A volatile cache, whose content a power loss takes.
    body[2] = 0x01;
    // Unit attentions are not cleared for other nexuses.
    body[3] = 0x01;
    body
}

fn blocks(len: u64, block_len: u64) -> u32 {
    u32::try_from(len / block_len).unwrap_or(u32::MAX)
}

/// The largest write that is whole or absent, in logical blocks; 0 where none is promised.
pub(super) fn atomic_blocks_max(medium: &Medium) -> u32 {
    blocks(u64::from(medium.geometry.atomic_write_len).min(TRANSFER_LEN_MAX), medium.block_len())
}

/// What the address and the length of such a write must be multiples of, in logical blocks: whole physical
/// blocks, where it may be that long.
pub(super) fn atomic_granularity(medium: &Medium) -> u32 {
    medium.blocks_per_physical().min(atomic_blocks_max(medium))
}

fn limits(path: &Path) -> Vec<u8> {
    let block_len = u64::from(path.unit.settings().logical_block_len);
    let medium = path.unit.medium();
    let granularity = medium.as_ref().map_or(1, |medium| medium.blocks_per_physical());
    let mut body = vec![0; 60];
    body[1] = COMPARE_AND_WRITE_BLOCKS_MAX;
    let mut put = |at: usize, value: u32| {
        body[at - 4..at].copy_from_slice(&value.to_be_bytes());
    };
    put(8, blocks(TRANSFER_LEN_MAX, block_len));
    put(12, blocks(TRANSFER_LEN_OPTIMAL, block_len));
    put(20, UNMAP_BLOCKS_MAX);
    put(24, u32::from(UNMAP_DESCRIPTORS_MAX));
    put(28, granularity);
    // UGAVALID: the alignment, 0, is valid.
    put(32, 1 << 31);
    // MAXIMUM WRITE SAME LENGTH, eight bytes.
    put(40, blocks(WRITE_SAME_LEN_MAX, block_len));
    put(44, medium.as_ref().map_or(0, atomic_blocks_max));
    // ATOMIC ALIGNMENT and ATOMIC TRANSFER LENGTH GRANULARITY.
    let atomic = medium.as_ref().map_or(0, atomic_granularity);
    put(48, atomic);
    put(52, atomic);
    let optimal = u16::try_from(granularity).unwrap_or(1);
    body[2..4].copy_from_slice(&optimal.to_be_bytes());
    body
}

fn characteristics() -> Vec<u8> {
    let mut body = vec![0; 60];
    // Nothing rotates; of no form.
    body[1] = 1;
    // Reading after SANITIZE, block erase or crypto erase, is done without an error.
    body[3] = 0x50;
    // FUAB 0, VBULS 1: what was not written may be verified.
    body[4] = 0x01;
    body
}

fn provisioning() -> Vec<u8> {
    // No threshold; UNMAP, WRITE SAME(16) and (10) with UNMAP, what is unmapped reads as zeroes, anchors;
    // thin.
    vec![0, 0xe6, 0x02, 0]
}
