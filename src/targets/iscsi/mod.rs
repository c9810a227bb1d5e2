//! The iSCSI door: login, sessions, and the way of commands to logical units and back.
//!
//! Cores are pure and take bytes or values. Source: RFC 7143.

pub mod chap;
pub mod keys;
pub mod limits;
pub mod order;
pub mod parameters;
pub mod pdu;
pub mod penalty;
pub mod text;
pub mod window;
