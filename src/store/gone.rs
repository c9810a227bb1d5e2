//! A disk that stands in for a base that could not be opened: it refuses everything and says why.

use disk::{Disk, DiskError, Geometry, Request};

/// The stand-in.
pub(crate) struct GoneDisk {
    sectors: u64,
    why: DiskError,
}

impl GoneDisk {
    /// In place of a base of this many sectors, which could not be opened for this reason.
    pub fn new(sectors: u64, why: DiskError) -> Self {
        Self { sectors, why }
    }
}

impl Disk for GoneDisk {
    fn geometry(&self) -> Geometry {
        Geometry {
            sectors: self.sectors,
            physical_block_len: 4096,
            atomic_write_len: 512,
            is_read_only: true,
        }
    }

    fn submit(&self, batch: Vec<Request>) {
        for request in batch {
            request.reply.send(Err(self.why.clone()));
        }
    }
}
