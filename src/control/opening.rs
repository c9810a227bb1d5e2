//! What an appliance opens and closes, and the small tasks that go on beside it.

use std::sync::Arc;
use std::time::Duration;

use store::Pool;
use tokio::task::JoinHandle;

use crate::catalogue::{Catalogue, on_a_thread};
use crate::error::ControlError;
use crate::iscsi::Iscsi;
use crate::state::StateDir;
use crate::traffic::Traffic;

/// How soon a mapped disk that has failed is seen to have.
const DISK_WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How old the copy of the catalogue in the pool may become.
const COPY_INTERVAL: Duration = Duration::from_secs(60);
/// After how many of these the copy has all history too: policies add to that every minute, and the whole catalogue is
/// copied each time.
const HISTORY_INTERVALS: u64 = 60;

/// Opens the catalogue, on a thread that may wait for a disk.
pub(crate) async fn open_catalogue(state: &StateDir) -> Result<Arc<Catalogue>, ControlError> {
    let (dir, pool) = (state.path().to_owned(), state.pool());
    let opened = tokio::task::spawn_blocking(move || Catalogue::open(&dir, &pool)).await;
    opened.map(Arc::new).map_err(|error| ControlError::State {
        what: "open the catalogue".into(),
        why: error.to_string(),
    })
}

/// Keeps the copy of the catalogue in the pool, and opens it where that was not possible, for as long as it runs.
pub(crate) async fn keep_copies(catalogue: Arc<Catalogue>) {
    for turn in 1.. {
        tokio::time::sleep(COPY_INTERVAL).await;
        let has_all = turn % HISTORY_INTERVALS == 0;
        let kept = on_a_thread(&catalogue, move |catalogue| {
            catalogue.open_again();
            if has_all { catalogue.keep_copy() } else { catalogue.keep_copy_of_changes() }
        });
        if let Err(error) = kept.await {
            tracing::warn!(%error, "copy the catalogue into the pool");
        }
    }
}

/// Tells logical units whether their disks are there, and measures traffic, for as long as it runs.
pub(crate) async fn watch(iscsi: Arc<Iscsi>, traffic: Arc<Traffic>) {
    let disks = async {
        loop {
            tokio::time::sleep(DISK_WATCH_INTERVAL).await;
            iscsi.refresh();
        }
    };
    tokio::join!(traffic.measure(), disks);
}

/// Closes a pool, and waits for its background work.
///
/// # Errors
/// What the store says where it could not close clean.
pub(crate) async fn close_pool(
    pool: &Pool,
    background: JoinHandle<()>,
) -> Result<(), ControlError> {
    let closed = pool.close().await;
    if let Err(error) = background.await {
        tracing::error!(%error, "the pool's background work broke off");
    }
    Ok(closed?)
}
