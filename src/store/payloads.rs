//! Payloads in memory: what is in the journal and not yet in a base, as far as memory allows.
//!
//! Kept by journal position, which only rises: new ones come at the back, the oldest go first.

use std::collections::VecDeque;

use base::units::SECTORS_PER_BLOCK;
use disk::Payload;

use crate::pool::Core;

/// Payloads by the journal position of their first block, each whole blocks, in order.
#[derive(Default)]
pub(crate) struct Payloads {
    queue: VecDeque<(u64, Payload)>,
    blocks: u64,
}

impl Payloads {
    /// How many blocks they are.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Keeps the payloads of one record from a position on, which is behind all others.
    fn push(&mut self, position: u64, payloads: &[Payload]) {
        let mut at = position;
        for payload in payloads {
            self.queue.push_back((at, payload.clone()));
            at += blocks_of(payload);
        }
        self.blocks += at - position;
    }

    /// Takes the oldest out, where it lies before this position.
    fn pop_before(&mut self, position: u64) -> Option<Payload> {
        self.queue.front().filter(|(at, _)| *at < position)?;
        let (_, payload) = self.queue.pop_front()?;
        self.blocks -= blocks_of(&payload);
        Some(payload)
    }

    /// The payloads of `blocks` blocks from a position on, where all are there.
    fn find(&self, position: u64, blocks: u64) -> Option<Vec<Payload>> {
        let first = self.queue.partition_point(|(at, _)| *at <= position).checked_sub(1)?;
        let mut out = Vec::new();
        let (mut at, end) = (position, position + blocks);
        for (start, payload) in self.queue.range(first..) {
            let skip = at.checked_sub(*start)?;
            let take = blocks_of(payload).checked_sub(skip)?.min(end - at);
            if take == 0 {
                return None;
            }
            out.push(payload.slice(skip * SECTORS_PER_BLOCK, take * SECTORS_PER_BLOCK));
            at += take;
            if at == end {
                return Some(out);
            }
        }
        None
    }
}

fn blocks_of(payload: &Payload) -> u64 {
    payload.sectors() / SECTORS_PER_BLOCK
}

impl Core {
    /// Keeps the payloads of one record, of which each is whole blocks, from a journal position on.
    pub(crate) fn keep_payloads(&mut self, position: u64, payloads: &[Payload]) {
        self.payloads.push(position, payloads);
    }

    /// Gives memory back until payloads take at most `budget` blocks; what is not in the journal yet stays.
    pub(crate) fn drop_payloads(&mut self, budget: u64) {
        let first_in_flight =
            self.frames.keys().next().and_then(|number| self.frame_positions.get(number));
        let limit = first_in_flight.map_or(u64::MAX, |(position, _)| *position);
        while self.payloads.blocks() > budget && self.payloads.pop_before(limit).is_some() {}
    }

    /// The payloads of `blocks` blocks from a journal position on, where all are in memory.
    pub(crate) fn payloads_at(&self, position: u64, blocks: u64) -> Option<Vec<Payload>> {
        self.payloads.find(position, blocks)
    }

    /// Forgets payloads and frames before the frame that is the first one needed now. Gives the payloads
    /// back, to be dropped where nobody waits for the lock.
    pub(crate) fn trim(&mut self, first_frame: u64, first_position: u64) -> Vec<Payload> {
        self.ring.tail = first_position;
        self.frame_positions = self.frame_positions.split_off(&first_frame);
        std::iter::from_fn(|| self.payloads.pop_before(first_position)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::Buffer;

    fn payload(blocks: u64, fill: u8) -> Payload {
        let mut buffer = Buffer::for_sectors(blocks * SECTORS_PER_BLOCK).unwrap();
        buffer.fill(fill);
        buffer.freeze()
    }

    #[test]
    fn payloads_are_found_by_position_across_neighbours() {
        let mut all = Payloads::default();
        all.push(10, &[payload(2, 1), payload(3, 2)]);
        all.push(20, &[payload(4, 3)]);
        let found = all.find(11, 4).unwrap();
        assert_eq!(found.iter().map(blocks_of).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((found[0][0], found[1][0]), (1, 2));
        assert!(all.find(13, 3).is_none(), "there is a gap behind 15");
        assert!(all.find(9, 1).is_none());
        assert!(all.find(22, 3).is_none(), "it ends at 24");
        assert_eq!(all.find(23, 1).unwrap()[0][0], 3);
        assert_eq!(all.blocks(), 9);
        assert_eq!(std::iter::from_fn(|| all.pop_before(12)).count(), 1);
        assert!(all.find(10, 1).is_none());
        assert_eq!(all.blocks(), 7);
    }
}
