//! The iSCSI door: login, sessions, and the way of commands to logical units and back.
//!
//! Cores are pure and take bytes or values: [`login`], [`intake`], [`burst`], [`window`], [`order`],
//! [`discovery`], [`sender`]. The shell around them: [`session`] serves one initiator, [`server`] all of
//! them. What a command means is known to [`crate::scsi`] alone. Source: RFC 7143.

pub mod agreement;
pub mod burst;
pub mod chap;
pub mod discovery;
pub mod gathered;
pub mod handshake;
pub mod intake;
pub mod keys;
pub mod limits;
pub mod login;
pub mod order;
pub mod outcome;
pub mod parameters;
pub mod pdu;
pub mod penalty;
pub mod portal;
pub mod register;
pub mod sender;
pub mod server;
pub mod service;
pub mod session;
pub mod status;
pub mod targets;
pub mod tasks;
pub mod text;
pub mod window;

pub use chap::{ChapBook, ChapDigest, Secret};
pub use portal::Portal;
pub use server::Server;
pub use status::{SessionStatus, Totals};
pub use targets::{Authentication, OpenTarget, TargetRefusal, TargetSummary, Targets};

#[cfg(test)]
mod doubles;
#[cfg(test)]
mod trials;
