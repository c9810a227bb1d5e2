//! The flush that an initiator is about to ask for: begun when its last write was answered.

use disk::{AnyDisk, Durability, Op};

use super::Service;
use crate::door::rhythm::Rhythm;

/// The ticket of a flush that nobody has asked for yet; no command has it.
const UNASKED: u64 = u64::MAX;

/// How an initiator writes and flushes, and where.
#[derive(Default)]
pub(super) struct Flushing {
    rhythm: Rhythm,
    /// The disk that was written to last.
    disk: Option<AnyDisk>,
}

impl Flushing {
    /// Notes what goes down.
    pub fn note(&mut self, disk: &AnyDisk, op: &Op) {
        match op {
            Op::Write { durability: Durability::Volatile, .. } => {
                self.rhythm.wrote();
                self.disk = Some(AnyDisk::clone(disk));
            }
            Op::Flush => self.rhythm.flushed(),
            _ => {}
        }
    }
}

impl Service {
    /// Begins the flush that the initiator is about to ask for, where it waits for nothing and its rhythm says
    /// so. Says whether it did.
    pub fn begin_flush(&mut self) -> bool {
        let is_quiet = self.tasks.is_empty() && self.managing.is_empty() && self.outbox.is_empty();
        if !is_quiet || !self.flushing.rhythm.begins_flush() {
            return false;
        }
        let Some(disk) = self.flushing.disk.take() else { return false };
        self.add_to_batch(UNASKED, disk, Op::Flush);
        self.hand_down();
        true
    }
}
