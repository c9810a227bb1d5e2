//! RESERVE and RELEASE, of 6 and 10 bytes: one nexus has the unit, until it or a reset lets it go.
//!
//! Where somebody is registered for persistent reservations, these commands are not for use.
//!
//! Source: SPC-2 7.21, 7.22; SPC-4 5.9.3 (CRH is 0 here).

use super::command::Work;
use super::command::{Other, Plan};
use super::judge::Asked;
use super::response::{Response, Status};
use super::sense::Sense;
use super::unit::{Reservations, Reserved};

/// RESERVE.
///
/// # Errors
/// None.
#[expect(clippy::unnecessary_wraps, reason = "one signature for all commands")]
pub(super) fn reserve(asked: &Asked) -> Result<Plan, Sense> {
    let reserved =
        Reserved { nexus: asked.path.ends.id, name: asked.path.ends.initiator.port_name() };
    Ok(change(move |all| {
        if all.reserved.as_ref().is_some_and(|other| other.nexus != reserved.nexus) {
            return false;
        }
        all.reserved = Some(reserved);
        true
    }))
}

/// RELEASE.
///
/// # Errors
/// None.
#[expect(clippy::unnecessary_wraps, reason = "one signature for all commands")]
pub(super) fn release(asked: &Asked) -> Result<Plan, Sense> {
    let nexus = asked.path.ends.id;
    Ok(change(move |all| {
        if all.reserved.as_ref().is_some_and(|reserved| reserved.nexus == nexus) {
            all.reserved = None;
        }
        true
    }))
}

fn change(change: impl FnOnce(&mut Reservations) -> bool + Send + 'static) -> Plan {
    let run = Box::new(move |run: super::command::Run| {
        let is_done = run
            .path
            .unit
            .change_reservations(|all| all.registry.registrations().is_empty() && change(all));
        Work::Ended(if is_done {
            Response::good()
        } else {
            Response::of(Status::ReservationConflict)
        })
    });
    Plan::Other(Other { data_out: 0, data_in: 0, run })
}
