//! From received bytes to PDUs: what was received and not yet understood, and the segment that is being
//! gathered.
//!
//! Pure: it owns memory and no socket. Small data segments pass through the one receive buffer, so that
//! one receive brings many PDUs; long ones are received straight into the buffers that a disk gets.
//! Lengths are checked before anything is taken.

use std::ops::Range;

use disk::DiskError;

use super::gathered::Gathered;
use super::limits::{BULK_RECEIVE_LEN, RECEIVE_LEN, RECV_SEGMENT_LEN_MAX, SMALL_SEGMENT_LEN_MAX};
use super::parameters::Parameters;
use super::pdu::wire::{DIGEST_LEN, HEADER_LEN, request};
use super::pdu::{Head, padding};

/// Bytes of additional header segments that are taken: one that says how much is read, and an extended CDB.
const AHS_LEN_MAX: usize = 280;

/// A PDU that has arrived whole, and whose digests are right.
#[derive(Debug)]
pub struct Pdu {
    /// Its header.
    pub head: Head,
    /// Where its additional header segments lie in the receive buffer.
    pub ahs: Range<usize>,
    /// Its data.
    pub segment: Segment,
}

/// The data of a PDU.
#[derive(Debug)]
pub enum Segment {
    /// It lies there in the receive buffer.
    Small(Range<usize>),
    /// It was gathered.
    Long(Gathered),
}

/// Where a long segment goes.
#[derive(Debug)]
pub struct Sink {
    /// What gathers it.
    pub gathered: Gathered,
    /// Bytes of it that are kept.
    pub kept: usize,
}

/// What the bytes received so far amount to.
#[derive(Debug)]
pub enum Next {
    /// A PDU. There may be more.
    Pdu(Pdu),
    /// Nothing whole: more has to be received.
    Hungry,
    /// The data of a PDU is damaged.
    Damaged(Head),
    /// The connection cannot go on.
    Drop(&'static str),
}

/// Digests that are expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Digests {
    /// Behind headers.
    pub header: bool,
    /// Behind data.
    pub data: bool,
}

impl From<&Parameters> for Digests {
    fn from(parameters: &Parameters) -> Self {
        Self { header: parameters.has_header_digest, data: parameters.has_data_digest }
    }
}

#[derive(Debug)]
struct Long {
    head: Head,
    gathered: Gathered,
    /// Bytes to come that are kept.
    kept: usize,
    /// Bytes to come behind them that are not.
    skipped: usize,
    sum: u32,
}

/// Received bytes on their way to PDUs.
#[derive(Debug)]
pub struct Intake {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    long: Option<Long>,
    digests: Digests,
    is_bulk: bool,
}

impl Intake {
    /// An empty one, that expects these digests.
    pub fn new(digests: Digests) -> Self {
        Self { bytes: vec![0; RECEIVE_LEN], start: 0, end: 0, long: None, digests, is_bulk: false }
    }

    /// The bytes at a place that a PDU named. They stay until the next receive.
    pub fn bytes(&self, place: &Range<usize>) -> &[u8] {
        &self.bytes[place.clone()]
    }

    /// Where to receive to: never empty after `next` was `Hungry`.
    ///
    /// # Errors
    /// What allocating gives.
    pub fn space(&mut self) -> Result<&mut [u8], DiskError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if let Some(long) = &mut self.long
                && long.kept > 0
            {
                return long.gathered.space(long.kept);
            }
        } else if self.bytes.len() - self.end < 2 * SMALL_SEGMENT_LEN_MAX {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let space = &mut self.bytes[self.end..];
        let len = if self.is_bulk { space.len().min(BULK_RECEIVE_LEN) } else { space.len() };
        Ok(&mut space[..len])
    }

    /// Notes that `len` bytes were received into the space.
    ///
    /// # Panics
    /// Where they are more than the space.
    pub fn received(&mut self, len: usize) {
        match &mut self.long {
            Some(long) if self.start == self.end && long.kept > 0 => {
                if self.digests.data
                    && let Ok(space) = long.gathered.space(len)
                {
                    long.sum = crc_append(long.sum, &space[..len]);
                }
                long.gathered.advance(len);
                long.kept -= len;
            }
            _ => {
                self.end += len;
                assert!(self.end <= self.bytes.len(), "received past the end of the space");
            }
        }
    }

    /// The next PDU, where one has arrived. `lend` says where the data of a long Data-Out goes; where it
    /// says nothing, that is not kept.
    pub fn next(&mut self, lend: &mut dyn FnMut(&Head) -> Result<Sink, &'static str>) -> Next {
        match self.long.take() {
            Some(long) => self.gather(long),
            None => self.begin(lend),
        }
    }

    fn waiting(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn begin(&mut self, lend: &mut dyn FnMut(&Head) -> Result<Sink, &'static str>) -> Next {
        let waiting = self.waiting();
        let Some(head) = Head::first_of(waiting) else { return Next::Hungry };
        let (ahs_len, data_len) = (head.ahs_len(), head.data_len());
        if ahs_len > AHS_LEN_MAX {
            return Next::Drop("additional headers that are too long");
        }
        let digest_len = if self.digests.header { DIGEST_LEN } else { 0 };
        let header_len = HEADER_LEN + ahs_len;
        let Some(digest) = waiting.get(header_len..header_len + digest_len) else {
            return Next::Hungry;
        };
        if self.digests.header && digest != digest_of(crc(&waiting[..header_len])) {
            return Next::Drop("a header that is damaged");
        }
        if data_len > RECV_SEGMENT_LEN_MAX as usize {
            return Next::Drop("more data than was agreed on");
        }
        let ahs = self.start + HEADER_LEN..self.start + header_len;
        let data = self.start + header_len + digest_len;
        if data_len > SMALL_SEGMENT_LEN_MAX {
            if ahs_len > 0 {
                return Next::Drop("additional headers before long data");
            }
            let Sink { gathered, kept } = match sink_of(&head, data_len, lend) {
                Ok(sink) => sink,
                Err(why) => return Next::Drop(why),
            };
            let kept = kept.min(data_len);
            let skipped = data_len - kept;
            self.start = data;
            self.is_bulk = true;
            return self.gather(Long { head, gathered, kept, skipped, sum: 0 });
        }
        let padded = data_len + padding(data_len);
        let tail = if self.digests.data && data_len > 0 { DIGEST_LEN } else { 0 };
        if self.end - self.start < data - self.start + padded + tail {
            return Next::Hungry;
        }
        self.is_bulk = false;
        self.start = data + padded + tail;
        let digest = &self.bytes[data + padded..data + padded + tail];
        if tail > 0 && digest != digest_of(crc(&self.bytes[data..data + padded])) {
            return Next::Damaged(head);
        }
        Next::Pdu(Pdu { head, ahs, segment: Segment::Small(data..data + data_len) })
    }

    /// Goes on with a long segment: what was received beside it, its padding, its digest.
    fn gather(&mut self, mut long: Long) -> Next {
        let len = long.kept.min(self.end - self.start);
        let taken = &self.bytes[self.start..self.start + len];
        if long.gathered.append(taken).is_err() {
            return Next::Drop("there is no memory for the data");
        }
        long.sum = if self.digests.data { crc_append(long.sum, taken) } else { 0 };
        self.start += len;
        long.kept -= len;
        if long.kept > 0 {
            self.long = Some(long);
            return Next::Hungry;
        }
        let len = long.skipped.min(self.end - self.start);
        let taken = &self.bytes[self.start..self.start + len];
        long.sum = if self.digests.data { crc_append(long.sum, taken) } else { 0 };
        self.start += len;
        long.skipped -= len;
        let padding = padding(long.head.data_len());
        let tail = if self.digests.data { DIGEST_LEN } else { 0 };
        if long.skipped > 0 || self.end - self.start < padding + tail {
            self.long = Some(long);
            return Next::Hungry;
        }
        let digest = self.start + padding;
        let sum = crc_append(long.sum, &self.bytes[self.start..digest]);
        self.start = digest + tail;
        if tail > 0 && self.bytes[digest..digest + tail] != digest_of(sum) {
            return Next::Damaged(long.head);
        }
        Next::Pdu(Pdu { head: long.head, ahs: 0..0, segment: Segment::Long(long.gathered) })
    }
}

/// Where a long segment goes. That of a command begins what the command gathers.
fn sink_of(
    head: &Head,
    data_len: usize,
    lend: &mut dyn FnMut(&Head) -> Result<Sink, &'static str>,
) -> Result<Sink, &'static str> {
    match head.opcode() {
        request::DATA_OUT => lend(head),
        request::COMMAND => {
            let expected = head.ttt();
            let kept = usize::try_from(expected).map_or(data_len, |len| len.min(data_len));
            Ok(Sink { gathered: Gathered::new(u64::from(expected)), kept })
        }
        _ => Ok(Sink { gathered: Gathered::new(data_len as u64), kept: data_len }),
    }
}

fn crc(bytes: &[u8]) -> u32 {
    crc_append(0, bytes)
}

fn crc_append(sum: u32, bytes: &[u8]) -> u32 {
    base::checksum::append(sum, bytes)
}

/// A digest as it is sent: the sum's low byte first.
///
/// Source: RFC 7143 13.1.
pub const fn digest_of(sum: u32) -> [u8; DIGEST_LEN] {
    sum.to_le_bytes()
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
