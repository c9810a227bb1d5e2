//! Requests as a mail store makes them: messages that are appended, and small changes to what is there.

use base::bitmap::Bitmap;
use base::rng::{Rng, SeededRng};

use crate::plan::{Kind, Request, Requests};

const BLOCK_LEN: u32 = 4096;
/// The longest request, in blocks: 64 KiB.
const BLOCKS_MAX: u64 = 16;
/// Appends in ten requests; the others change what is there.
const APPENDS: u64 = 4;

/// A mail store of so many blocks, some of them in use.
#[derive(Debug)]
pub struct MailLoad {
    blocks: u64,
    used: u64,
    chance: SeededRng,
    changed: Bitmap,
}

impl MailLoad {
    /// A store of `blocks` blocks of 4 KiB whose first `used` hold something.
    pub fn new(blocks: u64, used: u64, seed: u64) -> Self {
        Self { blocks, used, chance: SeededRng::new(seed), changed: Bitmap::new() }
    }

    /// How many bytes lie in blocks that were changed since this was last asked, each counted once.
    pub fn take_changed_bytes(&mut self) -> u64 {
        let bytes = self.changed.count() * u64::from(BLOCK_LEN);
        self.changed.clear();
        bytes
    }
}

impl Requests for MailLoad {
    fn next(&mut self) -> Request {
        let blocks = 1 + self.chance.below(BLOCKS_MAX);
        let is_append = self.chance.below(10) < APPENDS && self.used + blocks <= self.blocks;
        let start = if is_append {
            self.used += blocks;
            self.used - blocks
        } else {
            self.chance.below(self.used.saturating_sub(blocks) + 1)
        };
        for block in start..start + blocks {
            self.changed.insert(block);
        }
        let len = (1..=blocks).fold(0, |len, _| len + BLOCK_LEN);
        Request { kind: Kind::Write, offset: start * u64::from(BLOCK_LEN), len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_appends_and_changes_what_is_there() {
        let mut load = MailLoad::new(100_000, 1000, 1);
        let mut end = 1000 * 4096;
        let mut appends = 0;
        for _ in 0..1000 {
            let request = load.next();
            assert!(request.kind == Kind::Write && request.len.is_multiple_of(4096));
            assert!((4096..=65536).contains(&request.len));
            if request.offset == end {
                appends += 1;
                end += u64::from(request.len);
            }
            assert!(request.offset + u64::from(request.len) <= end);
        }
        assert!((350..450).contains(&appends), "{appends}");
    }

    #[test]
    fn a_full_store_only_changes() {
        let mut load = MailLoad::new(64, 64, 1);
        for _ in 0..1000 {
            let request = load.next();
            assert!(request.offset + u64::from(request.len) <= 64 * 4096);
        }
        assert_eq!(load.take_changed_bytes(), 64 * 4096);
    }

    #[test]
    fn a_block_that_changes_twice_counts_once() {
        let mut load = MailLoad::new(16, 16, 1);
        let written: u64 = (0..100).map(|_| u64::from(load.next().len)).sum();
        let changed = load.take_changed_bytes();
        assert!(changed <= 16 * 4096 && written > changed, "{written} {changed}");
        assert_eq!(load.take_changed_bytes(), 0);
    }
}
