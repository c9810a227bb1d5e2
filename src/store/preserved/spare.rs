//! The reserve: one segment that stands ready with all of its space taken.

use base::units::Extent;
use disk::{DiskError, Usage};

use super::error::PreservedError;
use super::segment;
use super::store::PreservedStore;

impl PreservedStore {
    /// Makes sure that the reserve is there, so that a mark taken now can be kept.
    ///
    /// # Errors
    /// `Full` where the shelf has no room for it; what else the shelf says.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the taking of marks"))]
    pub(crate) async fn prepare(&self) -> Result<(), PreservedError> {
        let _turn = self.writer.lock().await;
        self.state().check()?;
        if self.state().spare.is_none() {
            let made = self.make_segments(1)?;
            self.state().spare = made.first().copied();
        }
        Ok(())
    }

    /// Makes this many segments with all of their space taken. All or none.
    pub(super) fn make_segments(&self, count: usize) -> Result<Vec<(u32, u32)>, PreservedError> {
        let mut made = Vec::new();
        for _ in 0..count {
            match self.make_segment() {
                Ok(segment) => made.push(segment),
                Err(error) => {
                    for (index, _) in made {
                        self.remove_segment(index);
                    }
                    return Err(match error {
                        source @ DiskError::NoSpace(_) => {
                            PreservedError::Full { segment_bytes: self.options.segment_len, source }
                        }
                        other => other.into(),
                    });
                }
            }
        }
        Ok(made)
    }

    fn make_segment(&self) -> Result<(u32, u32), DiskError> {
        let index = {
            let mut state = self.state();
            let index = state.next_segment;
            let next = index.checked_add(1);
            state.next_segment =
                next.ok_or_else(|| DiskError::NoSpace("segment numbers".into()))?;
            index
        };
        let sectors = self.options.segment_sectors();
        let name = segment::name_of(self.volume, index);
        let disk = self.shelf.create(&name, u64::from(sectors), Usage::Data)?;
        if let Err(error) = self.shelf.reserve(&name, Extent::new(0, u64::from(sectors))) {
            drop(disk);
            self.remove_segment(index);
            return Err(error);
        }
        self.handles.put(index, disk);
        Ok((index, sectors))
    }

    /// Removes a segment that holds nothing. What stays is removed at the next recovery.
    pub(super) fn remove_segment(&self, index: u32) {
        self.handles.forget(index);
        let name = segment::name_of(self.volume, index);
        if let Err(error) = self.shelf.remove(&name) {
            tracing::warn!(volume = %self.volume, segment = index, %error, "remove a segment");
        }
    }
}
