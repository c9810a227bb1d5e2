//! WRITE SAME, UNMAP, GET LBA STATUS.

use super::harness::*;

fn unmap_list(descriptors: &[(u64, u32)]) -> (Vec<u8>, Vec<u8>) {
    let len = u16::try_from(descriptors.len() * 16).unwrap();
    let mut list = (len + 6).to_be_bytes().to_vec();
    list.extend_from_slice(&len.to_be_bytes());
    list.extend_from_slice(&[0; 4]);
    for (lba, count) in descriptors {
        list.extend_from_slice(&lba.to_be_bytes());
        list.extend_from_slice(&count.to_be_bytes());
        list.extend_from_slice(&[0; 4]);
    }
    let mut cdb = vec![0x42, 0, 0, 0, 0, 0, 0];
    cdb.extend_from_slice(&(len + 8).to_be_bytes());
    cdb.push(0);
    (cdb, list)
}

fn status(lba: u64, allowed: u32) -> Vec<u8> {
    cdb16(0x9e, 0x12, lba, allowed)
}

#[tokio::test]
async fn write_same_repeats_one_block() {
    let bench = bench();
    let pattern: Vec<u8> = (0..512).map(|n| (n % 250) as u8).collect();
    good(&bench.a, &cdb10(0x41, 0, 2, 3), &pattern).await;
    let found = good(&bench.a, &cdb10(0x28, 0, 1, 5), &[]).await;
    assert_eq!(found[..512], [0; 512]);
    assert_eq!(found[512..2048], pattern.repeat(3));
    assert_eq!(found[2048..], [0; 512]);
    let to_end = u32::try_from(SECTORS).unwrap() - 5000;
    good(&bench.a, &cdb10(0x41, 0, to_end, 0), &pattern).await;
    assert_eq!(good(&bench.a, &cdb10(0x28, 0, to_end + 4999, 1), &[]).await, pattern);
}

#[tokio::test]
async fn write_same_wants_one_block_or_none() {
    let bench = bench();
    assert_eq!(refused(&bench.a, &cdb10(0x41, 8, 0, 1), &[0; 256]).await, (5, 0x0e, 3));
    assert_eq!(refused(&bench.a, &cdb10(0x41, 8, 0, 1), &[0; 1024]).await, (5, 0x0e, 3));
    assert_eq!(refused(&bench.a, &cdb10(0x41, 0x10, 0, 1), &[0; 512]).await, (5, 0x24, 0));
    good(&bench.a, &cdb10(0x2a, 0, 0, 8), &[7; 4096]).await;
    good(&bench.a, &cdb16(0x93, 0x01, 0, 8), &[]).await;
    assert_eq!(good(&bench.a, &cdb10(0x28, 0, 0, 8), &[]).await, [0; 4096]);
}

#[tokio::test]
async fn what_is_unmapped_reads_as_zeroes_and_is_told_so() {
    let bench = bench();
    good(&bench.a, &cdb10(0x2a, 0, 0, 32), &[7; 16384]).await;
    let (cdb, list) = unmap_list(&[(8, 8), (99, 0), (20, 2)]);
    good(&bench.a, &cdb, &list).await;
    let found = good(&bench.a, &cdb10(0x28, 0, 0, 32), &[]).await;
    assert!(found[4096..8192].iter().all(|byte| *byte == 0));
    assert_eq!(found.iter().filter(|byte| **byte == 7).count(), 22 * 512);
    let told = good(&bench.a, &status(0, 8 + 16 * 8), &[]).await;
    let one = |at: usize| {
        let bytes = &told[8 + at * 16..24 + at * 16];
        let lba = u64::from_be_bytes(bytes[..8].try_into().unwrap());
        (lba, u32::from_be_bytes(bytes[8..12].try_into().unwrap()), bytes[12])
    };
    assert_eq!((one(0), one(1), one(2).0), ((0, 8, 0), (8, 8, 1), 16));
    let told = good(&bench.a, &status(9, 24), &[]).await;
    assert_eq!((told.len(), told[3], told[15], told[20]), (24, 20, 16, 0));
}

#[tokio::test]
async fn the_status_of_everything_reaches_to_the_end() {
    let bench = bench();
    let told = good(&bench.a, &status(0, 256), &[]).await;
    assert_eq!(told.len(), 24);
    assert_eq!(u64::from(u32::from_be_bytes(told[16..20].try_into().unwrap())), SECTORS);
    assert_eq!(refused(&bench.a, &status(SECTORS, 24), &[]).await, (5, 0x21, 0));
}

#[tokio::test]
async fn unmap_past_the_end_changes_nothing() {
    let bench = bench();
    good(&bench.a, &cdb10(0x2a, 0, 0, 8), &[7; 4096]).await;
    let (cdb, list) = unmap_list(&[(0, 8), (SECTORS, 1)]);
    assert_eq!(refused(&bench.a, &cdb, &list).await, (5, 0x21, 0));
    assert_eq!(good(&bench.a, &cdb10(0x28, 0, 0, 8), &[]).await, [7; 4096]);
    assert_eq!(refused(&bench.a, &cdb, &list[..20]).await, (5, 0x1a, 0));
}

#[tokio::test]
async fn what_is_anchored_keeps_its_space() {
    let bench = bench();
    good(&bench.a, &cdb10(0x2a, 0, 0, 8), &[7; 4096]).await;
    good(&bench.a, &cdb10(0x41, 0x18, 0, 8), &[0; 512]).await;
    let told = good(&bench.a, &status(0, 24), &[]).await;
    assert_ne!(told[20], 1, "not deallocated");
    assert_eq!(good(&bench.a, &cdb10(0x28, 0, 0, 8), &[]).await, [0; 4096]);
}
