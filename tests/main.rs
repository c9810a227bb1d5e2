//! Every test that is not the private business of one room: one crate, one binary, one module per folder.
//!
//! A test here sees what an outsider sees: public types of the rooms, the built programs, files on
//! disk, bytes on the wire. Tests of a room's insides live beside the code they test.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics where it stands")]

mod contract;
mod corpus;
mod crash;
mod daemon;
mod faults;
mod golden;
mod model;
mod oracle;
mod tidy;
