//! Damage of any byte is an error or harmless: never a wrong block, never a panic, never a silent loss.

use base::codec::{Reader, Writer};
use base::units::Extent;
use disk::{AnyDisk, Buffer, Durability, MemShelf, Usage};

use super::*;

async fn flip(disk: &AnyDisk, byte: u64) {
    let mut sector = disk.read(Extent::new(byte / 512, 1)).await.unwrap();
    sector[usize::try_from(byte % 512).unwrap()] ^= 0x11;
    let data = vec![Buffer::copy_of(&sector).unwrap().freeze()];
    disk.write(byte / 512, data, Durability::Volatile).await.unwrap();
}

/// Three chunks in one segment, each flushed, and the manifest after them.
async fn three_chunks() -> (Arc<dyn Shelf>, AnyDisk, Vec<(Key, Place)>, Manifest) {
    let shelf: Arc<dyn Shelf> = Arc::new(MemShelf::new());
    let (store, _) = PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
    let mut all = Vec::new();
    for sequence in 1..4 {
        let items = (0..6).map(|block| preserve(Key::new(block, sequence))).collect();
        all.extend(store.append(items).await.unwrap());
        store.flush().await.unwrap();
    }
    let (manifest, _) = store.checkpoint().await.unwrap();
    let disk = shelf.open(&segment::name_of(VOLUME, 0), Usage::Data).unwrap();
    (shelf, disk, all, manifest)
}

#[tokio::test]
async fn a_damaged_byte_is_never_served() {
    let (shelf, disk, all, manifest) = three_chunks().await;
    // Everything is below the cut, so that recovery reads none of it.
    let manifest = Manifest {
        scan_from: ScanFrom { sector: 128, chunk: manifest.next_chunk, ..manifest.scan_from },
        ..manifest
    };
    let (store, found) = PreservedStore::recover(setup(&shelf, 2), &manifest).await.unwrap();
    assert_eq!(found, []);
    let used = u64::from(store.segments()[0].1) * 512;
    let mut refused = 0;
    for byte in (0..used).step_by(3) {
        flip(&disk, byte).await;
        let sector = u32::try_from(byte / 512).unwrap();
        for (answer, (key, place)) in store.read_many(&all).await.into_iter().zip(&all) {
            let end = place.sector + u32::from(place.sectors);
            let is_hit = (place.sector..end).contains(&sector);
            match answer {
                Ok(block) => {
                    assert!(!is_hit, "byte {byte} of {key:?} was served");
                    assert!(*block == bytes_of(&content_of(*key))[..]);
                }
                Err(StoreReadError::Damaged { block, sequence, .. }) => {
                    assert!(is_hit && Key::new(block, sequence) == *key);
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        flip(&disk, byte).await;
    }
    assert!(refused > 1000);
    check_all(&store, &all).await;
}

#[tokio::test]
async fn an_extent_in_the_place_of_another_is_refused() {
    let (shelf, _, all, manifest) = three_chunks().await;
    let (store, _) = PreservedStore::recover(setup(&shelf, 2), &manifest).await.unwrap();
    let raw: Vec<_> = all.iter().filter(|(_, place)| place.form == Form::Raw).collect();
    let ((key, place), (other, _)) = (raw[0], raw[1]);
    // The place's own sum would match: it is the owner that does not.
    let answer = store.read(*other, *place).await;
    assert!(matches!(answer, Err(StoreReadError::Damaged { .. })), "{answer:?}");
    let stranger = PreservedSetup { volume: Id(9), ..setup(&shelf, 2) };
    let (stranger, _) = PreservedStore::recover(stranger, &Manifest::default()).await.unwrap();
    assert!(stranger.read(*key, *place).await.is_err());
}

#[tokio::test]
async fn a_flushed_chunk_that_is_damaged_is_never_passed_over() {
    let (shelf, disk, all, manifest) = three_chunks().await;
    let (mut errors, mut fine) = (0, 0);
    let used = u64::from(manifest.segments[&0].used) * 512;
    for byte in (0..used).step_by(37) {
        flip(&disk, byte).await;
        // The checkpoint came after all three.
        match PreservedStore::recover(setup(&shelf, 2), &manifest).await {
            Ok((_, found)) => {
                assert_eq!(found, all, "byte {byte}");
                fine += 1;
            }
            Err(PreservedError::Damaged(_)) => errors += 1,
            Err(error) => panic!("{error}"),
        }
        // No checkpoint: that the first two were flushed, the third tells.
        match PreservedStore::recover(setup(&shelf, 2), &Manifest::default()).await {
            Ok((_, found)) => assert!(found == all || found == all[..12], "byte {byte}"),
            Err(PreservedError::Damaged(_)) => {}
            Err(error) => panic!("{error}"),
        }
        flip(&disk, byte).await;
    }
    assert!(errors > 100 && fine > 100, "{errors} {fine}");
    let (_, found) = PreservedStore::recover(setup(&shelf, 2), &manifest).await.unwrap();
    assert_eq!(found, all);
}

#[test]
fn a_head_with_any_bit_flipped_is_refused() {
    let entries = (0..120).map(|block| chunk::ChunkEntry {
        key: Key::new(block, block % 9),
        checksum: u32::MAX - 7,
        sectors: if block % 2 == 0 { 8 } else { 0 },
        form: if block % 2 == 0 { Form::Raw } else { Form::Zero },
    });
    let head = ChunkHead {
        volume: VOLUME,
        incarnation: 3,
        number: 7,
        durable_below: 5,
        entries: entries.collect(),
    };
    let bytes = head.encode();
    assert_eq!(bytes.len(), 8192);
    assert_eq!(ChunkHead::decode(&bytes), Ok(head));
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(ChunkHead::decode(&damaged).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(ChunkHead::decode(&bytes[..len]).is_err(), "{len} bytes");
    }
}

#[tokio::test]
async fn no_bytes_make_the_manifest_decoder_panic() {
    let (_, _, _, manifest) = three_chunks().await;
    let mut writer = Writer::new();
    manifest.encode(&mut writer);
    let bytes = writer.into_bytes();
    assert_eq!(Manifest::decode(&mut Reader::new(&bytes)), Ok(manifest));
    for len in 0..bytes.len() {
        assert!(Manifest::decode(&mut Reader::new(&bytes[..len])).is_err(), "{len} bytes");
    }
    for (at, value) in (0..bytes.len()).flat_map(|at| [0, 1, 127, 255].map(|value| (at, value))) {
        let mut damaged = bytes.clone();
        damaged[at] = value;
        let _decoded = Manifest::decode(&mut Reader::new(&damaged));
    }
}
