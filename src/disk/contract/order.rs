//! Points 3, 4, 5 and 8: buffers, answers, and what is seen when.

use std::sync::{Arc, Mutex, PoisonError};

use base::units::Extent;
use tokio::sync::Notify;

use super::{Collector, Subject, ask, bytes_of, filled};
use crate::answer::{Answer, Answers, Done, Reply};
use crate::request::Request;
use crate::{AnyDisk, Buffer, DiskError, Durability, Keep, Op};

pub(super) async fn buffers_travel_and_come_back_filled(subject: &Subject) {
    let disk = (subject.make)();
    let mut data = Vec::new();
    for sector in 0..40u8 {
        data.push(filled(sector + 1, 1));
    }
    disk.write(5, data, Durability::Volatile).await.expect("write");
    let mut buffer = Buffer::zeroed(40 * 512).expect("whole sectors make a buffer");
    buffer.fill(0xAA);
    let memory = buffer.as_ptr() as usize;
    let read = disk.read_into(5, Ok(buffer)).await.expect("read");
    assert_eq!(read.as_ptr() as usize, memory, "another buffer came back");
    for (sector, bytes) in (1u8..).zip(read.chunks(512)) {
        assert!(bytes.iter().all(|byte| *byte == sector), "sector {sector}");
    }
}

fn mixed_ops(count: u64) -> Vec<Op> {
    let durability =
        |n: u64| if n.is_multiple_of(41) { Durability::Stable } else { Durability::Volatile };
    let op = |n: u64| {
        let extent = Extent::new(n * 8, 8);
        match n % 7 {
            0 | 1 => {
                let fill = u8::try_from(n % 251).unwrap_or(0) + 1;
                Op::Write {
                    start: extent.start,
                    data: vec![filled(fill, 8)],
                    durability: durability(n),
                }
            }
            2 | 3 => {
                let buffer = Buffer::zeroed(4096).expect("whole sectors make a buffer");
                Op::Read { start: extent.start, buffer }
            }
            4 => Op::Discard { extent, durability: durability(n) },
            5 if n.is_multiple_of(2) => Op::Flush,
            5 => Op::WriteZeroes { extent, keep: Keep::Space, durability: durability(n) },
            _ => Op::Map { extent },
        }
    };
    (0..count).map(op).collect()
}

pub(super) async fn every_request_of_a_batch_is_answered_once(subject: &Subject) {
    let disk = (subject.make)();
    let kinds: Vec<_> = mixed_ops(70).iter().map(std::mem::discriminant).collect();
    let answers = ask(&disk, mixed_ops(70)).await;
    for (op, answer) in mixed_ops(70).into_iter().zip(answers) {
        let done = answer.expect("every request of the batch is right");
        let is_its_kind = matches!(
            (&op, &done),
            (Op::Read { .. }, Done::Read(_))
                | (Op::Write { .. }, Done::Written)
                | (Op::Discard { .. }, Done::Discarded)
                | (Op::WriteZeroes { .. }, Done::Zeroed)
                | (Op::Flush, Done::Flushed)
                | (Op::Map { .. }, Done::Mapped(_))
        );
        assert!(is_its_kind, "{op:?} was answered with {done:?}");
    }
    assert_eq!(kinds.len(), 70);
    disk.submit(Vec::new());
}

pub(super) async fn many_requests_in_flight_are_all_answered(subject: &Subject) {
    let disk = (subject.make)();
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let (requests, answers) = Collector::batch(mixed_ops(600));
        disk.submit(requests);
        waiting.push(answers);
    }
    for answers in waiting {
        for answer in answers.all().await {
            answer.expect("every request is right");
        }
    }
}

/// Writes a sector, and from within the answer asks for the next, down to none.
struct Chain {
    disk: AnyDisk,
    left: Mutex<u64>,
    is_over: Notify,
}

struct Link(Arc<Chain>);

impl Answers for Link {
    fn answer(&self, _ticket: u64, answer: Answer) {
        answer.expect("a link of the chain");
        self.0.next();
    }
}

impl Chain {
    fn next(self: &Arc<Self>) {
        let at = {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            if *left == 0 {
                self.is_over.notify_one();
                return;
            }
            *left -= 1;
            *left
        };
        let op =
            Op::Write { start: at, data: vec![filled(9, 1)], durability: Durability::Volatile };
        let reply = Reply::new(Arc::new(Link(Arc::clone(self))), at);
        self.disk.submit(vec![Request { op, reply }]);
    }
}

pub(super) async fn an_answer_may_ask_again(subject: &Subject) {
    let disk = (subject.make)();
    let (left, is_over) = (Mutex::new(64), Notify::new());
    let chain = Arc::new(Chain { disk: Arc::clone(&disk), left, is_over });
    chain.next();
    chain.is_over.notified().await;
    let read = disk.read(Extent::new(0, 65)).await.expect("read");
    assert!(read[..64 * 512].iter().all(|byte| *byte == 9));
    assert!(read[64 * 512..].iter().all(|byte| *byte == 0));
    // Whoever gave the last answer holds the disk a moment longer; the next check may want its device.
    while Arc::strong_count(&chain) > 1 {
        tokio::task::yield_now().await;
    }
}

pub(super) async fn what_was_answered_is_seen(subject: &Subject) {
    let disk = (subject.make)();
    for round in 1..100u8 {
        let start = u64::from(round) * 3;
        disk.write(start, vec![filled(round, 17)], Durability::Volatile).await.expect("write");
        let read = disk.read(Extent::new(start, 17)).await.expect("read");
        assert!(read.iter().all(|byte| *byte == round), "round {round}");
    }
}

pub(super) async fn overlapping_writes_do_not_mix_within_a_block(subject: &Subject) {
    let disk = (subject.make)();
    let unit = disk.geometry().physical_block_len as usize;
    for round in 0..30u8 {
        let write = |fill| Op::Write {
            start: 0,
            data: vec![filled(fill, 64)],
            durability: Durability::Volatile,
        };
        let (requests, answers) = Collector::batch((1..=6).map(|n| write(round * 6 + n)).collect());
        for request in requests {
            disk.submit(vec![request]);
        }
        for answer in answers.all().await {
            answer.expect("write");
        }
        let read = disk.read(Extent::new(0, 64)).await.expect("read");
        for block in read.chunks(unit) {
            let first = block[0];
            assert!((round * 6 + 1..=round * 6 + 6).contains(&first), "an older write shows");
            assert!(block.iter().all(|byte| *byte == first), "two writes are mixed in one block");
        }
    }
}

pub(super) async fn dropping_the_disk_answers_everything(subject: &Subject) {
    let disk = (subject.make)();
    let (requests, answers) = Collector::batch(mixed_ops(500));
    disk.submit(requests);
    drop(disk);
    for answer in answers.all().await {
        assert!(matches!(answer, Ok(_) | Err(DiskError::Closed)), "{answer:?}");
    }
    // A reply that nobody uses says so by itself.
    let (reply, answer) = Reply::one();
    drop(reply);
    let dropped = answer.await.expect("an answer arrives");
    assert!(matches!(bytes_of(dropped), Err(DiskError::Closed)));
}
