//! A Bloom filter over block indices: tells most runs that do not hold a block without reading a page.
//!
//! It is made of lines of 64 bytes; a block has all of its bits in one line, so a question costs one
//! cache miss. One line for 64 entries: eight bits each, about three wrong "maybe" in a hundred.

/// Bytes of a line.
pub(super) const LINE_LEN: usize = 64;
/// Entries for which one line is made.
const ENTRIES_PER_LINE: u64 = 64;
/// Bits that a block sets in its line.
const BITS_PER_BLOCK: u32 = 5;

/// The filter of one run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Bloom {
    lines: Vec<u8>,
}

impl Bloom {
    /// An empty filter for this many entries.
    pub(super) fn for_entries(entries: u64) -> Self {
        let lines = usize::try_from(lines_for(entries)).unwrap_or(0);
        Self { lines: vec![0; lines * LINE_LEN] }
    }

    /// The filter with these lines.
    pub(super) fn from_bytes(lines: Vec<u8>) -> Self {
        Self { lines }
    }

    /// Its lines one after the other.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.lines
    }

    /// Puts a block in.
    pub(super) fn insert(&mut self, block: u64) {
        let Some((start, mut bits)) = self.line_of(block) else { return };
        for _ in 0..BITS_PER_BLOCK {
            let bit = (bits & 511) as usize;
            self.lines[start + bit / 8] |= 1 << (bit % 8);
            bits >>= 9;
        }
    }

    /// Whether the block may have been put in; never false where it was.
    pub(super) fn may_hold(&self, block: u64) -> bool {
        let Some((start, mut bits)) = self.line_of(block) else { return true };
        (0..BITS_PER_BLOCK).all(|_| {
            let bit = (bits & 511) as usize;
            bits >>= 9;
            self.lines[start + bit / 8] & 1 << (bit % 8) != 0
        })
    }

    /// Where its line starts, and 45 bits that choose five of its 512.
    fn line_of(&self, block: u64) -> Option<(usize, u64)> {
        let lines = self.lines.len() / LINE_LEN;
        if lines == 0 {
            return None;
        }
        let hash = mix(block);
        let line = (u128::from(hash) * lines as u128) >> 64;
        Some((usize::try_from(line).ok()? * LINE_LEN, mix(hash)))
    }
}

/// How many lines a filter for this many entries has.
pub(super) fn lines_for(entries: u64) -> u64 {
    entries.div_ceil(ENTRIES_PER_LINE).max(1)
}

/// Spreads neighbouring numbers over all bits (the finaliser of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_that_was_put_in_may_be_held_and_few_others() {
        let mut bloom = Bloom::for_entries(10_000);
        (0..10_000).for_each(|block| bloom.insert(block * 7));
        assert!((0..10_000).all(|block| bloom.may_hold(block * 7)));
        let wrong = (0..10_000).filter(|block| bloom.may_hold(block * 7 + 3)).count();
        assert!(wrong < 600, "{wrong} of 10000");
    }

    #[test]
    fn a_filter_without_lines_excludes_nothing() {
        assert!(Bloom::from_bytes(Vec::new()).may_hold(1));
    }
}
