//! What the reservations of a unit let a nexus do, worked out once for each change of them.
//!
//! Source: SPC-4 5.9.1, tables 65 and 66; SPC-2 5.5.1 for RESERVE(6).

use std::sync::atomic::Ordering;

use super::command_table::{Access, Entry};
use super::path::Path;
use super::registrations::{Kind, Registrant};
use super::unit::Reservations;

const MAY_READ: u64 = 1;
const MAY_WRITE: u64 = 2;
/// Another nexus has reserved the unit by RESERVE(6).
const IS_LOCKED_OUT: u64 = 4;
const BITS: u32 = 3;

/// Whether the reservations let a command with this row, which does this, through.
pub(super) fn allow(path: &Path, entry: &Entry, access: Access) -> bool {
    let rights = of(path);
    if rights & IS_LOCKED_OUT != 0 && access != Access::Free {
        return entry.is_allowed_when_reserved();
    }
    if rights & IS_LOCKED_OUT != 0 {
        let is_allowing = entry.access == Access::Prevent;
        return entry.is_allowed_when_reserved() || is_allowing;
    }
    match access {
        Access::Read => rights & MAY_READ != 0,
        Access::Write | Access::Prevent | Access::StartStop => rights & MAY_WRITE != 0,
        Access::Free | Access::Reservation => true,
    }
}

/// Whether they let a copy read or write.
pub(super) fn allow_copy(path: &Path, access: Access) -> bool {
    let rights = of(path);
    match access {
        Access::Read => rights & MAY_READ != 0,
        _ => rights & MAY_WRITE != 0,
    }
}

fn of(path: &Path) -> u64 {
    let version = path.unit.reservations_version();
    let known = path.rights.load(Ordering::Acquire);
    if known >> BITS == version {
        return known;
    }
    let rights = path.unit.see_reservations(|all| work_out(all, path));
    path.rights.store(version << BITS | rights, Ordering::Release);
    rights
}

fn work_out(all: &Reservations, path: &Path) -> u64 {
    if let Some(reserved) = &all.reserved {
        let is_own = reserved.nexus == path.ends.id;
        return if is_own { MAY_READ | MAY_WRITE } else { IS_LOCKED_OUT };
    }
    let Some(holding) = all.registry.holding() else { return MAY_READ | MAY_WRITE };
    let who = Registrant::of(&path.ends);
    let is_registered = all.registry.is_registered(&who);
    let has_all = match holding.kind {
        Kind::WriteExclusive | Kind::ExclusiveAccess => holding.holder.as_ref() == Some(&who),
        Kind::WriteExclusiveRegistrants
        | Kind::ExclusiveAccessRegistrants
        | Kind::WriteExclusiveAll
        | Kind::ExclusiveAccessAll => is_registered,
    };
    match holding.kind {
        _ if has_all => MAY_READ | MAY_WRITE,
        Kind::WriteExclusive | Kind::WriteExclusiveRegistrants | Kind::WriteExclusiveAll => {
            MAY_READ
        }
        _ => 0,
    }
}
