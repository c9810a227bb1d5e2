//! Bytes to write: random, so that nothing compresses them, from a store that is made once.

use base::rng::{Rng, SeededRng};

/// More than a processor's second-level cache, so that it costs what fresh data costs.
const STORE_LEN: usize = 8 << 20;
const STEP: usize = 512;

/// A store of random bytes.
#[derive(Debug)]
pub struct Payload {
    store: Vec<u8>,
    at: usize,
}

impl Payload {
    /// A store of its own for each seed.
    pub fn new(seed: u64) -> Self {
        let chance = SeededRng::new(seed);
        let words = (0..STORE_LEN / 8).flat_map(|_| chance.next_u64().to_le_bytes());
        Self { store: words.collect(), at: 0 }
    }

    /// A place for `len` bytes, another one each time for a long while.
    pub fn place(&mut self, len: usize) -> usize {
        if self.at + len > self.store.len() {
            // Shifted by a step, so that the same bytes do not meet again.
            self.at = self.at % 4096 / STEP * STEP + STEP;
        }
        let place = self.at;
        self.at += len;
        place
    }

    /// The bytes at a place.
    pub fn bytes(&self, place: usize, len: usize) -> &[u8] {
        &self.store[place..place + len]
    }
}
