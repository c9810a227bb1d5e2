//! A limit of what preserved blocks may take, all volumes together: where it is reached, the ladder of a full store
//! begins, though the shelf has room.
//!
//! It is looked at between steps of background work, so that one step of each volume may lead past it. What is in the
//! journal when a volume turns read-only is applied beyond it, as it is from the reserve of a full shelf.

use std::sync::Arc;

use base::size::ByteSize;

use crate::error::StoreError;
use crate::pool::{Core, Pool, Volume};

/// What preserved blocks may take, and take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PreservedLimit {
    /// Bytes that they may take; none for as much as there is.
    pub limit: Option<ByteSize>,
    /// Bytes that they took when last looked at, where there is a limit.
    taken: u64,
}

impl PreservedLimit {
    /// Whether more may be preserved.
    pub fn has_room(&self) -> bool {
        self.limit.is_none_or(|limit| self.taken < limit.0)
    }

    /// What a person can do about a store that is full.
    pub fn way_out(&self) -> &'static str {
        if self.has_room() {
            "add space where the pool lies"
        } else {
            "raise the limit of what preserved blocks may take"
        }
    }

    /// # Errors
    /// `NoSpace` where the limit is reached.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.limit {
            Some(limit) if !self.has_room() => {
                let taken = ByteSize(self.taken);
                let why =
                    format!("preserved blocks take {taken}, and {limit} is the limit set for them");
                Err(StoreError::NoSpace(why.into()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Pool {
    /// Limits what preserved blocks may take, all volumes together, from now on until the pool is closed. Where they
    /// take more already, nothing goes at once: the next block that must be preserved begins the ladder of a full
    /// store.
    pub fn set_preserved_limit(&self, limit: Option<ByteSize>) {
        self.lock().preserved.limit = limit;
        self.look_at_preserved();
        self.work.notify_one();
    }

    /// Looks at how much preserved blocks take, where that matters.
    pub(crate) fn look_at_preserved(&self) {
        let volumes: Vec<Arc<Volume>> = {
            let core = self.lock();
            if core.preserved.limit.is_none() {
                return;
            }
            core.volumes.values().map(|live| Arc::clone(&live.volume)).collect()
        };
        // Apart from the pool's lock: it takes longer the more segments there are.
        let taken = volumes.iter().map(|volume| volume.history.preserved_bytes()).sum();
        self.lock().preserved.taken = taken;
    }
}

impl Core {
    /// Whether a volume that stalled for want of room to preserve has it again.
    pub(crate) fn has_room_to_preserve(&self, segment_len: u64) -> bool {
        self.space_free > 4 * segment_len && self.preserved.has_room()
    }
}
