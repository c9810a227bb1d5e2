//! REQUEST SENSE: what is to be told of a unit, as data.
//!
//! Source: SPC-4 6.39.

use super::cdb::Cdb;
use super::command::Plan;
use super::judge::Asked;
use super::sense::{Format, Key, Sense};

/// The operation code.
pub(super) const CODE: u8 = 0x03;

fn format(cdb: &Cdb) -> Format {
    if cdb.has(1, 1) { Format::Descriptor } else { Format::Fixed }
}

/// REQUEST SENSE.
///
/// # Errors
/// None.
#[expect(clippy::unnecessary_wraps, reason = "one signature for all commands")]
pub(super) fn begin(asked: &Asked) -> Result<Plan, Sense> {
    let format = format(asked.cdb);
    Ok(Plan::answer(u64::from(asked.cdb.byte(4)), move |run| {
        let sense = match run.path.take_attention() {
            Some(attention) => attention.sense(),
            None => run.path.unit.sanitizing.sense().unwrap_or(Sense::new(Key::NoSense, 0, 0)),
        };
        Ok(sense.encode(format))
    }))
}

/// REQUEST SENSE to a unit that is not there.
pub(super) fn of_absent(cdb: &Cdb) -> Plan {
    let format = format(cdb);
    Plan::answer(u64::from(cdb.byte(4)), move |_| Ok(Sense::no_such_unit().encode(format)))
}
