//! A look at a pool's own structures without opening it: for when the daemon does not start, and for
//! people who want to know.

use std::path::Path;
use std::sync::Arc;

use disk::{DirectoryOptions, DirectoryShelf, Shelf};
use store::{ErrorKind, StoreError};

use crate::error::ControlError;
use crate::state::StateDir;

pub use store::{Inspection, JournalInspection, VolumeInspection};

/// Reads the structures of the pool of a state directory, or of a pool's own directory: superblocks,
/// checkpoint, journal, volumes. Changes nothing.
///
/// # Errors
/// `StateInUse` where a daemon runs on it, or what the store says.
pub async fn inspect(path: &Path) -> Result<Inspection, ControlError> {
    let state = StateDir::new(path);
    if let Some(pid) = state.running() {
        return Err(ControlError::StateInUse { path: path.to_owned(), pid });
    }
    let of_state = state.pool();
    let pool = if of_state.is_dir() { of_state.as_path() } else { path };
    if !pool.is_dir() {
        return Err(ControlError::Store(StoreError::NoPool));
    }
    let shelf = open_shelf(pool)?;
    Ok(store::inspect(&shelf).await?)
}

/// Opens a pool's directory for this process alone.
pub(crate) fn open_shelf(pool: &Path) -> Result<Arc<dyn Shelf>, ControlError> {
    // In a daemon its runtime reaps what disks have done: one thread less between a disk and a client.
    let runtime = tokio::runtime::Handle::try_current().ok();
    let options = DirectoryOptions { runtime, ..DirectoryOptions::default() };
    let shelf = DirectoryShelf::open_with(pool, options).map_err(|error| {
        let error = StoreError::from(error);
        match error.kind() {
            ErrorKind::Conflict => ControlError::StateInUse { path: pool.to_owned(), pid: None },
            _ => ControlError::Store(error),
        }
    })?;
    Ok(Arc::new(shelf))
}
