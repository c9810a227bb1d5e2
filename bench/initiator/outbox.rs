//! PDUs on their way out: many leave with one call, and what a call left behind goes with the next.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};

use tokio::net::TcpStream;

use super::login::Digests;
use super::pdu::{HEAD_LEN, Head};
use crate::Outcome;
use crate::payload::Payload;

/// Bytes of a checksum.
pub const DIGEST_LEN: usize = 4;
/// Pieces that leave with one call: what Linux takes at most is 1024.
const PIECES_MAX: usize = 192;

/// A checksum as it goes over the wire.
pub fn digest(bytes: &[u8]) -> [u8; DIGEST_LEN] {
    crc32c::crc32c(bytes).to_le_bytes()
}

/// Bytes of the store that go out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Body {
    /// Where they lie in the store.
    pub at: usize,
    /// How many they are.
    pub len: usize,
}

#[derive(Debug)]
struct Outgoing {
    head: [u8; HEAD_LEN + DIGEST_LEN],
    head_len: usize,
    body: Body,
    tail: [u8; DIGEST_LEN],
    tail_len: usize,
    sent: usize,
}

impl Outgoing {
    fn pieces<'a>(&'a self, payload: &'a Payload) -> [&'a [u8]; 3] {
        let body = payload.bytes(self.body.at, self.body.len);
        let mut skip = self.sent;
        [&self.head[..self.head_len], body, &self.tail[..self.tail_len]].map(|piece| {
            let skipped = skip.min(piece.len());
            skip -= skipped;
            &piece[skipped..]
        })
    }

    fn left(&self) -> usize {
        self.head_len + self.body.len + self.tail_len - self.sent
    }
}

/// The queue of PDUs, with the store that their data come from.
#[derive(Debug)]
pub struct Outbox {
    queue: VecDeque<Outgoing>,
    /// Where data come from.
    pub payload: Payload,
    digests: Digests,
}

impl Outbox {
    /// An empty queue.
    pub fn new(payload: Payload, digests: Digests) -> Self {
        Self { queue: VecDeque::new(), payload, digests }
    }

    /// Whether everything has left.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Puts a PDU at the end.
    pub fn push(&mut self, head: &Head, body: Body) {
        let mut outgoing = Outgoing {
            head: [0; HEAD_LEN + DIGEST_LEN],
            head_len: HEAD_LEN,
            body,
            tail: [0; DIGEST_LEN],
            tail_len: 0,
            sent: 0,
        };
        outgoing.head[..HEAD_LEN].copy_from_slice(head);
        if self.digests == Digests::Crc32c {
            outgoing.head[HEAD_LEN..].copy_from_slice(&digest(head));
            outgoing.head_len += DIGEST_LEN;
            if body.len > 0 {
                outgoing.tail = digest(self.payload.bytes(body.at, body.len));
                outgoing.tail_len = DIGEST_LEN;
            }
        }
        self.queue.push_back(outgoing);
    }

    /// Sends what the socket takes.
    ///
    /// # Errors
    /// Where the connection is broken.
    pub fn send(&mut self, stream: &TcpStream) -> Outcome<()> {
        while !self.queue.is_empty() {
            let pieces: Vec<IoSlice<'_>> = self
                .queue
                .iter()
                .take(PIECES_MAX / 3)
                .flat_map(|one| one.pieces(&self.payload))
                .filter(|piece| !piece.is_empty())
                .map(IoSlice::new)
                .collect();
            match stream.try_write_vectored(&pieces) {
                Ok(sent) => self.forget(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What waits, for tests.
    #[cfg(test)]
    pub fn waiting(&self) -> Vec<(Head, Body)> {
        let head = |one: &Outgoing| one.head.first_chunk().copied().unwrap_or([0; HEAD_LEN]);
        self.queue.iter().map(|one| (head(one), one.body)).collect()
    }

    fn forget(&mut self, mut sent: usize) {
        while let Some(first) = self.queue.front_mut() {
            let left = first.left();
            if sent < left {
                first.sent += sent;
                return;
            }
            sent -= left;
            self.queue.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Content;

    fn left(outbox: &Outbox) -> Vec<u8> {
        let pieces = outbox.queue.iter().flat_map(|one| one.pieces(&outbox.payload));
        pieces.flatten().copied().collect()
    }

    #[test]
    fn what_a_call_left_behind_is_the_rest_wherever_it_was_cut() {
        for digests in [Digests::None, Digests::Crc32c] {
            let new = || {
                let mut outbox = Outbox::new(Payload::of(Content::Repeated), digests);
                outbox.push(&[7; HEAD_LEN], Body { at: 0, len: 512 });
                outbox.push(&[8; HEAD_LEN], Body::default());
                outbox
            };
            let whole = left(&new());
            for cut in 0..=whole.len() {
                let mut outbox = new();
                outbox.forget(cut);
                assert_eq!(left(&outbox), whole[cut..], "{cut}");
            }
            let extra = if digests == Digests::None { 0 } else { 3 * DIGEST_LEN };
            assert_eq!(whole.len(), 2 * HEAD_LEN + 512 + extra);
        }
    }

    #[test]
    fn a_digest_is_that_of_the_standard() {
        // Source: RFC 7143 A.3, 32 bytes of zeroes.
        assert_eq!(digest(&[0; 32]), [0xaa, 0x36, 0x91, 0x8a]);
    }
}
