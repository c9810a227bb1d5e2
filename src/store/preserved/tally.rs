//! How much a segment holds for which mark sequences.
//!
//! A tally is a short list of buckets, each for a stretch of sequences. A segment that saw more
//! sequences than there are buckets joins neighbours, so that a tally answers "at most".

use std::ops::Range;

use base::codec::{CodecError, Reader, Writer};

/// Buckets in a tally: enough for one sequence each in nearly every segment, and one KiB in a manifest.
const BUCKETS_MAX: usize = 32;

/// Entries and sectors of a stretch of sequences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bucket {
    first: u64,
    last: u64,
    entries: u32,
    sectors: u32,
}

/// Entries and stored sectors by mark sequence.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    /// In the order of sequences; they do not overlap.
    buckets: Vec<Bucket>,
}

impl Tally {
    /// Counts one entry of `sectors` stored sectors under `sequence`.
    pub(super) fn add(&mut self, sequence: u64, sectors: u8) {
        let at = self.buckets.partition_point(|bucket| bucket.last < sequence);
        match self.buckets.get_mut(at) {
            Some(bucket) if bucket.first <= sequence => {
                bucket.entries = bucket.entries.saturating_add(1);
                bucket.sectors = bucket.sectors.saturating_add(u32::from(sectors));
            }
            _ => {
                let sectors = u32::from(sectors);
                let bucket = Bucket { first: sequence, last: sequence, entries: 1, sectors };
                self.buckets.insert(at, bucket);
                self.shrink();
            }
        }
    }

    /// Counts everything that `other` counted.
    pub(super) fn join(&mut self, other: &Self) {
        self.buckets.extend_from_slice(&other.buckets);
        self.buckets.sort_by_key(|bucket| bucket.first);
        let mut at = 1;
        while at < self.buckets.len() {
            if self.buckets[at].first <= self.buckets[at - 1].last {
                self.join_at(at - 1);
            } else {
                at += 1;
            }
        }
        self.shrink();
    }

    /// How many entries.
    pub(super) fn entries(&self) -> u64 {
        self.buckets.iter().map(|bucket| u64::from(bucket.entries)).sum()
    }

    /// How many stored sectors.
    pub(super) fn sectors(&self) -> u64 {
        self.buckets.iter().map(|bucket| u64::from(bucket.sectors)).sum()
    }

    /// How many stored sectors at most lie under sequences that have one of these as the newest that is not newer:
    /// added to the sum of each, in ascending order.
    pub(super) fn add_by_floor(&self, floors: &[u64], sums: &mut [u64]) {
        for bucket in &self.buckets {
            let floor = |sequence| floors.partition_point(|floor| *floor <= sequence);
            for sum in &mut sums[floor(bucket.first).saturating_sub(1)..floor(bucket.last)] {
                *sum += u64::from(bucket.sectors);
            }
        }
    }

    /// How many stored sectors at most lie under any of these sequences.
    pub(super) fn sectors_in(&self, sequences: &[Range<u64>]) -> u64 {
        let meets = |bucket: &&Bucket| {
            sequences.iter().any(|range| bucket.first < range.end && bucket.last >= range.start)
        };
        self.buckets.iter().filter(meets).map(|bucket| u64::from(bucket.sectors)).sum()
    }

    /// Whether there may be an entry under these sequences.
    pub(super) fn meets(&self, sequences: &Range<u64>) -> bool {
        self.meeting(sequences).next().is_some()
    }

    /// Appends it to a manifest.
    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u16(u16::try_from(self.buckets.len()).unwrap_or(u16::MAX));
        for bucket in &self.buckets {
            writer.u64(bucket.first).u64(bucket.last).u32(bucket.entries).u32(bucket.sectors);
        }
    }

    /// Takes it from a manifest.
    ///
    /// # Errors
    /// `Short` where the bytes end, `Invalid` where the buckets are too many or out of order.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let count = usize::from(reader.u16()?);
        let invalid = |value| CodecError::Invalid { field: "tally", value };
        if count > BUCKETS_MAX {
            return Err(invalid(count as u64));
        }
        let mut buckets: Vec<Bucket> = Vec::with_capacity(count);
        for _ in 0..count {
            let (first, last) = (reader.u64()?, reader.u64()?);
            let (entries, sectors) = (reader.u32()?, reader.u32()?);
            let is_next = buckets.last().is_none_or(|before| before.last < first);
            if !is_next || last < first || entries == 0 {
                return Err(invalid(first));
            }
            buckets.push(Bucket { first, last, entries, sectors });
        }
        Ok(Self { buckets })
    }

    fn meeting(&self, sequences: &Range<u64>) -> impl Iterator<Item = &Bucket> {
        let Range { start, end } = *sequences;
        self.buckets.iter().filter(move |bucket| bucket.first < end && bucket.last >= start)
    }

    /// Joins neighbours, the smallest first, until there are few enough.
    fn shrink(&mut self) {
        while self.buckets.len() > BUCKETS_MAX {
            let sum = |at: &usize| {
                u64::from(self.buckets[*at].sectors) + u64::from(self.buckets[*at + 1].sectors)
            };
            let at = (0..self.buckets.len() - 1).min_by_key(sum).unwrap_or(0);
            self.join_at(at);
        }
    }

    fn join_at(&mut self, at: usize) {
        let next = self.buckets.remove(at + 1);
        let bucket = &mut self.buckets[at];
        bucket.last = bucket.last.max(next.last);
        bucket.entries = bucket.entries.saturating_add(next.entries);
        bucket.sectors = bucket.sectors.saturating_add(next.sectors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_of_few_sequences_is_exact() {
        let mut tally = Tally::default();
        for sequence in [5, 3, 5, 9] {
            tally.add(sequence, 8);
        }
        assert_eq!((tally.entries(), tally.sectors()), (4, 32));
        assert_eq!(tally.sectors_in(&[3..5, 5000..5001]), 8);
        assert_eq!(tally.sectors_in(&[4..9, 5000..5001]), 16);
        assert_eq!(tally.sectors_in(&[3..4, 9..10]), 16);
        let mut sums = [0; 3];
        tally.add_by_floor(&[2, 4, 9], &mut sums);
        assert_eq!(sums, [8, 16, 8], "of each mark what lies between it and the next");
        assert!(!tally.meets(&(6..9)));
    }

    #[test]
    fn a_tally_of_many_sequences_answers_at_most() {
        let mut tally = Tally::default();
        for sequence in 0..1000 {
            tally.add(sequence, 1);
        }
        assert_eq!(tally.buckets.len(), BUCKETS_MAX);
        assert_eq!((tally.entries(), tally.sectors()), (1000, 1000));
        assert!(tally.sectors_in(&[10..20, 5000..5001]) >= 10);
        assert!(tally.meets(&(999..1000)));
    }

    #[test]
    fn joining_keeps_the_sum_and_the_order() {
        let (mut a, mut b) = (Tally::default(), Tally::default());
        for sequence in 0..100 {
            a.add(sequence * 2, 3);
            b.add(sequence * 3, 5);
        }
        a.join(&b);
        assert_eq!((a.entries(), a.sectors()), (200, 800));
        let mut writer = Writer::new();
        a.encode(&mut writer);
        let bytes = writer.into_bytes();
        assert_eq!(Tally::decode(&mut Reader::new(&bytes)), Ok(a));
    }
}
