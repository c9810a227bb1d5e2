//! The requests of one session that the disk has, by the ticket that their answers carry.

use super::reply::Read;
use super::request::{ByteExtent, Header};
use super::wire::Errno;

/// What a request's answer will be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Data.
    Read(Read),
    /// Success of a write, or of zeroing.
    Write(ByteExtent),
    /// Success of a trim.
    Trim(ByteExtent),
    /// What contexts say.
    Status(ByteExtent),
    /// Success of a flush.
    Nothing,
}

impl Expected {
    /// Which bytes it is about.
    pub const fn bytes(&self) -> Option<ByteExtent> {
        match self {
            Self::Read(read) => Some(read.bytes),
            Self::Write(bytes) | Self::Trim(bytes) | Self::Status(bytes) => Some(*bytes),
            Self::Nothing => None,
        }
    }

    /// What it means that the disk ends before these bytes.
    pub const fn past_end(&self) -> Errno {
        match self {
            Self::Write(_) => Errno::NoSpace,
            Self::Read(_) | Self::Trim(_) | Self::Status(_) | Self::Nothing => Errno::Invalid,
        }
    }
}

/// A request that waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InFlight {
    /// Its header.
    pub header: Header,
    /// What its answer will be.
    pub expected: Expected,
    /// Bytes of memory that it accounts for.
    pub held: u64,
}

/// The requests that wait for answers.
#[derive(Debug, Default)]
pub struct Pending {
    slots: Vec<Option<InFlight>>,
    free: Vec<usize>,
    bytes: u64,
}

impl Pending {
    /// Adds one; gives its ticket.
    pub fn add(&mut self, in_flight: InFlight) -> u64 {
        self.bytes += in_flight.held;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[index] = Some(in_flight);
        index as u64
    }

    /// Removes the one with this ticket, if there is one.
    pub fn remove(&mut self, ticket: u64) -> Option<InFlight> {
        let index = usize::try_from(ticket).ok()?;
        let in_flight = self.slots.get_mut(index)?.take()?;
        self.free.push(index);
        self.bytes -= in_flight.held;
        Some(in_flight)
    }

    /// How many wait.
    pub const fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether none waits.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that they account for.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}
