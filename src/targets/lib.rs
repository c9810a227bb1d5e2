//! The front doors: disks, served to clients over a network.
//!
//! A door sees an [`Export`], which is a name and a disk, and nothing behind it: what the disk is made
//! of, and that there are points in time, is not known here.

#![forbid(unsafe_code)]

pub mod door;
pub mod export;
pub mod fuzzing;
pub mod iscsi;
pub mod nbd;
pub mod scsi;

pub use export::{
    Context, ContextExtents, Contexts, Export, ExportError, ExportSummary, Exports, NoContexts,
};

#[cfg(test)]
mod trials;
