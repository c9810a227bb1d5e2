//! MODE SENSE and MODE SELECT.

use super::harness::*;

const CONTROL: [u8; 6] = [0x1a, 8, 0x0a, 0, 255, 0];

fn select(page: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let list = [&[0, 0, 0, 0], page].concat();
    (vec![0x15, 0x10, 0, 0, u8::try_from(list.len()).unwrap(), 0], list)
}

#[tokio::test]
async fn all_pages_are_there_after_the_block_descriptor() {
    let bench = bench();
    let told = good(&bench.a, &[0x1a, 0, 0x3f, 0, 255, 0], &[]).await;
    assert_eq!(usize::from(told[0]) + 1, told.len());
    assert_eq!((told[2], told[3]), (0x10, 8));
    assert_eq!(told[4..12], [0, 0, 0x40, 0, 0, 0, 2, 0]);
    let (mut at, mut codes) = (12, vec![]);
    while at < told.len() {
        codes.push(told[at]);
        at += usize::from(told[at + 1]) + 2;
    }
    assert_eq!((at, codes), (told.len(), vec![0x01, 0x08, 0x0a, 0x1a, 0x1c]));
    let long = good(&bench.a, &[0x5a, 0x10, 0x3f, 0xff, 0, 0, 0, 1, 0, 0], &[]).await;
    assert_eq!((long[4], long[7]), (1, 16));
    assert_eq!(long[8..16], SECTORS.to_be_bytes());
    assert_eq!(usize::from(u16::from_be_bytes([long[0], long[1]])) + 2, long.len());
    assert_eq!(refused(&bench.a, &[0x1a, 0, 0xca, 0, 255, 0], &[]).await, (5, 0x39, 0));
    assert_eq!(refused(&bench.a, &[0x1a, 0, 0x05, 0, 255, 0], &[]).await, (5, 0x24, 0));
    assert_eq!(refused(&bench.a, &[0x1a, 0, 0x0a, 1, 255, 0], &[]).await, (5, 0x24, 0));
}

#[tokio::test]
async fn the_format_of_sense_can_be_changed_and_the_others_are_told() {
    let bench = bench();
    let mut page = good(&bench.a, &CONTROL, &[]).await[4..].to_vec();
    page[2] |= 0x04;
    let (cdb, list) = select(&page);
    good(&bench.a, &cdb, &list).await;
    let told = send(&bench.b, &READY, &[]).await;
    assert_eq!(told.sense[..4], [0x72, 6, 0x2a, 1]);
    let told = send(&bench.a, &cdb16(0x88, 0, 1 << 40, 1), &[]).await;
    assert_eq!(told.sense[..3], [0x72, 5, 0x21]);
    good(&bench.a, &cdb, &list).await;
    good(&bench.b, &READY, &[]).await;
}

#[tokio::test]
async fn software_write_protection_protects_and_is_told() {
    let bench = bench();
    let changeable = good(&bench.a, &[0x1a, 8, 0x4a, 0, 255, 0], &[]).await;
    assert_eq!((changeable[6], changeable[8]), (4, 8));
    let mut page = good(&bench.a, &CONTROL, &[]).await[4..].to_vec();
    page[4] |= 0x08;
    let (cdb, list) = select(&page);
    good(&bench.a, &cdb, &list).await;
    assert_eq!(refused(&bench.a, &cdb10(0x2a, 0, 0, 1), &[0; 512]).await, (7, 0x27, 2));
    let told = good(&bench.a, &CONTROL, &[]).await;
    assert_eq!((told[2], told[8]), (0x90, 8));
    page[4] = 0;
    let (cdb, list) = select(&page);
    good(&bench.a, &cdb, &list).await;
    good(&bench.a, &cdb10(0x2a, 0, 0, 1), &[0; 512]).await;
}

#[tokio::test]
async fn what_cannot_be_changed_is_refused() {
    let bench = bench();
    let page = good(&bench.a, &CONTROL, &[]).await[4..].to_vec();
    for at in 1..page.len() {
        let mut other = page.clone();
        other[at] ^= 0x01;
        let (cdb, list) = select(&other);
        assert_eq!(refused(&bench.a, &cdb, &list).await, (5, 0x26, 0), "{at}");
    }
    let (mut cdb, list) = select(&page);
    assert_eq!(refused(&bench.a, &cdb, &list[..9]).await, (5, 0x1a, 0));
    cdb[4] -= 1;
    assert_eq!(refused(&bench.a, &cdb, &list).await, (5, 0x1a, 0));
    cdb[1] = 0x11;
    assert_eq!(refused(&bench.a, &cdb, &list).await, (5, 0x24, 0));
    cdb[1] = 0x00;
    assert_eq!(refused(&bench.a, &cdb, &list).await, (5, 0x24, 0));
    let blocks = [&[0, 0, 0, 8, 0, 0, 0x40, 0, 0, 0, 2, 0], &page[..]].concat();
    let len = u8::try_from(blocks.len()).unwrap();
    good(&bench.a, &[0x15, 0x10, 0, 0, len, 0], &blocks).await;
}
