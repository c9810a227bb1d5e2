//! Replies on their way out: their heads in one buffer, the data of reads by reference.
//!
//! What is waiting goes out in one vectored send, and no byte of read data is copied. Buffers that were
//! sent are kept for the next reads.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use disk::{Buffer, DiskError};

use super::limits::{SPARE_BUFFERS_MAX, SPARE_BYTES_MAX};

/// Slices of one vectored send: the heads and data of 64 replies.
pub const SLICES_MAX: usize = 128;
/// Bytes of sent heads that are kept before the rest moves to the front.
const STALE_HEADS_MAX: usize = 64 << 10;

#[derive(Debug)]
enum Part {
    /// So many bytes of the heads.
    Head(usize),
    /// These bytes of the first buffer, which ends with them if `is_last`.
    Data { bytes: Range<usize>, is_last: bool },
}

/// Replies that wait to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    heads: Vec<u8>,
    heads_sent: usize,
    parts: VecDeque<Part>,
    buffers: VecDeque<Buffer>,
    unsent: usize,
    spares: Spares,
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Bytes that wait.
    pub const fn unsent(&self) -> usize {
        self.unsent
    }

    /// Appends bytes that `write` appends to the vector it is given.
    pub fn head(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.heads.len();
        write(&mut self.heads);
        let len = self.heads.len() - before;
        self.unsent += len;
        match self.parts.back_mut() {
            Some(Part::Head(head)) => *head += len,
            _ if len > 0 => self.parts.push_back(Part::Head(len)),
            _ => {}
        }
    }

    /// Appends data that the next call of `end_data` hands over the buffer of.
    pub fn data(&mut self, bytes: Range<usize>) {
        if !bytes.is_empty() {
            self.unsent += bytes.len();
            self.parts.push_back(Part::Data { bytes, is_last: false });
        }
    }

    /// Hands over the buffer that the data appended since the last call lies in.
    pub fn end_data(&mut self, buffer: Buffer) {
        match self.parts.iter_mut().rev().find_map(|part| match part {
            Part::Data { is_last, .. } => Some(is_last),
            Part::Head(_) => None,
        }) {
            Some(is_last) if !*is_last => {
                *is_last = true;
                self.buffers.push_back(buffer);
            }
            _ => self.spares.put(buffer),
        }
    }

    /// Fills `slices` with what waits, from the front; gives how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut heads = &self.heads[self.heads_sent..];
        let mut buffers = self.buffers.iter();
        let mut buffer = buffers.next();
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            let bytes: &[u8] = match part {
                Part::Head(len) => {
                    let (head, rest) = heads.split_at(*len);
                    heads = rest;
                    head
                }
                Part::Data { bytes, is_last } => {
                    let data = buffer.map_or(&[][..], |buffer| &buffer[bytes.clone()]);
                    if *is_last {
                        buffer = buffers.next();
                    }
                    data
                }
            };
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        count
    }

    /// Notes that the first `len` bytes were sent.
    ///
    /// # Panics
    /// Where fewer are waiting.
    pub fn sent(&mut self, mut len: usize) {
        assert!(len <= self.unsent, "sent more than was waiting");
        self.unsent -= len;
        while len > 0 {
            let Some(part) = self.parts.front_mut() else { break };
            let (done, is_whole) = match part {
                Part::Head(head) => {
                    let done = len.min(*head);
                    *head -= done;
                    self.heads_sent += done;
                    (done, *head == 0)
                }
                Part::Data { bytes, is_last } => {
                    let done = len.min(bytes.len());
                    bytes.start += done;
                    let is_whole = bytes.start == bytes.end;
                    if is_whole && *is_last {
                        self.buffers.pop_front().into_iter().for_each(|b| self.spares.put(b));
                    }
                    (done, is_whole)
                }
            };
            len -= done;
            if is_whole {
                self.parts.pop_front();
            }
        }
        self.forget_sent_heads();
    }

    fn forget_sent_heads(&mut self) {
        if self.heads_sent == self.heads.len() {
            self.heads.clear();
            self.heads.shrink_to(STALE_HEADS_MAX);
            self.heads_sent = 0;
        } else if self.heads_sent > STALE_HEADS_MAX {
            self.heads.drain(..self.heads_sent);
            self.heads_sent = 0;
        }
    }

    /// A buffer of `sectors` sectors to read into, with anything in it.
    ///
    /// # Errors
    /// What allocating gives.
    pub fn buffer(&mut self, sectors: u64) -> Result<Buffer, DiskError> {
        self.spares.take(sectors).map_or_else(|| Buffer::sectors_to_fill(sectors), Ok)
    }
}

#[derive(Debug, Default)]
struct Spares {
    buffers: Vec<Buffer>,
    bytes: usize,
}

impl Spares {
    fn take(&mut self, sectors: u64) -> Option<Buffer> {
        let found = self.buffers.iter().rposition(|buffer| buffer.sectors() == sectors)?;
        let buffer = self.buffers.swap_remove(found);
        self.bytes -= buffer.len();
        Some(buffer)
    }

    fn put(&mut self, buffer: Buffer) {
        if buffer.len() > SPARE_BYTES_MAX {
            return;
        }
        while self.buffers.len() == SPARE_BUFFERS_MAX || self.bytes + buffer.len() > SPARE_BYTES_MAX
        {
            self.bytes -= self.buffers.swap_remove(0).len();
        }
        self.bytes += buffer.len();
        self.buffers.push(buffer);
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
