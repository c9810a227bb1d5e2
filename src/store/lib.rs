//! The vault: volumes, marks and views over disks, exactly by the laws in `DESIGN.md`.
//!
//! A [`Pool`] lies on a shelf of disks. Every change of every volume goes into one ordered journal and is
//! answered then; applying it to the volume's base, after what it replaces was preserved for the marks
//! that need it, is background work. This room knows no network, no protocol and no policy beyond what a
//! full store needs.
//!
//! Where to look: `append` and `flush` for the way of a write, `image` for the way of a read, `apply` and
//! `preserve` for what happens later, `upkeep` for when; `registry` and `event` for what the pool knows,
//! `superblock`, `checkpoint` and `journal` for how it survives.

#![forbid(unsafe_code)]

mod append;
mod apply;
mod aside;
mod berth;
mod berths;
mod changed;
mod checkpoint;
mod checksum_table;
mod dirty;
mod epoch_map;
mod error;
mod event;
mod flush;
mod freed;
pub mod fuzzing;
mod gone;
mod history;
mod image;
mod inspect;
mod journal;
mod kept;
mod layout;
mod limit;
mod live_disk;
mod mark_disk;
mod marks;
mod notes;
mod noting;
mod open;
mod options;
mod pace;
mod partial;
mod payloads;
mod pool;
mod preserve;
mod preserved;
mod registry;
mod replay;
mod rollback;
mod scrub;
mod space;
mod status;
mod superblock;
mod upkeep;
mod views;
mod volumes;

pub use error::{ErrorKind, StoreError};
pub use inspect::{Inspection, JournalInspection, VolumeInspection, inspect};
pub use notes::{Located, NOTE_LEN_MAX, NOTES_PER_VOLUME_MAX, NoteKind};
pub use options::{Compression, PoolOptions, World};
pub use pool::Pool;
pub use scrub::Progress;
pub use status::{
    ChangedExtent, CopyProgress, DiskRef, Freed, Grade, GroupStatus, MarkRequest, MarkStatus,
    MarkTally, MarksFullPolicy, PoolState, PoolStatus, Proof, RemovalPreview, RollbackStatus,
    ScrubFinding, ScrubReport, StoreFullPolicy, SyncPolicy, ViewStatus, VolumeKind, VolumeSettings,
    VolumeState, VolumeStatus,
};
