//! EXTENDED COPY and RECEIVE COPY RESULTS.

use super::harness::*;

fn target(bench: &Bench) -> Vec<u8> {
    let mut bytes = vec![0xe4, 0, 0, 0, 1, 3, 0, 16];
    bytes.extend_from_slice(&bench.unit.settings().identity.naa());
    bytes.resize(28, 0);
    bytes.extend_from_slice(&[0, 0, 2, 0]);
    bytes
}

fn blocks((from, to): (u16, u16), count: u16, (source, destination): (u64, u64)) -> Vec<u8> {
    let mut bytes = vec![0x02, 0, 0, 24];
    bytes.extend_from_slice(&from.to_be_bytes());
    bytes.extend_from_slice(&to.to_be_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes.extend_from_slice(&source.to_be_bytes());
    bytes.extend_from_slice(&destination.to_be_bytes());
    bytes
}

fn with_offset(len: u32, (source, from): (u64, u16), (destination, to): (u64, u16)) -> Vec<u8> {
    let mut bytes = vec![0x0a, 0, 0, 28, 0, 0, 0, 0];
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(&source.to_be_bytes());
    bytes.extend_from_slice(&destination.to_be_bytes());
    bytes.extend_from_slice(&from.to_be_bytes());
    bytes.extend_from_slice(&to.to_be_bytes());
    bytes
}

fn copy(identifier: u8, targets: &[u8], segments: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut list = vec![identifier, 0];
    list.extend_from_slice(&u16::try_from(targets.len()).unwrap().to_be_bytes());
    list.extend_from_slice(&[0; 4]);
    list.extend_from_slice(&u32::try_from(segments.len()).unwrap().to_be_bytes());
    list.extend_from_slice(&[0; 4]);
    list.extend_from_slice(targets);
    list.extend_from_slice(segments);
    (cdb(u32::try_from(list.len()).unwrap()), list)
}

fn cdb(len: u32) -> Vec<u8> {
    let mut cdb = vec![0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    cdb.extend_from_slice(&len.to_be_bytes());
    cdb.extend_from_slice(&[0, 0]);
    cdb
}

fn results(action: u8, identifier: u8) -> Vec<u8> {
    vec![0x84, action, identifier, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
}

#[tokio::test]
async fn blocks_are_copied_and_the_result_is_remembered() {
    let bench = bench();
    let data: Vec<u8> = (0..8192u32).map(|n| (n % 241) as u8).collect();
    good(&bench.a, &cdb10(0x2a, 0, 0, 16), &data).await;
    assert_eq!(refused(&bench.a, &results(0, 5), &[]).await, (5, 0x24, 0));
    let (cdb, list) = copy(5, &target(&bench), &blocks((0, 0), 16, (0, 9000)));
    good(&bench.a, &cdb, &list).await;
    assert_eq!(good(&bench.b, &cdb10(0x28, 0, 9000, 16), &[]).await, data);
    let told = good(&bench.a, &results(0, 5), &[]).await;
    assert_eq!(told, [0, 0, 0, 8, 1, 0, 1, 1, 0, 0, 0, 8]);
    assert_eq!(good(&bench.a, &results(4, 5), &[]).await, [0; 4]);
    assert_eq!(refused(&bench.b, &results(0, 5), &[]).await, (5, 0x24, 0));
}

#[tokio::test]
async fn bytes_are_copied_from_and_to_the_midst_of_blocks() {
    let bench = bench();
    let data: Vec<u8> = (0..8192u32).map(|n| (n % 241) as u8).collect();
    good(&bench.a, &cdb10(0x2a, 0, 0, 16), &data).await;
    let (cdb, list) = copy(0, &target(&bench), &with_offset(1000, (1, 88), (100, 7)));
    good(&bench.a, &cdb, &list).await;
    let found = good(&bench.a, &cdb10(0x28, 0, 100, 2), &[]).await;
    assert_eq!((found[6], &found[7..1007], found[1007]), (0, &data[600..1600], 0));
}

#[tokio::test]
async fn wrong_lists_are_refused_one_by_one() {
    let bench = bench();
    let segment = blocks((0, 0), 8, (0, 100));
    good(&bench.a, &cdb(0), &[]).await;
    assert_eq!(refused(&bench.a, &cdb(15), &[0; 15]).await, (5, 0x1a, 0));
    let (_, list) = copy(0, &target(&bench), &segment);
    let len = list.len() - 1;
    let short = cdb(u32::try_from(len).unwrap());
    assert_eq!(refused(&bench.a, &short, &list[..len]).await, (5, 0x1a, 0));
    for (targets, segments, told) in [
        (target(&bench).repeat(9), segment.clone(), (5, 0x26, 6)),
        (target(&bench), segment.repeat(17), (5, 0x26, 8)),
        (target(&bench).repeat(9), segment.repeat(18), (5, 0x1a, 0)),
        ([&[0xe0], &target(&bench)[1..]].concat(), segment.clone(), (5, 0x26, 7)),
        (target(&bench), [&[0x03], &segment[1..]].concat(), (5, 0x26, 9)),
        (target(&bench), blocks((0, 1), 8, (0, 100)), (0xa, 8, 4)),
        (target(&bench), blocks((0, 0), 8, (0, SECTORS - 1)), (0xa, 0, 0)),
        (vec![0xe4; 32], segment.clone(), (5, 0x26, 7)),
    ] {
        let (cdb, list) = copy(3, &targets, &segments);
        assert_eq!(refused(&bench.a, &cdb, &list).await, told);
    }
    let told = good(&bench.a, &results(0, 3), &[]).await;
    assert_eq!(told[4], 2);
    assert!(good(&bench.a, &results(4, 3), &[]).await.len() > 60);
}

#[tokio::test]
async fn units_that_are_not_seen_are_not_copied() {
    let bench = bench();
    let mut stranger = target(&bench);
    stranger[12] ^= 1;
    let both = [target(&bench), stranger].concat();
    let (cdb, list) = copy(0, &both, &blocks((0, 1), 8, (0, 100)));
    assert_eq!(refused(&bench.a, &cdb, &list).await, (0xa, 0x0d, 2));
}

#[tokio::test]
async fn what_can_be_copied_is_told_twice_alike() {
    let bench = bench();
    let told = good(&bench.a, &results(3, 0), &[]).await;
    assert_eq!(usize::from(told[3]) + 4, told.len());
    assert_eq!((told[9], told[11], &told[44..]), (8, 16, &[0x02, 0x0a, 0xe4][..]));
    let page = good(&bench.a, &[0x12, 1, 0x8f, 2, 0, 0], &[]).await;
    assert_eq!(page.len() % 4, 0);
}
