//! Damage of any byte is an error or harmless: never a wrong answer, never a panic.

use base::codec::{Reader, Writer};
use disk::{AnyDisk, Buffer, Durability, MemShelf, Usage};

use super::super::frame::{Foot, FrameKind, decode_frame, encode_frame};
use super::super::page::{PageBuilder, PageName};
use super::*;

const NAME: PageName = PageName { volume: VOLUME, run: 3, index: 2 };

fn page_bytes() -> Vec<u8> {
    let mut builder = PageBuilder::default();
    let mut block = 1 << 33;
    while builder.push(Key::new(block, block % 200), place_of(Key::new(block, 1))) {
        block += block % 1000 + 1;
    }
    builder.take(NAME).unwrap()
}

#[test]
fn a_page_gives_back_what_was_put_in() {
    let mut builder = PageBuilder::default();
    let keys = [Key::new(0, 0), Key::new(0, u64::MAX - 1), Key::new(u64::MAX, 5)];
    for key in keys {
        assert!(builder.push(key, place_of(Key::new(7, 7))));
    }
    let page = Page::decode(&builder.take(NAME).unwrap(), NAME).unwrap();
    let entries: Vec<_> = (0..page.count()).map(|index| page.entry(index)).collect();
    assert_eq!(entries, keys.map(|key| (key, place_of(Key::new(7, 7)))));
    assert_eq!(page.lower_bound(Key::new(0, 1)), 1);
    assert_eq!(page.lower_bound(Key::new(u64::MAX, 6)), 3);
}

#[test]
fn a_page_with_any_bit_flipped_is_refused() {
    let bytes = page_bytes();
    assert!(Page::decode(&bytes, NAME).is_ok());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Page::decode(&damaged, NAME).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(Page::decode(&bytes[..len], NAME).is_err(), "{len} bytes");
    }
}

#[test]
fn a_page_in_another_place_is_refused() {
    let bytes = page_bytes();
    for name in [
        PageName { index: 3, ..NAME },
        PageName { run: 4, ..NAME },
        PageName { volume: Id(1), ..NAME },
    ] {
        assert!(Page::decode(&bytes, name).is_err());
    }
}

#[test]
fn frames_and_feet_with_any_bit_flipped_are_refused() {
    let frame = encode_frame(FrameKind::Fences, NAME, &[7; 100]);
    let foot = Foot {
        volume: VOLUME,
        run: 3,
        pages: 9,
        fence_pages: 1,
        filter_pages: 1,
        entries: 2000,
        last: Key::new(9, 9),
        sequence_min: 1,
        sequence_max: 9,
    };
    let feet = foot.encode();
    assert_eq!(decode_frame(&frame, FrameKind::Fences, NAME).unwrap(), [7; 100]);
    assert!(decode_frame(&frame, FrameKind::Filter, NAME).is_err());
    assert_eq!(Foot::decode(&feet), Ok(foot));
    for bit in 0..frame.len() * 8 {
        let (mut frame, mut feet) = (frame.clone(), feet.clone());
        frame[bit / 8] ^= 1 << (bit % 8);
        feet[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_frame(&frame, FrameKind::Fences, NAME).is_err(), "bit {bit}");
        assert!(Foot::decode(&feet).is_err(), "bit {bit}");
    }
}

#[test]
fn no_bytes_make_the_manifest_decoder_panic() {
    let mut writer = Writer::new();
    let runs = vec![manifest::RunRecord {
        number: 3,
        pages: 9,
        fence_pages: 1,
        filter_pages: 1,
        entries: 2000,
    }];
    let manifest = MapManifest { next_run: 4, runs };
    manifest.encode(&mut writer);
    let bytes = writer.into_bytes();
    assert_eq!(MapManifest::decode(&mut Reader::new(&bytes)), Ok(manifest));
    for len in 0..bytes.len() {
        assert!(MapManifest::decode(&mut Reader::new(&bytes[..len])).is_err());
    }
    for (at, value) in (0..bytes.len()).flat_map(|at| [0, 1, 127, 255].map(|value| (at, value))) {
        let mut damaged = bytes.clone();
        damaged[at] = value;
        let _decoded = MapManifest::decode(&mut Reader::new(&damaged));
    }
}

async fn flip(disk: &AnyDisk, byte: u64) {
    let sector = byte / 512;
    let mut buffer = disk.read(base::units::Extent::new(sector, 1)).await.unwrap();
    buffer[usize::try_from(byte % 512).unwrap()] ^= 0x40;
    let data = vec![Buffer::copy_of(&buffer).unwrap().freeze()];
    disk.write(sector, data, Durability::Volatile).await.unwrap();
}

#[tokio::test]
async fn a_run_with_a_damaged_byte_never_answers_wrongly() {
    let shelf: Arc<dyn Shelf> = Arc::new(MemShelf::new());
    let map = EpochMap::open(setup(&shelf), &MapManifest::default()).await.unwrap();
    let entries: Vec<_> = (0..500).map(|block| entry(block * 1000, block % 7)).collect();
    map.insert(&entries);
    map.flush_memtable().await.unwrap();
    let (manifest, _) = map.manifest();
    let used = map.stored_bytes();
    let disk = shelf.open(&shelf.list().unwrap()[0], Usage::Data).unwrap();
    let (mut refused_open, mut refused_lookup) = (0, 0);
    for byte in (0..used).step_by(61) {
        flip(&disk, byte).await;
        match EpochMap::open(setup(&shelf), &manifest).await {
            Err(MapError::Damaged { run: 0, .. }) => refused_open += 1,
            Err(error) => panic!("byte {byte}: {error}"),
            Ok(map) => {
                let mut is_refused = false;
                for (key, place) in entries.iter().step_by(20) {
                    match map.lookup(key.block, 0).await {
                        Ok(found) => assert_eq!(found, Some((key.sequence, *place))),
                        Err(MapError::Damaged { run: 0, .. }) => is_refused = true,
                        Err(error) => panic!("byte {byte}: {error}"),
                    }
                    assert_eq!(map.lookup(key.block + 1, 0).await.ok().flatten(), None);
                }
                assert!(is_refused, "byte {byte} was not found out");
                refused_lookup += 1;
            }
        }
        flip(&disk, byte).await;
    }
    assert!(refused_open > 0 && refused_lookup > 0);
    assert!(EpochMap::open(setup(&shelf), &manifest).await.is_ok());
}

#[tokio::test]
async fn a_damaged_run_fails_a_merge_and_loses_nothing() {
    let shelf: Arc<dyn Shelf> = Arc::new(MemShelf::new());
    let map = EpochMap::open(setup(&shelf), &MapManifest::default()).await.unwrap();
    for run in 0..3 {
        map.insert(&(0..500).map(|block| entry(block, run + 1)).collect::<Vec<_>>());
        map.flush_memtable().await.unwrap();
    }
    let before = shelf.list().unwrap();
    let disk = shelf.open(&before[1], Usage::Data).unwrap();
    flip(&disk, 4096 + 100).await;
    map.compact();
    let live = LiveMarks::new(vec![1, 2, 3], 3);
    let mut answer = map.merge_step(&live).await;
    while matches!(answer, Ok(MergeProgress::Working)) {
        answer = map.merge_step(&live).await;
    }
    assert!(matches!(answer, Err(MapError::Damaged { run: 1, .. })), "{answer:?}");
    assert_eq!(shelf.list().unwrap(), before);
    flip(&disk, 4096 + 100).await;
    map.compact();
    while map.merge_step(&live).await.unwrap() != MergeProgress::Idle {}
    assert_eq!((map.run_count(), map.count()), (1, 1500));
    assert_eq!(map.lookup(499, 2).await.unwrap(), Some((2, entry(499, 2).1)));
}
