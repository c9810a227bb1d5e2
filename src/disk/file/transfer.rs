//! Reads and writes on their way: their buffers, their replies, and the vectors that point into them.
//!
//! A transfer owns everything the kernel touches for it, so whoever hands its vectors to the kernel keeps
//! the transfer until the kernel is done. Adjacent requests of one batch become one transfer.

use std::fs::File;
use std::io;

use base::units::{Extent, SECTOR_LEN};

use super::backing::Backing;
use super::sys::{self, Direction, VECTORS_MAX};
use super::vectors::Vectors;
use crate::answer::{Answer, Done, Reply};
use crate::buffer::{Buffer, Payload};
use crate::error::DiskError;
use crate::request::{Durability, Op, Request};

/// Bytes up to which adjacent requests are joined: beyond it a larger call is not cheaper, and it delays
/// the answers of its first members.
const JOINED_LEN_MAX: u64 = 1 << 20;

/// Buffers of one request.
#[derive(Debug)]
enum Held {
    Read(Buffer),
    Write(Vec<Payload>),
}

#[derive(Debug)]
struct Member {
    held: Held,
    extent: Extent,
    reply: Reply,
}

/// Adjacent reads, or adjacent writes, that go to the kernel as one.
pub(crate) struct Transfer {
    pub(crate) direction: Direction,
    /// Whether its writes must be stable when they are answered.
    pub(crate) durability: Durability,
    extent: Extent,
    done_bytes: u64,
    vectors: Vectors,
    members: Vec<Member>,
    /// It goes through the page cache even where it might go around it.
    is_cached: bool,
}

/// What a batch becomes.
#[derive(Default)]
pub(crate) struct Plan {
    /// Reads and writes.
    pub(crate) transfers: Vec<Transfer>,
    /// Discards, writes of zeroes and maps.
    pub(crate) others: Vec<Request>,
    /// Flushes.
    pub(crate) flushes: Vec<Reply>,
    /// What can be answered without asking anyone.
    pub(crate) answers: Vec<(Reply, Answer)>,
}

impl Plan {
    /// Sorts a batch: refuses what is wrong, joins what is adjacent.
    pub(crate) fn of(batch: Vec<Request>, backing: &Backing) -> Self {
        let mut plan = Self::default();
        let geometry = backing.geometry();
        for Request { op, reply } in batch {
            let is_change = op.is_change() || matches!(op, Op::Flush);
            let poison = backing.poison().filter(|_| is_change);
            if let Err(error) = op.check(&geometry).and(poison.map_or(Ok(()), Err)) {
                plan.answers.push((reply, Err(error)));
                continue;
            }
            match op {
                Op::Flush => plan.flushes.push(reply),
                Op::Read { start, buffer } => {
                    let extent = Extent::new(start, buffer.sectors());
                    let member = Member { held: Held::Read(buffer), extent, reply };
                    plan.add(Direction::Read, Durability::Volatile, member);
                }
                Op::Write { start, data, durability } => {
                    let extent = Extent::new(start, data.iter().map(Payload::sectors).sum());
                    let member = Member { held: Held::Write(data), extent, reply };
                    plan.add(Direction::Write, durability, member);
                }
                op => plan.others.push(Request { op, reply }),
            }
        }
        plan
    }

    fn add(&mut self, direction: Direction, durability: Durability, member: Member) {
        // A stable write of nothing must still wait for nothing.
        if member.extent.is_empty() {
            self.answers.push(member.answer());
            return;
        }
        match self.transfers.last_mut() {
            Some(last) if last.joins(direction, durability, &member) => last.push(member),
            _ => self.transfers.push(Transfer::new(direction, durability, member)),
        }
    }
}

impl Member {
    fn pieces(&self) -> usize {
        match &self.held {
            Held::Read(_) => 1,
            Held::Write(data) => data.len(),
        }
    }

    fn answer(self) -> (Reply, Answer) {
        let done = match self.held {
            Held::Read(buffer) => Done::Read(buffer),
            Held::Write(_) => Done::Written,
        };
        (self.reply, Ok(done))
    }
}

impl Transfer {
    fn new(direction: Direction, durability: Durability, member: Member) -> Self {
        let mut transfer = Self {
            direction,
            durability,
            extent: Extent::new(member.extent.start, 0),
            done_bytes: 0,
            vectors: Vectors::default(),
            members: Vec::new(),
            is_cached: false,
        };
        transfer.push(member);
        transfer
    }

    fn joins(&self, direction: Direction, durability: Durability, member: &Member) -> bool {
        self.direction == direction
            && self.durability == durability
            && self.extent.end() == member.extent.start
            && self.extent.bytes() + member.extent.bytes() <= JOINED_LEN_MAX
            && self.vectors.pieces() + member.pieces() <= VECTORS_MAX
    }

    fn push(&mut self, mut member: Member) {
        self.extent.sectors += member.extent.sectors;
        match &mut member.held {
            // The memory stays where it is when the buffer that owns it moves.
            Held::Read(buffer) => self.vectors.push_mut(buffer),
            Held::Write(data) => data.iter().for_each(|payload| self.vectors.push(payload)),
        }
        self.members.push(member);
    }

    /// Where the next byte goes.
    pub(crate) fn offset(&self) -> u64 {
        self.extent.start * SECTOR_LEN as u64 + self.done_bytes
    }

    /// The memory that is left to move.
    pub(crate) fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// Whether what is left may go around the page cache.
    pub(crate) fn is_direct(&self, backing: &Backing) -> bool {
        backing.direct().is_some_and(|direct| {
            let align = u64::from(direct.offset_align);
            !self.is_cached
                && self.offset().is_multiple_of(align)
                && (self.vectors.bytes() as u64).is_multiple_of(align)
                && self.vectors.is_aligned(direct.memory_align)
                && self.members.iter().all(|member| member.is_aligned(align))
        })
    }

    /// The descriptor for what is left.
    fn file<'a>(&self, backing: &'a Backing) -> &'a File {
        match backing.direct() {
            Some(direct) if self.is_direct(backing) => &direct.file,
            _ => backing.cached(),
        }
    }

    /// Notes what one call did. `Ok(true)` where everything is done, `Ok(false)` where it must be handed
    /// to the kernel again.
    pub(crate) fn progress(
        &mut self,
        result: io::Result<usize>,
        backing: &Backing,
    ) -> io::Result<bool> {
        match result {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.vectors.advance(count);
                self.done_bytes += count as u64;
                Ok(self.vectors.bytes() == 0)
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR | libc::EAGAIN) => Ok(false),
                // The file system takes no direct I/O of this kind after all.
                Some(libc::EINVAL) if self.is_direct(backing) => {
                    self.is_cached = true;
                    Ok(false)
                }
                _ => Err(error),
            },
        }
    }

    /// Moves everything, waiting for it.
    pub(crate) fn run(&mut self, backing: &Backing) -> io::Result<()> {
        loop {
            let file = self.file(backing);
            let result = sys::transfer(file, self.direction, &self.vectors, self.offset());
            if self.progress(result, backing)? {
                return Ok(());
            }
        }
    }

    /// The answers of its members after success.
    pub(crate) fn succeed(self) -> impl Iterator<Item = (Reply, Answer)> {
        self.members.into_iter().map(Member::answer)
    }

    /// The answers of its members where it was never carried out.
    pub(crate) fn close(self) -> impl Iterator<Item = (Reply, Answer)> {
        self.members.into_iter().map(|member| (member.reply, Err(DiskError::Closed)))
    }

    /// After a failure: the answer of its only member, or its members as transfers of their own, so that
    /// each learns what becomes of itself.
    pub(crate) fn fail(self, backing: &Backing, error: &io::Error) -> Failed {
        let (direction, durability) = (self.direction, self.durability);
        if self.members.len() > 1 {
            let single = |member| {
                let transfer = Self::new(direction, durability, member);
                Self { is_cached: self.is_cached, ..transfer }
            };
            return Failed::Apart(self.members.into_iter().map(single).collect());
        }
        let verb = match direction {
            Direction::Read => "read",
            Direction::Write => "write",
        };
        let answer_of = |member: Member| {
            let error = backing.error(verb, member.extent, error);
            // The kernel may have told this writer of an earlier one's loss, and will not tell again.
            if durability == Durability::Stable && matches!(error, DiskError::Io { .. }) {
                backing.set_poison(&error);
            }
            (member.reply, Err(error))
        };
        Failed::Answers(self.members.into_iter().map(answer_of).collect())
    }
}

/// What comes of a transfer that failed.
pub(crate) enum Failed {
    /// It is over.
    Answers(Vec<(Reply, Answer)>),
    /// To be tried one by one.
    Apart(Vec<Transfer>),
}

impl Member {
    fn is_aligned(&self, align: u64) -> bool {
        let pieces_are = |pieces: &[Payload]| {
            pieces.iter().all(|payload| (payload.len() as u64).is_multiple_of(align))
        };
        match &self.held {
            Held::Read(buffer) => (buffer.len() as u64).is_multiple_of(align),
            Held::Write(data) => pieces_are(data),
        }
    }
}
