//! The appliance from outside: its API, its command line, its doors and the life of its process.
//!
//! `office` runs an appliance within the test, on memory; `process` starts the built programs. What can
//! be shown with the first is not shown with the second.
#![expect(clippy::unwrap_used, reason = "what helps a test fails it")]

mod access;
mod alerts;
mod api;
mod attach;
mod catalogue;
mod cli;
mod contexts;
mod demo;
mod doors;
mod host;
mod http;
mod https;
mod iscsi;
mod life;
mod nbd;
mod office;
mod process;
mod requests;
mod targets;
