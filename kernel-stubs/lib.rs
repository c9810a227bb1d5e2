//! The kernel's edges: a disk becomes a block device of this host, and is mounted.
//!
//! Not here: what a disk holds (`disk` and above), and who may attach what (`control`). Every way to
//! attach stands behind [`attach::Attacher`], with a user-space double, so that everything above builds
//! and is tested where the kernel offers none of them.

mod apart;
pub mod attach;
pub mod block_device;
pub mod cleanup;
pub mod error;
pub mod filesystem;
pub mod fuzzing;
pub mod loop_device;
pub mod mount;
pub mod mount_plan;
pub mod mount_table;
pub mod partition;
pub mod process;
pub mod record;

pub use attach::{AttachOptions, Attacher, Attachment, Availability, Kind};
pub use error::AttachError;
pub use record::AttachRecord;
