//! The office: one appliance with its state directory, what it may do to volumes, marks, views and
//! groups, its doors, attachments and jobs.
//!
//! It decides who may use what and when; it neither speaks HTTP nor knows how contents are kept.

#![forbid(unsafe_code)]

pub mod access;
pub mod alerts;
pub mod answers;
pub mod appliance;
mod attachers;
pub mod attachments;
pub mod audit;
pub mod candidates;
pub mod capacity;
pub mod catalogue;
pub mod config;
pub mod contexts;
pub mod demo;
pub mod doctor;
pub mod doors;
pub mod error;
pub mod events;
pub mod exports;
pub mod files;
pub mod groups;
pub mod inspect;
pub mod inventory;
pub mod iscsi;
pub mod job_history;
pub mod jobs;
pub mod marks;
pub mod open_files;
mod opening;
pub mod policy;
pub mod quickstart;
pub mod role;
pub mod secrets;
pub mod state;
pub mod status;
pub mod traffic;
pub mod uses;
pub mod views;
pub mod volumes;
pub mod when;

pub use appliance::{Appliance, Site};
pub use config::Config;
pub use error::{ControlError, ErrorKind};
pub use role::Role;
pub use state::StateDir;
pub use store::World;
