//! READ DEFECT DATA, of 10 and 12 bytes: there are none that anybody would have to know.
//!
//! Source: SBC-4 5.18, 5.19.

use super::command::Plan;
use super::judge::Asked;
use super::sense::Sense;

/// READ DEFECT DATA(10).
///
/// # Errors
/// None.
#[expect(clippy::unnecessary_wraps, reason = "one signature for all commands")]
pub(super) fn short(asked: &Asked) -> Result<Plan, Sense> {
    let lists = asked.cdb.byte(2);
    Ok(Plan::answer(u64::from(asked.cdb.u16(7)), move |_| Ok(vec![0, lists, 0, 0])))
}

/// READ DEFECT DATA(12).
///
/// # Errors
/// None.
#[expect(clippy::unnecessary_wraps, reason = "one signature for all commands")]
pub(super) fn long(asked: &Asked) -> Result<Plan, Sense> {
    let lists = asked.cdb.byte(1);
    Ok(Plan::answer(u64::from(asked.cdb.u32(6)), move |_| Ok(vec![0, lists, 0, 0, 0, 0, 0, 0])))
}
