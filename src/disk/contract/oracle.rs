//! Random batches against plain bytes in memory.

use base::rng::{Rng, SeededRng};
use base::units::{Extent, SECTOR_LEN};

use super::{SECTORS_MIN, ask, bytes_of};
use crate::{AnyDisk, Buffer, Durability, Keep, Op};

/// Sectors that are used: few, so that requests meet.
const SECTORS: u64 = 600;

/// Hands random batches down and compares everything that is read with what plain bytes hold. The changes
/// of one batch do not overlap; its reads stay clear of its changes.
///
/// # Panics
/// Where something else is read, naming the seed.
pub async fn compare_with_oracle(disk: &AnyDisk, seed: u64, batches: usize) {
    assert!(disk.geometry().sectors >= SECTORS_MIN);
    let rng = SeededRng::new(seed);
    let mut oracle = vec![0u8; usize::try_from(SECTORS).unwrap_or(0) * SECTOR_LEN];
    for batch in 0..batches {
        let (ops, reads) = batch_of(&rng, &mut oracle);
        let answers = ask(disk, ops).await;
        for (answer, wanted) in answers.into_iter().zip(reads) {
            match wanted {
                Some(wanted) => {
                    let read = bytes_of(answer).expect("read");
                    assert!(read[..] == wanted[..], "batch {batch} of seed {seed} read wrong");
                }
                None => drop(answer.expect("change")),
            }
        }
    }
    let read = disk.read(Extent::new(0, SECTORS)).await.expect("read");
    assert!(read[..] == oracle[..], "after all batches of seed {seed}");
}

/// A batch, and what its reads should find.
fn batch_of(rng: &SeededRng, oracle: &mut [u8]) -> (Vec<Op>, Vec<Option<Vec<u8>>>) {
    let (mut ops, mut wanted) = (Vec::new(), Vec::new());
    let mut at = rng.below(40);
    loop {
        let sectors = match rng.below(4) {
            0 => 8,
            1 => 1 + rng.below(64),
            _ => 1 + rng.below(12),
        };
        let extent = Extent::new(at, sectors);
        if !extent.fits(SECTORS) {
            return (ops, wanted);
        }
        // Whole sectors below SECTORS, so these fit.
        let bytes = usize::try_from(at).unwrap_or(0) * SECTOR_LEN;
        let len = usize::try_from(sectors).unwrap_or(0) * SECTOR_LEN;
        let (op, read) = op_of(rng, extent, &mut oracle[bytes..bytes + len]);
        ops.push(op);
        wanted.push(read);
        // Discards may round, so neighbours of a batch are often apart, and often adjacent.
        at = extent.end() + if rng.below(2) == 0 { 0 } else { rng.below(30) };
    }
}

fn op_of(rng: &SeededRng, extent: Extent, oracle: &mut [u8]) -> (Op, Option<Vec<u8>>) {
    let durability = if rng.below(8) == 0 { Durability::Stable } else { Durability::Volatile };
    match rng.below(10) {
        0..4 => {
            for sector in oracle.chunks_mut(SECTOR_LEN) {
                sector.fill(rng.next_u64().to_le_bytes()[0]);
            }
            let payload = Buffer::copy_of(oracle).expect("whole sectors").freeze();
            let cut = rng.below(extent.sectors + 1);
            let data = vec![payload.slice(0, cut), payload.slice(cut, extent.sectors - cut)];
            (Op::Write { start: extent.start, data, durability }, None)
        }
        4 => {
            oracle.fill(0);
            let keep = if rng.below(2) == 0 { Keep::Nothing } else { Keep::Space };
            (Op::WriteZeroes { extent, keep, durability }, None)
        }
        5 => (Op::Flush, None),
        _ => {
            let buffer = Buffer::zeroed(oracle.len()).expect("whole sectors");
            (Op::Read { start: extent.start, buffer }, Some(oracle.to_vec()))
        }
    }
}
