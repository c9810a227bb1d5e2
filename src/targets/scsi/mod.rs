//! SCSI: logical units, commands, sense data, reservations, access states.
//!
//! What is here knows no sockets and no PDUs: a [`Nexus`] takes a CDB, judges it, and a [`Command`] that
//! was let in is started with its data and ends with a [`Response`].
//!
//! `command_table` has a row for each command; `judge` asks everything that can be asked before data is
//! here; then each command has a room of its own. A [`LogicalUnit`] has what all share, a path (an I_T_L
//! nexus) what one nexus has for itself.
//!
//! Source: SAM-5, SPC-4, SBC-4.

pub mod alua;
pub mod command;
pub mod identity;
pub mod limits;
pub mod nexus;
pub mod port;
pub mod response;
pub mod target;
pub mod unit;

mod absent;
mod attention;
mod capacity;
mod cdb;
mod command_table;
mod compare_write;
mod copy;
mod copy_list;
mod copy_results;
mod defects;
mod diagnostic;
mod failure;
mod inquiry;
mod judge;
mod kept;
mod log;
mod lun;
mod media;
mod mode;
mod mode_select;
mod opcodes;
mod or_write;
pub(crate) mod parameters;
mod path;
mod ranges;
mod read_write;
mod registrations;
mod report_luns;
mod request_sense;
mod reservation_status;
mod reserve;
mod reserve_in;
mod reserve_out;
mod rights;
mod sanitize;
mod sense;
mod status;
mod unmap;
mod verify;
mod vpd;
mod write_same;

pub use alua::{AccessState, PortGroups};
pub use command::{Abort, Begun, Buffers, Command, DataOut, Finish, Work};
pub use identity::Identity;
pub use nexus::{Managed, ManagementOutcome, Nexus, TaskAttribute, TaskManagement};
pub use port::{InitiatorPort, TargetPort};
pub use response::{DataIn, Response, Status};
pub use target::{Audience, Mapping, Target};
pub use unit::{
    Keeper, Kept, LogicalUnit, NoKeeper, RegistrationStatus, ReservationStatus, UnitSettings,
};

#[cfg(test)]
mod trials;
