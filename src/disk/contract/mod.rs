//! The written contract of [`Disk`](crate::Disk) as checks that any implementation can be run against.
//!
//! A [`Subject`] makes fresh disks; [`run`] takes it through every check and panics with the name of the
//! first one that fails. What only a power loss can show (points 6 and 7) is checked on the simulated disk,
//! in its own tests.

mod bounds;
mod changes;
mod oracle;
mod order;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::answer::{Answer, Answers, Done, Reply};
use crate::request::{Op, Request};
use crate::{AnyDisk, Buffer, DiskError, Payload};

pub use oracle::compare_with_oracle;

/// Sectors that a disk needs for the checks: 4 MiB.
pub const SECTORS_MIN: u64 = 8192;

/// Makes the next flush of a disk fail.
pub type BreakFlush = Box<dyn Fn(&AnyDisk)>;

/// What is checked.
pub struct Subject {
    /// Makes a disk of at least [`SECTORS_MIN`] sectors that reads as zeroes and takes changes. Called for
    /// each check; the disk may be dropped before the next call.
    pub make: Box<dyn Fn() -> AnyDisk>,
    /// Makes the next flush of this disk fail, where that can be had.
    pub break_flush: Option<BreakFlush>,
}

impl Subject {
    /// Checks disks made like this, without failing flushes.
    pub fn new(make: impl Fn() -> AnyDisk + 'static) -> Self {
        Self { make: Box::new(make), break_flush: None }
    }
}

type Running<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// One check.
pub struct Check {
    /// What it claims.
    pub name: &'static str,
    run: for<'a> fn(&'a Subject) -> Running<'a>,
}

macro_rules! checks {
    ($($module:ident::$name:ident,)*) => {
        vec![$(Check { name: stringify!($name), run: |subject| Box::pin($module::$name(subject)) },)*]
    };
}

/// All checks, in the order of the contract's points.
pub fn checks() -> Vec<Check> {
    checks![
        bounds::buffers_are_whole_sectors,
        bounds::past_the_end_is_refused_and_changes_nothing,
        bounds::the_end_of_the_address_space_is_refused,
        bounds::nothing_is_legal_anywhere_up_to_the_end,
        bounds::the_last_sector_can_be_used,
        order::buffers_travel_and_come_back_filled,
        order::every_request_of_a_batch_is_answered_once,
        order::many_requests_in_flight_are_all_answered,
        order::an_answer_may_ask_again,
        order::what_was_answered_is_seen,
        order::overlapping_writes_do_not_mix_within_a_block,
        order::dropping_the_disk_answers_everything,
        changes::a_fresh_disk_reads_as_zeroes,
        changes::a_write_changes_its_sectors_and_no_other,
        changes::payloads_are_written_one_after_the_other,
        changes::zeroes_are_exact,
        changes::a_discard_reads_as_zeroes_and_touches_nothing_else,
        changes::stable_changes_are_seen_like_others,
        changes::a_map_tells_the_truth,
        changes::kept_space_is_never_absent,
        changes::a_failed_flush_poisons,
    ]
}

/// Runs every check.
///
/// # Panics
/// Where one fails.
pub async fn run(subject: &Subject) {
    for check in checks() {
        let guard = Named(check.name);
        (check.run)(subject).await;
        drop(guard);
    }
}

/// Says which check it was when the thread panics.
struct Named(&'static str);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A test's output is for whoever reads its failure.
            eprintln!("the contract is broken: {}", self.0);
        }
    }
}

/// Sectors filled with one byte.
fn filled(fill: u8, sectors: usize) -> Payload {
    let bytes = vec![fill; sectors * 512];
    Buffer::copy_of(&bytes).expect("whole sectors make a buffer").freeze()
}

/// Collects the answers of a batch by ticket.
pub(crate) struct Collector {
    answers: Mutex<Vec<Vec<Answer>>>,
    news: Notify,
}

impl Answers for Collector {
    fn answer(&self, ticket: u64, answer: Answer) {
        let index = usize::try_from(ticket).expect("tickets are small");
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)[index].push(answer);
        self.news.notify_one();
    }
}

impl Collector {
    /// Requests with tickets from zero on, and where their answers arrive.
    pub(crate) fn batch(ops: Vec<Op>) -> (Vec<Request>, Arc<Self>) {
        let answers = Mutex::new(ops.iter().map(|_| Vec::new()).collect());
        let collector = Arc::new(Self { answers, news: Notify::new() });
        let request = |(ticket, op)| {
            let to: Arc<dyn Answers> = Arc::clone(&collector) as Arc<dyn Answers>;
            Request { op, reply: Reply::new(to, ticket) }
        };
        let requests = (0u64..).zip(ops).map(request).collect();
        (requests, collector)
    }

    /// Waits until every request was answered, and takes the answers.
    ///
    /// # Panics
    /// Where one was answered twice.
    pub(crate) async fn all(&self) -> Vec<Answer> {
        loop {
            {
                let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
                if answers.iter().all(|answers| !answers.is_empty()) {
                    let twice = answers.iter().position(|answers| answers.len() > 1);
                    assert_eq!(twice, None, "a request was answered more than once");
                    return answers.iter_mut().filter_map(Vec::pop).collect();
                }
            }
            self.news.notified().await;
        }
    }
}

/// Submits operations as one batch and waits for all answers.
async fn ask(disk: &AnyDisk, ops: Vec<Op>) -> Vec<Answer> {
    let (requests, answers) = Collector::batch(ops);
    disk.submit(requests);
    answers.all().await
}

/// The bytes of a read's answer.
fn bytes_of(answer: Answer) -> Result<Buffer, DiskError> {
    match answer? {
        Done::Read(buffer) => Ok(buffer),
        other => panic!("a read was answered with {other:?}"),
    }
}
