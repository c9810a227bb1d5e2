//! Reads any bytes as each of the parameter lists, and as kept reservations: an entry point for fuzzers.

use std::sync::Arc;

use super::nexus::Nexus;
use super::{copy_list, kept, lun, mode_select, reserve_out, sanitize, unmap};

/// Reads `bytes`, whose first one chooses what as, in the name of a nexus that sees LUN 0.
///
/// # Panics
/// Where something that was read is not what it was written from.
pub(crate) fn read_any(nexus: &Arc<Nexus>, bytes: &[u8]) {
    let [what, list @ ..] = bytes else { return };
    match what % 7 {
        0 => drop(unmap::decode(list)),
        1 => drop(copy_list::decode(list)),
        2 => drop(sanitize::decode(list, 512)),
        3 => reserve_out::read_any(list),
        4 => {
            if let Ok(registry) = kept::decode(list) {
                assert_eq!(kept::decode(&kept::encode(&registry)), Ok(registry));
            }
        }
        form => {
            for path in nexus.paths() {
                mode_select::read_any(list, form == 5, &path);
            }
        }
    }
    if let [a, b, ..] = list
        && let Some(number) = lun::decode(u64::from(*a) << 56 | u64::from(*b) << 48)
    {
        assert_eq!(lun::decode(lun::encode(number)), Some(number));
    }
}
