//! A command that has been judged and waits for its data or its turn.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use disk::{Answer, AnyDisk, Buffer, DiskError, Op, Payload};

use super::response::Response;

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
    /// How many bytes are data.
    pub len: u64,
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

/// Aborts a command, from anywhere.
#[derive(Clone, Debug, Default)]
pub struct Abort {
    flag: Arc<AtomicBool>,
}

impl Abort {
    /// The command ends without a response.
    pub fn abort(&self) {
        self.flag.store(true, Ordering::Release);
    }

    /// Whether it does.
    pub fn is_aborted(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }
}

/// A command that has been judged.
#[derive(Debug)]
pub struct Command {
    abort: Abort,
}

impl Command {
    /// Bytes of data that it wants, 0 for none.
    pub fn data_out_len(&self) -> u64 {
        0
    }

    /// Bytes that it may send at most; a read sends exactly so many.
    pub fn data_in_len(&self) -> u64 {
        0
    }

    /// What aborts it.
    pub fn abort_handle(&self) -> Abort {
        self.abort.clone()
    }

    /// Whether it may start only when the older commands of its nexus to its LUN have ended, and younger
    /// ones wait for it.
    pub fn must_wait_for_older(&self) -> bool {
        false
    }

    /// Starts it, with `data_out_len` bytes of data or fewer.
    pub fn start(self, _data: DataOut, _buffers: &mut dyn Buffers) -> Work {
        Work::Ended(Response::good())
    }
}

/// Makes a response of a disk's answer.
#[derive(Debug)]
pub struct Finish {
    abort: Abort,
}

impl Finish {
    /// The response.
    pub fn response(self, _answer: Answer) -> Response {
        Response::good()
    }

    /// Whether the command was aborted meanwhile.
    pub fn is_aborted(&self) -> bool {
        self.abort.is_aborted()
    }
}
