//! SCSI: logical units, commands, sense data, reservations, access states.
//!
//! What is here knows no sockets and no PDUs: a [`Nexus`] takes a CDB, judges it, and a [`Command`] that
//! was let in is started with its data and ends with a [`Response`].
//!
//! Source: SAM-5, SPC-4, SBC-4.

pub mod alua;
pub mod command;
pub mod identity;
pub mod nexus;
pub mod port;
pub mod response;
pub mod target;
pub mod unit;

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
