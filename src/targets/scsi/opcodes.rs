//! REPORT SUPPORTED OPERATION CODES and REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.
//!
//! Source: SPC-4 6.34, 6.35.

use super::command::Plan;
use super::command_table::{self, Entry};
use super::judge::Asked;
use super::sense::Sense;

const WITH_TIMEOUTS: u8 = 0x80;
const NOT_SUPPORTED: u8 = 0x01;
const SUPPORTED: u8 = 0x03;

/// REPORT SUPPORTED OPERATION CODES.
///
/// # Errors
/// INVALID FIELD IN CDB where service actions are asked for that an operation code does not have, or not
/// asked for where it has some.
pub(super) fn commands(asked: &Asked) -> Result<Plan, Sense> {
    let cdb = asked.cdb;
    let has_timeouts = cdb.has(2, WITH_TIMEOUTS);
    let (code, action) = (cdb.byte(3), cdb.u16(4));
    let known = || command_table::all().iter().filter(|entry| entry.code == code);
    let has_actions = known().any(|entry| entry.action.is_some());
    let with_action = || known().find(|entry| entry.action.map(u16::from) == Some(action));
    let bytes = match cdb.byte(2) & 0x07 {
        0 => list(has_timeouts),
        1 if has_actions => return Err(Sense::cdb_bit(2, 2)),
        1 => one(known().next(), has_timeouts),
        2 if known().next().is_some() && !has_actions => return Err(Sense::cdb_bit(2, 2)),
        2 => one(with_action(), has_timeouts),
        3 if has_actions => one(with_action(), has_timeouts),
        3 => one(known().next().filter(|_| action == 0), has_timeouts),
        _ => return Err(Sense::cdb_bit(2, 2)),
    };
    Ok(Plan::answer(u64::from(cdb.u32(6)), move |_| Ok(bytes)))
}

fn timeouts(bytes: &mut Vec<u8>, entry: &Entry) {
    bytes.extend_from_slice(&[0, 0x0a, 0, 0]);
    bytes.extend_from_slice(&1u32.to_be_bytes());
    bytes.extend_from_slice(&entry.timeout_s.to_be_bytes());
}

fn list(has_timeouts: bool) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    for entry in command_table::all() {
        let action = u16::from(entry.action.unwrap_or(0)).to_be_bytes();
        let flags = u8::from(entry.action.is_some()) | if has_timeouts { 0x02 } else { 0 };
        bytes.extend_from_slice(&[entry.code, 0, action[0], action[1], 0, flags]);
        let len = u16::try_from(entry.usage.len()).unwrap_or(0);
        bytes.extend_from_slice(&len.to_be_bytes());
        if has_timeouts {
            timeouts(&mut bytes, entry);
        }
    }
    let len = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    bytes
}

fn one(entry: Option<&Entry>, has_timeouts: bool) -> Vec<u8> {
    let Some(entry) = entry else { return vec![0, NOT_SUPPORTED, 0, 0] };
    let second = SUPPORTED | if has_timeouts { 0x80 } else { 0 };
    let len = u16::try_from(entry.usage.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = vec![0, second, len[0], len[1]];
    bytes.extend_from_slice(entry.usage);
    if let Some(action) = entry.action {
        bytes[5] = bytes[5] & !0x1f | action;
    }
    if has_timeouts {
        timeouts(&mut bytes, entry);
    }
    bytes
}

/// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.
///
/// # Errors
/// None.
#[expect(clippy::unnecessary_wraps, reason = "one signature for all commands")]
pub(super) fn task_management(asked: &Asked) -> Result<Plan, Sense> {
    let is_extended = asked.cdb.has(2, 0x80);
    Ok(Plan::answer(u64::from(asked.cdb.u32(6)), move |_| {
        // ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, TARGET RESET.
        let mut bytes = vec![0b1101_1010, 0, 0, 0];
        if is_extended {
            bytes[3] = 0x0c;
            bytes.resize(16, 0);
        }
        Ok(bytes)
    }))
}
