//! A command that has been judged and waits for its data or its turn, and what it becomes when started.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::units::{Extent, SECTOR_LEN};
use disk::{Answer, AnyDisk, Buffer, DiskError, Done, Durability, Op, Payload};
use tokio::sync::Notify;

use super::failure;
use super::path::{Path, Running};
use super::ranges::Held;
use super::response::{DataIn, Response};
use super::sense::Sense;

/// What became of a command as it arrived.
#[derive(Debug)]
pub enum Begun {
    /// It has ended; data that was sent for it is thrown away.
    Ended(Response),
    /// It may be started once its data is here.
    Ready(Command),
}

/// The data that came with a command.
#[derive(Debug, Default)]
pub struct DataOut {
    /// Whole sectors; the last may be padded with zeroes.
    pub pieces: Vec<Payload>,
    /// How many bytes are data: what the command wants, or fewer where the initiator sent fewer.
    pub len: u64,
    /// How many bytes the initiator meant to send, also where that is more than the command wants: a
    /// few commands refuse data of a length other than theirs.
    pub offered: u64,
}

/// Where read buffers come from.
pub trait Buffers {
    /// A buffer of this many sectors, with anything in it.
    ///
    /// # Errors
    /// `TooLarge` where a buffer cannot be that large.
    fn buffer(&mut self, sectors: u64) -> Result<Buffer, DiskError>;
}

/// What a started command needs.
pub enum Work {
    /// Nothing more.
    Ended(Response),
    /// One operation of the disk, whose answer makes the response.
    Disk {
        /// The disk.
        disk: AnyDisk,
        /// The operation.
        op: Op,
        /// What makes a response of the answer.
        finish: Finish,
    },
    /// A future to be run.
    Task(Pin<Box<dyn Future<Output = Response> + Send>>),
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended(response) => write!(f, "Ended({response:?})"),
            Self::Disk { op, .. } => write!(f, "Disk({op:?})"),
            Self::Task(_) => f.write_str("Task"),
        }
    }
}

#[derive(Debug, Default)]
struct Flag {
    is_set: AtomicBool,
    set: Notify,
}

/// Aborts a command, from anywhere.
#[derive(Clone, Debug, Default)]
pub struct Abort {
    flag: Arc<Flag>,
    of: Option<(Arc<Path>, u64)>,
}

impl Abort {
    /// The command ends without a response.
    pub fn abort(&self) {
        self.flag.is_set.store(true, Ordering::Release);
        self.flag.set.notify_waiters();
    }

    /// Waits until it is aborted itself.
    pub(super) async fn aborted(&self) {
        loop {
            let set = self.flag.set.notified();
            tokio::pin!(set);
            set.as_mut().enable();
            if self.flag.is_set.load(Ordering::Acquire) {
                return;
            }
            set.await;
        }
    }

    /// Whether it does: it was aborted itself, or with all others of its nexus.
    pub fn is_aborted(&self) -> bool {
        self.flag.is_set.load(Ordering::Acquire)
            || self.of.as_ref().is_some_and(|(path, round)| path.round() != *round)
    }
}

/// What a command will do.
pub(super) enum Plan {
    /// Read sectors.
    Read { disk: AnyDisk, extent: Extent },
    /// Write as many of these sectors as data came for.
    Write { disk: AnyDisk, extent: Extent, durability: Durability },
    /// Make everything stable.
    Flush { disk: AnyDisk },
    /// Anything else.
    Other(Other),
}

/// A command that is not one operation of the disk.
pub(super) struct Other {
    /// Bytes of data that it wants.
    pub data_out: u64,
    /// Bytes that it may send at most.
    pub data_in: u64,
    /// What it does.
    pub run: Box<dyn FnOnce(Run) -> Work + Send>,
}

/// A started command.
pub(super) struct Run {
    /// Whence it came and where it goes.
    pub path: Arc<Path>,
    /// What came with it.
    pub data: DataOut,
    /// Whether it is to end early.
    pub abort: Abort,
    running: Option<Running>,
}

impl Plan {
    /// Done as soon as it is started.
    pub fn good() -> Self {
        Self::now(|_| Ok(()))
    }

    /// Done as soon as it is started, without data.
    pub fn now(act: impl FnOnce(&Run) -> Result<(), Sense> + Send + 'static) -> Self {
        Self::with_list(0, move |run, _| act(run))
    }

    /// Answers with these bytes, but at most as many as the initiator allows.
    pub fn answer(
        allowed: u64,
        make: impl FnOnce(&Run) -> Result<Vec<u8>, Sense> + Send + 'static,
    ) -> Self {
        let run = Box::new(move |run: Run| {
            let made = make(&run).map(|bytes| cut(bytes, allowed));
            Work::Ended(run.path.respond(made))
        });
        Self::Other(Other { data_out: 0, data_in: allowed, run })
    }

    /// Answers with these bytes later, but at most as many as the initiator allows.
    pub fn answer_later<F>(allowed: u64, make: impl FnOnce(Run) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Vec<u8>, Sense>> + Send + 'static,
    {
        let run = Box::new(move |run: Run| {
            run.task(|run| {
                let made = make(run);
                async move { made.await.map(|bytes| cut(bytes, allowed)) }
            })
        });
        Self::Other(Other { data_out: 0, data_in: allowed, run })
    }

    /// Takes a parameter list of exactly this many bytes, which are few, and is done.
    pub fn with_list(
        len: u64,
        act: impl FnOnce(&Run, Vec<u8>) -> Result<(), Sense> + Send + 'static,
    ) -> Self {
        let run = Box::new(move |run: Run| {
            let done = run.list(len).and_then(|list| act(&run, list)).map(|()| DataIn::None);
            Work::Ended(run.path.respond(done))
        });
        Self::Other(Other { data_out: len, data_in: 0, run })
    }

    /// Takes data of this many bytes or fewer, and is done later.
    pub fn later<F>(data_out: u64, act: impl FnOnce(Run) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), Sense>> + Send + 'static,
    {
        let run = Box::new(move |run: Run| {
            run.task(|run| {
                let done = act(run);
                async move { done.await.map(|()| DataIn::None) }
            })
        });
        Self::Other(Other { data_out, data_in: 0, run })
    }

    /// The same, and whoever resets the unit does not wait for it: what it waits for itself goes on without
    /// its nexus.
    pub fn detached<F>(data_out: u64, act: impl FnOnce(Run) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), Sense>> + Send + 'static,
    {
        let Self::Other(mut other) = Self::later(data_out, act) else { return Self::good() };
        let run = other.run;
        other.run = Box::new(move |detached: Run| run(Run { running: None, ..detached }));
        Self::Other(other)
    }
}

fn cut(mut bytes: Vec<u8>, allowed: u64) -> DataIn {
    bytes.truncate(usize::try_from(allowed).unwrap_or(usize::MAX));
    if bytes.is_empty() { DataIn::None } else { DataIn::Bytes(bytes) }
}

impl Run {
    /// All of a parameter list of `len` bytes.
    ///
    /// # Errors
    /// PARAMETER LIST LENGTH ERROR where not all of it came.
    pub fn list(&self, len: u64) -> Result<Vec<u8>, Sense> {
        if self.data.len < len {
            return Err(Sense::list_len());
        }
        let len = usize::try_from(len).map_err(|_| Sense::list_len())?;
        let mut list = Vec::with_capacity(len);
        for piece in &self.data.pieces {
            list.extend_from_slice(&piece[..piece.len().min(len - list.len())]);
        }
        if list.len() == len { Ok(list) } else { Err(Sense::list_len()) }
    }

    /// A future to be run.
    pub fn task<F>(self, make: impl FnOnce(Self) -> F) -> Work
    where
        F: Future<Output = Result<DataIn, Sense>> + Send + 'static,
    {
        let path = Arc::clone(&self.path);
        self.answering(|run| {
            let done = make(run);
            async move { path.respond(done.await) }
        })
    }

    /// The same, where the response is made by the future.
    pub fn answering<F>(mut self, make: impl FnOnce(Self) -> F) -> Work
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let (running, abort) = (self.running.take(), self.abort.clone());
        let done = make(self);
        Work::Task(Box::pin(async move {
            let response = done.await;
            drop(running);
            response.unless(abort.is_aborted())
        }))
    }
}

/// A command that has been judged.
pub struct Command {
    path: Arc<Path>,
    plan: Plan,
    abort: Abort,
    is_ordered: bool,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({} out, {} in)", self.data_out_len(), self.data_in_len())
    }
}

impl Command {
    pub(super) fn new(path: Arc<Path>, plan: Plan, is_ordered: bool) -> Self {
        let round = path.round();
        let abort = Abort { flag: Arc::default(), of: Some((Arc::clone(&path), round)) };
        Self { path, plan, abort, is_ordered }
    }

    /// Bytes of data that it wants, 0 for none.
    pub fn data_out_len(&self) -> u64 {
        match &self.plan {
            Plan::Write { extent, .. } => extent.bytes(),
            Plan::Other(other) => other.data_out,
            Plan::Read { .. } | Plan::Flush { .. } => 0,
        }
    }

    /// Bytes that it may send at most; a read sends exactly so many.
    pub fn data_in_len(&self) -> u64 {
        match &self.plan {
            Plan::Read { extent, .. } => extent.bytes(),
            Plan::Other(other) => other.data_in,
            Plan::Write { .. } | Plan::Flush { .. } => 0,
        }
    }

    /// What aborts it.
    pub fn abort_handle(&self) -> Abort {
        self.abort.clone()
    }

    /// Whether it may start only when the older commands of its nexus to its LUN have ended, and younger
    /// ones wait for it.
    pub fn must_wait_for_older(&self) -> bool {
        self.is_ordered
    }

    /// Starts it, with `data_out_len` bytes of data or fewer.
    pub fn start(self, data: DataOut, buffers: &mut dyn Buffers) -> Work {
        let Self { path, plan, abort, .. } = self;
        // Counted first and looked at then: who aborts it after this look waits for its end.
        let running = Running::new(Arc::clone(&path));
        match plan {
            _ if abort.is_aborted() => Work::Ended(Response::aborted()),
            Plan::Read { extent, .. } if extent.is_empty() => Work::Ended(Response::good()),
            Plan::Read { disk, extent } => match buffers.buffer(extent.sectors) {
                Ok(buffer) => {
                    let op = Op::Read { start: extent.start, buffer };
                    on_disk(disk, op, extent, Finish::new(running, abort, Kind::Read))
                }
                Err(error) => Work::Ended(path.refuse(failure::sense(&error, &path.unit))),
            },
            Plan::Write { disk, extent, durability } => match arrived(&path, extent, data) {
                Ok((extent, _)) if extent.is_empty() => Work::Ended(Response::good()),
                Ok((extent, data)) => {
                    let op = Op::Write { start: extent.start, data, durability };
                    on_disk(disk, op, extent, Finish::new(running, abort, Kind::Plain))
                }
                Err(sense) => Work::Ended(path.refuse(sense)),
            },
            Plan::Flush { disk } => {
                Work::Disk { disk, op: Op::Flush, finish: Finish::new(running, abort, Kind::Plain) }
            }
            Plan::Other(other) => (other.run)(Run { path, data, abort, running: Some(running) }),
        }
    }
}

/// The sectors of `extent` for which data came, and the data.
///
/// # Errors
/// Where the data ends within a logical block: then nothing is written.
pub(super) fn arrived(
    path: &Path,
    extent: Extent,
    data: DataOut,
) -> Result<(Extent, Vec<Payload>), Sense> {
    if data.len >= extent.bytes() {
        return Ok((extent, data.pieces));
    }
    let block_len = u64::from(path.unit.settings().logical_block_len);
    if !data.len.is_multiple_of(block_len) {
        return Err(Sense::wrong_data_len());
    }
    let mut left = data.len / SECTOR_LEN as u64;
    let extent = Extent::new(extent.start, left);
    let mut pieces = Vec::new();
    for piece in data.pieces {
        let sectors = piece.sectors().min(left);
        pieces.push(piece.slice(0, sectors));
        left -= sectors;
    }
    if left > 0 { Err(Sense::wrong_data_len()) } else { Ok((extent, pieces)) }
}

/// One operation of the disk, at once or as soon as nobody is alone with its sectors.
fn on_disk(disk: AnyDisk, op: Op, extent: Extent, mut finish: Finish) -> Work {
    if let Some(held) = finish.path().unit.ranges.try_share(extent) {
        finish.held = Some(held);
        return Work::Disk { disk, op, finish };
    }
    Work::Task(Box::pin(async move {
        finish.held = Some(finish.path().unit.ranges.share(extent).await);
        if finish.is_aborted() {
            return Response::aborted();
        }
        let (reply, answer) = disk::Reply::one();
        disk.submit(vec![disk::Request { op, reply }]);
        finish.response(answer.await.unwrap_or(Err(DiskError::Closed)))
    }))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Read,
    Plain,
}

/// Makes a response of a disk's answer.
#[derive(Debug)]
pub struct Finish {
    running: Running,
    abort: Abort,
    kind: Kind,
    held: Option<Held>,
}

impl Finish {
    fn new(running: Running, abort: Abort, kind: Kind) -> Self {
        Self { running, abort, kind, held: None }
    }

    fn path(&self) -> &Arc<Path> {
        self.running.path()
    }

    /// The response.
    pub fn response(self, answer: Answer) -> Response {
        let response = match (self.kind, answer) {
            (_, Err(error)) => self.path().refuse(failure::sense(&error, &self.path().unit)),
            (Kind::Read, Ok(Done::Read(buffer))) => {
                let len = buffer.len();
                Response::with(DataIn::Buffer { buffer, len })
            }
            (Kind::Read, Ok(_)) => self.path().refuse(Sense::failure()),
            (Kind::Plain, Ok(_)) => Response::good(),
        };
        response.unless(self.abort.is_aborted())
    }

    /// Whether the command was aborted meanwhile.
    pub fn is_aborted(&self) -> bool {
        self.abort.is_aborted()
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.path().unit.ranges.unshare(held);
        }
    }
}
