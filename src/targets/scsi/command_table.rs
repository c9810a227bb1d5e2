//! The commands that are known here: one row for each operation code and service action.
//!
//! Everything that is asked of a command before it is looked at more closely is told by its row: which
//! bits of the CDB may be set, what reservations and access states mean for it, whether it needs a medium.
//! REPORT SUPPORTED OPERATION CODES is answered from the same rows.
//!
//! Source: SPC-4 6, SBC-4 5; reservations: SPC-4 table 66, SBC-4 table 13; access states: SPC-4 5.15.2.4.

use super::cdb::Cdb;
use super::command::Plan;
use super::judge::Asked;
use super::sense::Sense;
use super::{
    alua, capacity, compare_write, copy, copy_results, defects, diagnostic, inquiry, log, media,
    mode, mode_select, opcodes, or_write, read_write, report_luns, request_sense, reserve,
    reserve_in, reserve_out, sanitize, status, unmap, verify, write_same,
};

/// What a command does, as far as reservations care.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// Nothing that a reservation is about.
    Free,
    /// It reads.
    Read,
    /// It changes something.
    Write,
    /// It prevents removal, or allows it again.
    Prevent,
    /// It starts, stops, loads or ejects.
    StartStop,
    /// It is about reservations, and decides for itself.
    Reservation,
}

/// Works without a medium, and with a unit that is not ready.
const NO_MEDIUM: u16 = 1;
/// Works while the unit is being sanitized.
const IN_SANITIZE: u16 = 2;
/// Is not stopped by a unit attention.
const NO_ATTENTION: u16 = 4;
/// Works in any access state.
const ANY_STATE: u16 = 8;
/// Works in standby.
const STANDBY: u16 = 16;
/// Changes the medium.
const CHANGES: u16 = 32;
/// Works though another nexus has reserved the unit by RESERVE(6).
const RESERVED: u16 = 64;
/// What may be asked of any unit at any time.
const ALWAYS: u16 = NO_MEDIUM | IN_SANITIZE | NO_ATTENTION | ANY_STATE | STANDBY | RESERVED;
/// What tells of the unit and not of its medium.
const ABOUT: u16 = NO_MEDIUM | IN_SANITIZE | STANDBY;

/// Judges a CDB more closely, and says what is to be done.
pub(super) type Begin = fn(&Asked) -> Result<Plan, Sense>;

/// One command.
pub(super) struct Entry {
    /// The operation code.
    pub code: u8,
    /// The service action, where the operation code has some.
    pub action: Option<u8>,
    /// The bits of each byte that may be set. Its length is the CDB's.
    pub usage: &'static [u8],
    /// What it does.
    pub access: Access,
    traits: u16,
    /// Seconds after which an initiator may give up.
    pub timeout_s: u32,
    /// What it does.
    pub begin: Begin,
}

impl Entry {
    pub const fn needs_medium(&self) -> bool {
        self.traits & NO_MEDIUM == 0
    }

    pub const fn is_allowed_in_sanitize(&self) -> bool {
        self.traits & IN_SANITIZE != 0
    }

    pub const fn is_stopped_by_attention(&self) -> bool {
        self.traits & NO_ATTENTION == 0
    }

    pub const fn is_always_accessible(&self) -> bool {
        self.traits & ANY_STATE != 0
    }

    pub const fn is_allowed_in_standby(&self) -> bool {
        self.traits & (STANDBY | ANY_STATE) != 0
    }

    pub const fn is_change(&self) -> bool {
        self.traits & CHANGES != 0
    }

    pub const fn is_allowed_when_reserved(&self) -> bool {
        self.traits & RESERVED != 0
    }

    /// That no bit is set which may not be.
    ///
    /// # Errors
    /// INVALID FIELD IN CDB, pointing to the highest wrong bit of the first wrong byte.
    pub fn check(&self, cdb: &Cdb) -> Result<(), Sense> {
        let wrong = self.usage.iter().zip(cdb.bytes()).skip(1).zip(1u8..);
        for ((mask, byte), at) in wrong {
            if byte & !mask != 0 {
                let bit = 7 - (byte & !mask).leading_zeros();
                return Err(Sense::cdb_bit(at, u8::try_from(bit).unwrap_or(7)));
            }
        }
        Ok(())
    }
}

/// All commands, in the order of their operation codes and service actions.
pub(super) fn all() -> &'static [Entry] {
    ENTRIES
}

/// The row for a CDB.
///
/// # Errors
/// INVALID COMMAND OPERATION CODE, or INVALID FIELD IN CDB for an unknown service action.
pub(super) fn find(cdb: &Cdb) -> Result<&'static Entry, Sense> {
    let first = FIRST[usize::from(cdb.code())];
    if first == NONE {
        return Err(Sense::unknown_command());
    }
    let mut of_code = ENTRIES[usize::from(first)..].iter().take_while(|e| e.code == cdb.code());
    let action = cdb.byte(1) & 0x1f;
    of_code
        .find(|entry| entry.action.is_none_or(|known| known == action))
        .ok_or(Sense::cdb_bit(1, 4))
}

const NONE: u8 = u8::MAX;
static FIRST: [u8; 256] = first_rows();

const fn first_rows() -> [u8; 256] {
    let mut first = [NONE; 256];
    let mut row = ENTRIES.len();
    while row > 0 {
        row -= 1;
        assert!(row < NONE as usize);
        #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
        let short = row as u8;
        first[ENTRIES[row].code as usize] = short;
    }
    first
}

const fn row(usage: &'static [u8], access: Access, traits: u16, begin: Begin) -> Entry {
    Entry { code: usage[0], action: None, usage, access, traits, timeout_s: 60, begin }
}

const fn act(action: u8, usage: &'static [u8], access: Access, traits: u16, begin: Begin) -> Entry {
    Entry { code: usage[0], action: Some(action), usage, access, traits, timeout_s: 60, begin }
}

const fn slow(entry: Entry) -> Entry {
    Entry { timeout_s: 86_400, ..entry }
}

const F: u8 = 0xff;

/// Group number, which is accepted and ignored.
const G: u8 = 0x1f;
const SANITIZE: &[u8] = &[0x48, 0xbf, 0, 0, 0, 0, 0, F, F, 0];

use Access::{Free, Prevent, Read, Reservation, StartStop, Write};

#[rustfmt::skip]
const ENTRIES: &[Entry] = &[
    row(&[0x00, 0, 0, 0, 0, 0], Free, 0, media::test_unit_ready),
    row(&[0x03, 0x01, 0, 0, F, 0], Free, ALWAYS, request_sense::begin),
    row(&[0x08, 0x1f, F, F, F, 0], Read, 0, read_write::read),
    row(&[0x0a, 0x1f, F, F, F, 0], Write, CHANGES, read_write::write),
    row(&[0x12, 0x01, F, F, F, 0], Free, ALWAYS, inquiry::begin),
    row(&[0x15, 0x11, 0, 0, F, 0], Write, NO_MEDIUM | STANDBY, mode_select::begin),
    row(&[0x16, 0, 0, 0, 0, 0], Reservation, NO_MEDIUM, reserve::reserve),
    row(&[0x17, 0, 0, 0, 0, 0], Reservation, NO_MEDIUM | RESERVED, reserve::release),
    row(&[0x1a, 0x08, F, F, F, 0], Read, ABOUT, mode::begin),
    row(&[0x1b, 0x01, 0, 0x0f, 0xf7, 0], StartStop, NO_MEDIUM, media::start_stop),
    row(&[0x1d, 0x04, 0, 0, 0, 0], Write, STANDBY, diagnostic::begin),
    row(&[0x1e, 0, 0, 0, 0x03, 0], Prevent, NO_MEDIUM, media::prevent),
    row(&[0x25, 0, F, F, F, F, 0, 0, 0x01, 0], Free, RESERVED, capacity::short),
    row(&[0x28, 0x1a, F, F, F, F, G, F, F, 0], Read, 0, read_write::read),
    row(&[0x2a, 0x1a, F, F, F, F, G, F, F, 0], Write, CHANGES, read_write::write),
    row(&[0x2e, 0x16, F, F, F, F, G, F, F, 0], Write, CHANGES, verify::write_and_verify),
    row(&[0x2f, 0x16, F, F, F, F, G, F, F, 0], Read, 0, verify::verify),
    row(&[0x34, 0x02, F, F, F, F, G, F, F, 0], Read, 0, read_write::prefetch),
    row(&[0x35, 0x06, F, F, F, F, G, F, F, 0], Write, 0, read_write::synchronize),
    row(&[0x37, 0, 0x1f, 0, 0, 0, 0, F, F, 0], Read, 0, defects::short),
    row(&[0x41, 0x18, F, F, F, F, G, F, F, 0], Write, CHANGES, write_same::begin),
    row(&[0x42, 0x01, 0, 0, 0, 0, G, F, F, 0], Write, CHANGES, unmap::begin),
    slow(act(0x01, SANITIZE, Write, CHANGES, sanitize::begin)),
    slow(act(0x02, SANITIZE, Write, CHANGES, sanitize::begin)),
    slow(act(0x03, SANITIZE, Write, CHANGES, sanitize::begin)),
    slow(act(0x1f, SANITIZE, Write, CHANGES, sanitize::begin)),
    row(&[0x4d, 0, F, F, 0, F, F, F, F, 0], Free, ABOUT | RESERVED, log::begin),
    row(&[0x55, 0x11, 0, 0, 0, 0, 0, F, F, 0], Write, NO_MEDIUM | STANDBY, mode_select::begin),
    row(&[0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0], Reservation, NO_MEDIUM, reserve::reserve),
    row(&[0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0], Reservation, NO_MEDIUM | RESERVED, reserve::release),
    row(&[0x5a, 0x18, F, F, 0, 0, 0, F, F, 0], Read, ABOUT, mode::begin),
    act(0x00, &[0x5e, 0x1f, 0, 0, 0, 0, 0, F, F, 0], Free, ABOUT, reserve_in::begin),
    act(0x01, &[0x5e, 0x1f, 0, 0, 0, 0, 0, F, F, 0], Free, ABOUT, reserve_in::begin),
    act(0x02, &[0x5e, 0x1f, 0, 0, 0, 0, 0, F, F, 0], Free, ABOUT, reserve_in::begin),
    act(0x03, &[0x5e, 0x1f, 0, 0, 0, 0, 0, F, F, 0], Free, ABOUT, reserve_in::begin),
    act(0x00, &[0x5f, 0x1f, F, 0, 0, F, F, F, F, 0], Reservation, ABOUT, reserve_out::begin),
    act(0x01, &[0x5f, 0x1f, F, 0, 0, F, F, F, F, 0], Reservation, ABOUT, reserve_out::begin),
    act(0x02, &[0x5f, 0x1f, F, 0, 0, F, F, F, F, 0], Reservation, ABOUT, reserve_out::begin),
    act(0x03, &[0x5f, 0x1f, F, 0, 0, F, F, F, F, 0], Reservation, ABOUT, reserve_out::begin),
    act(0x04, &[0x5f, 0x1f, F, 0, 0, F, F, F, F, 0], Reservation, ABOUT, reserve_out::begin),
    act(0x05, &[0x5f, 0x1f, F, 0, 0, F, F, F, F, 0], Reservation, ABOUT, reserve_out::begin),
    act(0x06, &[0x5f, 0x1f, F, 0, 0, F, F, F, F, 0], Reservation, ABOUT, reserve_out::begin),
    act(0x07, &[0x5f, 0x1f, F, 0, 0, F, F, F, F, 0], Reservation, ABOUT, reserve_out::begin),
    slow(act(0x00, &[0x83, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, F, F, F, F, 0, 0], Write, 0, copy::begin)),
    act(0x00, &[0x84, 0x1f, F, 0, 0, 0, 0, 0, 0, 0, F, F, F, F, 0, 0], Read, 0, copy_results::begin),
    act(0x03, &[0x84, 0x1f, F, 0, 0, 0, 0, 0, 0, 0, F, F, F, F, 0, 0], Read, NO_MEDIUM, copy_results::begin),
    act(0x04, &[0x84, 0x1f, F, 0, 0, 0, 0, 0, 0, 0, F, F, F, F, 0, 0], Read, 0, copy_results::begin),
    row(&[0x88, 0x1a, F, F, F, F, F, F, F, F, F, F, F, F, G, 0], Read, 0, read_write::read),
    row(&[0x89, 0x1a, F, F, F, F, F, F, F, F, 0, 0, 0, F, G, 0], Write, CHANGES, compare_write::begin),
    row(&[0x8a, 0x1a, F, F, F, F, F, F, F, F, F, F, F, F, G, 0], Write, CHANGES, read_write::write),
    row(&[0x8b, 0x1a, F, F, F, F, F, F, F, F, F, F, F, F, G, 0], Write, CHANGES, or_write::begin),
    row(&[0x8e, 0x16, F, F, F, F, F, F, F, F, F, F, F, F, G, 0], Write, CHANGES, verify::write_and_verify),
    row(&[0x8f, 0x16, F, F, F, F, F, F, F, F, F, F, F, F, G, 0], Read, 0, verify::verify),
    row(&[0x90, 0x02, F, F, F, F, F, F, F, F, F, F, F, F, G, 0], Read, 0, read_write::prefetch),
    row(&[0x91, 0x06, F, F, F, F, F, F, F, F, F, F, F, F, G, 0], Write, 0, read_write::synchronize),
    row(&[0x93, 0x19, F, F, F, F, F, F, F, F, F, F, F, F, G, 0], Write, CHANGES, write_same::begin),
    row(&[0x9c, 0x18, F, F, F, F, F, F, F, F, 0, 0, F, F, G, 0], Write, CHANGES, read_write::write_atomic),
    act(0x10, &[0x9e, 0x1f, F, F, F, F, F, F, F, F, F, F, F, F, 0x01, 0], Free, RESERVED, capacity::long),
    act(0x12, &[0x9e, 0x1f, F, F, F, F, F, F, F, F, F, F, F, F, 0, 0], Read, 0, status::begin),
    row(&[0xa0, 0, F, 0, 0, 0, F, F, F, F, 0, 0], Free, ALWAYS, report_luns::begin),
    act(0x0a, &[0xa3, 0xff, 0, 0, 0, 0, F, F, F, F, 0, 0], Free, ALWAYS & !NO_ATTENTION, alua::report),
    act(0x0c, &[0xa3, 0x1f, 0x87, F, F, F, F, F, F, F, 0, 0], Read, ABOUT, opcodes::commands),
    act(0x0d, &[0xa3, 0x1f, 0x80, 0, 0, 0, F, F, F, F, 0, 0], Read, ABOUT, opcodes::task_management),
    row(&[0xa8, 0x1a, F, F, F, F, F, F, F, F, G, 0], Read, 0, read_write::read),
    row(&[0xaa, 0x1a, F, F, F, F, F, F, F, F, G, 0], Write, CHANGES, read_write::write),
    row(&[0xae, 0x16, F, F, F, F, F, F, F, F, G, 0], Write, CHANGES, verify::write_and_verify),
    row(&[0xaf, 0x16, F, F, F, F, F, F, F, F, G, 0], Read, 0, verify::verify),
    row(&[0xb7, 0x1f, F, F, F, F, F, F, F, F, 0, 0], Read, 0, defects::long),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_of_a_known_length() {
        for pair in ENTRIES.windows(2) {
            assert!((pair[0].code, pair[0].action) < (pair[1].code, pair[1].action));
        }
        for entry in ENTRIES {
            let len = match entry.code >> 5 {
                0 => 6,
                1 | 2 => 10,
                5 => 12,
                _ => 16,
            };
            assert_eq!(entry.usage.len(), len, "{:#04x}", entry.code);
        }
    }

    #[test]
    fn each_row_is_found_by_its_cdb() {
        for entry in ENTRIES {
            let cdb = Cdb::new(&[entry.code, entry.action.unwrap_or(0)]);
            let found = find(&cdb).ok().unwrap();
            assert_eq!((found.code, found.action), (entry.code, entry.action));
        }
        assert_eq!(find(&Cdb::new(&[0xa4, 0x0a])).err(), Some(Sense::unknown_command()));
        assert_eq!(find(&Cdb::new(&[0x9e, 0x11])).err(), Some(Sense::cdb_bit(1, 4)));
    }

    #[test]
    fn a_bit_that_may_not_be_set_is_pointed_to() {
        let cdb = Cdb::new(&[0x28, 0x20]);
        assert_eq!(find(&cdb).ok().unwrap().check(&cdb), Err(Sense::cdb_bit(1, 5)));
        let cdb = Cdb::new(&[0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0x04]);
        assert_eq!(find(&cdb).ok().unwrap().check(&cdb), Err(Sense::cdb_bit(9, 2)));
    }
}
