//! The same requests as over NBD, on a file past the page cache: the floor for loads that `fio` cannot run.
//!
//! `fio` decides whether a flush is due by the writes that it has issued, and asks anew while a flush is in
//! flight: with many writes in flight it flushes several times as often as it was told.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::rng::{Rng, SeededRng};
use base::units::SECTOR_LEN;
use disk::{
    Answer, Answers, Buffer, Caching, Disk, Durability, EngineKind, FileDisk, FileOptions, Op,
    Payload, Reply,
};
use tokio::sync::Notify;

use crate::Outcome;
use crate::client::Limit;
use crate::house::now;
use crate::plan::{Kind, Request, Requests};
use crate::tally::Tally;

/// Bytes to write from: more than a processor's second-level cache.
const STORE_LEN: u64 = 8 << 20;

/// Answers that came and were not booked yet.
#[derive(Default)]
struct Inbox {
    answers: Mutex<Vec<(u64, Answer)>>,
    came: Notify,
}

impl Answers for Inbox {
    fn answer(&self, ticket: u64, answer: Answer) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push((ticket, answer));
        self.came.notify_one();
    }
}

impl Inbox {
    fn take(&self) -> Vec<(u64, Answer)> {
        std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs a load on a file and tells how it went. Returns when every request was answered.
///
/// # Errors
/// Where the file cannot be opened, io_uring is forbidden, or a request fails.
pub async fn run(
    file: &Path,
    plan: &mut impl Requests,
    depth: usize,
    limit: Limit,
) -> Outcome<Tally> {
    let options = FileOptions {
        caching: Caching::Direct,
        engine: EngineKind::Uring,
        is_read_only: false,
        runtime: Some(tokio::runtime::Handle::current()),
    };
    let disk = FileDisk::open(file, &options)?;
    let inbox = Arc::new(Inbox::default());
    let mut source = Source::new()?;
    let mut slots: Vec<Option<(Request, Duration)>> = vec![None; depth];
    let mut free: Vec<usize> = (0..depth).rev().collect();
    let mut tally = Tally::default();
    let start = now();
    tally.started = start;
    loop {
        let elapsed = now() - start;
        let mut batch = Vec::new();
        while elapsed < limit.time && tally.issued < limit.requests {
            let Some(slot) = free.pop() else { break };
            let request = plan.next();
            tally.issued += u64::from(request.kind != Kind::Flush);
            slots[slot] = Some((request, elapsed));
            let to: Arc<dyn Answers> = Arc::clone(&inbox) as _;
            let reply = Reply::new(to, slot as u64);
            batch.push(disk::Request { op: source.op(&request)?, reply });
        }
        if free.len() == depth {
            break;
        }
        disk.submit(batch);
        let mut answers = inbox.take();
        while answers.is_empty() {
            inbox.came.notified().await;
            answers = inbox.take();
        }
        let at = now() - start;
        for (ticket, answer) in answers {
            answer?;
            let slot = usize::try_from(ticket)?;
            let (request, sent) = slots[slot].take().ok_or("the disk answers twice")?;
            tally.count(&request, at, at.saturating_sub(sent));
            free.push(slot);
        }
    }
    tally.elapsed = now() - start;
    Ok(tally)
}

/// What writes are made of: random bytes, another part of them each time.
struct Source {
    store: Payload,
    at: u64,
}

impl Source {
    fn new() -> Outcome<Self> {
        let chance = SeededRng::new(1);
        let bytes: Vec<u8> =
            (0..STORE_LEN / 8).flat_map(|_| chance.next_u64().to_le_bytes()).collect();
        Ok(Self { store: Buffer::copy_of(&bytes)?.freeze(), at: 0 })
    }

    fn op(&mut self, request: &Request) -> Outcome<Op> {
        let start = request.offset / SECTOR_LEN as u64;
        let sectors = u64::from(request.len) / SECTOR_LEN as u64;
        Ok(match request.kind {
            Kind::Read => Op::Read { start, buffer: Buffer::for_sectors(sectors)? },
            Kind::Flush => Op::Flush,
            Kind::Write => {
                if self.at + sectors > self.store.sectors() {
                    self.at = 0;
                }
                let data = vec![self.store.slice(self.at, sectors)];
                self.at += sectors;
                Op::Write { start, data, durability: Durability::Volatile }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell;
    use crate::plan::Plan;

    #[tokio::test]
    async fn a_load_on_a_file_writes_and_flushes_as_planned() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        let mut plan = Plan::new(*cell::named("group").unwrap(), 1 << 20, 1);
        let limit = Limit::time(Duration::from_secs(60)).requests(320);
        let tally = run(file.path(), &mut plan, 32, limit).await.unwrap();
        assert_eq!((tally.requests, tally.bytes_written), (320, 320 * 4096));
        assert!((9..=10).contains(&tally.flushes), "{}", tally.flushes);
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(
            bytes.chunks(4096).filter(|block| block.iter().any(|byte| *byte != 0)).count() > 50
        );
    }
}
