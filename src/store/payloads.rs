//! Payloads in memory: what is in the journal and not yet in a base, as far as memory allows.
//!
//! Kept by journal position, so the oldest go first, and all of a trimmed stretch at once.

use base::units::SECTORS_PER_BLOCK;
use disk::Payload;

use crate::pool::Core;

impl Core {
    /// Keeps the payloads of one record, of which each is whole blocks, from a journal position on.
    pub(crate) fn keep_payloads(&mut self, position: u64, payloads: &[Payload]) {
        let mut at = position;
        for payload in payloads {
            let blocks = payload.sectors() / SECTORS_PER_BLOCK;
            self.payloads.insert(at, payload.clone());
            self.payload_blocks += blocks;
            at += blocks;
        }
    }

    /// Gives memory back until payloads take at most `budget` blocks; what is not in the journal yet stays.
    pub(crate) fn drop_payloads(&mut self, budget: u64) {
        let first_in_flight =
            self.frames.keys().next().and_then(|number| self.frame_positions.get(number));
        let limit = first_in_flight.map_or(u64::MAX, |(position, _)| *position);
        while self.payload_blocks > budget {
            let Some(entry) = self.payloads.first_entry() else { return };
            if *entry.key() >= limit {
                return;
            }
            self.payload_blocks -= entry.remove().sectors() / SECTORS_PER_BLOCK;
        }
    }

    /// The payloads of `blocks` blocks from a journal position on, where all are in memory.
    pub(crate) fn payloads_at(&self, position: u64, blocks: u64) -> Option<Vec<Payload>> {
        let mut out = Vec::new();
        let (mut at, end) = (position, position + blocks);
        while at < end {
            let (start, payload) = self.payloads.range(..=at).next_back()?;
            let len = payload.sectors() / SECTORS_PER_BLOCK;
            let skip = at - start;
            if skip >= len {
                return None;
            }
            let take = (len - skip).min(end - at);
            out.push(payload.slice(skip * SECTORS_PER_BLOCK, take * SECTORS_PER_BLOCK));
            at += take;
        }
        Some(out)
    }

    /// Forgets payloads and frames before the frame that is the first one needed now.
    pub(crate) fn trim(&mut self, first_frame: u64, first_position: u64) {
        self.ring.tail = first_position;
        self.frame_positions = self.frame_positions.split_off(&first_frame);
        let kept = self.payloads.split_off(&first_position);
        let gone: u64 = self.payloads.values().map(Payload::sectors).sum();
        self.payload_blocks -= gone / SECTORS_PER_BLOCK;
        self.payloads = kept;
    }
}
