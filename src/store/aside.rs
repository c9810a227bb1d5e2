//! Reads that take more than one step: apart from whoever asked, several to a task.
//!
//! The steps of one task's reads that can be taken together go to the kernel together: for a batch of reads
//! of a mark that is what most of the time would go into.

use std::sync::Arc;

use disk::gather::polled_together;
use disk::{Buffer, Done, Reply};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::image::Point;
use crate::pool::Pool;

/// Reads of one task: enough to share the cost of telling the kernel, few enough that all processors have
/// something to do.
const READS_PER_TASK: usize = 8;

/// A read: the first sector, what to fill, and whom to tell.
pub(crate) struct Read {
    pub start: u64,
    pub buffer: Buffer,
    pub reply: Reply,
}

impl Pool {
    /// Carries out reads of an image in tasks of their own.
    pub(crate) fn read_aside(&self, number: u32, point: Point, reads: Vec<Read>) {
        let mut reads = reads.into_iter();
        while reads.len() > 0 {
            let some: Vec<Read> = reads.by_ref().take(READS_PER_TASK).collect();
            let pool = self.shared();
            let task = async move { read_all(&pool, number, point, some).await };
            self.runtime.spawn(polled_together(Box::pin(task)));
        }
    }
}

async fn read_all(pool: &Arc<Pool>, number: u32, point: Point, reads: Vec<Read>) {
    let one = |Read { start, buffer, reply }: Read| async move {
        let read = pool.read_extent(number, point, start, buffer).await;
        reply.send(read.map(Done::Read));
    };
    let mut all: FuturesUnordered<_> = reads.into_iter().map(one).collect();
    while all.next().await.is_some() {}
}
