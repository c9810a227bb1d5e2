//! Tests of the preserved store, on disks in memory and on the simulated shelf.

mod basics;
mod damage;
mod reclaim;
mod room;
mod torn;
mod whole;

use std::sync::Arc;

use base::id::Id;
use disk::{Buffer, Payload, Shelf};

use super::chunk::ChunkHead;
use super::error::StoreReadError;
use super::manifest::ScanFrom;
use super::*;

pub(super) const VOLUME: Id = Id(0x7651);

/// A setup with small segments on this shelf.
pub(super) fn setup(shelf: &Arc<dyn Shelf>, incarnation: u64) -> PreservedSetup {
    let options = PreservedOptions {
        segment_len: 64 << 10,
        compression_level: Some(1),
        open_segments_max: 4,
    };
    PreservedSetup { shelf: Arc::clone(shelf), volume: VOLUME, incarnation, options }
}

/// A block that zstd cannot make smaller.
pub(super) fn noise(seed: u64) -> Payload {
    use base::rng::Rng;
    let rng = base::rng::SeededRng::new(seed);
    let mut block = Buffer::zeroed(4096).unwrap();
    for word in block.chunks_exact_mut(8) {
        word.copy_from_slice(&rng.next_u64().to_le_bytes());
    }
    block.freeze()
}

/// A block that zstd makes much smaller.
pub(super) fn prose(seed: u64) -> Payload {
    let line = format!("From: {seed}@example.org, and so on. ");
    let bytes: Vec<u8> = line.bytes().cycle().take(4096).collect();
    Buffer::copy_of(&bytes).unwrap().freeze()
}

/// The content that tests preserve under this key: every kind occurs.
pub(super) fn content_of(key: Key) -> Content {
    let seed = key.block * 1_000_003 + key.sequence;
    match seed % 5 {
        0 => Content::Zero,
        1 => Content::Absent,
        2 | 3 => Content::Data(prose(seed)),
        _ => Content::Data(noise(seed)),
    }
}

/// The bytes that must be read back.
pub(super) fn bytes_of(content: &Content) -> Vec<u8> {
    match content {
        Content::Data(payload) => payload.to_vec(),
        Content::Zero | Content::Absent => vec![0; 4096],
        Content::Damaged => panic!("a damaged block has no bytes"),
    }
}

pub(super) fn preserve(key: Key) -> Preserve {
    Preserve { key, content: content_of(key) }
}

/// Checks that each entry reads back as what `content_of` gave.
pub(super) async fn check_all(store: &PreservedStore, entries: &[(Key, Place)]) {
    let read = store.read_many(entries).await;
    for ((key, place), read) in entries.iter().zip(read) {
        let expected = bytes_of(&content_of(*key));
        assert!(*read.unwrap() == expected[..], "{key:?} {place:?}");
        assert!(*store.read(*key, *place).await.unwrap() == expected[..], "{key:?} {place:?}");
    }
}
