//! TEST UNIT READY, START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL.
//!
//! A unit that was stopped is as ready as before: there is nothing that would have to spin up. Only an
//! ejected medium is gone until it is loaded again.
//!
//! Source: SBC-4 5.25, SPC-4 6.48, SBC-4 5.13.

use super::attention::Attention;
use super::command::{Plan, Run};
use super::failure;
use super::judge::Asked;
use super::sense::{Key, Sense};

/// TEST UNIT READY.
///
/// # Errors
/// None: what it asks was asked before, unless it waits for the end of a sanitize.
#[expect(clippy::unnecessary_wraps, reason = "one signature for all commands")]
pub(super) fn test_unit_ready(asked: &Asked) -> Result<Plan, Sense> {
    if asked.path.unit.sanitizing.is_running() {
        return Ok(Plan::detached(0, |run: Run| async move {
            tokio::select! {
                ended = run.path.unit.sanitizing.end_of_poll() => ended,
                () = run.abort.aborted() => Ok(()),
            }
        }));
    }
    Ok(Plan::good())
}

/// START STOP UNIT.
///
/// # Errors
/// INVALID FIELD IN CDB for a power condition that is not there, or to load what cannot be taken out.
pub(super) fn start_stop(asked: &Asked) -> Result<Plan, Sense> {
    let (condition, how) = (asked.cdb.byte(4) >> 4, asked.cdb.byte(4));
    let (starts, loads, flushes) = (how & 1 != 0, how & 2 != 0, how & 4 == 0);
    let flushed = asked.medium().ok().filter(|_| flushes && !starts).map(|m| m.disk.clone());
    if condition != 0 {
        // All power conditions are one: nothing here uses more or less power.
        return Ok(Plan::good());
    }
    if loads && !asked.path.unit.settings().is_removable {
        return Err(Sense::cdb_bit(4, 1));
    }
    Ok(Plan::later(0, move |run: Run| async move {
        if let Some(disk) = flushed {
            let done = disk.flush().await;
            done.map_err(|error| failure::sense(&error, &run.path.unit))?;
        }
        if loads { load(&run, starts) } else { Ok(()) }
    }))
}

/// Loads or ejects the medium.
fn load(run: &Run, loads: bool) -> Result<(), Sense> {
    let unit = &run.path.unit;
    let is_new = unit.with_loading(|loading| {
        if !loading.preventing.is_empty() {
            // MEDIUM REMOVAL PREVENTED
            return Err(Sense::new(Key::IllegalRequest, 0x53, 0x02));
        }
        let is_new = loading.is_ejected && loads;
        loading.is_ejected = !loads;
        Ok(is_new)
    })?;
    if is_new {
        unit.raise(Attention::MediumChanged, Some(&run.path));
    }
    Ok(())
}

/// PREVENT ALLOW MEDIUM REMOVAL.
///
/// # Errors
/// INVALID FIELD IN CDB for the values that are of no use any more.
pub(super) fn prevent(asked: &Asked) -> Result<Plan, Sense> {
    let prevents = match asked.cdb.byte(4) & 0x03 {
        0 => false,
        1 => true,
        _ => return Err(Sense::cdb_bit(4, 1)),
    };
    Ok(Plan::now(move |run| {
        let nexus = run.path.ends.id;
        run.path.unit.with_loading(|loading| {
            loading.preventing.retain(|other| *other != nexus);
            if prevents {
                loading.preventing.push(nexus);
            }
        });
        Ok(())
    }))
}
