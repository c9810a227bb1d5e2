//! Making the map anew from the heads of the preserved store's chunks.

use super::error::MapError;
use super::map::{EpochMap, MapSetup, next_number};
use super::run::numbers_in;
use crate::preserved::PreservedStore;

impl EpochMap {
    /// A map of everything that is in the preserved store, in durable runs. For when a run is damaged.
    ///
    /// Entries that are dead come back with the others and go again when runs are merged. The old runs
    /// stay on the shelf until the map is opened with a checkpoint that names the new ones.
    ///
    /// # Errors
    /// `Preserved` where a head cannot be read, `Disk` where the shelf or a disk refuses.
    pub(crate) async fn rebuild_from(
        setup: MapSetup,
        preserved: &PreservedStore,
    ) -> Result<Self, MapError> {
        let listed = numbers_in(setup.volume, &setup.shelf.list()?);
        let map = Self::with_runs(setup, Vec::new(), next_number(0, &listed));
        for (segment, used) in preserved.segments() {
            let heads = preserved.heads_of(segment, used).await.map_err(Box::new)?;
            for (start, head) in heads {
                map.insert(&head.places(segment, start).collect::<Vec<_>>());
                if map.wants_flush() {
                    map.flush_memtable().await?;
                }
            }
        }
        map.flush_memtable().await?;
        Ok(map)
    }
}
