//! The roof: the daemon `tidemarkd` and the command line `tidemark`, wiring only.
//!
//! The command line speaks to the daemon over the API's socket in the state directory; `inspect`,
//! `doctor`, `api` and `completions` need no daemon.

#![forbid(unsafe_code)]

pub mod args;
pub mod client;
pub mod commands;
pub mod daemon;
pub mod failure;
pub mod output;
pub mod progress;
pub mod secret;
pub mod table;
