//! Changes that do not start and end with sectors: the sectors at their edges are read, changed and
//! written back.
//!
//! All sessions of an export share one lock, so that two such changes to bytes of one sector do not undo
//! each other. A change of whole sectors does not take the lock: one that touches an edge sector overlaps
//! the change itself, and what overlapping changes in flight leave behind is the client's business.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use base::units::{Extent, SECTOR_LEN};
use disk::{Answer, AnyDisk, Buffer, DiskError, Done, Durability, Keep, Op, Reply, Request};

use super::request::ByteExtent;

/// Held while a sector is read, changed and written back.
#[derive(Debug, Default)]
pub struct EdgeLock(tokio::sync::Mutex<()>);

/// The locks of all exports that are open, by canonical name.
#[derive(Debug, Default)]
pub struct EdgeLocks(Mutex<HashMap<String, Weak<EdgeLock>>>);

impl EdgeLocks {
    /// The lock of this export, shared with everyone who has it open.
    pub fn of(&self, name: &str) -> Arc<EdgeLock> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(name).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(EdgeLock::default());
        locks.insert(name.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

/// A disk, and the lock of its edges.
#[derive(Clone)]
pub struct Edged {
    /// The disk.
    pub disk: AnyDisk,
    /// Shared by all who change parts of its sectors.
    pub lock: Arc<EdgeLock>,
}

impl std::fmt::Debug for Edged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Edged")
    }
}

const SECTOR: u64 = SECTOR_LEN as u64;

impl Edged {
    /// Writes `bytes`, some, that lie at their place within the sectors of `pieces`.
    ///
    /// # Errors
    /// Whatever the disk answers to the reads and the write.
    pub async fn write(
        &self,
        bytes: ByteExtent,
        mut pieces: Vec<Buffer>,
        durability: Durability,
    ) -> Answer {
        let _held = self.lock.0.lock().await;
        let cover = bytes.cover();
        let head = bytes.head();
        if head > 0 {
            let sector = self.disk.read(Extent::new(cover.start, 1)).await?;
            if let Some(piece) = pieces.first_mut() {
                piece[..head].copy_from_slice(&sector[..head]);
            }
        }
        let tail = usize::try_from(bytes.end() % SECTOR).unwrap_or(0);
        if tail > 0 {
            let sector = self.disk.read(Extent::new(cover.end() - 1, 1)).await?;
            if let Some(piece) = pieces.last_mut() {
                let start = piece.len() - SECTOR_LEN;
                piece[start + tail..].copy_from_slice(&sector[tail..]);
            }
        }
        let data = pieces.into_iter().map(Buffer::freeze).collect();
        self.ask(Op::Write { start: cover.start, data, durability }).await
    }

    /// Makes `bytes`, some, read as zeroes.
    ///
    /// # Errors
    /// Whatever the disk answers to reads, writes and the zeroing of whole sectors.
    pub async fn zero(&self, bytes: ByteExtent, keep: Keep, durability: Durability) -> Answer {
        let _held = self.lock.0.lock().await;
        let inner = bytes.inner();
        let first_end = bytes.end().min((bytes.offset / SECTOR + 1) * SECTOR);
        if bytes.head() > 0 || bytes.end() < first_end.next_multiple_of(SECTOR) {
            let edge = ByteExtent { offset: bytes.offset, len: first_end - bytes.offset };
            self.zero_edge(edge, durability).await?;
        }
        let last_start = bytes.end() / SECTOR * SECTOR;
        if last_start >= first_end && last_start < bytes.end() {
            let edge = ByteExtent { offset: last_start, len: bytes.end() - last_start };
            self.zero_edge(edge, durability).await?;
        }
        if inner.is_empty() {
            return Ok(Done::Zeroed);
        }
        self.ask(Op::WriteZeroes { extent: inner, keep, durability }).await
    }

    /// Zeroes a part of one sector.
    async fn zero_edge(&self, edge: ByteExtent, durability: Durability) -> Result<(), DiskError> {
        let extent = edge.cover();
        let mut sector = self.disk.read(extent).await?;
        let len = usize::try_from(edge.len).unwrap_or(0);
        sector[edge.head()..edge.head() + len].fill(0);
        let data = vec![sector.freeze()];
        self.ask(Op::Write { start: extent.start, data, durability }).await.map(drop)
    }

    async fn ask(&self, op: Op) -> Answer {
        let (reply, answer) = Reply::one();
        self.disk.submit(vec![Request { op, reply }]);
        answer.await.unwrap_or(Err(DiskError::Closed))
    }
}

#[cfg(test)]
#[path = "unaligned_tests.rs"]
mod tests;
